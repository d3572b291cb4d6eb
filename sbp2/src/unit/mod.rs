//! What a configuration ROM says of an SBP-2 unit.
//!
//! A node with disks has a unit directory that names SBP-2 as its interface. There an initiator
//! finds the one register with which everything begins, the management agent, and the logical
//! units behind it: several discs or drives may share a unit. A ROM may spread its logical units
//! over directories of their own below the unit directory.
//!
//! Old bridges leave out much of what SBP-2 7.4 requires. So every field is optional here, and
//! the methods tell what to assume instead, as the kernel's driver does.
//!
//! ```
//! use ohci_raw::bus::Eui64;
//! use ohci_raw::config_rom::{Builder, BusOptions, ConfigRom, DirectoryBuilder, Key};
//! use sbp2::unit;
//!
//! let directory = DirectoryBuilder::new()
//!     .immediate(Key::SPECIFIER_ID, unit::SPECIFIER_ID)
//!     .immediate(Key::VERSION, unit::VERSION)
//!     .register(unit::key::MANAGEMENT_AGENT, 0xc000)
//!     .immediate(unit::key::LOGICAL_UNIT_NUMBER, 0x0e_0000);
//! let root = DirectoryBuilder::new().directory(Key::UNIT_DIRECTORY, directory);
//! let rom = Builder::new(BusOptions::default(), Eui64(1), root).build()?;
//! let rom: Vec<_> = rom.into_iter().map(Some).collect();
//!
//! let units = unit::units(&ConfigRom::read(&rom)?);
//! assert_eq!(units[0].management_agent().unwrap().get(), 0xffff_f003_0000);
//! assert_eq!(units[0].logical_units[0].device_type, 0x0e);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bridge;
pub mod key;
mod quirks;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use ohci_raw::bus::{Address, Eui64};
use ohci_raw::config_rom::{ConfigRom, Directory, Entry, Key, Offset, Target};

pub use bridge::bridge_name;
pub use quirks::Quirks;

/// The unit's Specifier_ID: SBP-2 is a standard of NCITS (SBP-2 7.4.1).
pub const SPECIFIER_ID: u32 = 0x00_609e;
/// The unit's Version (SBP-2 7.4.2).
pub const VERSION: u32 = 0x01_0483;
/// The Command_Set of SCSI, under the Command_Set_Spec_ID [`SPECIFIER_ID`] (SBP-2 7.4.5).
pub const SCSI_COMMAND_SET: u32 = 0x01_04d8;

/// The shortest memory that holds a command ORB: 20 bytes and a command block of 16.
const SHORTEST_ORB: usize = 36;

/// An SBP-2 unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit {
    /// Where its unit directory is.
    pub offset: Offset,
    /// The unit directory's id, 24 bits: explicit, or made from its address.
    pub directory_id: u32,
    /// The management agent's register. The ROM has it in quadlets, this is in bytes.
    pub management_agent_offset: Option<Offset>,
    /// The model, if the unit directory itself has one.
    pub model_id: Option<u32>,
    /// The model's name, if the unit directory has a text for its model.
    pub model_text: Option<String>,
    /// All of the unit directory's texts.
    pub texts: Vec<String>,
    /// The firmware's revision, 24 bits. [`Quirks`] depend on it.
    pub firmware_revision: Option<u32>,
    /// How long the target may take for a management ORB: multiples of 500 ms.
    pub mgt_orb_timeout: Option<Duration>,
    /// How many quadlets of a command ORB the target fetches, 0..=255.
    pub orb_size_quadlets: Option<u8>,
    /// Who defined the command set (OUI).
    pub command_set_spec_id: Option<u32>,
    /// The command set: [`SCSI_COMMAND_SET`].
    pub command_set: Option<u32>,
    /// How long the target can hold a login for a reconnect, the entry's low 16 bits as they
    /// are. Linux's target puts seconds there; whether the standard means seconds or seconds
    /// less one, public sources do not tell.
    pub max_reconnect_hold: Option<u16>,
    /// The unit's own EUI-64.
    pub unique_id: Option<Eui64>,
    /// The logical units, in the ROM's order. Nothing keeps a ROM from naming one twice.
    pub logical_units: Vec<LogicalUnit>,
}

/// A logical unit: one disc, drive, scanner or printer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogicalUnit {
    /// Its number.
    pub lun: u16,
    /// SCSI peripheral device type, 0..=31: 0x00 disk (SBC), 0x05 CD or DVD, 0x0e disk (RBC).
    pub device_type: u8,
    /// Whether it executes commands in the order of the list.
    pub ordered: bool,
    /// Who defined its command set: from its own directory, else the unit's.
    pub command_set_spec_id: Option<u32>,
    /// Its command set: from its own directory, else the unit's.
    pub command_set: Option<u32>,
}

