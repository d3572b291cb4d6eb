//! Programs that cannot be walked.

use super::*;

const DEAD: u32 = ContextControl::DEAD.bits();
const ACTIVE: u32 = ContextControl::ACTIVE.bits();
const RUN: u32 = ContextControl::RUN.bits();
/// Where there is no memory.
const NOWHERE: u32 = 0xf000_0000;

/// Runs a transmit context from this block on; how it is then.
fn run(bench: &mut Bench, start: u32) -> u32 {
    bench.events(0);
    bench.write(0, regs::AT_REQUEST + context::CONTROL_CLEAR, RUN);
    bench.write(0, regs::AT_REQUEST + context::COMMAND_PTR, start);
    bench.write(0, regs::AT_REQUEST + context::CONTROL_SET, RUN);
    bench.control(0, regs::AT_REQUEST)
}

fn dead(bench: &mut Bench, start: u32, event: EventCode) {
    let control = run(bench, start);
    assert_eq!(control, RUN | DEAD | u32::from(code(event)), "{start:#x}");
    let events = bench.events(0);
    assert!(events.contains(IntEvent::UNRECOVERABLE_ERROR), "{start:#x}");
}

#[test]
fn a_transmit_context_dies_of_a_block_that_is_none() {
    let mut bench = Bench::on(2);
    let to = bench.id(1);
    let nowhere = EventCode::DescriptorRead;
    dead(&mut bench, NOWHERE | 2, nowhere);
    let end = ram::SIZE as u32 - 16;
    let first = [driver::LAST_IMMEDIATE | 12, 0, 0, 0];
    bench.machines[0].ram.put_quadlets(end, &first);
    dead(&mut bench, end | 2, nowhere);

    let packet = Packet::write_block(to, 1, SERVED, &[1; 8]);
    let fresh = |bench: &mut Bench| bench.machines[0].driver.block(&packet);
    let put = |bench: &Bench, at, quadlets: &[u32]| {
        bench.machines[0].ram.put_quadlets(at, quadlets);
    };
    // Too few descriptors, for the header and for the data.
    let block = fresh(&mut bench);
    dead(&mut bench, block.start | 1, EventCode::Unknown);
    dead(&mut bench, block.start | 2, EventCode::Unknown);
    // No last one.
    put(&bench, block.last, &[8]);
    dead(&mut bench, block.start | 3, EventCode::Unknown);
    // One for input, one that is nothing.
    for control in [0x2000_u32, 0x3000, 0x7000, 0xf000] {
        put(&bench, block.last, &[control << 16 | 8]);
        dead(&mut bench, block.start | 3, EventCode::Unknown);
    }
    // The first is not immediate; it has too long a header.
    let block = fresh(&mut bench);
    put(&bench, block.start, &[0x000c_0010]);
    dead(&mut bench, block.start | 3, EventCode::Unknown);
    put(&bench, block.start, &[driver::MORE_IMMEDIATE | 17]);
    dead(&mut bench, block.start | 3, EventCode::Unknown);
    // More data than a packet can name.
    let block = fresh(&mut bench);
    put(&bench, block.start + 32, &[0xffff, 0, 0, 0]);
    put(&bench, block.start + 48, &[driver::LAST | 1, 0, 0, 0]);
    dead(&mut bench, block.start | 4, EventCode::Unknown);
    assert!(bench.packets(1, REQUEST).is_empty(), "one was sent");
}

#[test]
fn a_dead_context_does_nothing_until_it_is_stopped() {
    let mut bench = Bench::on(2);
    dead(&mut bench, NOWHERE | 2, EventCode::DescriptorRead);
    let to = bench.id(1);
    let packet = Packet::read_quadlet(to, 1, SERVED);
    let block = bench.machines[0].driver.block(&packet);
    let start = block.start | block.z;
    let wake = ContextControl::WAKE.bits();
    bench.write(0, regs::AT_REQUEST + context::COMMAND_PTR, start);
    bench.write(0, regs::AT_REQUEST + context::CONTROL_SET, RUN | wake);
    assert_eq!(bench.event(0, block.last), None);
    // The other context lives.
    let control = bench.control(0, regs::AT_RESPONSE);
    assert_eq!(control & DEAD, 0);
    assert_eq!(run(&mut bench, start) & (DEAD | ACTIVE), 0);
    assert_eq!(
        bench.event(0, block.last),
        Some(code(EventCode::AckPending))
    );
}

