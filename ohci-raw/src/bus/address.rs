use core::fmt;

/// A 48-bit offset into a node's address space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u64);

impl Address {
    /// The highest address of a node.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// The address at `offset`; bits above 47 are dropped, as on the wire.
    #[must_use]
    pub const fn new(offset: u64) -> Self {
        Self(offset & Self::MAX.0)
    }

    /// The offset as a number below 2^48.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address `bytes` further on, or `None` past the end of the address space.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) if sum <= Self::MAX.0 => Some(Self(sum)),
            _ => None,
        }
    }

    /// Bits 47:32, the half that shares a quadlet with the node id in SBP-2 pointers.
    #[must_use]
    pub const fn hi(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// Bits 31:0.
    #[must_use]
    pub const fn lo(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Address {
    /// The notation of `nosy-dump`: twelve digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The start of an [`AddressRange`] and its length do not fit into 48 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{length} bytes from {start} pass the end of the address space")]
pub struct RangeError {
    /// Where the range was to start.
    pub start: Address,
    /// How many bytes it was to have.
    pub length: u64,
}

/// Consecutive addresses of one node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AddressRange {
    start: Address,
    length: u64,
}

impl AddressRange {
    /// `length` bytes from `start`.
    ///
    /// # Errors
    /// [`RangeError`] where the range would pass the end of the 48-bit address space.
    pub const fn new(start: Address, length: u64) -> Result<Self, RangeError> {
        match start.get().checked_add(length) {
            Some(end) if end <= Address::MAX.get() + 1 => Ok(Self { start, length }),
            _ => Err(RangeError { start, length }),
        }
    }

    /// The first address.
    #[must_use]
    pub const fn start(self) -> Address {
        self.start
    }

    /// How many bytes.
    #[must_use]
    pub const fn length(self) -> u64 {
        self.length
    }

    /// The address after the last one, at most 2^48.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.start.get() + self.length
    }

    /// Whether no address belongs to it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.length == 0
    }

    /// Where an access of `length` bytes at `address` lies in this range, or `None` unless it
    /// lies inside as a whole.
    #[must_use]
    pub const fn offset_of(self, address: Address, length: u64) -> Option<u64> {
        match address.get().checked_sub(self.start.get()) {
            Some(offset) if offset < self.length && length <= self.length - offset => Some(offset),
            _ => None,
        }
    }

    /// Whether any address belongs to both.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.length > 0
            && other.length > 0
            && self.start.get() < other.end()
            && other.start.get() < self.end()
    }
}

/// Addresses that IEEE 1212 and IEEE 1394 fix for every node.
pub mod csr {
    use super::{Address, AddressRange};

    /// Where the register space starts; offsets in configuration ROMs count from here.
    pub const REGISTER_SPACE: Address = Address::new(0xffff_f000_0000);
    /// RESET_START: a write makes the node forget its state.
    pub const RESET_START: Address = Address::new(0xffff_f000_000c);
    /// SPLIT_TIMEOUT_HI and _LO, how long the node waits for a response.
    pub const SPLIT_TIMEOUT: Address = Address::new(0xffff_f000_0018);
    /// BUSY_TIMEOUT, how often the node repeats a packet that was answered with ack_busy.
    pub const BUSY_TIMEOUT: Address = Address::new(0xffff_f000_0210);
    /// The configuration ROM, 1 KiB.
    pub const CONFIG_ROM: Address = Address::new(0xffff_f000_0400);
    /// How many bytes the window of the configuration ROM has.
    pub const CONFIG_ROM_LENGTH: u64 = 0x400;
    /// Where the two quadlets of a node's EUI-64 can be read.
    pub const EUI64: Address = Address::new(0xffff_f000_040c);
    /// Where a Linux client may be given addresses (`fw_high_memory_region` in
    /// `drivers/firewire/core-transaction.c`). Below lies what the controller serves by DMA.
    pub const HIGH_MEMORY: AddressRange = AddressRange {
        start: Address::new(0x1_0000_0000),
        length: 0xffff_e000_0000 - 0x1_0000_0000,
    };
    /// The part of [`HIGH_MEMORY`] in which an OHCI controller acknowledges writes as complete
    /// before software has seen them ("posted"), so that no error can be reported to the writer.
    pub const POSTED_WRITES: AddressRange = AddressRange {
        start: Address::new(0x1_0000_0000),
        length: 0xffff_0000_0000 - 0x1_0000_0000,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_lies_inside_as_a_whole_or_not_at_all() {
        let range = AddressRange::new(Address::new(0x1000), 0x100).unwrap();
        assert_eq!(range.offset_of(Address::new(0x1000), 0x100), Some(0));
        assert_eq!(range.offset_of(Address::new(0x10fc), 4), Some(0xfc));
        assert_eq!(range.offset_of(Address::new(0x10fc), 8), None);
        assert_eq!(range.offset_of(Address::new(0x0ffc), 8), None);
        assert_eq!(range.offset_of(Address::new(0x1100), 0), None);
        assert_eq!(range.offset_of(Address::new(0x1000), u64::MAX), None);
    }

    #[test]
    fn the_address_space_ends_at_48_bits() {
        assert!(AddressRange::new(Address::MAX, 1).is_ok());
        assert!(AddressRange::new(Address::MAX, 2).is_err());
        assert!(AddressRange::new(Address::MAX, u64::MAX).is_err());
        assert_eq!(Address::MAX.checked_add(1), None);
        assert_eq!(
            Address::new(0x1_ffff_0000_0000),
            Address::new(0xffff_0000_0000)
        );
    }

    #[test]
    fn neighbours_do_not_overlap() {
        let a = AddressRange::new(Address::new(0x1000), 0x100).unwrap();
        let b = AddressRange::new(Address::new(0x1100), 0x100).unwrap();
        let c = AddressRange::new(Address::new(0x10ff), 2).unwrap();
        assert!(!a.overlaps(b));
        assert!(a.overlaps(c) && c.overlaps(b));
    }
}
