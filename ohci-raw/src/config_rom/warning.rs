use core::fmt;

use super::{Key, Offset, TextError};

/// What kind of block a warning is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockKind {
    /// The bus information block, or all that its CRC covers.
    Header,
    /// A directory.
    Directory,
    /// A leaf.
    Leaf,
}

impl fmt::Display for BlockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "ROM header",
            Self::Directory => "directory",
            Self::Leaf => "leaf",
        })
    }
}

/// Something odd in a ROM that was decoded all the same.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Warning {
    /// The bus information block has another length than the four quadlets of IEEE 1394.
    #[error("the bus information block has {length} quadlets, not 4")]
    BusInfoLength {
        /// The length in quadlets.
        length: u8,
    },
    /// Quadlets of the bus information block are unknown.
    #[error("the bus information block is incomplete")]
    BusInfoIncomplete,
    /// A stored CRC is not that of the contents.
    #[error("CRC of the {block} at {offset} is {stored:04x}, its contents give {computed:04x}")]
    Crc {
        /// The kind of block.
        block: BlockKind,
        /// Its header.
        offset: Offset,
        /// What the ROM has.
        stored: u16,
        /// What it should be.
        computed: u16,
    },
    /// The root directory was not read.
    #[error("the root directory at {offset} is not in what was read")]
    NoRootDirectory {
        /// Where it should be.
        offset: Offset,
    },
    /// An entry leads to a place of which nothing is known.
    #[error("entry {key} at {entry} leads to {target}, which is not in what was read")]
    NotRead {
        /// The entry.
        entry: Offset,
        /// Its key.
        key: Key,
        /// Where it leads.
        target: Offset,
    },
    /// An entry leads out of the 1 KiB window. It is followed if the quadlets are there.
    #[error("entry {key} at {entry} leads to {target}, beyond the ROM window 0x400 to 0x7ff")]
    BeyondWindow {
        /// The entry.
        entry: Offset,
        /// Its key.
        key: Key,
        /// Where it leads.
        target: Offset,
    },
    /// An entry's value is 0, so it leads to itself.
    #[error("entry {key} at {entry} leads to itself")]
    LeadsToItself {
        /// The entry.
        entry: Offset,
        /// Its key.
        key: Key,
    },
    /// A block starts inside the window and claims to end outside. It is not read.
    #[error("the {block} at {offset} claims {length} quadlets, past the end of the ROM window")]
    Overlong {
        /// The kind of block.
        block: BlockKind,
        /// Its header.
        offset: Offset,
        /// The length that it claims, in quadlets.
        length: u16,
    },
    /// Part of a block is unknown.
    #[error("of the {length} quadlets of the {block} at {offset} only {known} were read")]
    CutOff {
        /// The kind of block.
        block: BlockKind,
        /// Its header.
        offset: Offset,
        /// Its length in quadlets.
        length: u16,
        /// How many of them are known.
        known: usize,
    },
    /// Directories are nested deeper than any real device's; this one is not read.
    #[error("entry {key} at {entry} leads too deep")]
    TooDeep {
        /// The entry.
        entry: Offset,
        /// Its key.
        key: Key,
    },
    /// There are more entries than quadlets, so directories must overlap. Entries from here on
    /// are not read.
    #[error("directories overlap: gave up at the directory at {offset}")]
    TooManyEntries {
        /// The directory that was being read.
        offset: Offset,
    },
    /// A descriptor leaf that gives no text, or not quite what the ROM has.
    #[error("the leaf at {offset} {problem}")]
    Text {
        /// The leaf's header.
        offset: Offset,
        /// What is wrong with it.
        problem: TextError,
    },
}
