//! A host's controller as Linux shows it to the bus: its EUI-64 and its configuration ROM.
//!
//! Programs can add descriptors to the ROM (ADD_DESCRIPTOR); the ROM is then made anew, with a
//! new generation, as `generate_config_rom` in `drivers/firewire/core-card.c` does.

use ohci_raw::bus::{Eui64, Speed};
use ohci_raw::config_rom::{BUS_NAME, WINDOW_QUADLETS, crc16};
use ohci_raw::sim::NodeConfig;

/// The first host's EUI-64; the others count up from it. Locally administered, so that it is
/// nobody's.
const FIRST_HOST: u64 = 0x0200_0000_f05b_1000;

/// The first virtual machine's; the others count up from it, too.
const FIRST_CONTROLLER: u64 = FIRST_HOST + 0x1000;

/// Quadlets of the bus information block with its header.
const BUS_INFO: usize = 5;
/// Generations that a ROM with a changing content goes through (IEEE 1212, 7.7.1).
const GENERATIONS: std::ops::RangeInclusive<u32> = 2..=0xf;

/// What a host is on the bus. Hosts are counted from 0 on.
#[must_use]
pub fn config(number: usize, speed: Speed) -> NodeConfig {
    let eui64 = Eui64(FIRST_HOST.saturating_add(number as u64));
    NodeConfig {
        name: format!("host{number}"),
        eui64,
        rom: HostRom::new(eui64, speed).quadlets(),
        speed,
        rom_block_reads: true,
    }
}

/// What the controller of a virtual machine is on the bus. They are counted from 0 on. Its
/// configuration ROM is made by the machine.
#[must_use]
pub fn controller(number: usize, speed: Speed) -> NodeConfig {
    NodeConfig {
        name: format!("vm{number}"),
        eui64: Eui64(FIRST_CONTROLLER.saturating_add(number as u64)),
        rom: Vec::new(),
        speed,
        rom_block_reads: true,
    }
}

/// A descriptor that cannot be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DescriptorError {
    /// It is no chain of complete blocks.
    #[error("the descriptor is no chain of complete blocks")]
    Malformed,
    /// The ROM would have more than 256 quadlets.
    #[error("the configuration ROM has no room for the descriptor")]
    NoRoom,
}

/// One or two entries of the root directory, and the blocks that the second one leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Descriptor {
    handle: u32,
    /// An entry to put before, or 0.
    immediate: u32,
    /// The key in the top byte.
    key: u32,
    blocks: Vec<u32>,
}

impl Descriptor {
    const fn entries(&self) -> usize {
        1 + (self.immediate != 0) as usize
    }
}

/// A host's configuration ROM.
#[derive(Clone, Debug)]
pub struct HostRom {
    eui64: Eui64,
    speed: Speed,
    generation: u32,
    descriptors: Vec<Descriptor>,
    next_handle: u32,
}

impl HostRom {
    /// The ROM of a host to which no program has added anything.
    #[must_use]
    pub fn new(eui64: Eui64, speed: Speed) -> Self {
        // As core-device.c and core-card.c have them: vendor and model, with a text each.
        let builtin = |immediate, text: &[u32]| Descriptor {
            handle: 0,
            immediate,
            key: 0x8100_0000,
            blocks: text.to_vec(),
        };
        let vendor = builtin(
            0x0300_1f11,
            &[
                0x0006_0000,
                0,
                0,
                0x4c69_6e75,
                0x7820_4669,
                0x7265_7769,
                0x7265_0000,
            ],
        );
        let model = builtin(0x1702_3901, &[0x0003_0000, 0, 0, 0x4a75_6a75]);
        Self {
            eui64,
            speed,
            generation: *GENERATIONS.start(),
            descriptors: vec![vendor, model],
            next_handle: 1,
        }
    }

    /// Adds a descriptor: `key` in the top byte leads to `blocks`, in host byte order; an
    /// `immediate` entry other than 0 comes before it. Gives the handle to remove it by.
    ///
    /// # Errors
    /// [`DescriptorError`]; the ROM is as before.
    pub fn add(
        &mut self,
        immediate: u32,
        key: u32,
        blocks: &[u32],
    ) -> Result<u32, DescriptorError> {
        if !is_chain(blocks) {
            return Err(DescriptorError::Malformed);
        }
        let descriptor = Descriptor {
            handle: self.next_handle,
            immediate,
            key,
            blocks: blocks.to_vec(),
        };
        let length = self.length() + descriptor.entries() + blocks.len();
        if length > WINDOW_QUADLETS {
            return Err(DescriptorError::NoRoom);
        }
        self.next_handle = self.next_handle.wrapping_add(1).max(1);
        self.descriptors.push(descriptor);
        self.changed();
        Ok(self.descriptors.last().map_or(0, |added| added.handle))
    }

    /// Takes a descriptor away again. Whether it was there.
    pub fn remove(&mut self, handle: u32) -> bool {
        let before = self.descriptors.len();
        self.descriptors
            .retain(|descriptor| descriptor.handle == 0 || descriptor.handle != handle);
        let removed = self.descriptors.len() < before;
        if removed {
            self.changed();
        }
        removed
    }

    fn changed(&mut self) {
        self.generation = match self.generation + 1 {
            next if GENERATIONS.contains(&next) => next,
            _ => *GENERATIONS.start(),
        };
    }