#[test]
fn a_program_that_leads_back_into_itself_is_paced_and_can_be_stopped() {
    let mut bench = Bench::on(2);
    let to = bench.id(1);
    let packet = Packet::read_quadlet(to, 1, 0xffff_f000_0400);
    let block = bench.machines[0].driver.block(&packet);
    let start = block.start | block.z;
    bench.machines[0].ram.put_quadlets(block.last + 8, &[start]);
    let control = run(&mut bench, start);
    assert_ne!(control & ACTIVE, 0);
    let at_once = bench.bus.counters().packets;
    bench.settle();
    assert_eq!(
        bench.bus.counters().packets,
        at_once,
        "no more at this time"
    );
    bench.advance(Duration::from_millis(100));
    let later = bench.bus.counters().packets;
    assert!(later > at_once);
    bench.write(0, regs::AT_REQUEST + context::CONTROL_CLEAR, RUN);
    assert_eq!(bench.control(0, regs::AT_REQUEST) & ACTIVE, 0);
    bench.advance(Duration::from_millis(100));
    assert_eq!(bench.bus.counters().packets, later);
}

#[test]
fn a_receive_context_dies_of_a_buffer_that_is_not_there() {
    let to_memory = |bench: &mut Bench, words: [u32; 4]| {
        let at = bench.machines[1].driver.allocate(16);
        bench.machines[1].ram.put_quadlets(at, &words);
        at | 1
    };
    for case in 0..4 {
        let mut bench = Bench::on(2);
        let (program, event) = match case {
            0 => (NOWHERE | 1, EventCode::DescriptorRead),
            1 => {
                let words = [driver::INPUT | 0x100, NOWHERE, 0, 0x100];
                (to_memory(&mut bench, words), EventCode::DataWrite)
            }
            2 => {
                let words = [driver::INPUT | 8, 0x8_0000, NOWHERE | 1, 8];
                (to_memory(&mut bench, words), EventCode::DescriptorRead)
            }
            // Buffers without room, one after the other and in a circle.
            _ => {
                let at = bench.machines[1].driver.allocate(16);
                let words = [driver::INPUT, 0x8_0000, at | 1, 0];
                bench.machines[1].ram.put_quadlets(at, &words);
                (at | 1, EventCode::Unknown)
            }
        };
        bench.write(1, regs::AR_REQUEST + context::CONTROL_CLEAR, RUN);
        bench.write(1, regs::AR_REQUEST + context::COMMAND_PTR, program);
        bench.write(1, regs::AR_REQUEST + context::CONTROL_SET, RUN);
        bench.events(1);
        let to = bench.id(1);
        let sent = bench.send(0, REQUEST, &Packet::read_quadlet(to, 1, SERVED));
        let control = bench.control(1, regs::AR_REQUEST);
        assert_eq!(control & (RUN | DEAD | ACTIVE), RUN | DEAD, "{case}");
        assert_eq!(control & 0x1f, u32::from(code(event)), "{case}");
        let events = bench.events(1);
        assert_eq!(events, IntEvent::UNRECOVERABLE_ERROR, "{case}");
        // The first one is not lost before its sender has tried long enough; others are at once.
        assert_eq!(bench.event(0, sent), None);
        bench.advance(Duration::from_secs(2));
        assert_eq!(bench.event(0, sent), Some(code(EventCode::AckBusyX)));
        let sent = bench.send(0, REQUEST, &Packet::read_quadlet(to, 1, SERVED));
        assert_eq!(bench.event(0, sent), Some(code(EventCode::AckBusyX)));
        // A new program brings it back.
        bench.rebuffer(1, REQUEST, 1, 0x100);
        bench.send(0, REQUEST, &Packet::read_quadlet(to, 1, SERVED));
        assert_eq!(bench.packets(1, REQUEST).len(), 1);
    }
}
