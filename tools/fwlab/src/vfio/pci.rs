//! PCI configuration space.
//!
//! QEMU shows the guest BARs and MSI of its own, made from what it reads here; the rest it forwards.

/// Bytes of it: conventional PCI.
pub(super) const SIZE: usize = 256;

/// Offset, reset value, bits that can be written; all other quadlets are 0 and stay so.
const REGISTERS: [(usize, u32, u32); 12] = [
    // Device and vendor: Agere's (Lucent's) FW323. The kernel's driver binds by class, but looks its
    // quirks up by these: for this controller it has none, for any of Texas Instruments' it has.
    (0x00, 0x5811_11c1, 0),
    // Status: capability list, medium DEVSEL timing. Command: memory space, bus master, write and
    // invalidate, parity, SERR#, INTx disable.
    (0x04, 0x0210_0000, 0x0000_0556),
    // Class 0c0010: serial bus, IEEE 1394, OHCI. Revision 0x61.
    (0x08, 0x0c00_1061, 0),
    // Latency timer and cache line size.
    (0x0c, 0, 0x0000_ffff),
    // BAR 0: 32-bit memory, not prefetchable, of BAR0_SIZE bytes.
    (0x10, 0, !(super::BAR0_SIZE - 1)),
    // Subsystem: the same again.
    (0x2c, 0x5811_11c1, 0),
    // First capability: MSI, below.
    (0x34, 0x50, 0),
    // Interrupt pin INTA#, interrupt line.
    (0x3c, 0x0000_0100, 0x0000_00ff),
    // OHCI 1.1, A.3.7: PCI_HCI_Control. The driver clears it.
    (0x40, 0, 0xffff_ffff),
    // MSI, the last capability: one vector, 32-bit address; enable.
    (0x50, 0x0000_0005, 0x0001_0000),
    (0x54, 0, 0xffff_fffc),
    (0x58, 0, 0x0000_ffff),
];

/// What a guest has made of the configuration space.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ConfigSpace {
    bytes: [u8; SIZE],
}

/// A quadlet at each offset of the table, little-endian, the rest 0.
const fn table(writable: bool) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let mut at = 0;
    while at < REGISTERS.len() {
        let (offset, reset, mask) = REGISTERS[at];
        let value = if writable { mask } else { reset };
        let value = value.to_le_bytes();
        let mut byte = 0;
        while byte < value.len() {
            bytes[offset + byte] = value[byte];
            byte += 1;
        }
        at += 1;
    }
    bytes
}

/// After a reset.
const RESET: [u8; SIZE] = table(false);
/// Which bits a write changes.
const WRITABLE: [u8; SIZE] = table(true);

impl ConfigSpace {
    pub(super) const fn new() -> Self {
        Self { bytes: RESET }
    }

    /// Reads at any offset, in any width. What lies behind the end reads as ones, as on a bus where
    /// nobody answers.
    pub(super) fn read(&self, offset: usize, buffer: &mut [u8]) {
        for (at, byte) in buffer.iter_mut().enumerate() {
            let from = offset.checked_add(at).and_then(|at| self.bytes.get(at));
            *byte = from.copied().unwrap_or(0xff);
        }
    }

    /// Writes those bits that can be written.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let places = self.bytes.iter_mut().zip(WRITABLE).skip(offset);
        for ((place, writable), byte) in places.zip(bytes) {
            *place = (*place & !writable) | (byte & writable);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quadlet(space: &ConfigSpace, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        space.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    #[test]
    fn a_driver_finds_what_it_looks_for() {
        let space = ConfigSpace::new();
        assert_eq!(quadlet(&space, 0x00), 0x5811_11c1);
        assert_eq!(quadlet(&space, 0x08) >> 8, 0x000c_0010);
        assert_eq!(quadlet(&space, 0x04) >> 16 & 0x10, 0x10);
        // Header type, interrupt pin.
        assert_eq!(quadlet(&space, 0x0c), 0);
        assert_eq!(quadlet(&space, 0x3c), 0x100);
        let mut capability = [0];
        space.read(0x34, &mut capability);
        let mut msi = [0; 4];
        space.read(capability[0].into(), &mut msi);
        // MSI, no next one, one vector, 32 bits, no mask bits.
        assert_eq!(msi, [5, 0, 0, 0]);
    }

    #[test]
    fn only_what_is_writable_changes() {
        let mut space = ConfigSpace::new();
        space.write(0, &[0xff; SIZE]);
        for (offset, reset, writable) in REGISTERS {
            assert_eq!(quadlet(&space, offset), reset | writable, "{offset:#x}");
        }
        // The size of BAR 0, as firmware asks for it.
        assert_eq!(quadlet(&space, 0x10), 0xffff_f000);
        space.write(0x13, &[0x00]);
        space.write(0x11, &[0x3f]);
        assert_eq!(quadlet(&space, 0x10), 0x00ff_3000);
        let changed = (0..SIZE).filter(|at| WRITABLE[*at] == 0);
        for at in changed {
            assert_eq!(space.bytes[at], RESET[at], "{at:#x}");
        }
    }

    #[test]
    fn every_offset_and_width_can_be_asked() {
        let mut space = ConfigSpace::new();
        for offset in (0..SIZE + 8).chain([usize::MAX - 1, usize::MAX]) {
            for width in 0..10 {
                let mut bytes = vec![0; width];
                space.read(offset, &mut bytes);
                space.write(offset, &bytes);
                for (at, byte) in bytes.iter().enumerate() {
                    let inside = offset.checked_add(at).filter(|at| *at < SIZE);
                    assert_eq!(*byte, inside.map_or(0xff, |at| RESET[at]));
                }
            }
        }
        assert_eq!(space, ConfigSpace::new());
    }
}
