use alloc::string::String;
use alloc::vec::Vec;

use super::directory::{Directory, DirectoryId, Entry, Target};
use super::{BusOptions, Crc, Key, Warning, text};
use crate::bus::Eui64;

/// How much a ROM tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A single quadlet with the vendor's OUI (IEEE 1212-2001 7.1). There is no EUI-64 and no
    /// directory. No SBP-2 device can do with that.
    Minimal {
        /// The vendor's OUI.
        vendor: u32,
    },
    /// A bus information block and a root directory.
    General,
}

/// A configuration ROM, as far as it could be decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigRom {
    /// How much it tells.
    pub form: Form,
    /// The CRC in quadlet 0, which covers as many quadlets as that quadlet says. In many devices
    /// these are the whole ROM, in others the bus information block.
    pub header_crc: Crc,
    /// How many quadlets the header's CRC covers, from quadlet 1 on.
    pub crc_length: u8,
    /// Quadlet 2 of the bus information block, if known.
    pub bus_options: Option<BusOptions>,
    /// The node's EUI-64, if known.
    pub guid: Option<Eui64>,
    /// The root directory first, then the others: those closer to the root before those
    /// further away.
    pub(super) directories: Vec<Directory>,
    /// What was odd.
    pub warnings: Vec<Warning>,
}

impl ConfigRom {
    /// The root directory, if there is one.
    #[must_use]
    pub fn root(&self) -> Option<&Directory> {
        self.directories.first()
    }

    /// A directory of this ROM.
    ///
    /// `None` for an id that another ROM gave out.
    #[must_use]
    pub fn directory(&self, id: DirectoryId) -> Option<&Directory> {
        self.directories.get(id.0)
    }

    /// Every directory, the root directory first.
    pub fn directories(&self) -> impl Iterator<Item = &Directory> {
        self.directories.iter()
    }

    /// The directory that an entry leads to.
    #[must_use]
    pub fn directory_of(&self, entry: &Entry) -> Option<&Directory> {
        match entry.target {
            Target::Directory(id) => self.directory(id),
            _ => None,
        }
    }

    /// The unit directories: each is something that a driver can drive.
    ///
    /// Wherever they hang, in the root directory or in an instance directory, each comes once.
    pub fn unit_directories(&self) -> impl Iterator<Item = &Directory> {
        let is_unit = |id: usize| {
            let entries = self.directories.iter().flat_map(|d| &d.entries);
            entries
                .filter(|entry| entry.key == Key::UNIT_DIRECTORY)
                .any(|entry| entry.target == Target::Directory(DirectoryId(id)))
        };
        let numbered = self.directories.iter().enumerate();
        numbered.filter_map(move |(id, directory)| is_unit(id).then_some(directory))
    }

    /// The vendor's OUI.
    #[must_use]
    pub fn vendor_id(&self) -> Option<u32> {
        match self.form {
            Form::Minimal { vendor } => Some(vendor),
            Form::General => self.root()?.value(Key::VENDOR),
        }
    }

    /// The model, from the root directory or else from the vendor directory of older video
    /// cameras (1394 TA document 1999027, annex A).
    #[must_use]
    pub fn model_id(&self) -> Option<u32> {
        let root = self.root()?;
        root.value(Key::MODEL)
            .or_else(|| self.vendor_directory()?.value(Key::MODEL))
    }

    /// The vendor's name.
    #[must_use]
    pub fn vendor_text(&self) -> Option<String> {
        self.text_for(self.root()?, Key::VENDOR)
    }

    /// The model's name, from where [`ConfigRom::model_id`] looks.
    #[must_use]
    pub fn model_text(&self) -> Option<String> {
        self.text_for(self.root()?, Key::MODEL)
            .or_else(|| self.text_for(self.vendor_directory()?, Key::MODEL))
    }

    fn vendor_directory(&self) -> Option<&Directory> {
        self.directory_of(self.root()?.find(Key::VENDOR_DIRECTORY)?)
    }

    /// The text that describes the first entry with this key: descriptors follow what they
    /// describe.
    #[must_use]
    pub fn text_for(&self, directory: &Directory, key: Key) -> Option<String> {
        let mut entries = directory.entries.iter().skip_while(|e| e.key != key);
        entries.next()?;
        entries
            .take_while(|entry| entry.key.is_descriptor())
            .flat_map(|entry| self.texts_at(entry))
            .next()
    }

    /// Every text in a directory's own descriptors, in the ROM's order. Without the NULs that
    /// pad it, with the blanks that some vendors pad it with.
    #[must_use]
    pub fn texts_of(&self, directory: &Directory) -> Vec<String> {
        let entries = directory.entries.iter();
        entries.flat_map(|entry| self.texts_at(entry)).collect()
    }

    /// The texts of a descriptor entry: one in a leaf, several languages in a directory. Other
    /// entries have none.
    #[must_use]
    pub fn texts_at(&self, entry: &Entry) -> Vec<String> {
        let text = |entry: &Entry| match (&entry.target, entry.key) {
            (Target::Leaf(leaf), Key::DESCRIPTOR_LEAF) => text::decode(leaf).ok().flatten(),
            _ => None,
        };
        let inside = match self.directory_of(entry) {
            Some(directory) if entry.key == Key::DESCRIPTOR_DIRECTORY => &*directory.entries,
            _ => &[],
        };
        let entries = core::iter::once(entry).chain(inside);
        entries.filter_map(text).map(|text| text.text).collect()
    }
}
