use core::time::Duration;

use super::*;
use crate::sim::{Fault, OperationKind, Packet, PacketKind, RandomFaults, SPLIT_TIMEOUT};

const DELAY: Duration = Duration::from_millis(5);

/// The next packet of this kind meets its fate; later ones are delivered.
fn once(bus: &mut Bus, requests: bool, fault: Fault) {
    let mut fate = Some(fault);
    bus.set_fault(Some(Box::new(move |packet: &Packet<'_>| {
        if (packet.kind == PacketKind::Request) == requests {
            fate.take().unwrap_or(Fault::Deliver)
        } else {
            Fault::Deliver
        }
    })));
}

/// How a write to the memory ends, when, and whether the memory has it.
fn fate_of_a_write(requests: bool, fault: Fault) -> (RCode, Instant, bool) {
    let (mut bus, host, memory) = host_and_memory();
    once(&mut bus, requests, fault);
    send(&mut bus, host, memory, MEMORY, write(4));
    while !bus.has_event(host) {
        let due = bus.poll_timeout().expect("the transaction never ends");
        bus.handle_timeout(due);
    }
    let (when, rcode) = (bus.now(), rcode(&mut bus, host));
    assert_eq!(bus.counters().faults, u64::from(fault != Fault::Deliver));
    send(&mut bus, host, memory, MEMORY, Operation::ReadQuadlet);
    let (_, data) = ended(&mut bus, host);
    (rcode, when, data == [0x5a; 4])
}

#[test]
fn every_fault_of_a_request_ends_its_own_way() {
    let timed_out = START + SPLIT_TIMEOUT;
    for (fault, expected) in [
        (Fault::Deliver, (RCode::COMPLETE, START, true)),
        (Fault::Lose, (RCode::NO_ACK, START, false)),
        (Fault::LoseAck, (RCode::NO_ACK, START, true)),
        (Fault::Ignore, (RCode::CANCELLED, timed_out, false)),
        (Fault::Busy, (RCode::BUSY, START, false)),
        (Fault::Delay(DELAY), (RCode::COMPLETE, START + DELAY, true)),
        (Fault::Duplicate, (RCode::COMPLETE, START, true)),
    ] {
        assert_eq!(fate_of_a_write(true, fault), expected, "{fault:?}");
    }
}

#[test]
fn every_fault_of_a_response_ends_its_own_way() {
    let timed_out = START + SPLIT_TIMEOUT;
    for (fault, rcode, when) in [
        (Fault::Lose, RCode::CANCELLED, timed_out),
        (Fault::LoseAck, RCode::COMPLETE, START),
        (Fault::Ignore, RCode::CANCELLED, timed_out),
        (Fault::Busy, RCode::CANCELLED, timed_out),
        (Fault::Delay(DELAY), RCode::COMPLETE, START + DELAY),
        (Fault::Duplicate, RCode::COMPLETE, START),
    ] {
        let expected = (rcode, when, true);
        assert_eq!(fate_of_a_write(false, fault), expected, "{fault:?}");
    }
}

#[test]
fn a_duplicate_is_asked_twice_and_answered_once() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let start = bus.allocate(b, 64).unwrap().start();
    once(&mut bus, true, Fault::Duplicate);
    send(&mut bus, a, b, start, Operation::ReadQuadlet);
    let requests = drain(&mut bus, b);
    assert_eq!(requests.len(), 2);
    for event in requests {
        let Event::Request(request) = event else {
            panic!("{event:?}");
        };
        let response = Response::data(vec![3; 4]);
        assert_eq!(bus.respond(b, request.handle, response, START), Ok(()));
    }
    assert_eq!(ended(&mut bus, a), (RCode::COMPLETE, vec![3; 4]));
}

#[test]
fn a_duplicated_response_is_counted_as_late() {
    let (mut bus, host, memory) = host_and_memory();
    once(&mut bus, false, Fault::Duplicate);
    send(&mut bus, host, memory, MEMORY, Operation::ReadQuadlet);
    assert_eq!(rcode(&mut bus, host), RCode::COMPLETE);
    assert_eq!(bus.counters().late_responses, 1);
}

