//! The four CSRs of an isochronous resource manager.

use super::*;

/// Where other nodes find them.
const PLACES: [u64; 4] = [
    0xffff_f000_021c,
    0xffff_f000_0220,
    0xffff_f000_0224,
    0xffff_f000_0228,
];
/// What they hold after a reset.
const FRESH: [u32; 4] = [0x3f, 0x1333, u32::MAX, u32::MAX];

/// What another node's packet gets: the rcode, and the quadlet.
fn ask(bench: &mut Bench, packet: &Packet) -> (u32, Vec<u8>) {
    let sent = bench.send(0, REQUEST, packet);
    assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
    let response = bench.packets(0, RESPONSE).remove(0);
    let data = match response.tcode() {
        6 => response.header[3].to_le_bytes().to_vec(),
        _ => response.data.clone(),
    };
    (response.rcode(), data)
}

/// What software gets of its own controller, by a compare-swap.
fn swap(bench: &mut Bench, select: u32, compare: u32, new: u32) -> u32 {
    bench.write(1, regs::CSR_DATA, new);
    bench.write(1, regs::CSR_COMPARE, compare);
    bench.write(1, regs::CSR_CONTROL, select);
    assert_eq!(bench.read(1, regs::CSR_CONTROL), 1 << 31 | select);
    bench.read(1, regs::CSR_DATA)
}

#[test]
fn other_nodes_and_software_swap_the_same_csrs() {
    let mut bench = Bench::on(2);
    let to = bench.id(1);
    for (select, (place, fresh)) in (0..).zip(PLACES.into_iter().zip(FRESH)) {
        let read = Packet::read_quadlet(to, 1, place);
        assert_eq!(ask(&mut bench, &read), (0, fresh.to_be_bytes().to_vec()));
        let wrong = Packet::swap(to, 1, place, fresh ^ 1, 7);
        assert_eq!(ask(&mut bench, &wrong), (0, fresh.to_be_bytes().to_vec()));
        let right = Packet::swap(to, 1, place, fresh, 7);
        assert_eq!(ask(&mut bench, &right), (0, fresh.to_be_bytes().to_vec()));
        assert_eq!(ask(&mut bench, &read), (0, vec![0, 0, 0, 7]));
        assert_eq!(swap(&mut bench, select, fresh, 9), 7);
        assert_eq!(swap(&mut bench, select, 7, 9), 7);
        assert_eq!(ask(&mut bench, &read), (0, vec![0, 0, 0, 9]));
    }
    assert!(
        bench.packets(1, REQUEST).is_empty(),
        "software has seen one"
    );
}

#[test]
fn whatever_else_is_asked_of_them_is_a_type_error() {
    let mut bench = Bench::on(2);
    let to = bench.id(1);
    for packet in [
        Packet::write_quadlet(to, 1, PLACES[0], [0; 4]),
        Packet::write_block(to, 1, PLACES[1], &[0; 4]),
        Packet::read_block(to, 1, PLACES[2], 4),
        Packet::lock(to, 1, PLACES[3], 3, &[0; 4]),
        Packet::lock(to, 1, PLACES[0], 2, &[0; 16]),
        Packet::lock(to, 1, PLACES[0], 2, &[0; 4]),
    ] {
        assert_eq!(ask(&mut bench, &packet), (6, Vec::new()), "{packet:x?}");
    }
    let read = Packet::read_quadlet(to, 1, PLACES[0]);
    assert_eq!(ask(&mut bench, &read), (0, vec![0, 0, 0, 0x3f]));
}

#[test]
fn a_bus_reset_sets_them_to_what_software_wants() {
    let mut bench = Bench::on(2);
    for (select, fresh) in (0..).zip(FRESH) {
        assert_eq!(swap(&mut bench, select, fresh, 1), fresh);
    }
    bench.write(1, regs::INITIAL_BANDWIDTH_AVAILABLE, 0xffff_f123);
    bench.write(1, regs::INITIAL_CHANNELS_AVAILABLE_HI, 0x1234_5678);
    bench.write(1, regs::INITIAL_CHANNELS_AVAILABLE_LO, 0x9abc_def0);
    assert_eq!(swap(&mut bench, 1, 0, 0), 1, "not before the reset");
    bench.bus.reset(bench.now);
    bench.settle();
    for (select, value) in [(0, 0x3f), (1, 0x1123), (2, 0x1234_5678), (3, 0x9abc_def0)] {
        assert_eq!(swap(&mut bench, select, 0, 0), value);
    }
}
