//! The target side: a logical unit that executes commands.
//!
//! A transport hands each command to [`DeviceServer::execute`] with the nexus it came from.
//! Small answers come back at once as [`Execution::DataIn`]. Blocks of the medium do not: a
//! command can ask for terabytes, and the transport moves them in packets. So the device server
//! checks the command, answers [`Execution::Read`] or [`Execution::Write`], and the transport
//! takes or brings the blocks piece by piece with [`DeviceServer::read`] and
//! [`DeviceServer::write`], and ends a write with [`DeviceServer::finish_write`].

mod execute;
mod nexus;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use ohci_raw::bus::Eui64;

use super::{
    AdditionalSense, Capacity16, Completion, Designator, DeviceType, Medium, MediumError, Sense,
    SenseKey, StandardInquiry, Text,
};
pub use nexus::{Nexus, UnitAttention};

/// What a logical unit is and what it can.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Vendor, in INQUIRY data.
    pub vendor: Text<8>,
    /// Product, in INQUIRY data.
    pub product: Text<16>,
    /// Firmware revision, in INQUIRY data.
    pub revision: Text<4>,
    /// Unit serial number (VPD page 80).
    pub serial: Text<20>,
    /// The logical unit's name (VPD page 83).
    pub eui64: Eui64,
    /// [`DeviceType::DISK`] or [`DeviceType::SIMPLIFIED_DISK`]; decides about mode pages.
    pub device_type: DeviceType,
    /// The standard that INQUIRY claims: 4 (SPC-2) is common among bridges.
    pub version: u8,
    /// There are vital product data pages.
    pub vital_product_data: bool,
    /// READ and WRITE take DPO and FUA; otherwise these bits are refused.
    pub fua: bool,
    /// Writes are done when they are in the cache; otherwise each is flushed to the medium.
    pub write_cache: bool,
    /// The 16-byte commands are there, without which nothing above LBA 2^32 − 1 is reached.
    pub long_commands: bool,
    /// Which of the target's logical units it is.
    pub lun: u16,
    /// All logical units of the target, for REPORT LUNS.
    pub luns: Vec<u16>,
}

impl Identity {
    /// The same for another logical unit of the target, with a name and a serial number of its
    /// own: by these a host knows what is one disk on two paths.
    #[must_use]
    pub fn of_lun(mut self, lun: u16) -> Self {
        const MARK: [u8; 4] = *b"-000";
        self.lun = lun;
        if lun == 0 {
            return self;
        }
        let mut serial = *self.serial.as_bytes();
        let last = serial.iter().rposition(|byte| *byte != b' ');
        let end = last.map_or(0, |last| last + 1);
        let mark = end.min(serial.len() - MARK.len());
        let (mut place, mut rest) = (mark + MARK.len(), lun);
        serial[mark..place].copy_from_slice(&MARK);
        while rest > 0 && place > mark + 1 {
            place -= 1;
            serial[place] += (rest % 10) as u8;
            rest /= 10;
        }
        self.serial = Text::from_bytes(serial);
        self
    }
}

/// What a transport has to do for a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Execution {
    /// The command has ended; report this.
    Complete(Completion),
    /// Send these bytes, at most as many as the command has room for; then report GOOD.
    DataIn(Vec<u8>),
    /// Fetch these blocks with [`DeviceServer::read`] and send them; then report GOOD. There
    /// may be none.
    Read {
        /// The first block.
        lba: u64,
        /// How many.
        blocks: u32,
    },
    /// Receive these blocks and store them with [`DeviceServer::write`]; then report what
    /// [`DeviceServer::finish_write`] says. There may be none.
    Write {
        /// The first block.
        lba: u64,
        /// How many.
        blocks: u32,
        /// Hand this to [`DeviceServer::finish_write`].
        fua: bool,
    },
}

/// What a device server has done since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Commands, refused ones included.
    pub commands: u64,
    /// Blocks read from the medium for initiators.
    pub blocks_read: u64,
    /// Blocks written to the medium.
    pub blocks_written: u64,
    /// Times that the medium was told to flush.
    pub flushes: u64,
}

/// One logical unit: executes commands on a medium.
pub struct DeviceServer {
    identity: Identity,
    medium: Box<dyn Medium>,
    /// START STOP UNIT has stopped it, for all initiators.
    stopped: bool,
    counters: Counters,
}

