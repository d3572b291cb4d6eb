//! What `--bus` says.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use fwlab::bridge::{BridgeSpec, BridgeSpecError, Storage};
use fwlab::options::{Options, OptionsError};
use ohci_raw::trace::Mode;

/// A bus has ids for 63 nodes, one of which is the bridge.
const HOSTS: RangeInclusive<usize> = 1..=62;

/// Where the bus is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BusSpec {
    /// A folder of firewire-cdev nodes, `/dev` on a host with FireWire.
    Folder(PathBuf),
    /// A virtual bus inside this process, with one bridge.
    Emulated(Emulation),
    /// A recording.
    Replay {
        /// Its file.
        path: PathBuf,
        /// How closely it must be followed.
        mode: Mode,
    },
}

/// An emulated bus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Emulation {
    /// The bridge. The hosts are as fast as it is.
    pub(crate) bridge: BridgeSpec,
    /// How many hosts this process plays.
    pub(crate) hosts: usize,
    /// What the first host does, in virtual time.
    pub(crate) script: Option<PathBuf>,
}

/// A `--bus` that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum BusSpecError {
    #[error("a bus must be named: a folder such as /dev, or emulated")]
    Empty,
    #[error("a recording must be named: replay:FILE")]
    Replay,
    #[error("the emulated bus: {0}")]
    Emulated(#[from] BridgeSpecError),
}

impl From<OptionsError> for BusSpecError {
    fn from(error: OptionsError) -> Self {
        Self::Emulated(error.into())
    }
}

impl FromStr for BusSpec {
    type Err = BusSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            _ if text.is_empty() => Err(BusSpecError::Empty),
            _ if text == "emulated" => Emulation::parse("").map(Self::Emulated),
            Some(("emulated", options)) => Emulation::parse(options).map(Self::Emulated),
            Some(("replay", rest)) => replay(rest),
            _ => Ok(Self::Folder(text.into())),
        }
    }
}

impl BusSpec {
    /// Whether what happens is laid down already: nobody is waited for.
    pub(crate) const fn runs_by_itself(&self) -> bool {
        match self {
            Self::Folder(_) => false,
            Self::Emulated(emulation) => emulation.script.is_some(),
            Self::Replay { .. } => true,
        }
    }
}

impl BusSpec {
    /// What tells its disks from those with the same names on another bus, for whoever comes next.
    /// Those that end with this process have its id in it.
    pub(crate) fn identity(&self) -> String {
        let whole = |path: &PathBuf| {
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            path.display().to_string()
        };
        match self {
            Self::Folder(folder) => whole(folder),
            Self::Emulated(emulation) => match &emulation.bridge.storage {
                Storage::Image(image) => whole(image),
                Storage::Memory(_) => format!("memory of {}", std::process::id()),
            },
            Self::Replay { .. } => format!("recording in {}", std::process::id()),
        }
    }
}

fn replay(text: &str) -> Result<BusSpec, BusSpecError> {
    let (path, mode) = match text.rsplit_once(",mode=") {
        Some((path, "relaxed")) => (path, Mode::Relaxed),
        Some((path, "strict")) => (path, Mode::Strict),
        _ => (text, Mode::Strict),
    };
    if path.is_empty() {
        return Err(BusSpecError::Replay);
    }
    let path = path.into();
    Ok(BusSpec::Replay { path, mode })
}

impl fmt::Display for BusSpec {
    /// How the bus is called in messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Emulated(_) => f.write_str("the emulated bus"),
            Self::Replay { path, .. } => write!(f, "the recording {}", path.display()),
        }
    }
}

impl Emulation {
    fn parse(text: &str) -> Result<Self, BusSpecError> {
        let mut keys = BridgeSpec::KEYS.to_vec();
        keys.extend(["hosts", "script"]);
        let mut options = Options::parse(text, &keys)?;
        let hosts = options.in_range("hosts", HOSTS)?;
        let script = options.take("script").map(PathBuf::from);
        Ok(Self {
            script,
            bridge: BridgeSpec::from_options(&mut options)?,
            hosts: hosts.unwrap_or(*HOSTS.start()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_key_or_value_is_refused_and_told_what_is_allowed() {
        for (text, expected) in [
            ("", "a folder such as /dev"),
            ("replay:", "replay:FILE"),
            ("replay:,mode=strict", "replay:FILE"),
            ("emulated:imag=x", "image, size, profile, sector"),
            ("emulated:size=0", "at least one sector"),
            ("emulated:hosts=0", "from 1 to 62"),
            ("emulated:hosts=63", "from 1 to 62"),
            ("emulated:hosts=+2", "from 1 to 62"),
            ("emulated:hosts=99999999999999999999", "from 1 to 62"),
        ] {
            let error = text.parse::<BusSpec>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn an_emulated_bus_has_one_host_unless_more_are_wanted() {
        for (text, bridge, hosts) in [
            ("emulated", "", 1),
            ("emulated:", "", 1),
            (
                "emulated:size=3T,hosts=3,profile=generic",
                "size=3T,profile=generic",
                3,
            ),
        ] {
            let bridge = bridge.parse().unwrap();
            let expected = BusSpec::Emulated(Emulation {
                bridge,
                hosts,
                script: None,
            });
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_recording_is_followed_strictly_unless_told_otherwise() {
        for (text, path, mode) in [
            ("replay:x", "x", Mode::Strict),
            ("replay:a,b:c", "a,b:c", Mode::Strict),
            ("replay:x,mode=relaxed", "x", Mode::Relaxed),
            ("replay:x,mode=strict", "x", Mode::Strict),
        ] {
            let path = path.into();
            assert_eq!(text.parse(), Ok(BusSpec::Replay { path, mode }), "{text}");
        }
    }

    #[test]
    fn anything_else_is_a_folder() {
        for text in ["/dev", "nodes", "./emulated", "a:b", "/tmp/replay:x"] {
            assert_eq!(text.parse(), Ok(BusSpec::Folder(text.into())));
        }
    }
}
