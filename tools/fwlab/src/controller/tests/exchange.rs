//! Requests and responses between two controllers.

use super::*;

const STAMP: u16 = 3 << 13 | 5;

/// Two machines at a time that is not zero, with all events cleared.
fn pair() -> Bench {
    let mut bench = Bench::on(2);
    bench.advance(Duration::from_micros(3_000_000 + 5 * 125));
    for machine in 0..2 {
        bench.events(machine);
    }
    bench
}

/// The one request that the machine has got.
fn asked(bench: &mut Bench, machine: usize) -> Incoming {
    let mut packets = bench.packets(machine, REQUEST);
    assert_eq!(packets.len(), 1, "{packets:x?}");
    packets.remove(0)
}

fn answered(bench: &mut Bench, machine: usize) -> Incoming {
    let mut packets = bench.packets(machine, RESPONSE);
    assert_eq!(packets.len(), 1, "{packets:x?}");
    packets.remove(0)
}

/// Machine 0 sends; machine 1's software sees it and answers with `rcode` and `data`.
fn exchange(bench: &mut Bench, packet: &Packet, rcode: u32, data: &[u8]) -> (Incoming, Incoming) {
    let sent = bench.send(0, REQUEST, packet);
    let (status, stamp) = bench.status(0, sent);
    assert_eq!(status, RUNNING | code(EventCode::AckPending));
    assert_eq!(stamp, STAMP);
    assert_eq!(bench.events(0), IntEvent::REQ_TX_COMPLETE);
    assert_eq!(bench.events(1), IntEvent::RQ_PKT);

    let request = asked(bench, 1);
    assert_eq!(request.destination(), bench.id(1));
    assert_eq!(request.source(), bench.id(0));
    assert_eq!(
        request.status,
        RUNNING | 2 << 5 | code(EventCode::AckPending)
    );
    assert_eq!(request.stamp, STAMP);
    assert!(bench.packets(0, RESPONSE).is_empty());

    let answer = Packet::answer(&request, rcode, data);
    let sent = bench.send(1, RESPONSE, &answer);
    let done = RUNNING | code(EventCode::AckComplete);
    assert_eq!(bench.status(1, sent), (done, STAMP));
    assert_eq!(bench.events(1), IntEvent::RESP_TX_COMPLETE);
    assert_eq!(bench.events(0), IntEvent::RS_PKT);
    let response = answered(bench, 0);
    assert_eq!(response.destination(), bench.id(0));
    assert_eq!(response.source(), bench.id(1));
    assert_eq!(response.rcode(), rcode);
    assert_eq!(
        response.status,
        RUNNING | 2 << 5 | code(EventCode::AckComplete)
    );
    (request, response)
}

#[test]
fn every_kind_of_request_reaches_software_and_its_answer_comes_back() {
    let mut bench = pair();
    let to = bench.id(1);
    let block: Vec<u8> = (0..2045).map(|byte| byte as u8).collect();

    let packet = Packet::read_quadlet(to, 9, SERVED);
    let (request, response) = exchange(&mut bench, &packet, 0, &[1, 2, 3, 4]);
    assert_eq!((request.tcode(), request.address()), (4, SERVED));
    assert_eq!((response.tcode(), response.label()), (6, 9));
    assert_eq!(response.header[3].to_le_bytes(), [1, 2, 3, 4]);

    let packet = Packet::read_block(to, 63, SERVED + 4, 2045);
    let (request, response) = exchange(&mut bench, &packet, 0, &block);
    assert_eq!((request.tcode(), request.address()), (5, SERVED + 4));
    assert_eq!(request.header[3] >> 16, 2045);
    assert_eq!((response.tcode(), response.label()), (7, 63));
    assert_eq!(response.data, block);

    let packet = Packet::write_quadlet(to, 0, SERVED, [5, 6, 7, 8]);
    let (request, response) = exchange(&mut bench, &packet, 0, &[]);
    assert_eq!((request.tcode(), request.address()), (0, SERVED));
    assert_eq!(request.header[3].to_le_bytes(), [5, 6, 7, 8]);
    assert_eq!((response.tcode(), response.label()), (2, 0));

    let packet = Packet::write_block(to, 1, SERVED, &block);
    let (request, response) = exchange(&mut bench, &packet, 0, &[]);
    assert_eq!((request.tcode(), &request.data), (1, &block));
    assert_eq!((response.tcode(), response.label()), (2, 1));

    let packet = Packet::lock(to, 2, SERVED, 3, &[0, 0, 0, 1]);
    let (request, response) = exchange(&mut bench, &packet, 0, &[0, 0, 0, 7]);
    assert_eq!((request.tcode(), request.header[3]), (9, 4 << 16 | 3));
    assert_eq!(request.data, [0, 0, 0, 1]);
    assert_eq!((response.tcode(), response.header[3]), (11, 4 << 16 | 3));
    assert_eq!(response.data, [0, 0, 0, 7]);
}

