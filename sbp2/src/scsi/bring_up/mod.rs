//! The initiator side: the first commands to a disk.
//!
//! INQUIRY tells what it is, the vital product data pages its names. TEST UNIT READY takes the
//! unit attentions that a new login meets, waits while a disk spins up, and finds out whether it
//! has to be started (it is never stopped: that would stop it for all hosts). READ CAPACITY
//! tells its size, and MODE SENSE whether it has a write cache, takes FUA and refuses writes.
//!
//! Bridges are poor SCSI devices. What can be done without is allowed to fail, 36 bytes of
//! INQUIRY data are asked for and no more, the 10-byte commands are preferred, and the flags of
//! [`BringUpConfig`] leave out what a particular bridge does not survive. The order and the
//! limits are those of Linux's `drivers/scsi/sd.c`.
//!
//! ```
//! # use sbp2::scsi::{BringUp, BringUpConfig, CommandOutcome, Completion, Step};
//! # use ohci_raw::bus::Instant;
//! let now = Instant::ZERO;
//! let mut bring_up = BringUp::new(BringUpConfig::default(), now);
//! // Whoever owns the login sends what `step` says and tells what came back.
//! let Step::Command { cdb, data_in_length } = bring_up.step(now) else { unreachable!() };
//! assert_eq!(cdb.encode().as_bytes(), [0x12, 0, 0, 0, 36, 0]);
//! assert_eq!(data_in_length, 36);
//! let data = vec![0; 36];
//! bring_up.outcome(CommandOutcome::Completed { completion: Completion::GOOD, data }, now);
//! assert!(matches!(bring_up.step(now), Step::Command { .. }));
//! ```

mod disk_info;
mod stage;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use ohci_raw::bus::Instant;

use super::{
    AdditionalSense, Capacity10, Capacity16, Cdb, Completion, Designator, DeviceType, ModeData,
    ModeForm, SenseKey, StandardInquiry, Status, vpd,
};
pub use disk_info::{BringUpError, DiskInfo};
use stage::{ModeSense, ModeWhat, Stage};

/// What to leave out, and how long to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BringUpConfig {
    /// INQUIRY_36: never ask for more INQUIRY data than that, which leaves out the vital
    /// product data pages too.
    pub inquiry_36: bool,
    /// MODE_SENSE_8: do not ask an SBC disk for the caching page.
    pub skip_caching_page: bool,
    /// FIX_CAPACITY: the disk says one block too many.
    pub fix_capacity: bool,
    /// POWER_CONDITION: start with the power condition field set to "active".
    pub power_condition: bool,
    /// DELAY_INQUIRY: how long to leave the disk alone first.
    pub initial_delay: Duration,
    /// How long a disk may take to become ready, from the first time that it says it is not.
    pub ready_timeout: Duration,
    /// How long to wait before asking again whether it is ready.
    pub ready_interval: Duration,
}

impl Default for BringUpConfig {
    /// No quirks. A minute to become ready: disks take up to half of it to spin up.
    fn default() -> Self {
        Self {
            inquiry_36: false,
            skip_caching_page: false,
            fix_capacity: false,
            power_condition: false,
            initial_delay: Duration::ZERO,
            ready_timeout: Duration::from_secs(60),
            ready_interval: Duration::from_millis(500),
        }
    }
}

/// How a command ended that [`BringUp::step`] asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandOutcome {
    /// The target answered.
    Completed {
        /// With this.
        completion: Completion,
        /// The data buffer, of which the target may have filled any part. What it left alone
        /// must be zero; SBP-2 does not tell how much it wrote.
        data: Vec<u8>,
    },
    /// It did not answer, or the transport failed.
    NoAnswer,
}

/// What to do now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Send this command with a zeroed buffer of `data_in_length` bytes to read into, and hand
    /// the end to [`BringUp::outcome`].
    Command {
        /// The command.
        cdb: Cdb,
        /// Bytes of the buffer; 0 for none.
        data_in_length: u32,
    },
    /// Come back at this time.
    WaitUntil(Instant),
    /// The disk is up.
    Done(DiskInfo),
    /// It cannot be brought up.
    Failed(BringUpError),
}

/// Brings up one disk.
///
/// [`BringUp::step`] says the same until [`BringUp::outcome`] is called or the time it waits for
/// has come. So a command that was lost in a bus reset is sent again by asking `step` again: all
/// of them may be repeated.
#[derive(Debug)]
pub struct BringUp {
    config: BringUpConfig,
    state: State,
    wait_until: Instant,
    /// How often the command of this stage has been sent for nothing.
    attempts: u32,
    /// Since when the disk has been saying that it is not ready.
    not_ready_since: Option<Instant>,
    is_started: bool,
    inquiry: Option<StandardInquiry>,
    pages: Vec<u8>,
    serial: Option<String>,
    designators: Vec<Designator>,
    capacity: (u64, u32),
}

#[derive(Debug)]
enum State {
    At(Stage),
    Done(DiskInfo),
    Failed(BringUpError),
}

