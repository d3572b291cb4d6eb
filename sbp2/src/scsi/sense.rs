use core::fmt;

use super::bytes::{array, bit_at, put, u8_at, u16_at, u32_at, u64_at};
use super::{AdditionalSense, InvalidField};

/// What kind of thing is to be told (SPC-3 4.5.6, table 27). All 16 values of the field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum SenseKey {
    /// Nothing.
    NoSense = 0x0,
    /// Done, but the device had to work for it.
    RecoveredError = 0x1,
    /// Cannot be accessed now.
    NotReady = 0x2,
    /// The medium is at fault.
    MediumError = 0x3,
    /// The device is at fault.
    HardwareError = 0x4,
    /// The command is at fault.
    IllegalRequest = 0x5,
    /// Something happened that this initiator has to know before it goes on, such as a reset.
    UnitAttention = 0x6,
    /// The block is protected.
    DataProtect = 0x7,
    /// Blank medium where data was expected, or the reverse.
    BlankCheck = 0x8,
    /// The vendor's own.
    VendorSpecific = 0x9,
    /// A copy command failed.
    CopyAborted = 0xa,
    /// The device gave the command up; trying again may help.
    AbortedCommand = 0xb,
    /// SEARCH DATA found it; obsolete since SPC-2.
    Equal = 0xc,
    /// Data is left in a buffer because the medium is full.
    VolumeOverflow = 0xd,
    /// The data compared is not the data on the medium.
    Miscompare = 0xe,
    /// Completed (SPC-4); reserved before.
    Completed = 0xf,
}

impl SenseKey {
    /// The key in the low four bits of `byte`.
    #[must_use]
    pub const fn from_low_bits(byte: u8) -> Self {
        match byte & 0xf {
            0x0 => Self::NoSense,
            0x1 => Self::RecoveredError,
            0x2 => Self::NotReady,
            0x3 => Self::MediumError,
            0x4 => Self::HardwareError,
            0x5 => Self::IllegalRequest,
            0x6 => Self::UnitAttention,
            0x7 => Self::DataProtect,
            0x8 => Self::BlankCheck,
            0x9 => Self::VendorSpecific,
            0xa => Self::CopyAborted,
            0xb => Self::AbortedCommand,
            0xc => Self::Equal,
            0xd => Self::VolumeOverflow,
            0xe => Self::Miscompare,
            _ => Self::Completed,
        }
    }

    /// The standard's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSense => "NO SENSE",
            Self::RecoveredError => "RECOVERED ERROR",
            Self::NotReady => "NOT READY",
            Self::MediumError => "MEDIUM ERROR",
            Self::HardwareError => "HARDWARE ERROR",
            Self::IllegalRequest => "ILLEGAL REQUEST",
            Self::UnitAttention => "UNIT ATTENTION",
            Self::DataProtect => "DATA PROTECT",
            Self::BlankCheck => "BLANK CHECK",
            Self::VendorSpecific => "VENDOR SPECIFIC",
            Self::CopyAborted => "COPY ABORTED",
            Self::AbortedCommand => "ABORTED COMMAND",
            Self::Equal => "EQUAL",
            Self::VolumeOverflow => "VOLUME OVERFLOW",
            Self::Miscompare => "MISCOMPARE",
            Self::Completed => "COMPLETED",
        }
    }
}

impl fmt::Display for SenseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Sense data: why a command ended as it did.
///
/// The meaning apart from its three encodings: fixed format ([`Sense::to_fixed`]), descriptor
/// format, and the SBP-2 status block
/// ([`Completion::to_status_block`](super::Completion::to_status_block)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sense {
    /// It speaks of an earlier command, one that has already been reported as done.
    pub deferred: bool,
    /// What kind of thing is to be told.
    pub key: SenseKey,
    /// What it is.
    pub code: AdditionalSense,
    /// The device said that the information is valid. For a disk: the LBA concerned.
    pub information: Option<u64>,
    /// A filemark was met (tapes).
    pub filemark: bool,
    /// The end of the medium was met (tapes).
    pub end_of_medium: bool,
    /// The block did not have the length asked for.
    pub incorrect_length: bool,
    /// What it is depends on the command.
    pub command_specific: u64,
    /// Which field replaceable unit has failed, 0 for none.
    pub field_replaceable_unit: u8,
    /// What it is depends on the key; its most significant bit says whether it is valid.
    pub key_specific: [u8; 3],
}

/// Bytes that are no sense data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SenseError {
    /// Too few bytes to hold a sense key.
    #[error("sense data of {0} bytes is too short to hold a sense key")]
    Truncated(usize),
    /// Neither fixed nor descriptor format.
    #[error("sense data with the unknown response code {0:#04x}")]
    UnknownResponseCode(u8),
}

/// Bytes of the fixed format that this crate writes: up to the sense-key specific bytes.
const FIXED_LENGTH: usize = 18;