#[test]
fn an_error_comes_back_without_data() {
    let mut bench = pair();
    let to = bench.id(1);
    for rcode in [4, 5, 6, 7] {
        let packet = Packet::read_block(to, 3, SERVED, 64);
        let (_, response) = exchange(&mut bench, &packet, rcode, &[]);
        assert_eq!((response.tcode(), response.data.len()), (7, 0));
    }
}

#[test]
fn answers_may_come_in_another_order_and_under_the_labels_of_their_requests() {
    let mut bench = pair();
    let to = bench.id(1);
    for label in 0..64 {
        bench.send(0, REQUEST, &Packet::read_quadlet(to, label, SERVED));
    }
    let requests = bench.packets(1, REQUEST);
    assert_eq!(requests.len(), 64);
    for (number, request) in requests.iter().enumerate().rev() {
        let data = [number as u8; 4];
        bench.send(1, RESPONSE, &Packet::answer(request, 0, &data));
    }
    let responses = bench.packets(0, RESPONSE);
    let labels: Vec<u8> = responses.iter().map(Incoming::label).collect();
    assert!(labels.iter().copied().eq((0..64).rev()));
    for response in &responses {
        let data = response.header[3].to_le_bytes();
        assert_eq!(data, [response.label(); 4]);
    }
    // An answer that nobody asked for is acknowledged, and goes nowhere.
    let sent = bench.send(1, RESPONSE, &Packet::answer(&requests[0], 0, &[1; 4]));
    assert_eq!(bench.event(1, sent), Some(code(EventCode::AckComplete)));
    assert!(bench.packets(0, RESPONSE).is_empty());
}

#[test]
fn a_request_to_nobody_is_not_acknowledged() {
    let mut bench = pair();
    let sent = bench.send(0, REQUEST, &Packet::read_quadlet(NodeId::local(9), 1, 0));
    assert_eq!(bench.event(0, sent), Some(code(EventCode::MissingAck)));
    assert_eq!(bench.events(0), IntEvent::REQ_TX_COMPLETE);
    assert!(bench.packets(0, RESPONSE).is_empty());
}

#[test]
fn a_posted_write_is_done_when_it_is_acknowledged() {
    let mut bench = pair();
    let to = bench.id(1);
    let post = HcControl::POSTED_WRITE_ENABLE.bits();
    bench.write(1, regs::HC_CONTROL_SET, post);
    let packet = Packet::write_quadlet(to, 1, POSTED, [1; 4]);
    let sent = bench.send(0, REQUEST, &packet);
    assert_eq!(bench.event(0, sent), Some(code(EventCode::AckComplete)));
    let request = asked(&mut bench, 1);
    assert_eq!(request.event(), code(EventCode::AckComplete));
    assert!(bench.packets(0, RESPONSE).is_empty());
    // Reads are not, nor are writes to the registers of the node.
    for packet in [
        Packet::read_quadlet(to, 1, POSTED),
        Packet::write_quadlet(to, 1, SERVED, [1; 4]),
    ] {
        let sent = bench.send(0, REQUEST, &packet);
        assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
    }
}

