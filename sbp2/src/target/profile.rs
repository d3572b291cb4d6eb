use alloc::string::String;
use alloc::vec::Vec;

use ohci_raw::bus::{Eui64, Speed};
use ohci_raw::config_rom::{
    BuildError, Builder, BusOptions, DirectoryBuilder, HeaderCrcCovers, Key,
};

use crate::scsi::{DeviceType, Identity, Text};

/// What to do with a LOGIN of an initiator that is logged in to the logical unit already.
///
/// That is a host that has crashed, or firmware that handed over to an operating system. Sources
/// disagree: the standard refuses; Linux's target sends the old login's response again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SameInitiator {
    /// Refuse with "access denied", as the standard says. The host has to log out with the old
    /// login ID, or to wait until a bus reset and the reconnect hold have ended the old login.
    Refuse,
    /// End the old login and its tasks, and grant a new one with a new login ID.
    Replace,
}

/// A kind of bridge: what its configuration ROM says, and how it behaves.
///
/// Start from one of the known ones and change what is to be different.
///
/// ```
/// use sbp2::target::BridgeProfile;
///
/// let mut profile = BridgeProfile::oxfw911();
/// profile.max_logins = 2;
/// assert!(BridgeProfile::by_name("oxfw912").is_none());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BridgeProfile {
    /// Its name in [`BridgeProfile::by_name`].
    pub name: &'static str,
    /// The node's EUI-64.
    pub eui64: Eui64,
    /// Quadlet 2 of the bus information block.
    pub bus_options: BusOptions,
    /// What the CRC in the ROM's first quadlet covers.
    pub header_crc: HeaderCrcCovers,
    /// Whether the ROM can be read in blocks. The bus serves the ROM, so it has to be told.
    pub rom_block_reads: bool,
    /// Vendor (OUI) in the root directory, 24 bits, and the text that describes it.
    pub vendor: (u32, String),
    /// Hardware version in the root directory, 24 bits.
    pub hardware_version: Option<u32>,
    /// Model in the unit directory, 24 bits, and the text that describes it.
    pub model: (u32, String),
    /// Firmware revision (key 0x3c), 24 bits. Drivers look up quirks by it.
    pub firmware_revision: u32,
    /// Where the management agent lies, in quadlets from the start of register space (key 0x54):
    /// 0x200 to 0xffffff. The command block agents lie behind it.
    pub management_agent_offset: u32,
    /// How long a management ORB may take, in units of 500 ms (key 0x3a, bits 15:8).
    pub mgt_orb_timeout: u8,
    /// How much of an ORB is fetched at once, in quadlets (key 0x3a, bits 7:0): 8 to 64. If a
    /// command is longer the rest is fetched after it.
    pub orb_size: u8,
    /// Whether the logical units say that they execute in order (key 0x14, bit 22). They do.
    pub ordered: bool,
    /// The longest reconnect hold that is granted, in seconds (key 0x3d): 1 to 32768.
    pub max_reconnect_hold: u16,
    /// How fast data can be moved, and how fast the node is. The ROM may say less.
    pub speed: Speed,
    /// The most bytes of data in a packet at any speed, which initiators may ask to be less: 512
    /// to 4096. What a controller can receive (max_rec) can be less than what its speed allows.
    pub max_payload: usize,
    /// How many logins a logical unit has room for: 1 to [`BridgeProfile::MAX_LOGINS`].
    pub max_logins: usize,
    /// How many ORBs of a login are fetched ahead of execution, at least 1.
    pub fetch_ahead: usize,
    /// How many data packets of a command may be under way, at least 1.
    pub data_window: usize,
    /// Who comes twice.
    pub same_initiator: SameInitiator,
    /// Whether it says who is logged in. Linux's target does not.
    pub query_logins: bool,
    /// What the disk says of itself. [`Bridge::new`](super::Bridge::new) fills in the EUI-64 and
    /// the list of logical units.
    pub identity: Identity,
}

/// A field that is known to fit: the literals below are checked when the crate is compiled.
const fn text<const N: usize>(text: &str) -> Text<N> {
    match Text::new(text) {
        Ok(text) => text,
        Err(_) => panic!("a text of a profile does not fit"),
    }
}

