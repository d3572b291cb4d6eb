//! Where everything lies in the address range of a login.
//!
//! The range is cut into slots of equal size, a power of two, so that the address of an incoming
//! request gives slot and offset by arithmetic:
//!
//! ```text
//! slot 0                              slot 1, 2, …
//! 0x0000  status FIFO                 0x0000  command ORB, zero padded
//! 0x1000  management ORB 0, response  0x1000  page table
//! 0x1400  management ORB 1 …          0x4000  data
//! ```
//!
//! These are addresses, not memory: nothing stands behind a slot that is not in use. There are
//! many more slots than commands under way, and they are used in turn. So what a target says or
//! sends late, of a command that was given up, meets an address that means nothing any more
//! instead of the next command's data.

use ohci_raw::bus::{Address, AddressRange, Operation, Response};

use super::refusals::Refusal;

/// How many slots commands take in turn.
pub(super) const COMMAND_SLOTS: u32 = 96;
/// How many management ORBs take turns.
pub(super) const MANAGEMENT_SLOTS: u32 = 8;
/// How many bytes of an ORB can be read. Targets fetch ORB_size quadlets, which a
/// configuration ROM may put at up to 255, from an ORB of 36 bytes.
pub(super) const ORB_WINDOW: u64 = 0x400;
/// How many bytes a response to LOGIN or QUERY LOGINS may have.
pub(super) const RESPONSE_LENGTH: u16 = 0x300;
/// Statuses are written here as a whole.
const STATUS_FIFO_LENGTH: u64 = 0x20;

const MANAGEMENT_BASE: u64 = 0x1000;
const MANAGEMENT_STRIDE: u64 = 0x400;
const RESPONSE_OFFSET: u64 = 0x40;
const PAGE_TABLE_OFFSET: u64 = 0x1000;
const DATA_OFFSET: u64 = 0x4000;

/// What an address stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    StatusFifo { offset: u64 },
    ManagementOrb { slot: u32, offset: u64 },
    Response { slot: u32, offset: u64 },
    Orb { slot: u32, offset: u64 },
    PageTable { slot: u32, offset: u64 },
    Data { slot: u32, offset: u64 },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    range: AddressRange,
    shift: u32,
}

impl Layout {
    fn shift(max_transfer: u32) -> u32 {
        (DATA_OFFSET + u64::from(max_transfer))
            .next_power_of_two()
            .trailing_zeros()
    }

    /// How many bytes a login needs.
    pub(super) fn length(max_transfer: u32) -> u64 {
        u64::from(COMMAND_SLOTS + 1) << Self::shift(max_transfer)
    }

    /// `None` if the range is too short.
    pub(super) fn new(range: AddressRange, max_transfer: u32) -> Option<Self> {
        (range.length() >= Self::length(max_transfer)).then(|| Self {
            range,
            shift: Self::shift(max_transfer),
        })
    }

    fn at(&self, slot: u32, offset: u64) -> Address {
        Address::new(self.range.start().get() + (u64::from(slot) << self.shift) + offset)
    }

    pub(super) fn status_fifo(&self) -> Address {
        self.at(0, 0)
    }

    pub(super) fn management_orb(&self, slot: u32) -> Address {
        self.at(0, MANAGEMENT_BASE + u64::from(slot) * MANAGEMENT_STRIDE)
    }

    pub(super) fn response(&self, slot: u32) -> Address {
        let orb = MANAGEMENT_BASE + u64::from(slot) * MANAGEMENT_STRIDE;
        self.at(0, orb + RESPONSE_OFFSET)
    }

    /// Slots of commands count from 0.
    pub(super) fn orb(&self, slot: u32) -> Address {
        self.at(slot + 1, 0)
    }

    pub(super) fn page_table(&self, slot: u32) -> Address {
        self.at(slot + 1, PAGE_TABLE_OFFSET)
    }

    pub(super) fn data(&self, slot: u32) -> Address {
        self.at(slot + 1, DATA_OFFSET)
    }

    pub(super) fn contains(&self, address: Address) -> bool {
        self.range.offset_of(address, 0).is_some()
    }

    /// What lies at `address`. Whether an access of some length stays inside is for the owner of
    /// the place to say.
    pub(super) fn locate(&self, address: Address) -> Option<Place> {
        let offset = self.range.offset_of(address, 0)?;
        let slot = u32::try_from(offset >> self.shift).ok()?;
        let offset = offset & ((1 << self.shift) - 1);
        let Some(slot) = slot.checked_sub(1) else {
            return Self::locate_in_first(offset);
        };
        if slot >= COMMAND_SLOTS {
            return None;
        }
        Some(match offset {
            DATA_OFFSET.. => Place::Data {
                slot,
                offset: offset - DATA_OFFSET,
            },
            PAGE_TABLE_OFFSET.. => Place::PageTable {
                slot,
                offset: offset - PAGE_TABLE_OFFSET,
            },
            _ => Place::Orb { slot, offset },
        })
    }

