//! A 1394 Open Host Controller on the virtual bus: a model of the hardware (OHCI release 1.1) for
//! which operating systems have drivers, such as Linux's `drivers/firewire/ohci.c`.
//!
//! [`Controller`] does no I/O and has no clock. Whoever presents it to a machine hands in the
//! accesses to its registers and the time, gives it the machine's memory ([`Memory`]), and takes
//! from it what is to be signalled ([`Controller::pending`]).
//!
//! ```text
//!  driver's program ──> transmit ──> outgoing ──> bus
//!  driver's buffers <── receive  <── incoming <── bus
//!                                       └──> answered by the hardware: ROM, CSRs, memory
//! ```
//!
//! # What is modelled
//! - Every register, with accesses of 32 bits; what is reserved reads as 0 and ignores writes.
//! - The PHY's registers, and what they do to the bus: resets, contending, root hold-off.
//! - Bus resets: the events, the node's id, self-ID packets in memory, the packet in the receive
//!   context for requests, filters, the change of the configuration ROM. Nothing is sent while
//!   the event of a bus reset is not cleared.
//! - Both transmit and both receive contexts, with any program that chapters 7 and 8 allow. One
//!   that never ends is paced.
//! - Busy receivers: a request for which there is no room waits until software makes some, and the
//!   transmit context that sent it waits too. After as many retries as ATRetries has, it ends with
//!   ack_busy_X. A receive context that does not run is busy at once. A packet that would stop Linux's
//!   driver (see `receive`) waits as if there were no room.
//! - What the hardware answers itself: reads of the configuration ROM, the four CSRs, and the
//!   memory below [`PhyUpperBound`](ohci_raw::regs::PHY_UPPER_BOUND) for nodes that the filter
//!   names. Posted writes.
//! - The cycle timer, and the events cycle64Seconds and cycleSynch.
//!
//! # What is not
//! - Isochronous contexts: they are reported, and die when they are to run. Streams go nowhere.
//! - Time on the bus: what is sent arrives at once. Only retries take time, and more than on a real
//!   bus: see [`RETRY_INTERVAL`](ohci_raw::sim::RETRY_INTERVAL).
//! - Busy responses: one for which the requester has no room waits there without limit, and its
//!   sender has been told ack_complete. The other fields of ATRetries do nothing.
//! - Split timeouts: the hardware has none for requests that it sent. SPLIT_TIMEOUT is a register of
//!   the node's software, which waits for the response by its own clock. A late response is received
//!   under its label, as on a real bus; it is lost where it comes later than
//!   [`Bus::set_split_timeout`] allows.
//! - A controller whose link is off is no node of the bus.
//! - PHY packets but those of configuration; the GUID ROM; ack_tardy; cycle starts, and with that
//!   the events of cycles that are lost, too long or inconsistent; dual-phase retries.
//! - A broadcast names this node as its destination.

mod bus_reset;
mod context;
mod incoming;
mod isochronous;
mod memory;
mod outgoing;
mod receive;
mod registers;
#[cfg(test)]
mod tests;
mod transmit;
mod window;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ohci_raw::bus::{
    Event, Generation, IncomingRequest, Instant, NodeId, RequestHandle, Speed, Token,
};
use ohci_raw::packet::ResponseKind;
use ohci_raw::phy::{PhyEffect, PhyRegisters};
use ohci_raw::regs::{ContextControl, HcControl, IntEvent};
use ohci_raw::sim::{Bus, NodeIndex};

pub use self::memory::{DmaError, Memory};
use self::receive::Receive;
use self::registers::{ISO_CONTEXTS, Registers};
use self::transmit::Transmit;

/// Power class: the node has its own power and repeats only.
const POWER_CLASS: u8 = 0;
/// The PHY's vendor and product: nobody's.
const PHY_VENDOR: u32 = 0;
const PHY_PRODUCT: u32 = 0;

/// Which of a pair of contexts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Request,
    Response,
}

