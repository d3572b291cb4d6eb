use alloc::vec;
use alloc::vec::Vec;

use super::{DeviceServer, Execution, Nexus};
use crate::scsi::{
    AdditionalSense, Cdb, CdbError, Completion, DeviceType, InvalidField, ModeData, ModeForm,
    ModePageSelect, Sense, SenseKey, Transfer, check_usage, mode, report_luns, vpd,
};

/// Bytes that VERIFY reads at a time; a multiple of each block length.
const VERIFY_LENGTH: usize = 1 << 16;

type Executed = Result<Execution, Completion>;

impl DeviceServer {
    /// Executes a command, given as it stands in the ORB; zeros behind it do no harm.
    pub fn execute(&mut self, nexus: &mut Nexus, cdb: &[u8]) -> Execution {
        self.counters.commands = self.counters.commands.saturating_add(1);
        self.try_execute(nexus, cdb)
            .unwrap_or_else(Execution::Complete)
    }

    fn try_execute(&mut self, nexus: &mut Nexus, bytes: &[u8]) -> Executed {
        let cdb = Cdb::parse(bytes).map_err(|error| match error {
            CdbError::Empty => illegal(AdditionalSense::INVALID_OPERATION_CODE),
            // The transport cut it off: no field is at fault.
            CdbError::Truncated { .. } => illegal(AdditionalSense::INVALID_FIELD_IN_CDB),
        })?;
        // These tell what the device is, whatever has happened (SAM-3 5.9.7); REQUEST SENSE
        // hands the unit attention over in its own way.
        let reports_attention = !matches!(
            cdb,
            Cdb::Inquiry { .. } | Cdb::ReportLuns { .. } | Cdb::RequestSense { .. }
        );
        if reports_attention && let Some(sense) = nexus.take_unit_attention() {
            return Err(Completion::check(sense));
        }
        if !self.knows(&cdb) {
            return Err(illegal(AdditionalSense::INVALID_OPERATION_CODE));
        }
        check_usage(bytes).map_err(|field| Completion::check(Sense::invalid_field(field)))?;
        if let Some(transfer) = cdb.transfer() {
            return self.transfer(transfer);
        }
        let mut data = match cdb {
            Cdb::Inquiry {
                vital_product_data: true,
                page_code,
                ..
            } => self.vital_product_data(page_code)?,
            Cdb::Inquiry { page_code: 0, .. } => self.inquiry().to_bytes().to_vec(),
            Cdb::Inquiry { .. } => return Err(invalid(2, 7)),
            Cdb::ReportLuns {
                select_report,
                allocation_length,
            } => self.report_luns(select_report, allocation_length)?,
            Cdb::RequestSense {
                descriptor_format, ..
            } => self.request_sense(nexus, descriptor_format)?,
            Cdb::ReadCapacity10 => self.capacity().to_10().to_bytes().to_vec(),
            Cdb::ReadCapacity16 { .. } => self.capacity().to_bytes().to_vec(),
            Cdb::ModeSense6 { pages, .. } => self.mode_sense(pages)?.to_bytes(ModeForm::Six),
            Cdb::ModeSense10 { pages, .. } => self.mode_sense(pages)?.to_bytes(ModeForm::Ten),
            _ => return self.without_data(&cdb),
        };
        data.truncate(usize::try_from(cdb.allocation_length()).unwrap_or(usize::MAX));
        Ok(Execution::DataIn(data))
    }

    /// Whether this device has the command.
    fn knows(&self, cdb: &Cdb) -> bool {
        match cdb {
            Cdb::Other(_) => false,
            Cdb::Read16 { .. }
            | Cdb::Write16 { .. }
            | Cdb::SynchronizeCache16 { .. }
            | Cdb::ReadCapacity16 { .. } => self.identity.long_commands,
            _ => true,
        }
    }

