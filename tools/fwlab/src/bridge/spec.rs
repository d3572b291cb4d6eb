//! What is said of an emulated bridge.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ohci_raw::bus::{Eui64, Speed};
use sbp2::target::BridgeProfile;

use crate::options::{Options, OptionsError};
use crate::size::{self, ParseSizeError};

/// Sizes of a logical block that disks have.
pub const SECTORS: [u32; 3] = [512, 2048, 4096];
const DEFAULT_SIZE: u64 = 64 << 20;

/// An emulated bridge and its disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BridgeSpec {
    /// Where the disk's bytes are.
    pub storage: Storage,
    /// A name that [`BridgeProfile::by_name`] knows.
    pub profile: String,
    /// Bytes per logical block.
    pub sector: u32,
    /// How many logins the bridge has room for, unless as many as the profile says.
    pub logins: Option<usize>,
    /// How fast the node is, unless as fast as the profile says.
    pub speed: Option<Speed>,
    /// The node's EUI-64, unless that of the profile.
    pub guid: Option<Eui64>,
    /// Whether the bridge says who is logged in.
    pub query: bool,
    /// Blocks that can be neither read nor written, the first and the last.
    pub bad: Option<(u64, u64)>,
    /// A new file, into which all that the bridge is told and does is recorded.
    pub record: Option<PathBuf>,
}

/// Where an emulated disk's bytes are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Storage {
    /// In memory, and gone at the end. So many bytes, whole blocks.
    Memory(u64),
    /// In this file.
    Image(PathBuf),
}

/// A bridge that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BridgeSpecError {
    /// The options themselves.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Two media.
    #[error("image and size exclude each other: an image has the size that its file has")]
    ImageAndSize,
    /// A size that is none.
    #[error("size: {0}")]
    Size(#[from] ParseSizeError),
    /// The disk would end in the middle of a sector.
    #[error("size={size} is no multiple of the sector size, {sector} bytes")]
    PartialSector {
        /// Bytes of the disk.
        size: u64,
        /// Bytes of a sector.
        sector: u32,
    },
    /// A disk of nothing.
    #[error("size=0: a disk has at least one sector")]
    NoSectors,
}

impl BridgeSpec {
    /// What a bridge can be told.
    pub const KEYS: [&'static str; 10] = [
        "image", "size", "profile", "sector", "logins", "speed", "guid", "bad", "query", "record",
    ];

    /// Takes what concerns the bridge out of `options`.
    ///
    /// # Errors
    /// [`BridgeSpecError`].
    pub fn from_options(options: &mut Options) -> Result<Self, BridgeSpecError> {
        let sector = options.one_of("sector", &SECTORS, u32::to_string)?;
        let sector = sector.unwrap_or(SECTORS[0]);
        let storage = match (options.take("image"), options.take("size")) {
            (Some(_), Some(_)) => return Err(BridgeSpecError::ImageAndSize),
            (Some(image), None) => Storage::Image(image.into()),
            (None, size) => Storage::Memory(memory_size(size.as_deref(), sector)?),
        };
        let profile =
            options.one_of("profile", &BridgeProfile::NAMES, |name| (*name).to_owned())?;
        let guid = options.take("guid").map(|value| {
            value.parse().map_err(|_| OptionsError::Value {
                key: "guid",
                value,
                allowed: "an EUI-64 of 16 hexadecimal digits".to_owned(),
            })
        });
        let on_off = |on: &bool| if *on { "on" } else { "off" }.to_owned();
        let query = options.one_of("query", &[true, false], on_off)?;
        let bad = options.take("bad").map(|value| {
            bad_blocks(&value).ok_or_else(|| OptionsError::Value {
                key: "bad",
                value,
                allowed: "a block, or the first and the last: FIRST-LAST".to_owned(),
            })
        });
        Ok(Self {
            storage,
            profile: profile.unwrap_or(BridgeProfile::NAMES[0]).to_owned(),
            sector,
            logins: options.in_range("logins", 1..=BridgeProfile::MAX_LOGINS)?,
            speed: options.one_of("speed", &Speed::ALL, Speed::to_string)?,
            guid: guid.transpose()?,
            bad: bad.transpose()?,
            query: query.unwrap_or(true),
            record: options.take("record").map(PathBuf::from),
        })
    }
}

