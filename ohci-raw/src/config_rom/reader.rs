use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::directory::{Directory, DirectoryId, Entry, Leaf, Target};
use super::rom::{ConfigRom, Form};
use super::text::{self, TextError};
use super::{
    BUS_NAME, BlockKind, BusOptions, Crc, Key, KeyType, MAX_QUADLETS, Offset, WINDOW_QUADLETS,
    Warning,
};
use crate::bus::Eui64;

/// How many entries may lead one after the other from the root directory to another one. Real
/// devices need three: unit, logical unit, descriptors.
const MAX_DEPTH: u8 = 8;

/// Why quadlets are no configuration ROM at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// The first quadlet is unknown.
    #[error("the first quadlet of the configuration ROM is missing")]
    Missing,
    /// The first quadlet is 0: the node has no ROM yet. Read it again later.
    #[error("the first quadlet of the configuration ROM is 0: the node is not ready")]
    NotReady,
    /// The second quadlet is something else than "1394".
    #[error(
        "no IEEE 1394 configuration ROM: its second quadlet is {quadlet:08x}, not 31333934 (\"1394\")"
    )]
    NotIeee1394 {
        /// What it is.
        quadlet: u32,
    },
    /// The second quadlet is unknown, and the first one is not that of an IEEE 1394 node.
    #[error("no IEEE 1394 configuration ROM: {first:08x} and nothing more")]
    Unrecognised {
        /// The first quadlet.
        first: u32,
    },
    /// More than [`MAX_QUADLETS`].
    #[error("{quadlets} quadlets are more than a configuration ROM has (at most {MAX_QUADLETS})")]
    TooLong {
        /// How many there are.
        quadlets: usize,
    },
}

impl ConfigRom {
    /// Decodes the quadlets from `ffff f000 0400` on, of which some may be unknown.
    ///
    /// # Errors
    /// [`ReadError`] where there is no ROM. Everything else that is odd is among the
    /// [`warnings`](ConfigRom::warnings).
    pub fn read(quadlets: &[Option<u32>]) -> Result<Self, ReadError> {
        if quadlets.len() > MAX_QUADLETS {
            return Err(ReadError::TooLong {
                quadlets: quadlets.len(),
            });
        }
        let known = |index: usize| quadlets.get(index).copied().flatten();
        let first = match known(0) {
            None => return Err(ReadError::Missing),
            Some(0) => return Err(ReadError::NotReady),
            Some(first) => first,
        };
        let [info_length, crc_length, crc_hi, crc_lo] = first.to_be_bytes();
        if info_length == 1 {
            return Ok(minimal(first));
        }
        match known(1) {
            Some(BUS_NAME) => {}
            Some(quadlet) => return Err(ReadError::NotIeee1394 { quadlet }),
            None if info_length == 4 => {}
            None => return Err(ReadError::Unrecognised { first }),
        }

        let mut reader = Reader {
            quadlets,
            entries: 0,
            directories: Vec::new(),
            warnings: Vec::new(),
        };
        let stored = u16::from_be_bytes([crc_hi, crc_lo]);
        let covered = reader.contents(0, usize::from(crc_length));
        let header_crc = Crc::check(stored, covered.as_deref());
        reader.note_crc(BlockKind::Header, Offset::ROM, header_crc);
        if info_length != 4 {
            reader.warnings.push(Warning::BusInfoLength {
                length: info_length,
            });
        }
        let info = |index: u8| (index <= info_length).then(|| known(usize::from(index)))?;
        if (1..=info_length.min(4)).any(|index| info(index).is_none()) {
            reader.warnings.push(Warning::BusInfoIncomplete);
        }
        reader.read_directories(usize::from(info_length) + 1);
        Ok(Self {
            form: Form::General,
            header_crc,
            crc_length,
            bus_options: info(2).map(BusOptions::from_quadlet),
            guid: info(3)
                .zip(info(4))
                .map(|(hi, lo)| Eui64::from_quadlets(hi, lo)),
            directories: reader.directories,
            warnings: reader.warnings,
        })
    }
}

