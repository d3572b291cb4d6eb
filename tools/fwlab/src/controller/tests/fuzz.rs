//! Drivers that do anything.

use super::random::Random;
use super::*;

const RUN: u32 = ContextControl::RUN.bits();

/// Something that a driver may write: small numbers, addresses of blocks, and anything.
fn value(random: &mut Random) -> u32 {
    match random.below(8) {
        0 => 0,
        1 => u32::MAX,
        2 => 1 << random.below(32),
        3 => random.below(16),
        4 | 5 => random.below(0x1_0000) & !0xf | random.below(8),
        6 => random.below(ram::SIZE as u32),
        _ => random.next() as u32,
    }
}

/// Offsets that do something, and others.
fn offset(random: &mut Random) -> u32 {
    let bases = [driver::TRANSMIT, driver::RECEIVE].concat();
    match random.below(6) {
        0 => random.below(0x1000),
        1 => 4 * random.below(0x80),
        2 => random.of(&[
            regs::INT_EVENT_CLEAR,
            regs::PHY_CONTROL,
            regs::HC_CONTROL_SET,
            regs::LINK_CONTROL_SET,
        ]),
        _ => random.of(&bases) + random.of(&[0, 0, 0, 4, 12, 12]),
    }
}

/// A packet that could be sent, or nearly.
fn packet(random: &mut Random) -> Packet {
    let tcode = random.of(&[0, 1, 2, 4, 4, 5, 6, 7, 9, 0xa, 0xb, 0xe, 3]);
    let length = random.of(&[0, 4, 8, 8, 64, 64, 600, 2048, 2052]);
    let data = match tcode {
        1 | 7 | 9 | 0xb => vec![0x5a; length as usize],
        _ => Vec::new(),
    };
    let mut header = vec![
        random.of(&[0, 2, 2, 2, 3, 7]) << 16 | random.below(64) << 10 | tcode << 4,
        (0xffc0 | random.of(&[0, 1, 1, 2, 9, 63])) << 16 | random.of(&[0, 0xffff, 1, 0x7fff]),
        random.of(&[0xf000_0400, 0xf000_021c, 0x100, 0xf001_0000, u32::MAX]),
    ];
    if !matches!(tcode, 2 | 4 | 0xe) {
        header.push(length << 16 | random.below(8));
    }
    Packet { header, data }
}

/// Sends a packet as a driver does, but for a quadlet of the program that is sometimes wrong.
fn send(bench: &mut Bench, machine: usize, random: &mut Random) {
    let packet = packet(random);
    let block = bench.machines[machine].driver.block(&packet);
    let words = (block.last + 16 - block.start) / 4;
    if random.below(4) == 0 {
        let at = block.start + 4 * random.below(words);
        let value = value(random);
        bench.machines[machine].ram.put_quadlets(at, &[value]);
    }
    if random.below(8) == 0 {
        // Back into itself.
        let branch = block.start | block.z;
        let ram = &bench.machines[machine].ram;
        ram.put_quadlets(block.last + 8, &[branch]);
    }
    let side = random.below(2) as usize;
    if random.below(2) == 0 {
        let base = driver::TRANSMIT[side];
        bench.write(machine, base + context::CONTROL_CLEAR, RUN);
        bench.machines[machine].driver.forget_program(side);
    }
    bench.append(machine, side, block);
}

/// What one driver does next.
fn step(bench: &mut Bench, machine: usize, random: &mut Random) {
    match random.below(12) {
        0 | 1 => {
            let (offset, value) = (offset(random), value(random));
            bench.write(machine, offset, value);
        }
        2 => {
            let offset = offset(random);
            let _ = bench.read(machine, offset);
        }
        3 => {
            let at = random.below(0x4_0000) & !3;
            let value = value(random);
            bench.machines[machine].ram.put_quadlets(at, &[value]);
        }
        4 => {
            let (side, count) = (random.below(2) as usize, 1 + random.below(4));
            let length = random.of(&[0, 4, 33, 64, 0x1000, 0xffff]);
            bench.machines[machine].driver.rewind();
            bench.rebuffer(machine, side, count, length);
        }
        5 => {
            let length = random.below(0x400);
            bench.add_buffer(machine, random.below(2) as usize, length);
        }
        6 => bench.write(machine, regs::INT_EVENT_CLEAR, u32::MAX),
        7 => bench.advance(Duration::from_micros(u64::from(random.below(200_000)))),
        _ => send(bench, machine, random),
    }
}

#[test]
fn whatever_drivers_do_nobody_panics_and_every_call_ends() {
    let (mut packets, mut dead, mut received) = (0, 0, 0);
    for seed in 1..=30 {
        let mut random = Random(seed);
        let mut bench = Bench::on(3);
        for number in 0..1000_u32 {
            let machine = random.below(2) as usize;
            step(&mut bench, machine, &mut random);
            for base in driver::TRANSMIT.into_iter().chain(driver::RECEIVE) {
                let control = bench.control(machine, base);
                dead += u32::from(control & ContextControl::DEAD.bits() != 0);
                let event = control & 0x1f;
                received += u32::from(base >= regs::AR_REQUEST && event >= 0x11);
            }
            // A controller that is off does little.
            if number % 100 == 99 {
                bench.machines[machine].driver.rewind();
                bench.start(machine);
            }
        }
        bench.advance(Duration::from_secs(3));
        packets += bench.bus.counters().packets;
    }
    // Or chance has not been anywhere.
    let been = packets > 10_000 && dead > 1000 && received > 1000;
    assert!(been, "{packets} packets, {dead} dead, {received} received");
}