#[test]
fn a_program_goes_on_where_it_was_appended_to() {
    let mut bench = pair();
    let to = bench.id(1);
    // Three blocks before the context is told of any.
    let packets = [1, 2, 3].map(|label| Packet::read_quadlet(to, label, SERVED));
    let driver = &mut bench.machines[0].driver;
    let blocks = packets.map(|packet| driver.block(&packet));
    assert!(!driver.append(REQUEST, blocks[0]));
    assert!(driver.append(REQUEST, blocks[1]));
    let start = blocks[0].start | blocks[0].z;
    bench.write(0, regs::AT_REQUEST + context::COMMAND_PTR, start);
    let run = ContextControl::RUN.bits();
    bench.write(0, regs::AT_REQUEST + context::CONTROL_SET, run);
    assert_eq!(bench.packets(1, REQUEST).len(), 2);
    bench.append(0, REQUEST, blocks[2]);
    for block in blocks {
        assert_eq!(
            bench.event(0, block.last),
            Some(code(EventCode::AckPending))
        );
    }
    assert_eq!(bench.packets(1, REQUEST).len(), 1);
    let control = bench.read(0, regs::AT_REQUEST + context::CONTROL_SET);
    assert_eq!(control, run | u32::from(code(EventCode::AckPending)));
}

#[test]
fn interrupts_are_as_the_descriptor_and_the_mask_say() {
    let mut bench = pair();
    let to = bench.id(1);
    let mask = IntEvent::REQ_TX_COMPLETE | IntEvent::RQ_PKT | IntEvent::MASTER_INT_ENABLE;
    bench.write(0, regs::INT_MASK_SET, mask.bits());
    bench.write(1, regs::INT_MASK_SET, IntEvent::RQ_PKT.bits());
    bench.send(0, REQUEST, &Packet::read_quadlet(to, 1, SERVED));
    let expected = IntEvent::REQ_TX_COMPLETE.bits();
    assert_eq!(bench.machines[0].controller.pending(), expected);
    assert_eq!(bench.read(0, regs::INT_EVENT_CLEAR), expected);
    assert_eq!(bench.machines[1].controller.pending(), 0, "master is off");
    let master = IntEvent::MASTER_INT_ENABLE.bits();
    bench.write(1, regs::INT_MASK_SET, master);
    let expected = IntEvent::RQ_PKT.bits();
    assert_eq!(bench.machines[1].controller.pending(), expected);
    bench.write(1, regs::INT_EVENT_CLEAR, expected);
    assert_eq!(bench.machines[1].controller.pending(), 0);
    bench.events(0);

    // Without an interrupt, and with one only where something is wrong.
    for (control, to, expected) in [
        (0x120c_u32, to, IntEvent::empty()),
        (0x121c, to, IntEvent::empty()),
        (0x121c, NodeId::local(9), IntEvent::REQ_TX_COMPLETE),
    ] {
        let packet = Packet::read_quadlet(to, 2, SERVED);
        let block = bench.machines[0].driver.block(&packet);
        let ram = &bench.machines[0].ram;
        ram.put_quadlets(block.start, &[control << 16 | 12]);
        bench.append(0, REQUEST, block);
        assert_eq!(bench.events(0), expected, "{control:#x}");
        assert!(bench.event(0, block.last).is_some());
    }
}

#[test]
fn a_packet_that_is_none_ends_with_its_event_and_the_context_goes_on() {
    let mut bench = pair();
    let to = bench.id(1);
    let mut wrong = Packet::read_quadlet(to, 1, SERVED);
    wrong.header[0] |= 0xf << 4;
    let sent = bench.send(0, REQUEST, &wrong);
    assert_eq!(bench.event(0, sent), Some(code(EventCode::TcodeError)));
    // A response has no place in the context for requests.
    let request = Incoming {
        header: vec![4 << 4, u32::from(to.0) << 16, 0],
        data: Vec::new(),
        status: 0,
        stamp: 0,
    };
    let sent = bench.send(0, REQUEST, &Packet::answer(&request, 0, &[0; 4]));
    assert_eq!(bench.event(0, sent), Some(code(EventCode::TcodeError)));
    // Data that is nowhere.
    let packet = Packet::write_block(to, 1, SERVED, &[1; 8]);
    let block = bench.machines[0].driver.block(&packet);
    let ram = &bench.machines[0].ram;
    ram.put_quadlets(block.last + 4, &[0xffff_0000]);
    bench.append(0, REQUEST, block);
    assert_eq!(bench.event(0, block.last), Some(code(EventCode::DataRead)));
    let sent = bench.send(0, REQUEST, &Packet::read_quadlet(to, 1, SERVED));
    assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
    assert_eq!(bench.packets(1, REQUEST).len(), 1);
}