    fn locate_in_first(offset: u64) -> Option<Place> {
        if offset < STATUS_FIFO_LENGTH {
            return Some(Place::StatusFifo { offset });
        }
        let offset = offset.checked_sub(MANAGEMENT_BASE)?;
        let slot = u32::try_from(offset / MANAGEMENT_STRIDE).ok()?;
        let offset = offset % MANAGEMENT_STRIDE;
        if slot >= MANAGEMENT_SLOTS {
            return None;
        }
        Some(match offset.checked_sub(RESPONSE_OFFSET) {
            Some(offset) => Place::Response { slot, offset },
            None => Place::ManagementOrb { slot, offset },
        })
    }
}

/// Answers a read of `bytes`, at `offset` in them.
pub(super) fn read(bytes: &[u8], offset: u64, operation: &Operation) -> Result<Response, Refusal> {
    if operation.writes() {
        return Err(Refusal::WrongDirection);
    }
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let wanted = bytes.get(start..start.saturating_add(operation.length()));
    let wanted = wanted.ok_or(Refusal::BeyondEnd)?;
    Ok(Response::data(wanted.to_vec()))
}

/// Does a write to `bytes`, at `offset` in them. Says where it began and ended.
pub(super) fn write(
    bytes: &mut [u8],
    offset: u64,
    operation: &Operation,
) -> Result<(usize, usize), Refusal> {
    let data: &[u8] = match operation {
        Operation::WriteQuadlet { data } => data,
        Operation::WriteBlock { data } => data,
        _ => return Err(Refusal::WrongDirection),
    };
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(data.len());
    let room = bytes.get_mut(start..end).ok_or(Refusal::BeyondEnd)?;
    room.copy_from_slice(data);
    Ok((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found_again_by_its_address() {
        let max = 1 << 20;
        let start = Address::new(0x1_0000_0000);
        let range = AddressRange::new(start, Layout::length(max)).unwrap();
        let layout = Layout::new(range, max).unwrap();
        let at = |address| layout.locate(address).unwrap();
        assert_eq!(at(layout.status_fifo()), Place::StatusFifo { offset: 0 });
        for slot in 0..MANAGEMENT_SLOTS {
            let orb = layout.management_orb(slot);
            assert_eq!(at(orb), Place::ManagementOrb { slot, offset: 0 });
            let response = layout.response(slot).checked_add(8).unwrap();
            assert_eq!(at(response), Place::Response { slot, offset: 8 });
        }
        for slot in 0..COMMAND_SLOTS {
            assert_eq!(at(layout.orb(slot)), Place::Orb { slot, offset: 0 });
            let table = layout.page_table(slot);
            assert_eq!(at(table), Place::PageTable { slot, offset: 0 });
            let last = layout.data(slot).checked_add(u64::from(max) - 1).unwrap();
            let offset = u64::from(max) - 1;
            assert_eq!(at(last), Place::Data { slot, offset });
        }
    }

    #[test]
    fn what_lies_outside_or_between_means_nothing() {
        let start = Address::new(0x1_0000_0000);
        let range = AddressRange::new(start, Layout::length(4096)).unwrap();
        let layout = Layout::new(range, 4096).unwrap();
        assert_eq!(layout.locate(Address::new(0xffff_fffc)), None);
        assert_eq!(layout.locate(Address::new(range.end())), None);
        assert_eq!(layout.locate(start.checked_add(0x20).unwrap()), None);
        let past = MANAGEMENT_BASE + u64::from(MANAGEMENT_SLOTS) * MANAGEMENT_STRIDE;
        assert_eq!(layout.locate(start.checked_add(past).unwrap()), None);
        let short = AddressRange::new(start, Layout::length(4096) - 4).unwrap();
        assert!(Layout::new(short, 4096).is_none());
    }

    #[test]
    fn the_places_of_a_slot_do_not_overlap() {
        const ENTRIES: u64 = super::super::Config::MAX_TRANSFER.div_ceil(0xf000) as u64;
        const {
            assert!(ORB_WINDOW <= PAGE_TABLE_OFFSET);
            assert!(ENTRIES * 8 <= DATA_OFFSET - PAGE_TABLE_OFFSET);
            assert!(RESPONSE_OFFSET + RESPONSE_LENGTH as u64 <= MANAGEMENT_STRIDE);
            assert!(super::super::Config::MAX_DEPTH as u32 * 2 < COMMAND_SLOTS);
        }
    }
}
