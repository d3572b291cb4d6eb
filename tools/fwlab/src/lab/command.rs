//! What can be done to a bus while it runs: one JSON object per line, and one in answer.

use serde::{Deserialize, Serialize};

use super::rules::{Direction, Fate, Kind};

/// A node by its name (`host0`, `bridge1`) or its EUI-64.
pub type NodeName = String;

/// Something to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Reset the bus, as a node does that is neither host nor bridge. The virtual bus makes no
    /// difference between the two kinds of reset.
    Reset {
        /// Which kind.
        kind: ResetType,
    },
    /// Pull a node's cable.
    Unplug {
        /// Whose.
        node: NodeName,
    },
    /// Plug it in again.
    Replug {
        /// Whose.
        node: NodeName,
    },
    /// Give a node another id, by a reset.
    Renumber {
        /// Which one.
        node: NodeName,
        /// The physical id that it is to have; unless given, the next one.
        phy: Option<u8>,
    },
    /// Have something happen to packets.
    Packets(PacketRule),
    /// Have a node's link acknowledge everything while nobody looks at it.
    Mute {
        /// Which one.
        node: NodeName,
    },
    /// End that.
    Unmute {
        /// Which one.
        node: NodeName,
    },
    /// Forget all rules about packets, mutes included.
    Clear,
    /// Garble status blocks of a bridge: they name another ORB.
    CorruptStatus {
        /// Which one.
        bridge: NodeName,
        /// How many.
        count: u32,
    },
    /// Take a bridge's power away and give it back: logins are forgotten.
    PowerCycle {
        /// Which one.
        bridge: NodeName,
    },
    /// Tell who is there and what has happened.
    Show,
}

/// The kind of a bus reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "fuse", derive(clap::ValueEnum))]
pub enum ResetType {
    /// As IEEE 1394a has it.
    Short,
    /// As IEEE 1394-1995 has it.
    Long,
}

/// Packets, and what is to happen to them. What is left out matches all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketRule {
    /// What happens.
    pub fate: Fate,
    /// To how many packets; to all unless given.
    pub count: Option<u32>,
    /// Who sends them.
    pub from: Option<NodeName>,
    /// Whom they are for.
    pub to: Option<NodeName>,
    /// Requests or responses.
    pub direction: Option<Direction>,
    /// What they ask for; of responses, what their requests asked for.
    pub kind: Option<Kind>,
    /// The first and the last address that requests name.
    pub addresses: Option<(u64, u64)>,
}

/// What comes back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done.
    Done,
    /// Who is there and what has happened.
    Report(Report),
    /// It was not done, and why.
    Refused(String),
}

/// A bus as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The version of this form.
    pub schema: u32,
    /// How many resets there were, in the bus's own count.
    pub generation: u32,
    /// The nodes, hosts first.
    pub nodes: Vec<NodeReport>,
    /// What happened on the bus.
    pub bus: BusCounters,
    /// Rules about packets that are in force.
    pub rules: usize,
}

/// The version of [`Report`].
pub const SCHEMA: u32 = 1;

/// A node as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeReport {
    /// What it is called here.
    pub name: String,
    /// Its EUI-64.
    pub guid: String,
    /// What it is: its bridge profile, or `host`.
    pub profile: String,
    /// Its physical id; `None` while its cable is out.
    pub phy: Option<u8>,
    /// The code of its speed: S100 is 0.
    pub speed: String,
    /// Nobody looks at what it is sent.
    pub muted: bool,
    /// What a bridge has done.
    pub bridge: Option<BridgeCounters>,
}

/// As [`ohci_raw::sim::Counters`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct BusCounters {
    pub packets: u64,
    pub bytes: u64,
    pub resets: u64,
    pub refused: u64,
    pub late_responses: u64,
    pub split_timeouts: u64,
    pub bad_responses: u64,
    pub faults: u64,
}

/// As [`sbp2::target::Counters`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct BridgeCounters {
    pub commands: usize,
    pub status_blocks: usize,
    pub logins: usize,
    pub logins_refused: usize,
    pub logins_expired: usize,
    pub management_orbs: usize,
    pub requests_refused: usize,
    pub transport_errors: usize,
    pub aborted_orbs: usize,
    pub max_outstanding: usize,
}