impl fmt::Debug for DeviceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceServer")
            .field("identity", &self.identity)
            .field("capacity", &self.capacity())
            .field("stopped", &self.stopped)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl DeviceServer {
    /// A logical unit over this medium, started.
    #[must_use]
    pub fn new(identity: Identity, medium: Box<dyn Medium>) -> Self {
        Self {
            identity,
            medium,
            stopped: false,
            counters: Counters::default(),
        }
    }

    /// What it is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its blocks.
    #[must_use]
    pub fn medium(&self) -> &dyn Medium {
        &*self.medium
    }

    /// What it has done.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether an initiator has stopped it.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Logical unit reset: the unit is started again. What was acknowledged stays; the
    /// transport drops commands under way and establishes unit attentions.
    pub fn reset(&mut self) {
        self.stopped = false;
    }

    /// Reads blocks for a command that [`DeviceServer::execute`] answered with
    /// [`Execution::Read`]; `buffer` holds whole blocks.
    ///
    /// # Errors
    ///
    /// What to report in place of GOOD.
    pub fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Completion> {
        let blocks = self.blocks_in(buffer.len());
        self.medium
            .read(lba, buffer)
            .map_err(|error| check(error, AdditionalSense::UNRECOVERED_READ_ERROR, Some(lba)))?;
        self.counters.blocks_read = self.counters.blocks_read.saturating_add(blocks);
        Ok(())
    }

    /// Writes blocks for a command that [`DeviceServer::execute`] answered with
    /// [`Execution::Write`]; `data` holds whole blocks.
    ///
    /// # Errors
    ///
    /// What to report in place of GOOD.
    pub fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), Completion> {
        let blocks = self.blocks_in(data.len());
        self.medium
            .write(lba, data)
            .map_err(|error| check(error, AdditionalSense::WRITE_ERROR, Some(lba)))?;
        self.counters.blocks_written = self.counters.blocks_written.saturating_add(blocks);
        Ok(())
    }

    /// Ends a write: flushes if it must be on the medium before it is reported as done, which is
    /// so with FUA, and always without a write cache.
    ///
    /// # Errors
    ///
    /// What to report in place of GOOD.
    pub fn finish_write(&mut self, fua: bool) -> Result<(), Completion> {
        if fua || !self.identity.write_cache {
            self.flush()?;
        }
        Ok(())
    }

    /// Brings all that was written to the medium.
    ///
    /// # Errors
    ///
    /// What to report in place of GOOD.
    pub fn flush(&mut self) -> Result<(), Completion> {
        self.counters.flushes = self.counters.flushes.saturating_add(1);
        self.medium
            .flush()
            .map_err(|error| check(error, AdditionalSense::WRITE_ERROR, None))
    }

    /// Size of the medium.
    fn capacity(&self) -> Capacity16 {
        Capacity16 {
            last_lba: self.medium.blocks().saturating_sub(1),
            block_length: self.medium.block_length(),
        }
    }

    fn inquiry(&self) -> StandardInquiry {
        StandardInquiry {
            qualifier: 0,
            device_type: self.identity.device_type,
            removable: false,
            version: self.identity.version,
            vendor: self.identity.vendor,
            product: self.identity.product,
            revision: self.identity.revision,
        }
    }

    fn designators(&self) -> [Designator; 2] {
        let Identity {
            lun,
            vendor,
            product,
            serial,
            eui64,
            ..
        } = &self.identity;
        let specific = [&product.as_bytes()[..], &serial.as_bytes()[..]].concat();
        [
            Designator::t10_vendor_id(vendor.as_bytes(), &specific),
            match lun {
                0 => Designator::eui64(eui64.0),
                lun => Designator::extended_eui64((*lun).into(), eui64.0),
            },
        ]
    }

    /// Whole blocks in a buffer of this many bytes.
    fn blocks_in(&self, length: usize) -> u64 {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        length
            .checked_div(self.medium.block_length().into())
            .unwrap_or(0)
    }
}

/// What to report when the medium failed, with `failure` as the code for a failure proper.
fn check(error: MediumError, failure: AdditionalSense, lba: Option<u64>) -> Completion {
    let sense = match error {
        MediumError::OutOfRange => {
            Sense::new(SenseKey::IllegalRequest, AdditionalSense::LBA_OUT_OF_RANGE)
        }
        MediumError::PartialBlock => Sense::new(
            SenseKey::HardwareError,
            AdditionalSense::INTERNAL_TARGET_FAILURE,
        ),
        MediumError::WriteProtected => {
            Sense::new(SenseKey::DataProtect, AdditionalSense::WRITE_PROTECTED)
        }
        MediumError::NoSpace => Sense::new(
            SenseKey::DataProtect,
            AdditionalSense::SPACE_ALLOCATION_FAILED,
        ),
        MediumError::Failed => Sense::new(SenseKey::MediumError, failure),
    };
    Completion::check(Sense {
        information: lba,
        ..sense
    })
}

#[cfg(test)]
mod tests;
