use super::*;
use crate::phy::{PortStatus, SelfId};
use crate::sim::Topology;

const SHAPES: [Topology; 3] = [Topology::Chain, Topology::Star, Topology::Tree];

fn bus(topology: Topology, nodes: u64) -> (Bus, Vec<NodeIndex>) {
    let mut bus = Bus::new(Timing::Immediate);
    bus.set_topology(topology);
    let nodes = (0..nodes)
        .map(|number| bus.attach_host(config(number, Speed::S400), START))
        .collect();
    (bus, nodes)
}

/// What Linux makes of self-IDs: each node's children, and the longest way, in cables.
///
/// As `build_tree` and `update_hop_count` in `drivers/firewire/core-topology.c`: children wait on
/// a stack for their parent.
fn linux_tree(packets: &[u32]) -> (Vec<Vec<usize>>, usize) {
    let nodes = SelfId::parse_all(packets).unwrap();
    // Id, depth, and longest way of each subtree.
    let mut stack: Vec<(usize, usize, usize)> = Vec::new();
    let mut children = Vec::new();
    for (id, node) in nodes.iter().enumerate() {
        assert_eq!(usize::from(node.phy), id);
        let count = |status| node.ports.iter().filter(|port| **port == status).count();
        let is_last = id + 1 == nodes.len();
        assert_eq!(
            count(PortStatus::Parent),
            usize::from(!is_last),
            "node {id}"
        );
        assert_eq!(count(PortStatus::NotPresent), 0, "ports without a gap");
        let below = count(PortStatus::Child);
        assert!(below <= stack.len(), "topology stack underflow at {id}");
        let mine = stack.split_off(stack.len() - below);
        let mut depths: Vec<usize> = mine.iter().map(|(_, depth, _)| depth + 1).collect();
        depths.sort_unstable();
        let depth = depths.pop().unwrap_or(0);
        let through = depth + depths.pop().unwrap_or(0);
        let way = mine.iter().map(|(_, _, way)| *way).max().unwrap_or(0);
        children.push(mine.iter().map(|(child, ..)| *child).collect());
        stack.push((id, depth, through.max(way)));
    }
    assert_eq!(stack.len(), 1, "not one root");
    (children, stack[0].2)
}

fn packets(bus: &Bus) -> Vec<u32> {
    bus.self_ids().iter().flat_map(SelfId::encode).collect()
}

#[test]
fn self_ids_of_every_shape_and_size_build_a_tree_in_linux() {
    for shape in SHAPES {
        for count in 1..=63usize {
            let (bus, nodes) = bus(shape, count as u64);
            assert_eq!(bus.id_of(nodes[count - 1]).unwrap().phy(), count as u8 - 1);
            assert_eq!(bus.self_ids().len(), count);
            let packets = packets(&bus);
            assert!(packets.len() <= 252, "more than a controller takes");
            let (children, hops) = linux_tree(&packets);
            let widest = children.iter().map(Vec::len).max().unwrap();
            let expected_hops = match shape {
                Topology::Chain => {
                    assert!(widest <= 1);
                    for (id, below) in children.iter().enumerate() {
                        assert!(below.iter().all(|child| child + 1 == id));
                    }
                    Some(count - 1)
                }
                Topology::Star => {
                    assert!(widest <= 16);
                    match count {
                        1..=2 => Some(count - 1),
                        3..=17 => {
                            assert_eq!(children[count - 1].len(), count - 1);
                            Some(2)
                        }
                        18 => Some(3),
                        _ => None,
                    }
                }
                Topology::Tree => {
                    assert!(widest <= 2);
                    None
                }
            };
            if let Some(expected) = expected_hops {
                assert_eq!(hops, expected, "{shape:?} of {count}");
            }
            let most = match shape {
                Topology::Chain => 62,
                Topology::Star => 4,
                Topology::Tree => 10,
            };
            assert!(hops <= most, "{shape:?} of {count}: {hops}");
        }
    }
}

/// The values of IEEE 1394a table E-1, and 63 where it ends.
#[test]
fn the_gap_count_fits_the_hops_from_the_start() {
    for (nodes, gap_count) in [
        (1, 63),
        (2, 5),
        (3, 7),
        (4, 8),
        (5, 10),
        (6, 13),
        (7, 16),
        (8, 18),
        (16, 40),
        (17, 63),
        (63, 63),
    ] {
        let (bus, _) = bus(Topology::Chain, nodes);
        assert_eq!(bus.gap_count(), gap_count, "{nodes} nodes");
        assert!(
            bus.self_ids()
                .iter()
                .all(|node| node.gap_count == gap_count)
        );
    }
    assert_eq!(bus(Topology::Star, 17).0.gap_count(), 7);
    assert_eq!(bus(Topology::Star, 18).0.gap_count(), 8);
    assert_eq!(bus(Topology::Star, 63).0.gap_count(), 10);
    assert_eq!(bus(Topology::Tree, 3).0.gap_count(), 7);
}

/// Linux wants 63 wherever a node of 1394b has two cables.
#[test]
fn nodes_of_1394b_between_others_make_the_largest_gap_count() {
    let mut bus = Bus::new(Timing::Immediate);
    for number in 0..2 {
        bus.attach_host(config(number, Speed::S800), START);
    }
    assert_eq!(bus.gap_count(), 5);
    bus.attach_host(config(2, Speed::S400), START);
    assert_eq!(bus.gap_count(), 63);
}

#[test]
fn another_shape_counts_from_the_next_reset_on() {
    let (mut bus, _) = bus(Topology::Chain, 4);
    let chain = bus.self_ids();
    bus.set_topology(Topology::Star);
    assert_eq!(bus.self_ids(), chain);
    assert!(!bus.is_recabled());
    bus.reset(START);
    assert_eq!(
        bus.self_ids()[3].ports[..4],
        [
            PortStatus::Child,
            PortStatus::Child,
            PortStatus::Child,
            PortStatus::NotConnected,
        ]
    );
    assert!(bus.is_recabled(), "3 ports became 16");
    bus.reset(START);
    assert!(!bus.is_recabled());
}

#[test]
fn another_number_of_ports_is_a_change_also_without_cables() {
    let (mut bus, _) = bus(Topology::Chain, 1);
    bus.set_topology(Topology::Star);
    bus.reset(START);
    assert!(bus.is_recabled());
}

#[test]
fn moved_cables_are_told_from_nodes_that_come_and_go() {
    let (mut bus, nodes) = bus(Topology::Chain, 3);
    assert!(!bus.is_recabled(), "one more at the end of the chain");
    bus.detach(nodes[2], START);
    assert!(!bus.is_recabled(), "one less at the end of the chain");
    bus.reattach(nodes[2], START);
    assert!(!bus.is_recabled());
    bus.detach(nodes[1], START);
    assert!(bus.is_recabled(), "two who were not neighbours are now");
    bus.reset(START);
    assert!(!bus.is_recabled());
    bus.reattach(nodes[1], START);
    assert!(!bus.is_recabled(), "the end of the chain was free");
    bus.set_phy_order(&[nodes[2], nodes[0], nodes[1]]);
    bus.reset(START);
    assert!(bus.is_recabled());
}
