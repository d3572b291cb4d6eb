//! A node as the virtual bus keeps it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use super::busy::RETRIES;
use crate::bus::{
    Address, AddressRange, Eui64, Event, Generation, Instant, Machine, NodeId, Operation, RCode,
    Speed, Token, csr,
};
use crate::phy::{PhyTraits, SelfId};

/// Names a node of one [`Bus`](super::Bus); the same across resets, unplugging and replugging.
///
/// # Panics
/// Every method of a bus that takes an index panics if it is that of another, larger bus.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeIndex(pub(super) usize);

impl NodeIndex {
    /// Counts the nodes in the order in which they were first attached, from 0 on.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

/// What a node is, whoever runs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeConfig {
    /// A name for people.
    pub name: String,
    /// Its EUI-64. Need not be unique: real enclosures share theirs.
    pub eui64: Eui64,
    /// Its configuration ROM in host byte order, from the first quadlet on. The bus serves it at
    /// [`csr::CONFIG_ROM`], up to 1 KiB; what is missing reads as zero.
    pub rom: Vec<u32>,
    /// The highest speed of its link and PHY.
    pub speed: Speed,
    /// Whether block reads of the ROM are served. Oxford bridges answer them with type_error.
    pub rom_block_reads: bool,
}

pub(super) enum Owner {
    Host {
        events: VecDeque<Event>,
    },
    /// Answers everything itself, where hosts and machines are helped by the bus.
    Controller {
        events: VecDeque<Event>,
        /// Transactions of its own whose packets were acknowledged as pending.
        acknowledged: VecDeque<Token>,
    },
    /// `None` while the machine runs, and for good if it panicked.
    Machine(Option<Box<dyn Machine + Send>>),
}

/// What a node was told with the last bus reset that it saw.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub(super) generation: Generation,
    pub(super) id: NodeId,
}

pub(super) struct Node {
    pub(super) config: NodeConfig,
    pub(super) owner: Owner,
    pub(super) attached: bool,
    pub(super) view: Option<View>,
    pub(super) traits: PhyTraits,
    /// What it told itself with the last reset that it saw without its cable.
    pub(super) alone: Option<SelfId>,
    /// Addresses served, by start; no two overlap.
    pub(super) claims: BTreeMap<u64, AddressRange>,
    /// Transactions under way that this node sent.
    pub(super) labels: usize,
    /// How often its link sends a packet again that was answered with busy.
    pub(super) retries: u8,
    /// Where the machine's timeout stands in the agenda.
    pub(super) timer: Option<(Instant, u64)>,
}

/// Who is to serve a request.
pub(super) enum Place {
    Rom { offset: usize },
    Claimed,
    Nobody(RCode),
}

impl Node {
    pub(super) fn new(config: NodeConfig, owner: Owner, claims: Vec<AddressRange>) -> Self {
        Self {
            config,
            attached: !matches!(owner, Owner::Controller { .. }),
            owner,
            view: None,
            traits: PhyTraits::default(),
            alone: None,
            claims: claims
                .into_iter()
                .map(|range| (range.start().get(), range))
                .collect(),
            labels: 0,
            retries: RETRIES,
            timer: None,
        }
    }

    pub(super) const fn is_host(&self) -> bool {
        matches!(self.owner, Owner::Host { .. })
    }

    pub(super) const fn is_controller(&self) -> bool {
        matches!(self.owner, Owner::Controller { .. })
    }

    pub(super) fn place(&self, address: Address, operation: &Operation) -> Place {
        if self.is_controller() {
            return Place::Claimed;
        }
        let length = operation.length() as u64;
        if let Some(offset) = address
            .get()
            .checked_sub(csr::CONFIG_ROM.get())
            .filter(|offset| *offset < csr::CONFIG_ROM_LENGTH)
        {
            return Place::Rom {
                offset: offset as usize,
            };
        }
        let claimed = self
            .claims
            .range(..=address.get())
            .next_back()
            .is_some_and(|(_, range)| range.offset_of(address, length).is_some());
        if claimed {
            Place::Claimed
        } else if self.is_host() && address < csr::HIGH_MEMORY.start() {
            // Linux owns the first 4 GiB and leaves them to the controller's physical unit.
            Place::Nobody(RCode::TYPE_ERROR)
        } else {
            Place::Nobody(RCode::ADDRESS_ERROR)
        }
    }

    /// Whether a request is acknowledged as complete before anybody has seen it.
    pub(super) fn posts(&self, address: Address, operation: &Operation) -> bool {
        self.is_host()
            && matches!(
                operation,
                Operation::WriteQuadlet { .. } | Operation::WriteBlock { .. }
            )
            && csr::POSTED_WRITES
                .offset_of(address, operation.length() as u64)
                .is_some()
    }

    /// What an access to the ROM window at `offset` reads.
    pub(super) fn read_rom(&self, offset: usize, operation: &Operation) -> Result<Vec<u8>, RCode> {
        let length = match operation {
            Operation::ReadQuadlet => 4,
            Operation::ReadBlock { length } if self.config.rom_block_reads => *length,
            _ => return Err(RCode::TYPE_ERROR),
        };
        let window = csr::CONFIG_ROM_LENGTH as usize;
        if !offset.is_multiple_of(4) || length > window - offset {
            return Err(RCode::ADDRESS_ERROR);
        }
        let quadlets = length.div_ceil(4);
        let mut data: Vec<u8> = (offset / 4..offset / 4 + quadlets)
            .flat_map(|at| self.config.rom.get(at).copied().unwrap_or(0).to_be_bytes())
            .collect();
        data.truncate(length);
        Ok(data)
    }

    /// The first gap of `length` bytes in `region`.
    pub(super) fn free_range(&self, region: AddressRange, length: u64) -> Option<AddressRange> {
        let mut start = region.start().get();
        for range in self.claims.values() {
            if range.end() <= start {
                continue;
            }
            if range.start().get() >= start + length {
                break;
            }
            start = range.end();
        }
        let range = AddressRange::new(Address::new(start), length).ok()?;
        region.offset_of(range.start(), length).map(|_| range)
    }
}
