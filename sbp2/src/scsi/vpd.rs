//! Vital product data (SPC-3 7.6): pages that INQUIRY returns when asked for them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::DeviceType;
use super::bytes::{u8_at, u16_at};
use super::text::show;

/// Page code of the list of supported pages.
pub(super) const SUPPORTED_PAGES: u8 = 0x00;
/// Page code of the unit serial number.
pub(super) const UNIT_SERIAL_NUMBER: u8 = 0x80;
/// Page code of the designators of logical unit, port and device.
pub(super) const DEVICE_IDENTIFICATION: u8 = 0x83;

/// Bytes that are not the page asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VpdError {
    /// Too few bytes for the page's header.
    #[error("a vital product data page of {0} bytes, at least 4 are needed")]
    Truncated(usize),
    /// Another page than the one asked for; some devices return INQUIRY data instead.
    #[error("vital product data page {found:#04x} where {expected:#04x} was asked for")]
    OtherPage {
        /// The page asked for.
        expected: u8,
        /// The page that came.
        found: u8,
    },
}

/// What sort of name a designator is (SPC-3 7.6.3.1). Unknown ones are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct DesignatorKind(pub u8);

impl DesignatorKind {
    /// The vendor's own.
    pub const VENDOR_SPECIFIC: Self = Self(0);
    /// T10 vendor id, followed by what the vendor likes.
    pub const T10_VENDOR_ID: Self = Self(1);
    /// EUI-64 based.
    pub const EUI_64: Self = Self(2);
    /// NAA: world wide names of ATA and Fibre Channel.
    pub const NAA: Self = Self(3);
}

/// One name of a logical unit, port or target device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Designator {
    /// Whose name: 0 logical unit, 1 target port, 2 target device.
    pub association: u8,
    /// 1 binary, 2 ASCII, 3 UTF-8.
    pub code_set: u8,
    /// What sort of name.
    pub kind: DesignatorKind,
    /// The name; at most 255 bytes are sent.
    pub bytes: Vec<u8>,
}

impl Designator {
    const BINARY: u8 = 1;
    const ASCII: u8 = 2;

    /// The logical unit's EUI-64.
    #[must_use]
    pub fn eui64(id: u64) -> Self {
        Self {
            association: 0,
            code_set: Self::BINARY,
            kind: DesignatorKind::EUI_64,
            bytes: id.to_be_bytes().into(),
        }
    }

    /// The logical unit's EUI-64 with an extension before it that tells it from others with the
    /// same EUI-64 (SPC-3 7.6.3.5.4).
    #[must_use]
    pub fn extended_eui64(extension: u64, id: u64) -> Self {
        Self {
            bytes: [extension.to_be_bytes(), id.to_be_bytes()].concat(),
            ..Self::eui64(id)
        }
    }

    /// The logical unit's T10 vendor id, and what makes it unique.
    #[must_use]
    pub fn t10_vendor_id(vendor: &[u8; 8], specific: &[u8]) -> Self {
        Self {
            association: 0,
            code_set: Self::ASCII,
            kind: DesignatorKind::T10_VENDOR_ID,
            bytes: [vendor, specific].concat(),
        }
    }
}

impl fmt::Display for Designator {
    /// `eui.…` and `naa.…` in hexadecimal, as iSCSI and Linux write them; texts as `t10.…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.kind {
            DesignatorKind::VENDOR_SPECIFIC => "vendor.",
            DesignatorKind::T10_VENDOR_ID => "t10.",
            DesignatorKind::EUI_64 => "eui.",
            DesignatorKind::NAA => "naa.",
            DesignatorKind(kind) => return write!(f, "designator of kind {kind}"),
        };
        f.write_str(prefix)?;
        if self.code_set == Self::BINARY {
            self.bytes
                .iter()
                .try_for_each(|byte| write!(f, "{byte:02x}"))
        } else {
            show(&self.bytes, f)
        }
    }
}

/// A page with its header.
fn page(device_type: DeviceType, code: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let [hi, lo] = length.to_be_bytes();
    let mut page = Vec::with_capacity(body.len().saturating_add(4));
    page.extend_from_slice(&[device_type.0, code, hi, lo]);
    page.extend_from_slice(body);
    page
}

/// Page 00: which pages there are.
pub(super) fn supported_pages(device_type: DeviceType) -> Vec<u8> {
    page(
        device_type,
        SUPPORTED_PAGES,
        &[SUPPORTED_PAGES, UNIT_SERIAL_NUMBER, DEVICE_IDENTIFICATION],
    )
}

/// Page 80: the serial number.
pub(super) fn unit_serial_number(device_type: DeviceType, serial: &[u8]) -> Vec<u8> {
    page(device_type, UNIT_SERIAL_NUMBER, serial)
}

