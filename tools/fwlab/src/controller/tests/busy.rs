//! Receivers that cannot take a packet, and what its sender sees.

use ohci_raw::bus::{Address, Event, Operation, RCode, Token, Transaction};
use ohci_raw::sim::RETRY_INTERVAL;

use super::*;

/// How long a request is tried, with so many retries.
fn patience(retries: u32) -> Duration {
    RETRY_INTERVAL * (retries + 1)
}

/// Machines of which the second has no buffers for requests any more.
fn full(machines: usize) -> Bench {
    let mut bench = Bench::on(machines);
    bench.rebuffer(1, REQUEST, 1, 4);
    for machine in 0..machines {
        bench.events(machine);
    }
    bench
}

fn read(bench: &mut Bench, to: usize, label: u8) -> u32 {
    let to = bench.id(to);
    bench.send(0, REQUEST, &Packet::read_quadlet(to, label, SERVED))
}

#[test]
fn a_request_is_tried_as_often_as_at_retries_says() {
    for retries in [0, 3, RETRIES] {
        let mut bench = full(2);
        // The other fields are about something else.
        bench.write(0, regs::AT_RETRIES, 0xffff_0ff0 | retries);
        let sent = read(&mut bench, 1, 1);
        bench.advance(patience(retries) - Duration::from_nanos(1));
        assert_eq!(bench.event(0, sent), None);
        let active = ContextControl::ACTIVE.bits();
        assert_ne!(bench.control(0, regs::AT_REQUEST) & active, 0);
        assert_eq!(bench.events(0), IntEvent::empty());
        bench.advance(Duration::from_nanos(1));
        let (status, _) = bench.status(0, sent);
        assert_eq!(status, RUNNING | code(EventCode::AckBusyX));
        assert_eq!(bench.events(0), IntEvent::REQ_TX_COMPLETE);
        assert_eq!(bench.control(0, regs::AT_REQUEST) & active, 0);
        // The receiver has forgotten it, and takes the next one.
        bench.add_buffer(1, REQUEST, 64);
        assert_eq!(bench.events(1), IntEvent::empty());
        let sent = read(&mut bench, 1, 2);
        assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
        let packets = bench.packets(1, REQUEST);
        assert_eq!(packets.len(), 1);
        bench.send(1, RESPONSE, &Packet::answer(&packets[0], 0, &[3; 4]));
        let responses = bench.packets(0, RESPONSE);
        let labels: Vec<u8> = responses.iter().map(Incoming::label).collect();
        assert_eq!(labels, [2]);
    }
}

#[test]
fn after_a_soft_reset_nothing_is_tried_again_until_software_says_so() {
    let mut bench = full(2);
    bench.write(0, regs::HC_CONTROL_SET, HcControl::SOFT_RESET.bits());
    let link = HcControl::LPS | HcControl::LINK_ENABLE;
    bench.write(0, regs::HC_CONTROL_SET, link.bits());
    bench.see_to_reset(0);
    let sent = read(&mut bench, 1, 1);
    bench.advance(patience(0) - Duration::from_nanos(1));
    assert_eq!(bench.event(0, sent), None);
    bench.advance(Duration::from_nanos(1));
    assert_eq!(bench.event(0, sent), Some(code(EventCode::AckBusyX)));
}

#[test]
fn a_request_that_is_taken_late_is_pending_and_its_answer_comes() {
    let mut bench = full(2);
    let sent = read(&mut bench, 1, 1);
    bench.advance(patience(RETRIES) - Duration::from_nanos(1));
    bench.add_buffer(1, REQUEST, 64);
    assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
    bench.advance(Duration::from_millis(300));
    let request = bench.packets(1, REQUEST).remove(0);
    bench.send(1, RESPONSE, &Packet::answer(&request, 0, &[3; 4]));
    assert_eq!(bench.packets(0, RESPONSE).len(), 1);
}

#[test]
fn a_context_sends_in_order_and_others_are_not_held_up() {
    let mut bench = full(3);
    let first = read(&mut bench, 1, 1);
    let second = read(&mut bench, 2, 2);
    assert_eq!(bench.event(0, second), None, "it waits behind the first");
    // Neither the hardware that answers itself nor the response context waits.
    let to = bench.id(1);
    let rom = Packet::read_quadlet(to, 3, 0xffff_f000_0400);
    let sent = bench.send(2, REQUEST, &rom);
    assert_eq!(bench.event(2, sent), Some(code(EventCode::AckPending)));
    assert_eq!(bench.packets(2, RESPONSE).len(), 1);
    bench.advance(patience(RETRIES));
    assert_eq!(bench.event(0, first), Some(code(EventCode::AckBusyX)));
    assert_eq!(bench.event(0, second), Some(code(EventCode::AckPending)));
    assert_eq!(bench.packets(2, REQUEST).len(), 1);
}

