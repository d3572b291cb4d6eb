//! The PHY's registers, through PhyControl.

use ohci_raw::phy::register;

use super::*;

#[test]
fn registers_are_read_and_written() {
    let mut bench = Bench::on(2);
    let root = bench.phy_read(1, register::PHYSICAL_ID);
    let expected = 1 << 2 | register::ROOT | register::CABLE_POWER;
    assert_eq!(root, expected);
    let ports = bench.phy_read(0, register::PORTS);
    assert_eq!(ports & register::EXTENDED, register::EXTENDED);
    assert_eq!(bench.phy_read(0, register::SPEED), 0x40);
    let link = register::LINK_ACTIVE | register::CONTENDER;
    bench.phy_write(0, register::LINK, link);
    assert_eq!(bench.phy_read(0, register::LINK), link);
    bench.phy_write(0, register::SELECT, register::PAGE_MAKER << 5);
    let level = bench.phy_read(0, register::PAGED);
    assert_eq!(level, register::COMPLIANCE_1394A);
    // A write is done at once, and a read says what it has read.
    bench.write(0, regs::PHY_CONTROL, phy_control::WRITE | 7 << 8);
    let control = bench.read(0, regs::PHY_CONTROL);
    assert_eq!(control & phy_control::WRITE, 0);
    bench.write(0, regs::PHY_CONTROL, phy_control::READ | 2 << 8);
    let control = bench.read(0, regs::PHY_CONTROL);
    assert_eq!(control >> 24, 0x82);
    assert_eq!(control & phy_control::READ, 0);
}

#[test]
fn what_the_phy_says_of_itself_counts_from_the_next_reset_on() {
    let mut bench = Bench::on(2);
    let contender = |bench: &Bench| bench.bus.self_ids()[0].contender;
    let link = register::LINK_ACTIVE | register::CONTENDER;
    bench.phy_write(0, register::LINK, link);
    assert!(!contender(&bench));
    bench.phy_write(0, register::EVENTS_AND_ENABLES, register::SHORT_RESET);
    assert!(contender(&bench));
}

#[test]
fn both_kinds_of_reset_reset_the_bus_for_everybody() {
    let mut bench = Bench::on(2);
    for (address, data) in [
        (register::RESET_AND_GAP, register::LONG_RESET),
        (register::EVENTS_AND_ENABLES, register::SHORT_RESET),
    ] {
        for machine in 0..2 {
            bench.see_to_reset(machine);
        }
        let count = bench.bus.counters().resets;
        bench.phy_write(0, address, data);
        assert_eq!(bench.bus.counters().resets, count + 1);
        assert!(bench.bus.self_ids()[0].initiated_reset);
        for machine in 0..2 {
            let events = bench.events(machine);
            assert!(events.contains(IntEvent::BUS_RESET));
        }
        assert_eq!(bench.phy_read(0, address) & data, 0, "it is over");
    }
}

#[test]
fn who_holds_off_is_root_after_the_next_reset() {
    let mut bench = Bench::on(2);
    let value = register::ROOT_HOLD_OFF | register::LONG_RESET;
    bench.phy_write(0, register::RESET_AND_GAP, value);
    let is_root = |bench: &mut Bench, machine| {
        bench.phy_read(machine, register::PHYSICAL_ID) & register::ROOT != 0
    };
    assert!(is_root(&mut bench, 0));
    assert!(!is_root(&mut bench, 1));
}

#[test]
fn a_phy_without_power_for_its_interface_is_not_reached() {
    let mut bench = Bench::off(1);
    bench.write(0, regs::PHY_CONTROL, phy_control::READ | 2 << 8);
    assert_eq!(bench.read(0, regs::PHY_CONTROL), 0);
    let events = IntEvent::from_bits_truncate(bench.read(0, regs::INT_EVENT_SET));
    assert!(events.contains(IntEvent::REG_ACCESS_FAIL));
    bench.write(0, regs::HC_CONTROL_SET, HcControl::LPS.bits());
    assert_ne!(bench.phy_read(0, register::PORTS), 0);
    // Its own reset, without a cable.
    bench.phy_write(0, register::EVENTS_AND_ENABLES, register::SHORT_RESET);
    assert_eq!(bench.bus.counters().resets, 0);
    assert!(bench.events(0).contains(IntEvent::BUS_RESET));
}
