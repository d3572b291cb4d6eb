//! How receive contexts fill their buffers.

use super::random::Random;
use super::*;

/// Two machines, the second of which posts writes: they need no answer.
fn pair() -> Bench {
    let mut bench = Bench::on(2);
    let post = HcControl::POSTED_WRITE_ENABLE.bits();
    bench.write(1, regs::HC_CONTROL_SET, post);
    bench
}

/// In memory: header, data, trailer.
const fn size(data: u32) -> u32 {
    16 + data.next_multiple_of(4) + 4
}

fn write(bench: &mut Bench, data: &[u8]) -> u32 {
    let to = bench.id(1);
    bench.send(0, REQUEST, &Packet::write_block(to, 1, POSTED, data))
}

#[test]
fn a_packet_may_lie_across_buffers_and_the_newest_count_is_written_first() {
    let mut bench = pair();
    bench.rebuffer(1, REQUEST, 4, 64);
    write(&mut bench, &[1; 20]);
    let driver = &bench.machines[1].driver;
    assert_eq!(driver.residuals(REQUEST), [64 - 40, 64, 64, 64]);
    bench.machines[1].ram.take_writes();

    // 24 bytes in the first one, 64 in the second, 12 in the third.
    write(&mut bench, &[2; 80]);
    let driver = &bench.machines[1].driver;
    assert_eq!(driver.residuals(REQUEST), [0, 0, 64 - 12, 64]);
    let mut expected: Vec<u64> = Vec::new();
    let places = [0, 1, 2].map(|number| driver.buffer(REQUEST, number));
    expected.push(u64::from(places[0].0) + 40);
    expected.extend([1, 2].map(|number: usize| u64::from(places[number].0)));
    expected.extend([2, 1, 0].map(|number: usize| u64::from(places[number].1) + 12));
    assert_eq!(bench.machines[1].ram.take_writes(), expected);

    let packets = bench.packets(1, REQUEST);
    let data: Vec<&[u8]> = packets.iter().map(|packet| &packet.data[..]).collect();
    assert_eq!(data, [&[1; 20][..], &[2; 80]]);
    for packet in &packets {
        let done = RUNNING | 2 << 5 | code(EventCode::AckComplete);
        assert_eq!(packet.status, done);
    }
    for (_, descriptor) in places {
        let status = bench.machines[1].ram.quadlet(descriptor + 12) >> 16;
        let done = RUNNING | 2 << 5 | code(EventCode::AckComplete);
        assert_eq!(status, u32::from(done), "{descriptor:#x}");
    }
}

#[test]
fn a_packet_that_fills_a_buffer_exactly_leaves_the_next_one_alone() {
    let mut bench = pair();
    bench.rebuffer(1, REQUEST, 2, size(8));
    write(&mut bench, &[1; 8]);
    let driver = &bench.machines[1].driver;
    assert_eq!(driver.residuals(REQUEST), [0, size(8)]);
    write(&mut bench, &[2; 8]);
    let driver = &bench.machines[1].driver;
    assert_eq!(driver.residuals(REQUEST), [0, 0]);
    assert_eq!(bench.packets(1, REQUEST).len(), 2);
}

/// Linux's driver takes a ring of which only the last buffer is empty for one that has no end.
#[test]
fn a_packet_that_would_leave_nothing_but_the_last_buffer_waits_for_one_more() {
    for side in [REQUEST, RESPONSE] {
        let mut bench = pair();
        let (receiver, length) = match side {
            REQUEST => (1, size(8)),
            _ => (0, size(0)),
        };
        bench.rebuffer(receiver, side, 4, length);
        for number in 0..4 {
            if side == REQUEST {
                write(&mut bench, &[number; 8]);
            } else {
                let (to, header) = (bench.id(1), 0xffff_f000_0400);
                bench.send(0, REQUEST, &Packet::read_quadlet(to, number, header));
            }
        }
        let full = |bench: &Bench| {
            let residuals = bench.machines[receiver].driver.residuals(side);
            residuals.iter().filter(|left| **left == 0).count()
        };
        assert_eq!(full(&bench), 2, "two of four");
        bench.events(receiver);
        bench.add_buffer(receiver, side, length);
        assert_eq!(full(&bench), 3, "three of five");
        assert!(!bench.events(receiver).is_empty());
        // What goes beyond is no danger.
        bench.add_buffer(receiver, side, length - 4);
        assert_eq!(full(&bench), 4);
        assert_eq!(bench.packets(receiver, side).len(), 4);
    }
}

