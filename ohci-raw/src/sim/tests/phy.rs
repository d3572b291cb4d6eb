use super::*;
use crate::phy::{PhyPacket, PhyTraits, PortStatus, SelfId};
use crate::sim::Topology;

fn three_hosts() -> (Bus, [NodeIndex; 3]) {
    let mut bus = Bus::new(Timing::Immediate);
    let nodes = [1, 2, 3].map(|number| bus.attach_host(config(number, Speed::S400), START));
    (bus, nodes)
}

fn configure(root: Option<u8>, gap_count: Option<u8>) -> PhyPacket {
    PhyPacket::Configuration { root, gap_count }
}

fn initiators(bus: &Bus) -> Vec<bool> {
    let nodes = bus.self_ids();
    nodes.iter().map(|node| node.initiated_reset).collect()
}

#[test]
fn a_gap_count_counts_at_once_and_outlives_one_reset() {
    let (mut bus, [a, ..]) = three_hosts();
    assert_eq!(bus.gap_count(), 7);
    bus.send_phy(a, configure(None, Some(21)), START);
    assert_eq!(bus.gap_count(), 21);
    assert_eq!(bus.self_ids()[0].gap_count, 7, "said before the packet");
    bus.reset(START);
    assert_eq!(bus.gap_count(), 21);
    assert!(bus.self_ids().iter().all(|node| node.gap_count == 21));
    bus.reset(START);
    assert_eq!(bus.gap_count(), 63);
    bus.reset(START);
    assert_eq!(
        bus.gap_count(),
        63,
        "whoever set one is to go on setting it"
    );

    bus.send_phy(a, configure(None, Some(5)), START);
    bus.reset(START);
    bus.send_phy(a, configure(None, Some(5)), START);
    bus.reset(START);
    assert_eq!(bus.gap_count(), 5, "renewed");
    bus.send_phy(a, configure(None, Some(255)), START);
    assert_eq!(bus.gap_count(), 63);
}

#[test]
fn a_packet_makes_its_node_root_at_the_next_reset() {
    let (mut bus, [a, b, c]) = three_hosts();
    let ids = |bus: &Bus| [a, b, c].map(|node| bus.id_of(node).unwrap().phy());
    bus.send_phy(c, configure(Some(0), None), START);
    assert_eq!(ids(&bus), [0, 1, 2]);
    bus.reset(START);
    assert_eq!(ids(&bus), [2, 1, 0], "the other end is the farthest");
    assert_eq!(bus.gap_count(), 7, "the packet said nothing of it");
    bus.reset(START);
    assert_eq!(ids(&bus), [2, 1, 0]);

    bus.force_root(b);
    bus.send_phy(a, configure(Some(62), None), START);
    bus.reset(START);
    assert_eq!(ids(&bus), [2, 1, 0], "nobody was to be root");
    bus.force_root(c);
    bus.force_root(b);
    bus.rotate_ids();
    bus.reset(START);
    assert_eq!(
        bus.id_of(b).unwrap().phy(),
        2,
        "in whatever order the others are"
    );
    bus.force_root(a);
    bus.detach(a, START);
    assert_eq!(bus.id_of(a), None);
    bus.reattach(b, START);
    assert_eq!(bus.id_of(b).unwrap().phy(), 1);
}

#[test]
fn another_root_moves_no_cable() {
    use PortStatus::{Child, NotConnected, Parent};
    for shape in [Topology::Chain, Topology::Star, Topology::Tree] {
        let mut bus = Bus::new(Timing::Immediate);
        bus.set_topology(shape);
        let nodes = [1, 2, 3, 4].map(|number| bus.attach_host(config(number, Speed::S400), START));
        let gap_count = bus.gap_count();
        for node in nodes {
            bus.force_root(node);
            bus.reset(START);
            assert!(!bus.is_recabled(), "{shape:?}");
            assert_eq!(bus.id_of(node).unwrap().phy(), 3);
            assert_eq!(bus.gap_count(), gap_count, "{shape:?}");
        }
    }
    let (mut bus, [a, b, c]) = three_hosts();
    bus.force_root(b);
    bus.reset(START);
    let ports: Vec<_> = bus
        .self_ids()
        .iter()
        .map(|node| node.ports.clone())
        .collect();
    let expected = [
        [NotConnected, Parent, NotConnected],
        [Parent, NotConnected, NotConnected],
        [Child, Child, NotConnected],
    ];
    assert_eq!(ports, expected);
    bus.attach_host(config(4, Speed::S400), START);
    let ids = |bus: &Bus| [a, b, c].map(|node| bus.id_of(node).unwrap().phy());
    assert_eq!(ids(&bus), [0, 3, 2], "it is root until another one is");
    bus.rotate_ids();
    bus.reset(START);
    assert_eq!(ids(&bus), [3, 2, 1]);
    bus.force_root(b);
    bus.detach(b, START);
    assert_eq!(
        bus.id_of(a).unwrap().phy(),
        2,
        "it went, and the last one is root"
    );
}

