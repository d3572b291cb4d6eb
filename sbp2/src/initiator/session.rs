//! Login, reconnect and logout: one machine, as they share a fate. There is one management ORB at
//! a time.

use alloc::collections::VecDeque;
use core::mem;
use core::time::Duration;

use ohci_raw::bus::{Instant, Operation, RCode, Token, csr};

use super::context::Context;
use super::management::{BUSY_DELAY, Management, Purpose};
use super::memory::MANAGEMENT_SLOTS;
use super::notice::{LoggedIn, Login, ManagementError, Notice};
use crate::wire::{Function, Sbp2Status, StatusBlock};

/// How often a first LOGIN that is not answered is tried.
const LOGIN_ATTEMPTS: u32 = 3;
/// How long to wait between attempts to get a lost login back.
const LOGIN_RETRY_DELAY: Duration = Duration::from_secs(1);
/// What Linux writes to BUSY_TIMEOUT: 15 retries, 200 cycles. Some bridges start with no retry
/// at all and lose packets when a host is busy (`drivers/firewire/sbp2.c`).
const BUSY_TIMEOUT_VALUE: u32 = 0x000c_800f;

/// What the session tells the rest of the initiator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// There is a login, new or reconnected.
    Up,
    /// There is none any more; a new one is wanted.
    Lost(ManagementError),
    /// There is none, and none is wanted any more.
    Off,
    /// The answer to a task management function that a recovery asked for.
    Recovery(Result<(), ManagementError>),
    /// The answer to one that the owner asked for.
    TaskManagement {
        function: Function,
        result: Result<(), ManagementError>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No login is wanted.
    Off,
    /// None is there; one is due at the time given, once the target is on the bus.
    Down { retry_at: Instant },
    /// One is there from before the last bus reset, and is to be reconnected.
    Held { until: Instant, retry_at: Instant },
    /// One is there.
    Up,
}