/// How often a command is sent again at once. A login meets one to three unit attentions.
const MAX_ATTEMPTS: u32 = 8;
/// How often a command is sent that gets no answer.
const MAX_UNANSWERED: u32 = 3;
/// SPC-2: from this version on the pages asked for are mandatory. Older devices may crash when
/// asked (compare `scsi_device_supports_vpd` in Linux).
const VERSION_WITH_VPD: u8 = 4;

impl BringUp {
    /// Starts with INQUIRY, after the delay that the configuration asks for.
    #[must_use]
    pub fn new(config: BringUpConfig, now: Instant) -> Self {
        Self {
            config,
            state: State::At(Stage::Inquiry),
            wait_until: now + config.initial_delay,
            attempts: 0,
            not_ready_since: None,
            is_started: false,
            inquiry: None,
            pages: Vec::new(),
            serial: None,
            designators: Vec::new(),
            capacity: (0, 0),
        }
    }

    /// What to do now.
    #[must_use]
    pub fn step(&self, now: Instant) -> Step {
        match &self.state {
            State::Done(info) => Step::Done(info.clone()),
            State::Failed(error) => Step::Failed(error.clone()),
            State::At(_) if now < self.wait_until => Step::WaitUntil(self.wait_until),
            State::At(stage) => {
                let cdb = stage.cdb();
                Step::Command {
                    cdb,
                    data_in_length: cdb.allocation_length(),
                }
            }
        }
    }

    /// Tells how the command ended that [`BringUp::step`] asked for. Without effect when the
    /// disk is up or has failed.
    pub fn outcome(&mut self, outcome: CommandOutcome, now: Instant) {
        let State::At(stage) = self.state else {
            return;
        };
        let result = match outcome {
            CommandOutcome::NoAnswer => self.unanswered(stage),
            CommandOutcome::Completed { completion, data } => {
                let key = completion.sense.as_ref().map(|sense| sense.key);
                let recovered = completion.status == Status::CHECK_CONDITION
                    && key == Some(SenseKey::RecoveredError);
                if completion.is_good() || recovered {
                    self.answered(stage, &data)
                } else {
                    self.refused(stage, completion, now)
                }
            }
        };
        if let Err(error) = result {
            self.state = State::Failed(error);
        }
    }

    fn go_to(&mut self, stage: Stage) {
        self.attempts = 0;
        self.state = State::At(stage);
    }

    fn unanswered(&mut self, stage: Stage) -> Result<(), BringUpError> {
        if stage.is_optional() {
            self.skip(stage);
            return Ok(());
        }
        self.attempts += 1;
        if self.attempts < MAX_UNANSWERED {
            return Ok(());
        }
        Err(BringUpError::NoAnswer {
            command: stage.name(),
            attempts: self.attempts,
        })
    }

    /// The command ended with something else than GOOD: again, later, without, or not at all?
    fn refused(
        &mut self,
        stage: Stage,
        completion: Completion,
        now: Instant,
    ) -> Result<(), BringUpError> {
        let sense = completion.sense.as_ref();
        let key = sense.map(|sense| sense.key);
        let code = sense.map(|sense| sense.code);
        let is_passing = sense.is_some_and(|sense| sense.deferred)
            || matches!(
                key,
                Some(SenseKey::UnitAttention | SenseKey::AbortedCommand | SenseKey::NoSense)
            );
        if is_passing && self.attempts < MAX_ATTEMPTS {
            self.attempts += 1;
            return Ok(());
        }
        let is_busy = matches!(completion.status, Status::BUSY | Status::TASK_SET_FULL);
        if is_busy {
            return self.wait(completion, now);
        }
        if stage.is_optional() {
            self.skip(stage);
            return Ok(());
        }
        match (key, code) {
            (Some(SenseKey::NotReady), Some(code)) => match code {
                AdditionalSense { asc: 0x3a, .. } => Err(BringUpError::NoMedium(completion)),
                AdditionalSense::INITIALIZING_COMMAND_REQUIRED if !self.is_started => {
                    self.is_started = true;
                    let power_condition = self.config.power_condition;
                    self.go_to(Stage::StartUnit { power_condition });
                    Ok(())
                }
                _ => self.wait(completion, now),
            },
            _ => Err(BringUpError::Command {
                command: stage.name(),
                completion,
            }),
        }
    }

    /// Sends the same command again in a while, unless the disk has had its time.
    fn wait(&mut self, completion: Completion, now: Instant) -> Result<(), BringUpError> {
        let since = *self.not_ready_since.get_or_insert(now);
        let waited = now.saturating_since(since);
        if waited >= self.config.ready_timeout {
            return Err(BringUpError::NotReady { waited, completion });
        }
        self.wait_until = now + self.config.ready_interval;
        Ok(())
    }

    /// Goes on without an optional command.
    fn skip(&mut self, stage: Stage) {
        match stage {
            Stage::ModeSense(mode) => match mode.other_form() {
                Some(other) => self.go_to(Stage::ModeSense(other)),
                None => self.finish(None),
            },
            Stage::SerialNumber => self.after_serial_number(),
            _ => self.go_to(Stage::TestUnitReady),
        }
    }