    fn length(&self) -> usize {
        let descriptors = self.descriptors.iter();
        let rest: usize = descriptors
            .map(|one| one.entries() + one.blocks.len())
            .sum();
        BUS_INFO + 2 + rest
    }

    /// The ROM in host byte order, from the first quadlet on.
    #[must_use]
    pub fn quadlets(&self) -> Vec<u32> {
        let link_speed = u32::from(self.speed.code());
        // 512 bytes at S100 are 2^(8+1).
        let max_rec = 8 + link_speed.min(u32::from(Speed::S800.code()));
        const MAX_ROM_1_KIB: u32 = 2;
        const IRMC_CMC_ISC_BMC: u32 = 0xf << 28;
        let options = IRMC_CMC_ISC_BMC
            | max_rec << 12
            | MAX_ROM_1_KIB << 8
            | self.generation << 4
            | link_speed;
        let mut rom = vec![
            0,
            BUS_NAME,
            options,
            (self.eui64.0 >> 32) as u32,
            self.eui64.0 as u32,
        ];
        rom[0] = 0x0404_0000 | u32::from(crc16(&rom[1..]));

        let mut root = vec![0, 0x0c00_83c0];
        let entries: usize = self.descriptors.iter().map(Descriptor::entries).sum();
        let mut place = root.len() + entries;
        for descriptor in &self.descriptors {
            if descriptor.immediate != 0 {
                root.push(descriptor.immediate);
            }
            root.push(descriptor.key | (place - root.len()) as u32);
            place += descriptor.blocks.len();
        }
        seal(&mut root);
        rom.append(&mut root);
        for descriptor in &self.descriptors {
            let mut blocks = descriptor.blocks.clone();
            let mut rest = &mut blocks[..];
            while !rest.is_empty() {
                let (block, others) = rest.split_at_mut(block_length(rest[0]).min(rest.len()));
                block[0] |= u32::from(crc16(&block[1..]));
                rest = others;
            }
            rom.append(&mut blocks);
        }
        rom
    }
}

/// Quadlets of the block that starts with this header. Linux looks at 8 bits of the length.
const fn block_length(header: u32) -> usize {
    ((header >> 16) & 0xff) as usize + 1
}

/// Writes length and CRC into the first quadlet of a block.
fn seal(block: &mut [u32]) {
    let length = (block.len() as u32 - 1) << 16;
    block[0] = length | u32::from(crc16(&block[1..]));
}

/// Whether the blocks' lengths add up (`fw_core_add_descriptor`, which takes all 16 bits of them
/// here). What stands where the CRC goes is not looked at: the CRC is ORed into it.
fn is_chain(blocks: &[u32]) -> bool {
    let mut rest = blocks;
    while let Some(header) = rest.first() {
        let length = (header >> 16) as usize + 1;
        match rest.get(length..) {
            Some(others) => rest = others,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use ohci_raw::config_rom::ConfigRom;

    use super::*;

    fn rom() -> HostRom {
        HostRom::new(Eui64(0x0011_2233_4455_6677), Speed::S400)
    }

    #[test]
    fn a_host_shows_itself_as_linux_does() {
        let quadlets = rom().quadlets();
        // Those of a Linux host with Juju, of which the generation and the EUI-64 are its own.
        assert_eq!(quadlets[2], 0xf000_a222);
        assert_eq!(
            quadlets[6..11],
            [
                0x0c00_83c0,
                0x0300_1f11,
                0x8100_0003,
                0x1702_3901,
                0x8100_0008
            ]
        );
        assert_eq!(quadlets[21], 0x4a75_6a75);
        let image: Vec<Option<u32>> = quadlets.into_iter().map(Some).collect();
        let read = ConfigRom::read(&image).unwrap();
        assert!(read.warnings.is_empty(), "{:?}", read.warnings);
    }

    #[test]
    fn a_descriptor_that_is_no_chain_of_blocks_is_refused_and_changes_nothing() {
        let mut rom = rom();
        let before = rom.quadlets();
        for blocks in [
            &[0x0001_0000][..],
            &[0x0100_0000],
            &[0x0001_0000, 7, 0x0002_0000, 0],
        ] {
            let refused = rom.add(0, 0xd100_0000, blocks);
            assert_eq!(refused, Err(DescriptorError::Malformed), "{blocks:x?}");
        }
        let mut large = vec![0; 256];
        large[0] = 0x00ff_0000;
        assert_eq!(
            rom.add(0, 0xd100_0000, &large),
            Err(DescriptorError::NoRoom)
        );
        assert!(!rom.remove(0) && !rom.remove(1));
        assert_eq!(rom.quadlets(), before);
    }

    #[test]
    fn a_descriptor_stands_in_the_root_directory_until_it_is_removed() {
        let mut rom = rom();
        let before = rom.quadlets();
        let handle = rom
            .add(0x1700_0001, 0xd100_0000, &[0x0001_0000, 0x1200_609e])
            .unwrap();
        let with = rom.quadlets();
        assert_eq!(with.len(), before.len() + 4);
        assert_eq!(with[11..13], [0x1700_0001, 0xd100_000c]);
        // The pointer counts from its own place.
        assert_eq!(with[12 + 0xc + 1], 0x1200_609e);
        assert_ne!(with[2], before[2], "a new generation");
        assert!(rom.remove(handle) && !rom.remove(handle));
        let without = rom.quadlets();
        assert_eq!(without.len(), before.len());
        assert_ne!(without[2], with[2], "a new generation again");
    }
}
