//! A bridge in software, its disk, and what is said of both.

mod bad_blocks;
mod image;
mod record;
mod spec;

use self::bad_blocks::BadBlocks;
pub use self::image::{Image, ImageError};
pub use self::record::{recorded, tape};
pub use self::spec::{BridgeSpec, BridgeSpecError, SECTORS, Storage};

use std::io;
use std::path::PathBuf;

use ohci_raw::sim::NodeConfig;
use sbp2::scsi::{Medium, MediumSizeError, MemoryMedium};
use sbp2::target::{Bridge, BridgeError, BridgeProfile};

/// How many blocks a disk can have without 16-byte commands: READ CAPACITY (10) counts them in 32
/// bits, and the highest last block stands for "more".
const MAX_BLOCKS_10_BYTE_CDB: u64 = 0xffff_ffff;

/// Why there is no emulated bridge.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// Its image cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Its disk in memory has an impossible size.
    #[error("the emulated disk cannot be made: {0}")]
    Size(#[from] MediumSizeError),
    /// Its profile makes no sense.
    #[error("the emulated bridge cannot be made: {0}")]
    Bridge(#[from] BridgeError),
    /// Its commands cannot name every block.
    #[error(
        "{blocks} blocks: the bridge \"{profile}\" can address {MAX_BLOCKS_10_BYTE_CDB} of them"
    )]
    TooManyBlocks {
        /// Blocks of the disk.
        blocks: u64,
        /// The profile's name.
        profile: &'static str,
    },
    /// What it is told and does cannot be recorded.
    #[error("cannot record into {}: {error}", path.display())]
    Record {
        /// The new file.
        path: PathBuf,
        /// What came back.
        error: io::Error,
    },
    /// There is no such profile.
    #[error("there is no bridge profile \"{0}\"")]
    Profile(String),
}

/// Opens the disk and builds the bridge in front of it, and says what to attach it as.
///
/// # Errors
/// [`AssemblyError`].
pub fn assemble(spec: &BridgeSpec) -> Result<(NodeConfig, Bridge), AssemblyError> {
    let mut profile = BridgeProfile::by_name(&spec.profile)
        .ok_or_else(|| AssemblyError::Profile(spec.profile.clone()))?;
    if let Some(logins) = spec.logins {
        profile.max_logins = logins;
    }
    if let Some(speed) = spec.speed {
        profile.speed = speed;
    }
    if let Some(guid) = spec.guid {
        profile = profile.with_eui64(guid);
    }
    profile.query_logins = spec.query;
    let medium = medium(spec)?;
    let medium = match spec.bad {
        Some(bad) => Box::new(BadBlocks::new(medium, bad)),
        None => medium,
    };
    check_blocks(&profile, medium.blocks())?;
    let config = NodeConfig {
        name: profile.name.to_owned(),
        eui64: profile.eui64,
        rom: Vec::new(),
        speed: profile.speed,
        rom_block_reads: profile.rom_block_reads,
    };
    let bridge = Bridge::new(profile, vec![medium])?;
    let config = NodeConfig {
        rom: bridge.rom().to_vec(),
        ..config
    };
    Ok((config, bridge))
}

/// Whether the commands that a bridge knows can name all blocks of a disk.
///
/// # Errors
/// [`AssemblyError::TooManyBlocks`].
pub fn check_blocks(profile: &BridgeProfile, blocks: u64) -> Result<(), AssemblyError> {
    if blocks > MAX_BLOCKS_10_BYTE_CDB && !profile.identity.long_commands {
        let profile = profile.name;
        return Err(AssemblyError::TooManyBlocks { blocks, profile });
    }
    Ok(())
}

fn medium(spec: &BridgeSpec) -> Result<Box<dyn Medium>, AssemblyError> {
    Ok(match &spec.storage {
        Storage::Image(path) => Box::new(Image::open(path, spec.sector)?),
        Storage::Memory(size) => Box::new(MemoryMedium::new(
            spec.sector,
            size / u64::from(spec.sector),
        )?),
    })
}
