use alloc::vec::Vec;

use super::{Crc, Key, Offset};
use crate::bus::Eui64;

/// Names a directory of one [`ConfigRom`](super::ConfigRom).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DirectoryId(pub(super) usize);

/// A directory: a list of keys and values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    /// Where its header is.
    pub offset: Offset,
    /// How many entries the header promises.
    pub length: u16,
    /// The header's CRC.
    pub crc: Crc,
    /// Those entries that are known, in the ROM's order.
    pub entries: Vec<Entry>,
    /// The entry that led here first; `None` for the root directory. Others may lead here too.
    pub reached_by: Option<Offset>,
    /// How many entries lead from the root directory here.
    pub depth: u8,
}

impl Directory {
    /// The first entry with this key.
    #[must_use]
    pub fn find(&self, key: Key) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of the first entry with this key, which should be an immediate one.
    #[must_use]
    pub fn value(&self, key: Key) -> Option<u32> {
        self.find(key).map(|entry| entry.value)
    }

    /// The directory's 24-bit id: that of its Directory_ID entry, else the low bits of its
    /// address (IEEE 1212-2001 7.7.15).
    #[must_use]
    pub fn id(&self) -> u32 {
        self.value(Key::DIRECTORY_ID)
            .unwrap_or(self.offset.get() & 0x00ff_ffff)
    }
}

/// A key and its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where the entry itself is.
    pub offset: Offset,
    /// What it is about.
    pub key: Key,
    /// The value as it stands in the ROM, 24 bits.
    pub value: u32,
    /// What the value leads to.
    pub target: Target,
}

/// What an entry's value leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Nothing: the value is the information.
    Immediate,
    /// A register.
    Register(Offset),
    /// A leaf.
    Leaf(Leaf),
    /// A directory, perhaps one that other entries lead to as well.
    Directory(DirectoryId),
    /// A leaf or directory that was not read; a [`Warning`](super::Warning) says why.
    Unread(Offset),
}

/// A leaf: data of a form that the key of its entry tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// Where its header is.
    pub offset: Offset,
    /// How many quadlets of data the header promises.
    pub length: u16,
    /// The header's CRC.
    pub crc: Crc,
    /// The data without the header; `None` where some of it is unknown.
    pub contents: Option<Vec<u32>>,
}

impl Leaf {
    /// The EUI-64 in a leaf under [`Key::EUI64_LEAF`].
    #[must_use]
    pub fn eui64(&self) -> Option<Eui64> {
        match self.contents.as_deref()? {
            &[hi, lo] => Some(Eui64::from_quadlets(hi, lo)),
            _ => None,
        }
    }
}
