//! How a device is named on the command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Found;
use crate::bus::BusSpec;

/// A device as the user names it: `GUID[:LUN]`, `fwN[:LUN]` or `/dev/fwN[:LUN]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TargetSpec {
    pub(super) text: String,
    device: Device,
    pub(super) lun: Option<u16>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Device {
    /// The first digits of a GUID, in lower case.
    Guid(String),
    Node(String),
    Path(PathBuf),
}

/// Text that names no device.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ParseTargetError {
    #[error(
        "\"{0}\" is no device: write the first digits of its GUID, up to 16 hexadecimal ones, or /dev/fwN"
    )]
    Device(String),
    #[error("\"{0}\" is no logical unit number: write 0 to 65535 behind the colon")]
    Lun(String),
}

impl FromStr for TargetSpec {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, lun) = match text.rsplit_once(':') {
            Some((name, lun)) => (name, Some(parse_lun(lun)?)),
            None => (text, None),
        };
        let device = if is_node_name(name) {
            Device::Node(name.to_owned())
        } else if name.contains('/') {
            Device::Path(name.into())
        } else {
            let digits = guid_digits(name);
            let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !hexadecimal || !(1..=16).contains(&digits.len()) {
                return Err(ParseTargetError::Device(name.to_owned()));
            }
            Device::Guid(digits.to_ascii_lowercase())
        };
        Ok(Self {
            text: text.to_owned(),
            device,
            lun,
        })
    }
}

/// The digits of a GUID, before which something may stand.
pub(crate) fn guid_digits(text: &str) -> &str {
    ["0x", "0X", "eui."]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text)
}

fn parse_lun(text: &str) -> Result<u16, ParseTargetError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| ParseTargetError::Lun(text.to_owned()))
}

/// Whether this is `fw` and a number.
fn is_node_name(text: &str) -> bool {
    text.strip_prefix("fw")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

impl TargetSpec {
    /// Whether it can mean this node.
    pub(super) fn matches(&self, found: &Found) -> bool {
        match &self.device {
            Device::Guid(digits) => found.node.eui64.to_string().starts_with(digits),
            Device::Node(name) => found.node.name == *name,
            Device::Path(path) => found.path.as_deref() == Some(path),
        }
    }
}

/// Whether `text` is the path of a node of this bus.
pub(crate) fn is_node_path(text: &str, bus: &BusSpec) -> bool {
    let path = text.rsplit_once(':').map_or(text, |(path, _)| path);
    let path = Path::new(path);
    let name = path.file_name().and_then(|name| name.to_str());
    match bus {
        BusSpec::Folder(folder) => {
            name.is_some_and(is_node_name) && path.parent() == Some(folder.as_path())
        }
        BusSpec::Emulated(_) | BusSpec::Replay { .. } => false,
    }
}