/// The SBP-2 units of a node.
#[must_use]
pub fn units(rom: &ConfigRom) -> Vec<Unit> {
    let directories = rom.unit_directories();
    directories
        .filter_map(|directory| Unit::read(rom, directory))
        .collect()
}

impl Unit {
    /// The unit of this unit directory, or `None` unless it is one for SBP-2.
    #[must_use]
    pub fn read(rom: &ConfigRom, directory: &Directory) -> Option<Self> {
        if directory.value(Key::SPECIFIER_ID) != Some(SPECIFIER_ID)
            || directory.value(Key::VERSION) != Some(VERSION)
        {
            return None;
        }
        let characteristics = directory.value(key::UNIT_CHARACTERISTICS);
        let characteristics = characteristics.map(u32::to_be_bytes);
        let max_reconnect_hold = directory.value(key::RECONNECT_TIMEOUT);
        Some(Self {
            offset: directory.offset,
            directory_id: directory.id(),
            management_agent_offset: directory.find(key::MANAGEMENT_AGENT).and_then(register),
            model_id: directory.value(Key::MODEL),
            model_text: rom.text_for(directory, Key::MODEL),
            texts: rom.texts_of(directory),
            firmware_revision: directory.value(key::FIRMWARE_REVISION),
            mgt_orb_timeout: characteristics
                .map(|[_, _, timeout, _]| Duration::from_millis(500) * u32::from(timeout)),
            orb_size_quadlets: characteristics.map(|[_, _, _, orb_size]| orb_size),
            command_set_spec_id: directory.value(key::COMMAND_SET_SPEC_ID),
            command_set: directory.value(key::COMMAND_SET),
            max_reconnect_hold: max_reconnect_hold.map(low_half),
            unique_id: directory.find(Key::EUI64_LEAF).and_then(eui64),
            logical_units: logical_units(rom, directory),
        })
    }

    /// The management agent's address.
    #[must_use]
    pub fn management_agent(&self) -> Option<Address> {
        self.management_agent_offset.map(Offset::address)
    }

    /// How long to wait for the answer to a login: what the ROM says, but at least 5 s and at
    /// most 40 s, because both nonsense and silence occur (`drivers/firewire/sbp2.c`).
    #[must_use]
    pub fn login_timeout(&self) -> Duration {
        let said = self.mgt_orb_timeout.unwrap_or_default();
        said.clamp(Duration::from_secs(5), Duration::from_secs(40))
    }

    /// How many bytes from the start of a command ORB must be readable. The target fetches as
    /// many as its ROM says, whatever the command.
    #[must_use]
    pub fn orb_bytes(&self) -> usize {
        let quadlets = self.orb_size_quadlets.unwrap_or_default();
        SHORTEST_ORB.max(4 * usize::from(quadlets))
    }

    /// What is known to be wrong with it, before the user has had a say
    /// ([`Quirks::with_workarounds`]).
    #[must_use]
    pub fn quirks(&self) -> Quirks {
        Quirks::of(self.firmware_revision, self.model_id)
    }
}

fn register(entry: &Entry) -> Option<Offset> {
    match entry.target {
        Target::Register(offset) => Some(offset),
        _ => None,
    }
}

fn eui64(entry: &Entry) -> Option<Eui64> {
    match &entry.target {
        Target::Leaf(leaf) => leaf.eui64(),
        _ => None,
    }
}

fn logical_units(rom: &ConfigRom, unit: &Directory) -> Vec<LogicalUnit> {
    let mut found = Vec::new();
    for entry in &unit.entries {
        if entry.key == key::LOGICAL_UNIT_NUMBER {
            found.push((entry, unit));
        } else if entry.key == key::LOGICAL_UNIT_DIRECTORY
            && let Some(directory) = rom.directory_of(entry)
        {
            let entries = directory.entries.iter();
            let numbers = entries.filter(|entry| entry.key == key::LOGICAL_UNIT_NUMBER);
            found.extend(numbers.map(|entry| (entry, directory)));
        }
    }
    let read = |(entry, directory): (&Entry, &Directory)| {
        let own_or_units = |key| directory.value(key).or_else(|| unit.value(key));
        let [_, bits, ..] = entry.value.to_be_bytes();
        LogicalUnit {
            lun: low_half(entry.value),
            device_type: bits & 0x1f,
            ordered: bits & 0x40 != 0,
            command_set_spec_id: own_or_units(key::COMMAND_SET_SPEC_ID),
            command_set: own_or_units(key::COMMAND_SET),
        }
    };
    found.into_iter().map(read).collect()
}

const fn low_half(value: u32) -> u16 {
    (value & 0xffff) as u16
}

#[cfg(test)]
mod tests;
