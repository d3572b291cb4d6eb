//! Who is on the bus, and bus resets.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

use super::bus::{Bus, Due};
use super::node::{Node, NodeConfig, NodeIndex, Owner, View};
use crate::bus::{
    AddressRange, BusReset, Event, Generation, Instant, Machine, NodeId, Peer, RCode, csr,
};

/// How many nodes can have an id: 63 is the physical id of broadcasts.
pub(super) const MAX_IDS: usize = 63;

/// Why a host could not have, or give back, an address range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AllocateError {
    /// The length must be a multiple of 4, above 0 and below 4 GiB.
    #[error("{0} bytes cannot be allocated: must be a multiple of 4, above 0 and below 4 GiB")]
    BadLength(u64),
    /// No gap is long enough.
    #[error("no free range of {0} bytes")]
    NoSpace(u64),
    /// Some of the range is claimed already, or belongs to the configuration ROM.
    #[error("some of the {} bytes from {} is claimed already", .0.length(), .0.start())]
    Overlap(AddressRange),
    /// The host does not have this range.
    #[error("no range of {} bytes from {} was allocated", .0.length(), .0.start())]
    NotAllocated(AddressRange),
}

impl Bus {
    /// Attaches a node whose events are fetched with [`Self::poll_event`], and resets the bus.
    ///
    /// A bus has ids for 63 nodes. As on a real bus, further ones get none: they are told of no
    /// reset, and what they send ends with [`RCode::GENERATION`].
    pub fn attach_host(&mut self, config: NodeConfig, now: Instant) -> NodeIndex {
        let events = VecDeque::new();
        self.attach(Node::new(config, Owner::Host { events }, Vec::new()), now)
    }

    /// Attaches a node that runs on the bus itself, and resets the bus. Requests that lie inside
    /// one of `claims`, which must not overlap, go to `machine`.
    pub fn attach_machine(
        &mut self,
        config: NodeConfig,
        claims: Vec<AddressRange>,
        machine: Box<dyn Machine + Send>,
        now: Instant,
    ) -> NodeIndex {
        let owner = Owner::Machine(Some(machine));
        self.attach(Node::new(config, owner, claims), now)
    }

    /// Adds an emulated controller whose cable is out: no bus is reset before [`Self::reattach`].
    /// Its events are fetched with [`Self::poll_event`].
    ///
    /// The bus does nothing for it. Every request to it is an [`Event::Request`] that it is to
    /// answer, whatever the address: those to its configuration ROM, to the first 4 GiB, and
    /// broadcasts, whose answers nobody reads. Nothing is posted for it, and it may have any
    /// number of transactions under way. The ROM in `config` is only what those see who ask the
    /// bus and not the node, see [`Self::set_rom`]. It says itself when its link has taken a request,
    /// see [`Self::acknowledge`], and is told when others have taken its own.
    pub fn add_controller(&mut self, config: NodeConfig, now: Instant) -> NodeIndex {
        self.run(now);
        let owner = Owner::Controller {
            events: VecDeque::new(),
            acknowledged: VecDeque::new(),
        };
        self.nodes.push(Node::new(config, owner, Vec::new()));
        NodeIndex(self.nodes.len() - 1)
    }

    fn attach(&mut self, node: Node, now: Instant) -> NodeIndex {
        self.run(now);
        let index = self.nodes.len();
        self.nodes.push(node);
        self.order.push(index);
        self.new_generation(None);
        self.run(now);
        NodeIndex(index)
    }

    /// Pulls a node's cable, and with that resets the bus. The node sees a reset too, and then
    /// itself alone.
    pub fn detach(&mut self, node: NodeIndex, now: Instant) {
        self.run(now);
        if !mem::replace(&mut self.nodes[node.0].attached, false) {
            return;
        }
        self.order.retain(|index| *index != node.0);
        self.new_generation(None);
        self.reset_alone(node.0, self.generation, false);
        self.run(now);
    }

    /// Plugs a detached node in again, and with that resets the bus. It comes last in the order
    /// of ids.
    pub fn reattach(&mut self, node: NodeIndex, now: Instant) {
        self.run(now);
        if mem::replace(&mut self.nodes[node.0].attached, true) {
            return;
        }
        self.order.push(node.0);
        self.new_generation(None);
        self.run(now);
    }

