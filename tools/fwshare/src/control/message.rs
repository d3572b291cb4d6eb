//! What is said over a login's socket.

use std::collections::BTreeMap;

use fwshare_export::Users;
use serde::{Deserialize, Serialize};

use crate::session::{Reset, Traffic};

/// What a login can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wish {
    /// How it is.
    Status,
    /// To end, unless a device of its is in use. The answer comes when it has ended.
    Logout,
    /// To end, whoever uses its devices.
    ForceLogout,
    /// To have something reset. The answer comes when that was done.
    Reset(Reset),
}

/// What it answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    Status(Box<Status>),
    Ended(Ended),
    /// It goes on: these devices are in use.
    Busy(Vec<Device>),
    /// What came of a reset.
    Reset(Ended),
    /// It did not understand.
    Refused(String),
}

/// How a login ended, or what else it did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) exit_code: u8,
    /// What went wrong, and what to do.
    pub(crate) message: Option<String>,
}

/// A login as it is. What an older fwshare does not tell is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) pid: u32,
    pub(crate) target: String,
    pub(crate) description: String,
    pub(crate) bus: String,
    /// What the operating system called the target's node when it was logged in to: `fw1`.
    pub(crate) node: String,
    /// `S400`
    pub(crate) speed: String,
    /// Bytes in a data packet at most.
    pub(crate) max_payload: usize,
    pub(crate) exclusive: bool,
    pub(crate) serialize_io: bool,
    /// What the bridge gets wrong and is worked around.
    pub(crate) quirks: Vec<String>,
    /// In RFC 3339.
    pub(crate) started: String,
    pub(crate) uptime_s: u64,
    pub(crate) hosts: Vec<HostStatus>,
}

/// What one host has of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HostStatus {
    pub(crate) guid: Option<String>,
    /// `None` while the login is lost.
    pub(crate) login_id: Option<u16>,
    /// The target's node id, in hexadecimal; `None` while it is not on the bus.
    pub(crate) node_id: Option<String>,
    pub(crate) generation: Option<u32>,
    pub(crate) exports: Vec<String>,
    /// How many use each of the exports now, for those that can tell.
    pub(crate) clients: BTreeMap<String, usize>,
    pub(crate) devices: Vec<Device>,
    pub(crate) traffic: Traffic,
    pub(crate) bus_resets: u64,
    pub(crate) reconnects: u64,
    pub(crate) logins: u64,
    pub(crate) orbs: u64,
    pub(crate) reissued: u64,
    pub(crate) timeouts: u64,
    pub(crate) stale_status: u64,
    pub(crate) unsolicited_status: u64,
    /// What was refused, by kind; kinds that did not occur are 0.
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) last_error: Option<LastError>,
}

/// Something that went wrong, though the login goes on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LastError {
    /// In RFC 3339.
    pub(crate) at: String,
    pub(crate) message: String,
}

/// A block device of this host.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Device {
    /// `/dev/loop0`
    pub(crate) path: String,
    /// The export that it is on.
    pub(crate) export: String,
    /// Where it or its partitions are mounted.
    #[serde(default)]
    pub(crate) mounts: Vec<String>,
    /// What is built on it or its partitions: `dm-0`.
    #[serde(default)]
    pub(crate) holders: Vec<String>,
}

impl Device {
    /// The device with those who use it now.
    pub(super) fn looked_at(self) -> Self {
        let Users { mounts, holders } = Users::of_device(self.path.as_ref());
        Self {
            mounts,
            holders,
            ..self
        }
    }

    /// Whether a file system or something else would lose it.
    pub(crate) fn is_in_use(&self) -> bool {
        !self.mounts.is_empty() || !self.holders.is_empty()
    }

    /// What uses it, in words: "mounted on /mnt".
    pub(crate) fn use_in_words(&self) -> String {
        let users = Users {
            mounts: self.mounts.clone(),
            holders: self.holders.clone(),
        };
        users.to_string()
    }
}

/// An export with the device on it, if there is one, in words.
pub(crate) fn with_device(export: &str, devices: &[Device]) -> String {
    let device = devices.iter().find(|device| device.export == export);
    device.map_or_else(
        || export.to_owned(),
        |device| format!("{export} and {}", device.path),
    )
}
