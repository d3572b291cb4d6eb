use alloc::collections::VecDeque;
use alloc::vec::Vec;

use ohci_raw::bus::{Address, RCode};

use crate::wire::{AgentState, CommandOrb, Pointer};

/// What a status block says of an ORB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OrbId {
    pub(super) address: Address,
    /// Whether its next_ORB was null when it was fetched.
    pub(super) last: bool,
}

/// An ORB that was fetched, or the failure to fetch it, in the place where it stood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FetchedOrb {
    pub(super) id: OrbId,
    /// The ORB, or how the bus failed.
    pub(super) content: Result<CommandOrb, RCode>,
}

/// A read that the agent wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fetch {
    pub(super) address: Address,
    pub(super) length: usize,
}

/// A register was written in a state that excludes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Conflict;

/// The read under way.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Reading {
    /// An ORB, as far as ORB_size reaches.
    Orb(Address),
    /// The rest of its command block, after these bytes.
    Tail(Address, Vec<u8>),
    /// The next_ORB field of the last ORB, once more.
    NextOrb(Address),
}

/// The command block agent of one login (SBP-2 6.4 and 9.1).
///
/// It follows the list of ORBs in the initiator's memory and queues what it fetched. It does
/// so ahead of execution: its state says what the *fetching* is doing, and SUSPENDED means that
/// the end of the list was seen, not that its last command has ended.
///
/// A doorbell that rings while the agent is ACTIVE is remembered until the next fetch starts. The
/// initiator rings after it has changed the last next_ORB, and a fetch that was under way then
/// may have read the old one.
#[derive(Debug)]
pub(super) struct FetchAgent {
    state: AgentState,
    /// What ORB_POINTER reads as.
    pointer: Address,
    /// What to fetch next; only while ACTIVE.
    next: Option<Address>,
    reading: Option<Reading>,
    /// Where the last fetched ORB lies, for the doorbell.
    tail: Option<Address>,
    doorbell: bool,
    queue: VecDeque<FetchedOrb>,
    orb_size: usize,
    /// Changes whenever reads under way become meaningless.
    epoch: u64,
}

impl FetchAgent {
    /// An agent in the RESET state that fetches `orb_size` bytes of each ORB at first.
    pub(super) const fn new(orb_size: usize, epoch: u64) -> Self {
        Self {
            state: AgentState::Reset,
            pointer: Address::new(0),
            next: None,
            reading: None,
            tail: None,
            doorbell: false,
            queue: VecDeque::new(),
            orb_size,
            epoch,
        }
    }

