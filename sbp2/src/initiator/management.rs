//! One management ORB between its start and its end.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use ohci_raw::bus::{Address, Instant, Operation, RCode, Response, Token};
use zerocopy::{FromBytes, IntoBytes};

use super::context::Context;
use super::memory::{RESPONSE_LENGTH, read, write};
use super::notice::{LoggedIn, Login, Logins, ManagementError};
use super::refusals::Refusal;
use crate::wire::{
    AGENT_LENGTH, Function, LoginEntry, LoginResponse, ManagementOrb, QueryLoginsHeader, Resp,
    Sbp2Status, StatusBlock,
};

/// How long to wait before a management agent that was busy is asked again. After a bus reset
/// every host reconnects at the same time, and the agent takes one at a time.
pub(super) const BUSY_DELAY: Duration = Duration::from_millis(100);
/// What a management ORB is sent for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Login,
    Reconnect,
    Logout,
    /// LOGOUT of a login that was given up, which the target may still hold.
    Forget {
        login_id: u16,
    },
    QueryLogins,
    /// QUERY LOGINS on our own account, to find a login of ours of which we were not told.
    FindOwn,
    /// Asked for by the owner, or by the fetch agent's recovery.
    Task {
        function: Function,
        orb: Option<Address>,
        recovery: bool,
    },
}

