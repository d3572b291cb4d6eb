//! SCSI as far as a disk across SBP-2 needs it.
//!
//! SBP-2 is a transport. What it carries are SCSI commands: the initiator writes a *command
//! descriptor block* ([`Cdb`]) into an ORB, the target moves data and answers with a status
//! block that holds the SCSI status and, when something is wrong, *sense data* ([`Sense`]).
//!
//! SCSI describes a target as three nested things. The *device server* executes commands
//! ([`DeviceServer`]); the *medium* holds the blocks ([`Medium`]); a *nexus* is what the device
//! server remembers of one initiator ([`Nexus`]), in SBP-2: of one login. A disk that several
//! hosts log in to is one device server with several nexuses.
//!
//! | file | what it is |
//! |---|---|
//! | `cdb` | the commands, read and written; which of their bits may be set; the one for a range of blocks |
//! | `status`, `sense`, `asc`, `status_block` | how a command ended, as SCSI says it and as SBP-2 carries it |
//! | `inquiry`, `vpd`, `capacity`, `mode`, `report_luns` | parameter data: what a disk says of itself |
//! | `medium` | blocks behind a device server; a sparse disk in memory |
//! | `device_server` | target side: executes commands |
//! | `bring_up` | initiator side: the first commands to a disk, and what they found out |
//!
//! Two command sets meet on FireWire: SBC (peripheral device type 0x00), the full one, and RBC
//! (0x0e), the reduced one that most bridges claim. They share the commands that matter. They
//! differ in mode pages, and RBC knows only the 10-byte READ and WRITE.
//!
//! Standards: SAM-3 (the model), SPC-3 (INQUIRY, sense, mode data), SBC-3 and RBC (disks),
//! SBP-2 annex B (sense data in status blocks). Nothing here does I/O or reads a clock.

mod asc;
mod bring_up;
mod bytes;
mod capacity;
mod cdb;
mod device_server;
mod inquiry;
mod medium;
mod mode;
mod report_luns;
mod sense;
mod status;
mod status_block;
mod text;
mod vpd;

pub use asc::AdditionalSense;
pub use bring_up::{BringUp, BringUpConfig, BringUpError, CommandOutcome, DiskInfo, Step};
pub use capacity::{Capacity10, Capacity16};
pub use cdb::{
    Cdb, CdbError, InvalidField, MAX_BLOCKS_10, ModePageSelect, RawCdb, Transfer, check_usage,
    read_blocks, write_blocks,
};
pub use device_server::{Counters, DeviceServer, Execution, Identity, Nexus, UnitAttention};
pub use inquiry::{DeviceType, InquiryError, StandardInquiry};
pub use medium::{Medium, MediumError, MediumSizeError, MemoryMedium, byte_range};
pub use mode::{ModeData, ModeError, ModeForm, page as mode_page};
pub use report_luns::report_luns;
pub use sense::{Sense, SenseError, SenseKey};
pub use status::{Completion, Status};
pub use status_block::StatusBlockError;
pub use text::{Text, TextError};
pub use vpd::{Designator, DesignatorKind, VpdError};
