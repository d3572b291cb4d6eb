use alloc::collections::VecDeque;

use ohci_raw::bus::{Action, Address, Generation, NodeId, Operation, Token, Transaction};

use super::memory::Layout;
use super::refusals::Refusal;
use super::{Config, Counters, Notice};
use crate::wire::Pointer;

/// Both ends of the conversation in the current generation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) generation: Generation,
    pub(super) local: NodeId,
    /// `None` while the target is not on the bus, or not known yet.
    pub(super) target: Option<NodeId>,
}

/// What the session and the fetch agent share: the link, and what goes out.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) layout: Layout,
    pub(super) link: Option<Link>,
    pub(super) actions: VecDeque<Action>,
    pub(super) notices: VecDeque<Notice>,
    pub(super) counters: Counters,
    sent: u64,
}

impl Context {
    pub(super) fn new(config: Config, layout: Layout) -> Self {
        Self {
            config,
            layout,
            link: None,
            actions: VecDeque::new(),
            notices: VecDeque::new(),
            counters: Counters::default(),
            sent: 0,
        }
    }

    pub(super) fn target(&self) -> Option<NodeId> {
        self.link.and_then(|link| link.target)
    }

    /// Sends a request to the target. `None`, and nothing is sent, while it is not on the bus.
    pub(super) fn send(&mut self, address: Address, operation: Operation) -> Option<Token> {
        let link = self.link?;
        let destination = link.target?;
        self.sent += 1;
        let token = Token(u64::from(self.config.instance) << 56 | self.sent & ((1 << 56) - 1));
        self.actions.push_back(Action::Send(Transaction {
            token,
            destination,
            generation: link.generation,
            speed: self.config.speed,
            address,
            operation,
        }));
        Some(token)
    }

    /// The login that an earlier process of this host has noted, if it can still be there.
    pub(super) fn noted_remnant(&self) -> Option<u16> {
        let generation = self.link?.generation;
        let remnant = self.config.remnant?;
        (remnant.generation == generation).then_some(remnant.login_id)
    }

    /// Counts a refusal, and tells of the first of its kind.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        if self.counters.refusals.count(refusal) {
            self.notices.push_back(Notice::Refused(refusal));
        }
    }

    /// A pointer into this host's memory, with its node id of the current generation.
    pub(super) fn pointer(&self, address: Address) -> Pointer {
        let local = self.link.map_or(NodeId(0), |link| link.local);
        Pointer::new(local, address)
    }
}