#[test]
fn a_receive_context_that_does_not_run_is_busy_at_once() {
    let mut bench = Bench::on(2);
    let run = ContextControl::RUN.bits();
    bench.write(1, regs::AR_REQUEST + context::CONTROL_CLEAR, run);
    let sent = read(&mut bench, 1, 1);
    assert_eq!(bench.event(0, sent), Some(code(EventCode::AckBusyX)));
    // Started again, it takes the next one.
    bench.rebuffer(1, REQUEST, 1, 0x100);
    let sent = read(&mut bench, 1, 1);
    assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
}

#[test]
fn requests_that_wait_are_taken_when_a_stopped_context_starts_again() {
    let mut bench = full(2);
    let sent = read(&mut bench, 1, 1);
    bench.rebuffer(1, REQUEST, 1, 0x100);
    assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
    assert_eq!(bench.packets(1, REQUEST).len(), 1);
}

#[test]
fn a_node_has_64_labels_and_the_next_request_waits_for_an_answer() {
    let mut bench = Bench::on(2);
    for label in 0..64 {
        let sent = read(&mut bench, 1, label);
        assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
    }
    let requests = bench.packets(1, REQUEST);
    let next = read(&mut bench, 1, 63);
    assert_eq!(bench.event(0, next), None);
    bench.send(1, RESPONSE, &Packet::answer(&requests[5], 0, &[1; 4]));
    assert_eq!(bench.event(0, next), Some(code(EventCode::AckPending)));
    assert_eq!(bench.packets(1, REQUEST).len(), 1);
}

#[test]
fn labels_of_requests_that_nobody_waits_for_any_more_are_given_anew() {
    let mut bench = Bench::on(2);
    for label in 0..64 {
        read(&mut bench, 1, label);
    }
    bench.packets(1, REQUEST);
    bench.advance(ohci_raw::sim::SPLIT_TIMEOUT);
    let next = read(&mut bench, 1, 7);
    assert_eq!(bench.event(0, next), Some(code(EventCode::AckPending)));
    let request = bench.packets(1, REQUEST).remove(0);
    bench.send(1, RESPONSE, &Packet::answer(&request, 0, &[1; 4]));
    assert_eq!(bench.packets(0, RESPONSE).remove(0).label(), 7);
}

#[test]
fn a_context_that_is_stopped_is_active_until_its_packet_has_ended() {
    let run = ContextControl::RUN.bits();
    let active = ContextControl::ACTIVE.bits();
    for starts_again in [false, true] {
        let mut bench = full(2);
        let sent = read(&mut bench, 1, 1);
        bench.write(0, regs::AT_REQUEST + context::CONTROL_CLEAR, run);
        let control = bench.control(0, regs::AT_REQUEST);
        assert_eq!(control & (run | active), active);
        bench.machines[0].driver.forget_program(REQUEST);
        let next = starts_again.then(|| read(&mut bench, 1, 2));
        bench.add_buffer(1, REQUEST, 0x100);
        assert_eq!(bench.event(0, sent), Some(code(EventCode::AckPending)));
        assert_eq!(bench.control(0, regs::AT_REQUEST) & active, 0);
        let count = if let Some(next) = next {
            assert_eq!(bench.event(0, next), Some(code(EventCode::AckPending)));
            2
        } else {
            1
        };
        assert_eq!(bench.packets(1, REQUEST).len(), count);
    }
}

#[test]
fn hosts_are_told_that_a_controller_is_busy() {
    let mut bench = full(2);
    let host = bench.bus.attach_host(config(7), bench.now);
    bench.settle();
    bench.see_to_reset(1);
    bench.bus.forget_events(host);
    let transaction = Transaction {
        token: Token(1),
        destination: bench.id(1),
        generation: bench.bus.generation(),
        speed: Speed::S400,
        address: Address::new(SERVED),
        operation: Operation::ReadQuadlet,
    };
    bench.bus.send(host, transaction, bench.now);
    bench.settle();
    bench.advance(patience(RETRIES) - Duration::from_nanos(1));
    assert_eq!(bench.bus.poll_event(host), None);
    bench.advance(Duration::from_nanos(1));
    assert_eq!(
        bench.bus.poll_event(host),
        Some(Event::Response {
            token: Token(1),
            rcode: RCode::BUSY,
            data: Vec::new(),
        })
    );
}
