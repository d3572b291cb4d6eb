//! What the target, or somebody in its place, asked for and did not get.
//!
//! A bridge is a stranger that reads and writes the host's memory. Each of its requests is held
//! against what it may do at this moment; what it may not changes nothing, is answered with an
//! error, and is counted by its kind.

use core::fmt;

use ohci_raw::bus::RCode;

/// Why a request or a status block was not heeded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// It came from another node than the target.
    WrongNode,
    /// It is from before the last bus reset.
    OldGeneration,
    /// Nothing is at its address, or not any more.
    NothingThere,
    /// It passes the end of what is at its address.
    BeyondEnd,
    /// It writes what is to be read, or reads what is to be written.
    WrongDirection,
    /// It has read a page table more often than there can be a reason for.
    EndlessReading,
    /// It is a status block that makes no sense.
    MalformedStatus,
    /// It is a status block for something that is no ORB of ours.
    ForeignStatus,
}

impl Refusal {
    /// All kinds, in the order of [`Refusals::iter`].
    pub const ALL: [Self; 8] = [
        Self::WrongNode,
        Self::OldGeneration,
        Self::NothingThere,
        Self::BeyondEnd,
        Self::WrongDirection,
        Self::EndlessReading,
        Self::MalformedStatus,
        Self::ForeignStatus,
    ];

    /// A short name: `wrong_node`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongNode => "wrong_node",
            Self::OldGeneration => "old_generation",
            Self::NothingThere => "nothing_there",
            Self::BeyondEnd => "beyond_end",
            Self::WrongDirection => "wrong_direction",
            Self::EndlessReading => "endless_reading",
            Self::MalformedStatus => "malformed_status",
            Self::ForeignStatus => "foreign_status",
        }
    }

    /// What the request is answered with.
    pub(super) const fn rcode(self) -> RCode {
        match self {
            Self::MalformedStatus => RCode::TYPE_ERROR,
            // It was written where it belongs; that its content is a lie is nobody's address.
            Self::ForeignStatus => RCode::COMPLETE,
            _ => RCode::ADDRESS_ERROR,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongNode => "another node than the target used the memory of a login",
            Self::OldGeneration => "a request from before the last bus reset came late",
            Self::NothingThere => "the target used memory that it was not given",
            Self::BeyondEnd => "the target passed the end of a buffer",
            Self::WrongDirection => "the target wrote what it may read, or the other way round",
            Self::EndlessReading => "the target reads a page table without end",
            Self::MalformedStatus => "the target sent a status that makes no sense",
            Self::ForeignStatus => "the target sent a status for no ORB of ours",
        })
    }
}

/// How often each [`Refusal`] was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Refusals([u64; Refusal::ALL.len()]);

impl Refusals {
    /// How often this one was.
    #[must_use]
    pub fn of(&self, refusal: Refusal) -> u64 {
        self.iter()
            .find(|(kind, _)| *kind == refusal)
            .map_or(0, |(_, count)| count)
    }

    /// Every kind and how often it was.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.into_iter().zip(self.0)
    }

    /// How often any was.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Counts one. Whether it is the first of its kind.
    pub(super) fn count(&mut self, refusal: Refusal) -> bool {
        let at = Refusal::ALL.iter().position(|kind| *kind == refusal);
        let Some(count) = at.and_then(|at| self.0.get_mut(at)) else {
            return false;
        };
        *count = count.saturating_add(1);
        *count == 1
    }
}
