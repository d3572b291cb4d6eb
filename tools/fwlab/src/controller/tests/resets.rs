//! What a bus reset brings.

use ohci_raw::phy::{PhyPacket, SelfId};
use ohci_raw::regs::node_id;

use super::*;

/// Two machines that have seen to their resets, at a time that is not zero.
fn pair() -> Bench {
    let mut bench = Bench::on(2);
    bench.advance(Duration::from_micros(125 * 7));
    for machine in 0..2 {
        bench.events(machine);
    }
    bench
}

fn reset(bench: &mut Bench) {
    bench.bus.reset(bench.now);
    bench.settle();
}

fn generation(bench: &mut Bench, machine: usize) -> u32 {
    bench.read(machine, regs::SELF_ID_COUNT) >> 16 & 0xff
}

#[test]
fn self_ids_are_in_memory_with_their_complements() {
    let mut bench = pair();
    let before = generation(&mut bench, 0);
    reset(&mut bench);
    let expected: Vec<u32> = bench
        .bus
        .self_ids()
        .iter()
        .flat_map(SelfId::encode)
        .collect();
    assert_eq!(expected.len(), 2);
    for machine in 0..2 {
        let count = bench.read(machine, regs::SELF_ID_COUNT);
        assert_eq!(count >> 31, 0, "no error");
        assert_eq!(count & 0xffff, 4 * (1 + 2 * 2));
        let ram = &bench.machines[machine].ram;
        let head = ram.quadlet(driver::SELF_IDS);
        assert_eq!(head >> 16, count >> 16 & 0xff);
        assert_eq!(head & 0xffff, 7, "the time");
        for (number, packet) in (0..).zip(&expected) {
            let at = driver::SELF_IDS + 4 + 8 * number;
            assert_eq!(ram.quadlet(at), *packet);
            assert_eq!(ram.quadlet(at + 4), !packet);
        }
    }
    assert_eq!(generation(&mut bench, 0), (before + 1) & 0xff);
}

#[test]
fn self_ids_are_not_written_unless_software_wants_them() {
    let mut bench = pair();
    let before = bench.read(0, regs::SELF_ID_COUNT);
    let receive = LinkControl::RCV_SELF_ID.bits();
    bench.write(0, regs::LINK_CONTROL_CLEAR, receive);
    bench.machines[0].ram.take_writes();
    reset(&mut bench);
    assert_eq!(bench.read(0, regs::SELF_ID_COUNT), before);
    let writes = bench.machines[0].ram.take_writes();
    assert!(!writes.contains(&driver::SELF_IDS.into()));
    assert_eq!(bench.events(0), IntEvent::BUS_RESET | IntEvent::RQ_PKT);
}

#[test]
fn a_buffer_of_self_ids_that_is_nowhere_is_an_error() {
    let mut bench = pair();
    bench.write(0, regs::SELF_ID_BUFFER, u32::MAX);
    assert_eq!(bench.read(0, regs::SELF_ID_BUFFER), 0xffff_f800);
    reset(&mut bench);
    let count = bench.read(0, regs::SELF_ID_COUNT);
    assert_eq!(count >> 31, 1);
    assert!(bench.events(0).contains(IntEvent::SELF_ID_COMPLETE));
}

#[test]
fn the_generation_counts_resets_and_wraps() {
    let mut bench = pair();
    let first = generation(&mut bench, 1);
    for number in 1..=260 {
        reset(&mut bench);
        let now = generation(&mut bench, 1);
        assert_eq!(now, (first + number) & 0xff);
        // There must be room for the packets that tell of resets.
        bench.add_buffer(1, REQUEST, 0x40);
        let told = bench.packets(1, REQUEST);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].header[2], now << 16);
    }
}

#[test]
fn moved_cables_count_as_two_resets() {
    let mut bench = Bench::on(3);
    let before = generation(&mut bench, 0);
    reset(&mut bench);
    assert!(!bench.bus.is_recabled());
    assert_eq!(generation(&mut bench, 0), before + 1);
    let [first, second] = [1, 0].map(|machine| bench.machines[machine].node);
    bench.bus.set_phy_order(&[first, second]);
    reset(&mut bench);
    assert!(bench.bus.is_recabled());
    assert_eq!(generation(&mut bench, 0), before + 3);
}

#[test]
fn software_is_told_by_events_and_by_a_packet() {
    let mut bench = pair();
    reset(&mut bench);
    let now = generation(&mut bench, 1);
    let told = bench.packets(1, REQUEST);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].header, [0xe0, 0, now << 16]);
    assert_eq!(told[0].status, RUNNING | code(EventCode::BusReset));
    assert_eq!(told[0].stamp, 7);
    let events = IntEvent::BUS_RESET
        | IntEvent::SELF_ID_COMPLETE
        | IntEvent::SELF_ID_COMPLETE2
        | IntEvent::RQ_PKT;
    assert_eq!(bench.events(1), events);
    assert!(bench.packets(1, RESPONSE).is_empty());
}

