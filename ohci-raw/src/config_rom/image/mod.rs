//! Configuration ROMs in files.
//!
//! Two kinds of file are in use, and [`Image::parse`] tells them apart:
//!
//! - **Text**, as people post it: quadlets of eight hexadecimal digits, any number to a line.
//!   `#` starts a comment. An offset in bytes from the start of register space may stand before
//!   them, as in `414: 0006f1b3`; without one they follow each other from `400` on. `--------`
//!   is a quadlet that is not known. A line `entry: 1200609e` is an entry of which it is not
//!   known where it stands; it is left out, with a note.
//! - **Binary**, as programs save it: either big-endian, as on the bus, or in the byte order of
//!   a little-endian host, as Linux's `config_rom` file in sysfs has it. The quadlet "1394" tells
//!   which.
//!
//! A file may end anywhere: a last quadlet that is cut off is left out, with a note.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{BUS_NAME, MAX_QUADLETS, Offset};

/// The longest file that is looked at, in bytes. A text of [`MAX_QUADLETS`] with a long comment
/// on each line is a tenth of it.
pub const MAX_FILE: usize = 1 << 20;

/// Quadlets from a file, from `ffff f000 0400` on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// What kind of file it was.
    pub format: Format,
    /// The quadlets; `None` where one is not known.
    pub quadlets: Vec<Option<u32>>,
    /// What of the file is not among them.
    pub notes: Vec<Note>,
}

/// The kinds of file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Hexadecimal quadlets.
    Text,
    /// Big-endian binary.
    BusOrder,
    /// Little-endian binary.
    HostOrder,
}

/// Something in a file that was left out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Note {
    /// The file ends within a quadlet.
    #[error("the file ends in the middle of a quadlet, which was left out")]
    CutOff,
    /// An entry whose place is not known.
    #[error("line {line}: the place of entry {quadlet:08x} is not known, it was left out")]
    Unplaced {
        /// The line, from 1 on.
        line: usize,
        /// The entry.
        quadlet: u32,
    },
}

/// Why a file holds no ROM.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImageError {
    /// There is nothing in it, or nothing but comments.
    #[error("there are no quadlets in it")]
    Empty,
    /// It is longer than [`MAX_FILE`].
    #[error("it has {bytes} bytes, more than {MAX_FILE}: that is no configuration ROM")]
    FileTooLong {
        /// How many bytes it has.
        bytes: usize,
    },
    /// It has more than [`MAX_QUADLETS`].
    #[error("{quadlets} quadlets are more than a configuration ROM has (at most {MAX_QUADLETS})")]
    TooLong {
        /// How many quadlets it has.
        quadlets: usize,
    },
    /// A binary file that does not have "1394" in its second quadlet in either byte order.
    #[error(
        "it is neither text nor a configuration ROM: bytes 4 to 7 are not \"1394\" in either byte order"
    )]
    NoBusName,
    /// Something else than quadlets in a text.
    #[error("line {line}: {token:?} is neither a quadlet of 8 hexadecimal digits nor an offset")]
    Token {
        /// The line, from 1 on.
        line: usize,
        /// What stands there, shortened.
        token: String,
    },
    /// An offset in a text that is not in the ROM.
    #[error(
        "line {line}: offset 0x{offset:x} is no quadlet of the ROM, which starts at 0x400 and has offsets divisible by 4"
    )]
    Offset {
        /// The line, from 1 on.
        line: usize,
        /// The offset.
        offset: u64,
    },
    /// Two different quadlets for one place.
    #[error("line {line}: a second quadlet for {offset}: {second:08x} after {first:08x}")]
    Conflict {
        /// The line of the second one, from 1 on.
        line: usize,
        /// The place.
        offset: Offset,
        /// The quadlet from an earlier line.
        first: u32,
        /// The quadlet on this line.
        second: u32,
    },
}

impl Image {
    /// Reads the contents of a file.
    ///
    /// # Errors
    /// [`ImageError`] says what is wrong with the file, and on which line.
    pub fn parse(file: &[u8]) -> Result<Self, ImageError> {
        if file.len() > MAX_FILE {
            return Err(ImageError::FileTooLong { bytes: file.len() });
        }
        let image = if is_text(file) {
            parse_text(&String::from_utf8_lossy(file))?
        } else {
            parse_binary(file)?
        };
        if image.quadlets.iter().all(Option::is_none) {
            return Err(ImageError::Empty);
        }
        Ok(image)
    }
}

/// A ROM's first byte is the length of its bus information block, a control character. In the
/// other byte order it is the fourth one.
fn is_text(file: &[u8]) -> bool {
    let is_control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    !file.iter().any(is_control)
}

