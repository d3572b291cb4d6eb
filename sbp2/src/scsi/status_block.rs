//! A command's end as the SBP-2 status block carries it.
//!
//! SBP-2 annex B puts SCSI status and sense into bytes 8 to 31 of the status block (its quadlets
//! 2 to 7), so nobody has to ask with REQUEST SENSE. What the block does not carry is zero.
//!
//! | byte | content |
//! |---|---|
//! | 8 | 7:6 sfmt (0 current, 1 deferred, 3 vendor), 5:0 SCSI status |
//! | 9 | 7 valid, 6 filemark, 5 EOM, 4 ILI, 3:0 sense key |
//! | 10, 11 | ASC, ASCQ |
//! | 12–15 | information |
//! | 16–19 | command-specific information |
//! | 20 | field replaceable unit |
//! | 21–23 | sense-key specific |
//! | 24–31 | the vendor's own |
//!
//! Checked against `sbp2_status_to_sense_data` in Linux's `drivers/firewire/sbp2.c`.

use super::bytes::{array, bit_at, put, u8_at, u32_at};
use super::{AdditionalSense, Completion, Sense, SenseKey, Status};

/// Sense data in a format that SBP-2 does not define. The command did not end in a known way:
/// treat it as a transport error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("status block with sense data of the unknown format {sfmt}")]
pub struct StatusBlockError {
    /// The format, 2 or 3.
    pub sfmt: u8,
}

impl Completion {
    /// Reads the command set dependent part of a status block: what follows its first 8 bytes.
    ///
    /// Nothing at all means GOOD. Some devices send more than the header although all went well,
    /// so it is the status code that decides, not the length.
    ///
    /// # Errors
    ///
    /// Sense data in a format that SBP-2 does not define.
    pub fn from_status_block(bytes: &[u8]) -> Result<Self, StatusBlockError> {
        let sfmt = u8_at(bytes, 0) >> 6;
        if sfmt >= 2 {
            return Err(StatusBlockError { sfmt });
        }
        let status = Status(u8_at(bytes, 0) & 0x3f);
        let says_nothing = bytes.iter().skip(1).take(15).all(|byte| *byte == 0);
        if says_nothing && status != Status::CHECK_CONDITION {
            return Ok(Self::of(status));
        }
        let sense = Sense {
            deferred: sfmt == 1,
            key: SenseKey::from_low_bits(u8_at(bytes, 1)),
            code: AdditionalSense::new(u8_at(bytes, 2), u8_at(bytes, 3)),
            information: bit_at(bytes, 1, 7).then(|| u64::from(u32_at(bytes, 4))),
            filemark: bit_at(bytes, 1, 6),
            end_of_medium: bit_at(bytes, 1, 5),
            incorrect_length: bit_at(bytes, 1, 4),
            command_specific: u64::from(u32_at(bytes, 8)),
            field_replaceable_unit: u8_at(bytes, 12),
            key_specific: array(bytes, 13),
        };
        Ok(Self {
            status,
            sense: Some(sense),
        })
    }

    /// What follows the first 8 bytes of a status block: four quadlets, or `None` for GOOD, of
    /// which the header alone tells (SBP-2 B.2).
    ///
    /// Information that does not fit into its 32 bits is left out and not marked as valid. Of
    /// the status code the low six bits are sent; there is no room for more.
    #[must_use]
    pub fn to_status_block(&self) -> Option<[u8; 16]> {
        if self.is_good() && self.sense.is_none() {
            return None;
        }
        let mut bytes = [0; 16];
        bytes[0] = self.status.0 & 0x3f;
        let Some(sense) = &self.sense else {
            return Some(bytes);
        };
        bytes[0] |= u8::from(sense.deferred) << 6;
        bytes[1] = sense.marks() | sense.key as u8;
        bytes[2] = sense.code.asc;
        bytes[3] = sense.code.ascq;
        if let Some(information) = sense.information_u32() {
            bytes[1] |= 0x80;
            put(&mut bytes, 4, &information.to_be_bytes());
        }
        put(&mut bytes, 8, &sense.command_specific_u32().to_be_bytes());
        bytes[12] = sense.field_replaceable_unit;
        put(&mut bytes, 13, &sense.key_specific);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The conversion that Linux does, written down once more from the table in SBP-2 B.2.
    fn fixed_from_block(d: &[u8; 16]) -> [u8; 18] {
        let mut s = [0; 18];
        s[0] = 0x70 | d[0] >> 6 | d[1] & 0x80;
        s[2] = (d[1] << 1) & 0xe0 | d[1] & 0x0f;
        s[3..7].copy_from_slice(&d[4..8]);
        s[7] = 10;
        s[8..12].copy_from_slice(&d[8..12]);
        s[12..14].copy_from_slice(&d[2..4]);
        s[14] = d[12];
        s[15..18].copy_from_slice(&d[13..16]);
        s
    }

    fn sense() -> Sense {
        Sense {
            deferred: false,
            key: SenseKey::AbortedCommand,
            code: AdditionalSense::new(0x12, 0x34),
            information: Some(0x89ab_cdef),
            filemark: true,
            end_of_medium: true,
            incorrect_length: false,
            command_specific: 0x0102_0304,
            field_replaceable_unit: 5,
            key_specific: [0x86, 7, 8],
        }
    }

    #[test]
    fn current_and_deferred_sense_round_trip_and_agree_with_the_fixed_format() {
        for deferred in [false, true] {
            let sense = Sense {
                deferred,
                ..sense()
            };
            let completion = Completion::check(sense.clone());
            let block = completion.to_status_block().unwrap();
            assert_eq!(Completion::from_status_block(&block), Ok(completion));
            assert_eq!(fixed_from_block(&block), sense.to_fixed());
        }
    }

    #[test]
    fn good_is_the_header_alone_and_also_a_block_of_zeros() {
        assert_eq!(Completion::GOOD.to_status_block(), None);
        for length in [0, 4, 24] {
            let zeros = &[0; 24][..length];
            assert_eq!(Completion::from_status_block(zeros), Ok(Completion::GOOD));
        }
    }

    #[test]
    fn every_status_without_sense_round_trips() {
        for code in 0..0x40 {
            let completion = match Status(code) {
                Status::CHECK_CONDITION => {
                    Completion::check_with(SenseKey::NoSense, AdditionalSense::NONE)
                }
                status => Completion::of(status),
            };
            let block = completion.to_status_block();
            let bytes = block.as_ref().map_or(&[][..], |block| &block[..]);
            assert_eq!(Completion::from_status_block(bytes), Ok(completion));
        }
    }

    #[test]
    fn missing_quadlets_are_zero_and_vendor_bytes_are_left_alone() {
        let completion = Completion::check(sense());
        let block = completion.to_status_block().unwrap();
        let short = Completion::from_status_block(&block[..4]).unwrap();
        let short = short.sense.unwrap();
        assert_eq!(short.code, sense().code);
        assert_eq!(short.information, Some(0));
        let mut long = [0xaa; 24];
        long[..16].copy_from_slice(&block);
        assert_eq!(Completion::from_status_block(&long), Ok(completion));
    }

    #[test]
    fn an_unknown_format_is_an_error() {
        for sfmt in [2, 3] {
            assert_eq!(
                Completion::from_status_block(&[sfmt << 6 | 2, 0, 0, 0]),
                Err(StatusBlockError { sfmt })
            );
        }
    }
}
