//! Command descriptor blocks: the commands, read and written.

mod encode;
mod opcode;
mod parse;
mod raw;
mod rw;
mod usage;

pub use raw::RawCdb;
pub use rw::{MAX_BLOCKS_10, read_blocks, write_blocks};
pub use usage::{InvalidField, check_usage};

/// The bits of an LBA in READ(6) and WRITE(6).
const LBA_6: u32 = 0x1f_ffff;

/// Bytes that are no command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CdbError {
    /// There is no operation code.
    #[error("an empty command descriptor block")]
    Empty,
    /// The command is longer than the bytes there are. An ORB of 32 bytes has room for 12.
    #[error("operation code {opcode:#04x} takes {needed} bytes, there are {available}")]
    Truncated {
        /// The operation code.
        opcode: u8,
        /// What the command takes.
        needed: usize,
        /// What there is.
        available: usize,
    },
}

/// Which mode pages a MODE SENSE asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ModePageSelect {
    /// DBD: leave out the block descriptors.
    pub disable_block_descriptors: bool,
    /// PC, 0 to 3: current, changeable, default or saved values.
    pub control: u8,
    /// Page code, 0 to 0x3f; see [`mode_page`](super::mode_page).
    pub page: u8,
    /// Subpage code.
    pub subpage: u8,
}

/// A command, as far as disks across SBP-2 have it. All others are kept as [`Cdb::Other`].
///
/// Each variant's fields have the width that they have in the command. Reserved bits are not
/// kept; whether a device should refuse them is told by [`check_usage`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields have the standard's names")]
pub enum Cdb {
    /// Whether the unit is ready for medium access (SPC-3 6.33).
    TestUnitReady,
    /// Sense data as parameter data (SPC-3 6.27).
    RequestSense {
        descriptor_format: bool,
        allocation_length: u8,
    },
    /// READ(6) (SBC-3). `lba` has 21 bits; `blocks` is 1 to 256.
    Read6 { lba: u32, blocks: u16 },
    /// WRITE(6) (SBC-3). `lba` has 21 bits; `blocks` is 1 to 256.
    Write6 { lba: u32, blocks: u16 },
    /// What the device is; with `vital_product_data` the page `page_code` (SPC-3 6.4).
    Inquiry {
        vital_product_data: bool,
        page_code: u8,
        allocation_length: u16,
    },
    /// MODE SENSE(6) (SPC-3 6.9).
    ModeSense6 {
        pages: ModePageSelect,
        allocation_length: u8,
    },
    /// Starts or stops the medium (SBC-3). Never stop a disk that others are logged in to.
    StartStopUnit {
        immediate: bool,
        /// 0: as `start` says; 1 active, 2 idle, 3 standby.
        power_condition: u8,
        load_eject: bool,
        start: bool,
    },
    /// Last LBA and block length in 32 bits (SBC-3).
    ReadCapacity10,
    /// READ(10) (SBC-3, RBC).
    Read10 {
        lba: u32,
        blocks: u16,
        disable_page_out: bool,
        force_unit_access: bool,
    },
    /// WRITE(10) (SBC-3, RBC).
    Write10 {
        lba: u32,
        blocks: u16,
        disable_page_out: bool,
        force_unit_access: bool,
    },
    /// Reads without handing over; with `byte_check` compares (SBC-3, RBC).
    Verify10 {
        lba: u32,
        blocks: u16,
        byte_check: u8,
    },
    /// Cache to medium; `blocks` 0 means to the end (SBC-3, RBC).
    SynchronizeCache10 {
        immediate: bool,
        lba: u32,
        blocks: u16,
    },
    /// MODE SENSE(10) (SPC-3 6.10).
    ModeSense10 {
        pages: ModePageSelect,
        long_lba_accepted: bool,
        allocation_length: u16,
    },
    /// READ(16) (SBC-3).
    Read16 {
        lba: u64,
        blocks: u32,
        disable_page_out: bool,
        force_unit_access: bool,
    },
    /// WRITE(16) (SBC-3).
    Write16 {
        lba: u64,
        blocks: u32,
        disable_page_out: bool,
        force_unit_access: bool,
    },
    /// Cache to medium; `blocks` 0 means to the end (SBC-3).
    SynchronizeCache16 {
        immediate: bool,
        lba: u64,
        blocks: u32,
    },
    /// Last LBA and block length in 64 and 32 bits: SERVICE ACTION IN(16)/0x10 (SBC-3).
    ReadCapacity16 { allocation_length: u32 },
    /// The target's logical units (SPC-3 6.21).
    ReportLuns {
        select_report: u8,
        allocation_length: u32,
    },
    /// Any other command.
    Other(RawCdb),
}

/// A command that moves blocks of the medium.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// From initiator to target.
    pub write: bool,
    /// The first block.
    pub lba: u64,
    /// How many blocks.
    pub blocks: u32,
    /// DPO: the blocks need not be kept in the cache.
    pub disable_page_out: bool,
    /// FUA: from or to the medium, not the cache.
    pub force_unit_access: bool,
}

impl Cdb {
    /// The blocks of the medium that the command moves, if it moves any.
    #[must_use]
    pub fn transfer(&self) -> Option<Transfer> {
        let (write, lba, blocks, disable_page_out, force_unit_access) = match *self {
            Self::Read6 { lba, blocks } => (false, lba.into(), blocks.into(), false, false),
            Self::Write6 { lba, blocks } => (true, lba.into(), blocks.into(), false, false),
            Self::Read10 {
                lba,
                blocks,
                disable_page_out: dpo,
                force_unit_access: fua,
            } => (false, lba.into(), blocks.into(), dpo, fua),
            Self::Write10 {
                lba,
                blocks,
                disable_page_out: dpo,
                force_unit_access: fua,
            } => (true, lba.into(), blocks.into(), dpo, fua),
            Self::Read16 {
                lba,
                blocks,
                disable_page_out: dpo,
                force_unit_access: fua,
            } => (false, lba, blocks, dpo, fua),
            Self::Write16 {
                lba,
                blocks,
                disable_page_out: dpo,
                force_unit_access: fua,
            } => (true, lba, blocks, dpo, fua),
            _ => return None,
        };
        Some(Transfer {
            write,
            lba,
            blocks,
            disable_page_out,
            force_unit_access,
        })
    }

    /// The bytes of parameter data that the command has room for; 0 where it returns none, and
    /// for reads of the medium.
    #[must_use]
    pub fn allocation_length(&self) -> u32 {
        match *self {
            Self::RequestSense {
                allocation_length, ..
            }
            | Self::ModeSense6 {
                allocation_length, ..
            } => allocation_length.into(),
            Self::Inquiry {
                allocation_length, ..
            }
            | Self::ModeSense10 {
                allocation_length, ..
            } => allocation_length.into(),
            Self::ReadCapacity10 => 8,
            Self::ReadCapacity16 { allocation_length }
            | Self::ReportLuns {
                allocation_length, ..
            } => allocation_length,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests;
