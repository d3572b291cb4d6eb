use super::opcode::*;
use super::{Cdb, LBA_6, ModePageSelect, RawCdb};
use crate::scsi::bytes::put;

const DPO: u8 = 0x10;
const FUA: u8 = 0x08;

impl Cdb {
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
