use core::fmt;

use super::bytes::{bit_at, put, u8_at, u16_at, u32_at, u64_at};

/// The bytes of a command descriptor block: 1 to 16 of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawCdb {
    bytes: [u8; 16],
    length: u8,
}

impl RawCdb {
    /// The first `length` of `bytes`.
    const fn of(bytes: [u8; 16], length: u8) -> Self {
        Self { bytes, length }
    }

    /// These bytes as they are, known or not. Bytes beyond the 16th are left out: no command
    /// that SBP-2 carries in a 36-byte ORB has them.
    ///
    /// # Errors
    ///
    /// There is no byte at all.
    pub fn new(bytes: &[u8]) -> Result<Self, CdbError> {
        let length = match bytes.len() {
            0 => return Err(CdbError::Empty),
            length => u8::try_from(length.min(16)).unwrap_or(16),
        };
        let mut padded = [0; 16];
        put(&mut padded, 0, bytes);
        Ok(Self::of(padded, length))
    }

    /// The command's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The command's bytes, filled up with zeros: the way they stand in an ORB.
    #[must_use]
    pub const fn padded(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// The operation code.
    #[must_use]
    pub const fn opcode(&self) -> u8 {
        self.bytes[0]
    }
}

impl fmt::Debug for RawCdb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.as_bytes().iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")?;
        }
        Ok(())
    }
}

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
/// kept; whether a device should refuse them is told by [`check_usage`](super::check_usage).
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

pub(super) mod opcode {
    pub(in crate::scsi) const TEST_UNIT_READY: u8 = 0x00;
    pub(in crate::scsi) const REQUEST_SENSE: u8 = 0x03;
    pub(in crate::scsi) const READ_6: u8 = 0x08;
    pub(in crate::scsi) const WRITE_6: u8 = 0x0a;
    pub(in crate::scsi) const INQUIRY: u8 = 0x12;
    pub(in crate::scsi) const MODE_SENSE_6: u8 = 0x1a;
    pub(in crate::scsi) const START_STOP_UNIT: u8 = 0x1b;
    pub(in crate::scsi) const READ_CAPACITY_10: u8 = 0x25;
    pub(in crate::scsi) const READ_10: u8 = 0x28;
    pub(in crate::scsi) const WRITE_10: u8 = 0x2a;
    pub(in crate::scsi) const VERIFY_10: u8 = 0x2f;
    pub(in crate::scsi) const SYNCHRONIZE_CACHE_10: u8 = 0x35;
    pub(in crate::scsi) const MODE_SENSE_10: u8 = 0x5a;
    pub(in crate::scsi) const READ_16: u8 = 0x88;
    pub(in crate::scsi) const WRITE_16: u8 = 0x8a;
    pub(in crate::scsi) const SYNCHRONIZE_CACHE_16: u8 = 0x91;
    pub(in crate::scsi) const SERVICE_ACTION_IN_16: u8 = 0x9e;
    pub(in crate::scsi) const REPORT_LUNS: u8 = 0xa0;
    /// Service action of SERVICE ACTION IN(16).
    pub(in crate::scsi) const READ_CAPACITY_16: u8 = 0x10;
}
use opcode::*;

const DPO: u8 = 0x10;
const FUA: u8 = 0x08;
const LBA_6: u32 = 0x1f_ffff;

