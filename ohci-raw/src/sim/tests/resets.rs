use super::*;
use crate::bus::NodeId;

#[test]
fn every_attachment_resets_the_bus_and_tells_everyone_about_everyone() {
    let mut bus = Bus::new(Timing::Immediate);
    let a = bus.attach_host(config(1, Speed::S400), START);
    let alone = last_reset(&mut bus, a);
    assert_eq!((alone.local, alone.peers.len()), (NodeId::local(0), 0));
    let b = bus.attach_host(config(2, Speed::S400), START);
    attach(&mut bus, 3, Memory::default());
    let (seen_by_a, seen_by_b) = (last_reset(&mut bus, a), last_reset(&mut bus, b));
    assert_ne!(seen_by_a.generation, alone.generation);
    assert_eq!(seen_by_a.generation, seen_by_b.generation);
    assert_eq!(seen_by_a.generation, bus.generation());
    assert_eq!(seen_by_a.local, NodeId::local(0));
    assert_eq!(seen_by_b.local, NodeId::local(1));
    assert_eq!(seen_by_a.find(Eui64(2)), Some(NodeId::local(1)));
    assert_eq!(seen_by_a.find(Eui64(3)), Some(NodeId::local(2)));
    assert_eq!(seen_by_a.find(Eui64(1)), None);
    assert_eq!(seen_by_b.find(Eui64(1)), Some(NodeId::local(0)));
    assert_eq!(bus.counters().resets, 3);
}

#[test]
fn a_reset_ends_what_is_under_way_and_its_answer_is_dropped_in_silence() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let start = bus.allocate(b, 64).unwrap().start();
    send(&mut bus, a, b, start, Operation::ReadQuadlet);
    let request = asked(&mut bus, b);
    bus.reset(START);
    let events = drain(&mut bus, a);
    assert!(
        matches!(
            events[..],
            [
                Event::Response {
                    rcode: RCode::GENERATION,
                    ..
                },
                Event::BusReset(_)
            ]
        ),
        "{events:?}"
    );
    assert_eq!(bus.poll_timeout(), None, "a split timeout was left behind");
    assert!(bus.requests.is_empty(), "a request was left behind");
    let response = Response::data(vec![0; 4]);
    assert_eq!(bus.respond(b, request.handle, response, START), Ok(()));
    assert_eq!(bus.poll_event(a), None);
}

#[test]
fn a_packet_on_the_wire_does_not_survive_a_reset() {
    let (mut bus, a, b) = two_hosts(Timing::Wire);
    let start = bus.allocate(b, 64).unwrap().start();
    send(&mut bus, a, b, start, write(64));
    bus.reset(START);
    bus.handle_timeout(at(1_000_000));
    let events = drain(&mut bus, b);
    assert!(matches!(events[..], [Event::BusReset(_)]), "{events:?}");
    assert!(matches!(
        drain(&mut bus, a)[..],
        [
            Event::Response {
                rcode: RCode::GENERATION,
                ..
            },
            Event::BusReset(_)
        ]
    ));
}

#[test]
fn labels_are_free_again_after_a_reset() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let start = bus.allocate(b, 64).unwrap().start();
    for _ in 0..crate::sim::TRANSACTION_LABELS {
        send(&mut bus, a, b, start, Operation::ReadQuadlet);
    }
    bus.reset(START);
    drain(&mut bus, a);
    send(&mut bus, a, b, start, Operation::ReadQuadlet);
    assert_eq!(bus.poll_event(a), None);
}

#[test]
fn a_node_without_its_cable_sees_itself_alone_and_comes_back_as_the_same() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let range = bus.allocate(a, 64).unwrap();
    bus.detach(a, START);
    let alone = last_reset(&mut bus, a);
    assert_eq!((alone.local, alone.peers.len()), (NodeId::local(0), 0));
    assert_eq!(bus.id_of(a), None);
    let left = last_reset(&mut bus, b);
    assert_eq!((left.local, left.peers.len()), (NodeId::local(0), 0));

    // Its own bus has resets of its own, of which the other learns nothing.
    bus.reset_from(a, START);
    let own = last_reset(&mut bus, a);
    assert_eq!(bus.poll_event(b), None);
    assert_eq!(bus.id_of(b), Some(NodeId::local(0)));

    let mut lost = transaction(&bus, b, range.start(), Operation::ReadQuadlet);
    lost.generation = own.generation;
    lost.destination = NodeId::local(1);
    bus.send(a, lost, START);
    assert_eq!(rcode(&mut bus, a), RCode::NO_ACK);
    let mut to_itself = transaction(&bus, b, range.start(), Operation::ReadQuadlet);
    to_itself.generation = own.generation;
    to_itself.destination = own.local;
    bus.send(a, to_itself, START);
    assert_eq!(asked(&mut bus, a).generation, own.generation);

    bus.reattach(a, START);
    let back = last_reset(&mut bus, a);
    assert_ne!(back.generation, own.generation);
    assert_eq!(back.find(Eui64(2)), bus.id_of(b));
    assert_eq!(last_reset(&mut bus, b).find(Eui64(1)), bus.id_of(a));
    send(&mut bus, b, a, range.start(), Operation::ReadQuadlet);
    assert_eq!(asked(&mut bus, a).address, range.start());
}

#[test]
fn pulling_or_plugging_twice_does_nothing_the_second_time() {
    let (mut bus, a, _) = two_hosts(Timing::Immediate);
    bus.detach(a, START);
    let generation = bus.generation();
    bus.detach(a, START);
    assert_eq!(bus.generation(), generation);
    bus.reattach(a, START);
    bus.reattach(a, START);
    assert_eq!(bus.counters().resets, 4);
}

#[test]
fn ids_change_at_the_next_reset_when_told_to() {
    let mut bus = Bus::new(Timing::Immediate);
    let [a, b, c] = [1, 2, 3].map(|number| bus.attach_host(config(number, Speed::S400), START));
    let ids = |bus: &Bus| [a, b, c].map(|node| bus.id_of(node).unwrap().phy());
    assert_eq!(ids(&bus), [0, 1, 2]);
    bus.rotate_ids();
    assert_eq!(ids(&bus), [0, 1, 2]);
    bus.reset(START);
    assert_eq!(ids(&bus), [2, 0, 1]);
    bus.set_phy_order(&[c, c, b]);
    bus.reset(START);
    assert_eq!(ids(&bus), [2, 1, 0]);
    assert_eq!(last_reset(&mut bus, a).local, NodeId::local(2));

    bus.detach(b, START);
    bus.set_phy_order(&[b, a]);
    bus.reset(START);
    assert_eq!(bus.id_of(a), Some(NodeId::local(0)));
    assert_eq!(bus.id_of(b), None);
}

#[test]
fn the_64th_node_gets_no_id() {
    let mut bus = Bus::new(Timing::Immediate);
    let nodes: Vec<NodeIndex> = (0..64)
        .map(|number| bus.attach_host(config(number, Speed::S400), START))
        .collect();
    assert_eq!(bus.id_of(nodes[62]), Some(NodeId::local(62)));
    assert_eq!(bus.id_of(nodes[63]), None);
    assert_eq!(bus.poll_event(nodes[63]), None);
    send(
        &mut bus,
        nodes[63],
        nodes[0],
        MEMORY,
        Operation::ReadQuadlet,
    );
    assert_eq!(rcode(&mut bus, nodes[63]), RCode::GENERATION);

    bus.detach(nodes[0], START);
    assert_eq!(bus.id_of(nodes[63]), Some(NodeId::local(62)));
}
