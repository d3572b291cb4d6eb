//! How the nodes are cabled, and which ids follow from that.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use crate::phy::PortStatus;

/// How many ports a node has at most (IEEE 1394a 4.3.4.1).
const HUB_PORTS: usize = 16;
/// What usual PHYs have.
const USUAL_PORTS: usize = 3;

/// The shape of a bus, as it is laid for nodes in an order whose last one is the root. Another node
/// can be made root without a cable being moved. Ids are those that the self-ID process gives:
/// first those behind a node's ports, in the order of the ports, then the node itself.
///
/// Every node has the same number of ports, whatever its place, so that it keeps them when it
/// gets another: Linux takes a node's number of ports for granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Topology {
    /// Each node is cabled to the next one. Nodes have 3 ports: 0 leads to the one before, 1 to the
    /// next.
    ///
    /// The standard allows 16 hops, and so 17 nodes. The bus does not mind longer chains, but
    /// Linux counts hops with 4 bits.
    #[default]
    Chain,
    /// All are cabled to the last one. A node has 16 ports; more than 17 nodes make a star whose
    /// rays are stars themselves. The last port leads towards the last node.
    Star,
    /// A binary tree whose branches differ by one node at most. Nodes have 3 ports; the last one
    /// leads towards the last node.
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

    /// The port that leads towards the last node; the others are used from 0 on.
    const fn parent_port(self) -> usize {
        match self {
            Self::Chain => 1,
            Self::Star => HUB_PORTS - 1,
            Self::Tree => USUAL_PORTS - 1,
        }
    }

    /// The parent of each of `count` nodes; the last one has none.
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
    /// The nodes in the order of their ids.
    pub(super) by_phy: Vec<usize>,
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
            by_phy: Vec::new(),
            ports: Vec::new(),
            hops: 0,
            ends: BTreeMap::new(),
            size: Topology::default().ports(),
            moved: false,
        }
    }
}

impl Cabling {
    /// Cables `nodes`, which were cabled as `before`, and gives them ids. The last one is the root
    /// unless one of them is named.
    pub(super) fn new(
        topology: Topology,
        nodes: &[usize],
        root: Option<usize>,
        before: &Self,
    ) -> Self {
        let mut this = Self {
            size: topology.ports(),
            ..Self::default()
        };
        this.lay(topology, nodes);
        if let Some(root) = root.or(nodes.last().copied()) {
            this.identify(root);
        }
        let led_elsewhere =
            |(port, end)| before.ends.get(port).is_some_and(|was: &usize| was != end);
        this.moved = this.size != before.size || this.ends.iter().any(led_elsewhere);
        this
    }

    fn lay(&mut self, topology: Topology, nodes: &[usize]) {
        let mut children = vec![0; nodes.len()];
        let mut depths = vec![0; nodes.len()];
        for (child, parent) in topology.parents(nodes.len()).into_iter().enumerate() {
            let Some(parent) = parent else { continue };
            let port = children[parent];
            children[parent] += 1;
            self.ends.insert((nodes[parent], port), nodes[child]);
            self.ends
                .insert((nodes[child], topology.parent_port()), nodes[parent]);
            // Children come first, so what is below this one is known already.
            let depth = depths[child] + 1;
            self.hops = self.hops.max(depths[parent] + depth);
            depths[parent] = depths[parent].max(depth);
        }
    }

    /// Gives ids: a node has its own after all behind its other ports.
    fn identify(&mut self, root: usize) {
        // Nodes whose turn has come, with their parents. Last in, first out: so from the root on
        // those behind the last port come first, which is the order of ids from its end.
        let mut open = vec![(root, None)];
        while let Some((node, parent)) = open.pop() {
            let mut ports = vec![PortStatus::NotConnected; self.size];
            for (port, status) in ports.iter_mut().enumerate() {
                let Some(end) = self.ends.get(&(node, port)).copied() else {
                    continue;
                };
                if Some(end) == parent {
                    *status = PortStatus::Parent;
                } else {
                    *status = PortStatus::Child;
                    open.push((end, Some(node)));
                }
            }
            self.by_phy.push(node);
            self.ports.push(ports);
        }
        self.by_phy.reverse();
        self.ports.reverse();
    }
}
