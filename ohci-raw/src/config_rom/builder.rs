use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{BUS_NAME, BusOptions, Key, KeyType, WINDOW_QUADLETS, crc16, text};
use crate::bus::Eui64;

/// Why a ROM cannot be built.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BuildError {
    /// It has more quadlets than the window of 256.
    #[error("a configuration ROM of {quadlets} quadlets does not fit into {WINDOW_QUADLETS}")]
    TooLong {
        /// How many it would have.
        quadlets: usize,
    },
    /// A value has more than 24 bits.
    #[error("value {value:#x} of the entry with key {key} has more than 24 bits")]
    Value {
        /// The entry's key.
        key: Key,
        /// Its value.
        value: u32,
    },
    /// A key of one type was given to a method for another.
    #[error("key {key} is one for {found:?} entries, not for {wanted:?} entries")]
    KeyType {
        /// The key.
        key: Key,
        /// Its type.
        found: KeyType,
        /// The type of the method.
        wanted: KeyType,
    },
    /// A text has something else than printable ASCII.
    #[error("text {text:?} is not printable ASCII")]
    Text {
        /// The text.
        text: String,
    },
}

/// What an entry is to hold or to lead to.
#[derive(Clone, Debug)]
enum Value {
    Number(u32),
    Leaf(Vec<u32>),
    Text(String),
    Directory(DirectoryBuilder),
}

/// A directory to be built: entries in the order in which they are added.
#[derive(Clone, Default, Debug)]
pub struct DirectoryBuilder {
    entries: Vec<(Key, KeyType, Value)>,
}

impl DirectoryBuilder {
    /// A directory without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, key: Key, key_type: KeyType, value: Value) -> Self {
        self.entries.push((key, key_type, value));
        self
    }

    /// Adds a number of up to 24 bits.
    #[must_use]
    pub fn immediate(self, key: Key, value: u32) -> Self {
        self.with(key, KeyType::Immediate, Value::Number(value))
    }

    /// Adds a register, `quadlets` from the start of register space.
    #[must_use]
    pub fn register(self, key: Key, quadlets: u32) -> Self {
        self.with(key, KeyType::CsrOffset, Value::Number(quadlets))
    }

    /// Adds a leaf with these quadlets.
    #[must_use]
    pub fn leaf(self, key: Key, contents: &[u32]) -> Self {
        self.with(key, KeyType::Leaf, Value::Leaf(contents.to_vec()))
    }

    /// Adds a leaf with an EUI-64.
    #[must_use]
    pub fn eui64(self, id: Eui64) -> Self {
        self.leaf(Key::EUI64_LEAF, &[id.hi(), id.lo()])
    }

    /// Adds a text that describes the entry before it. Printable ASCII.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        let text = Value::Text(String::from(text));
        self.with(Key::DESCRIPTOR_LEAF, KeyType::Leaf, text)
    }

    /// Adds a directory.
    #[must_use]
    pub fn directory(self, key: Key, directory: Self) -> Self {
        self.with(key, KeyType::Directory, Value::Directory(directory))
    }
}

impl DirectoryBuilder {
    /// Appends this directory, those below it, and then the leaves. Gives where their headers
    /// are, which have their lengths and no CRC yet.
    pub(super) fn place(&self, rom: &mut Vec<u32>) -> Result<Vec<usize>, BuildError> {
        // Blocks still to be placed, each with the entry that is to lead to it.
        let mut directories = VecDeque::from([(None, self)]);
        let mut leaves = Vec::new();
        let mut headers = Vec::new();
        while let Some((from, directory)) = directories.pop_front() {
            open_block(rom, &mut headers, from);
            for (key, wanted, value) in &directory.entries {
                let at = Some(rom.len());
                let mut number = 0;
                match value {
                    Value::Number(value) => number = *value,
                    Value::Leaf(contents) => leaves.push((at, contents.clone())),
                    Value::Text(text) => leaves.push((at, encode(text)?)),
                    Value::Directory(directory) => directories.push_back((at, directory)),
                }
                rom.push(entry(*key, *wanted, number)?);
            }
        }
        for (from, contents) in leaves {
            open_block(rom, &mut headers, from);
            rom.extend(contents);
        }
        if rom.len() > WINDOW_QUADLETS {
            return Err(BuildError::TooLong {
                quadlets: rom.len(),
            });
        }
        let ends = headers.iter().skip(1).copied().chain([rom.len()]);
        for (&header, end) in headers.iter().zip(ends) {
            // At most 256, as just checked.
            rom[header] = ((end - header - 1) as u32) << 16;
        }
        Ok(headers)
    }
}

/// Puts the CRC into the header of a block that has its length and its contents.
pub(super) fn seal(rom: &mut [u32], header: usize) {
    let length = (rom[header] >> 16) as usize;
    let crc = crc16(&rom[header + 1..=header + length]);
    rom[header] = (length as u32) << 16 | u32::from(crc);
}

/// What the CRC in the ROM's first quadlet covers. Both are in use.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum HeaderCrcCovers {
    /// The four quadlets of the bus information block, as in Linux.
    #[default]
    BusInfo,
    /// Everything, as in the Oxford OXFW911.
    WholeRom,
}