    fn without_data(&mut self, cdb: &Cdb) -> Executed {
        match *cdb {
            Cdb::TestUnitReady => self.check_ready()?,
            Cdb::StartStopUnit {
                power_condition,
                load_eject,
                start,
                ..
            } => self.start_stop(power_condition, load_eject, start)?,
            Cdb::SynchronizeCache10 { lba, blocks, .. } => {
                self.synchronize_cache(lba.into(), blocks.into())?;
            }
            Cdb::SynchronizeCache16 { lba, blocks, .. } => self.synchronize_cache(lba, blocks)?,
            Cdb::Verify10 {
                lba,
                blocks,
                byte_check: 0,
            } => self.verify(lba.into(), blocks.into())?,
            Cdb::Verify10 { .. } => return Err(invalid(1, 2)),
            _ => return Err(illegal(AdditionalSense::INVALID_OPERATION_CODE)),
        }
        Ok(Execution::Complete(Completion::GOOD))
    }

    fn transfer(&self, transfer: Transfer) -> Executed {
        let Transfer {
            write,
            lba,
            blocks,
            disable_page_out,
            force_unit_access: fua,
        } = transfer;
        if !self.identity.fua && (disable_page_out || fua) {
            return Err(invalid(1, if disable_page_out { 4 } else { 3 }));
        }
        self.check_ready()?;
        self.check_range(lba, blocks)?;
        if write && self.medium.read_only() {
            return Err(Completion::check_with(
                SenseKey::DataProtect,
                AdditionalSense::WRITE_PROTECTED,
            ));
        }
        Ok(if write {
            Execution::Write { lba, blocks, fua }
        } else {
            Execution::Read { lba, blocks }
        })
    }

    fn check_ready(&self) -> Result<(), Completion> {
        if self.stopped {
            return Err(Completion::check(self.not_ready()));
        }
        Ok(())
    }

    fn not_ready(&self) -> Sense {
        Sense::new(
            SenseKey::NotReady,
            AdditionalSense::INITIALIZING_COMMAND_REQUIRED,
        )
    }

    /// Refuses blocks past the end and points at the first of them.
    fn check_range(&self, lba: u64, blocks: u32) -> Result<(), Completion> {
        let capacity = self.medium.blocks();
        let in_range = lba
            .checked_add(blocks.into())
            .is_some_and(|end| end <= capacity);
        if in_range {
            return Ok(());
        }
        let sense = Sense::new(SenseKey::IllegalRequest, AdditionalSense::LBA_OUT_OF_RANGE);
        Err(Completion::check(sense.with_information(lba.max(capacity))))
    }

    fn synchronize_cache(&mut self, lba: u64, blocks: u32) -> Result<(), Completion> {
        self.check_ready()?;
        self.check_range(lba, blocks)?;
        // The medium flushes as a whole, which is more than was asked for.
        self.flush()
    }

    fn verify(&mut self, lba: u64, blocks: u64) -> Result<(), Completion> {
        self.check_ready()?;
        self.check_range(lba, u32::try_from(blocks).unwrap_or(u32::MAX))?;
        let mut buffer = vec![0; VERIFY_LENGTH];
        let at_once = self.blocks_in(VERIFY_LENGTH).max(1);
        let block_length = usize::try_from(self.medium.block_length()).unwrap_or(VERIFY_LENGTH);
        let end = lba.saturating_add(blocks);
        let mut next = lba;
        while next < end {
            let count = at_once.min(end - next);
            let length = usize::try_from(count)
                .unwrap_or(usize::MAX)
                .saturating_mul(block_length);
            let part = buffer.get_mut(..length).unwrap_or_default();
            self.medium.read(next, part).map_err(|error| {
                super::check(error, AdditionalSense::UNRECOVERED_READ_ERROR, Some(next))
            })?;
            next += count;
        }
        Ok(())
    }

    fn start_stop(
        &mut self,
        power_condition: u8,
        load_eject: bool,
        start: bool,
    ) -> Result<(), Completion> {
        const ACTIVE: u8 = 1;
        const IDLE: u8 = 2;
        const STANDBY: u8 = 3;
        if load_eject {
            return Err(invalid(4, 1));
        }
        match power_condition {
            0 if !start => {
                // SBC-3: as if SYNCHRONIZE CACHE had come first.
                self.flush()?;
                self.stopped = true;
            }
            0 | ACTIVE => self.stopped = false,
            // From these a disk comes back by itself at the next access.
            IDLE | STANDBY => {}
            _ => return Err(invalid(4, 7)),
        }
        Ok(())
    }

