use core::time::Duration;

use super::*;
use crate::bus::{LockKind, NodeId, RequestHandle};
use crate::sim::{RespondError, SPLIT_TIMEOUT, TRANSACTION_LABELS};

#[test]
fn what_a_machine_was_written_is_read_back() {
    let (mut bus, host, memory) = host_and_memory();
    let data = vec![1, 2, 3, 4, 5, 6, 7, 8];
    let written = Operation::WriteBlock { data: data.clone() };
    send(&mut bus, host, memory, MEMORY, written);
    assert_eq!(ended(&mut bus, host), (RCode::COMPLETE, vec![]));
    send(
        &mut bus,
        host,
        memory,
        MEMORY,
        Operation::ReadBlock { length: 8 },
    );
    assert_eq!(ended(&mut bus, host), (RCode::COMPLETE, data));
    send(&mut bus, host, memory, MEMORY, Operation::ReadQuadlet);
    assert_eq!(ended(&mut bus, host), (RCode::COMPLETE, vec![1, 2, 3, 4]));
    assert_eq!(bus.counters().packets, 6);
    assert_eq!(bus.counters().bytes, 8 + 8 + 4);
}

#[test]
fn a_request_tells_who_asks_in_which_generation() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let range = bus.allocate(b, 64).unwrap();
    send(&mut bus, a, b, range.start(), Operation::ReadQuadlet);
    let request = asked(&mut bus, b);
    assert_eq!(Some(request.source), bus.id_of(a));
    assert_eq!(request.generation, bus.generation());
    assert_eq!(request.address, range.start());
    assert_eq!(request.operation, Operation::ReadQuadlet);
    assert_eq!(bus.poll_event(a), None);
    let response = Response::data(vec![1, 2, 3, 4]);
    assert_eq!(bus.respond(b, request.handle, response, START), Ok(()));
    assert_eq!(ended(&mut bus, a), (RCode::COMPLETE, vec![1, 2, 3, 4]));
}

