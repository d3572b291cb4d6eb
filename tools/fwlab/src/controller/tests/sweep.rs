//! Every offset, and what can be written there.

use std::collections::BTreeSet;

use super::*;

/// What is written.
const VALUES: [u32; 9] = [
    0,
    u32::MAX,
    0x5555_5555,
    0xaaaa_aaaa,
    0x0000_0001,
    0x8000_0000,
    0x0000_9000,
    0xdead_beef,
    0x0001_0002,
];
/// As far as a machine can reach.
const BAR: u32 = 0x1000;

/// The offsets at which there is something.
fn defined() -> BTreeSet<u32> {
    let context = |base: u32| {
        [
            context::CONTROL_SET,
            context::CONTROL_CLEAR,
            context::COMMAND_PTR,
        ]
        .map(|at| base + at)
    };
    let single = [
        regs::VERSION,
        regs::AT_RETRIES,
        regs::CSR_DATA,
        regs::CSR_COMPARE,
        regs::CSR_CONTROL,
        regs::CONFIG_ROM_HEADER,
        regs::BUS_ID,
        regs::BUS_OPTIONS,
        regs::GUID_HI,
        regs::GUID_LO,
        regs::CONFIG_ROM_MAP,
        regs::POSTED_WRITE_ADDRESS_LO,
        regs::POSTED_WRITE_ADDRESS_HI,
        regs::SELF_ID_BUFFER,
        regs::SELF_ID_COUNT,
        regs::INITIAL_BANDWIDTH_AVAILABLE,
        regs::INITIAL_CHANNELS_AVAILABLE_HI,
        regs::INITIAL_CHANNELS_AVAILABLE_LO,
        regs::FAIRNESS_CONTROL,
        regs::NODE_ID,
        regs::PHY_CONTROL,
        regs::ISOCHRONOUS_CYCLE_TIMER,
        regs::PHY_UPPER_BOUND,
    ];
    let pairs = [
        regs::HC_CONTROL_SET,
        regs::IR_MULTI_CHAN_MASK_HI_SET,
        regs::IR_MULTI_CHAN_MASK_HI_SET + 8,
        regs::INT_EVENT_SET,
        regs::INT_MASK_SET,
        regs::ISO_XMIT_INT_MASK_SET,
        regs::ISO_RECV_INT_MASK_SET,
        regs::LINK_CONTROL_SET,
        regs::AS_REQ_FILTER_HI_SET,
        regs::AS_REQ_FILTER_LO_SET,
        regs::PHY_REQ_FILTER_HI_SET,
        regs::PHY_REQ_FILTER_LO_SET,
    ];
    let asynchronous = driver::TRANSMIT.into_iter().chain(driver::RECEIVE);
    let transmit = (0..4).map(|number| regs::ISO_XMIT + 0x10 * number);
    let receive = (0..4).map(|number| regs::ISO_RECV + 0x20 * number);
    let isochronous = transmit.chain(receive).flat_map(|base| [base, base + 4]);
    single
        .into_iter()
        .chain(pairs.into_iter().flat_map(|at| [at, at + 4]))
        .chain(asynchronous.flat_map(context))
        .chain(isochronous)
        .collect()
}

#[test]
fn every_offset_takes_every_value_and_what_is_reserved_stays_zero() {
    let mut bench = Bench::on(3);
    let defined = defined();
    for value in VALUES {
        for offset in 0..BAR + 0x100 {
            bench.write(0, offset, value);
            let read = bench.read(0, offset);
            if !defined.contains(&offset) {
                assert_eq!(read, 0, "{offset:#x} after {value:#x}");
            }
            bench.advance(Duration::from_micros(10));
        }
        // Its neighbours live on.
        for machine in 1..3 {
            bench.see_to_reset(machine);
            bench.packets(machine, REQUEST);
            bench.rebuffer(machine, REQUEST, 4, 0x100);
        }
        let to = bench.id(2);
        let packet = Packet::read_quadlet(to, 1, 0xffff_f000_0404);
        bench.send(1, REQUEST, &packet);
        let response = bench.packets(1, RESPONSE).remove(0);
        assert_eq!(response.header[3].to_le_bytes(), *b"1394");
    }
    // And so does it, after a reset.
    bench.machines[0].driver = Driver::new(Arc::clone(&bench.machines[0].ram));
    bench.start(0);
    for machine in 0..3 {
        bench.see_to_reset(machine);
        bench.packets(machine, REQUEST);
    }
    let to = bench.id(1);
    let sent = bench.send(0, REQUEST, &Packet::read_quadlet(to, 1, SERVED));
    assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
}

#[test]
fn registers_that_only_tell_are_not_written() {
    let mut bench = Bench::on(1);
    for offset in [
        regs::VERSION,
        regs::BUS_ID,
        regs::GUID_HI,
        regs::GUID_LO,
        regs::POSTED_WRITE_ADDRESS_LO,
        regs::POSTED_WRITE_ADDRESS_HI,
        regs::SELF_ID_COUNT,
        regs::NODE_ID,
    ] {
        let before = bench.read(0, offset);
        for value in VALUES {
            bench.write(0, offset, value);
            assert_eq!(bench.read(0, offset), before, "{offset:#x}");
        }
    }
}

#[test]
fn reserved_bits_of_registers_stay_zero() {
    let mut bench = Bench::off(1);
    for (offset, bits) in [
        (regs::AT_RETRIES, 0xffff_0fff),
        (regs::CONFIG_ROM_MAP, 0xffff_fc00),
        (regs::SELF_ID_BUFFER, 0xffff_f800),
        (regs::INITIAL_BANDWIDTH_AVAILABLE, 0x1fff),
        (regs::FAIRNESS_CONTROL, 0xff),
        (regs::INT_MASK_SET, IntEvent::all().bits()),
        (regs::LINK_CONTROL_SET, LinkControl::all().bits()),
        (regs::ISO_XMIT_INT_MASK_SET, 0xf),
        (regs::ISO_RECV_INT_MASK_SET, 0xf),
    ] {
        bench.write(0, offset, u32::MAX);
        assert_eq!(bench.read(0, offset), bits, "{offset:#x}");
    }
    let master = IntEvent::MASTER_INT_ENABLE.bits();
    bench.write(0, regs::INT_EVENT_SET, u32::MAX);
    let events = IntEvent::all().bits() & !master;
    assert_eq!(bench.read(0, regs::INT_EVENT_SET), events);
}