impl Sense {
    /// Nothing but a key and a code.
    #[must_use]
    pub const fn new(key: SenseKey, code: AdditionalSense) -> Self {
        Self {
            deferred: false,
            key,
            code,
            information: None,
            filemark: false,
            end_of_medium: false,
            incorrect_length: false,
            command_specific: 0,
            field_replaceable_unit: 0,
            key_specific: [0; 3],
        }
    }

    /// The same with information, for a disk the LBA concerned.
    #[must_use]
    pub const fn with_information(self, information: u64) -> Self {
        Self {
            information: Some(information),
            ..self
        }
    }

    /// ILLEGAL REQUEST, invalid field in CDB, with a pointer to the field (SPC-3 4.5.2.4.2).
    #[must_use]
    pub const fn invalid_field(field: InvalidField) -> Self {
        const VALID: u8 = 0x80;
        const IN_CDB: u8 = 0x40;
        const BIT_POINTER_VALID: u8 = 0x08;
        let first = VALID | IN_CDB | BIT_POINTER_VALID | field.bit & 7;
        Self {
            key_specific: [first, 0, field.byte],
            ..Self::new(
                SenseKey::IllegalRequest,
                AdditionalSense::INVALID_FIELD_IN_CDB,
            )
        }
    }

    /// Reads sense data of either format, current or deferred.
    ///
    /// # Errors
    ///
    /// Fewer bytes than it takes to say a sense key, or an unknown format. What is cut off
    /// behind the key counts as zero.
    pub fn parse(bytes: &[u8]) -> Result<Self, SenseError> {
        let response_code = u8_at(bytes, 0) & 0x7f;
        let deferred = response_code & 1 == 1;
        match (response_code, bytes.len()) {
            (_, length @ 0..3) => Err(SenseError::Truncated(length)),
            (0x70 | 0x71, _) => Ok(Self::parse_fixed(bytes, deferred)),
            (0x72 | 0x73, _) => Ok(Self::parse_descriptors(bytes, deferred)),
            (code, _) => Err(SenseError::UnknownResponseCode(code)),
        }
    }

    /// SPC-3 4.5.3.
    fn parse_fixed(bytes: &[u8], deferred: bool) -> Self {
        // Byte 7 counts what follows it; a device may hand over a longer buffer.
        let used = 8 + usize::from(u8_at(bytes, 7));
        let bytes = bytes.get(..used).unwrap_or(bytes);
        Self {
            deferred,
            key: SenseKey::from_low_bits(u8_at(bytes, 2)),
            code: AdditionalSense::new(u8_at(bytes, 12), u8_at(bytes, 13)),
            information: bit_at(bytes, 0, 7).then(|| u64::from(u32_at(bytes, 3))),
            filemark: bit_at(bytes, 2, 7),
            end_of_medium: bit_at(bytes, 2, 6),
            incorrect_length: bit_at(bytes, 2, 5),
            command_specific: u64::from(u32_at(bytes, 8)),
            field_replaceable_unit: u8_at(bytes, 14),
            key_specific: array(bytes, 15),
        }
    }

    /// SPC-3 4.5.2.
    fn parse_descriptors(bytes: &[u8], deferred: bool) -> Self {
        let mut sense = Self::new(
            SenseKey::from_low_bits(u8_at(bytes, 1)),
            AdditionalSense::new(u8_at(bytes, 2), u8_at(bytes, 3)),
        );
        sense.deferred = deferred;
        let used = 8 + usize::from(u8_at(bytes, 7));
        let bytes = bytes.get(..used).unwrap_or(bytes);
        let mut rest = bytes.get(8..).unwrap_or(&[]);
        while let [kind, length, ..] = *rest {
            let end = 2 + usize::from(length);
            let descriptor = rest.get(..end).unwrap_or(rest);
            match kind {
                0x00 if bit_at(descriptor, 2, 7) => {
                    sense.information = Some(u64_at(descriptor, 4));
                }
                0x01 => sense.command_specific = u64_at(descriptor, 4),
                0x02 => sense.key_specific = array(descriptor, 4),
                0x03 => sense.field_replaceable_unit = u8_at(descriptor, 3),
                0x04 => {
                    sense.filemark = bit_at(descriptor, 3, 7);
                    sense.end_of_medium = bit_at(descriptor, 3, 6);
                }
                0x05 => sense.incorrect_length = bit_at(descriptor, 3, 5),
                _ => {}
            }
            rest = rest.get(end..).unwrap_or(&[]);
        }
        sense
    }

    /// Fixed format (SPC-3 4.5.3).
    ///
    /// Information that does not fit into its 32 bits is left out and not marked as valid, as
    /// the standard demands.
    #[must_use]
    pub fn to_fixed(&self) -> [u8; FIXED_LENGTH] {
        let mut bytes = [0; FIXED_LENGTH];
        bytes[0] = 0x70 | u8::from(self.deferred);
        if let Some(information) = self.information_u32() {
            bytes[0] |= 0x80;
            put(&mut bytes, 3, &information.to_be_bytes());
        }
        bytes[2] = self.marks() << 1 | self.key as u8;
        bytes[7] = 10;
        put(&mut bytes, 8, &self.command_specific_u32().to_be_bytes());
        bytes[12] = self.code.asc;
        bytes[13] = self.code.ascq;
        bytes[14] = self.field_replaceable_unit;
        put(&mut bytes, 15, &self.key_specific);
        bytes
    }