    /// Resets the bus: a new generation, ids given out anew, and whatever was under way is lost.
    /// Every requester sees [`RCode::GENERATION`] before it sees the reset. No node has begun it.
    pub fn reset(&mut self, now: Instant) {
        self.run(now);
        self.new_generation(None);
        self.run(now);
    }

    /// Resets the bus that the node sees: the one that the others are on, or while its cable is
    /// out, its own. Its self-ID says that it began the reset: that makes Linux read its
    /// configuration ROM anew.
    pub fn reset_from(&mut self, node: NodeIndex, now: Instant) {
        self.run(now);
        if self.nodes[node.0].attached {
            self.new_generation(Some(node.0));
        } else {
            let generation = self.next_generation();
            self.reset_alone(node.0, generation, true);
        }
        self.run(now);
    }

    /// Gives out ids in another order from the next reset on, as a change of cabling would: first
    /// the nodes in `first`, then the others as before. Nodes that are not attached are skipped.
    pub fn set_phy_order(&mut self, first: &[NodeIndex]) {
        self.order_as_identified();
        let before = mem::take(&mut self.order);
        for index in first
            .iter()
            .map(|node| node.0)
            .chain(before.iter().copied())
        {
            if before.contains(&index) && !self.order.contains(&index) {
                self.order.push(index);
            }
        }
    }

    /// Makes every attached node's id another one at the next reset, if there is more than one
    /// node.
    pub fn rotate_ids(&mut self) {
        self.order_as_identified();
        if !self.order.is_empty() {
            self.order.rotate_left(1);
        }
    }

    /// Ids are to change: the order is that of the ids, and its last node the root.
    fn order_as_identified(&mut self) {
        if self.root.take().is_none() {
            return;
        }
        let before = mem::take(&mut self.order);
        let identified = self.by_phy.iter().filter(|index| before.contains(index));
        self.order = identified.copied().collect();
        let others = before
            .into_iter()
            .filter(|index| !self.by_phy.contains(index));
        self.order.extend(others);
    }

    /// Claims `length` bytes of a host's address space, the first free ones where writes are
    /// posted.
    ///
    /// # Errors
    /// [`AllocateError::BadLength`], [`AllocateError::NoSpace`].
    pub fn allocate(
        &mut self,
        host: NodeIndex,
        length: u64,
    ) -> Result<AddressRange, AllocateError> {
        self.allocate_in(host, csr::POSTED_WRITES, length)
    }

    /// Claims `length` bytes of a host's address space, the first free ones in `region`.
    ///
    /// # Errors
    /// [`AllocateError::BadLength`], [`AllocateError::NoSpace`].
    pub fn allocate_in(
        &mut self,
        host: NodeIndex,
        region: AddressRange,
        length: u64,
    ) -> Result<AddressRange, AllocateError> {
        if length == 0 || !length.is_multiple_of(4) || length >= 1 << 32 {
            return Err(AllocateError::BadLength(length));
        }
        let node = &mut self.nodes[host.0];
        let range = node
            .free_range(region, length)
            .ok_or(AllocateError::NoSpace(length))?;
        node.claims.insert(range.start().get(), range);
        Ok(range)
    }

    /// Claims exactly this range of a host's address space. As on Linux, this may be in the first
    /// 4 GiB.
    ///
    /// # Errors
    /// [`AllocateError::BadLength`] where it is empty, [`AllocateError::Overlap`].
    pub fn claim(&mut self, host: NodeIndex, range: AddressRange) -> Result<(), AllocateError> {
        if range.is_empty() {
            return Err(AllocateError::BadLength(0));
        }
        let rom = AddressRange::new(csr::CONFIG_ROM, csr::CONFIG_ROM_LENGTH);
        let claims = &mut self.nodes[host.0].claims;
        if claims.values().any(|claimed| claimed.overlaps(range))
            || rom.is_ok_and(|rom| rom.overlaps(range))
        {
            return Err(AllocateError::Overlap(range));
        }
        claims.insert(range.start().get(), range);
        Ok(())
    }

