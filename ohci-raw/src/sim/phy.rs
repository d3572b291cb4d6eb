//! What the PHYs of the nodes do: self-IDs, the gap count, and who is root.

use alloc::vec;
use alloc::vec::Vec;

use super::bus::Bus;
use super::cabling::{Cabling, Topology};
use super::node::NodeIndex;
use super::topology::MAX_IDS;
use crate::bus::{Instant, Speed};
use crate::phy::{PhyPacket, PhyTraits, PortStatus, SelfId};

/// What a PHY falls back to.
const GAP_COUNT_MAX: u8 = 63;
/// The smallest gap count by hops (IEEE 1394a table E-1; Linux' `gap_count_table`).
const GAP_COUNTS: [u8; 16] = [63, 5, 7, 8, 10, 13, 16, 18, 21, 24, 26, 29, 32, 35, 37, 40];

/// The gap count of all PHYs, and where it comes from.
#[derive(Clone, Copy)]
pub(super) struct Gap {
    count: u8,
    source: GapSource,
}

#[derive(Clone, Copy)]
enum GapSource {
    /// Nobody has set one so far: it fits the shape.
    Shape,
    /// Set since the last reset.
    Packet,
    /// Set before the last reset.
    HeldOnce,
    /// One reset too many.
    Lost,
}

impl Default for Gap {
    fn default() -> Self {
        Self {
            count: GAP_COUNT_MAX,
            source: GapSource::Shape,
        }
    }
}

impl Gap {
    /// What is left of it after a reset, where `fitting` is what suits the shape.
    const fn after_reset(self, fitting: u8) -> Self {
        let (count, source) = match self.source {
            GapSource::Shape => (fitting, GapSource::Shape),
            GapSource::Packet => (self.count, GapSource::HeldOnce),
            GapSource::HeldOnce | GapSource::Lost => (GAP_COUNT_MAX, GapSource::Lost),
        };
        Self { count, source }
    }
}

impl Bus {
    /// Cables the nodes in another way from the next reset on; [`Topology::Chain`] unless set.
    ///
    /// Nodes get another number of ports if the shape asks for it, which hardware never does; see
    /// [`Self::is_recabled`].
    pub const fn set_topology(&mut self, topology: Topology) {
        self.topology = topology;
    }

    /// Changes what a node's PHY says of itself, from the next reset on that the node sees.
    pub fn set_phy_traits(&mut self, node: NodeIndex, traits: PhyTraits) {
        self.nodes[node.0].traits = traits;
    }

    /// What the nodes that have an id said of themselves after the last reset, in the order of
    /// ids.
    #[must_use]
    pub fn self_ids(&self) -> Vec<SelfId> {
        self.self_ids.clone()
    }

    /// The self-IDs that the node saw after its last reset: those of all, or while its cable is
    /// out, its own. A node that is one too many for the ids sees none.
    #[must_use]
    pub fn self_ids_seen_by(&self, node: NodeIndex) -> Vec<SelfId> {
        let at = &self.nodes[node.0];
        match (at.attached, &at.alone) {
            (true, _) if at.view.is_none() => Vec::new(),
            (true, _) => self.self_ids(),
            (false, Some(alone)) => vec![alone.clone()],
            (false, None) => vec![self.lone_self_id(node.0, false)],
        }
    }

    /// Whether at the last reset some port was found to lead to another node than before, or to
    /// have come or gone as such. What just appears behind a free port, or disappears, does not
    /// count, nor does another root.
    ///
    /// Linux compares trees of successive generations and takes what is found behind the same
    /// port for the same node. On a real bus a cable cannot be moved in one reset, here it can: a
    /// node that goes leaves no gap. A controller then has to leave out a number
    /// when it counts generations, as if its driver had missed the reset between, and Linux
    /// looks at all nodes anew.
    #[must_use]
    pub const fn is_recabled(&self) -> bool {
        self.cabling.moved
    }

    /// The gap count that the PHYs of the bus have now. It is what fits the shape until somebody
    /// sets one: the smallest that Linux, as a bus manager, would not change.
    #[must_use]
    pub const fn gap_count(&self) -> u8 {
        self.gap.count
    }

