//! How the nodes are cabled, given the order of their ids.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use crate::phy::PortStatus;

/// How many ports a node has at most (IEEE 1394a 4.3.4.1).
const HUB_PORTS: usize = 16;
/// What usual PHYs have.
const USUAL_PORTS: usize = 3;

/// The shape of a bus. The node with the highest id is the root, and ids are those that the
/// self-ID process gives: first those behind a node's ports, in the order of the ports, then the
/// node itself.
///
/// Every node has the same number of ports, whatever its place, so that it keeps them when it
/// gets another: Linux takes a node's number of ports for granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Topology {
    /// Each node is cabled to the next one. Nodes have 3 ports: 0 leads away from the root, 1
    /// towards it.
    ///
    /// The standard allows 16 hops, and so 17 nodes. The bus does not mind longer chains, but
    /// Linux counts hops with 4 bits.
    #[default]
    Chain,
    /// All are cabled to the one with the highest id. A node has 16 ports; more than 17 nodes
    /// make a star whose rays are stars themselves. The last port leads towards the root.
    Star,
    /// A binary tree whose branches differ by one node at most. Nodes have 3 ports; the last one
    /// leads towards the root.
    Tree,
}

impl Topology {
    /// How many ports every node has.
    pub(super) const fn ports(self) -> usize {
        match self {
            Self::Chain | Self::Tree => USUAL_PORTS,
            Self::Star => HUB_PORTS,
        }
    }

    /// The port that leads towards the root; the others are used from 0 on.
    const fn parent_port(self) -> usize {
        match self {
            Self::Chain => 1,
            Self::Star => HUB_PORTS - 1,
            Self::Tree => USUAL_PORTS - 1,
        }
    }

    /// The parent of each of `count` nodes by id; the last one is the root and has none.
    fn parents(self, count: usize) -> Vec<Option<usize>> {
        let mut parents = vec![None; count];
        // Subtrees, each by its first id and the number of its nodes.
        let mut open = vec![(0, count)];
        while let Some((first, count)) = open.pop() {
            let Some(below) = count.checked_sub(1) else {
                continue;
            };
            let top = first + below;
            let mut start = first;
            for size in self.branches(below) {
                parents[start + size - 1] = Some(top);
                open.push((start, size));
                start += size;
            }
        }
        parents
    }

    /// How many nodes hang at each of a node's ports, if `below` do in all.
    fn branches(self, below: usize) -> Vec<usize> {
        match self {
            _ if below == 0 => Vec::new(),
            Self::Chain => vec![below],
            Self::Tree if below == 1 => vec![1],
            Self::Tree => vec![below.div_ceil(2), below / 2],
            Self::Star => {
                // A bus has too few nodes for a ray to need rays of its own, so the port that
                // leads to the root stays free for it.
                let rays = below.min(HUB_PORTS);
                let mut rest = below - rays;
                (0..rays)
                    .map(|_| {
                        let more = rest.min(HUB_PORTS - 1);
                        rest -= more;
                        1 + more
                    })
                    .collect()
            }
        }
    }
}

/// The cables of one generation. Nodes are named as the bus names them for good.
pub(super) struct Cabling {
    /// Each node's ports in the order of ids.
    pub(super) ports: Vec<Vec<PortStatus>>,
    /// The longest way between two nodes, in cables.
    pub(super) hops: usize,
    /// Who is at the other end, by node and port.
    ends: BTreeMap<(usize, usize), usize>,
    /// How many ports each node has.
    size: usize,
    /// Whether somebody's port led to somebody else before, or nodes had other ports.
    pub(super) moved: bool,
}

impl Default for Cabling {
    /// No nodes.
    fn default() -> Self {
        Self {
            ports: Vec::new(),
            hops: 0,
            ends: BTreeMap::new(),
            size: Topology::default().ports(),
            moved: false,
        }
    }
}

impl Cabling {
    /// Cables `nodes`, which stand in the order of their ids, where they were cabled as `before`.
    pub(super) fn new(topology: Topology, nodes: &[usize], before: &Self) -> Self {
        let count = nodes.len();
        let mut this = Self {
            ports: vec![vec![PortStatus::NotConnected; topology.ports()]; count],
            size: topology.ports(),
            ..Self::default()
        };
        let mut children = vec![0; count];
        let mut depths = vec![0; count];
        for (child, parent) in topology.parents(count).into_iter().enumerate() {
            let Some(parent) = parent else { continue };
            let port = children[parent];
            children[parent] += 1;
            this.ports[parent][port] = PortStatus::Child;
            this.ports[child][topology.parent_port()] = PortStatus::Parent;
            this.ends.insert((nodes[parent], port), nodes[child]);
            this.ends
                .insert((nodes[child], topology.parent_port()), nodes[parent]);
            // Children have lower ids, so what is below this one is known already.
            let depth = depths[child] + 1;
            this.hops = this.hops.max(depths[parent] + depth);
            depths[parent] = depths[parent].max(depth);
        }
        let led_elsewhere =
            |(port, end)| before.ends.get(port).is_some_and(|was: &usize| was != end);
        this.moved = this.size != before.size || this.ends.iter().any(led_elsewhere);
        this
    }
}
