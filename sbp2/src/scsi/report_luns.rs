use alloc::vec::Vec;

use super::bytes::length_u32;

/// REPORT LUNS data (SPC-3 6.21): the logical units of a target.
///
/// LUNs up to 255 in peripheral device addressing, the others in flat space addressing, which
/// reaches to 16383 (SAM-3 4.9); higher ones cannot be said and are left out.
#[must_use]
pub fn report_luns(luns: &[u16]) -> Vec<u8> {
    const FLAT_SPACE: u16 = 0x4000;
    let mut list = Vec::new();
    for lun in luns.iter().filter(|lun| **lun < FLAT_SPACE) {
        let first = if *lun < 256 { *lun } else { FLAT_SPACE | lun };
        list.extend_from_slice(&first.to_be_bytes());
        list.extend_from_slice(&[0; 6]);
    }
    let mut data = Vec::with_capacity(list.len().saturating_add(8));
    data.extend_from_slice(&length_u32(&list).to_be_bytes());
    data.extend_from_slice(&[0; 4]);
    data.extend_from_slice(&list);
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_are_peripheral_and_large_ones_flat() {
        let data = report_luns(&[0, 255, 256, 0x3fff, 0x4000]);
        assert_eq!(data[..8], [0, 0, 0, 32, 0, 0, 0, 0]);
        let firsts: Vec<_> = data[8..].chunks(8).map(|lun| [lun[0], lun[1]]).collect();
        assert_eq!(firsts, [[0, 0], [0, 255], [0x41, 0], [0x7f, 0xff]]);
    }
}
