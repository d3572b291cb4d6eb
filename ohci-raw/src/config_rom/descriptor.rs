use alloc::vec::Vec;

use super::builder::seal;
use super::{BuildError, DirectoryBuilder, Key, WINDOW_QUADLETS};

/// Where the root directory starts: behind the bus information block of IEEE 1394.
const ROOT: usize = 5;

/// Something to be added to a configuration ROM that somebody else makes: an entry of the root
/// directory, and the blocks to which it leads (`struct fw_descriptor` of Linux).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Descriptor {
    key: Key,
    blocks: Vec<u32>,
}

impl Descriptor {
    /// A directory below the root directory, such as a unit directory.
    ///
    /// # Errors
    /// [`BuildError`] says what cannot be put into a ROM.
    pub fn directory(key: Key, directory: &DirectoryBuilder) -> Result<Self, BuildError> {
        let mut blocks = Vec::new();
        directory.place(&mut blocks)?;
        Ok(Self { key, blocks })
    }

    /// The key of the entry.
    #[must_use]
    pub const fn key(&self) -> Key {
        self.key
    }

    /// The blocks in host byte order. Pointers count from where they stand, so they hold wherever
    /// the blocks are put. In the place of the CRCs are zeros: Linux puts them in, by OR.
    #[must_use]
    pub fn blocks(&self) -> &[u32] {
        &self.blocks
    }

    /// How many quadlets a ROM grows by, the entry included.
    #[must_use]
    pub const fn quadlets(&self) -> usize {
        self.blocks.len() + 1
    }

    /// The ROM with this descriptor: the entry last in the root directory, the blocks at the end,
    /// CRCs where they belong, and the next generation in the bus information block.
    ///
    /// # Errors
    /// [`BuildError::TooLong`], also for a ROM that has no root directory.
    pub fn added_to(&self, rom: &[u32]) -> Result<Vec<u32>, BuildError> {
        let quadlets = rom.len() + self.quadlets();
        let too_long = BuildError::TooLong { quadlets };
        let entries = rom.get(ROOT).map(|header| (header >> 16) as usize);
        let end = entries.map(|entries| ROOT + 1 + entries);
        let Some(end) = end.filter(|end| *end <= rom.len() && quadlets <= WINDOW_QUADLETS) else {
            return Err(too_long);
        };
        let mut grown = rom.to_vec();
        for entry in &mut grown[ROOT + 1..end] {
            let points = Key((*entry >> 24) as u8).key_type().is_pointer();
            *entry += u32::from(points);
        }
        let distance = (rom.len() + 1 - end) as u32;
        grown.insert(end, u32::from(self.key.0) << 24 | distance);
        grown[ROOT] += 1 << 16;
        seal(&mut grown, ROOT);
        let mut blocks = self.blocks.clone();
        let mut header = 0;
        while header < blocks.len() {
            seal(&mut blocks, header);
            header += 1 + (blocks[header] >> 16) as usize;
        }
        grown.extend(blocks);
        // IEEE 1212 7.7.1: 2 to 15 in turn.
        let generation = match grown[2] >> 4 & 0xf {
            now @ 2..=14 => now + 1,
            _ => 2,
        };
        grown[2] = grown[2] & !0xf0 | generation << 4;
        let covered = if grown[0] >> 16 & 0xff > 4 {
            grown.len() - 1
        } else {
            4
        };
        let crc = super::crc16(&grown[1..=covered]);
        grown[0] = 4 << 24 | (covered as u32) << 16 | u32::from(crc);
        Ok(grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Eui64;
    use crate::config_rom::{Builder, BusOptions, ConfigRom, HeaderCrcCovers};

    fn unit() -> DirectoryBuilder {
        DirectoryBuilder::new()
            .immediate(Key::SPECIFIER_ID, 0x00_609e)
            .immediate(Key::MODEL, 1)
            .text("A disk")
    }

    #[test]
    fn the_blocks_are_a_chain_with_lengths_and_without_crcs() {
        let descriptor = Descriptor::directory(Key::UNIT_DIRECTORY, &unit()).unwrap();
        assert_eq!(
            descriptor.blocks(),
            [
                0x0003_0000,
                0x1200_609e,
                0x1700_0001,
                0x8100_0001,
                0x0004_0000,
                0,
                0,
                0x4120_6469,
                0x736b_0000
            ]
        );
        assert_eq!(descriptor.quadlets(), 10);
    }

    #[test]
    fn a_rom_with_descriptors_has_no_faults_and_leads_to_all_that_it_had() {
        for covers in [HeaderCrcCovers::BusInfo, HeaderCrcCovers::WholeRom] {
            let root = DirectoryBuilder::new()
                .immediate(Key::VENDOR, 0x00_1f11)
                .text("Linux Firewire")
                .immediate(Key::MODEL, 0x02_3901)
                .text("Juju");
            let builder = Builder::new(BusOptions::default(), Eui64(7), root).header_crc(covers);
            let plain = builder.build().unwrap();
            let descriptor = Descriptor::directory(Key::UNIT_DIRECTORY, &unit()).unwrap();
            let one = descriptor.added_to(&plain).unwrap();
            let two = descriptor.added_to(&one).unwrap();
            assert_eq!(two.len(), plain.len() + 2 * descriptor.quadlets());
            assert_ne!(one[2], plain[2], "another generation");
            assert_ne!(two[2], one[2], "another generation");
            let known: Vec<_> = two.into_iter().map(Some).collect();
            let rom = ConfigRom::read(&known).unwrap();
            assert!(rom.warnings.is_empty(), "{:?}", rom.warnings);
            assert_eq!(rom.vendor_text().as_deref(), Some("Linux Firewire"));
            assert_eq!(rom.model_text().as_deref(), Some("Juju"));
            assert_eq!(rom.unit_directories().count(), 2);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let large = DirectoryBuilder::new().leaf(Key::EUI64_LEAF, &[0; 240]);
        let descriptor = Descriptor::directory(Key::UNIT_DIRECTORY, &large).unwrap();
        let root = DirectoryBuilder::new().text("Linux Firewire");
        let plain = Builder::new(BusOptions::default(), Eui64(7), root)
            .build()
            .unwrap();
        let refused = descriptor.added_to(&plain);
        assert!(matches!(refused, Err(BuildError::TooLong { .. })));
        assert!(descriptor.added_to(&[]).is_err());
        assert!(descriptor.added_to(&[0, 0, 0, 0, 0, 0x00ff_0000]).is_err());
    }
}