    fn request_sense(
        &self,
        nexus: &mut Nexus,
        descriptor_format: bool,
    ) -> Result<Vec<u8>, Completion> {
        if descriptor_format {
            return Err(invalid(1, 0));
        }
        let sense = nexus.take_unit_attention().unwrap_or_else(|| {
            if self.stopped {
                self.not_ready()
            } else {
                Sense::new(SenseKey::NoSense, AdditionalSense::NONE)
            }
        });
        Ok(sense.to_fixed().to_vec())
    }

    fn report_luns(
        &self,
        select_report: u8,
        allocation_length: u32,
    ) -> Result<Vec<u8>, Completion> {
        const WELL_KNOWN_ONLY: u8 = 1;
        // SPC-3 6.21.
        if allocation_length < 16 {
            return Err(invalid(6, 7));
        }
        match select_report {
            0 | 2 => Ok(report_luns(&self.identity.luns)),
            WELL_KNOWN_ONLY => Ok(report_luns(&[])),
            _ => Err(invalid(2, 7)),
        }
    }

    fn vital_product_data(&self, page_code: u8) -> Result<Vec<u8>, Completion> {
        if !self.identity.vital_product_data {
            return Err(invalid(1, 0));
        }
        let device_type = self.identity.device_type;
        Ok(match page_code {
            vpd::SUPPORTED_PAGES => vpd::supported_pages(device_type),
            vpd::UNIT_SERIAL_NUMBER => {
                vpd::unit_serial_number(device_type, self.identity.serial.as_bytes())
            }
            vpd::DEVICE_IDENTIFICATION => {
                vpd::device_identification(device_type, &self.designators())
            }
            _ => return Err(invalid(2, 7)),
        })
    }

    fn mode_sense(&self, select: ModePageSelect) -> Result<ModeData, Completion> {
        const CHANGEABLE: u8 = 1;
        const SAVED: u8 = 3;
        const ALL_SUBPAGES: u8 = 0xff;
        if select.control == SAVED {
            return Err(illegal(AdditionalSense::SAVING_PARAMETERS_NOT_SUPPORTED));
        }
        let mut pages = self.mode_pages();
        if select.page != mode::page::ALL {
            pages.retain(|page| page.first() == Some(&select.page));
            if pages.is_empty() {
                return Err(invalid(2, 5));
            }
        }
        if !matches!(select.subpage, 0 | ALL_SUBPAGES) {
            return Err(invalid(3, 7));
        }
        if select.control == CHANGEABLE {
            // There is no MODE SELECT: nothing can be changed.
            pages.iter_mut().for_each(|page| {
                page.iter_mut().skip(2).for_each(|byte| *byte = 0);
            });
        }
        let is_rbc = self.identity.device_type == DeviceType::SIMPLIFIED_DISK;
        // RBC has no block descriptors.
        let with_descriptor = !select.disable_block_descriptors && !is_rbc;
        Ok(ModeData {
            write_protected: self.medium.read_only(),
            dpo_fua: self.identity.fua,
            block_descriptor: with_descriptor
                .then(|| (self.medium.blocks(), self.medium.block_length())),
            pages,
        })
    }

    fn mode_pages(&self) -> Vec<Vec<u8>> {
        let write_cache = self.identity.write_cache;
        if self.identity.device_type == DeviceType::SIMPLIFIED_DISK {
            return vec![mode::rbc_page(
                write_cache,
                self.medium.block_length(),
                self.medium.blocks(),
                self.medium.read_only(),
            )];
        }
        vec![mode::caching_page(write_cache), mode::control_page()]
    }
}

fn illegal(code: AdditionalSense) -> Completion {
    Completion::check_with(SenseKey::IllegalRequest, code)
}

fn invalid(byte: u8, bit: u8) -> Completion {
    Completion::check(Sense::invalid_field(InvalidField { byte, bit }))
}
