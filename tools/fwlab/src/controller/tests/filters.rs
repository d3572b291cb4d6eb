//! Whose requests are taken.

use super::*;

fn filter(bench: &mut Bench, first: u32) -> u64 {
    let hi = bench.read(1, first);
    let lo = bench.read(1, first + 8);
    assert_eq!(bench.read(1, first + 4), hi);
    assert_eq!(bench.read(1, first + 12), lo);
    u64::from(hi) << 32 | u64::from(lo)
}

/// How a request of machine 0 to machine 1's software ends.
fn ends(bench: &mut Bench) -> u16 {
    let to = bench.id(1);
    let packet = Packet::write_quadlet(to, 1, SERVED, [1; 4]);
    let sent = bench.send(0, REQUEST, &packet);
    bench.event(0, sent).expect("it has ended")
}

#[test]
fn requests_are_taken_from_those_whose_bit_is_set() {
    let mut bench = Bench::on(2);
    let phy = bench.id(0).phy();
    assert_eq!(ends(&mut bench), code(EventCode::AckPending));
    bench.write(1, regs::AS_REQ_FILTER_HI_CLEAR, u32::MAX);
    bench.write(1, regs::AS_REQ_FILTER_LO_CLEAR, u32::MAX);
    assert_eq!(ends(&mut bench), code(EventCode::MissingAck));
    bench.write(1, regs::AS_REQ_FILTER_LO_SET, !(1 << phy));
    bench.write(1, regs::AS_REQ_FILTER_HI_SET, u32::MAX >> 1);
    assert_eq!(ends(&mut bench), code(EventCode::MissingAck));
    bench.write(1, regs::AS_REQ_FILTER_LO_SET, 1 << phy);
    assert_eq!(ends(&mut bench), code(EventCode::AckPending));
    bench.write(1, regs::AS_REQ_FILTER_LO_CLEAR, 1 << phy);
    assert_eq!(ends(&mut bench), code(EventCode::MissingAck));
    bench.write(1, regs::AS_REQ_FILTER_HI_SET, 1 << 31);
    assert_eq!(ends(&mut bench), code(EventCode::AckPending));
    assert_eq!(bench.packets(1, REQUEST).len(), 3);
}

#[test]
fn the_rom_and_the_csrs_are_open_to_everybody() {
    let mut bench = Bench::on(2);
    bench.write(1, regs::AS_REQ_FILTER_HI_CLEAR, u32::MAX);
    let to = bench.id(1);
    for (packet, event) in [
        (
            Packet::read_quadlet(to, 1, 0xffff_f000_0400),
            EventCode::AckPending,
        ),
        (
            Packet::swap(to, 1, 0xffff_f000_021c, 0x3f, 1),
            EventCode::AckPending,
        ),
        (
            Packet::read_block(to, 1, 0xffff_f000_0400, 8),
            EventCode::MissingAck,
        ),
        (
            Packet::write_quadlet(to, 1, 0xffff_f000_0400, [0; 4]),
            EventCode::MissingAck,
        ),
        (Packet::read_quadlet(to, 1, 0), EventCode::MissingAck),
    ] {
        let sent = bench.send(0, REQUEST, &packet);
        assert_eq!(bench.event(0, sent), Some(code(event)), "{packet:x?}");
    }
}

#[test]
fn a_bus_reset_clears_both_filters_but_the_bit_for_all_nodes() {
    for all in [0, 1 << 31] {
        let mut bench = Bench::on(2);
        bench.write(1, regs::AS_REQ_FILTER_HI_CLEAR, u32::MAX);
        bench.write(1, regs::AS_REQ_FILTER_HI_SET, 0x7654_3210 | all);
        bench.write(1, regs::AS_REQ_FILTER_LO_SET, 0x89ab_cdef);
        bench.write(1, regs::PHY_REQ_FILTER_HI_SET, u32::MAX);
        bench.write(1, regs::PHY_REQ_FILTER_LO_SET, 0x1234_5678);
        let set = 0x7654_3210_89ab_cdef | u64::from(all) << 32;
        assert_eq!(filter(&mut bench, regs::AS_REQ_FILTER_HI_SET), set);
        let set = 0xffff_ffff_1234_5678;
        assert_eq!(filter(&mut bench, regs::PHY_REQ_FILTER_HI_SET), set);
        bench.bus.reset(bench.now);
        bench.settle();
        let left = u64::from(all) << 32;
        assert_eq!(filter(&mut bench, regs::AS_REQ_FILTER_HI_SET), left);
        assert_eq!(filter(&mut bench, regs::PHY_REQ_FILTER_HI_SET), 0);
    }
}
