use crate::bus::Speed;

/// Quadlet 2 of the bus information block (IEEE 1394-1995 8.3.2.5.4, IEEE 1394a-2000 8.3.2.5.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BusOptions {
    /// Can be isochronous resource manager.
    pub irmc: bool,
    /// Can be cycle master.
    pub cmc: bool,
    /// Can send or receive isochronous packets.
    pub isc: bool,
    /// Can be bus manager.
    pub bmc: bool,
    /// Can be power manager.
    pub pmc: bool,
    /// Accuracy of the cycle clock in parts per million; 255 where the node has none.
    pub cyc_clk_acc: u8,
    /// Code of the largest asynchronous payload that the node takes, 0..=15: see
    /// [`BusOptions::max_rec_bytes`].
    pub max_rec: u8,
    /// Which block reads of the ROM the node answers, 0..=3: 0 quadlets only, 1 up to 64 bytes,
    /// 2 up to 1024 bytes.
    pub max_rom: u8,
    /// Changes when the ROM's contents change, 0..=15; 0 in nodes older than IEEE 1394a.
    pub generation: u8,
    /// Code of the link layer's speed, 0..=7. Some firmware understates it.
    pub link_spd: u8,
}

impl BusOptions {
    /// The fields of the quadlet. Reserved bits are not kept.
    #[must_use]
    pub const fn from_quadlet(quadlet: u32) -> Self {
        let bytes = quadlet.to_be_bytes();
        Self {
            irmc: bytes[0] & 0x80 != 0,
            cmc: bytes[0] & 0x40 != 0,
            isc: bytes[0] & 0x20 != 0,
            bmc: bytes[0] & 0x10 != 0,
            pmc: bytes[0] & 0x08 != 0,
            cyc_clk_acc: bytes[1],
            max_rec: bytes[2] >> 4,
            max_rom: bytes[2] & 0x03,
            generation: bytes[3] >> 4,
            link_spd: bytes[3] & 0x07,
        }
    }

    /// The quadlet. Of fields narrower than their type the low bits are taken.
    #[must_use]
    pub const fn to_quadlet(self) -> u32 {
        u32::from_be_bytes([
            (self.irmc as u8) << 7
                | (self.cmc as u8) << 6
                | (self.isc as u8) << 5
                | (self.bmc as u8) << 4
                | (self.pmc as u8) << 3,
            self.cyc_clk_acc,
            self.max_rec << 4 | self.max_rom & 0x03,
            self.generation << 4 | self.link_spd & 0x07,
        ])
    }

    /// The largest asynchronous payload in bytes that the node takes, 2^(max_rec + 1).
    ///
    /// `None` for 0, which means "not specified", and for 14 and 15, which are reserved.
    /// It says nothing about the packets of an SBP-2 target, which requests its data itself:
    /// Oxford bridges say 64 bytes and move 2048.
    #[must_use]
    pub const fn max_rec_bytes(self) -> Option<u32> {
        match self.max_rec {
            code @ 1..=13 => Some(2 << code),
            _ => None,
        }
    }

    /// The speed of the link layer; `None` for the reserved codes 6 and 7.
    #[must_use]
    pub fn speed(self) -> Option<Speed> {
        Speed::from_code(self.link_spd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_place() {
        let options = BusOptions::from_quadlet(0x5064_b253);
        let expected = BusOptions {
            irmc: false,
            cmc: true,
            isc: false,
            bmc: true,
            pmc: false,
            cyc_clk_acc: 100,
            max_rec: 11,
            max_rom: 2,
            generation: 5,
            link_spd: 3,
        };
        assert_eq!(options, expected);
        assert_eq!(options.to_quadlet(), 0x5064_b253);
        assert!(BusOptions::from_quadlet(0x8000_0000).irmc);
        assert!(BusOptions::from_quadlet(0x2000_0000).isc);
        assert!(BusOptions::from_quadlet(0x0800_0000).pmc);
    }

    #[test]
    fn max_rec_counts_in_powers_of_two_and_0_is_not_specified() {
        let bytes = |max_rec| {
            BusOptions {
                max_rec,
                ..BusOptions::default()
            }
            .max_rec_bytes()
        };
        assert_eq!(bytes(0), None);
        assert_eq!(bytes(5), Some(64));
        assert_eq!(bytes(8), Some(512));
        assert_eq!(bytes(13), Some(16384));
        assert_eq!(bytes(14), None);
    }
}