impl BridgeProfile {
    /// The names that [`BridgeProfile::by_name`] knows.
    pub const NAMES: [&'static str; 3] = ["oxfw911", "oxuf922", "generic"];

    /// The most logins on a logical unit that a profile may allow. The answer to QUERY LOGINS
    /// then fits into one packet at every speed.
    pub const MAX_LOGINS: usize = 42;

    /// The profile with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "oxfw911" => Some(Self::oxfw911()),
            "oxuf922" => Some(Self::oxuf922()),
            "generic" => Some(Self::generic()),
            _ => None,
        }
    }

    /// An Oxford OXFW911 with firmware 0x25 in front of a disk.
    ///
    /// The ROM's numbers are those of a real one: the bus information block that tells 64 bytes
    /// and S100 (it speaks S400 and moves 2048), the unit directory, and the refusal of block
    /// reads. That one was in front of a DVD drive; the LUN entry is made that of an RBC disk.
    /// Its texts are unknown and those of another OXFW911 stand in. Four logins: "four or two,
    /// depending on firmware" (`drivers/firewire/sbp2.c`).
    #[must_use]
    pub fn oxfw911() -> Self {
        const ORDERED: bool = true;
        Self {
            name: "oxfw911",
            eui64: Eui64(0x0030_e000_0000_01fa),
            bus_options: BusOptions::from_quadlet(0x00ff_5000),
            header_crc: HeaderCrcCovers::WholeRom,
            rom_block_reads: false,
            vendor: (0x00_30e0, String::from("Oxford Semiconductor Ltd.   ")),
            hardware_version: Some(0x00_f911),
            model: (0x00_0001, String::from("OXFORD IDE Device LUN 0  ")),
            firmware_revision: 0x00_0025,
            management_agent_offset: 0xc000,
            mgt_orb_timeout: 0x3c,
            orb_size: 8,
            ordered: ORDERED,
            max_reconnect_hold: 3,
            speed: Speed::S400,
            max_payload: Speed::S3200.max_payload(),
            max_logins: 4,
            fetch_ahead: 4,
            data_window: 4,
            same_initiator: SameInitiator::Refuse,
            query_logins: true,
            identity: Identity {
                vendor: text("OXFORD"),
                product: text("IDE DISK"),
                revision: text("0025"),
                serial: text("0000000001FA"),
                eui64: Eui64(0),
                device_type: DeviceType::SIMPLIFIED_DISK,
                version: 4,
                vital_product_data: false,
                fua: false,
                write_cache: true,
                long_commands: false,
                lun: 0,
                luns: Vec::new(),
            },
        }
    }

    /// An Oxford OXUF922 (FireWire 400 and USB 2).
    ///
    /// No ROM of one is public. Known is the chip's name, the OUI and that "newer Oxford
    /// bridges" have room for two or four logins, of which this takes the smaller; the rest
    /// follows [`BridgeProfile::oxfw911`] or is made up.
    #[must_use]
    pub fn oxuf922() -> Self {
        let like = Self::oxfw911();
        Self {
            name: "oxuf922",
            eui64: Eui64(0x0030_e001_0000_0922),
            bus_options: BusOptions {
                link_spd: Speed::S400.code(),
                ..like.bus_options
            },
            hardware_version: Some(0x00_f922),
            model: (0x00_0922, String::from("OXUF922 IDE Device")),
            firmware_revision: 0x00_0105,
            management_agent_offset: 0x4000,
            max_reconnect_hold: 4,
            max_logins: 2,
            fetch_ahead: 8,
            data_window: 8,
            identity: Identity {
                product: text("OXUF922 DISK"),
                revision: text("0105"),
                serial: text("000100000922"),
                device_type: DeviceType::DISK,
                ..like.identity
            },
            ..like
        }
    }

    /// A bridge without a model in the world: S800, many logins, and a disk with the whole
    /// command set.
    #[must_use]
    pub fn generic() -> Self {
        let like = Self::oxfw911();
        Self {
            name: "generic",
            // 02: locally administered, so that it is nobody's.
            eui64: Eui64(0x0200_0000_f05b_0002),
            bus_options: BusOptions {
                cyc_clk_acc: 255,
                max_rec: 11,
                max_rom: 2,
                generation: 1,
                link_spd: Speed::S800.code(),
                ..BusOptions::default()
            },
            header_crc: HeaderCrcCovers::BusInfo,
            rom_block_reads: true,
            vendor: (0x02_0000, String::from("fwshare")),
            hardware_version: None,
            model: (0x00_0001, String::from("Emulated disk")),
            firmware_revision: 0x00_0001,
            management_agent_offset: 0x4000,
            mgt_orb_timeout: 10,
            orb_size: 9,
            max_reconnect_hold: 16,
            speed: Speed::S800,
            max_logins: 32,
            fetch_ahead: 16,
            data_window: 16,
            identity: Identity {
                vendor: text("fwshare"),
                product: text("Emulated disk"),
                revision: text("1"),
                serial: text("F05B0002"),
                device_type: DeviceType::DISK,
                version: 5,
                vital_product_data: true,
                fua: true,
                long_commands: true,
                ..like.identity
            },
            ..like
        }
    }

    /// Sets the node's EUI-64, and with it the disk's serial number.
    #[must_use]
    pub fn with_eui64(mut self, eui64: Eui64) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let mut serial = [b' '; 20];
        for (nibble, digit) in serial.iter_mut().take(16).enumerate() {
            *digit = DIGITS[(eui64.0 >> (60 - 4 * nibble)) as usize & 0xf];
        }
        self.eui64 = eui64;
        self.identity.serial = Text::from_bytes(serial);
        self
    }

    /// The unit directory for `units` logical units.
    pub(super) fn unit_directory(&self, units: u16) -> DirectoryBuilder {
        const SBP2_SPECIFIER: u32 = 0x00_609e;
        const SBP2_VERSION: u32 = 0x01_0483;
        const SCSI_PRIMARY_COMMANDS: u32 = 0x01_04d8;

        let characteristics = u32::from(self.mgt_orb_timeout) << 8 | u32::from(self.orb_size);
        let mut unit = DirectoryBuilder::new()
            .immediate(Key::SPECIFIER_ID, SBP2_SPECIFIER)
            .immediate(Key::VERSION, SBP2_VERSION)
            .immediate(Key(0x3c), self.firmware_revision)
            .register(Key(0x54), self.management_agent_offset)
            .immediate(Key(0x3a), characteristics)
            .immediate(Key(0x38), SBP2_SPECIFIER)
            .immediate(Key(0x39), SCSI_PRIMARY_COMMANDS)
            .immediate(Key(0x3b), 0)
            .immediate(Key(0x3d), u32::from(self.max_reconnect_hold));
        let device_type = u32::from(self.identity.device_type.0 & 0x1f) << 16;
        for lun in 0..units {
            let ordered = u32::from(self.ordered) << 22;
            unit = unit.immediate(Key(0x14), ordered | device_type | u32::from(lun));
        }
        unit.immediate(Key::MODEL, self.model.0)
            .text(self.model.1.trim_end())
    }

    /// The configuration ROM for `units` logical units.
    pub(super) fn rom(&self, units: u16) -> Result<Vec<u32>, BuildError> {
        const NODE_CAPABILITIES: u32 = 0x00_83c0;

        let unit = self.unit_directory(units);
        let mut root = DirectoryBuilder::new()
            .immediate(Key::NODE_CAPABILITIES, NODE_CAPABILITIES)
            .immediate(Key::VENDOR, self.vendor.0)
            .text(self.vendor.1.trim_end());
        if let Some(version) = self.hardware_version {
            root = root.immediate(Key::HARDWARE_VERSION, version);
        }
        let root = root.directory(Key::UNIT_DIRECTORY, unit);
        Builder::new(self.bus_options, self.eui64, root)
            .header_crc(self.header_crc)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohci_raw::config_rom::ConfigRom;

    #[test]
    fn every_name_gives_its_profile_and_a_rom_without_faults() {
        for name in BridgeProfile::NAMES {
            let profile = BridgeProfile::by_name(name).unwrap();
            assert_eq!(profile.name, name);
            let rom: Vec<_> = profile.rom(2).unwrap().into_iter().map(Some).collect();
            let rom = ConfigRom::read(&rom).unwrap();
            assert!(rom.warnings.is_empty(), "{name}: {:?}", rom.warnings);
        }
        assert!(BridgeProfile::by_name("OXFW911").is_none());
    }

    /// Offsets and values from a real one with firmware 0x25.
    #[test]
    fn the_oxfw911_rom_has_the_real_ones_numbers() {
        let rom = BridgeProfile::oxfw911().rom(1).unwrap();
        assert_eq!(rom[1..5], [0x3133_3934, 0x00ff_5000, 0x0030_e000, 0x1fa]);
        for quadlet in [0x0c00_83c0, 0x0300_30e0, 0x0400_f911] {
            assert!(rom.contains(&quadlet), "{quadlet:#x}");
        }
        let unit = rom.iter().position(|q| *q == 0x1200_609e).unwrap();
        assert_eq!(
            rom[unit..unit + 9],
            [
                0x1200_609e,
                0x1301_0483,
                0x3c00_0025,
                0x5400_c000,
                0x3a00_3c08,
                0x3800_609e,
                0x3901_04d8,
                0x3b00_0000,
                0x3d00_0003
            ]
        );
        assert_eq!(rom[unit + 9..unit + 11], [0x144e_0000, 0x1700_0001]);
        assert_eq!(rom[0] >> 16 & 0xff, rom.len() as u32 - 1);
    }

    #[test]
    fn a_new_eui64_makes_another_serial_number() {
        let profile = BridgeProfile::generic().with_eui64(Eui64(0x0123_4567_89ab_cdef));
        assert_eq!(profile.identity.serial.as_bytes(), b"0123456789ABCDEF    ");
        assert_eq!(profile.rom(1).unwrap()[3..5], [0x0123_4567, 0x89ab_cdef]);
    }
}