#[test]
fn without_room_packets_wait_until_the_context_is_woken() {
    let mut bench = pair();
    bench.rebuffer(1, REQUEST, 2, 64);
    for machine in 0..2 {
        bench.events(machine);
    }
    let mut sent: Vec<u32> = Vec::new();
    // 40 bytes each: three fit, with 8 bytes left.
    for number in 0..6 {
        sent.push(write(&mut bench, &[number; 20]));
    }
    let ended = |bench: &Bench| {
        let ended = sent.iter().filter(|at| bench.event(0, **at).is_some());
        ended.count()
    };
    assert_eq!(ended(&bench), 3);
    assert_eq!(bench.packets(1, REQUEST).len(), 3);
    assert_eq!(bench.machines[1].driver.residuals(REQUEST), [0, 8]);
    bench.events(1);
    bench.advance(Duration::from_millis(900));
    assert_eq!(ended(&bench), 3, "they are tried again and again");
    assert_eq!(bench.events(1), IntEvent::empty());

    // Too small a buffer for what waits does not let a part of it in.
    bench.add_buffer(1, REQUEST, 24);
    assert_eq!(bench.events(1), IntEvent::empty());
    assert_eq!(bench.machines[1].driver.residuals(REQUEST), [0, 8, 24]);
    bench.add_buffer(1, REQUEST, 64);
    assert_eq!(bench.events(1), IntEvent::RQ_PKT);
    assert_eq!(ended(&bench), 5);
    bench.add_buffer(1, REQUEST, 64);
    assert_eq!(ended(&bench), 6);
    let packets = bench.packets(1, REQUEST);
    let data: Vec<u8> = packets.iter().map(|packet| packet.data[0]).collect();
    assert_eq!(data, [3, 4, 5]);
    for descriptor in sent {
        let done = Some(code(EventCode::AckComplete));
        assert_eq!(bench.event(0, descriptor), done);
    }
}

#[test]
fn responses_wait_for_room_too() {
    let mut bench = Bench::on(2);
    let to = bench.id(1);
    bench.rebuffer(0, RESPONSE, 1, 48);
    bench.events(0);
    for label in 0..5 {
        let header = 0xffff_f000_0400;
        bench.send(0, REQUEST, &Packet::read_quadlet(to, label, header));
    }
    assert_eq!(bench.packets(0, RESPONSE).len(), 2);
    bench.events(0);
    bench.add_buffer(0, RESPONSE, 0x100);
    assert_eq!(bench.events(0), IntEvent::RS_PKT);
    let packets = bench.packets(0, RESPONSE);
    let labels: Vec<u8> = packets.iter().map(Incoming::label).collect();
    assert_eq!(labels, [2, 3, 4]);
}

#[test]
fn nothing_is_lost_or_doubled_whatever_the_sizes() {
    for seed in 1..20 {
        let mut random = Random(seed);
        let mut bench = pair();
        bench.rebuffer(1, REQUEST, 1, 4 * (1 + random.below(20)));
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        let mut sent = Vec::new();
        for number in 0..100_u32 {
            let length = random.below(300) as usize;
            let mut data = number.to_le_bytes().to_vec();
            data.extend((0..length).map(|at| (at as u32 + number) as u8));
            sent.push(write(&mut bench, &data));
            expected.push(data);
            for _ in 0..random.below(3) {
                bench.add_buffer(1, REQUEST, 4 * (1 + random.below(100)));
            }
            bench.advance(Duration::from_micros(u64::from(random.below(100))));
            got.extend(bench.packets(1, REQUEST));
        }
        let last = *sent.last().expect("one was sent");
        while bench.event(0, last).is_none() {
            bench.add_buffer(1, REQUEST, 4 * (1 + random.below(100)));
            got.extend(bench.packets(1, REQUEST));
        }
        let got: Vec<Vec<u8>> = got.into_iter().map(|packet| packet.data).collect();
        assert!(got == expected, "seed {seed}");
        for descriptor in sent {
            let done = Some(code(EventCode::AckComplete));
            assert_eq!(bench.event(0, descriptor), done, "seed {seed}");
        }
    }
}
