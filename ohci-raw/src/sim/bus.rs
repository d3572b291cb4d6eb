//! The bus itself: its nodes, and the agenda of what is to happen when.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::cabling::{Cabling, Topology};
use super::counters::Counters;
use super::faults::{FaultInjector, OperationKind};
use super::node::{Node, NodeIndex, Owner};
use super::phy::Gap;
use super::wire::Timing;
use crate::bus::{
    Action, Address, Event, Generation, Instant, Machine, NodeId, Operation, RCode, Speed, Token,
};
use crate::phy::SelfId;

/// How long Linux waits for a response. The standard's own value, 100 ms, proved too short for
/// slow devices.
pub const SPLIT_TIMEOUT: Duration = Duration::from_secs(2);

/// How many transactions of one host may be under way at a time: Linux has 64 transaction labels
/// for each controller. Machines and controllers are not limited: the former are hardware with
/// queues of their own, the latter have a driver that counts its labels.
pub const TRANSACTION_LABELS: usize = 64;

/// How many steps one call takes at most. Machines that never fall silent would otherwise keep
/// the caller for ever; what is left is due at once, see [`Bus::poll_timeout`].
const STEPS_PER_CALL: usize = 1 << 16;

/// A virtual bus. See the [module](super) for what it models.
pub struct Bus {
    pub(super) timing: Timing,
    pub(super) split_timeout: Duration,
    pub(super) now: Instant,
    pub(super) wire_free: Instant,
    pub(super) nodes: Vec<Node>,
    /// The attached nodes in the order in which they are cabled. That of their ids where the last
    /// one is root.
    pub(super) order: Vec<usize>,
    /// The nodes by the physical id that they have now.
    pub(super) by_phy: Vec<usize>,
    /// The shape from the next reset on.
    pub(super) topology: Topology,
    /// The cables between the nodes that have an id now.
    pub(super) cabling: Cabling,
    /// What those nodes said of themselves, in the order of ids.
    pub(super) self_ids: Vec<SelfId>,
    pub(super) gap: Gap,
    /// Who was made root.
    pub(super) root: Option<usize>,
    /// Who is to be root at the next reset.
    pub(super) forced_root: Option<usize>,
    pub(super) generation: Generation,
    /// How many generations were given out, also to nodes that are not attached.
    pub(super) generations: u32,
    /// Sorted by time, then by the order of entry: that makes the bus deterministic.
    pub(super) agenda: BTreeMap<(Instant, u64), Due>,
    pub(super) entries: u64,
    pub(super) transactions: BTreeMap<u64, Pending>,
    pub(super) transactions_begun: u64,
    pub(super) requests: BTreeMap<u64, Open>,
    pub(super) next_handle: u64,
    /// Handles below are those of requests from before the last reset.
    pub(super) first_handle: u64,
    /// Until when requests from one node to another wait behind a delayed one.
    pub(super) held: BTreeMap<(usize, usize), Instant>,
    pub(super) faults: Option<Box<dyn FaultInjector>>,
    pub(super) counters: Counters,
}

/// Something that is to happen.
pub(super) enum Due {
    /// A request reaches its destination.
    Request(Arrival),
    /// A response, or an acknowledgement that ends the transaction, reaches the requester.
    Response {
        transaction: u64,
        rcode: RCode,
        data: Vec<u8>,
    },
    SplitTimeout {
        transaction: u64,
    },
    /// A packet reaches a link that acknowledges it as pending, and nothing else comes of it.
    Acknowledge {
        transaction: u64,
    },
    /// The sender's retries of a busy packet run out.
    OutOfRetries {
        transaction: u64,
    },
    /// What a machine's `poll_timeout` asked for.
    Timer(usize),
    /// A machine is told something. Never at once, so that no machine runs inside another.
    Event(usize, Event),
}

pub(super) struct Arrival {
    /// `None` if nobody waits for the response.
    pub(super) transaction: Option<u64>,
    pub(super) source: usize,
    pub(super) source_id: NodeId,
    /// `None`: a broadcast.
    pub(super) destination: Option<usize>,
    pub(super) address: Address,
    pub(super) operation: Operation,
}

/// A transaction under way, on the requester's side.
pub(super) struct Pending {
    pub(super) sender: usize,
    pub(super) token: Token,
    pub(super) destination: Option<usize>,
    pub(super) speed: Speed,
    pub(super) address: Address,
    pub(super) operation: OperationKind,
    /// Where its split timeout stands in the agenda.
    pub(super) deadline: (Instant, u64),
    /// Where the end of its retries stands there, while the receiver is busy.
    pub(super) busy: Option<(Instant, u64)>,
}

/// A request that waits for its answer, on the responder's side.
pub(super) struct Open {
    pub(super) node: usize,
    pub(super) transaction: Option<u64>,
    pub(super) expected: usize,
}