    /// The command did what was asked.
    fn answered(&mut self, stage: Stage, data: &[u8]) -> Result<(), BringUpError> {
        match stage {
            Stage::Inquiry => return self.inquired(data),
            Stage::SupportedPages => {
                self.pages = vpd::parse_supported_pages(data).unwrap_or_default();
                if self.pages.contains(&vpd::UNIT_SERIAL_NUMBER) {
                    self.go_to(Stage::SerialNumber);
                } else {
                    self.after_serial_number();
                }
            }
            Stage::SerialNumber => {
                self.serial = vpd::parse_unit_serial_number(data)
                    .ok()
                    .filter(|serial| !serial.is_empty());
                self.after_serial_number();
            }
            Stage::Identification => {
                self.designators = vpd::parse_device_identification(data).unwrap_or_default();
                self.go_to(Stage::TestUnitReady);
            }
            Stage::TestUnitReady => self.go_to(Stage::Capacity10),
            Stage::StartUnit { .. } => self.go_to(Stage::TestUnitReady),
            Stage::Capacity10 => {
                let capacity = Capacity10::parse(data);
                if capacity.last_lba == Capacity10::TOO_LARGE {
                    self.go_to(Stage::Capacity16);
                } else {
                    let last_lba = capacity.last_lba.into();
                    return self.measured(stage, last_lba, capacity.block_length);
                }
            }
            Stage::Capacity16 => {
                let capacity = Capacity16::parse(data);
                return self.measured(stage, capacity.last_lba, capacity.block_length);
            }
            Stage::ModeSense(mode) => match ModeData::parse(mode.form, data) {
                Ok(data) => self.finish(Some(&data)),
                Err(_) => self.skip(stage),
            },
        }
        Ok(())
    }

    fn inquired(&mut self, data: &[u8]) -> Result<(), BringUpError> {
        let inquiry = StandardInquiry::parse(data)?;
        let StandardInquiry {
            qualifier,
            device_type,
            version,
            ..
        } = inquiry;
        if qualifier != 0 {
            return Err(BringUpError::NoLogicalUnit { qualifier });
        }
        if !device_type.is_disk() {
            return Err(BringUpError::NotADisk(device_type));
        }
        self.inquiry = Some(inquiry);
        self.go_to(if self.config.inquiry_36 || version < VERSION_WITH_VPD {
            Stage::TestUnitReady
        } else {
            Stage::SupportedPages
        });
        Ok(())
    }

    fn after_serial_number(&mut self) {
        self.go_to(if self.pages.contains(&vpd::DEVICE_IDENTIFICATION) {
            Stage::Identification
        } else {
            Stage::TestUnitReady
        });
    }

    fn measured(
        &mut self,
        stage: Stage,
        last_lba: u64,
        block_length: u32,
    ) -> Result<(), BringUpError> {
        let command = stage.name();
        if !block_length.is_power_of_two() || !(512..=65536).contains(&block_length) {
            return Err(BringUpError::BlockLength {
                command,
                block_length,
            });
        }
        let blocks = last_lba
            .checked_add(1)
            .and_then(|blocks| blocks.checked_sub(self.config.fix_capacity.into()))
            .filter(|blocks| {
                let bytes = blocks.checked_mul(block_length.into());
                bytes.is_some_and(|bytes| (1..1 << 63).contains(&bytes))
            });
        let Some(blocks) = blocks else {
            return Err(BringUpError::Capacity {
                command,
                last_lba,
                block_length,
            });
        };
        self.capacity = (blocks, block_length);
        let device_type = self.inquiry.map(|inquiry| inquiry.device_type);
        let is_rbc = device_type == Some(DeviceType::SIMPLIFIED_DISK);
        let (form, what) = match (is_rbc, self.config.skip_caching_page) {
            (true, _) => (ModeForm::Ten, ModeWhat::RbcDeviceParameters),
            (false, false) => (ModeForm::Six, ModeWhat::Caching),
            (false, true) => (ModeForm::Six, ModeWhat::Header),
        };
        self.go_to(Stage::ModeSense(ModeSense {
            form,
            is_second: false,
            what,
        }));
        Ok(())
    }

    fn finish(&mut self, mode: Option<&ModeData>) {
        // INQUIRY came first; without it there is nothing to finish.
        let Some(inquiry) = self.inquiry else {
            return;
        };
        let (blocks, block_length) = self.capacity;
        self.state = State::Done(DiskInfo {
            vendor: inquiry.vendor,
            product: inquiry.product,
            revision: inquiry.revision,
            version: inquiry.version,
            device_type: inquiry.device_type,
            serial: self.serial.take(),
            designators: core::mem::take(&mut self.designators),
            blocks,
            block_length,
            write_cache: mode.and_then(ModeData::write_cache),
            fua: mode.is_some_and(|mode| mode.dpo_fua),
            write_protected: mode.is_some_and(|mode| mode.write_protected),
        });
    }
}

#[cfg(test)]
mod tests;