impl fmt::Display for BridgeSpec {
    /// As it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &PathBuf| path.display().to_string().replace(',', ",,");
        let Self {
            profile, sector, ..
        } = self;
        write!(f, "profile={profile}")?;
        match &self.storage {
            Storage::Memory(size) => write!(f, ",size={size}")?,
            Storage::Image(image) => write!(f, ",image={}", path(image))?,
        }
        if *sector != SECTORS[0] {
            write!(f, ",sector={sector}")?;
        }
        if let Some(logins) = self.logins {
            write!(f, ",logins={logins}")?;
        }
        if let Some(speed) = self.speed {
            write!(f, ",speed={speed}")?;
        }
        if let Some(guid) = self.guid {
            write!(f, ",guid={guid}")?;
        }
        if let Some((first, last)) = self.bad {
            write!(f, ",bad={first}-{last}")?;
        }
        if !self.query {
            f.write_str(",query=off")?;
        }
        match &self.record {
            Some(record) => write!(f, ",record={}", path(record)),
            None => Ok(()),
        }
    }
}

impl FromStr for BridgeSpec {
    type Err = BridgeSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_options(&mut Options::parse(text, &Self::KEYS)?)
    }
}

fn bad_blocks(text: &str) -> Option<(u64, u64)> {
    let number = |text: &str| {
        // parse alone would let a plus sign pass.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

fn memory_size(text: Option<&str>, sector: u32) -> Result<u64, BridgeSpecError> {
    let size = text.map_or(Ok(DEFAULT_SIZE), size::parse)?;
    if size == 0 {
        Err(BridgeSpecError::NoSectors)
    } else if size.is_multiple_of(u64::from(sector)) {
        Ok(size)
    } else {
        Err(BridgeSpecError::PartialSector { size, sector })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_key_or_value_is_refused_and_told_what_is_allowed() {
        for (text, expected) in [
            ("imag=x", "image, size, profile, sector"),
            ("hosts=2", "no key \"hosts\""),
            ("logins", "write KEY=VALUE"),
            ("logins=", "write KEY=VALUE"),
            (",", "write KEY=VALUE"),
            ("logins=1,", "write KEY=VALUE"),
            ("=1", "no key \"\""),
            ("logins=1,logins=1", "logins is given twice"),
            ("image=x,size=1M", "exclude each other"),
            ("size=12Q", "K, M, G or T"),
            ("size=0", "at least one sector"),
            ("size=1000", "no multiple of the sector size, 512"),
            (
                "sector=4096,size=512",
                "no multiple of the sector size, 4096",
            ),
            ("sector=513", "512, 2048 or 4096"),
            ("sector=1024", "512, 2048 or 4096"),
            ("profile=oxfw912", "oxfw911, oxuf922 or generic"),
            ("logins=0", "from 1 to 42"),
            ("logins=43", "from 1 to 42"),
            ("logins=+2", "from 1 to 42"),
            ("logins=99999999999999999999", "from 1 to 42"),
            ("speed=S500", "S100, S200, S400, S800, S1600 or S3200"),
            ("guid=12", "16 hexadecimal digits"),
            ("bad=2-1", "FIRST-LAST"),
            ("bad=+1", "FIRST-LAST"),
            ("query=yes", "on or off"),
        ] {
            let error = text.parse::<BridgeSpec>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_bridge_of_which_nothing_is_said_has_a_small_disk_in_memory() {
        let expected = BridgeSpec {
            storage: Storage::Memory(64 << 20),
            profile: "oxfw911".into(),
            sector: 512,
            logins: None,
            speed: None,
            guid: None,
            bad: None,
            query: true,
            record: None,
        };
        assert_eq!("".parse(), Ok(expected));
    }

    #[test]
    fn every_key_is_heard() {
        let text = "speed=s800,logins=2,sector=4096,profile=generic,size=3T,guid=0x0001020304050607,bad=7-9,query=off,record=a,,b";
        let expected = BridgeSpec {
            storage: Storage::Memory(3 << 40),
            profile: "generic".into(),
            sector: 4096,
            logins: Some(2),
            speed: Some(Speed::S800),
            guid: Some(Eui64(0x0001_0203_0405_0607)),
            bad: Some((7, 9)),
            query: false,
            record: Some("a,b".into()),
        };
        assert_eq!(text.parse(), Ok(expected));
    }

    #[test]
    fn what_is_written_of_a_bridge_is_read_again_as_the_same() {
        for text in [
            "",
            "image=a,,b=c,speed=S200",
            "speed=s800,logins=2,sector=4096,profile=generic,size=3T,guid=0x0001020304050607,bad=7-9,query=off,record=a,,b",
        ] {
            let spec: BridgeSpec = text.parse().unwrap();
            assert_eq!(spec.to_string().parse(), Ok(spec), "{text}");
        }
    }

    #[test]
    fn a_comma_in_a_path_is_written_twice_and_all_else_stands_as_it_is() {
        for (text, path) in [
            ("image=a=b:c", "a=b:c"),
            ("logins=2,image=a,,b", "a,b"),
            ("image=a,,,logins=2", "a,"),
        ] {
            let spec: BridgeSpec = text.parse().unwrap();
            assert_eq!(spec.storage, Storage::Image(path.into()), "{text}");
        }
    }
}
