//! Which bits of a command a device server of ours looks at.
//!
//! The same table that a disk returns as CDB usage data (SPC-3 6.23.3): a set bit may be set by
//! the initiator, all others must be zero.

use super::opcode::*;
use crate::scsi::bytes::u8_at;

/// A field of a command that the device server does not take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidField {
    /// The byte of the command.
    pub byte: u8,
    /// The most significant bit of the field in that byte.
    pub bit: u8,
}

/// Bits of the control byte that may be set: the vendor's. NACA and LINK may not.
const CONTROL: u8 = 0xc0;
/// SCSI-2 kept the logical unit number in the upper bits of byte 1, and initiators that take a
/// device for a SCSI-2 one still put it there.
const LUN: u8 = 0xe0;
/// Group numbers may be set and mean nothing here.
const GROUP: u8 = 0x1f;
/// DPO and FUA. RDPROTECT, RELADR and the rest may not be set.
const ACCESS: u8 = 0x18;

type Mask = &'static [u8];
const TEST_UNIT_READY_BITS: Mask = &[0xff, LUN, 0, 0, 0, CONTROL];
const REQUEST_SENSE_BITS: Mask = &[0xff, LUN | 1, 0, 0, 0xff, CONTROL];
const TRANSFER_6: Mask = &[0xff, 0xff, 0xff, 0xff, 0xff, CONTROL];
const INQUIRY_BITS: Mask = &[0xff, LUN | 1, 0xff, 0xff, 0xff, CONTROL];
const MODE_SENSE_6_BITS: Mask = &[0xff, LUN | 8, 0xff, 0xff, 0xff, CONTROL];
const MODE_SENSE_10_BITS: Mask = &[0xff, LUN | 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, CONTROL];
const START_STOP_UNIT_BITS: Mask = &[0xff, LUN | 1, 0, 0, 0xf3, CONTROL];
const READ_CAPACITY_10_BITS: Mask = &[0xff, LUN, 0, 0, 0, 0, 0, 0, 0, CONTROL];
const TRANSFER_10: Mask = &transfer_10(ACCESS);
const VERIFY_10_BITS: Mask = &transfer_10(0x16);
const SYNCHRONIZE_CACHE_10_BITS: Mask = &transfer_10(LUN | 2);
const TRANSFER_16: Mask = &long(ACCESS, 0xff, GROUP);
const SYNCHRONIZE_CACHE_16_BITS: Mask = &long(2, 0xff, GROUP);
const READ_CAPACITY_16_BITS: Mask = &long(0x1f, 0, 0);
const REPORT_LUNS_BITS: Mask = &[0xff, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, CONTROL];

const fn transfer_10(flags: u8) -> [u8; 10] {
    [
        0xff, flags, 0xff, 0xff, 0xff, 0xff, GROUP, 0xff, 0xff, CONTROL,
    ]
}

const fn long(flags: u8, lba: u8, group: u8) -> [u8; 16] {
    [
        0xff, flags, lba, lba, lba, lba, lba, lba, lba, lba, 0xff, 0xff, 0xff, 0xff, group, CONTROL,
    ]
}

/// The bits that may be set in a known command; as many bytes as the command has.
fn mask(cdb: &[u8]) -> Option<Mask> {
    Some(match u8_at(cdb, 0) {
        TEST_UNIT_READY => TEST_UNIT_READY_BITS,
        REQUEST_SENSE => REQUEST_SENSE_BITS,
        READ_6 | WRITE_6 => TRANSFER_6,
        INQUIRY => INQUIRY_BITS,
        MODE_SENSE_6 => MODE_SENSE_6_BITS,
        START_STOP_UNIT => START_STOP_UNIT_BITS,
        READ_CAPACITY_10 => READ_CAPACITY_10_BITS,
        READ_10 | WRITE_10 => TRANSFER_10,
        VERIFY_10 => VERIFY_10_BITS,
        SYNCHRONIZE_CACHE_10 => SYNCHRONIZE_CACHE_10_BITS,
        MODE_SENSE_10 => MODE_SENSE_10_BITS,
        READ_16 | WRITE_16 => TRANSFER_16,
        SYNCHRONIZE_CACHE_16 => SYNCHRONIZE_CACHE_16_BITS,
        SERVICE_ACTION_IN_16 if u8_at(cdb, 1) & 0x1f == READ_CAPACITY_16 => READ_CAPACITY_16_BITS,
        REPORT_LUNS => REPORT_LUNS_BITS,
        _ => return None,
    })
}

/// The length of a known command in bytes.
pub(super) fn length(cdb: &[u8]) -> Option<usize> {
    mask(cdb).map(<[u8]>::len)
}

/// Checks that no bit is set that the command does not define or this device server does not
/// take. Commands that it does not know pass: they are refused as such.
///
/// # Errors
///
/// The first field with such a bit.
pub fn check_usage(cdb: &[u8]) -> Result<(), InvalidField> {
    let Some(mask) = mask(cdb) else {
        return Ok(());
    };
    for (byte, (given, allowed)) in (0_u8..).zip(cdb.iter().zip(mask)) {
        if let Some(bit) = (given & !allowed).checked_ilog2() {
            // A bit number of a byte.
            let bit = bit as u8;
            return Err(InvalidField { byte, bit });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reladr_rdprotect_link_and_naca_are_refused_where_they_stand() {
        let read = |byte: usize, bits: u8| {
            let mut cdb = [0x28, 0x18, 1, 2, 3, 4, 0x1f, 5, 6, 0xc0, 0xff, 0xff];
            cdb[byte] |= bits;
            check_usage(&cdb)
        };
        assert_eq!(read(1, 0), Ok(()), "what lies behind the command is not it");
        assert_eq!(read(1, 0x01), Err(InvalidField { byte: 1, bit: 0 }));
        assert_eq!(read(1, 0x60), Err(InvalidField { byte: 1, bit: 6 }));
        assert_eq!(read(9, 0x01), Err(InvalidField { byte: 9, bit: 0 }));
        assert_eq!(read(9, 0x04), Err(InvalidField { byte: 9, bit: 2 }));
    }

    #[test]
    fn a_scsi_2_logical_unit_number_is_let_pass() {
        assert_eq!(check_usage(&[TEST_UNIT_READY, 0x20, 0, 0, 0, 0]), Ok(()));
        assert_eq!(check_usage(&[INQUIRY, 0xe0, 0, 0, 36, 0]), Ok(()));
    }

    #[test]
    fn each_command_has_the_length_that_its_group_code_says() {
        for opcode in 0..=0xff {
            let cdb = [opcode, READ_CAPACITY_16];
            let by_group = match opcode >> 5 {
                0 => 6,
                1 | 2 => 10,
                4 => 16,
                5 => 12,
                _ => {
                    assert_eq!(length(&cdb), None);
                    continue;
                }
            };
            assert!(
                length(&cdb).is_none_or(|length| length == by_group),
                "{opcode:#x}"
            );
        }
    }
}
