//! Memory that other nodes reach without software.

use super::*;

/// The end of what the physical response unit serves, for software that sets none.
const BOUND: u64 = 0x1_0000_0000;
/// Some memory.
const PLACE: u32 = 0x8_0000;

/// Two machines, where the hardware of the second serves the first.
fn open() -> Bench {
    let mut bench = Bench::on(2);
    let phy = bench.id(0).phy();
    bench.write(1, regs::PHY_REQ_FILTER_LO_SET, 1 << phy);
    bench.events(1);
    bench
}

/// What the hardware answers, if it does: the rcode, and data.
fn ask(bench: &mut Bench, packet: &Packet) -> Option<(u32, Vec<u8>)> {
    let sent = bench.send(0, REQUEST, packet);
    if bench.event(0, sent) == Some(code(EventCode::AckComplete)) {
        return Some((0, Vec::new()));
    }
    assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
    let response = bench.packets(0, RESPONSE).pop()?;
    let data = match response.tcode() {
        6 if response.rcode() != 0 => Vec::new(),
        6 => response.header[3].to_le_bytes().to_vec(),
        _ => response.data.clone(),
    };
    Some((response.rcode(), data))
}

#[test]
fn memory_is_read_and_written_byte_by_byte() {
    let mut bench = open();
    let to = bench.id(1);
    let place = u64::from(PLACE);
    let quadlet = Packet::write_quadlet(to, 1, place, [1, 2, 3, 4]);
    assert_eq!(ask(&mut bench, &quadlet), Some((0, Vec::new())));
    let block: Vec<u8> = (0..99).collect();
    let packet = Packet::write_block(to, 1, place + 5, &block);
    assert_eq!(ask(&mut bench, &packet), Some((0, Vec::new())));
    let ram = &bench.machines[1].ram;
    assert_eq!(ram.bytes(PLACE, 6), [1, 2, 3, 4, 0, 0]);
    assert_eq!(ram.bytes(PLACE + 5, 99), block);
    assert_eq!(ram.bytes(PLACE + 104, 1), [0]);
    let packet = Packet::read_quadlet(to, 1, place + 4);
    assert_eq!(ask(&mut bench, &packet), Some((0, vec![0, 0, 1, 2])));
    let packet = Packet::read_block(to, 1, place + 5, 99);
    assert_eq!(ask(&mut bench, &packet), Some((0, block)));
    assert!(
        bench.packets(1, REQUEST).is_empty(),
        "software has seen one"
    );
    assert_eq!(bench.events(1), IntEvent::empty());
}

#[test]
fn software_serves_those_whose_bit_is_not_set() {
    let mut bench = open();
    let to = bench.id(1);
    let phy = bench.id(0).phy();
    bench.write(1, regs::PHY_REQ_FILTER_LO_CLEAR, 1 << phy);
    bench.write(1, regs::PHY_REQ_FILTER_LO_SET, 1 << (phy + 1));
    bench.write(1, regs::PHY_REQ_FILTER_HI_SET, 1 << 31);
    let packet = Packet::write_quadlet(to, 1, PLACE.into(), [1; 4]);
    assert_eq!(ask(&mut bench, &packet), None);
    assert_eq!(bench.packets(1, REQUEST).len(), 1);
    assert_eq!(bench.machines[1].ram.bytes(PLACE, 4), [0; 4]);
}

#[test]
fn software_serves_what_is_above_the_bound_and_locks() {
    let mut bench = open();
    let to = bench.id(1);
    for (bound, end) in [
        (0x1_0000, BOUND),
        (0, BOUND),
        (8, 0x8_0000),
        (0x2_0000, 2 * BOUND),
        (u32::MAX, 0xffff_ffff_0000),
    ] {
        bench.write(1, regs::PHY_UPPER_BOUND, bound);
        for packet in [
            Packet::read_quadlet(to, 1, end),
            Packet::read_quadlet(to, 1, end - 2),
            Packet::write_block(to, 1, end - 8, &[1; 9]),
            Packet::lock(to, 1, 0x1000, 3, &[0; 4]),
        ] {
            assert_eq!(ask(&mut bench, &packet), None, "{packet:x?}");
            assert_eq!(bench.packets(1, REQUEST).len(), 1);
        }
    }
    bench.write(1, regs::PHY_UPPER_BOUND, 8);
    let packet = Packet::write_block(to, 1, 0x8_0000 - 8, &[1; 8]);
    assert_eq!(ask(&mut bench, &packet), Some((0, Vec::new())));
    let end = 0x1_0000_0000_0000 - 4;
    let packet = Packet::write_block(to, 1, end, &[1; 8]);
    assert_eq!(ask(&mut bench, &packet), None, "behind the last address");
}

#[test]
fn memory_that_is_not_there_is_a_data_error() {
    let mut bench = open();
    let to = bench.id(1);
    let nowhere = ram::SIZE as u64;
    for packet in [
        Packet::read_quadlet(to, 1, nowhere),
        Packet::read_block(to, 1, nowhere - 4, 8),
        Packet::write_quadlet(to, 1, nowhere, [1; 4]),
        Packet::write_block(to, 1, BOUND - 8, &[1; 8]),
    ] {
        assert_eq!(ask(&mut bench, &packet), Some((5, Vec::new())));
    }
    assert_eq!(bench.events(1), IntEvent::empty());
}

#[test]
fn of_a_posted_write_that_fails_only_the_receiver_learns() {
    let mut bench = open();
    let to = bench.id(1);
    let post = HcControl::POSTED_WRITE_ENABLE.bits();
    bench.write(1, regs::HC_CONTROL_SET, post);
    bench.write(1, regs::PHY_UPPER_BOUND, 0x1234_0000);
    let nowhere = 0x1230_5678_9abc;
    let packet = Packet::write_block(to, 1, nowhere, &[1; 8]);
    assert_eq!(ask(&mut bench, &packet), Some((0, Vec::new())));
    assert!(bench.packets(0, RESPONSE).is_empty());
    assert_eq!(bench.events(1), IntEvent::POSTED_WRITE_ERR);
    assert_eq!(bench.read(1, regs::POSTED_WRITE_ADDRESS_LO), 0x5678_9abc);
    let source = u32::from(bench.id(0).0) << 16;
    let hi = bench.read(1, regs::POSTED_WRITE_ADDRESS_HI);
    assert_eq!(hi, source | 0x1230);
}

#[test]
fn a_bus_reset_closes_the_memory() {
    let mut bench = open();
    bench.bus.reset(bench.now);
    bench.settle();
    for machine in 0..2 {
        bench.see_to_reset(machine);
        bench.packets(machine, REQUEST);
    }
    let to = bench.id(1);
    let packet = Packet::read_quadlet(to, 1, PLACE.into());
    assert_eq!(ask(&mut bench, &packet), None);
    assert_eq!(bench.packets(1, REQUEST).len(), 1);
}
