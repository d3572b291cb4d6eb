//! What is said over a login's socket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a login can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wish {
    /// How it is.
    Status,
    /// To end. The answer comes when it has.
    Logout,
}

/// What it answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    Status(Status),
    Ended(Ended),
    /// It did not understand.
    Refused(String),
}

/// How a login ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) exit_code: u8,
    /// What went wrong, and what to do.
    pub(crate) message: Option<String>,
}

/// A login as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) pid: u32,
    pub(crate) target: String,
    pub(crate) description: String,
    pub(crate) bus: String,
    pub(crate) exclusive: bool,
    pub(crate) hosts: Vec<HostStatus>,
}

/// What one host has of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HostStatus {
    pub(crate) guid: Option<String>,
    /// `None` while the login is lost.
    pub(crate) login_id: Option<u16>,
    pub(crate) exports: Vec<String>,
    /// Absent from those of an older fwshare.
    #[serde(default)]
    pub(crate) devices: Vec<Device>,
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
}

/// A block device of this host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Device {
    /// `/dev/loop0`
    pub(crate) path: String,
    /// The export that it is on.
    pub(crate) export: String,
}

/// An export with the device on it, if there is one, in words.
pub(crate) fn with_device(export: &str, devices: &[Device]) -> String {
    let device = devices.iter().find(|device| device.export == export);
    device.map_or_else(
        || export.to_owned(),
        |device| format!("{export} and {}", device.path),
    )
}
