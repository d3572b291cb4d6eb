//! The initiator's view of its command block agent, and the ORBs that it is given.
//!
//! Serialised operation (depth 1) writes each ORB's address to ORB_POINTER, with a null next_ORB,
//! and waits for its status. With a greater depth, an ORB that finds others outstanding is linked
//! to the last one, and the doorbell is rung; ORB_POINTER is never written while ORBs are
//! outstanding.

mod recovery;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use ohci_raw::bus::{Address, Instant, Operation, RCode, Response, Token};
use zerocopy::IntoBytes;

use self::recovery::Recovery;
use super::command::{Command, CommandError, CommandTag};
use super::context::Context;
use super::memory::{COMMAND_SLOTS, Place};
use super::notice::{ManagementError, Notice};
use super::refusals::Refusal;
use super::task::{self, MAX_ATTEMPTS, Task, Waiting};
use crate::wire::{
    AgentRegister, CommandOrb, Function, Pointer, Resp, Sbp2Status, StatusBlock, StatusSource,
};

/// How long to wait before a register that was busy is written again.
const BUSY_DELAY: Duration = Duration::from_millis(10);
/// How often AGENT_RESET is tried.
const RESET_ATTEMPTS: u32 = 10;

/// What the fetch agent needs from the session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Need {
    /// A task management function, answered by [`FetchAgent::recovered`].
    Task {
        function: Function,
        orb: Option<Address>,
    },
    /// The login is of no use any more.
    GiveUp(ManagementError),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// There is no login, or it is to be reconnected.
    Down,
    /// AGENT_RESET is under way.
    Resetting { token: Token, tries: u32 },
    /// AGENT_RESET is to be written again.
    ResetAt { at: Instant, tries: u32 },
    /// ORBs are taken.
    Ready,
    /// Task management is under way.
    Recovering(Recovery),
}

/// An ORB_POINTER or DOORBELL write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Write {
    OrbPointer { slot: u32 },
    Doorbell,
}

/// The ORB of a command that has ended. The agent may read its next_ORB again until an ORB that was
/// issued later has its status.
#[derive(Debug)]
struct Ended {
    slot: u32,
    sequence: u64,
    orb: CommandOrb,
}

#[derive(Debug)]
pub(super) struct FetchAgent {
    state: State,
    agent: Address,
    gate_open: bool,
    /// How many task management functions of the owner's have not been answered. Nothing is issued
    /// meanwhile: it might be aborted without a status, or not.
    held: u32,
    urgent: VecDeque<Waiting>,
    queue: VecDeque<Waiting>,
    tasks: Vec<Option<Task>>,
    /// The slots in use, in the order in which they were issued.
    order: VecDeque<u32>,
    /// The slot of the last ORB of the list.
    tail: Option<u32>,
    ended: Option<Ended>,
    next_slot: u32,
    /// Those of which nothing has come back.
    writes: Vec<(Token, Write)>,
    /// One that is to be written again.
    retry: Option<(Instant, Write)>,
    /// Commands that end with this error when the recovery under way has succeeded.
    victims: Vec<(CommandTag, CommandError)>,
    last_tag: u64,
    pub(super) needs: VecDeque<Need>,
}

impl FetchAgent {
    pub(super) fn new() -> Self {
        Self {
            state: State::Down,
            agent: Address::new(0),
            gate_open: false,
            held: 0,
            urgent: VecDeque::new(),
            queue: VecDeque::new(),
            tasks: (0..COMMAND_SLOTS).map(|_| None).collect(),
            order: VecDeque::new(),
            tail: None,
            ended: None,
            next_slot: 0,
            writes: Vec::new(),
            retry: None,
            victims: Vec::new(),
            last_tag: 0,
            needs: VecDeque::new(),
        }
    }

    pub(super) fn next_tag(&mut self) -> CommandTag {
        self.last_tag += 1;
        CommandTag(self.last_tag)
    }

    pub(super) fn submit(&mut self, tag: CommandTag, command: Command, now: Instant) {
        let queue = if command.urgent {
            &mut self.urgent
        } else {
            &mut self.queue
        };
        queue.push_back(Waiting {
            tag,
            command,
            attempts: 0,
            last_error: None,
            issued: 0,
            since: now,
        });
    }

    pub(super) fn outstanding(&self) -> usize {
        self.order.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.urgent.len() + self.queue.len()
    }

    pub(super) fn set_gate(&mut self, open: bool) {
        self.gate_open = open;
    }

    /// The login is there, new or reconnected: the agent is reset first. The standard puts it
    /// into the RESET state at a bus reset anyway, but Linux's target does not.
    pub(super) fn up(&mut self, agent: Address, now: Instant, context: &mut Context) {
        self.interrupt();
        self.agent = agent;
        self.reset(1, now, context);
    }