#[test]
fn what_comes_after_a_reset_is_received_after_its_packet() {
    let mut bench = pair();
    bench.rebuffer(1, REQUEST, 1, 4);
    reset(&mut bench);
    bench.see_to_reset(0);
    let to = bench.id(1);
    let packet = Packet::read_quadlet(to, 1, SERVED);
    let sent = bench.send(0, REQUEST, &packet);
    // There is room, but software has not said so yet.
    bench.machines[1].driver.add_buffer(REQUEST, 64);
    bench.write(1, regs::INT_EVENT_CLEAR, u32::MAX);
    assert_eq!(bench.event(0, sent), None);
    bench.add_buffer(1, REQUEST, 64);
    let tcodes: Vec<u8> = bench
        .packets(1, REQUEST)
        .iter()
        .map(Incoming::tcode)
        .collect();
    assert_eq!(tcodes, [0xe, 4]);
}

#[test]
fn the_id_is_invalid_from_the_reset_to_the_end_of_the_self_identification() {
    let mut bench = pair();
    for machine in 0..2 {
        let id = bench.read(machine, regs::NODE_ID);
        let root = if machine == 1 { node_id::ROOT } else { 0 };
        let expected = node_id::ID_VALID | root | node_id::CABLE_POWER | 0xffc0 | machine as u32;
        assert_eq!(id, expected);
    }
    bench.bus.rotate_ids();
    bench.bus.reset(bench.now);
    // The controllers do not know of it yet.
    for machine in 0..2 {
        let id = bench.read(machine, regs::NODE_ID);
        assert_eq!(id & node_id::ID_VALID, 0);
    }
    bench.settle();
    let id = bench.read(0, regs::NODE_ID);
    let root = node_id::ID_VALID | node_id::ROOT | node_id::CABLE_POWER;
    assert_eq!(id, root | 0xffc1);
    // Nothing written changes it.
    bench.write(0, regs::NODE_ID, 0);
    assert_eq!(bench.read(0, regs::NODE_ID), id);
}

#[test]
fn nothing_is_sent_before_the_event_is_cleared() {
    let mut bench = pair();
    reset(&mut bench);
    bench.packets(1, REQUEST);
    let to = bench.id(1);
    let sent = bench.send(0, REQUEST, &Packet::read_quadlet(to, 1, SERVED));
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.event(0, sent), None);
    assert!(bench.packets(1, REQUEST).is_empty());
    // Other events may be.
    let others = !IntEvent::BUS_RESET.bits();
    bench.write(0, regs::INT_EVENT_CLEAR, others);
    assert_eq!(bench.event(0, sent), None);
    // What was received is still answered by the hardware.
    bench.see_to_reset(1);
    let to = bench.id(0);
    let rom = Packet::read_quadlet(to, 2, 0xffff_f000_0400);
    bench.send(1, REQUEST, &rom);
    assert_eq!(bench.packets(1, RESPONSE).len(), 1);

    let reset = IntEvent::BUS_RESET.bits();
    bench.write(0, regs::INT_EVENT_CLEAR, reset);
    assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
    assert_eq!(bench.packets(1, REQUEST).len(), 1);
}