/// Page 83: the names.
pub(super) fn device_identification(
    device_type: DeviceType,
    designators: &[Designator],
) -> Vec<u8> {
    let mut body = Vec::new();
    for designator in designators {
        let bytes = designator.bytes.get(..255).unwrap_or(&designator.bytes);
        body.extend_from_slice(&[
            designator.code_set & 0xf,
            designator.association << 4 & 0x30 | designator.kind.0 & 0xf,
            0,
            u8::try_from(bytes.len()).unwrap_or(u8::MAX),
        ]);
        body.extend_from_slice(bytes);
    }
    page(device_type, DEVICE_IDENTIFICATION, &body)
}

/// The body of the page, as far as it came.
fn body(bytes: &[u8], expected: u8) -> Result<&[u8], VpdError> {
    let (Some(rest), &[_, found, ..]) = (bytes.get(4..), bytes) else {
        return Err(VpdError::Truncated(bytes.len()));
    };
    if found != expected {
        return Err(VpdError::OtherPage { expected, found });
    }
    Ok(rest.get(..usize::from(u16_at(bytes, 2))).unwrap_or(rest))
}

/// Reads page 00.
pub(super) fn parse_supported_pages(bytes: &[u8]) -> Result<Vec<u8>, VpdError> {
    body(bytes, SUPPORTED_PAGES).map(<[u8]>::to_vec)
}

/// Reads page 80; what cannot be printed becomes `?`.
pub(super) fn parse_unit_serial_number(bytes: &[u8]) -> Result<String, VpdError> {
    let mut serial = String::new();
    // Writing to a String does not fail.
    let _ = show(body(bytes, UNIT_SERIAL_NUMBER)?, &mut serial);
    Ok(serial)
}

/// Reads page 83. A designator that is cut off is left out.
pub(super) fn parse_device_identification(bytes: &[u8]) -> Result<Vec<Designator>, VpdError> {
    let mut rest = body(bytes, DEVICE_IDENTIFICATION)?;
    let mut designators = Vec::new();
    while let Some(name) = rest.get(4..4 + usize::from(u8_at(rest, 3))) {
        // An empty name says nothing, and a page of zeros would be full of them.
        if !name.is_empty() {
            designators.push(Designator {
                association: u8_at(rest, 1) >> 4 & 3,
                code_set: u8_at(rest, 0) & 0xf,
                kind: DesignatorKind(u8_at(rest, 1) & 0xf),
                bytes: name.to_vec(),
            });
        }
        rest = rest.get(4 + name.len()..).unwrap_or(&[]);
    }
    Ok(designators)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    const DISK: DeviceType = DeviceType::DISK;

    #[test]
    fn each_page_round_trips() {
        let bytes = supported_pages(DeviceType::SIMPLIFIED_DISK);
        assert_eq!(bytes, [0x0e, 0, 0, 3, 0, 0x80, 0x83]);
        assert_eq!(parse_supported_pages(&bytes), Ok(vec![0, 0x80, 0x83]));

        let bytes = unit_serial_number(DISK, b"  WD-1 ");
        assert_eq!(parse_unit_serial_number(&bytes), Ok("WD-1".into()));

        let designators = vec![
            Designator::t10_vendor_id(b"OXFORD  ", b"DISK 1"),
            Designator::eui64(0x0030_e001_0203_0405),
        ];
        let bytes = device_identification(DISK, &designators);
        assert_eq!(bytes[4..8], [2, 1, 0, 14]);
        assert_eq!(bytes[22..26], [1, 2, 0, 8]);
        assert_eq!(parse_device_identification(&bytes), Ok(designators.clone()));
        assert_eq!(designators[0].to_string(), "t10.OXFORD  DISK 1");
        assert_eq!(designators[1].to_string(), "eui.0030e00102030405");
    }

    #[test]
    fn a_page_cut_off_anywhere_yields_what_is_whole() {
        let designators = [Designator::eui64(1), Designator::eui64(2)];
        let bytes = device_identification(DISK, &designators);
        for length in 0..bytes.len() {
            let whole = match length {
                0..4 => {
                    assert_eq!(
                        parse_device_identification(&bytes[..length]),
                        Err(VpdError::Truncated(length))
                    );
                    continue;
                }
                4..16 => 0,
                _ => 1,
            };
            let parsed = parse_device_identification(&bytes[..length]).unwrap();
            assert_eq!(parsed, designators[..whole]);
        }
        assert_eq!(
            parse_device_identification(&[0, 0x83, 0xff, 0xff].repeat(100)).map(|d| d.len()),
            Ok(1),
            "the length byte of each name counts"
        );
    }

    #[test]
    fn another_page_is_an_error() {
        assert_eq!(
            parse_unit_serial_number(&supported_pages(DISK)),
            Err(VpdError::OtherPage {
                expected: 0x80,
                found: 0
            })
        );
    }
}