    /// Whatever was outstanding is lost, and waits to be issued again in its old order.
    pub(super) fn interrupt(&mut self) {
        let victims = mem::take(&mut self.victims);
        for slot in mem::take(&mut self.order).into_iter().rev() {
            let Some(task) = self.tasks[slot as usize].take() else {
                continue;
            };
            let mut waiting = task.waiting;
            if let Some((_, error)) = victims.iter().find(|(tag, _)| *tag == waiting.tag) {
                waiting.blame(error.clone());
            }
            self.requeue(waiting);
        }
        self.tail = None;
        self.ended = None;
        self.writes.clear();
        self.retry = None;
        self.needs.clear();
        self.state = State::Down;
    }

    /// Everything ends that waits behind the gate.
    pub(super) fn fail_queue(&mut self, error: &CommandError, context: &mut Context) {
        for waiting in self.queue.drain(..) {
            context.notices.push_back(Notice::Completed {
                tag: waiting.tag,
                result: Err(error.clone()),
            });
        }
    }

    /// Ends the commands that were submitted longer ago than this.
    ///
    /// A host that was stopped, and learns only now that it was shut out, has had its time.
    pub(super) fn fail_older(
        &mut self,
        age: Duration,
        error: &CommandError,
        now: Instant,
        context: &mut Context,
    ) {
        for queue in [&mut self.urgent, &mut self.queue] {
            queue.retain(|waiting| {
                let young = now.saturating_since(waiting.since) < age;
                if !young {
                    context.notices.push_back(Notice::Completed {
                        tag: waiting.tag,
                        result: Err(error.clone()),
                    });
                }
                young
            });
        }
    }

    /// Everything ends.
    pub(super) fn fail_all(&mut self, error: &CommandError, context: &mut Context) {
        self.interrupt();
        let urgent = mem::take(&mut self.urgent);
        self.queue.extend(urgent);
        self.fail_queue(error, context);
    }

    fn reset(&mut self, tries: u32, now: Instant, context: &mut Context) {
        self.writes.clear();
        self.retry = None;
        let register = self.register(AgentRegister::AgentReset);
        let data = [0; 4];
        self.state = match context.send(register, Operation::WriteQuadlet { data }) {
            Some(token) => State::Resetting { token, tries },
            None => State::ResetAt {
                at: now + BUSY_DELAY,
                tries,
            },
        };
    }

    fn register(&self, register: AgentRegister) -> Address {
        Address::new(self.agent.get() + register.offset())
    }