#[derive(Debug)]
pub(super) struct Session {
    state: State,
    login: Option<Login>,
    established: bool,
    attempts: u32,
    /// Until when the target may hold a login of ours of which we do not know.
    orphan_until: Option<Instant>,
    /// A login that was given up although the target may still hold it. It is given back before
    /// the next LOGIN: a strict target would refuse that one, and the tasks of the old login must
    /// have ended before their commands are issued again.
    given_up: Option<u16>,
    /// There may be such a login, and its id is not known.
    nameless: bool,
    /// Whether a remnant has been looked for that was in the way of the first LOGIN.
    reclaimed: bool,
    management: Option<Management>,
    pending: VecDeque<Purpose>,
    next_slot: u32,
    pub(super) changes: VecDeque<Change>,
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            state: State::Off,
            login: None,
            established: false,
            attempts: 0,
            orphan_until: None,
            given_up: None,
            nameless: false,
            reclaimed: false,
            management: None,
            pending: VecDeque::new(),
            next_slot: 0,
            changes: VecDeque::new(),
        }
    }

    pub(super) fn current(&self) -> Option<Login> {
        match self.state {
            State::Up => self.login,
            _ => None,
        }
    }

    /// Whether there is a login, be it one that is to be reconnected.
    pub(super) fn is_logged_in(&self) -> bool {
        self.login.is_some()
    }

    pub(super) fn login(&mut self, now: Instant) {
        if self.state == State::Off {
            self.established = false;
            self.reclaimed = false;
            self.attempts = 0;
            self.state = State::Down { retry_at: now };
        }
    }

    pub(super) fn logout(&mut self, context: &mut Context) {
        match self.state {
            State::Up => self.pending.push_back(Purpose::Logout),
            _ => {
                // Nobody reconnects it: a login that is held lapses by itself.
                if let Some(management) = self.management.take() {
                    self.refuse(management.purpose(), context);
                }
                self.turn_off(Ok(()), context);
            }
        }
    }

    pub(super) fn ask(&mut self, purpose: Purpose, context: &mut Context) {
        if purpose == Purpose::QueryLogins || self.state == State::Up {
            self.pending.push_back(purpose);
        } else {
            self.refuse(purpose, context);
        }
    }

    fn refuse(&mut self, purpose: Purpose, context: &mut Context) {
        let function = purpose.function();
        let error = ManagementError::NotLoggedIn { function };
        self.report(purpose, Err(error), context);
    }

    /// The bus was reset, or more is known of it.
    pub(super) fn bus_reset(&mut self, now: Instant, first: bool, context: &mut Context) {
        if let Some(management) = self.management.take() {
            let function = management.purpose().function();
            let error = ManagementError::BusReset { function };
            match management.purpose() {
                Purpose::Login => self.orphan_until = Some(now + self.orphan_time(context)),
                purpose => self.report(purpose, Err(error), context),
            }
        }
        // It lapses by itself.
        self.given_up = None;
        self.nameless = false;
        let settled = if first {
            now
        } else {
            now + context.config.settle
        };
        match self.state {
            State::Off => {}
            State::Down { .. } => self.state = State::Down { retry_at: settled },
            State::Up | State::Held { .. } => {
                self.state = State::Held {
                    until: now + self.hold(),
                    retry_at: now,
                };
            }
        }
    }

    /// How long the target keeps the login: between `reconnect_hold` and one second more; another
    /// second passes until it is sure to have forgotten.
    fn hold(&self) -> Duration {
        let hold = self.login.map_or(0, |login| login.reconnect_hold);
        Duration::from_secs(u64::from(hold) + 2)
    }

    fn orphan_time(&self, context: &Context) -> Duration {
        Duration::from_secs((1 << context.config.reconnect_hold.min(15)) + 2)
    }

    /// Gives the login up.
    pub(super) fn lose(&mut self, error: ManagementError, now: Instant, context: &mut Context) {
        if self.state == State::Off {
            return;
        }
        let told_so = matches!(error, ManagementError::Refused { .. });
        self.given_up = self.login.filter(|_| !told_so).map(|login| login.id);
        self.orphan_until = Some(now + self.orphan_time(context));
        self.login = None;
        self.state = State::Down {
            retry_at: now + context.config.settle,
        };
        self.changes.push_back(Change::Lost(error));
        let under_way = self.management.take().map(|it| it.purpose());
        for purpose in under_way.into_iter().chain(mem::take(&mut self.pending)) {
            match purpose {
                Purpose::QueryLogins => self.pending.push_back(purpose),
                _ => self.refuse(purpose, context),
            }
        }
    }

    fn turn_off(&mut self, result: Result<(), ManagementError>, context: &mut Context) {
        self.state = State::Off;
        self.login = None;
        self.changes.push_back(Change::Off);
        context.notices.push_back(Notice::LoggedOut(result));
    }

    pub(super) fn poll_timeout(&self, context: &Context) -> Option<Instant> {
        let management = self.management.as_ref();
        let state = match self.state {
            State::Held { until, .. } if management.is_some() => Some(until),
            _ if management.is_some() => None,
            State::Held { until, retry_at } if context.target().is_some() => {
                Some(until.min(retry_at))
            }
            State::Held { until, .. } => Some(until),
            State::Down { retry_at } if context.target().is_some() => Some(retry_at),
            State::Down { .. } | State::Off | State::Up => None,
        };
        let write = management.map(Management::poll_timeout);
        [state, write].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, context: &mut Context) {
        if let Some(management) = &mut self.management
            && let Err(error) = management.handle_timeout(now, context)
        {
            self.finish(Err(error), now, context);
        }
        if let State::Held { until, .. } = self.state
            && now >= until
        {
            let within = self.hold();
            self.lose(ManagementError::ReconnectExpired { within }, now, context);
        }
    }

    /// Starts what is due, unless something is under way.
    pub(super) fn proceed(&mut self, now: Instant, context: &mut Context) {
        if self.management.is_some() {
            return;
        }
        if context.target().is_none() {
            self.proceed_without_target(context);
            return;
        }
        match self.state {
            State::Held { retry_at, .. } if now >= retry_at => {
                self.start(Purpose::Reconnect, now, context);
            }
            State::Down { retry_at } if now >= retry_at => {
                let purpose = match self.given_up.take() {
                    Some(login_id) => Purpose::Forget { login_id },
                    None if mem::take(&mut self.nameless) => Purpose::FindOwn,
                    None => Purpose::Login,
                };
                self.start(purpose, now, context);
            }
            State::Held { .. } => {}
            State::Down { .. } | State::Off | State::Up => {
                if let Some(purpose) = self.pending.pop_front() {
                    self.start(purpose, now, context);
                }
            }
        }
    }

    fn proceed_without_target(&mut self, context: &mut Context) {
        let target = context.config.target;
        if context.link.is_none() {
            return;
        }
        if let State::Down { .. } = self.state
            && !self.established
        {
            self.state = State::Off;
            self.changes.push_back(Change::Off);
            let error = ManagementError::NotOnBus { target };
            context.notices.push_back(Notice::LoginFailed(error));
        }
        while let Some(purpose) = self.pending.pop_front() {
            self.report(purpose, Err(ManagementError::NotOnBus { target }), context);
        }
    }

    fn start(&mut self, purpose: Purpose, now: Instant, context: &mut Context) {
        let slot = self.next_slot;
        self.next_slot = (slot + 1) % MANAGEMENT_SLOTS;
        let login_id = match purpose {
            Purpose::Forget { login_id } => login_id,
            _ => self.login.map_or(0, |login| login.id),
        };
        self.management = Some(Management::start(purpose, slot, login_id, now, context));
    }

    /// Whether the response was to something of the session's.
    pub(super) fn handle_response(
        &mut self,
        token: Token,
        rcode: RCode,
        now: Instant,
        context: &mut Context,
    ) -> bool {
        let Some(management) = &mut self.management else {
            return false;
        };
        match management.handle_response(token, rcode, now, context) {
            None => return false,
            Some(Ok(())) => {}
            Some(Err(error)) => self.finish(Err(error), now, context),
        }
        true
    }

    /// Whether the status block was for the management ORB under way.
    pub(super) fn handle_status(
        &mut self,
        block: &StatusBlock,
        now: Instant,
        context: &mut Context,
    ) -> bool {
        let Some(management) = &self.management else {
            return false;
        };
        if block.orb != management.address(context) {
            return false;
        }
        let result = management.judge(block);
        self.finish(result, now, context);
        true
    }

    /// The management ORB in this slot, if it is under way.
    pub(super) fn management(&mut self, slot: u32) -> Option<&mut Management> {
        self.management.as_mut().filter(|it| it.slot() == slot)
    }

    fn finish(&mut self, result: Result<(), ManagementError>, now: Instant, context: &mut Context) {
        let Some(management) = self.management.take() else {
            return;
        };
        match management.purpose() {
            Purpose::Login => {
                let again = self.established;
                let refused = matches!(result, Err(ManagementError::Refused { .. }));
                let login = result.and_then(|()| management.read_login(again));
                if login.is_err() && !refused {
                    // The target may have granted it all the same.
                    self.given_up = management.read_login(again).ok().map(|login| login.id);
                    self.nameless = self.given_up.is_none();
                }
                self.finish_login(login, now, context);
            }
            Purpose::FindOwn => {
                let local = context.link.map(|link| link.local);
                let logins = result.and_then(|()| management.read_logins());
                self.given_up = match logins {
                    Ok(logins) => {
                        let own = |entry: &&LoggedIn| Some(entry.node) == local;
                        logins.entries.iter().find(own).map(|entry| entry.login_id)
                    }
                    Err(_) => context.noted_remnant(),
                };
            }
            Purpose::Reconnect => self.finish_reconnect(result, now, context),
            Purpose::Logout => self.turn_off(result, context),
            // Whatever the target says, there is nothing else to be done about it.
            Purpose::Forget { .. } => {}
            Purpose::QueryLogins => {
                let logins = result.and_then(|()| management.read_logins());
                context.notices.push_back(Notice::Logins(logins));
            }
            purpose @ Purpose::Task { .. } => self.report(purpose, result, context),
        }
    }

    fn finish_login(
        &mut self,
        result: Result<Login, ManagementError>,
        now: Instant,
        context: &mut Context,
    ) {
        let error = match result {
            Ok(login) => {
                self.login = Some(login);
                self.established = true;
                self.orphan_until = None;
                self.state = State::Up;
                context.counters.logins += 1;
                // Not every device has the register; what comes of it does not matter.
                context.send(
                    csr::BUSY_TIMEOUT,
                    Operation::WriteQuadlet {
                        data: BUSY_TIMEOUT_VALUE.to_be_bytes(),
                    },
                );
                self.changes.push_back(Change::Up);
                context.notices.push_back(Notice::LoggedIn(login));
                return;
            }
            Err(error) => error,
        };
        self.attempts += 1;
        let answered = matches!(error, ManagementError::Refused { .. });
        if !answered {
            self.orphan_until = Some(now + self.orphan_time(context));
        }
        let retry_at = now + LOGIN_RETRY_DELAY;
        if self.established {
            self.state = State::Down { retry_at };
            context.notices.push_back(Notice::LoginRetry(error));
        } else if self.is_worth_another(&error, now) {
            self.state = State::Down { retry_at };
        } else if self.may_reclaim(&error, context) {
            self.reclaimed = true;
            self.nameless = true;
            self.state = State::Down { retry_at: now };
        } else {
            self.state = State::Off;
            self.changes.push_back(Change::Off);
            context.notices.push_back(Notice::LoginFailed(error));
        }
    }

    /// Whether a remnant of an earlier process of this host may be what the target refused for.
    fn may_reclaim(&self, error: &ManagementError, context: &Context) -> bool {
        let in_the_way = matches!(
            error.sbp_status(),
            Some(Sbp2Status::ACCESS_DENIED | Sbp2Status::RESOURCES_UNAVAILABLE)
        );
        context.config.reclaim && !self.reclaimed && in_the_way
    }

    /// Whether a first LOGIN that failed like this may yet succeed.
    fn is_worth_another(&self, error: &ManagementError, now: Instant) -> bool {
        match error {
            ManagementError::NoAnswer { .. } => self.attempts < LOGIN_ATTEMPTS,
            // It may be our own earlier LOGIN, of which we never saw the status, that is in the
            // way; the target forgets it in time.
            ManagementError::Refused { .. } => self.orphan_until.is_some_and(|until| now < until),
            _ => false,
        }
    }

    fn finish_reconnect(
        &mut self,
        result: Result<(), ManagementError>,
        now: Instant,
        context: &mut Context,
    ) {
        match result {
            Ok(()) => {
                self.state = State::Up;
                context.counters.reconnects += 1;
                self.changes.push_back(Change::Up);
                context.notices.push_back(Notice::Reconnected);
            }
            // Busy in its own way, as Apple's driver found.
            Err(error)
                if matches!(error, ManagementError::NoAnswer { .. })
                    || error.sbp_status() == Some(Sbp2Status::UNSPECIFIED_ERROR) =>
            {
                if let State::Held { until, .. } = self.state {
                    self.state = State::Held {
                        until,
                        retry_at: now + BUSY_DELAY,
                    };
                }
            }
            Err(error) => self.lose(error, now, context),
        }
    }

    fn report(
        &mut self,
        purpose: Purpose,
        result: Result<(), ManagementError>,
        context: &mut Context,
    ) {
        match purpose {
            Purpose::Task { recovery: true, .. } => {
                self.changes.push_back(Change::Recovery(result));
            }
            Purpose::Task { function, .. } => self
                .changes
                .push_back(Change::TaskManagement { function, result }),
            Purpose::QueryLogins => {
                if let Err(error) = result {
                    context.notices.push_back(Notice::Logins(Err(error)));
                }
            }
            Purpose::Logout => self.turn_off(result, context),
            Purpose::Login | Purpose::Reconnect | Purpose::Forget { .. } | Purpose::FindOwn => {}
        }
    }
}
