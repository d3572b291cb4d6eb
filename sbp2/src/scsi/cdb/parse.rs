use super::opcode::*;
use super::{Cdb, CdbError, LBA_6, ModePageSelect, RawCdb, usage};
use crate::scsi::bytes::{bit_at, u8_at, u16_at, u32_at, u64_at};

impl Cdb {
    /// Reads a command. Bytes behind it are ignored: an ORB has room for 12 or 16.
    ///
    /// # Errors
    ///
    /// Fewer bytes than the command takes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CdbError> {
        let raw = RawCdb::new(bytes)?;
        let opcode = raw.opcode();
        let known = usage::length(&raw.bytes);
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
}
