//! Packets that a link cannot take yet.
//!
//! On a real bus the receiver answers ack_busy, and the sender's link tries again soon, as often as
//! it was told to. Here the packet stays with the receiver, which takes it as soon as it can: what
//! is seen is the same, but for the order among several senders, which is that of their first
//! tries.

use core::time::Duration;

use super::bus::{Bus, Due};
use super::node::{NodeIndex, Owner};
use crate::bus::{RCode, RequestHandle, Token};

/// How often links send a busy packet again unless [`Bus::set_retries`] says something else: what
/// Linux sets for requests (`OHCI1394_MAX_AT_REQ_RETRIES`).
pub const RETRIES: u8 = 15;

/// How long one try to send a packet lasts. A real bus takes less than a cycle for one, 125 µs, and
/// real hosts make room as fast. Emulated ones are slower by far, so all tries together last for
/// 1.6 s with [`RETRIES`]; that is shorter than [`SPLIT_TIMEOUT`](super::SPLIT_TIMEOUT).
pub const RETRY_INTERVAL: Duration = Duration::from_millis(100);

impl Bus {
    /// Sets how often a node's link sends a busy packet again, after its first try. Counts for
    /// packets that arrive from now on.
    pub fn set_retries(&mut self, node: NodeIndex, retries: u8) {
        self.nodes[node.0].retries = retries;
    }

    /// A controller's link takes a request that it was told of, and its answer comes later. What is
    /// answered or refused at once needs no acknowledgement. Nothing comes of a second one, nor of
    /// one for a request that is not there any more, see [`Self::is_open`].
    pub fn acknowledge(&mut self, node: NodeIndex, handle: RequestHandle) {
        let open = self.requests.get(&handle.0);
        let id = open.filter(|open| open.node == node.0);
        if let Some(id) = id.and_then(|open| open.transaction)
            && self
                .transactions
                .get(&id)
                .is_some_and(|pending| pending.busy.is_some())
        {
            self.tell_acknowledged(id);
        }
    }

    /// Whether a request that the node was told of is still there to be taken or answered: not
    /// after a bus reset, nor after the last retry of a sender who was told [`RCode::BUSY`].
    #[must_use]
    pub fn is_open(&self, node: NodeIndex, handle: RequestHandle) -> bool {
        let open = self.requests.get(&handle.0);
        open.is_some_and(|open| open.node == node.0)
    }

    /// Whether somebody waits for the answer to a request that the node was told of: not behind the
    /// split timeout, nor for a broadcast.
    #[must_use]
    pub fn is_awaited(&self, node: NodeIndex, handle: RequestHandle) -> bool {
        let open = self.requests.get(&handle.0);
        let id = open.filter(|open| open.node == node.0);
        id.and_then(|open| open.transaction)
            .is_some_and(|id| self.transactions.contains_key(&id))
    }

    /// The next transaction of a controller whose packet was acknowledged as pending: its
    /// [`Event::Response`](crate::bus::Event::Response) comes later, or is there to be polled
    /// already.
    pub fn poll_acknowledged(&mut self, node: NodeIndex) -> Option<Token> {
        match &mut self.nodes[node.0].owner {
            Owner::Controller { acknowledged, .. } => acknowledged.pop_front(),
            Owner::Host { .. } | Owner::Machine(_) => None,
        }
    }

    /// A request has reached a link: that of a controller takes its time.
    pub(super) fn reach_link(&mut self, to: usize, id: u64) {
        if !self.nodes[to].is_controller() {
            return self.tell_acknowledged(id);
        }
        let Some(pending) = self.transactions.get(&id) else {
            return;
        };
        let tries = u32::from(self.nodes[pending.sender].retries) + 1;
        let end = self.now + RETRY_INTERVAL * tries;
        let key = self.schedule(end, Due::OutOfRetries { transaction: id });
        if let Some(pending) = self.transactions.get_mut(&id) {
            pending.busy = Some(key);
        }
    }

    /// The packet of a transaction was taken.
    pub(super) fn tell_acknowledged(&mut self, id: u64) {
        let Some(pending) = self.transactions.get_mut(&id) else {
            return;
        };
        let (sender, token) = (pending.sender, pending.token);
        if let Some(busy) = pending.busy.take() {
            self.agenda.remove(&busy);
        }
        if let Owner::Controller { acknowledged, .. } = &mut self.nodes[sender].owner {
            acknowledged.push_back(token);
        }
    }

    /// The packet of a transaction was never taken.
    pub(super) fn give_up(&mut self, id: u64) {
        self.requests.retain(|_, open| open.transaction != Some(id));
        self.finish(id, RCode::BUSY, alloc::vec::Vec::new());
    }
}
