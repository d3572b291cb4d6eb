//! The initiator: a host's side of a login to one logical unit.
//!
//! An [`Initiator`] is a [`Machine`]: its owner hands it the events of a bus and the time, and
//! carries out the actions that it wants. What it has to tell its owner comes out of
//! [`Initiator::poll_notice`].
//!
//! Two machines work inside. The *session* knows login, reconnect, logout and the other management
//! functions; the *fetch agent* knows the ORBs of commands. They share the address range in which
//! the target finds its ORBs and leaves its data and status (`memory`).
//!
//! # What happens at a bus reset
//! The target forgets the ORBs that it was given, without a word. The session reconnects at once,
//! within the seconds that the target keeps the login; the fetch agent is reset; and every command
//! that was outstanding is issued again, with the node ids of the new generation, in its old
//! order. The owner sees [`Notice::Reconnected`] and no error.
//!
//! # What happens when the login is lost
//! The owner sees [`Notice::LoginLost`]. Commands wait while the session logs in anew, at most for
//! the replacement timeout, after which they fail. The gate is closed then: after a new login the
//! owner looks with urgent commands whether this is still the same disk, and opens the gate. Until
//! then the timeout goes on.
//!
//! # Whom it believes
//! A request is served only if it comes from the node that has our login, in the current
//! generation, and touches the ORB, page table or data of a command under way, in that
//! command's direction. Anything else is answered with an address error and counted.

mod command;
mod config;
mod context;
mod counters;
mod fetch_agent;
mod management;
mod memory;
mod notice;
mod received;
mod refusals;
mod session;
mod task;
#[cfg(test)]
pub(crate) mod tests;

use core::time::Duration;

use ohci_raw::bus::{
    Action, Address, AddressRange, BusReset, Event, Generation, IncomingRequest, Instant, Machine,
    NodeId, Operation, RequestHandle, Response,
};

pub use command::{Command, CommandError, CommandTag, Completion, Data};
pub use config::{Config, Remnant};
pub use counters::Counters;
pub use notice::{LoggedIn, Login, Logins, ManagementError, Notice};
pub use refusals::{Refusal, Refusals};

use self::context::{Context, Link};
use self::fetch_agent::{FetchAgent, Need};
use self::management::Purpose;
use self::memory::{Layout, Place};
use self::session::{Change, Session};
use crate::wire::{Function, StatusBlock, StatusSource};

/// The range that was allocated for an initiator is too short.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an initiator needs {needed} bytes of address space, not {given}")]
pub struct RangeTooShort {
    /// How many bytes it needs: [`Initiator::range_length`].
    pub needed: u64,
    /// How many it was given.
    pub given: u64,
}

/// A host's side of a login to one logical unit.
///
/// It has to be told of the bus by an [`Event::BusReset`] before anything else.
#[derive(Debug)]
pub struct Initiator {
    context: Context,
    session: Session,
    agent: FetchAgent,
    /// When commands fail that wait for a lost login.
    replacement_until: Option<Instant>,
    /// Why commands fail without waiting.
    unavailable: Option<CommandError>,
}

impl Initiator {
    /// How many bytes of the host's address space an initiator needs: addresses, not memory.
    #[must_use]
    pub fn range_length(config: &Config) -> u64 {
        Layout::length(config.max_transfer.min(Config::MAX_TRANSFER))
    }

    /// An initiator that owns the addresses `range` of its host. Values of `config` above their
    /// limits are lowered to them.
    ///
    /// # Errors
    /// [`RangeTooShort`]
    pub fn new(mut config: Config, range: AddressRange) -> Result<Self, RangeTooShort> {
        config.max_transfer = config.max_transfer.min(Config::MAX_TRANSFER);
        config.depth = config.depth.clamp(1, Config::MAX_DEPTH);
        let layout = Layout::new(range, config.max_transfer).ok_or(RangeTooShort {
            needed: Layout::length(config.max_transfer),
            given: range.length(),
        })?;
        Ok(Self {
            context: Context::new(config, layout),
            session: Session::new(),
            agent: FetchAgent::new(),
            replacement_until: None,
            unavailable: Some(CommandError::NotLoggedIn),
        })
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.context.config
    }

