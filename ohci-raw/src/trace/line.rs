//! The lines of a recording.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// The version of the format.
pub const SCHEMA: u32 = 1;

/// The most bytes that are made of what was taken out: more than a request of a client has.
const SCRUBBED_MAX: usize = 32 << 20;

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Who recorded it.
    pub tool: String,
    /// The command that was recorded, without the program's name.
    pub command: Vec<String>,
    /// The places on buses that were recorded, which the lines name by their index.
    pub ports: Vec<PortHeader>,
    /// Whether sector data was taken out.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub scrubbed: bool,
}

/// A place on a bus.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PortHeader {
    /// Ports with the same number are on one bus.
    pub bus: usize,
    /// Where the bus was.
    pub name: String,
    /// Where it is no host's but a machine's: how to make that anew, in the words of who recorded
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// At which of the header's ports.
    pub port: usize,
    /// When, in nanoseconds of the port's clock.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen at a port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The nodes were listed.
    Nodes(Vec<NodeLine>),
    /// A logical unit was claimed.
    Claim {
        /// The node's EUI-64.
        guid: String,
        /// Its number.
        lun: u16,
    },
    /// An address range was asked for and given.
    Allocate {
        /// Bytes.
        length: u64,
        /// The first address.
        start: String,
        /// What it is called from here on.
        symbol: String,
        /// Where it had to be: the first address, and the one after the last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within: Option<[String; 2]>,
    },
    /// A range was given back.
    Deallocate {
        /// The first address.
        addr: String,
    },
    /// Something was added to the host's configuration ROM.
    AddDescriptor {
        /// By which it is taken away again.
        handle: u32,
        /// The entry's key.
        key: u8,
        /// What it leads to.
        blocks: Payload,
    },
    /// It was taken away again.
    RemoveDescriptor {
        /// The handle.
        handle: u32,
    },
    /// A request was sent.
    Send {
        /// Its number.
        id: u64,
        /// Whom it is for.
        dest: String,
        /// In which generation.
        #[serde(rename = "gen")]
        generation: u32,
        /// How fast.
        speed: String,
        /// What it asks for.
        #[serde(flatten)]
        op: Op,
    },
    /// A request was answered.
    Respond {
        /// The request's number.
        id: u64,
        /// How it went.
        rcode: u32,
        /// What was read.
        #[serde(default, skip_serializing_if = "Payload::is_empty")]
        data: Payload,
    },
    /// The program reset the bus.
    ResetBus {
        /// `short` or `long`.
        kind: String,
    },
    /// Something came from outside of the bus.
    Input(serde_json::Value),
    /// Something came of it.
    Output(serde_json::Value),
    /// A request that was sent has ended.
    Response {
        /// Its number.
        id: u64,
        /// How it ended.
        rcode: u32,
        /// What was read.
        #[serde(default, skip_serializing_if = "Payload::is_empty")]
        data: Payload,
    },
    /// Another node asks for something.
    Request {
        /// Its number.
        id: u64,
        /// Who asks.
        src: String,
        /// In which generation.
        #[serde(rename = "gen")]
        generation: u32,
        /// What it asks for.
        #[serde(flatten)]
        op: Op,
    },
    /// The bus was reset, or more of its nodes are known.
    BusReset {
        /// The generation.
        #[serde(rename = "gen")]
        generation: u32,
        /// This host's id.
        local: String,
        /// The others.
        peers: Vec<PeerLine>,
    },
    /// It was waited, and nothing came.
    Quiet {},
    /// Something could not be done.
    Failed {
        /// Why.
        error: String,
        /// What follows from it.
        kind: FailureKind,
    },
}

/// What kind of failure something was, as far as a program does different things then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// [`PortError::Gone`](crate::port::PortError::Gone)
    Gone,
    /// [`PortError::NoSuchNode`](crate::port::PortError::NoSuchNode)
    NoSuchNode,
    /// [`PortError::Claimed`](crate::port::PortError::Claimed)
    Claimed,
    /// Anything else.
    Other,
}

impl What {
    /// Whether this is something that the program did, rather than something that it met.
    #[must_use]
    pub const fn is_deed(&self) -> bool {
        matches!(
            self,
            Self::Claim { .. }
                | Self::Deallocate { .. }
                | Self::RemoveDescriptor { .. }
                | Self::Send { .. }
                | Self::Respond { .. }
                | Self::ResetBus { .. }
                | Self::Output(_)
        )
    }
}

/// A node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct NodeLine {
    pub name: String,
    pub id: String,
    #[serde(rename = "gen")]
    pub generation: u32,
    pub guid: String,
    pub speed: String,
    pub local: bool,
    pub rom: Payload,
}

/// Another node after a reset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PeerLine {
    pub id: String,
    pub guid: String,
}

/// What a request asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Op {
    /// `read_quadlet`, `read_block`, `write_quadlet`, `write_block`, or `lock_` and a number.
    pub tcode: String,
    /// Where.
    pub addr: String,
    /// How many bytes are to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub len: Option<usize>,
    /// What is written.
    #[serde(default, skip_serializing_if = "Payload::is_empty")]
    pub data: Payload,
}

/// Bytes of the bus.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Payload {
    /// In hexadecimal, a blank after each quadlet.
    Hex(String),
    /// Taken out.
    Scrubbed {
        /// How many.
        length: usize,
        /// Their SHA-256.
        sha256: String,
    },
}

impl Default for Payload {
    fn default() -> Self {
        Self::Hex(String::new())
    }
}

impl Payload {
    /// These bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let quadlets = bytes.chunks(4).map(|quadlet| {
            let digits = quadlet.iter().map(|byte| format!("{byte:02x}"));
            digits.collect::<String>()
        });
        Self::Hex(quadlets.collect::<Vec<_>>().join(" "))
    }

    /// The bytes; zeros where they were taken out. `None` where they are not hexadecimal.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Scrubbed { length, .. } if *length <= SCRUBBED_MAX => {
                Some(alloc::vec![0; *length])
            }
            Self::Scrubbed { .. } => None,
            Self::Hex(text) => {
                let digits: Option<Vec<u8>> = text
                    .chars()
                    .filter(|character| *character != ' ')
                    .map(|digit| digit.to_digit(16).and_then(|digit| digit.try_into().ok()))
                    .collect();
                let digits = digits?;
                if digits.len() % 2 != 0 {
                    return None;
                }
                Some(
                    digits
                        .chunks_exact(2)
                        .map(|two| two[0] << 4 | two[1])
                        .collect(),
                )
            }
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Hex(text) if text.is_empty())
    }

    /// Whether the bytes were taken out.
    #[must_use]
    pub const fn is_scrubbed(&self) -> bool {
        matches!(self, Self::Scrubbed { .. })
    }

    /// How many there are.
    #[must_use]
    pub fn length(&self) -> usize {
        match self {
            Self::Scrubbed { length, .. } => *length,
            Self::Hex(text) => text.chars().filter(|character| *character != ' ').count() / 2,
        }
    }

    /// Whether these can be the same bytes as `other`: what was taken out can be anything of its
    /// length.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Hex(a), Self::Hex(b)) => a == b,
            _ => self.length() == other.length(),
        }
    }
}

impl core::fmt::Display for Line {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // There is nothing in it that JSON could not say.
        let text = serde_json::to_string(self).unwrap_or_else(|error| error.to_string());
        f.write_str(&text)
    }
}