#[test]
fn packets_between_two_nodes_keep_their_order() {
    for timing in [Timing::Immediate, Timing::Wire] {
        let (mut bus, a, b) = two_hosts(timing);
        let range = bus.allocate(b, 4096).unwrap();
        let lengths = [2048, 4, 512, 8, 1024];
        for length in lengths {
            send(&mut bus, a, b, range.start(), write(length));
        }
        bus.handle_timeout(at(1_000_000));
        let seen: Vec<usize> = drain(&mut bus, b)
            .into_iter()
            .map(|event| match event {
                Event::Request(request) => request.operation.length(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seen, lengths);
    }
}

#[test]
fn nobody_acknowledges_for_a_node_that_is_not_there() {
    let (mut bus, host, memory) = host_and_memory();
    for id in [NodeId::local(2), NodeId::local(62), NodeId(1)] {
        let mut transaction = transaction(&bus, memory, MEMORY, Operation::ReadQuadlet);
        transaction.destination = id;
        bus.send(host, transaction, START);
        assert_eq!(rcode(&mut bus, host), RCode::NO_ACK, "{id}");
    }
}

#[test]
fn a_stale_generation_is_refused_at_once_and_sends_nothing() {
    let (mut bus, host, memory) = host_and_memory();
    let stale = transaction(&bus, memory, MEMORY, write(4));
    bus.reset(START);
    drain(&mut bus, host);
    let before = bus.counters().packets;
    bus.send(host, stale, START);
    assert_eq!(rcode(&mut bus, host), RCode::GENERATION);
    assert_eq!(bus.counters().packets, before);
}

#[test]
fn more_data_than_the_speed_allows_is_not_sent() {
    let (mut bus, host, memory) = host_and_memory();
    for (speed, limit) in [(Speed::S100, 512), (Speed::S400, 2048), (Speed::S800, 4096)] {
        for (operation, expected) in [
            (write(limit), RCode::COMPLETE),
            (write(limit + 4), RCode::SEND_ERROR),
            (Operation::ReadBlock { length: limit }, RCode::COMPLETE),
            (
                Operation::ReadBlock { length: limit + 4 },
                RCode::SEND_ERROR,
            ),
            (
                Operation::ReadBlock { length: usize::MAX },
                RCode::SEND_ERROR,
            ),
        ] {
            let mut transaction = transaction(&bus, memory, MEMORY, operation);
            transaction.speed = speed;
            bus.send(host, transaction, START);
            assert_eq!(rcode(&mut bus, host), expected, "{speed}");
        }
    }
}

#[test]
fn a_node_does_not_hear_what_is_faster_than_itself() {
    let mut bus = Bus::new(Timing::Immediate);
    let fast = bus.attach_host(config(1, Speed::S3200), START);
    let slow = bus.attach_host(config(2, Speed::S400), START);
    let rom = crate::bus::csr::CONFIG_ROM;
    drain(&mut bus, fast);
    drain(&mut bus, slow);
    for (from, to) in [(fast, slow), (slow, fast)] {
        for (speed, expected) in [(Speed::S400, RCode::COMPLETE), (Speed::S800, RCode::NO_ACK)] {
            let mut transaction = transaction(&bus, to, rom, Operation::ReadQuadlet);
            transaction.speed = speed;
            bus.send(from, transaction, START);
            assert_eq!(rcode(&mut bus, from), expected, "{speed}");
        }
    }
}

#[test]
fn a_request_without_an_answer_is_cancelled_after_the_split_timeout() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let range = bus.allocate(b, 64).unwrap();
    for timeout in [SPLIT_TIMEOUT, Duration::from_millis(100)] {
        bus.set_split_timeout(timeout);
        let late = bus.counters().late_responses;
        send(&mut bus, a, b, range.start(), Operation::ReadQuadlet);
        let request = asked(&mut bus, b);
        let end = bus.now() + timeout;
        assert_eq!(bus.poll_timeout(), Some(end));
        bus.handle_timeout(at(end.as_nanos() - 1));
        assert_eq!(bus.poll_event(a), None);
        bus.handle_timeout(end);
        assert_eq!(rcode(&mut bus, a), RCode::CANCELLED);
        assert_eq!(bus.poll_timeout(), None);

        let response = Response::data(vec![0; 4]);
        assert_eq!(bus.respond(b, request.handle, response, end), Ok(()));
        assert_eq!(bus.poll_event(a), None);
        assert_eq!(bus.counters().late_responses, late + 1);
    }
    assert_eq!(bus.counters().split_timeouts, 2);
}

#[test]
fn an_answer_in_time_leaves_no_timeout_behind() {
    let (mut bus, host, memory) = host_and_memory();
    send(&mut bus, host, memory, MEMORY, Operation::ReadQuadlet);
    assert_eq!(rcode(&mut bus, host), RCode::COMPLETE);
    assert_eq!(bus.poll_timeout(), None);
}

#[test]
fn an_answer_of_the_wrong_length_is_refused_and_the_requester_sees_an_error() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let start = bus.allocate(b, 64).unwrap().start();
    let lock = Operation::Lock {
        kind: LockKind::CompareSwap,
        data: vec![0; 8],
    };
    for (operation, expected) in [
        (Operation::ReadQuadlet, 4),
        (Operation::ReadBlock { length: 32 }, 32),
        (lock, 4),
    ] {
        for got in [0, expected - 1, expected + 1] {
            send(&mut bus, a, b, start, operation.clone());
            let handle = asked(&mut bus, b).handle;
            let response = Response::data(vec![0; got]);
            let refused = bus.respond(b, handle, response, START);
            assert_eq!(refused, Err(RespondError::Length { expected, got }));
            assert_eq!(rcode(&mut bus, a), RCode::DATA_ERROR);
            let again = bus.respond(b, handle, Response::data(vec![0; expected]), START);
            assert_eq!(again, Err(RespondError::NoSuchRequest(handle)));
            assert_eq!(bus.poll_event(a), None);
        }
    }
    assert_eq!(bus.counters().bad_responses, 18);
}

