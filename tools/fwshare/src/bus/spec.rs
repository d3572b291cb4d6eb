//! What `--bus` says.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use ohci_raw::bus::Speed;
use sbp2::target::BridgeProfile;

use super::size::{self, ParseSizeError};

/// Sizes of a logical block that disks have.
const SECTORS: [u32; 3] = [512, 2048, 4096];
/// A bus has ids for 63 nodes, one of which is the bridge.
const HOSTS: RangeInclusive<usize> = 1..=62;
const DEFAULT_SIZE: u64 = 64 << 20;
/// What an emulated bus can be told.
const KEYS: [&str; 7] = [
    "image", "size", "profile", "sector", "logins", "hosts", "speed",
];

/// Where the bus is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BusSpec {
    /// A folder of firewire-cdev nodes, `/dev` on a host with FireWire.
    Folder(PathBuf),
    /// A virtual bus inside this process, with one bridge.
    Emulated(Emulation),
}

/// An emulated bus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Emulation {
    /// Where the disk's bytes are.
    pub(crate) storage: Storage,
    /// A name that [`BridgeProfile::by_name`] knows.
    pub(crate) profile: String,
    /// Bytes per logical block.
    pub(crate) sector: u32,
    /// How many logins the bridge has room for, unless as many as the profile says.
    pub(crate) logins: Option<usize>,
    /// How many hosts this process plays.
    pub(crate) hosts: usize,
    /// How fast all nodes are, unless the bridge as fast as the profile says.
    pub(crate) speed: Option<Speed>,
}

/// Where an emulated disk's bytes are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Storage {
    /// In memory, and gone at the end. So many bytes, whole blocks.
    Memory(u64),
    /// In this file.
    Image(PathBuf),
}

/// A `--bus` that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum BusSpecError {
    #[error("a bus must be named: a folder such as /dev, or emulated")]
    Empty,
    #[error(
        "recordings cannot be replayed yet: name a folder such as /dev, or emulated[:KEY=VALUE,...]"
    )]
    Replay,
    #[error("the emulated bus has no key \"{0}\"; there are {keys}", keys = KEYS.join(", "))]
    UnknownKey(String),
    #[error("\"{0}\" has no value: write KEY=VALUE; a comma in a value is written twice")]
    NoValue(String),
    #[error("{0} is given twice")]
    Twice(&'static str),
    #[error("image and size exclude each other: an image has the size that its file has")]
    ImageAndSize,
    #[error("size: {0}")]
    Size(#[from] ParseSizeError),
    #[error("size={size} is no multiple of the sector size, {sector} bytes")]
    PartialSector { size: u64, sector: u32 },
    #[error("size=0: a disk has at least one sector")]
    NoSectors,
    #[error("{key}={value}: must be {allowed}")]
    Value {
        key: &'static str,
        value: String,
        allowed: String,
    },
}

impl FromStr for BusSpec {
    type Err = BusSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            _ if text.is_empty() => Err(BusSpecError::Empty),
            _ if text == "emulated" => Emulation::parse("").map(Self::Emulated),
            Some(("emulated", options)) => Emulation::parse(options).map(Self::Emulated),
            Some(("replay", _)) => Err(BusSpecError::Replay),
            _ => Ok(Self::Folder(text.into())),
        }
    }
}

impl fmt::Display for BusSpec {
    /// How the bus is called in messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Emulated(_) => f.write_str("the emulated bus"),
        }
    }
}

impl Emulation {
    fn parse(options: &str) -> Result<Self, BusSpecError> {
        let mut values: [Option<String>; KEYS.len()] = Default::default();
        for option in split(options) {
            let Some((key, value)) = option.split_once('=').filter(|(_, v)| !v.is_empty()) else {
                return Err(BusSpecError::NoValue(option));
            };
            let Some(at) = KEYS.iter().position(|known| *known == key) else {
                return Err(BusSpecError::UnknownKey(key.to_owned()));
            };
            if values[at].replace(value.to_owned()).is_some() {
                return Err(BusSpecError::Twice(KEYS[at]));
            }
        }
        let [image, size, profile, sector, logins, hosts, speed] = values;
        let sector = sector.map_or(Ok(SECTORS[0]), |text| {
            one_of("sector", &text, &SECTORS, |sector| sector.to_string())
        })?;
        let storage = match (image, size) {
            (Some(_), Some(_)) => return Err(BusSpecError::ImageAndSize),
            (Some(image), None) => Storage::Image(image.into()),
            (None, size) => Storage::Memory(memory_size(size.as_deref(), sector)?),
        };
        let profile = profile.map_or(Ok("oxfw911"), |text| {
            one_of("profile", &text, &BridgeProfile::NAMES, |name| {
                (*name).to_owned()
            })
        })?;
        let logins = logins.map(|text| in_range("logins", &text, 1..=BridgeProfile::MAX_LOGINS));
        let hosts = hosts.map_or(Ok(1), |text| in_range("hosts", &text, HOSTS))?;
        let speed = speed.map(|text| one_of("speed", &text, &Speed::ALL, Speed::to_string));
        Ok(Self {
            storage,
            profile: profile.to_owned(),
            sector,
            logins: logins.transpose()?,
            hosts,
            speed: speed.transpose()?,
        })
    }
}