/// A ROM to be built.
///
/// Directories come first, the root directory and then those further away from it, and after
/// them the leaves in the order of the entries that lead to them.
///
/// ```
/// use ohci_raw::bus::Eui64;
/// use ohci_raw::config_rom::{Builder, BusOptions, ConfigRom, DirectoryBuilder, Key};
///
/// let unit = DirectoryBuilder::new()
///     .immediate(Key::SPECIFIER_ID, 0x00_609e)
///     .immediate(Key::VERSION, 0x01_0483);
/// let root = DirectoryBuilder::new()
///     .immediate(Key::VENDOR, 0x00_30e0)
///     .text("Oxford Semiconductor Ltd.")
///     .directory(Key::UNIT_DIRECTORY, unit);
/// let quadlets = Builder::new(BusOptions::default(), Eui64(0x0030_e000_0000_01fa), root)
///     .build()?;
///
/// let known: Vec<_> = quadlets.into_iter().map(Some).collect();
/// let rom = ConfigRom::read(&known)?;
/// assert_eq!(rom.vendor_text().as_deref(), Some("Oxford Semiconductor Ltd."));
/// assert!(rom.warnings.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    bus_options: BusOptions,
    guid: Eui64,
    root: DirectoryBuilder,
    header_crc: HeaderCrcCovers,
}

impl Builder {
    /// A ROM with this bus information block and root directory.
    #[must_use]
    pub fn new(bus_options: BusOptions, guid: Eui64, root: DirectoryBuilder) -> Self {
        Self {
            bus_options,
            guid,
            root,
            header_crc: HeaderCrcCovers::default(),
        }
    }

    /// Says what the CRC in the first quadlet covers.
    #[must_use]
    pub fn header_crc(mut self, covers: HeaderCrcCovers) -> Self {
        self.header_crc = covers;
        self
    }

    /// The ROM's quadlets, to be served from `ffff f000 0400` on.
    ///
    /// # Errors
    /// [`BuildError`] says what cannot be put into a ROM.
    pub fn build(&self) -> Result<Vec<u32>, BuildError> {
        let mut rom = vec![
            0,
            BUS_NAME,
            self.bus_options.to_quadlet(),
            self.guid.hi(),
            self.guid.lo(),
        ];
        // Only when all are placed does every entry have its value.
        for header in self.root.place(&mut rom)? {
            seal(&mut rom, header);
        }
        let covered = match self.header_crc {
            HeaderCrcCovers::BusInfo => 4,
            HeaderCrcCovers::WholeRom => rom.len() - 1,
        };
        let crc = crc16(&rom[1..=covered]);
        rom[0] = 4 << 24 | (covered as u32) << 16 | u32::from(crc);
        Ok(rom)
    }
}

/// Starts a block at the end of the ROM, its header still empty, and lets `from` lead to it.
fn open_block(rom: &mut Vec<u32>, headers: &mut Vec<usize>, from: Option<usize>) {
    let header = rom.len();
    if let Some(from) = from {
        // A ROM so long that this passes 24 bits is refused later on.
        rom[from] |= (header - from) as u32 & 0x00ff_ffff;
    }
    headers.push(header);
    rom.push(0);
}

fn encode(text: &str) -> Result<Vec<u32>, BuildError> {
    text::encode(text).ok_or_else(|| BuildError::Text { text: text.into() })
}

fn entry(key: Key, wanted: KeyType, value: u32) -> Result<u32, BuildError> {
    let found = key.key_type();
    if found != wanted {
        return Err(BuildError::KeyType { key, found, wanted });
    }
    if value > 0x00ff_ffff {
        return Err(BuildError::Value { key, value });
    }
    Ok(u32::from(key.0) << 24 | value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(root: DirectoryBuilder) -> Result<Vec<u32>, BuildError> {
        Builder::new(BusOptions::default(), Eui64(1), root).build()
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let root = DirectoryBuilder::new();
        let entries = |n| (0..n).fold(root.clone(), |d, _| d.immediate(Key::MODEL, 1));
        assert_eq!(build(entries(250)).unwrap().len(), 256);
        assert_eq!(
            build(entries(251)),
            Err(BuildError::TooLong { quadlets: 257 })
        );
        let nested = root.clone().directory(Key::UNIT_DIRECTORY, entries(251));
        assert!(matches!(build(nested), Err(BuildError::TooLong { .. })));
        let text = "x".repeat(70_000);
        assert!(matches!(
            build(root.text(&text)),
            Err(BuildError::TooLong { .. })
        ));
    }

    #[test]
    fn what_an_entry_cannot_hold_is_refused() {
        let root = DirectoryBuilder::new();
        let (key, value) = (Key::VENDOR, 0x0100_0000);
        let built = build(root.clone().immediate(key, value));
        assert_eq!(built, Err(BuildError::Value { key, value }));
        let built = build(root.clone().immediate(Key(0x54), 0x4000));
        assert!(matches!(built, Err(BuildError::KeyType { .. })));
        for text in ["caf\u{e9}", "a\0b", "bell\u{7}"] {
            let built = build(root.clone().text(text));
            assert_eq!(built, Err(BuildError::Text { text: text.into() }));
        }
    }

    #[test]
    fn the_header_crc_covers_what_was_asked_for() {
        let root = DirectoryBuilder::new().text("Oxford");
        let builder = Builder::new(BusOptions::default(), Eui64(1), root);
        let rom = builder
            .header_crc(HeaderCrcCovers::WholeRom)
            .build()
            .unwrap();
        assert_eq!(rom[0] >> 16 & 0xff, rom.len() as u32 - 1);
        assert_eq!(rom[0] as u16, crc16(&rom[1..]));
    }
}