#[test]
fn requests_wait_behind_a_delayed_one_and_other_nodes_do_not() {
    let mut bus = Bus::new(Timing::Immediate);
    let [a, b, c] = [1, 2, 3].map(|number| bus.attach_host(config(number, Speed::S400), START));
    let starts = [b, c].map(|host| bus.allocate(host, 64).unwrap().start());
    for host in [a, b, c] {
        drain(&mut bus, host);
    }
    once(&mut bus, true, Fault::Delay(DELAY));
    send(&mut bus, a, b, starts[0], write(4));
    send(&mut bus, a, b, starts[0], write(8));
    send(&mut bus, a, c, starts[1], write(12));
    assert_eq!(asked(&mut bus, c).operation.length(), 12);
    assert_eq!(bus.poll_event(b), None);
    bus.handle_timeout(START + DELAY);
    let lengths = drain(&mut bus, b).into_iter().map(|event| match event {
        Event::Request(request) => request.operation.length(),
        other => panic!("{other:?}"),
    });
    assert_eq!(lengths.collect::<Vec<_>>(), [4, 8]);
}

#[test]
fn a_delayed_response_is_overtaken() {
    let (mut bus, host, memory) = host_and_memory();
    once(&mut bus, false, Fault::Delay(DELAY));
    let mut first = transaction(&bus, memory, MEMORY, Operation::ReadQuadlet);
    first.token = Token(1);
    let second = Transaction {
        token: Token(2),
        ..first.clone()
    };
    bus.send(host, first, START);
    bus.send(host, second, START);
    bus.handle_timeout(START + DELAY);
    let order = drain(&mut bus, host).into_iter().map(|event| match event {
        Event::Response { token, .. } => token.0,
        other => panic!("{other:?}"),
    });
    assert_eq!(order.collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_posted_write_that_is_ignored_is_complete_all_the_same() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let start = bus.allocate(b, 64).unwrap().start();
    once(&mut bus, true, Fault::Ignore);
    send(&mut bus, a, b, start, write(4));
    assert_eq!(rcode(&mut bus, a), RCode::COMPLETE);
    assert_eq!(bus.poll_event(b), None);
}

#[test]
fn an_injector_sees_what_crosses_the_bus() {
    let (mut bus, host, memory) = host_and_memory();
    let seen = alloc::sync::Arc::new(std::sync::Mutex::new(vec![]));
    let log = seen.clone();
    bus.set_fault(Some(Box::new(move |packet: &Packet<'_>| {
        log.lock().unwrap().push((
            packet.source,
            packet.destination,
            packet.kind,
            packet.address,
            packet.operation,
            packet.data.to_vec(),
        ));
        Fault::Deliver
    })));
    send(&mut bus, host, memory, MEMORY, write(4));
    send(&mut bus, host, memory, MEMORY, Operation::ReadQuadlet);
    bus.set_fault(None);
    send(&mut bus, host, memory, MEMORY, Operation::ReadQuadlet);
    let complete = PacketKind::Response(RCode::COMPLETE);
    let (out, back) = (PacketKind::Request, complete);
    let (write, read) = (OperationKind::WriteBlock, OperationKind::ReadQuadlet);
    let data = || vec![0x5a; 4];
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (host, memory, out, MEMORY, write, data()),
            (memory, host, back, MEMORY, write, vec![]),
            (host, memory, out, MEMORY, read, vec![]),
            (memory, host, back, MEMORY, read, data()),
        ]
    );
    assert_eq!(bus.counters().faults, 0);
}

/// How often writes ended how.
fn random_ends(faults: RandomFaults) -> alloc::collections::BTreeMap<u32, u32> {
    let (mut bus, host, memory) = host_and_memory();
    bus.set_fault(Some(Box::new(faults)));
    let mut ends = alloc::collections::BTreeMap::new();
    for _ in 0..20_000 {
        send(&mut bus, host, memory, MEMORY, write(4));
        while !bus.has_event(host) {
            let due = bus.poll_timeout().expect("the transaction never ends");
            bus.handle_timeout(due);
        }
        *ends.entry(rcode(&mut bus, host).0).or_default() += 1;
    }
    ends
}

#[test]
fn random_faults_are_as_frequent_as_asked_and_the_same_for_the_same_seed() {
    let faults = RandomFaults {
        seed: 42,
        lose: 100_000,
        busy: 50_000,
        delay: 20_000,
        longest_delay: DELAY,
        ..RandomFaults::default()
    };
    let ends = random_ends(faults.clone());
    let share = |rcode: RCode| f64::from(ends.get(&rcode.0).copied().unwrap_or(0)) / 20_000.0;
    // Lost requests; lost and busy responses of those that arrived; busy requests.
    assert!((share(RCode::NO_ACK) - 0.1).abs() < 0.01, "{ends:?}");
    assert!((share(RCode::BUSY) - 0.05).abs() < 0.01, "{ends:?}");
    assert!(
        (share(RCode::CANCELLED) - 0.85 * 0.15).abs() < 0.01,
        "{ends:?}"
    );
    assert_eq!(random_ends(faults.clone()), ends);
    assert_ne!(random_ends(RandomFaults { seed: 43, ..faults }), ends);
}