    /// Makes the node root from the next reset on, as its PHY's root hold-off bit does: until
    /// another one is made root, the order of ids is changed, or it is detached. If it is not
    /// attached then, nothing comes of it. Counts in place of what was asked for before.
    pub const fn force_root(&mut self, node: NodeIndex) {
        self.forced_root = Some(node.0);
    }

    /// Sends a PHY packet. What it changes counts at once for the gap count and from the next
    /// reset on for the root.
    ///
    /// - [`PhyPacket::Configuration`]: the gap count is held through one reset. After one more
    ///   without a new packet it is 63. A root whose id nobody has takes back what was forced.
    /// - All others reach nobody, are not counted, and nothing comes of them.
    ///
    /// A node whose cable is out reaches nobody, and its own gap count stays 63.
    pub fn send_phy(&mut self, from: NodeIndex, packet: PhyPacket, now: Instant) {
        self.run(now);
        let PhyPacket::Configuration { root, gap_count } = packet else {
            return;
        };
        if self.id_of(from).is_none() {
            return;
        }
        if let Some(count) = gap_count {
            self.gap = Gap {
                count: count.min(GAP_COUNT_MAX),
                source: GapSource::Packet,
            };
        }
        if let Some(phy) = root {
            self.forced_root = self.by_phy.get(usize::from(phy)).copied();
        }
    }

    /// The nodes that get an id: the first ones, and the root.
    fn identified(&mut self) -> Vec<usize> {
        if let Some(root) = self.forced_root.take()
            && self.order.contains(&root)
        {
            self.root = Some(root);
        }
        self.root = self.root.filter(|root| self.order.contains(root));
        let mut nodes: Vec<usize> = self.order.iter().copied().take(MAX_IDS).collect();
        if let (Some(root), Some(last)) = (self.root, nodes.last_mut())
            && self.order.iter().position(|index| *index == root) >= Some(MAX_IDS)
        {
            *last = root;
        }
        nodes
    }

    /// Lays the cables of a new generation, gives ids, and has everyone identify itself.
    pub(super) fn identify(&mut self, initiator: Option<usize>) {
        let nodes = self.identified();
        self.cabling = Cabling::new(self.topology, &nodes, self.root, &self.cabling);
        self.by_phy.clone_from(&self.cabling.by_phy);
        self.gap = self.gap.after_reset(self.fitting_gap_count());
        self.self_ids = (0..)
            .zip(self.by_phy.iter().zip(&self.cabling.ports))
            .map(|(phy, (node, ports))| SelfId {
                phy,
                gap_count: self.gap.count,
                initiated_reset: initiator == Some(*node),
                ports: ports.clone(),
                ..self.lone_self_id(*node, false)
            })
            .collect();
    }

    /// Has a node identify itself to itself.
    pub(super) fn identify_alone(&mut self, node: usize, initiated: bool) {
        self.nodes[node].alone = Some(self.lone_self_id(node, initiated));
    }

    fn lone_self_id(&self, node: usize, initiated_reset: bool) -> SelfId {
        let node = &self.nodes[node];
        let PhyTraits {
            link_active,
            contender,
            power_class,
        } = node.traits;
        SelfId {
            phy: 0,
            link_active,
            gap_count: GAP_COUNT_MAX,
            speed: node.config.speed,
            contender,
            power_class,
            initiated_reset,
            ports: vec![PortStatus::NotConnected; self.topology.ports()],
        }
    }

    /// The table says nothing of nodes of IEEE 1394b between others, whose delays are larger.
    fn fitting_gap_count(&self) -> u8 {
        let has_beta_repeaters =
            self.by_phy
                .iter()
                .zip(&self.cabling.ports)
                .any(|(node, ports)| {
                    let is_connected =
                        |port: &&PortStatus| matches!(port, PortStatus::Parent | PortStatus::Child);
                    self.nodes[*node].config.speed > Speed::S400
                        && ports.iter().filter(is_connected).count() > 1
                });
        match GAP_COUNTS.get(self.cabling.hops) {
            Some(count) if !has_beta_repeaters => *count,
            _ => GAP_COUNT_MAX,
        }
    }
}