impl Bus {
    /// A bus without nodes, at the start of its clock.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            split_timeout: SPLIT_TIMEOUT,
            now: Instant::ZERO,
            wire_free: Instant::ZERO,
            nodes: Vec::new(),
            order: Vec::new(),
            by_phy: Vec::new(),
            topology: Topology::default(),
            cabling: Cabling::default(),
            self_ids: Vec::new(),
            gap: Gap::default(),
            root: None,
            forced_root: None,
            generation: Generation(0),
            generations: 0,
            agenda: BTreeMap::new(),
            entries: 0,
            transactions: BTreeMap::new(),
            transactions_begun: 0,
            requests: BTreeMap::new(),
            next_handle: 0,
            first_handle: 0,
            held: BTreeMap::new(),
            faults: None,
            counters: Counters::default(),
        }
    }

    /// How long requesters wait for a response, from the moment of sending; counts for requests
    /// sent from now on. [`SPLIT_TIMEOUT`] unless set.
    pub const fn set_split_timeout(&mut self, timeout: Duration) {
        self.split_timeout = timeout;
    }

    /// Puts an injector in charge of the fate of every packet sent from now on, or none.
    pub fn set_fault(&mut self, injector: Option<Box<dyn FaultInjector>>) {
        self.faults = injector;
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The latest instant that the bus was told of.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The next event for a host or a controller. Machines have theirs handed to them; for them this is `None`.
    pub fn poll_event(&mut self, host: NodeIndex) -> Option<Event> {
        match &mut self.nodes[host.0].owner {
            Owner::Host { events } | Owner::Controller { events, .. } => events.pop_front(),
            Owner::Machine(_) => None,
        }
    }

    /// Whether [`Self::poll_event`] or [`Self::poll_acknowledged`] has something.
    #[must_use]
    pub fn has_event(&self, host: NodeIndex) -> bool {
        match &self.nodes[host.0].owner {
            Owner::Host { events } => !events.is_empty(),
            Owner::Controller {
                events,
                acknowledged,
            } => !events.is_empty() || !acknowledged.is_empty(),
            Owner::Machine(_) => false,
        }
    }

    /// Drops what a host or a controller was not told yet.
    pub fn forget_events(&mut self, node: NodeIndex) {
        match &mut self.nodes[node.0].owner {
            Owner::Host { events } => events.clear(),
            Owner::Controller {
                events,
                acknowledged,
            } => {
                events.clear();
                acknowledged.clear();
            }
            Owner::Machine(_) => {}
        }
    }

    /// When [`Self::handle_timeout`] is to be called, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    /// Does everything that is due by `now`, each thing at its own time: packets arrive, split
    /// timeouts end, machines run. A time before an earlier one is taken as the earlier one.
    ///
    /// One call takes a bounded number of steps. If machines have still more to do at once,
    /// [`Self::poll_timeout`] says so by naming a time that is not later than `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.run(now);
    }

    /// Runs the machine of a node whose state was changed from outside, as by a test that shares
    /// it: takes its actions and asks anew for its timeout.
    pub fn wake_machine(&mut self, node: NodeIndex, now: Instant) {
        self.run(now);
        self.with_machine(node.0, |_, _| {});
        self.run(now);
    }

    pub(super) fn run(&mut self, now: Instant) {
        let now = now.max(self.now);
        for _ in 0..STEPS_PER_CALL {
            match self.agenda.first_entry() {
                Some(entry) if entry.key().0 <= now => {
                    let ((at, _), due) = entry.remove_entry();
                    self.now = self.now.max(at);
                    self.step(due);
                }
                _ => break,
            }
        }
        self.now = now;
    }

    fn step(&mut self, due: Due) {
        match due {
            Due::Request(arrival) => self.arrive(arrival),
            Due::Response {
                transaction,
                rcode,
                data,
            } => self.finish(transaction, rcode, data),
            Due::SplitTimeout { transaction } => self.time_out(transaction),
            Due::Acknowledge { transaction } => self.tell_acknowledged(transaction),
            Due::OutOfRetries { transaction } => self.give_up(transaction),
            Due::Timer(node) => {
                self.nodes[node].timer = None;
                self.with_machine(node, |machine, now| machine.handle_timeout(now));
            }
            Due::Event(node, event) => {
                self.with_machine(node, |machine, now| machine.handle(event, now));
            }
        }
    }

    /// Enters something into the agenda; the key is for taking it out again.
    pub(super) fn schedule(&mut self, at: Instant, due: Due) -> (Instant, u64) {
        let key = (at.max(self.now), self.entries);
        self.entries += 1;
        self.agenda.insert(key, due);
        key
    }

    pub(super) fn tell(&mut self, node: usize, event: Event) {
        match &mut self.nodes[node].owner {
            Owner::Host { events } | Owner::Controller { events, .. } => events.push_back(event),
            Owner::Machine(_) => {
                self.schedule(self.now, Due::Event(node, event));
            }
        }
    }

    fn with_machine(&mut self, node: usize, run: impl FnOnce(&mut dyn Machine, Instant)) {
        let Owner::Machine(slot) = &mut self.nodes[node].owner else {
            return;
        };
        let Some(mut machine) = slot.take() else {
            return;
        };
        run(&mut *machine, self.now);
        while let Some(action) = machine.poll_action() {
            match action {
                Action::Send(transaction) => self.begin(node, transaction),
                Action::Respond { handle, response } => {
                    // The requester was answered with an error; the machine cannot be told.
                    let _counted = self.answer(node, handle, response);
                }
            }
        }
        self.arm(node, machine.poll_timeout());
        self.nodes[node].owner = Owner::Machine(Some(machine));
    }

    /// Enters a machine's timeout into the agenda in place of the last one.
    fn arm(&mut self, node: usize, timeout: Option<Instant>) {
        let timer = self.nodes[node].timer;
        if timer.map(|(at, _)| at) == timeout {
            return;
        }
        if let Some(key) = timer {
            self.agenda.remove(&key);
        }
        self.nodes[node].timer = timeout.map(|at| self.schedule(at, Due::Timer(node)));
    }
}