fn parse_binary(file: &[u8]) -> Result<Image, ImageError> {
    let (whole, rest) = file.as_chunks::<4>();
    if whole.len() > MAX_QUADLETS {
        return Err(ImageError::TooLong {
            quadlets: whole.len(),
        });
    }
    let name = whole.get(1).ok_or(ImageError::NoBusName)?;
    let format = match u32::from_be_bytes(*name) {
        BUS_NAME => Format::BusOrder,
        swapped if swapped.swap_bytes() == BUS_NAME => Format::HostOrder,
        _ => return Err(ImageError::NoBusName),
    };
    let quadlet = |bytes: &[u8; 4]| match format {
        Format::HostOrder => u32::from_le_bytes(*bytes),
        Format::Text | Format::BusOrder => u32::from_be_bytes(*bytes),
    };
    Ok(Image {
        format,
        quadlets: whole.iter().map(|bytes| Some(quadlet(bytes))).collect(),
        notes: (!rest.is_empty())
            .then_some(Note::CutOff)
            .into_iter()
            .collect(),
    })
}

fn parse_text(text: &str) -> Result<Image, ImageError> {
    let mut image = Image {
        format: Format::Text,
        quadlets: Vec::new(),
        notes: Vec::new(),
    };
    let mut next = 0;
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.split('#').next().unwrap_or_default();
        let mut tokens = content.split_whitespace();
        if let Some(label) = content.trim_start().split_once(':').map(|(label, _)| label)
            && !label.contains(char::is_whitespace)
        {
            // The label may touch the quadlet after it.
            let after = content.trim_start().get(label.len() + 1..);
            tokens = after.unwrap_or_default().split_whitespace();
            if label == "entry" {
                for token in tokens {
                    let quadlet = hex(token, 8).ok_or_else(|| unreadable(line, token))?;
                    image.notes.push(Note::Unplaced { line, quadlet });
                }
                continue;
            }
            next = offset_index(line, label)?;
        }
        for token in tokens {
            let quadlet = match token {
                "--------" => None,
                _ => match hex(token, 8) {
                    Some(quadlet) => Some(quadlet),
                    None if is_cut_off(text, token) => {
                        image.notes.push(Note::CutOff);
                        continue;
                    }
                    None => return Err(unreadable(line, token)),
                },
            };
            place(&mut image.quadlets, line, next, quadlet)?;
            next += 1;
        }
    }
    Ok(image)
}

/// Whether the file ends within this token, which could have become a quadlet.
fn is_cut_off(text: &str, token: &str) -> bool {
    text.as_bytes().as_ptr_range().end == token.as_bytes().as_ptr_range().end
        && token.len() < 8
        && (is_hex(token) || token.bytes().all(|byte| byte == b'-'))
}

fn place(
    quadlets: &mut Vec<Option<u32>>,
    line: usize,
    index: usize,
    quadlet: Option<u32>,
) -> Result<(), ImageError> {
    if index >= MAX_QUADLETS {
        return Err(ImageError::TooLong {
            quadlets: index + 1,
        });
    }
    if quadlets.len() <= index {
        quadlets.resize(index + 1, None);
    }
    match (quadlets[index], quadlet) {
        (Some(first), Some(second)) if first != second => Err(ImageError::Conflict {
            line,
            offset: Offset::of_index(index),
            first,
            second,
        }),
        (_, None) => Ok(()),
        (_, quadlet) => {
            quadlets[index] = quadlet;
            Ok(())
        }
    }
}

fn offset_index(line: usize, label: &str) -> Result<usize, ImageError> {
    let digits = label.strip_prefix("0x").unwrap_or(label);
    if !is_hex(digits) || digits.len() > 12 {
        return Err(unreadable(line, label));
    }
    let offset = u64::from_str_radix(digits, 16).map_err(|_| unreadable(line, label))?;
    let index = u32::try_from(offset).ok().map(Offset::new);
    let index = index.filter(|offset| offset.get() % 4 == 0);
    let index = index.and_then(Offset::index);
    index
        .filter(|&index| index < MAX_QUADLETS)
        .ok_or(ImageError::Offset { line, offset })
}

fn is_hex(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A number of exactly so many hexadecimal digits.
fn hex(token: &str, digits: usize) -> Option<u32> {
    let token = token.strip_prefix("0x").unwrap_or(token);
    (token.len() == digits && is_hex(token)).then(|| u32::from_str_radix(token, 16).ok())?
}

fn unreadable(line: usize, token: &str) -> ImageError {
    let token = match token.char_indices().nth(20) {
        Some((end, _)) => token[..end].to_string() + "…",
        None => token.to_owned(),
    };
    ImageError::Token { line, token }
}

#[cfg(test)]
mod tests;