#[test]
fn an_error_needs_no_data_and_carries_none() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let start = bus.allocate(b, 64).unwrap().start();
    for data in [vec![], vec![0; 4]] {
        send(&mut bus, a, b, start, Operation::ReadQuadlet);
        let handle = asked(&mut bus, b).handle;
        let response = Response {
            rcode: RCode::CONFLICT_ERROR,
            data,
        };
        assert_eq!(bus.respond(b, handle, response, START), Ok(()));
        assert_eq!(ended(&mut bus, a), (RCode::CONFLICT_ERROR, vec![]));
    }
}

#[test]
fn an_rcode_of_the_hosts_own_does_not_cross_the_bus() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let start = bus.allocate(b, 64).unwrap().start();
    send(&mut bus, a, b, start, Operation::ReadQuadlet);
    let handle = asked(&mut bus, b).handle;
    // Its low four bits are those of COMPLETE.
    let refused = bus.respond(b, handle, Response::error(RCode::SEND_ERROR), START);
    assert_eq!(refused, Err(RespondError::NotOnWire(RCode::SEND_ERROR)));
    assert_eq!(rcode(&mut bus, a), RCode::DATA_ERROR);
}

#[test]
fn only_the_node_that_was_asked_can_answer() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let start = bus.allocate(b, 64).unwrap().start();
    send(&mut bus, a, b, start, Operation::ReadQuadlet);
    let handle = asked(&mut bus, b).handle;
    let data = || Response::data(vec![9; 4]);
    let unknown = RequestHandle(handle.0 + 1);
    for (node, handle) in [(a, handle), (b, unknown)] {
        let refused = bus.respond(node, handle, data(), START);
        assert_eq!(refused, Err(RespondError::NoSuchRequest(handle)));
    }
    assert_eq!(bus.respond(b, handle, data(), START), Ok(()));
    assert_eq!(ended(&mut bus, a), (RCode::COMPLETE, vec![9; 4]));
}

#[test]
fn a_host_runs_out_of_labels_and_gets_them_back() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let start = bus.allocate(b, 64).unwrap().start();
    for _ in 0..TRANSACTION_LABELS {
        send(&mut bus, a, b, start, Operation::ReadQuadlet);
    }
    assert_eq!(bus.poll_event(a), None);
    send(&mut bus, a, b, start, Operation::ReadQuadlet);
    assert_eq!(rcode(&mut bus, a), RCode::SEND_ERROR);
    let Some(Event::Request(request)) = bus.poll_event(b) else {
        panic!("no request");
    };
    let response = Response::data(vec![0; 4]);
    bus.respond(b, request.handle, response, START).unwrap();
    assert_eq!(rcode(&mut bus, a), RCode::COMPLETE);
    send(&mut bus, a, b, start, Operation::ReadQuadlet);
    assert_eq!(bus.poll_event(a), None);
}

#[test]
fn a_node_can_ask_itself() {
    let (mut bus, a, _) = two_hosts(Timing::Immediate);
    let rom = crate::bus::csr::CONFIG_ROM;
    send(&mut bus, a, a, rom, Operation::ReadQuadlet);
    assert_eq!(ended(&mut bus, a).1, [0x04, 0x04, 0x11, 0x11]);
}

#[test]
fn a_broadcast_reaches_every_other_node_that_serves_the_address() {
    let mut bus = Bus::new(Timing::Immediate);
    let hosts = [1, 2, 3, 4].map(|number| bus.attach_host(config(number, Speed::S400), START));
    let [a, b, c, without] = hosts;
    let start = [a, b, c].map(|host| bus.allocate(host, 64).unwrap().start());
    for host in hosts {
        drain(&mut bus, host);
    }
    let mut broadcast = transaction(&bus, b, start[0], write(4));
    broadcast.destination = NodeId::local(63);
    bus.send(a, broadcast.clone(), START);
    assert_eq!(rcode(&mut bus, a), RCode::COMPLETE);
    for host in [b, c] {
        let handle = asked(&mut bus, host).handle;
        bus.respond(host, handle, Response::COMPLETE, START)
            .unwrap();
    }
    assert_eq!(bus.poll_event(without), None);
    assert_eq!(bus.poll_event(a), None);

    broadcast.operation = Operation::ReadQuadlet;
    bus.send(a, broadcast, START);
    assert_eq!(rcode(&mut bus, a), RCode::NO_ACK);
}
