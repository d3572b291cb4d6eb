/// The CRC of IEEE 1212 7.2: polynomial x^16 + x^12 + x^5 + 1, start value 0, most significant
/// bit first, over the quadlets as they cross the bus. Known elsewhere as CRC-16/XMODEM.
#[must_use]
pub fn crc16(quadlets: &[u32]) -> u16 {
    let bytes = quadlets.iter().flat_map(|quadlet| quadlet.to_be_bytes());
    bytes.fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc: u16, _| {
            let feedback = if crc & 0x8000 == 0 { 0 } else { 0x1021 };
            crc << 1 ^ feedback
        })
    })
}

/// The CRC of a block, as the ROM has it and as it should be.
///
/// Many devices ship wrong ones, and no operating system checks them, so a wrong CRC says
/// something about the firmware and nothing about the bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crc {
    /// What the ROM has.
    pub stored: u16,
    /// What the block's contents give; `None` where some of them are unknown.
    pub computed: Option<u16>,
}

impl Crc {
    /// The CRC in a block's header against that of the block's contents.
    #[must_use]
    pub fn check(stored: u16, contents: Option<&[u32]>) -> Self {
        Self {
            stored,
            computed: contents.map(crc16),
        }
    }

    /// Whether the two agree; `None` where that cannot be told.
    #[must_use]
    pub fn ok(self) -> Option<bool> {
        self.computed.map(|computed| computed == self.stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_real_devices_have_the_crc_that_they_carry() {
        let oxfw911_root = [
            0x0c00_83c0,
            0x0300_30e0,
            0x8100_0014,
            0x0400_f911,
            0x8100_001d,
            0xd100_0001,
        ];
        assert_eq!(crc16(&oxfw911_root), 0xf1b3);
        let nikon_bus_info = [0x3133_3934, 0x00ff_5012, 0x0090_b540, 0x01ff_ffff];
        assert_eq!(crc16(&nikon_bus_info), 0x5343);
        assert_eq!(crc16(&[0, 0, 0x4a75_6a75]), 0xff1c);
        assert_eq!(crc16(&[]), 0);
    }

    #[test]
    fn an_unknown_quadlet_leaves_the_crc_undecided() {
        assert_eq!(Crc::check(0xff1c, None).ok(), None);
        assert_eq!(
            Crc::check(0xff1c, Some(&[0, 0, 0x4a75_6a75])).ok(),
            Some(true)
        );
        assert_eq!(
            Crc::check(0xff1d, Some(&[0, 0, 0x4a75_6a75])).ok(),
            Some(false)
        );
    }
}
