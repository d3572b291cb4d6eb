use core::num::NonZeroU16;

use ohci_raw::bus::Address;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Doublet, Quadlet};

/// The longest segment that initiators in the field use (Linux's old `sbp2` and Apple): a
/// multiple of every max_payload below 64 KiB, so that no packet straddles two segments.
pub const MAX_SEGMENT: NonZeroU16 = NonZeroU16::new(0xf000).unwrap();

/// A segment of an unrestricted page table (5.2.1): 8 bytes, page_size 0 in the ORB.
#[derive(
    FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, PartialEq, Eq, Debug,
)]
#[repr(C)]
pub struct PageTableEntry {
    length: Doublet,
    base_hi: Doublet,
    base_lo: Quadlet,
}

impl PageTableEntry {
    /// `length` bytes at `base`.
    #[must_use]
    pub fn new(base: Address, length: u16) -> Self {
        Self {
            length: Doublet::new(length),
            base_hi: Doublet::new(base.hi()),
            base_lo: Quadlet::new(base.lo()),
        }
    }

    /// Where the segment starts, in the memory of the node that the data descriptor names.
    #[must_use]
    pub fn base(&self) -> Address {
        Address::new(u64::from(self.base_hi.get()) << 32 | u64::from(self.base_lo.get()))
    }

    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> u16 {
        self.length.get()
    }

    /// Cuts `length` bytes from `base` on into segments of at most [`MAX_SEGMENT`] bytes.
    pub fn segments(base: Address, length: u32) -> impl Iterator<Item = Self> {
        let step = u32::from(MAX_SEGMENT.get());
        (0..length.div_ceil(step)).map(move |index| {
            let offset = index * step;
            let bytes = u16::try_from(length - offset)
                .map_or(MAX_SEGMENT.get(), |rest| rest.min(MAX_SEGMENT.get()));
            Self::new(Address::new(base.get() + u64::from(offset)), bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn segments_cover_the_data_without_gap_or_overlap() {
        let base = Address::new(0x1_0010_0000);
        for length in [0, 1, 0xefff, 0xf000, 0xf001, 128 << 10, 1 << 20, u32::MAX] {
            let mut at = base.get();
            for entry in PageTableEntry::segments(base, length) {
                assert_eq!(entry.base().get(), at);
                assert!(entry.length() > 0 && entry.length() <= MAX_SEGMENT.get());
                at += u64::from(entry.length());
            }
            assert_eq!(at, base.get() + u64::from(length));
        }
        let table: Vec<_> = PageTableEntry::segments(base, 128 << 10).collect();
        assert_eq!(table.as_bytes()[..8], [0xf0, 0, 0, 1, 0, 0x10, 0, 0]);
        assert_eq!(table.len(), 3);
    }
}