    /// The information, if it is valid and fits into the 32 bits that fixed format and status
    /// block have for it.
    pub(super) fn information_u32(&self) -> Option<u32> {
        self.information.and_then(|lba| u32::try_from(lba).ok())
    }

    /// The command-specific information, 0 if it does not fit.
    pub(super) fn command_specific_u32(&self) -> u32 {
        u32::try_from(self.command_specific).unwrap_or(0)
    }

    /// Filemark, end of medium and incorrect length, as bits 6 to 4.
    pub(super) fn marks(&self) -> u8 {
        u8::from(self.filemark) << 6
            | u8::from(self.end_of_medium) << 5
            | u8::from(self.incorrect_length) << 4
    }

    /// The byte of the command that the sense data points at, if it does (SPC-3 4.5.2.4.2).
    #[must_use]
    pub fn field_pointer(&self) -> Option<u16> {
        let points_into_cdb = self.key_specific[0] & 0xc0 == 0xc0;
        (self.key == SenseKey::IllegalRequest && points_into_cdb)
            .then(|| u16_at(&self.key_specific, 1))
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.deferred {
            f.write_str("deferred ")?;
        }
        write!(f, "{}, {}", self.key, self.code)?;
        if let Some(information) = self.information {
            write!(f, ", information {information:#x}")?;
        }
        if let Some(byte) = self.field_pointer() {
            write!(f, ", at byte {byte} of the command")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Sense {
        Sense {
            deferred: true,
            key: SenseKey::MediumError,
            code: AdditionalSense::UNRECOVERED_READ_ERROR,
            information: Some(0x1234_5678),
            filemark: true,
            end_of_medium: false,
            incorrect_length: true,
            command_specific: 0x9abc_def0,
            field_replaceable_unit: 7,
            key_specific: [0x80, 1, 2],
        }
    }

    #[test]
    fn fixed_format_is_laid_out_as_in_spc_and_comes_back() {
        let bytes = everything().to_fixed();
        assert_eq!(
            bytes,
            [
                0xf1, 0, 0xa3, 0x12, 0x34, 0x56, 0x78, 10, 0x9a, 0xbc, 0xde, 0xf0, 0x11, 0, 7,
                0x80, 1, 2
            ]
        );
        assert_eq!(Sense::parse(&bytes), Ok(everything()));
    }

    #[test]
    fn information_beyond_32_bits_is_not_marked_valid_in_fixed_format() {
        let sense = everything().with_information(1 << 32);
        let bytes = sense.to_fixed();
        assert_eq!(bytes[0], 0x71);
        assert_eq!(bytes[3..7], [0; 4]);
    }

    #[test]
    fn descriptor_format_is_read() {
        let bytes = [
            0x73, 0x03, 0x11, 0x00, 0, 0, 0, 36, // header
            0x00, 0x0a, 0x80, 0, 0, 0, 0, 9, 0x12, 0x34, 0x56, 0x78, // information
            0x02, 0x06, 0, 0, 0x80, 1, 2, 0, // sense-key specific
            0x03, 0x02, 0, 7, // field replaceable unit
            0x77, 0x02, 0xff, 0xff, // unknown
            0x04, 0x02, 0, 0x80, 0x05, 0x02, 0, 0x20, // marks
        ];
        let expected = Sense {
            command_specific: 0,
            ..everything()
        }
        .with_information(0x9_1234_5678);
        assert_eq!(Sense::parse(&bytes), Ok(expected));
    }

    #[test]
    fn what_is_cut_off_counts_as_zero_and_less_than_a_key_is_an_error() {
        let bytes = everything().to_fixed();
        for length in 0..bytes.len() {
            let parsed = Sense::parse(&bytes[..length]);
            assert_eq!(parsed.is_ok(), length >= 3, "{length} bytes: {parsed:?}");
        }
        assert_eq!(Sense::parse(&[]), Err(SenseError::Truncated(0)));
        assert_eq!(
            Sense::parse(&[0x7f, 0, 0, 0]),
            Err(SenseError::UnknownResponseCode(0x7f))
        );
    }

    #[test]
    fn an_invalid_field_is_pointed_at() {
        let sense = Sense::invalid_field(InvalidField { byte: 8, bit: 3 });
        assert_eq!(sense.field_pointer(), Some(8));
        assert_eq!(sense.key_specific, [0xcb, 0, 8]);
    }

    #[test]
    fn each_key_keeps_its_number() {
        for number in 0..16 {
            assert_eq!(SenseKey::from_low_bits(number | 0xf0) as u8, number);
        }
    }
}
