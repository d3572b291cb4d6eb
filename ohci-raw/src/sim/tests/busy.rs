use super::controllers::controller;
use super::*;
use crate::bus::{NodeId, RequestHandle};
use crate::sim::{Fault, Packet, RETRIES, RETRY_INTERVAL, SPLIT_TIMEOUT};

/// How long a packet is tried to be sent.
fn patience(retries: u8) -> core::time::Duration {
    RETRY_INTERVAL * (u32::from(retries) + 1)
}

fn two_controllers() -> (Bus, NodeIndex, NodeIndex) {
    let mut bus = Bus::new(Timing::Immediate);
    let [a, b] = [1, 2].map(|number| controller(&mut bus, number));
    drain(&mut bus, a);
    (bus, a, b)
}

#[test]
fn a_request_that_is_not_taken_ends_as_busy_after_the_last_retry() {
    assert!(patience(RETRIES) < SPLIT_TIMEOUT);
    let (mut bus, a, b) = two_controllers();
    let host = bus.attach_host(config(3, Speed::S400), START);
    for node in [a, b, host] {
        drain(&mut bus, node);
    }
    for (sender, retries) in [(host, RETRIES), (a, RETRIES), (a, 0), (a, 3)] {
        if sender == a {
            bus.set_retries(a, retries);
        }
        let sent = bus.now();
        send(&mut bus, sender, b, MEMORY, Operation::ReadQuadlet);
        let request = asked(&mut bus, b);
        let end = sent + patience(retries);
        assert_eq!(bus.poll_timeout(), Some(end));
        bus.handle_timeout(Instant::from_nanos(end.as_nanos() - 1));
        assert!(bus.is_open(b, request.handle));
        assert!(!bus.has_event(sender));
        bus.handle_timeout(end);
        assert_eq!(ended(&mut bus, sender), (RCode::BUSY, Vec::new()));
        assert!(!bus.is_open(b, request.handle));
        // Now it is too late, and nothing happens of itself any more.
        bus.acknowledge(b, request.handle);
        let late = bus.respond(b, request.handle, Response::data(vec![0; 4]), end);
        assert!(late.is_err());
        assert!(!bus.has_event(sender));
        assert_eq!(bus.poll_timeout(), None);
    }
}

#[test]
fn a_request_that_was_taken_waits_for_its_answer_and_a_controller_is_told() {
    let (mut bus, a, b) = two_controllers();
    send(&mut bus, a, b, MEMORY, Operation::ReadQuadlet);
    let request = asked(&mut bus, b);
    bus.acknowledge(a, request.handle);
    assert!(!bus.has_event(a), "another node's request");
    bus.acknowledge(b, request.handle);
    bus.acknowledge(b, request.handle);
    assert!(bus.has_event(a));
    assert_eq!(bus.poll_event(a), None);
    assert_eq!(bus.poll_acknowledged(a), Some(Token(7)));
    assert_eq!(bus.poll_acknowledged(a), None, "told once");
    assert!(!bus.has_event(a));
    bus.handle_timeout(START + patience(RETRIES));
    assert!(!bus.has_event(a), "there is nothing to try again");
    let response = Response::data(vec![1, 2, 3, 4]);
    let now = bus.now();
    bus.respond(b, request.handle, response, now).unwrap();
    assert_eq!(ended(&mut bus, a), (RCode::COMPLETE, vec![1, 2, 3, 4]));
    assert_eq!(bus.poll_timeout(), None);
}

