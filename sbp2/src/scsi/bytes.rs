//! Reading and writing big-endian numbers at an offset.
//!
//! What lies beyond the end reads as zero: SBP-2 does not tell how many bytes of parameter data
//! a target wrote, so data that is short and data that ends in zeros are the same thing.

/// `N` bytes from `offset` on.
pub(super) fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes.iter().skip(offset)) {
        *to = *from;
    }
    out
}

pub(super) fn u8_at(bytes: &[u8], offset: usize) -> u8 {
    bytes.get(offset).copied().unwrap_or(0)
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes(array(bytes, offset))
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_be_bytes(array(bytes, offset))
}

pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_be_bytes(array(bytes, offset))
}

/// Whether bit `bit` (7 is the most significant) of the byte at `offset` is set.
pub(super) fn bit_at(bytes: &[u8], offset: usize, bit: u8) -> bool {
    u8_at(bytes, offset) >> bit & 1 == 1
}

/// Copies `value` to `offset`; what does not fit is left out.
pub(super) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(offset).zip(value) {
        *to = *from;
    }
}

/// A length that the formats below bound far under 2^32.
pub(super) fn length_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
