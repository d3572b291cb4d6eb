//! What is to happen to which packets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ohci_raw::sim::{Fault, FaultInjector, NodeIndex, OperationKind, Packet, PacketKind};
use serde::{Deserialize, Serialize};

/// The fate of the packets that match.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// They are lost, and their senders see that nobody acknowledged.
    Drop,
    /// They are acknowledged, and nobody ever looks at them.
    Ignore,
    /// They are answered with "busy" until their senders give up.
    Busy,
    /// They arrive, and their acknowledgements are lost.
    LoseAck,
    /// They arrive later by this many milliseconds.
    Delay(u64),
    /// They arrive twice.
    Duplicate,
}

impl Fate {
    const fn fault(self) -> Fault {
        match self {
            Self::Drop => Fault::Lose,
            Self::Ignore => Fault::Ignore,
            Self::Busy => Fault::Busy,
            Self::LoseAck => Fault::LoseAck,
            Self::Delay(millis) => Fault::Delay(Duration::from_millis(millis)),
            Self::Duplicate => Fault::Duplicate,
        }
    }
}

/// Requests or responses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "fuse", derive(clap::ValueEnum))]
pub enum Direction {
    /// Requests.
    Request,
    /// Responses.
    Response,
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "fuse", derive(clap::ValueEnum))]
pub enum Kind {
    /// A read of four bytes.
    ReadQuadlet,
    /// A read of more.
    ReadBlock,
    /// A write of four bytes.
    WriteQuadlet,
    /// A write of more.
    WriteBlock,
    /// A lock.
    Lock,
}

impl Kind {
    const fn of(operation: OperationKind) -> Self {
        match operation {
            OperationKind::ReadQuadlet => Self::ReadQuadlet,
            OperationKind::ReadBlock => Self::ReadBlock,
            OperationKind::WriteQuadlet => Self::WriteQuadlet,
            OperationKind::WriteBlock => Self::WriteBlock,
            OperationKind::Lock => Self::Lock,
        }
    }
}

/// Some packets, and their fate. What is left out matches every packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rule {
    pub(super) fate: Fate,
    /// How many packets more; `None` for all.
    pub(super) left: Option<u32>,
    pub(super) from: Option<NodeIndex>,
    pub(super) to: Option<NodeIndex>,
    pub(super) direction: Option<Direction>,
    pub(super) kind: Option<Kind>,
    /// The first and the last address.
    pub(super) addresses: Option<(u64, u64)>,
    /// A muted node: whatever it sends or is sent.
    pub(super) mutes: Option<NodeIndex>,
}

impl Rule {
    pub(super) const fn mute(node: NodeIndex) -> Self {
        Self {
            fate: Fate::Ignore,
            left: None,
            from: None,
            to: None,
            direction: None,
            kind: None,
            addresses: None,
            mutes: Some(node),
        }
    }

    fn matches(&self, packet: &Packet<'_>) -> bool {
        let direction = match packet.kind {
            PacketKind::Request => Direction::Request,
            PacketKind::Response(_) => Direction::Response,
        };
        let address = packet.address.get();
        self.from.is_none_or(|from| from == packet.source)
            && self.to.is_none_or(|to| to == packet.destination)
            && self.direction.is_none_or(|wanted| wanted == direction)
            && self
                .kind
                .is_none_or(|kind| kind == Kind::of(packet.operation))
            && self
                .addresses
                .is_none_or(|(first, last)| (first..=last).contains(&address))
            && self
                .mutes
                .is_none_or(|node| node == packet.source || node == packet.destination)
    }
}

/// The rules in force, shared with the bus. The first that matches counts.
#[derive(Clone, Default, Debug)]
pub(super) struct Rules(Arc<Mutex<Vec<Rule>>>);

impl Rules {
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Vec<Rule>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FaultInjector for Rules {
    fn judge(&mut self, packet: &Packet<'_>) -> Fault {
        self.with(|rules| {
            let Some(at) = rules.iter().position(|rule| rule.matches(packet)) else {
                return Fault::Deliver;
            };
            let rule = &mut rules[at];
            let fault = rule.fate.fault();
            if let Some(left) = &mut rule.left {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    rules.remove(at);
                }
            }
            fault
        })
    }
}
