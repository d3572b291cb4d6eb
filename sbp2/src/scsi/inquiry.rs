use core::fmt;

use super::Text;
use super::bytes::{array, bit_at, put, u8_at};

/// The peripheral device type (SPC-3 6.4.2, table 83); also bits 20:16 of a Logical_Unit_Number
/// entry of an SBP-2 unit directory. Unknown types are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceType(pub u8);

impl DeviceType {
    /// A disk with the full command set (SBC).
    pub const DISK: Self = Self(0x00);
    /// A CD or DVD drive (MMC).
    pub const CD_DVD: Self = Self(0x05);
    /// An optical disk with the SBC command set.
    pub const OPTICAL: Self = Self(0x07);
    /// A disk with the reduced command set (RBC).
    pub const SIMPLIFIED_DISK: Self = Self(0x0e);
    /// Nothing is known, or nothing is there.
    pub const UNKNOWN: Self = Self(0x1f);

    /// Whether this crate's disk commands are made for it.
    #[must_use]
    pub const fn is_disk(self) -> bool {
        matches!(self, Self::DISK | Self::SIMPLIFIED_DISK)
    }

    /// What it is, in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0x00 => "disk",
            0x01 => "tape",
            0x02 => "printer",
            0x03 => "processor",
            0x04 => "write-once disk",
            0x05 => "CD/DVD",
            0x06 => "scanner",
            0x07 => "optical disk",
            0x08 => "medium changer",
            0x0c => "storage array",
            0x0d => "enclosure services",
            0x0e => "simplified disk (RBC)",
            0x0f => "optical card",
            0x11 => "object storage",
            0x1f => "unknown or none",
            _ => "reserved type",
        }
    }
}

impl fmt::Display for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#04x})", self.name(), self.0)
    }
}

impl fmt::Debug for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Standard INQUIRY data (SPC-3 6.4.2): what a logical unit says of itself to anybody, at any
/// time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StandardInquiry {
    /// 0: the type is there. 1: it could be, and is not. 3: it cannot be.
    pub qualifier: u8,
    /// What it is.
    pub device_type: DeviceType,
    /// The medium can be taken out.
    pub removable: bool,
    /// The standard it claims: 2 SCSI-2, 3 SPC, 4 SPC-2, 5 SPC-3, 6 SPC-4, 0 none.
    pub version: u8,
    /// Who made it. Bridges may leave the texts empty; the configuration ROM has better ones.
    pub vendor: Text<8>,
    /// What it is called.
    pub product: Text<16>,
    /// Its firmware.
    pub revision: Text<4>,
}

/// Bytes that are no INQUIRY data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("INQUIRY data of {length} bytes, at least 5 are needed")]
pub struct InquiryError {
    /// How many bytes there were.
    pub length: usize,
}

impl StandardInquiry {
    /// The length that every device knows. Some bridges fail when asked for more.
    pub const LENGTH: u8 = 36;

    /// Reads INQUIRY data. Texts that are cut off are filled up with zeros.
    ///
    /// # Errors
    ///
    /// Fewer than the five bytes that tell type, version and length.
    pub fn parse(bytes: &[u8]) -> Result<Self, InquiryError> {
        let length = bytes.len();
        if length < 5 {
            return Err(InquiryError { length });
        }
        Ok(Self {
            qualifier: u8_at(bytes, 0) >> 5,
            device_type: DeviceType(u8_at(bytes, 0) & 0x1f),
            removable: bit_at(bytes, 1, 7),
            version: u8_at(bytes, 2),
            vendor: Text::from_bytes(array(bytes, 8)),
            product: Text::from_bytes(array(bytes, 16)),
            revision: Text::from_bytes(array(bytes, 32)),
        })
    }

    /// The data as it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH as usize] {
        /// SPC's own format; 0 and 1 are from before SCSI-2.
        const RESPONSE_DATA_FORMAT: u8 = 2;
        let mut bytes = [0; Self::LENGTH as usize];
        bytes[0] = self.qualifier << 5 | self.device_type.0 & 0x1f;
        bytes[1] = u8::from(self.removable) << 7;
        bytes[2] = self.version;
        bytes[3] = RESPONSE_DATA_FORMAT;
        bytes[4] = Self::LENGTH - 5;
        put(&mut bytes, 8, self.vendor.as_bytes());
        put(&mut bytes, 16, self.product.as_bytes());
        put(&mut bytes, 32, self.revision.as_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inquiry_data_round_trips_and_short_data_is_padded() {
        let inquiry = StandardInquiry {
            qualifier: 1,
            device_type: DeviceType::SIMPLIFIED_DISK,
            removable: true,
            version: 4,
            vendor: Text::from_bytes(*b"ST350083"),
            product: Text::from_bytes(*b"0A              "),
            revision: Text::from_bytes(*b"3.AA"),
        };
        let bytes = inquiry.to_bytes();
        assert_eq!(bytes[..8], [0x2e, 0x80, 4, 2, 31, 0, 0, 0]);
        assert_eq!(StandardInquiry::parse(&bytes), Ok(inquiry));
        let short = StandardInquiry::parse(&bytes[..10]).unwrap();
        assert_eq!(short.vendor.as_bytes(), b"ST\0\0\0\0\0\0");
        assert_eq!(
            StandardInquiry::parse(&bytes[..4]),
            Err(InquiryError { length: 4 })
        );
    }
}