    /// Gives a range back. Requests that came in for it before are still to be answered.
    ///
    /// # Errors
    /// [`AllocateError::NotAllocated`].
    pub fn deallocate(
        &mut self,
        host: NodeIndex,
        range: AddressRange,
    ) -> Result<(), AllocateError> {
        let claims = &mut self.nodes[host.0].claims;
        let start = range.start().get();
        if claims.get(&start) != Some(&range) {
            return Err(AllocateError::NotAllocated(range));
        }
        claims.remove(&start);
        Ok(())
    }

    /// Changes a node's configuration ROM. The other nodes are not told: a bus reset is to follow,
    /// for Linux one by [`Self::reset_from`].
    pub fn set_rom(&mut self, node: NodeIndex, rom: Vec<u32>) {
        self.nodes[node.0].config.rom = rom;
    }

    /// Every node that was ever attached, in the order of [`NodeIndex`].
    pub fn nodes(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        (0..self.nodes.len()).map(NodeIndex)
    }

    /// What the node is.
    #[must_use]
    pub fn config(&self, node: NodeIndex) -> &NodeConfig {
        &self.nodes[node.0].config
    }

    /// Whether the node's cable is in.
    #[must_use]
    pub fn is_attached(&self, node: NodeIndex) -> bool {
        self.nodes[node.0].attached
    }

    /// The current generation.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The node's id in the current generation; `None` while it is detached, and if it is one
    /// too many.
    #[must_use]
    pub fn id_of(&self, node: NodeIndex) -> Option<NodeId> {
        let node = &self.nodes[node.0];
        node.view.filter(|_| node.attached).map(|view| view.id)
    }

    /// Whom `id` names for the node `from`.
    pub(super) fn resolve(&self, from: usize, id: NodeId) -> Option<usize> {
        let node = &self.nodes[from];
        if !node.attached {
            return node.view.filter(|view| view.id == id).map(|_| from);
        }
        (id.bus() == NodeId::LOCAL_BUS)
            .then(|| self.by_phy.get(usize::from(id.phy())).copied())
            .flatten()
    }

    /// A number that no node has seen. Nodes whose cable is out count on by themselves, and must
    /// not find their number in use when they come back.
    fn next_generation(&mut self) -> Generation {
        self.generations = self.generations.wrapping_add(1);
        Generation(self.generations)
    }

    fn new_generation(&mut self, initiator: Option<usize>) {
        self.generation = self.next_generation();
        self.counters.resets += 1;
        self.wire_free = self.now;
        self.held.clear();
        self.agenda
            .retain(|_, due| matches!(due, Due::Timer(_) | Due::Event(..)));
        self.requests.clear();
        self.first_handle = self.next_handle;
        for (_, pending) in mem::take(&mut self.transactions) {
            self.nodes[pending.sender].labels -= 1;
            let event = Event::Response {
                token: pending.token,
                rcode: RCode::GENERATION,
                data: Vec::new(),
            };
            self.tell(pending.sender, event);
        }
        for node in &mut self.nodes {
            if node.attached {
                node.view = None;
            }
        }
        self.identify(initiator);
        let peers: Vec<Peer> = (0..)
            .zip(&self.by_phy)
            .map(|(phy, index)| Peer {
                node: NodeId::local(phy),
                eui64: self.nodes[*index].config.eui64,
            })
            .collect();
        for (peer, index) in peers.iter().zip(self.by_phy.clone()) {
            let others = peers.iter().filter(|other| other.node != peer.node);
            let others = others.copied().collect();
            self.tell_reset(index, self.generation, peer.node, others);
        }
    }

    /// A reset of which only a node without its cable learns.
    fn reset_alone(&mut self, node: usize, generation: Generation, initiated: bool) {
        self.identify_alone(node, initiated);
        self.tell_reset(node, generation, NodeId::local(0), Vec::new());
    }

    fn tell_reset(&mut self, node: usize, generation: Generation, local: NodeId, peers: Vec<Peer>) {
        self.nodes[node].view = Some(View {
            generation,
            id: local,
        });
        let reset = BusReset {
            generation,
            local,
            peers,
        };
        self.tell(node, Event::BusReset(reset));
    }
}
