use alloc::collections::VecDeque;

use crate::scsi::{AdditionalSense, Sense, SenseKey};

/// Something that an initiator has to know before it goes on (SAM-3 5.9.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitAttention {
    /// The device was switched on, or this initiator is new to it.
    PowerOn,
    /// A target reset or logical unit reset, by whomever.
    Reset,
    /// Another initiator's task management took this one's commands away.
    CommandsCleared,
    /// The disk has another size than before.
    CapacityChanged,
}

impl UnitAttention {
    /// The code that reports it.
    #[must_use]
    pub const fn code(self) -> AdditionalSense {
        match self {
            Self::PowerOn => AdditionalSense::POWER_ON_OR_RESET,
            Self::Reset => AdditionalSense::BUS_DEVICE_RESET,
            Self::CommandsCleared => AdditionalSense::COMMANDS_CLEARED,
            Self::CapacityChanged => AdditionalSense::CAPACITY_CHANGED,
        }
    }
}

/// What a device server remembers of one initiator. Across SBP-2 that is one per login, and it
/// survives a reconnect.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Nexus {
    /// Each at most once, so it stays short.
    attentions: VecDeque<UnitAttention>,
}

impl Nexus {
    /// An initiator that has nothing to be told.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on the initiator has to be told this. It is told each thing once, the oldest
    /// first.
    pub fn establish_unit_attention(&mut self, attention: UnitAttention) {
        if !self.attentions.contains(&attention) {
            self.attentions.push_back(attention);
        }
    }

    /// What the initiator will be told next.
    #[must_use]
    pub fn pending_unit_attention(&self) -> Option<UnitAttention> {
        self.attentions.front().copied()
    }

    /// Tells the oldest and forgets it.
    pub(super) fn take_unit_attention(&mut self) -> Option<Sense> {
        self.attentions
            .pop_front()
            .map(|attention| Sense::new(SenseKey::UnitAttention, attention.code()))
    }
}
