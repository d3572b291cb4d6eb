use alloc::vec::Vec;
use core::time::Duration;

use ohci_raw::bus::RCode;

use crate::wire::{Direction, Resp, StatusBlock};

/// Names a command that was submitted, until it has ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CommandTag(pub u64);

/// The data of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    /// There is none.
    None,
    /// The target is to send up to this many bytes.
    In(u32),
    /// The target is to fetch these.
    Out(Vec<u8>),
}

impl Data {
    /// How many bytes at most cross the bus.
    #[must_use]
    pub fn length(&self) -> usize {
        match self {
            Self::None => 0,
            Self::In(length) => usize::try_from(*length).unwrap_or(usize::MAX),
            Self::Out(bytes) => bytes.len(),
        }
    }

    pub(super) fn direction(&self) -> Option<Direction> {
        match self {
            Self::None => None,
            Self::In(_) => Some(Direction::FromTarget),
            Self::Out(_) => Some(Direction::ToTarget),
        }
    }
}

/// A command for the logical unit.
///
/// It may be carried out more than once: after a bus reset, and after some errors, it is issued
/// again, as nobody can know whether the first try reached the medium. Commands that a disk is
/// given (READ, WRITE, SYNCHRONIZE CACHE …) bear that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The CDB, zero padded.
    pub cdb: [u8; 16],
    /// Its data.
    pub data: Data,
    /// How long the target may take for it; `None` takes the one of the
    /// [`Config`](super::Config).
    pub timeout: Option<Duration>,
    /// Whether it passes a closed [gate](super::Initiator::open_gate), before everything that
    /// waits there.
    pub urgent: bool,
}

/// What came of a command that the target carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completion {
    /// The status block's command-set-dependent part: empty for GOOD, else SCSI status and
    /// sense.
    pub scsi: Vec<u8>,
    /// [`Data::In`]: what the target sent, as long as it was asked for; else empty. What it
    /// did not send is zero.
    pub data: Vec<u8>,
    /// [`Data::In`]: how many bytes from the first on have really arrived.
    pub received: usize,
}

/// Why a command did not take place, or why nobody knows whether it did.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// More data than one command may move.
    #[error("{length} bytes are more than one command may move ({limit})")]
    TooLarge {
        /// How many bytes the command has.
        length: usize,
        /// How many it may have.
        limit: u32,
    },
    /// The target gave no status in time. It was told to abort the command.
    #[error("no status within {0:?}")]
    TimedOut(Duration),
    /// It was aborted on request.
    #[error("aborted")]
    Aborted,
    /// The target could not carry it out.
    #[error("the target answered {}", describe(.0))]
    Failed(StatusBlock),
    /// The target's agent would not take it.
    #[error("the command block agent refused the ORB: {0}")]
    Refused(RCode),
    /// The login was lost and did not come back within the replacement timeout.
    #[error("the login was lost and did not come back within {0:?}")]
    LoginLost(Duration),
    /// There is no login, and none is to come.
    #[error("not logged in")]
    NotLoggedIn,
}

/// A failed status block in words.
pub(super) fn describe(block: &StatusBlock) -> alloc::string::String {
    use alloc::format;
    match block.resp() {
        Resp::RequestComplete => format!("{}", block.sbp_status()),
        Resp::TransportFailure => match block.serial_bus_error() {
            Some((object, error)) => {
                format!("transport failure, {error}, while it moved {object:?}")
            }
            None => "transport failure".into(),
        },
        Resp::IllegalRequest => format!("illegal request (status {:#x})", block.status),
        Resp::VendorDependent => format!("vendor dependent (status {:#x})", block.status),
    }
}
