use super::*;
use crate::bus::{NodeId, csr};

pub(super) fn controller(bus: &mut Bus, number: u64) -> NodeIndex {
    let node = bus.add_controller(config(number, Speed::S400), START);
    assert_eq!(bus.id_of(node), None);
    bus.reattach(node, START);
    drain(bus, node);
    node
}

#[test]
fn a_controller_begins_without_its_cable_and_resets_nobody() {
    let mut bus = Bus::new(Timing::Immediate);
    let host = bus.attach_host(config(1, Speed::S400), START);
    drain(&mut bus, host);
    let node = bus.add_controller(config(2, Speed::S400), START);
    assert!(!bus.is_attached(node));
    assert_eq!(bus.poll_event(host), None);
    assert!(!bus.has_event(node));
    assert_eq!(bus.counters().resets, 1);
    assert_eq!(bus.self_ids_seen_by(node).len(), 1);

    bus.reset_from(node, START);
    let alone = last_reset(&mut bus, node);
    assert_eq!((alone.local, alone.peers.len()), (NodeId::local(0), 0));
    assert_eq!(bus.poll_event(host), None);

    bus.reattach(node, START);
    assert_eq!(last_reset(&mut bus, node).local, NodeId::local(1));
    assert_eq!(
        last_reset(&mut bus, host).find(Eui64(2)),
        bus.id_of(node),
        "hosts know whom they see"
    );
    bus.rotate_ids();
    bus.reset(START);
    assert_eq!(last_reset(&mut bus, node).local, NodeId::local(0));
    bus.detach(node, START);
    assert_eq!(bus.id_of(node), None);
    assert_eq!(last_reset(&mut bus, host).peers.len(), 0);
}

#[test]
fn a_controller_sees_every_request_and_its_answer_is_what_the_requester_gets() {
    let mut bus = Bus::new(Timing::Immediate);
    let host = bus.attach_host(config(1, Speed::S400), START);
    let node = controller(&mut bus, 2);
    drain(&mut bus, host);
    for address in [
        csr::CONFIG_ROM,
        Address::new(0),
        Address::new(0xffff_fff0),
        csr::POSTED_WRITES.start(),
        MEMORY,
        Address::new(0xffff_ffff_fffc),
    ] {
        for operation in [Operation::ReadQuadlet, write(4)] {
            send(&mut bus, host, node, address, operation.clone());
            assert_eq!(bus.poll_event(host), None, "nobody answered yet");
            let request = asked(&mut bus, node);
            assert_eq!(
                (request.address, request.operation),
                (address, operation.clone())
            );
            assert_eq!(request.source, bus.id_of(host).unwrap());
            let answer = vec![9; operation.response_length()];
            let response = Response::data(answer.clone());
            bus.respond(node, request.handle, response, START).unwrap();
            assert_eq!(ended(&mut bus, host), (RCode::COMPLETE, answer));
        }
    }
    assert_eq!(bus.counters().refused, 0);
}

#[test]
fn a_controller_has_no_limit_of_labels() {
    let mut bus = Bus::new(Timing::Immediate);
    let host = bus.attach_host(config(1, Speed::S400), START);
    let node = controller(&mut bus, 2);
    drain(&mut bus, host);
    let start = bus.allocate(host, 64).unwrap().start();
    let count = crate::sim::TRANSACTION_LABELS + 1;
    for _ in 0..count {
        send(&mut bus, node, host, start, Operation::ReadQuadlet);
    }
    assert_eq!(bus.poll_event(node), None);
    assert_eq!(drain(&mut bus, host).len(), count);
}

#[test]
fn controllers_take_the_place_of_hosts_with_each_other() {
    let mut bus = Bus::new(Timing::Immediate);
    let [a, b] = [1, 2].map(|number| controller(&mut bus, number));
    drain(&mut bus, a);
    send(&mut bus, a, b, csr::CONFIG_ROM, Operation::ReadQuadlet);
    let request = asked(&mut bus, b);
    let response = Response::data(vec![1, 2, 3, 4]);
    bus.respond(b, request.handle, response, START).unwrap();
    assert_eq!(ended(&mut bus, a), (RCode::COMPLETE, vec![1, 2, 3, 4]));

    send(&mut bus, a, b, csr::CONFIG_ROM, Operation::ReadQuadlet);
    let request = asked(&mut bus, b);
    bus.acknowledge(b, request.handle);
    bus.handle_timeout(START + crate::sim::SPLIT_TIMEOUT);
    assert_eq!(rcode(&mut bus, a), RCode::CANCELLED, "no answer came");
}

#[test]
fn broadcasts_go_from_and_to_controllers() {
    let mut bus = Bus::new(Timing::Immediate);
    let host = bus.attach_host(config(1, Speed::S400), START);
    let [a, b] = [2, 3].map(|number| controller(&mut bus, number));
    bus.claim(host, range(MEMORY, 64)).unwrap();
    drain(&mut bus, host);
    drain(&mut bus, a);
    let broadcast = Transaction {
        token: Token(7),
        destination: NodeId::local(63),
        generation: bus.generation(),
        speed: Speed::S100,
        address: MEMORY,
        operation: write(8),
    };
    bus.send(a, broadcast.clone(), START);
    assert_eq!(rcode(&mut bus, a), RCode::COMPLETE);
    assert_eq!(asked(&mut bus, host).address, MEMORY);
    let request = asked(&mut bus, b);
    assert_eq!(request.address, MEMORY);
    let response = Response::data(Vec::new());
    assert_eq!(bus.respond(b, request.handle, response, START), Ok(()));
    assert_eq!(bus.poll_event(a), None, "nobody waits for the answer");

    let elsewhere = Address::new(MEMORY.get() + 0x1000);
    let broadcast = Transaction {
        address: elsewhere,
        ..broadcast
    };
    bus.send(host, broadcast, START);
    assert_eq!(rcode(&mut bus, host), RCode::COMPLETE);
    assert_eq!(asked(&mut bus, a).address, elsewhere);
    assert_eq!(asked(&mut bus, b).address, elsewhere);
}