    /// What has happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.context.counters
    }

    /// The login, while there is one that can be used.
    #[must_use]
    pub fn current_login(&self) -> Option<Login> {
        self.session.current()
    }

    /// The target's node id, and the generation in which it holds, while it is on the bus.
    #[must_use]
    pub fn target_node(&self) -> Option<(NodeId, Generation)> {
        let link = self.context.link?;
        Some((link.target?, link.generation))
    }

    /// How many commands the target has been given and has not answered.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.agent.outstanding()
    }

    /// How many commands wait to be given to the target.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.agent.waiting()
    }

    /// Logs in. [`Notice::LoggedIn`] or [`Notice::LoginFailed`] follows.
    pub fn login(&mut self, now: Instant) {
        self.unavailable = None;
        self.session.login(now);
        self.settle(now);
    }

    /// Gives the login back. [`Notice::LoggedOut`] follows; commands that have not ended fail.
    pub fn logout(&mut self, now: Instant) {
        self.agent.set_gate(false);
        self.unavailable = Some(CommandError::NotLoggedIn);
        self.session.logout(&mut self.context);
        self.settle(now);
    }

    /// From here on a lost login is not waited for longer than this: the replacement timeout is no
    /// longer, and for a login that is lost already it begins anew.
    pub fn hurry(&mut self, patience: Duration, now: Instant) {
        let timeout = &mut self.context.config.replacement_timeout;
        *timeout = patience.min(*timeout);
        if let Some(until) = &mut self.replacement_until {
            *until = (now + patience).min(*until);
        }
        self.expire(now);
        self.settle(now);
    }

    /// Asks who is logged in to the logical unit; needs no login. [`Notice::Logins`] follows.
    pub fn query_logins(&mut self, now: Instant) {
        self.session.ask(Purpose::QueryLogins, &mut self.context);
        self.settle(now);
    }

    /// Asks for a task management function: ABORT TASK SET, LOGICAL UNIT RESET or TARGET RESET.
    /// [`Notice::TaskManagement`] follows.
    ///
    /// The target is given nothing new until it has answered. Commands that it ended without a
    /// status are issued again then. The resets hit every host that is logged in, and TARGET RESET
    /// ends all logins: it is followed by [`Notice::LoginLost`] and a new login.
    pub fn task_management(&mut self, function: Function, now: Instant) {
        self.agent.hold();
        let purpose = Purpose::Task {
            function,
            orb: None,
            recovery: false,
        };
        self.session.ask(purpose, &mut self.context);
        self.settle(now);
    }

    /// Hands over a command. [`Notice::Completed`] with its tag follows, always.
    pub fn submit(&mut self, command: Command, now: Instant) -> CommandTag {
        let tag = self.agent.next_tag();
        let length = command.data.length();
        let limit = self.context.config.max_transfer;
        let error = if u32::try_from(length).is_ok_and(|length| length <= limit) {
            self.unavailable.clone().filter(|error| {
                // The owner looks at the disk of a new login whatever has failed before.
                let lost = matches!(error, CommandError::LoginLost(_));
                !(command.urgent && lost && self.session.is_logged_in())
            })
        } else {
            Some(CommandError::TooLarge { length, limit })
        };
        match error {
            Some(error) => self.context.notices.push_back(Notice::Completed {
                tag,
                result: Err(error),
            }),
            None => self.agent.submit(tag, command, now),
        }
        self.settle(now);
        tag
    }

    /// Takes a command back, with ABORT TASK if the target has it already. Its
    /// [`Notice::Completed`] says whether that came in time.
    pub fn abort(&mut self, tag: CommandTag, now: Instant) {
        self.agent.abort(tag, &mut self.context);
        self.settle(now);
    }

    /// Lets commands that are not urgent pass. Each lost login closes the gate, and it is closed at
    /// first.
    pub fn open_gate(&mut self, now: Instant) {
        self.agent.set_gate(true);
        self.replacement_until = None;
        self.unavailable
            .take_if(|error| matches!(error, CommandError::LoginLost(_)));
        self.settle(now);
    }

    /// Holds commands back that are not urgent and that the target does not have yet.
    pub fn close_gate(&mut self) {
        self.agent.set_gate(false);
    }

    /// The next thing that the owner may want to know, until there is none.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.context.notices.pop_front()
    }

    /// Whether requests to this address are for this initiator, where several share a port.
    #[must_use]
    pub fn owns(&self, address: Address) -> bool {
        self.context.layout.contains(address)
    }

    /// Lets the two machines react to each other until neither has anything left to do.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(change) = self.session.changes.pop_front() {
                self.change(change, now);
            } else if let Some(need) = self.agent.needs.pop_front() {
                self.need(need, now);
            } else {
                self.session.proceed(now, &mut self.context);
                self.agent.pump(now, &mut self.context);
                if self.session.changes.is_empty() && self.agent.needs.is_empty() {
                    return;
                }
            }
        }
    }

    fn change(&mut self, change: Change, now: Instant) {
        match change {
            Change::Up => {
                if let Some(login) = self.session.current() {
                    self.agent.up(login.agent, now, &mut self.context);
                }
            }
            Change::Lost(error) => {
                self.agent.interrupt();
                self.agent.set_gate(false);
                self.context.notices.push_back(Notice::LoginLost(error));
                let patience = self.context.config.replacement_timeout;
                // The time goes on until the gate is opened again, however often the login
                // comes and goes.
                self.replacement_until.get_or_insert(now + patience);
                let too_old = CommandError::LoginLost(patience);
                self.agent
                    .fail_older(patience, &too_old, now, &mut self.context);
                self.expire(now);
            }
            Change::Off => {
                self.replacement_until = None;
                self.unavailable = Some(CommandError::NotLoggedIn);
                self.agent
                    .fail_all(&CommandError::NotLoggedIn, &mut self.context);
            }
            Change::Recovery(result) => self.agent.recovered(result, now, &mut self.context),
            Change::TaskManagement { function, result } => {
                self.agent
                    .release(function, &result, now, &mut self.context);
                let logins_ended = function == Function::TARGET_RESET && result.is_ok();
                let notice = Notice::TaskManagement { function, result };
                self.context.notices.push_back(notice);
                if logins_ended {
                    let error = ManagementError::TargetReset;
                    self.session.lose(error, now, &mut self.context);
                }
            }
        }
    }

    fn need(&mut self, need: Need, now: Instant) {
        match need {
            Need::Task { function, orb } => {
                let purpose = Purpose::Task {
                    function,
                    orb,
                    recovery: true,
                };
                self.session.ask(purpose, &mut self.context);
            }
            Need::GiveUp(error) => self.session.lose(error, now, &mut self.context),
        }
    }

    /// Fails what has waited for a lost login for too long.
    fn expire(&mut self, now: Instant) {
        if self.replacement_until.is_some_and(|until| now >= until) {
            self.replacement_until = None;
            let patience = self.context.config.replacement_timeout;
            let error = CommandError::LoginLost(patience);
            if self.session.is_logged_in() {
                self.agent.fail_queue(&error, &mut self.context);
            } else {
                self.agent.fail_all(&error, &mut self.context);
            }
            self.unavailable = Some(error);
        }
    }

    fn bus_reset(&mut self, reset: &BusReset, now: Instant) {
        let target = reset.find(self.context.config.target);
        let known = self.context.link.map(|link| link.generation);
        let link = Link {
            generation: reset.generation,
            local: reset.local,
            target,
        };
        if known == Some(reset.generation) {
            // More has become known of the same generation. What is known already stays.
            if self.context.target().is_none() {
                self.context.link = Some(link);
            }
            return;
        }
        self.context.link = Some(link);
        self.context.counters.bus_resets += u64::from(known.is_some());
        self.agent.interrupt();
        self.session
            .bus_reset(now, known.is_none(), &mut self.context);
    }

    fn request(&mut self, request: IncomingRequest, now: Instant) {
        let served = match self.place(&request) {
            Ok(Place::StatusFifo { offset: 0 }) => {
                self.status(request.operation, request.handle, now);
                return;
            }
            Ok(place) => self.serve(place, &request.operation),
            Err(refusal) => Err(refusal),
        };
        let response = served.unwrap_or_else(|refusal| self.refuse(refusal));
        self.respond(request.handle, response);
    }

    /// What the request is for, if it may be asked at all.
    fn place(&self, request: &IncomingRequest) -> Result<Place, Refusal> {
        let link = self.context.link.ok_or(Refusal::NothingThere)?;
        if link.generation != request.generation {
            return Err(Refusal::OldGeneration);
        }
        if link.target != Some(request.source) {
            return Err(Refusal::WrongNode);
        }
        let place = self.context.layout.locate(request.address);
        place.ok_or(Refusal::NothingThere)
    }

    fn serve(&mut self, place: Place, operation: &Operation) -> Result<Response, Refusal> {
        match place {
            Place::StatusFifo { .. } => Err(Refusal::NothingThere),
            Place::ManagementOrb { slot, offset } => {
                let management = self.session.management(slot);
                let management = management.ok_or(Refusal::NothingThere)?;
                management.serve_orb(offset, operation)
            }
            Place::Response { slot, offset } => {
                let management = self.session.management(slot);
                let management = management.ok_or(Refusal::NothingThere)?;
                management.serve_response(offset, operation)
            }
            place => self.agent.serve(place, operation),
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Response {
        self.context.refuse(refusal);
        Response::error(refusal.rcode())
    }

    fn status(&mut self, operation: Operation, handle: RequestHandle, now: Instant) {
        let block = match operation {
            Operation::WriteBlock { data } => StatusBlock::parse(&data).ok(),
            _ => None,
        };
        let Some(block) = block else {
            let response = self.refuse(Refusal::MalformedStatus);
            self.respond(handle, response);
            return;
        };
        self.respond(handle, Response::COMPLETE);
        if block.source() == StatusSource::Unsolicited {
            self.context.counters.unsolicited_status += 1;
        } else if !self.session.handle_status(&block, now, &mut self.context) {
            self.agent.handle_status(block, now, &mut self.context);
        }
    }

    fn respond(&mut self, handle: RequestHandle, response: Response) {
        let action = Action::Respond { handle, response };
        self.context.actions.push_back(action);
    }
}

impl Machine for Initiator {
    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::BusReset(reset) => self.bus_reset(&reset, now),
            Event::Request(request) => self.request(request, now),
            Event::Response { token, rcode, .. } => {
                let context = &mut self.context;
                if !self.session.handle_response(token, rcode, now, context) {
                    self.agent.handle_response(token, rcode, now, context);
                }
            }
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now, &mut self.context);
        self.agent.handle_timeout(now, &mut self.context);
        self.expire(now);
        self.settle(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [
            self.session.poll_timeout(&self.context),
            self.agent.poll_timeout(),
            self.replacement_until,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.context.actions.pop_front()
    }
}