fn memory_size(text: Option<&str>, sector: u32) -> Result<u64, BusSpecError> {
    let size = text.map_or(Ok(DEFAULT_SIZE), size::parse)?;
    if size == 0 {
        Err(BusSpecError::NoSectors)
    } else if size.is_multiple_of(u64::from(sector)) {
        Ok(size)
    } else {
        Err(BusSpecError::PartialSector { size, sector })
    }
}

/// Cuts at commas; two in a row are one that belongs to a value, as in QEMU's options.
fn split(options: &str) -> Vec<String> {
    if options.is_empty() {
        return Vec::new();
    }
    let mut parts = vec![String::new()];
    let mut characters = options.chars().peekable();
    while let Some(character) = characters.next() {
        if character == ',' && characters.next_if_eq(&',').is_none() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts
}

fn one_of<T: Copy>(
    key: &'static str,
    value: &str,
    allowed: &[T],
    name: impl Fn(&T) -> String,
) -> Result<T, BusSpecError> {
    let found = allowed
        .iter()
        .find(|one| name(one).eq_ignore_ascii_case(value));
    found.copied().ok_or_else(|| {
        let names: Vec<_> = allowed.iter().map(name).collect();
        BusSpecError::Value {
            key,
            value: value.to_owned(),
            allowed: match names.split_last() {
                Some((last, others)) => format!("{} or {last}", others.join(", ")),
                None => String::new(),
            },
        }
    })
}

fn in_range(
    key: &'static str,
    value: &str,
    range: RangeInclusive<usize>,
) -> Result<usize, BusSpecError> {
    let number = value.parse().ok().filter(|number| range.contains(number));
    // parse alone would let a plus sign pass.
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    number
        .filter(|_| digits)
        .ok_or_else(|| BusSpecError::Value {
            key,
            value: value.to_owned(),
            allowed: format!("a number from {} to {}", range.start(), range.end()),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> BusSpecError {
        text.parse::<BusSpec>().unwrap_err()
    }

    fn emulation(text: &str) -> Emulation {
        match text.parse() {
            Ok(BusSpec::Emulated(emulation)) => emulation,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_bad_key_or_value_is_refused_and_told_what_is_allowed() {
        for (text, expected) in [
            ("", "a folder such as /dev"),
            ("replay:x", "cannot be replayed yet"),
            ("emulated:imag=x", "image, size, profile, sector"),
            ("emulated:hosts", "write KEY=VALUE"),
            ("emulated:hosts=", "write KEY=VALUE"),
            ("emulated:,", "write KEY=VALUE"),
            ("emulated:hosts=1,", "write KEY=VALUE"),
            ("emulated:=1", "no key \"\""),
            ("emulated:hosts=1,hosts=1", "hosts is given twice"),
            ("emulated:image=x,size=1M", "exclude each other"),
            ("emulated:size=12Q", "K, M, G or T"),
            ("emulated:size=0", "at least one sector"),
            ("emulated:size=1000", "no multiple of the sector size, 512"),
            (
                "emulated:sector=4096,size=512",
                "no multiple of the sector size, 4096",
            ),
            ("emulated:sector=513", "512, 2048 or 4096"),
            ("emulated:sector=1024", "512, 2048 or 4096"),
            ("emulated:profile=oxfw912", "oxfw911, oxuf922 or generic"),
            ("emulated:logins=0", "from 1 to 42"),
            ("emulated:logins=43", "from 1 to 42"),
            ("emulated:hosts=0", "from 1 to 62"),
            ("emulated:hosts=63", "from 1 to 62"),
            ("emulated:hosts=+2", "from 1 to 62"),
            ("emulated:hosts=99999999999999999999", "from 1 to 62"),
            (
                "emulated:speed=S500",
                "S100, S200, S400, S800, S1600 or S3200",
            ),
        ] {
            let error = error(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_bare_emulated_bus_has_one_host_and_a_small_disk_in_memory() {
        for text in ["emulated", "emulated:"] {
            let expected = Emulation {
                storage: Storage::Memory(64 << 20),
                profile: "oxfw911".into(),
                sector: 512,
                logins: None,
                hosts: 1,
                speed: None,
            };
            assert_eq!(emulation(text), expected);
        }
    }

    #[test]
    fn every_key_is_heard() {
        let found =
            emulation("emulated:speed=s800,hosts=3,logins=2,sector=4096,profile=generic,size=3T");
        let expected = Emulation {
            storage: Storage::Memory(3 << 40),
            profile: "generic".into(),
            sector: 4096,
            logins: Some(2),
            hosts: 3,
            speed: Some(Speed::S800),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_comma_in_a_path_is_written_twice_and_all_else_stands_as_it_is() {
        let image = |text| emulation(text).storage;
        for (text, path) in [
            ("emulated:image=a=b:c", "a=b:c"),
            ("emulated:hosts=2,image=a,,b", "a,b"),
            ("emulated:image=a,,,hosts=2", "a,"),
        ] {
            assert_eq!(image(text), Storage::Image(path.into()), "{text}");
        }
    }

    #[test]
    fn anything_else_is_a_folder() {
        for text in ["/dev", "nodes", "./emulated", "a:b", "/tmp/replay:x"] {
            assert_eq!(text.parse(), Ok(BusSpec::Folder(text.into())));
        }
    }
}