impl Cdb {
    /// Reads a command. Bytes behind it are ignored: an ORB has room for 12 or 16.
    ///
    /// # Errors
    ///
    /// Fewer bytes than the command takes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CdbError> {
        let raw = RawCdb::new(bytes)?;
        let opcode = raw.opcode();
        let known = super::usage::length(&raw.bytes);
        if let Some(needed) = known.filter(|needed| *needed > bytes.len()) {
            return Err(CdbError::Truncated {
                opcode,
                needed,
                available: bytes.len(),
            });
        }
        let cdb = raw.padded();
        let flag = |byte, bit| bit_at(cdb, byte, bit);
        // In READ(6) and WRITE(6) a length of 0 means 256.
        let blocks_6 = match u8_at(cdb, 4) {
            0 => 256,
            blocks => u16::from(blocks),
        };
        let pages = ModePageSelect {
            disable_block_descriptors: flag(1, 3),
            control: u8_at(cdb, 2) >> 6,
            page: u8_at(cdb, 2) & 0x3f,
            subpage: u8_at(cdb, 3),
        };
        let (disable_page_out, force_unit_access) = (flag(1, 4), flag(1, 3));
        Ok(match opcode {
            TEST_UNIT_READY => Self::TestUnitReady,
            REQUEST_SENSE => Self::RequestSense {
                descriptor_format: flag(1, 0),
                allocation_length: u8_at(cdb, 4),
            },
            READ_6 => Self::Read6 {
                lba: u32_at(cdb, 0) & LBA_6,
                blocks: blocks_6,
            },
            WRITE_6 => Self::Write6 {
                lba: u32_at(cdb, 0) & LBA_6,
                blocks: blocks_6,
            },
            INQUIRY => Self::Inquiry {
                vital_product_data: flag(1, 0),
                page_code: u8_at(cdb, 2),
                allocation_length: u16_at(cdb, 3),
            },
            MODE_SENSE_6 => Self::ModeSense6 {
                pages,
                allocation_length: u8_at(cdb, 4),
            },
            START_STOP_UNIT => Self::StartStopUnit {
                immediate: flag(1, 0),
                power_condition: u8_at(cdb, 4) >> 4,
                load_eject: flag(4, 1),
                start: flag(4, 0),
            },
            READ_CAPACITY_10 => Self::ReadCapacity10,
            READ_10 => Self::Read10 {
                lba: u32_at(cdb, 2),
                blocks: u16_at(cdb, 7),
                disable_page_out,
                force_unit_access,
            },
            WRITE_10 => Self::Write10 {
                lba: u32_at(cdb, 2),
                blocks: u16_at(cdb, 7),
                disable_page_out,
                force_unit_access,
            },
            VERIFY_10 => Self::Verify10 {
                lba: u32_at(cdb, 2),
                blocks: u16_at(cdb, 7),
                byte_check: u8_at(cdb, 1) >> 1 & 3,
            },
            SYNCHRONIZE_CACHE_10 => Self::SynchronizeCache10 {
                immediate: flag(1, 1),
                lba: u32_at(cdb, 2),
                blocks: u16_at(cdb, 7),
            },
            MODE_SENSE_10 => Self::ModeSense10 {
                pages,
                long_lba_accepted: flag(1, 4),
                allocation_length: u16_at(cdb, 7),
            },
            READ_16 => Self::Read16 {
                lba: u64_at(cdb, 2),
                blocks: u32_at(cdb, 10),
                disable_page_out,
                force_unit_access,
            },
            WRITE_16 => Self::Write16 {
                lba: u64_at(cdb, 2),
                blocks: u32_at(cdb, 10),
                disable_page_out,
                force_unit_access,
            },
            SYNCHRONIZE_CACHE_16 => Self::SynchronizeCache16 {
                immediate: flag(1, 1),
                lba: u64_at(cdb, 2),
                blocks: u32_at(cdb, 10),
            },
            SERVICE_ACTION_IN_16 if u8_at(cdb, 1) & 0x1f == READ_CAPACITY_16 => {
                Self::ReadCapacity16 {
                    allocation_length: u32_at(cdb, 10),
                }
            }
            REPORT_LUNS => Self::ReportLuns {
                select_report: u8_at(cdb, 2),
                allocation_length: u32_at(cdb, 6),
            },
            _ => Self::Other(raw),
        })
    }

    /// The command's bytes.
    #[must_use]
    pub fn encode(&self) -> RawCdb {
        let access = |dpo: bool, fua: bool| (u8::from(dpo) * DPO) | (u8::from(fua) * FUA);
        let immediate = |immediate: bool| u8::from(immediate) << 1;
        match *self {
            Self::TestUnitReady => Builder::new::<6>(TEST_UNIT_READY),
            Self::RequestSense {
                descriptor_format,
                allocation_length,
            } => Builder::new::<6>(REQUEST_SENSE)
                .put(1, &[descriptor_format.into()])
                .put(4, &[allocation_length]),
            Self::Read6 { lba, blocks } => Builder::six(READ_6, lba, blocks),
            Self::Write6 { lba, blocks } => Builder::six(WRITE_6, lba, blocks),
            Self::Inquiry {
                vital_product_data,
                page_code,
                allocation_length,
            } => Builder::new::<6>(INQUIRY)
                .put(1, &[vital_product_data.into(), page_code])
                .put(3, &allocation_length.to_be_bytes()),
            Self::ModeSense6 {
                pages,
                allocation_length,
            } => Builder::new::<6>(MODE_SENSE_6)
                .put(1, &pages.encode())
                .put(4, &[allocation_length]),
            Self::StartStopUnit {
                immediate,
                power_condition,
                load_eject,
                start,
            } => Builder::new::<6>(START_STOP_UNIT)
                .put(1, &[immediate.into()])
                .put(
                    4,
                    &[power_condition << 4 | u8::from(load_eject) << 1 | u8::from(start)],
                ),
            Self::ReadCapacity10 => Builder::new::<10>(READ_CAPACITY_10),
            Self::Read10 {
                lba,
                blocks,
                disable_page_out,
                force_unit_access,
            } => Builder::ten(
                READ_10,
                access(disable_page_out, force_unit_access),
                lba,
                blocks,
            ),
            Self::Write10 {
                lba,
                blocks,
                disable_page_out,
                force_unit_access,
            } => Builder::ten(
                WRITE_10,
                access(disable_page_out, force_unit_access),
                lba,
                blocks,
            ),
            Self::Verify10 {
                lba,
                blocks,
                byte_check,
            } => Builder::ten(VERIFY_10, (byte_check & 3) << 1, lba, blocks),
            Self::SynchronizeCache10 {
                immediate: now,
                lba,
                blocks,
            } => Builder::ten(SYNCHRONIZE_CACHE_10, immediate(now), lba, blocks),
            Self::ModeSense10 {
                pages,
                long_lba_accepted,
                allocation_length,
            } => {
                let [flags, page, subpage] = pages.encode();
                Builder::new::<10>(MODE_SENSE_10)
                    .put(
                        1,
                        &[flags | u8::from(long_lba_accepted) << 4, page, subpage],
                    )
                    .put(7, &allocation_length.to_be_bytes())
            }
            Self::Read16 {
                lba,
                blocks,
                disable_page_out,
                force_unit_access,
            } => Builder::sixteen(
                READ_16,
                access(disable_page_out, force_unit_access),
                lba,
                blocks,
            ),
            Self::Write16 {
                lba,
                blocks,
                disable_page_out,
                force_unit_access,
            } => Builder::sixteen(
                WRITE_16,
                access(disable_page_out, force_unit_access),
                lba,
                blocks,
            ),
            Self::SynchronizeCache16 {
                immediate: now,
                lba,
                blocks,
            } => Builder::sixteen(SYNCHRONIZE_CACHE_16, immediate(now), lba, blocks),
            Self::ReadCapacity16 { allocation_length } => {
                Builder::sixteen(SERVICE_ACTION_IN_16, READ_CAPACITY_16, 0, allocation_length)
            }
            Self::ReportLuns {
                select_report,
                allocation_length,
            } => Builder::new::<12>(REPORT_LUNS)
                .put(2, &[select_report])
                .put(6, &allocation_length.to_be_bytes()),
            Self::Other(raw) => Builder(raw),
        }
        .0
    }

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

