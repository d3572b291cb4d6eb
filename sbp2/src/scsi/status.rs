use core::fmt;

use super::{AdditionalSense, Sense, SenseKey};

/// A SCSI status code (SAM-3 5.3.1). Codes without a name are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

impl Status {
    /// The command did what was asked.
    pub const GOOD: Self = Self(0x00);
    /// Something is to be told: see the sense data.
    pub const CHECK_CONDITION: Self = Self(0x02);
    /// PRE-FETCH: all blocks fitted into the cache.
    pub const CONDITION_MET: Self = Self(0x04);
    /// The logical unit cannot take a command now; later it can.
    pub const BUSY: Self = Self(0x08);
    /// Another initiator holds a reservation that excludes this command.
    pub const RESERVATION_CONFLICT: Self = Self(0x18);
    /// Aborted by a contingent allegiance (SCSI-2); Linux still accepts it from SBP-2 targets.
    pub const COMMAND_TERMINATED: Self = Self(0x22);
    /// No room for another command until one that is under way has ended.
    pub const TASK_SET_FULL: Self = Self(0x28);
    /// Aborted by another initiator, which was told to be silent about it.
    pub const TASK_ABORTED: Self = Self(0x40);

    /// The name, where the code has one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::GOOD => "GOOD",
            Self::CHECK_CONDITION => "CHECK CONDITION",
            Self::CONDITION_MET => "CONDITION MET",
            Self::BUSY => "BUSY",
            Self::RESERVATION_CONFLICT => "RESERVATION CONFLICT",
            Self::COMMAND_TERMINATED => "COMMAND TERMINATED",
            Self::TASK_SET_FULL => "TASK SET FULL",
            Self::TASK_ABORTED => "TASK ABORTED",
            _ => return None,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unknown SCSI status {:#04x}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a command ended: its status, and the sense data if any came with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completion {
    /// The SCSI status.
    pub status: Status,
    /// Sense data; present with [`Status::CHECK_CONDITION`].
    pub sense: Option<Sense>,
}

impl Completion {
    /// The command did what was asked.
    pub const GOOD: Self = Self::of(Status::GOOD);

    /// A status without sense data.
    #[must_use]
    pub const fn of(status: Status) -> Self {
        Self {
            status,
            sense: None,
        }
    }

    /// CHECK CONDITION with this sense data.
    #[must_use]
    pub const fn check(sense: Sense) -> Self {
        Self {
            status: Status::CHECK_CONDITION,
            sense: Some(sense),
        }
    }

    /// CHECK CONDITION with sense data that is nothing but a key and a code.
    #[must_use]
    pub const fn check_with(key: SenseKey, code: AdditionalSense) -> Self {
        Self::check(Sense::new(key, code))
    }

    /// Whether the command did what was asked.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.status == Status::GOOD
    }
}

impl fmt::Display for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sense {
            Some(sense) => write!(f, "{}: {sense}", self.status),
            None => fmt::Display::fmt(&self.status, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_completion_reads_as_a_sentence() {
        assert_eq!(Completion::GOOD.to_string(), "GOOD");
        assert_eq!(
            Completion::of(Status(0x7e)).to_string(),
            "unknown SCSI status 0x7e"
        );
        assert_eq!(
            Completion::check_with(
                SenseKey::NotReady,
                AdditionalSense::INITIALIZING_COMMAND_REQUIRED
            )
            .to_string(),
            "CHECK CONDITION: NOT READY, logical unit not ready, initializing command required (04/02)"
        );
    }
}