#[test]
fn hosts_take_every_request() {
    let (mut bus, a, _) = two_controllers();
    let host = bus.attach_host(config(3, Speed::S400), START);
    drain(&mut bus, a);
    drain(&mut bus, host);
    let served = bus.allocate(host, 8).unwrap().start();
    send(&mut bus, a, host, served, Operation::ReadQuadlet);
    assert_eq!(bus.poll_acknowledged(a), Some(Token(7)));
    let request = asked(&mut bus, host);
    assert!(bus.is_awaited(host, request.handle));
    assert!(!bus.is_awaited(a, request.handle));
    bus.handle_timeout(START + SPLIT_TIMEOUT);
    assert!(!bus.is_awaited(host, request.handle));
    assert!(
        bus.is_open(host, request.handle),
        "it may still be answered"
    );
    assert_eq!(rcode(&mut bus, a), RCode::CANCELLED);

    // So does one that nobody looks at.
    let ignore = |_: &Packet<'_>| Fault::Ignore;
    bus.set_fault(Some(Box::new(ignore)));
    send(&mut bus, a, host, served, Operation::ReadQuadlet);
    assert_eq!(bus.poll_acknowledged(a), Some(Token(7)));
    bus.set_fault(None);
    // What ends when it arrives was not pending.
    bus.reset(bus.now());
    drain(&mut bus, a);
    send(&mut bus, a, host, served, write(8));
    assert_eq!(bus.poll_acknowledged(a), None);
    assert_eq!(rcode(&mut bus, a), RCode::COMPLETE);
}

#[test]
fn a_reset_ends_the_retries() {
    let (mut bus, a, b) = two_controllers();
    send(&mut bus, a, b, MEMORY, Operation::ReadQuadlet);
    let request = asked(&mut bus, b);
    bus.reset(START);
    let events = drain(&mut bus, a);
    assert!(matches!(
        events[..],
        [
            Event::Response {
                rcode: RCode::GENERATION,
                ..
            },
            Event::BusReset(_)
        ]
    ));
    assert!(!bus.is_open(b, request.handle));
    assert_eq!(bus.poll_timeout(), None);
}

#[test]
fn what_was_not_told_can_be_forgotten() {
    let (mut bus, a, b) = two_controllers();
    for _ in 0..2 {
        send(&mut bus, a, b, MEMORY, Operation::ReadQuadlet);
        let request = asked(&mut bus, b);
        bus.acknowledge(b, request.handle);
    }
    bus.reset(START);
    for node in [a, b] {
        assert!(bus.has_event(node));
        bus.forget_events(node);
        assert!(!bus.has_event(node));
    }
}

#[test]
fn a_refused_request_ends_with_what_its_link_said() {
    let (mut bus, host, other) = two_hosts(Timing::Immediate);
    let node = controller(&mut bus, 3);
    drain(&mut bus, host);
    drain(&mut bus, other);
    for rcode in [RCode::NO_ACK, RCode::BUSY, RCode::TYPE_ERROR] {
        send(&mut bus, host, node, MEMORY, write(8));
        let request = asked(&mut bus, node);
        // Only its own node can refuse it, and only what there is.
        bus.refuse(other, request.handle, rcode, START);
        bus.refuse(node, RequestHandle(u64::MAX), rcode, START);
        assert!(!bus.has_event(host));
        assert!(bus.is_open(node, request.handle));
        bus.refuse(node, request.handle, rcode, START);
        assert_eq!(ended(&mut bus, host), (rcode, Vec::new()));
        // Once.
        bus.refuse(node, request.handle, rcode, START);
        let late = bus.respond(node, request.handle, Response::COMPLETE, START);
        assert!(late.is_err());
        assert!(!bus.has_event(host));
        assert_eq!(bus.poll_timeout(), None);
    }
}

#[test]
fn a_refusal_that_nobody_waits_for_is_dropped() {
    let (mut bus, a, b) = two_controllers();
    // A broadcast.
    let broadcast = Transaction {
        destination: NodeId::local(63),
        ..transaction(&bus, b, MEMORY, write(8))
    };
    bus.send(a, broadcast, START);
    assert_eq!(rcode(&mut bus, a), RCode::COMPLETE);
    let request = asked(&mut bus, b);
    assert!(!bus.is_awaited(b, request.handle));
    bus.refuse(b, request.handle, RCode::BUSY, START);
    assert!(!bus.has_event(a));
    assert!(!bus.is_open(b, request.handle));
    // From before a reset.
    send(&mut bus, a, b, MEMORY, Operation::ReadQuadlet);
    let request = asked(&mut bus, b);
    bus.reset(START);
    drain(&mut bus, a);
    bus.refuse(b, request.handle, RCode::BUSY, START);
    assert!(!bus.has_event(a));
}