    pub(super) const fn state(&self) -> AgentState {
        self.state
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The address that was last written to ORB_POINTER.
    pub(super) const fn orb_pointer(&self) -> Address {
        self.pointer
    }

    /// ORBs known and not yet taken by [`Self::take`].
    pub(super) fn outstanding(&self) -> usize {
        // Looking at a next_ORB again is not yet an ORB.
        let reading = matches!(self.reading, Some(Reading::Orb(_) | Reading::Tail(..)));
        self.queue.len() + usize::from(reading || self.next.is_some())
    }

    /// ORB_POINTER was written.
    pub(super) fn write_orb_pointer(&mut self, orb: Address) -> Result<(), Conflict> {
        match self.state {
            AgentState::Reset | AgentState::Suspended => {
                self.state = AgentState::Active;
                self.pointer = orb;
                self.next = Some(orb);
                self.doorbell = false;
                Ok(())
            }
            AgentState::Active | AgentState::Dead => Err(Conflict),
        }
    }

    /// DOORBELL was written. In RESET and DEAD there is no list to look at, and it does nothing.
    pub(super) fn ring_doorbell(&mut self) {
        match self.state {
            AgentState::Active => self.doorbell = true,
            AgentState::Suspended => {
                self.state = AgentState::Active;
                self.doorbell = true;
            }
            AgentState::Reset | AgentState::Dead => {}
        }
    }

    /// AGENT_RESET was written, or something else that makes the agent forget its list. Returns
    /// how many ORBs were forgotten.
    pub(super) fn reset(&mut self, epoch: u64) -> usize {
        let forgotten = self.outstanding();
        *self = Self::new(self.orb_size, epoch);
        forgotten
    }

    /// A command failed so that no further ones may be carried out before the initiator has
    /// looked at it. What was fetched is forgotten; returns how many ORBs.
    pub(super) fn kill(&mut self, epoch: u64) -> usize {
        let forgotten = self.reset(epoch);
        self.state = AgentState::Dead;
        forgotten
    }

    /// What to read next, if there is something and nothing is being read. `room` is the number
    /// of ORBs that may be queued.
    pub(super) fn poll_fetch(&mut self, room: usize) -> Option<Fetch> {
        if self.state != AgentState::Active || self.reading.is_some() || self.queue.len() >= room {
            return None;
        }
        if let Some(address) = self.next.take() {
            self.doorbell = false;
            self.reading = Some(Reading::Orb(address));
            return Some(Fetch {
                address,
                length: self.orb_size,
            });
        }
        let address = self.tail?;
        self.doorbell = false;
        self.reading = Some(Reading::NextOrb(address));
        Some(Fetch {
            address,
            length: size_of::<Pointer>(),
        })
    }

    /// The read of [`Self::poll_fetch`] has ended. Returns a further read that belongs to it.
    pub(super) fn fetched(&mut self, rcode: RCode, data: &[u8]) -> Option<Fetch> {
        match self.reading.take()? {
            Reading::Orb(address) => {
                let Some(orb) = received(rcode, data, self.orb_size) else {
                    self.fail(address, rcode);
                    return None;
                };
                if let Some(missing) = missing_tail(orb) {
                    let fetch = Address::new(address.get() + orb.len() as u64);
                    self.reading = Some(Reading::Tail(address, Vec::from(orb)));
                    return Some(Fetch {
                        address: fetch,
                        length: missing,
                    });
                }
                self.queue_orb(address, orb);
            }
            Reading::Tail(address, mut orb) => {
                let missing = missing_tail(&orb).unwrap_or(0);
                match received(rcode, data, missing) {
                    Some(tail) => {
                        orb.extend_from_slice(tail);
                        self.queue_orb(address, &orb);
                    }
                    None => self.fail(address, rcode),
                }
            }
            Reading::NextOrb(address) => {
                let length = size_of::<Pointer>();
                match received(rcode, data, length).map(zerocopy::FromBytes::read_from_bytes) {
                    Some(Ok(next)) => self.follow(next),
                    _ => self.fail(address, rcode),
                }
            }
        }
        None
    }

    fn queue_orb(&mut self, address: Address, bytes: &[u8]) {
        let Some(orb) = CommandOrb::from_fetched(bytes) else {
            self.fail(address, RCode::DATA_ERROR);
            return;
        };
        self.tail = Some(address);
        let last = orb.next_orb.is_null();
        self.queue.push_back(FetchedOrb {
            id: OrbId { address, last },
            content: Ok(orb),
        });
        self.follow(orb.next_orb);
    }

    fn follow(&mut self, next: Pointer) {
        if !next.is_null() {
            self.next = Some(next.orb_address());
        } else if !self.doorbell {
            self.state = AgentState::Suspended;
        }
    }

    fn fail(&mut self, address: Address, rcode: RCode) {
        self.state = AgentState::Dead;
        self.next = None;
        self.doorbell = false;
        self.queue.push_back(FetchedOrb {
            id: OrbId {
                address,
                last: false,
            },
            content: Err(rcode),
        });
    }

    /// Whether an ORB waits to be executed.
    pub(super) fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The oldest ORB.
    pub(super) fn take(&mut self) -> Option<FetchedOrb> {
        self.queue.pop_front()
    }

    /// Takes the ORB at this address out of the queue.
    pub(super) fn remove(&mut self, address: Address) -> Option<FetchedOrb> {
        let index = self
            .queue
            .iter()
            .position(|orb| orb.id.address == address)?;
        self.queue.remove(index)
    }
}

/// What was read, if it is as long as was asked for.
fn received(rcode: RCode, data: &[u8], length: usize) -> Option<&[u8]> {
    (rcode.is_complete() && data.len() == length).then_some(data)
}

/// How many bytes of the command block are missing after the fetched bytes of an ORB.
///
/// Most targets have room for 12 bytes (ORB_size 8). READ(16) and its like need 16, so the rest
/// is read as soon as the operation code says that there is one (`sbp_fetch_command` in
/// `drivers/target/sbp/sbp_target.c`). The length follows from the code's group (SPC-3 4.3.4.1).
fn missing_tail(orb: &[u8]) -> Option<usize> {
    let opcode = *orb.get(CommandOrb::HEADER_LENGTH)?;
    let command = match opcode >> 5 {
        4 => 16,
        _ => return None,
    };
    let missing = (CommandOrb::HEADER_LENGTH + command).saturating_sub(orb.len());
    (missing > 0).then_some(missing)
}

#[cfg(test)]
mod tests;