#[test]
fn a_forced_root_has_an_id_also_where_there_are_not_enough() {
    let mut bus = Bus::new(Timing::Immediate);
    let nodes: Vec<NodeIndex> = (0..64)
        .map(|number| bus.attach_host(config(number, Speed::S400), START))
        .collect();
    bus.force_root(nodes[5]);
    bus.reset(START);
    assert_eq!(bus.id_of(nodes[5]).unwrap().phy(), 62);
    assert_eq!(bus.id_of(nodes[4]).unwrap().phy(), 4, "on the one side");
    assert_eq!(bus.id_of(nodes[62]).unwrap().phy(), 5, "on the other one");
    assert_eq!(bus.self_ids().len(), 63);
    assert_eq!(bus.self_ids_seen_by(nodes[63]), []);
    bus.force_root(nodes[63]);
    bus.reset(START);
    assert_eq!(bus.id_of(nodes[63]).unwrap().phy(), 62);
}

#[test]
fn other_packets_and_those_of_nodes_without_a_cable_change_nothing() {
    let (mut bus, [a, b, c]) = three_hosts();
    for packet in [
        PhyPacket::LinkOn { phy: 0 },
        PhyPacket::Ping { phy: 0 },
        PhyPacket::Resume { phy: 0 },
        PhyPacket::SelfId(0x8000_0000),
        PhyPacket::Other(0xc000_0000),
        configure(None, None),
    ] {
        bus.send_phy(a, packet, START);
    }
    bus.detach(a, START);
    bus.send_phy(a, configure(Some(0), Some(20)), START);
    bus.reset(START);
    assert_eq!(bus.gap_count(), 5);
    assert_eq!(bus.id_of(b).unwrap().phy(), 0);
    assert_eq!(bus.id_of(c).unwrap().phy(), 1);
    assert_eq!(bus.counters().packets, 0);
}

#[test]
fn who_began_a_reset_is_known_in_its_generation() {
    let (mut bus, [_, b, _]) = three_hosts();
    assert_eq!(initiators(&bus), [false; 3]);
    bus.reset_from(b, START);
    assert_eq!(initiators(&bus), [false, true, false]);
    bus.force_root(b);
    bus.reset_from(b, START);
    assert_eq!(initiators(&bus), [false, false, true]);
    bus.reset(START);
    assert_eq!(initiators(&bus), [false; 3]);
}

#[test]
fn traits_count_from_the_next_reset_on() {
    let (mut bus, [a, ..]) = three_hosts();
    let traits = |node: &SelfId| PhyTraits {
        link_active: node.link_active,
        contender: node.contender,
        power_class: node.power_class,
    };
    let usual = PhyTraits {
        link_active: true,
        contender: false,
        power_class: 0,
    };
    let other = PhyTraits {
        link_active: false,
        contender: true,
        power_class: 4,
    };
    bus.set_phy_traits(a, other);
    let seen = |bus: &Bus| bus.self_ids().iter().map(traits).collect::<Vec<_>>();
    assert_eq!(seen(&bus), [usual; 3]);
    bus.reset(START);
    assert_eq!(seen(&bus), [other, usual, usual]);

    bus.detach(a, START);
    bus.set_phy_traits(a, usual);
    assert_eq!(traits(&bus.self_ids_seen_by(a)[0]), other);
    bus.reset_from(a, START);
    assert_eq!(traits(&bus.self_ids_seen_by(a)[0]), usual);
}

#[test]
fn a_node_sees_all_or_without_its_cable_itself() {
    let (mut bus, [a, b, _]) = three_hosts();
    bus.set_topology(Topology::Star);
    bus.reset(START);
    assert_eq!(bus.self_ids_seen_by(a), bus.self_ids());
    bus.detach(b, START);
    assert_eq!(bus.self_ids().len(), 2);
    let expected = SelfId {
        phy: 0,
        link_active: true,
        gap_count: 63,
        speed: Speed::S400,
        contender: false,
        power_class: 0,
        initiated_reset: false,
        ports: vec![PortStatus::NotConnected; 16],
    };
    assert_eq!(bus.self_ids_seen_by(b), core::slice::from_ref(&expected));
    bus.reset_from(b, START);
    let initiated_reset = true;
    assert_eq!(
        bus.self_ids_seen_by(b),
        [SelfId {
            initiated_reset,
            ..expected
        }]
    );
    assert_eq!(initiators(&bus), [false; 2]);
}

#[test]
fn speeds_above_s400_are_all_the_same_in_a_packet() {
    let mut bus = Bus::new(Timing::Immediate);
    for (number, speed) in (0..).zip(Speed::ALL) {
        bus.attach_host(config(number, speed), START);
    }
    let nodes = bus.self_ids();
    assert!(nodes.iter().map(|node| node.speed).eq(Speed::ALL));
    let codes: Vec<u32> = nodes
        .iter()
        .map(|node| node.encode()[0] >> 14 & 3)
        .collect();
    assert_eq!(codes, [0, 1, 2, 3, 3, 3]);
}
