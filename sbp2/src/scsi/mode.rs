//! Mode data: what MODE SENSE returns (SPC-3 7.4).
//!
//! A header of 4 or 8 bytes, none or one block descriptor, then pages. For a disk the header
//! tells whether it is write protected and whether it takes DPO and FUA; a page tells whether it
//! has a write cache. Which page that is depends on the command set, and so does the sense of
//! its bit: SBC's caching page has WCE, write cache *enable*; RBC's device parameters page has
//! WCD, write cache *disable* (compare `sd_read_cache_type` in Linux's `drivers/scsi/sd.c`).

use alloc::vec::Vec;

use super::bytes::{bit_at, put, u8_at, u16_at, u32_at, u64_at};

/// Page codes.
pub mod page {
    /// RBC device parameters.
    pub const RBC_DEVICE_PARAMETERS: u8 = 0x06;
    /// Caching (SBC).
    pub const CACHING: u8 = 0x08;
    /// Control (SPC).
    pub const CONTROL: u8 = 0x0a;
    /// All pages.
    pub const ALL: u8 = 0x3f;
}

/// Which of the two commands the data belongs to; their headers differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModeForm {
    /// MODE SENSE(6).
    Six,
    /// MODE SENSE(10).
    Ten,
}

impl ModeForm {
    /// Bytes of the header.
    #[must_use]
    pub const fn header_length(self) -> usize {
        match self {
            Self::Six => 4,
            Self::Ten => 8,
        }
    }
}

/// Mode data of a disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ModeData {
    /// WP: writes are refused.
    pub write_protected: bool,
    /// DPOFUA: READ and WRITE take DPO and FUA.
    pub dpo_fua: bool,
    /// The block descriptor's number of blocks (saturating) and block length.
    pub block_descriptor: Option<(u64, u32)>,
    /// The pages, each with its header.
    pub pages: Vec<Vec<u8>>,
}

/// Bytes that are no mode data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ModeError {
    /// Too few bytes for the header.
    #[error("mode data of {0} bytes is shorter than its header")]
    Truncated(usize),
    /// The header counts no bytes: the device wrote nothing.
    #[error("mode data whose header says that there is none")]
    Nothing,
}

const WP: u8 = 7;
const DPOFUA: u8 = 4;

impl ModeData {
    /// Reads mode data. A page that is cut off is left out.
    ///
    /// # Errors
    ///
    /// The header is cut off, or says that nothing follows it.
    pub fn parse(form: ModeForm, bytes: &[u8]) -> Result<Self, ModeError> {
        let header = form.header_length();
        if bytes.len() < header {
            return Err(ModeError::Truncated(bytes.len()));
        }
        let (counted, specific, descriptors, long_lba) = match form {
            ModeForm::Six => (
                usize::from(u8_at(bytes, 0)).checked_add(1),
                2,
                usize::from(u8_at(bytes, 3)),
                false,
            ),
            ModeForm::Ten => (
                usize::from(u16_at(bytes, 0)).checked_add(2),
                3,
                usize::from(u16_at(bytes, 6)),
                bit_at(bytes, 4, 0),
            ),
        };
        let counted = counted.unwrap_or(0);
        if counted < header {
            return Err(ModeError::Nothing);
        }
        let used = bytes.get(..counted).unwrap_or(bytes);
        let descriptor = used.get(header..header + descriptors).unwrap_or(&[]);
        let block_descriptor = match (long_lba, descriptor.len()) {
            (true, 16..) => Some((u64_at(descriptor, 0), u32_at(descriptor, 12))),
            (false, 8..) => Some((
                u64::from(u32_at(descriptor, 0)),
                u32_at(descriptor, 4) & 0xff_ffff,
            )),
            _ => None,
        };
        let mut pages = Vec::new();
        let mut rest = used.get(header + descriptors..).unwrap_or(&[]);
        while rest.len() >= 2 {
            let has_subpage = bit_at(rest, 0, 6);
            let length = if has_subpage {
                4 + usize::from(u16_at(rest, 2))
            } else {
                2 + usize::from(u8_at(rest, 1))
            };
            let Some(page) = rest.get(..length) else {
                break;
            };
            pages.push(page.to_vec());
            rest = rest.get(length..).unwrap_or(&[]);
        }
        Ok(Self {
            write_protected: bit_at(bytes, specific, WP),
            dpo_fua: bit_at(bytes, specific, DPOFUA),
            block_descriptor,
            pages,
        })
    }

    /// The data as it is sent; the length in its header saturates.
    #[must_use]
    pub fn to_bytes(&self, form: ModeForm) -> Vec<u8> {
        let specific = u8::from(self.write_protected) << WP | u8::from(self.dpo_fua) << DPOFUA;
        let descriptor = self.block_descriptor.map(|(blocks, block_length)| {
            let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
            let mut descriptor = [0; 8];
            put(&mut descriptor, 0, &blocks.to_be_bytes());
            put(
                &mut descriptor,
                4,
                &(block_length & 0xff_ffff).to_be_bytes(),
            );
            descriptor
        });
        let descriptor = descriptor.as_ref().map_or(&[][..], |bytes| &bytes[..]);
        // 0 or 8.
        let descriptors = descriptor.len() as u8;
        let mut bytes = match form {
            ModeForm::Six => [0, 0, specific, descriptors].to_vec(),
            ModeForm::Ten => [0, 0, 0, specific, 0, 0, 0, descriptors].to_vec(),
        };
        bytes.extend_from_slice(descriptor);
        bytes.extend(self.pages.iter().flatten());
        match form {
            ModeForm::Six => {
                bytes[0] = u8::try_from(bytes.len() - 1).unwrap_or(u8::MAX);
            }
            ModeForm::Ten => {
                let length = u16::try_from(bytes.len() - 2).unwrap_or(u16::MAX);
                put(&mut bytes, 0, &length.to_be_bytes());
            }
        }
        bytes
    }

