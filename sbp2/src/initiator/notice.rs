use alloc::vec::Vec;
use core::time::Duration;

use ohci_raw::bus::{Address, Eui64, NodeId, RCode};

use super::command::describe;
use super::refusals::Refusal;
use super::{CommandError, CommandTag, Completion};
use crate::wire::{Function, Sbp2Status, StatusBlock};

/// Something that the owner of an [`Initiator`](super::Initiator) may want to know.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// There is a login, the first one or a new one after a loss. The gate is closed: commands
    /// wait until [`open_gate`](super::Initiator::open_gate), but for urgent ones.
    LoggedIn(Login),
    /// The login was kept across a bus reset; commands that it interrupted are issued again.
    Reconnected,
    /// The login is lost. Commands wait for a new one, at most the replacement timeout.
    LoginLost(ManagementError),
    /// An attempt to get a lost login back has failed; another one follows.
    LoginRetry(ManagementError),
    /// There is no login, and no further attempt is made.
    LoginFailed(ManagementError),
    /// The login was given back, or has lapsed for the reason given.
    LoggedOut(Result<(), ManagementError>),
    /// A command has ended.
    Completed {
        /// Which one.
        tag: CommandTag,
        /// What came of it.
        result: Result<Completion, CommandError>,
    },
    /// QUERY LOGINS has ended.
    Logins(Result<Logins, ManagementError>),
    /// A request or a status block was refused, the first of its kind. Further ones are only
    /// counted, in [`Counters::refusals`](super::Counters::refusals).
    Refused(Refusal),
    /// A task management function that was asked for has ended.
    TaskManagement {
        /// Which one.
        function: Function,
        /// What came of it.
        result: Result<(), ManagementError>,
    },
}

/// A login.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Login {
    /// The name that the target gave it.
    pub id: u16,
    /// Where the command block agent's registers are in the target.
    pub agent: Address,
    /// How long the target keeps it after a bus reset, in seconds less one.
    pub reconnect_hold: u16,
    /// Whether there was one before, which was lost: what the target remembered of this host is
    /// gone, and it may be another target with the same EUI-64.
    pub again: bool,
}

/// What QUERY LOGINS tells of a logical unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logins {
    /// How many initiators may be logged in at once.
    pub max: u16,
    /// How many are. May be more than [`Self::entries`] has.
    pub active: usize,
    /// Who is.
    pub entries: Vec<LoggedIn>,
}

/// Somebody's login, as QUERY LOGINS tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoggedIn {
    /// The name of the login.
    pub login_id: u16,
    /// The initiator's node id when it logged in or last reconnected.
    pub node: NodeId,
    /// Who it is.
    pub eui64: Eui64,
}

/// Why a management function came to nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagementError {
    /// The target said no.
    #[error("{function} was answered with {}", describe(.status))]
    Refused {
        /// What was asked.
        function: Function,
        /// The answer.
        status: StatusBlock,
    },
    /// The target said nothing.
    #[error("{function} was not answered within {after:?}{}", busy(.last))]
    NoAnswer {
        /// What was asked.
        function: Function,
        /// How long it was waited for.
        after: Duration,
        /// What came last of the write to the management agent, if that was not accepted.
        last: Option<RCode>,
    },
    /// The management agent does not take requests.
    #[error("{function} could not be asked: the management agent at {agent} answered {rcode}")]
    Unreachable {
        /// What was to be asked.
        function: Function,
        /// Where.
        agent: Address,
        /// The answer.
        rcode: RCode,
    },
    /// The target said yes and wrote a response that makes no sense.
    #[error("{function} was answered with a response that makes no sense: {what}")]
    BadResponse {
        /// What was asked.
        function: Function,
        /// What is wrong.
        what: &'static str,
    },
    /// A bus reset came in between.
    #[error("a bus reset interrupted {function}")]
    BusReset {
        /// What was asked.
        function: Function,
    },
    /// The target is not on the bus.
    #[error("no node with EUI-64 {target} is on the bus")]
    NotOnBus {
        /// Whom it was meant for.
        target: Eui64,
    },
    /// The login could not be kept: no RECONNECT succeeded within the time that the target
    /// keeps it.
    #[error("the login could not be reconnected within {within:?} of the bus reset")]
    ReconnectExpired {
        /// How long the target was taken to keep it.
        within: Duration,
    },
    /// The command block agent stopped answering.
    #[error("the command block agent does not answer: {0}")]
    AgentLost(RCode),
    /// Commands could not be aborted, so the login was given up.
    #[error("the target does not answer task management")]
    NotAborted,
    /// The login went with a TARGET RESET that the owner asked for.
    #[error("TARGET RESET has ended all logins to the target")]
    TargetReset,
    /// There is no login to do it with.
    #[error("{function} needs a login, and there is none")]
    NotLoggedIn {
        /// What was asked.
        function: Function,
    },
}

fn busy(last: &Option<RCode>) -> alloc::string::String {
    last.map_or_else(Default::default, |rcode| {
        alloc::format!("; the last attempt ended with {rcode}")
    })
}

impl ManagementError {
    /// The sbp_status that the target refused with, if it did.
    #[must_use]
    pub fn sbp_status(&self) -> Option<Sbp2Status> {
        match self {
            Self::Refused { status, .. } if status.resp() == crate::wire::Resp::RequestComplete => {
                Some(status.sbp_status())
            }
            _ => None,
        }
    }
}