impl ModePageSelect {
    /// Bytes 1 to 3 of both forms of MODE SENSE.
    const fn encode(self) -> [u8; 3] {
        [
            (self.disable_block_descriptors as u8) << 3,
            self.control << 6 | self.page & 0x3f,
            self.subpage,
        ]
    }
}

/// A command under construction.
struct Builder(RawCdb);

impl Builder {
    fn new<const LENGTH: u8>(opcode: u8) -> Self {
        Self(RawCdb::of([0; 16], LENGTH)).put(0, &[opcode])
    }

    fn put(mut self, offset: usize, value: &[u8]) -> Self {
        put(&mut self.0.bytes, offset, value);
        self
    }

    /// 256 blocks are encoded as 0.
    fn six(opcode: u8, lba: u32, blocks: u16) -> Self {
        let [_, blocks] = blocks.to_be_bytes();
        Self::new::<6>(opcode)
            .put(0, &(lba & LBA_6).to_be_bytes())
            .put(0, &[opcode])
            .put(4, &[blocks])
    }

    fn ten(opcode: u8, flags: u8, lba: u32, blocks: u16) -> Self {
        Self::new::<10>(opcode)
            .put(1, &[flags])
            .put(2, &lba.to_be_bytes())
            .put(7, &blocks.to_be_bytes())
    }

    fn sixteen(opcode: u8, flags: u8, lba: u64, blocks: u32) -> Self {
        Self::new::<16>(opcode)
            .put(1, &[flags])
            .put(2, &lba.to_be_bytes())
            .put(10, &blocks.to_be_bytes())
    }
}

#[cfg(test)]
#[path = "cdb_tests.rs"]
mod tests;