    /// The page with this code (no subpage), if it is there.
    #[must_use]
    pub fn page(&self, code: u8) -> Option<&[u8]> {
        self.pages
            .iter()
            .find(|page| u8_at(page, 0) & 0x7f == code)
            .map(Vec::as_slice)
    }

    /// Whether writes may stay in a volatile cache, if a page tells.
    #[must_use]
    pub fn write_cache(&self) -> Option<bool> {
        let tells = |page: &&[u8]| page.len() > 2;
        let caching = self.page(page::CACHING).filter(tells);
        let rbc = self.page(page::RBC_DEVICE_PARAMETERS).filter(tells);
        caching
            .map(|page| bit_at(page, 2, 2))
            .or_else(|| rbc.map(|page| !bit_at(page, 2, 0)))
    }
}

/// The caching page (SBC-3): WCE as given, all else at its default.
pub(super) fn caching_page(write_cache: bool) -> Vec<u8> {
    let mut bytes = page_of(page::CACHING, 0x12);
    bytes[2] = u8::from(write_cache) << 2;
    bytes
}

/// The RBC device parameters page: WCD, block length, number of blocks in five bytes
/// (saturating), and that writing, formatting and locking are not available where that is so.
pub(super) fn rbc_page(
    write_cache: bool,
    block_length: u32,
    blocks: u64,
    write_protected: bool,
) -> Vec<u8> {
    const WRITED: u8 = 1 << 2;
    const FORMATD: u8 = 1 << 1;
    const LOCKD: u8 = 1;
    let mut bytes = page_of(page::RBC_DEVICE_PARAMETERS, 0x0b);
    bytes[2] = u8::from(!write_cache);
    let block_length = u16::try_from(block_length).unwrap_or(0);
    put(&mut bytes, 3, &block_length.to_be_bytes());
    let blocks = blocks.min((1 << 40) - 1);
    put(&mut bytes, 5, &blocks.to_be_bytes()[3..]);
    bytes[11] = (u8::from(write_protected) * WRITED) | FORMATD | LOCKD;
    bytes
}

/// The control page (SPC-3 7.4.6), all at its default.
pub(super) fn control_page() -> Vec<u8> {
    page_of(page::CONTROL, 0x0a)
}

fn page_of(code: u8, length: u8) -> Vec<u8> {
    let mut bytes = alloc::vec![0; 2 + usize::from(length)];
    bytes[0] = code;
    bytes[1] = length;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> ModeData {
        ModeData {
            write_protected: true,
            dpo_fua: false,
            block_descriptor: Some((0x1234, 4096)),
            pages: alloc::vec![caching_page(true), control_page()],
        }
    }

    #[test]
    fn both_forms_round_trip() {
        for form in [ModeForm::Six, ModeForm::Ten] {
            for block_descriptor in [None, Some((7, 512))] {
                let data = ModeData {
                    block_descriptor,
                    ..data()
                };
                let bytes = data.to_bytes(form);
                assert_eq!(ModeData::parse(form, &bytes), Ok(data));
            }
        }
    }

    #[test]
    fn a_write_cache_is_told_by_either_page_with_bits_of_opposite_sense() {
        for write_cache in [false, true] {
            for page in [
                caching_page(write_cache),
                rbc_page(write_cache, 512, 1, false),
            ] {
                let data = ModeData {
                    pages: alloc::vec![control_page(), page],
                    ..data()
                };
                assert_eq!(data.write_cache(), Some(write_cache));
            }
        }
        assert_eq!(caching_page(true)[2], 0x04);
        assert_eq!(rbc_page(true, 512, 1, false)[2], 0x00);
        assert_eq!(ModeData::default().write_cache(), None);
    }

    #[test]
    fn the_rbc_page_is_laid_out_as_in_the_standard() {
        assert_eq!(
            rbc_page(false, 512, 0x01_0203_0405, true),
            [6, 11, 1, 2, 0, 1, 2, 3, 4, 5, 0, 7, 0]
        );
    }

    #[test]
    fn data_cut_off_anywhere_keeps_what_is_whole() {
        for form in [ModeForm::Six, ModeForm::Ten] {
            let header = form.header_length();
            let bytes = data().to_bytes(form);
            for length in 0..bytes.len() {
                match ModeData::parse(form, &bytes[..length]) {
                    Ok(parsed) => {
                        assert!(length >= header);
                        assert!(parsed.write_protected);
                        assert_eq!(parsed.pages.len(), usize::from(length >= header + 28));
                    }
                    Err(error) => {
                        assert!(length < header);
                        assert_eq!(error, ModeError::Truncated(length));
                    }
                }
            }
            let zeros = [0; 64];
            assert_eq!(ModeData::parse(form, &zeros), Err(ModeError::Nothing));
        }
    }
}