#[test]
fn a_packet_under_way_is_flushed_and_its_answer_is_lost() {
    let mut bench = pair();
    let to = bench.id(1);
    let answered = bench.send(0, REQUEST, &Packet::read_quadlet(to, 1, SERVED));
    let request = bench.packets(1, REQUEST).remove(0);
    bench.rebuffer(1, REQUEST, 1, 0x20);
    let sent = bench.send(0, REQUEST, &Packet::read_quadlet(to, 2, SERVED));
    let waiting = bench.send(0, REQUEST, &Packet::read_quadlet(to, 3, SERVED));
    // 16 of 32 bytes are used: no room for another one.
    assert_eq!(bench.event(0, answered), Some(code(EventCode::AckPending)));
    assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
    assert_eq!(bench.event(0, waiting), Some(code(EventCode::AckPending)));
    let full = bench.send(0, REQUEST, &Packet::read_quadlet(to, 4, SERVED));
    let behind = bench.send(0, REQUEST, &Packet::read_quadlet(to, 5, SERVED));
    assert_eq!(bench.event(0, full), None);
    reset(&mut bench);
    let (status, _) = bench.status(0, full);
    assert_eq!(status, RUNNING | code(EventCode::Flushed));
    let events = IntEvent::from_bits_truncate(bench.read(0, regs::INT_EVENT_SET));
    assert!(events.contains(IntEvent::REQ_TX_COMPLETE | IntEvent::BUS_RESET));
    assert_eq!(bench.event(0, behind), None, "it was never sent");

    // The receiver forgets it, and an answer from before the reset goes nowhere.
    bench.add_buffer(1, REQUEST, 0x100);
    let told = bench.packets(1, REQUEST);
    let tcodes: Vec<u8> = told.iter().map(Incoming::tcode).collect();
    assert_eq!(tcodes, [4, 4, 0xe]);
    for machine in 0..2 {
        bench.see_to_reset(machine);
    }
    // Not even to a new one.
    bench.send(0, REQUEST, &Packet::read_quadlet(to, 6, SERVED));
    let new = bench.packets(1, REQUEST).remove(0);
    let sent = bench.send(1, RESPONSE, &Packet::answer(&request, 0, &[1; 4]));
    assert_eq!(bench.event(1, sent), Some(code(EventCode::AckComplete)));
    assert!(bench.packets(0, RESPONSE).is_empty());
    bench.send(1, RESPONSE, &Packet::answer(&new, 0, &[2; 4]));
    let response = bench.packets(0, RESPONSE).remove(0);
    assert_eq!(response.header[3].to_le_bytes(), [2; 4]);
}

#[test]
fn a_link_that_goes_off_leaves_the_bus_and_comes_back() {
    let mut bench = pair();
    let link = HcControl::LINK_ENABLE.bits();
    bench.write(0, regs::HC_CONTROL_CLEAR, link);
    let node = bench.machines[0].node;
    assert!(!bench.bus.is_attached(node));
    assert_eq!(bench.read(0, regs::NODE_ID) & node_id::ID_VALID, 0);
    bench.see_to_reset(1);
    let sent = bench.send(1, REQUEST, &Packet::read_quadlet(NodeId::local(1), 1, 0));
    assert_eq!(bench.event(1, sent), Some(code(EventCode::MissingAck)));
    bench.write(0, regs::HC_CONTROL_SET, link);
    assert!(bench.bus.is_attached(node));
    assert_ne!(bench.read(0, regs::NODE_ID) & node_id::ID_VALID, 0);
}

#[test]
fn a_soft_reset_puts_everything_back_and_clears_itself() {
    let mut bench = pair();
    let count = bench.bus.counters().resets;
    bench.write(0, regs::HC_CONTROL_SET, HcControl::SOFT_RESET.bits());
    let program_phy = HcControl::PROGRAM_PHY_ENABLE.bits();
    assert_eq!(bench.read(0, regs::HC_CONTROL_SET), program_phy);
    assert_eq!(bench.read(0, regs::INT_EVENT_SET), 0);
    assert_eq!(bench.read(0, regs::AT_RETRIES), 0);
    assert_eq!(bench.read(0, regs::AS_REQ_FILTER_HI_SET), 0);
    assert_eq!(bench.control(0, regs::AR_REQUEST), 0);
    assert_eq!(bench.bus.counters().resets, count + 1);
    assert!(!bench.bus.is_attached(bench.machines[0].node));
    // Again, as a machine does that has just connected: there is no bus to leave.
    let Bench {
        bus, now, machines, ..
    } = &mut bench;
    machines[0].controller.power_off(bus, *now);
    assert_eq!(bench.bus.counters().resets, count + 1);
    bench.machines[0].driver = Driver::new(Arc::clone(&bench.machines[0].ram));
    bench.start(0);
    assert!(bench.bus.is_attached(bench.machines[0].node));
    assert_ne!(bench.read(0, regs::NODE_ID) & node_id::ID_VALID, 0);
}

#[test]
fn phy_packets_make_another_node_root() {
    let mut bench = pair();
    assert_eq!(bench.read(1, regs::NODE_ID) & node_id::ROOT, node_id::ROOT);
    let configuration = PhyPacket::Configuration {
        root: Some(0),
        gap_count: Some(9),
    };
    let sent = bench.send(1, REQUEST, &Packet::phy(configuration.encode()));
    assert_eq!(bench.event(1, sent), Some(code(EventCode::AckComplete)));
    reset(&mut bench);
    assert_eq!(bench.read(0, regs::NODE_ID) & node_id::ROOT, node_id::ROOT);
    assert_eq!(bench.read(1, regs::NODE_ID) & node_id::ROOT, 0);
    assert_eq!(bench.bus.gap_count(), 9);
}
