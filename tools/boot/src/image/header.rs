//! The header of an archive's entry: a magic and 13 numbers of 8 hexadecimal digits.

use super::error::Fault;

/// How long it is, in bytes.
pub(super) const HEADER: usize = 110;
/// The longest name or link target, with its zero byte (`PATH_MAX`).
const MAX_PATH: u32 = 4096;

const S_IFMT: u32 = 0o170_000;
/// A folder.
pub(super) const S_IFDIR: u32 = 0o040_000;
/// A regular file.
pub(super) const S_IFREG: u32 = 0o100_000;
/// A symbolic link.
pub(super) const S_IFLNK: u32 = 0o120_000;

/// An entry's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) ino: u32,
    mode: u32,
    pub(super) nlink: u32,
    pub(super) size: u32,
    pub(super) device: (u32, u32),
    pub(super) name: u32,
    /// The sum of the contents' bytes, in the format crc.
    pub(super) sum: Option<u32>,
}

impl Header {
    /// Reads the first [`HEADER`] bytes of an entry.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let sum = match bytes.get(..6) {
            Some(b"070701") => false,
            Some(b"070702") => true,
            Some(b"070707") => return Err(Fault::OldFormat),
            _ => return Err(Fault::NoEntry),
        };
        let mut fields = [0; 13];
        let digits = bytes.get(6..HEADER).unwrap_or_default();
        for (field, digits) in fields.iter_mut().zip(digits.chunks(8)) {
            for &digit in digits {
                let digit = char::from(digit).to_digit(16).ok_or(Fault::Header)?;
                *field = *field << 4 | digit;
            }
        }
        let [
            ino,
            mode,
            _,
            _,
            nlink,
            _,
            size,
            major,
            minor,
            _,
            _,
            name,
            check,
        ] = fields;
        let header = Self {
            ino,
            mode,
            nlink,
            size,
            device: (major, minor),
            name,
            sum: sum.then_some(check),
        };
        if name == 0 || name > MAX_PATH {
            return Err(Fault::Name(name));
        }
        if header.kind() == S_IFLNK && size >= MAX_PATH {
            return Err(Fault::LinkTarget(size));
        }
        Ok(header)
    }

    /// What it is, in the bits of `S_IFMT`.
    pub(super) const fn kind(&self) -> u32 {
        self.mode & S_IFMT
    }

    /// How long the name is with the padding behind it, in bytes.
    pub(super) const fn padded_name(&self) -> usize {
        (HEADER + self.name as usize).next_multiple_of(4) - HEADER
    }
}
