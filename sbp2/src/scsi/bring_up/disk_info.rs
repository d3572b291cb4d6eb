use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::scsi::{Completion, Designator, DeviceType, InquiryError, Text};

/// What bringing up a disk found out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskInfo {
    /// Vendor, from INQUIRY data. May be empty; the configuration ROM has better texts.
    pub vendor: Text<8>,
    /// Product, from INQUIRY data.
    pub product: Text<16>,
    /// Firmware revision, from INQUIRY data.
    pub revision: Text<4>,
    /// The standard it claims, as in [`StandardInquiry`](crate::scsi::StandardInquiry).
    pub version: u8,
    /// SBC or RBC disk.
    pub device_type: DeviceType,
    /// Unit serial number, if it tells one.
    pub serial: Option<String>,
    /// Names of the logical unit, its port and its device, if it tells any.
    pub designators: Vec<Designator>,
    /// Number of logical blocks, at least 1. With `block_length` less than 2^63 bytes.
    pub blocks: u64,
    /// Bytes per logical block: a power of two from 512 to 65536.
    pub block_length: u32,
    /// Whether what is written may stay in a volatile cache. `None` if the disk did not tell:
    /// assume that it may, and flush.
    pub write_cache: Option<bool>,
    /// READ and WRITE take FUA.
    pub fua: bool,
    /// The disk said that it refuses writes.
    pub write_protected: bool,
}

/// Why a disk could not be brought up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BringUpError {
    /// A command that cannot be done without failed.
    #[error("{command} failed: {completion}")]
    Command {
        /// Its name.
        command: &'static str,
        /// What came back.
        completion: Completion,
    },
    /// A command that cannot be done without got no answer, several times.
    #[error("{command} was not answered ({attempts} attempts)")]
    NoAnswer {
        /// Its name.
        command: &'static str,
        /// How often it was sent.
        attempts: u32,
    },
    /// The disk did not become ready in time.
    #[error("the disk did not become ready within {} s, last answer: {completion}", waited.as_secs())]
    NotReady {
        /// How long it was waited for.
        waited: Duration,
        /// Its last answer.
        completion: Completion,
    },
    /// There is a drive, and nothing in it.
    #[error("no medium in the drive: {0}")]
    NoMedium(Completion),
    /// INQUIRY says that no device is behind this logical unit number.
    #[error("no device at this logical unit number (peripheral qualifier {qualifier})")]
    NoLogicalUnit {
        /// 1: there could be one; 3: there cannot.
        qualifier: u8,
    },
    /// It is another kind of device.
    #[error("not a disk: INQUIRY says {0}")]
    NotADisk(DeviceType),
    /// The INQUIRY data makes no sense.
    #[error(transparent)]
    Inquiry(#[from] InquiryError),
    /// The block length is not one that disks have.
    #[error(
        "{command} says blocks of {block_length} bytes: must be a power of two from 512 to 65536"
    )]
    BlockLength {
        /// The command that told it.
        command: &'static str,
        /// What it said.
        block_length: u32,
    },
    /// The number of blocks is none or beyond reason.
    #[error(
        "{command} says a last block {last_lba:#x} with {block_length} bytes per block: must be at least one block and less than 2^63 bytes"
    )]
    Capacity {
        /// The command that told it.
        command: &'static str,
        /// The last LBA it said.
        last_lba: u64,
        /// The block length it said.
        block_length: u32,
    },
}
