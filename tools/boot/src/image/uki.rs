//! A unified kernel image: an EFI program with a kernel and its initrd in sections
//! (the UAPI group's specification, and systemd-stub(7)).

use std::io::{Read, Seek, SeekFrom};

use object::pe::{ImageDosHeader, ImageNtHeaders32, ImageNtHeaders64};
use object::read::pe::{ImageNtHeaders, optional_header_magic};

use super::ImageError;

/// Where the headers end at the latest, in bytes.
const HEADERS: u64 = 64 << 10;
/// The largest section that is read whole, in bytes.
const TEXT: u64 = 64 << 10;

/// What a unified kernel image says beside its initrd.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UnifiedKernel {
    /// The kernel's command line: section `.cmdline`.
    pub cmdline: Option<Vec<u8>>,
    /// The kernel's version: section `.uname`.
    pub uname: Option<Vec<u8>>,
}

/// A part of a file, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) offset: u64,
    pub(super) size: u64,
}

#[derive(Default)]
struct Sections {
    initrd: Option<Range>,
    cmdline: Option<Range>,
    uname: Option<Range>,
}

/// Whether a file begins like an EFI program.
pub(super) fn is_efi(start: &[u8]) -> bool {
    start.starts_with(b"MZ")
}

fn sections<H: ImageNtHeaders>(headers: &[u8]) -> object::Result<Sections> {
    let mut offset = ImageDosHeader::parse(headers)?.nt_headers_offset().into();
    let (nt, _) = H::parse(headers, &mut offset)?;
    let mut found = Sections::default();
    for section in nt.sections(headers, offset)?.iter() {
        let (offset, size) = section.pe_file_range();
        let range = Range {
            offset: offset.into(),
            size: size.into(),
        };
        // Of several profiles the first one is what is started if nobody asks for another.
        let place = match section.raw_name() {
            b".initrd" => &mut found.initrd,
            b".cmdline" => &mut found.cmdline,
            b".uname" => &mut found.uname,
            _ => continue,
        };
        place.get_or_insert(range);
    }
    Ok(found)
}

/// Finds the initrd, and what else is to be known.
pub(super) fn read<F: Read + Seek>(file: &mut F) -> Result<(Range, UnifiedKernel), ImageError> {
    let headers = part(
        file,
        Range {
            offset: 0,
            size: HEADERS,
        },
    )?;
    let found = match optional_header_magic(&*headers).map_err(ImageError::Efi)? {
        object::pe::IMAGE_NT_OPTIONAL_HDR32_MAGIC => sections::<ImageNtHeaders32>(&headers),
        _ => sections::<ImageNtHeaders64>(&headers),
    };
    let found = found.map_err(ImageError::Efi)?;
    let initrd = found.initrd.ok_or(ImageError::NoInitrd)?;
    let mut text = |range: Option<Range>| {
        let Some(range) = range else {
            return Ok(None);
        };
        let mut bytes = part(
            file,
            Range {
                size: range.size.min(TEXT),
                ..range
            },
        )?;
        let is_end = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
        while bytes.last().is_some_and(is_end) {
            bytes.pop();
        }
        Ok(Some(bytes))
    };
    let cmdline = text(found.cmdline)?;
    let uname = text(found.uname)?;
    Ok((initrd, UnifiedKernel { cmdline, uname }))
}

fn part<F: Read + Seek>(file: &mut F, range: Range) -> Result<Vec<u8>, ImageError> {
    let Range { offset, size } = range;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| file.take(size).read_to_end(&mut bytes))
        .map_err(|source| ImageError::Read { offset, source })?;
    Ok(bytes)
}