    /// Queues a command before all others. If it was tried often enough, it ends when its turn
    /// comes.
    fn requeue(&mut self, waiting: Waiting) {
        if waiting.command.urgent {
            self.urgent.push_front(waiting);
        } else {
            self.queue.push_front(waiting);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::ResetAt { at, .. } => Some(at),
            State::Ready => {
                let deadlines = self.order.iter().filter_map(|&slot| {
                    let task = self.tasks[slot as usize].as_ref()?;
                    Some(task.deadline)
                });
                deadlines.chain(self.retry.map(|(at, _)| at)).min()
            }
            State::Down | State::Resetting { .. } | State::Recovering(_) => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, context: &mut Context) {
        match self.state {
            State::ResetAt { at, tries } if now >= at => self.reset(tries, now, context),
            State::Ready => {
                self.time_out(now, context);
                if let Some((at, write)) = self.retry
                    && now >= at
                    && self.state == State::Ready
                {
                    self.retry = None;
                    match write {
                        Write::OrbPointer { slot } => self.write_orb_pointer(slot, context),
                        Write::Doorbell => self.ring_doorbell(context),
                    }
                }
            }
            _ => {}
        }
    }

    /// Gives the target what it may be given now.
    pub(super) fn pump(&mut self, now: Instant, context: &mut Context) {
        while self.state == State::Ready
            && self.held == 0
            && self.order.len() < usize::from(context.config.depth.max(1))
            && context.target().is_some()
        {
            let next = self
                .urgent
                .pop_front()
                .or_else(|| self.gate_open.then(|| self.queue.pop_front()).flatten());
            let Some(mut waiting) = next else {
                return;
            };
            match waiting
                .last_error
                .take_if(|_| waiting.attempts >= MAX_ATTEMPTS)
            {
                None => self.issue(waiting, now, context),
                Some(error) => context.notices.push_back(Notice::Completed {
                    tag: waiting.tag,
                    result: Err(error),
                }),
            }
        }
    }

    fn issue(&mut self, mut waiting: Waiting, now: Instant, context: &mut Context) {
        let slot = self.free_slot();
        context.counters.orbs += 1;
        context.counters.reissued += u64::from(waiting.issued > 0);
        waiting.issued += 1;
        let task = Task::new(waiting, slot, now, context);
        self.tasks[slot as usize] = Some(task);
        let linked = !self.order.is_empty() && self.link_to_tail(slot, context);
        self.order.push_back(slot);
        self.tail = Some(slot);
        if linked {
            self.ring_doorbell(context);
        } else {
            self.write_orb_pointer(slot, context);
        }
    }

    /// The next slot of which nothing can be read any more. There are more slots than a depth can
    /// use, so one is always found.
    fn free_slot(&mut self) -> u32 {
        loop {
            let slot = self.next_slot;
            self.next_slot = (slot + 1) % COMMAND_SLOTS;
            let readable = self.ended.as_ref().is_some_and(|ended| ended.slot == slot);
            if self.tasks[slot as usize].is_none() && !readable {
                return slot;
            }
        }
    }

    fn link_to_tail(&mut self, slot: u32, context: &Context) -> bool {
        let next = Pointer::next_orb(context.layout.orb(slot));
        let Some(tail) = self.tail else {
            return false;
        };
        let orb = match (&mut self.tasks[tail as usize], &mut self.ended) {
            (Some(task), _) => &mut task.orb,
            (None, Some(ended)) if ended.slot == tail => &mut ended.orb,
            _ => return false,
        };
        orb.next_orb = next;
        true
    }

    fn ring_doorbell(&mut self, context: &mut Context) {
        let register = self.register(AgentRegister::Doorbell);
        if let Some(token) = context.send(register, Operation::WriteQuadlet { data: [0; 4] }) {
            self.writes.push((token, Write::Doorbell));
        }
    }

    fn write_orb_pointer(&mut self, slot: u32, context: &mut Context) {
        let register = self.register(AgentRegister::OrbPointer);
        let pointer = context.pointer(context.layout.orb(slot));
        let data = Vec::from(pointer.as_bytes());
        if let Some(token) = context.send(register, Operation::WriteBlock { data }) {
            self.writes.push((token, Write::OrbPointer { slot }));
        }
    }

    pub(super) fn handle_response(
        &mut self,
        token: Token,
        rcode: RCode,
        now: Instant,
        context: &mut Context,
    ) {
        if let State::Resetting { token: own, tries } = self.state
            && own == token
        {
            match rcode {
                RCode::COMPLETE => self.state = State::Ready,
                // The event that tells of the bus reset is on its way.
                RCode::GENERATION => {}
                _ if tries < RESET_ATTEMPTS => {
                    self.state = State::ResetAt {
                        at: now + BUSY_DELAY,
                        tries: tries + 1,
                    };
                }
                _ => {
                    let error = ManagementError::AgentLost(rcode);
                    self.needs.push_back(Need::GiveUp(error));
                }
            }
            return;
        }
        let Some(index) = self.writes.iter().position(|(own, _)| *own == token) else {
            return;
        };
        match self.writes.swap_remove(index).1 {
            Write::Doorbell => match rcode {
                // A conflict only says that the agent was active, and so will come upon the ORB.
                RCode::COMPLETE | RCode::CONFLICT_ERROR | RCode::GENERATION => {}
                // A pointer that is still to be written leads to the whole list.
                _ if self.retry.is_some() => {}
                // To ring once too often does no harm.
                _ => self.retry = Some((now + BUSY_DELAY, Write::Doorbell)),
            },
            Write::OrbPointer { slot } => self.pointer_written(slot, rcode, now, context),
        }
    }

    fn pointer_written(&mut self, slot: u32, rcode: RCode, now: Instant, context: &mut Context) {
        // The status may have come first.
        if self.state != State::Ready || !self.order.contains(&slot) {
            return;
        }
        match rcode {
            // Without a response the agent may have the pointer all the same (OXUF936QSE bridges
            // answer late): its status, or the command's deadline, will tell. To write it twice
            // could run the command twice.
            RCode::COMPLETE | RCode::CANCELLED | RCode::GENERATION => {}
            RCode::BUSY => self.retry = Some((now + BUSY_DELAY, Write::OrbPointer { slot })),
            // The target may have it, or not.
            RCode::NO_ACK => {
                if let Some(task) = &self.tasks[slot as usize] {
                    let error = CommandError::Refused(rcode);
                    self.victims.push((task.waiting.tag, error));
                }
                self.abort_outstanding(context);
            }
            _ => {
                self.order.retain(|&other| other != slot);
                if let Some(mut task) = self.tasks[slot as usize].take() {
                    task.waiting.blame(CommandError::Refused(rcode));
                    self.requeue(task.waiting);
                }
                self.restart(now, context);
            }
        }
    }

    pub(super) fn handle_status(
        &mut self,
        block: StatusBlock,
        now: Instant,
        context: &mut Context,
    ) {
        let slot = match context.layout.locate(block.orb) {
            Some(Place::Orb { slot, offset: 0 }) if self.order.contains(&slot) => slot,
            place => {
                // A slot of ours had an ORB once, or never: that is all one to a late target.
                match place {
                    Some(Place::Orb { offset: 0, .. } | Place::ManagementOrb { offset: 0, .. }) => {
                        context.counters.stale_status += 1
                    }
                    _ => context.refuse(Refusal::ForeignStatus),
                }
                // The agent has died of something after its last ORB, such as a look at its
                // next_ORB.
                let last = self.ended.as_ref().map(|ended| ended.slot);
                let of_last =
                    matches!(place, Some(Place::Orb { slot, offset: 0 }) if Some(slot) == last);
                if of_last && block.dead() && self.state == State::Ready {
                    self.restart(now, context);
                }
                return;
            }
        };
        let Some(task) = self.tasks[slot as usize].take() else {
            return;
        };
        self.order.retain(|&other| other != slot);
        // The agent stopped here before the next ORB was linked; it may have missed the bell.
        let missed = block.source() == StatusSource::OrbNextNull
            && !task.orb.next_orb.is_null()
            && !self.order.is_empty();
        let sequence = task.sequence;
        if self.ended.as_ref().is_none_or(|it| it.sequence < sequence) {
            let orb = task.orb;
            self.ended = Some(Ended {
                slot,
                sequence,
                orb,
            });
        }
        let dead = block.dead();
        self.end(task, block, context);
        if self.state == State::Ready {
            if dead {
                self.restart(now, context);
            } else if missed {
                self.ring_doorbell(context);
            }
        }
    }

    fn end(&mut self, mut task: Task, block: StatusBlock, context: &mut Context) {
        let tag = task.waiting.tag;
        if let Some(index) = self.victims.iter().position(|(victim, _)| *victim == tag) {
            let (_, error) = self.victims.swap_remove(index);
            // A command that came too late is welcome all the same. One that was made a dummy
            // may not have been carried out, whatever the status says.
            if error == CommandError::Aborted {
                let result = Err(error);
                context.notices.push_back(Notice::Completed { tag, result });
                return;
            }
        }
        let carried_out = block.resp() == Resp::RequestComplete
            && match block.sbp_status() {
                Sbp2Status::OK => true,
                // Oxford's 911 says so of commands that it answers with valid sense.
                Sbp2Status::FUNCTION_REJECTED => !block.command_set_dependent.is_empty(),
                _ => false,
            };
        if carried_out {
            let result = Ok(task.complete(block.command_set_dependent));
            context.notices.push_back(Notice::Completed { tag, result });
            return;
        }
        let passing = match block.resp() {
            Resp::TransportFailure => true,
            // Somebody reset the logical unit.
            Resp::RequestComplete => block.sbp_status() == Sbp2Status::REQUEST_ABORTED,
            Resp::IllegalRequest | Resp::VendorDependent => false,
        };
        let error = CommandError::Failed(block);
        if passing {
            task.waiting.blame(error);
            self.requeue(task.waiting);
        } else {
            let result = Err(error);
            context.notices.push_back(Notice::Completed { tag, result });
        }
    }

    pub(super) fn serve(
        &mut self,
        place: Place,
        operation: &Operation,
    ) -> Result<Response, Refusal> {
        let refused = Err(Refusal::NothingThere);
        let (Place::Orb { slot, .. } | Place::PageTable { slot, .. } | Place::Data { slot, .. }) =
            place
        else {
            return refused;
        };
        let ended = self.ended.as_ref().filter(|ended| ended.slot == slot);
        let task = self.tasks.get_mut(slot as usize).and_then(Option::as_mut);
        match (place, task) {
            (Place::Orb { offset, .. }, Some(task)) => {
                task::serve_orb(&task.orb, offset, operation)
            }
            (Place::Orb { offset, .. }, None) => ended.map_or(refused, |ended| {
                task::serve_orb(&ended.orb, offset, operation)
            }),
            (Place::PageTable { offset, .. }, Some(task)) => {
                task.serve_page_table(offset, operation)
            }
            (Place::Data { offset, .. }, Some(task)) => task.serve_data(offset, operation),
            _ => refused,
        }
    }
}