fn minimal(first: u32) -> ConfigRom {
    ConfigRom {
        form: Form::Minimal {
            vendor: first & 0x00ff_ffff,
        },
        header_crc: Crc {
            stored: 0,
            computed: None,
        },
        crc_length: 0,
        bus_options: None,
        guid: None,
        directories: Vec::new(),
        warnings: Vec::new(),
    }
}

struct Reader<'a> {
    quadlets: &'a [Option<u32>],
    /// How many entries were read so far.
    entries: usize,
    directories: Vec<Directory>,
    warnings: Vec<Warning>,
}

/// A directory that an entry leads to.
struct Lead {
    header: usize,
    from: Option<Offset>,
    depth: u8,
}

impl Reader<'_> {
    fn known(&self, index: usize) -> Option<u32> {
        self.quadlets.get(index).copied().flatten()
    }

    /// `length` quadlets after the one at `header`, if all are known.
    fn contents(&self, header: usize, length: usize) -> Option<Vec<u32>> {
        let range = header.checked_add(1)?..header.checked_add(1)?.checked_add(length)?;
        self.quadlets.get(range)?.iter().copied().collect()
    }

    fn note_crc(&mut self, block: BlockKind, offset: Offset, crc: Crc) {
        if let Some(computed) = crc.computed
            && computed != crc.stored
        {
            self.warnings.push(Warning::Crc {
                block,
                offset,
                stored: crc.stored,
                computed,
            });
        }
    }

    /// Reads the root directory and what it leads to, breadth first.
    ///
    /// Pointers are unsigned distances, so all lead forward and a cycle is impossible. What is
    /// possible is that many entries lead to one directory, or to directories that overlap.
    /// So each place is read once, and no more entries are read than there are quadlets.
    fn read_directories(&mut self, root: usize) {
        let mut ids = BTreeMap::new();
        let mut leads = VecDeque::from([Lead {
            header: root,
            from: None,
            depth: 0,
        }]);
        let Some(_) = self.known(root) else {
            self.warnings.push(Warning::NoRootDirectory {
                offset: Offset::of_index(root),
            });
            return;
        };
        // Ids are given out when a lead is found: directories are read in the same order.
        ids.insert(root, DirectoryId(0));
        while let Some(lead) = leads.pop_front() {
            let directory = self.read_directory(&lead, &mut ids, &mut leads);
            self.directories.push(directory);
        }
    }

    fn read_directory(
        &mut self,
        lead: &Lead,
        ids: &mut BTreeMap<usize, DirectoryId>,
        leads: &mut VecDeque<Lead>,
    ) -> Directory {
        let offset = Offset::of_index(lead.header);
        let (length, stored) = split(self.known(lead.header).unwrap_or(0));
        let promised = usize::from(length);
        let mut directory = Directory {
            offset,
            length,
            crc: Crc {
                stored,
                computed: None,
            },
            entries: Vec::new(),
            reached_by: lead.from,
            depth: lead.depth,
        };
        if self.note_overlong(BlockKind::Directory, lead.header, length) {
            return directory;
        }
        directory.crc = Crc::check(stored, self.contents(lead.header, promised).as_deref());
        self.note_crc(BlockKind::Directory, offset, directory.crc);
        let first = lead.header + 1;
        let end = first.saturating_add(promised).min(self.quadlets.len());
        for index in first..end {
            let Some(quadlet) = self.known(index) else {
                continue;
            };
            if self.entries == self.quadlets.len() {
                self.warnings.push(Warning::TooManyEntries { offset });
                return directory;
            }
            self.entries += 1;
            let entry = self.read_entry(index, quadlet, lead.depth, ids, leads);
            directory.entries.push(entry);
        }
        self.note_cut_off(
            BlockKind::Directory,
            offset,
            length,
            directory.entries.len(),
        );
        directory
    }

    fn read_entry(
        &mut self,
        index: usize,
        quadlet: u32,
        depth: u8,
        ids: &mut BTreeMap<usize, DirectoryId>,
        leads: &mut VecDeque<Lead>,
    ) -> Entry {
        let [key, value @ ..] = quadlet.to_be_bytes();
        let key = Key(key);
        let value = u32::from_be_bytes([0, value[0], value[1], value[2]]);
        let offset = Offset::of_index(index);
        let target = match key.key_type() {
            KeyType::Immediate => Target::Immediate,
            KeyType::CsrOffset => Target::Register(Offset::new(value * 4)),
            block @ (KeyType::Leaf | KeyType::Directory) => {
                let header = index.saturating_add(usize::try_from(value).unwrap_or(usize::MAX));
                match self.follow(offset, key, index, header) {
                    None => Target::Unread(Offset::of_index(header)),
                    Some(quadlet) if block == KeyType::Leaf => self.read_leaf(key, header, quadlet),
                    Some(_) => {
                        let next = DirectoryId(ids.len());
                        match ids.get(&header) {
                            Some(&id) => Target::Directory(id),
                            None if depth >= MAX_DEPTH => {
                                self.warnings.push(Warning::TooDeep { entry: offset, key });
                                Target::Unread(Offset::of_index(header))
                            }
                            None => {
                                ids.insert(header, next);
                                leads.push_back(Lead {
                                    header,
                                    from: Some(offset),
                                    depth: depth + 1,
                                });
                                Target::Directory(next)
                            }
                        }
                    }
                }
            }
        };
        Entry {
            offset,
            key,
            value,
            target,
        }
    }

    /// The header that an entry leads to, or `None` with a warning.
    fn follow(&mut self, entry: Offset, key: Key, index: usize, header: usize) -> Option<u32> {
        let target = Offset::of_index(header);
        let quadlet = self.known(header);
        if header == index {
            self.warnings.push(Warning::LeadsToItself { entry, key });
            return None;
        }
        if header >= WINDOW_QUADLETS {
            self.warnings
                .push(Warning::BeyondWindow { entry, key, target });
        } else if quadlet.is_none() {
            self.warnings.push(Warning::NotRead { entry, key, target });
        }
        quadlet
    }

    fn read_leaf(&mut self, key: Key, header: usize, quadlet: u32) -> Target {
        let offset = Offset::of_index(header);
        let (length, stored) = split(quadlet);
        if self.note_overlong(BlockKind::Leaf, header, length) {
            return Target::Unread(offset);
        }
        let contents = self.contents(header, usize::from(length));
        let known = (header + 1..).take(usize::from(length));
        let known = known.filter(|&index| self.known(index).is_some()).count();
        self.note_cut_off(BlockKind::Leaf, offset, length, known);
        let leaf = Leaf {
            offset,
            length,
            crc: Crc::check(stored, contents.as_deref()),
            contents,
        };
        self.note_crc(BlockKind::Leaf, offset, leaf.crc);
        if key == Key::DESCRIPTOR_LEAF {
            let problem = match text::decode(&leaf) {
                Ok(Some(text)) if !text.printable => Some(TextError::Unprintable),
                Ok(_) => None,
                Err(problem) => Some(problem),
            };
            let warning = problem.map(|problem| Warning::Text { offset, problem });
            self.warnings.extend(warning);
        }
        Target::Leaf(leaf)
    }

    /// Whether a block starts inside the ROM's window and claims to end outside.
    fn note_overlong(&mut self, block: BlockKind, header: usize, length: u16) -> bool {
        let end = header.saturating_add(1 + usize::from(length));
        let overlong = header < WINDOW_QUADLETS && end > WINDOW_QUADLETS;
        if overlong {
            self.warnings.push(Warning::Overlong {
                block,
                offset: Offset::of_index(header),
                length,
            });
        }
        overlong
    }

    fn note_cut_off(&mut self, block: BlockKind, offset: Offset, length: u16, known: usize) {
        if known < usize::from(length) {
            self.warnings.push(Warning::CutOff {
                block,
                offset,
                length,
                known,
            });
        }
    }
}

/// The length and the CRC in a block's header.
fn split(header: u32) -> (u16, u16) {
    let [l0, l1, c0, c1] = header.to_be_bytes();
    (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([c0, c1]))
}
