use alloc::collections::VecDeque;

use ohci_raw::bus::Address;
use zerocopy::FromBytes;

use crate::wire::{CommandOrb, PageTableEntry};

/// The most of a page table that is fetched at a time.
const MAX_TABLE_READ: usize = 512;
const ENTRY: usize = size_of::<PageTableEntry>();

/// Consecutive bytes of the initiator's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) address: Address,
    pub(super) length: usize,
}

/// What [`Segments::take`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// The next piece of the buffer.
    Piece(Piece),
    /// More of the page table has to be read first, see [`Segments::table_read`].
    NeedsTable,
    /// The buffer has ended.
    End,
}

/// The page table, or the descriptor, names memory past the end of the address space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PastEnd;

/// The buffer that an ORB describes, handed out front to back.
///
/// A page table may have 65535 entries of 65535 bytes. It is fetched a few entries at a time,
/// as the data gets there, so that its size costs nothing.
#[derive(Debug)]
pub(super) struct Segments {
    /// Segments known and not yet used up.
    known: VecDeque<Piece>,
    /// Where the entries lie that were not yet fetched.
    table: Address,
    entries_left: usize,
    fetching: bool,
}

impl Segments {
    /// The buffer of `orb`.
    pub(super) fn new(orb: &CommandOrb, page_table: bool) -> Result<Self, PastEnd> {
        let address = orb.data_descriptor.address();
        let size = usize::from(orb.data_size());
        let mut this = Self {
            known: VecDeque::new(),
            table: address,
            entries_left: 0,
            fetching: false,
        };
        if page_table {
            check(address, size * ENTRY)?;
            this.entries_left = size;
        } else {
            this.push(address, size)?;
        }
        Ok(this)
    }

    fn push(&mut self, address: Address, length: usize) -> Result<(), PastEnd> {
        check(address, length)?;
        if length > 0 {
            self.known.push_back(Piece { address, length });
        }
        Ok(())
    }

    /// How many bytes are left, if the whole page table is known.
    pub(super) fn known_length(&self) -> Option<u64> {
        (self.entries_left == 0).then(|| self.known.iter().map(|piece| piece.length as u64).sum())
    }

    /// Hands out at most `most` bytes that lie in one segment.
    pub(super) fn take(&mut self, most: usize) -> Next {
        let Some(front) = self.known.front_mut() else {
            return if self.entries_left > 0 {
                Next::NeedsTable
            } else {
                Next::End
            };
        };
        let piece = Piece {
            address: front.address,
            length: front.length.min(most),
        };
        front.length -= piece.length;
        front.address = Address::new(front.address.get() + piece.length as u64);
        if front.length == 0 {
            self.known.pop_front();
        }
        Next::Piece(piece)
    }

    /// The read that fetches the next entries, unless one is under way. At most `most` bytes,
    /// but always a whole entry.
    pub(super) fn table_read(&mut self, most: usize) -> Option<Piece> {
        if self.fetching || self.entries_left == 0 {
            return None;
        }
        self.fetching = true;
        let most = (most.min(MAX_TABLE_READ) / ENTRY).max(1);
        Some(Piece {
            address: self.table,
            length: self.entries_left.min(most) * ENTRY,
        })
    }

    /// Takes in entries that were fetched.
    pub(super) fn table_arrived(&mut self, bytes: &[u8]) -> Result<(), PastEnd> {
        self.fetching = false;
        for chunk in bytes.chunks_exact(ENTRY).take(self.entries_left) {
            let Ok(entry) = PageTableEntry::read_from_bytes(chunk) else {
                break;
            };
            self.entries_left -= 1;
            self.table = Address::new(self.table.get() + ENTRY as u64);
            self.push(entry.base(), usize::from(entry.length()))?;
        }
        Ok(())
    }
}

fn check(address: Address, length: usize) -> Result<(), PastEnd> {
    match address.get().checked_add(length as u64) {
        Some(end) if end <= Address::MAX.get() + 1 => Ok(()),
        _ => Err(PastEnd),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Direction, MaxPayload, Pointer};
    use alloc::vec::Vec;
    use ohci_raw::bus::{NodeId, Speed};
    use zerocopy::IntoBytes;

    fn orb(address: u64, size: u16, page_table: bool) -> CommandOrb {
        CommandOrb::new([0; 16]).with_data(
            Direction::FromTarget,
            Pointer::new(NodeId::local(0), Address::new(address)),
            size,
            page_table,
            Speed::S400,
            MaxPayload::from_code(9),
        )
    }

    fn piece(address: u64, length: usize) -> Next {
        Next::Piece(Piece {
            address: Address::new(address),
            length,
        })
    }

    #[test]
    fn a_direct_buffer_is_cut_where_asked() {
        let mut segments = Segments::new(&orb(0x1000, 5000, false), false).unwrap();
        assert_eq!(segments.take(2048), piece(0x1000, 2048));
        assert_eq!(segments.take(4096), piece(0x1800, 2952));
        assert_eq!(segments.take(1), Next::End);
    }

    #[test]
    fn a_table_is_read_in_parts_and_empty_segments_are_passed_over() {
        let mut segments = Segments::new(&orb(0x8000, 100, true), true).unwrap();
        assert_eq!(segments.take(2048), Next::NeedsTable);
        let read = segments.table_read(2048).unwrap();
        assert_eq!((read.address, read.length), (Address::new(0x8000), 512));
        assert_eq!(segments.table_read(2048), None, "one read at a time");
        let entry = |base, length| PageTableEntry::new(Address::new(base), length);
        let mut part: Vec<PageTableEntry> = (0..64).map(|_| entry(0, 0)).collect();
        part[5] = entry(0x10_0000, 3);
        segments.table_arrived(part.as_bytes()).unwrap();
        assert_eq!(segments.take(2048), piece(0x10_0000, 3));
        assert_eq!(segments.take(2048), Next::NeedsTable);
        let read = segments.table_read(4).unwrap();
        assert_eq!((read.address, read.length), (Address::new(0x8200), 8));
        segments
            .table_arrived(entry(0x20_0000, 9).as_bytes())
            .unwrap();
        assert_eq!(segments.take(2), piece(0x20_0000, 2));
        assert_eq!(segments.take(8), piece(0x20_0002, 7));
    }

    #[test]
    fn nothing_reaches_past_the_end_of_the_address_space() {
        let end = Address::MAX.get();
        assert!(Segments::new(&orb(end, 1, false), false).is_ok());
        assert!(Segments::new(&orb(end, 2, false), false).is_err());
        assert!(Segments::new(&orb(end - 7, 2, true), true).is_err());
        let mut segments = Segments::new(&orb(0, 1, true), true).unwrap();
        let entry = PageTableEntry::new(Address::new(end), 2);
        assert_eq!(segments.table_arrived(entry.as_bytes()), Err(PastEnd));
    }

    #[test]
    fn entries_that_nobody_asked_for_are_not_used() {
        let mut segments = Segments::new(&orb(0, 1, true), true).unwrap();
        let entry = PageTableEntry::new(Address::new(0x1000), 4);
        let table = [entry, entry];
        segments.table_arrived(table.as_bytes()).unwrap();
        assert_eq!(segments.take(9), piece(0x1000, 4));
        assert_eq!(segments.take(9), Next::End);
    }
}