/// A transaction of this node that waits for its response.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    peer: NodeId,
    label: u8,
    kind: ResponseKind,
    speed: Speed,
    /// Whether it is a write, which needs no response packet.
    writes: bool,
}

/// An OHCI controller. See the [module](self).
pub struct Controller {
    node: NodeIndex,
    memory: Arc<dyn Memory>,
    registers: Registers,
    phy: PhyRegisters,
    id: NodeId,
    /// Counts the bus resets that this node has seen.
    generation: u8,
    /// The bus's own count at the last one: behind it, the node's id is not known.
    identified: Option<Generation>,
    at_request: Transmit,
    at_response: Transmit,
    ar_request: Receive,
    ar_response: Receive,
    /// Isochronous contexts, those for transmission first.
    iso_control: [ContextControl; 2 * ISO_CONTEXTS.count_ones() as usize],
    csr_data: u32,
    csr_compare: u32,
    csr_control: u32,
    /// Up to when the events of the cycle timer were raised.
    ticked: Instant,
    outstanding: BTreeMap<Token, Outstanding>,
    next_token: u64,
    /// Requests that software is to answer, by who sent them and the label that they were given.
    /// Those from before a bus reset stay: an answer that comes late must not be taken for another.
    unanswered: BTreeMap<(NodeId, u8), RequestHandle>,
    /// Requests for software for which there was no room so far.
    offered: VecDeque<IncomingRequest>,
    /// What the bus told while something was being sent.
    backlog: VecDeque<Event>,
    acknowledged: VecDeque<Token>,
    /// How many packets were sent at this instant.
    burst: (Instant, u32),
    /// When to go on after too many.
    resume: Option<Instant>,
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller")
            .field("node", &self.node)
            .field("id", &self.id)
            .field("registers", &self.registers)
            .finish_non_exhaustive()
    }
}

impl Controller {
    /// A controller after power-on, which is the node `node` of the bus
    /// ([`Bus::add_controller`]), in a machine with this memory.
    #[must_use]
    pub fn new(bus: &Bus, node: NodeIndex, memory: Arc<dyn Memory>) -> Self {
        let config = bus.config(node);
        Self {
            node,
            memory,
            registers: Registers::new(config.eui64, bus_options(config.speed)),
            phy: PhyRegisters::new(POWER_CLASS, PHY_VENDOR, PHY_PRODUCT),
            id: NodeId::local(0),
            generation: 0,
            identified: None,
            at_request: Transmit::default(),
            at_response: Transmit::default(),
            ar_request: Receive::default(),
            ar_response: Receive::default(),
            iso_control: [ContextControl::empty(); 2 * ISO_CONTEXTS.count_ones() as usize],
            csr_data: 0,
            csr_compare: 0,
            csr_control: 0,
            ticked: bus.now(),
            outstanding: BTreeMap::new(),
            next_token: 0,
            unanswered: BTreeMap::new(),
            offered: VecDeque::new(),
            backlog: VecDeque::new(),
            acknowledged: VecDeque::new(),
            burst: (Instant::ZERO, 0),
            resume: None,
        }
    }