impl Purpose {
    pub(super) fn function(self) -> Function {
        match self {
            Self::Login => Function::LOGIN,
            Self::Reconnect => Function::RECONNECT,
            Self::Logout | Self::Forget { .. } => Function::LOGOUT,
            Self::QueryLogins | Self::FindOwn => Function::QUERY_LOGINS,
            Self::Task { function, .. } => function,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Write {
    UnderWay(Token),
    RetryAt(Instant),
    Accepted,
}

/// A management ORB under way.
#[derive(Debug)]
pub(super) struct Management {
    purpose: Purpose,
    slot: u32,
    orb: ManagementOrb,
    response: Vec<u8>,
    /// How far the target has filled the response.
    filled: usize,
    write: Write,
    last_rcode: Option<RCode>,
    allowed: Duration,
    deadline: Instant,
}

impl Management {
    /// Lays out a management ORB and tells the target where it is.
    pub(super) fn start(
        purpose: Purpose,
        slot: u32,
        login_id: u16,
        now: Instant,
        context: &mut Context,
    ) -> Self {
        let config = &context.config;
        let fifo = context.pointer(context.layout.status_fifo());
        let response = context.pointer(context.layout.response(slot));
        let for_login = |function| ManagementOrb::for_login(function, login_id, fifo);
        let (orb, room) = match purpose {
            Purpose::Login => {
                let length = LoginResponse::LENGTH as u16;
                let (lun, hold) = (config.lun, config.reconnect_hold);
                let exclusive = config.exclusive;
                let orb = ManagementOrb::login(lun, exclusive, hold, response, length, fifo);
                (orb, length)
            }
            Purpose::QueryLogins | Purpose::FindOwn => (
                ManagementOrb::query_logins(config.lun, response, RESPONSE_LENGTH, fifo),
                RESPONSE_LENGTH,
            ),
            Purpose::Reconnect => (for_login(Function::RECONNECT), 0),
            Purpose::Logout | Purpose::Forget { .. } => (for_login(Function::LOGOUT), 0),
            Purpose::Task {
                orb: Some(address), ..
            } => (
                ManagementOrb::abort_task(login_id, context.pointer(address), fifo),
                0,
            ),
            Purpose::Task { function, .. } => (for_login(function), 0),
        };
        let allowed = match purpose {
            Purpose::Login | Purpose::QueryLogins => config.login_timeout,
            _ => config.management_timeout,
        };
        let mut this = Self {
            purpose,
            slot,
            orb,
            response: vec![0; usize::from(room)],
            filled: 0,
            write: Write::Accepted,
            last_rcode: None,
            allowed,
            deadline: now + allowed,
        };
        this.write_pointer(now, context);
        this
    }

    fn write_pointer(&mut self, now: Instant, context: &mut Context) {
        let pointer = context.pointer(self.address(context));
        let data = Vec::from(pointer.as_bytes());
        let agent = context.config.management_agent;
        self.write = match context.send(agent, Operation::WriteBlock { data }) {
            Some(token) => Write::UnderWay(token),
            None => Write::RetryAt(now + BUSY_DELAY),
        };
    }

    pub(super) fn purpose(&self) -> Purpose {
        self.purpose
    }

    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    /// Where the ORB lies.
    pub(super) fn address(&self, context: &Context) -> Address {
        context.layout.management_orb(self.slot)
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        match self.write {
            Write::RetryAt(at) => at.min(self.deadline),
            Write::UnderWay(_) | Write::Accepted => self.deadline,
        }
    }

    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        context: &mut Context,
    ) -> Result<(), ManagementError> {
        if now >= self.deadline {
            return Err(ManagementError::NoAnswer {
                function: self.purpose.function(),
                after: self.allowed,
                last: self.last_rcode,
            });
        }
        if matches!(self.write, Write::RetryAt(at) if now >= at) {
            self.write_pointer(now, context);
        }
        Ok(())
    }

    /// `None` if the response was to something else; an error if the ORB cannot be processed.
    pub(super) fn handle_response(
        &mut self,
        token: Token,
        rcode: RCode,
        now: Instant,
        context: &Context,
    ) -> Option<Result<(), ManagementError>> {
        if self.write != Write::UnderWay(token) {
            return None;
        }
        self.last_rcode = (!rcode.is_complete()).then_some(rcode);
        self.write = match rcode {
            // Without a response the target may have seen the pointer all the same, and after a
            // bus reset the event that tells of it is on its way.
            RCode::COMPLETE | RCode::CANCELLED | RCode::GENERATION => Write::Accepted,
            RCode::CONFLICT_ERROR | RCode::BUSY | RCode::NO_ACK | RCode::SEND_ERROR => {
                Write::RetryAt(now + BUSY_DELAY)
            }
            _ => {
                return Some(Err(ManagementError::Unreachable {
                    function: self.purpose.function(),
                    agent: context.config.management_agent,
                    rcode,
                }));
            }
        };
        Some(Ok(()))
    }

    /// What the status block says.
    pub(super) fn judge(&self, block: &StatusBlock) -> Result<(), ManagementError> {
        if block.resp() == Resp::RequestComplete && block.sbp_status() == Sbp2Status::OK {
            return Ok(());
        }
        Err(ManagementError::Refused {
            function: self.purpose.function(),
            status: block.clone(),
        })
    }

    pub(super) fn serve_orb(
        &self,
        offset: u64,
        operation: &Operation,
    ) -> Result<Response, Refusal> {
        read(self.orb.as_bytes(), offset, operation)
    }

    pub(super) fn serve_response(
        &mut self,
        offset: u64,
        operation: &Operation,
    ) -> Result<Response, Refusal> {
        let (_, end) = write(&mut self.response, offset, operation)?;
        self.filled = self.filled.max(end);
        Ok(Response::COMPLETE)
    }

    pub(super) fn read_login(&self, again: bool) -> Result<Login, ManagementError> {
        let bad = |what| ManagementError::BadResponse {
            function: Function::LOGIN,
            what,
        };
        if self.filled < LoginResponse::MIN_LENGTH {
            return Err(bad("it was not written as a whole"));
        }
        let response = LoginResponse::read_from_bytes(&self.response)
            .map_err(|_| bad("it has the wrong length"))?;
        let agent = response.command_block_agent();
        if agent.get() % 4 != 0 || agent.checked_add(AGENT_LENGTH).is_none() {
            return Err(bad("no command block agent can be at its address"));
        }
        Ok(Login {
            id: response.login_id(),
            agent,
            reconnect_hold: response.reconnect_hold().unwrap_or(0),
            again,
        })
    }

    pub(super) fn read_logins(&self) -> Result<Logins, ManagementError> {
        let written = &self.response[..self.filled];
        let (header, rest) = QueryLoginsHeader::read_from_prefix(written).map_err(|_| {
            ManagementError::BadResponse {
                function: Function::QUERY_LOGINS,
                what: "it was not written",
            }
        })?;
        let entries = rest
            .chunks_exact(size_of::<LoginEntry>())
            .take(header.active())
            .filter_map(|bytes| LoginEntry::read_from_bytes(bytes).ok())
            .map(|entry| LoggedIn {
                login_id: entry.login_id(),
                node: entry.node(),
                eui64: entry.eui64(),
            })
            .collect();
        Ok(Logins {
            max: header.max_logins(),
            active: header.active(),
            entries,
        })
    }
}