    /// The unmasked events, as they are to be signalled to the machine: an interrupt while any is
    /// set.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.registers.pending()
    }

    /// Takes in what the bus tells, and sends what the driver has appended. To be called after
    /// everything that is done on the bus.
    pub fn run(&mut self, bus: &mut Bus, now: Instant) {
        loop {
            self.listen(bus);
            // What a packet has led to comes before the next packet.
            if let Some(token) = self.acknowledged.pop_front() {
                self.sent_is_taken(token, now);
            } else if let Some(event) = self.backlog.pop_front() {
                match event {
                    Event::BusReset(reset) => self.bus_reset(bus, &reset, now),
                    Event::Response { token, rcode, data } => {
                        self.response(token, rcode, &data, now);
                    }
                    Event::Request(request) => self.request(bus, request, now),
                }
            } else if !self.send_next(bus, Side::Request, now)
                && !self.send_next(bus, Side::Response, now)
                && !self.take_offered(bus, now)
            {
                break;
            }
        }
    }

    fn listen(&mut self, bus: &mut Bus) {
        while let Some(token) = bus.poll_acknowledged(self.node) {
            self.acknowledged.push_back(token);
        }
        while let Some(event) = bus.poll_event(self.node) {
            self.backlog.push_back(event);
        }
    }

    /// When [`Self::handle_timeout`] is to be called, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let awaits = |event| {
            self.registers.int_mask.contains(event) && !self.registers.int_event.contains(event)
        };
        let timer = self.registers.cycle_timer;
        let minute = awaits(IntEvent::CYCLE_64_SECONDS).then(|| timer.next_64_seconds(self.ticked));
        let cycle = awaits(IntEvent::CYCLE_SYNCH).then(|| timer.next_cycle(self.ticked));
        [minute, cycle, self.resume].into_iter().flatten().min()
    }

    /// Does what is due: the events of the cycle timer, and packets that had to wait.
    pub fn handle_timeout(&mut self, bus: &mut Bus, now: Instant) {
        self.tick(now);
        if self.resume.is_some_and(|at| at <= now) {
            self.resume = None;
            self.run(bus, now);
        }
    }

    fn tick(&mut self, now: Instant) {
        let timer = self.registers.cycle_timer;
        if timer.next_64_seconds(self.ticked) <= now {
            self.raise(IntEvent::CYCLE_64_SECONDS);
        }
        if timer.next_cycle(self.ticked) <= now {
            self.raise(IntEvent::CYCLE_SYNCH);
        }
        self.ticked = self.ticked.max(now);
    }

    /// Ends the machine's part: the node leaves the bus.
    pub fn power_off(&mut self, bus: &mut Bus, now: Instant) {
        self.soft_reset(bus, now);
    }

    /// Everything as after power-on; the node leaves the bus with that, as its link goes off.
    fn soft_reset(&mut self, bus: &mut Bus, now: Instant) {
        bus.detach(self.node, now);
        let fresh = Self::new(bus, self.node, Arc::clone(&self.memory));
        *self = Self {
            generation: self.generation,
            next_token: self.next_token,
            ..fresh
        };
        bus.forget_events(self.node);
        self.set_retries(bus);
    }

    /// Has the bus repeat requests as often as ATRetries says.
    fn set_retries(&self, bus: &mut Bus) {
        bus.set_retries(self.node, (self.registers.at_retries & 0xf) as u8);
    }

    fn switch_link(&mut self, bus: &mut Bus, was: HcControl, now: Instant) {
        let is_on = |control: HcControl| control.contains(HcControl::LINK_ENABLE);
        match (is_on(was), is_on(self.registers.hc_control)) {
            (false, true) => {
                bus.set_phy_traits(self.node, self.phy.traits());
                bus.reattach(self.node, now);
            }
            (true, false) => bus.detach(self.node, now),
            _ => {}
        }
    }

    fn do_to_bus(&self, bus: &mut Bus, effect: PhyEffect, now: Instant) {
        bus.set_phy_traits(self.node, self.phy.traits());
        match effect {
            PhyEffect::None => {}
            PhyEffect::ShortReset | PhyEffect::LongReset => {
                if self.phy.root_hold_off() {
                    bus.force_root(self.node);
                }
                bus.reset_from(self.node, now);
            }
        }
    }

    fn raise(&mut self, event: IntEvent) {
        self.registers.int_event |= event;
    }
}

/// Capabilities of isochronous resource manager, cycle master, isochronous data and bus manager;
/// max_rec as the speed has it, and the speed.
const fn bus_options(speed: Speed) -> u32 {
    let max_rec = 8 + speed.code() as u32;
    0xf << 28 | max_rec << 12 | speed.code() as u32
}
