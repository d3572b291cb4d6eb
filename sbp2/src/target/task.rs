use alloc::vec::Vec;

use ohci_raw::bus::{Address, RCode, Speed};

use super::fetch_agent::OrbId;
use super::outbox::Route;
use super::outcome::Outcome;
use super::segments::{Next, PastEnd, Piece, Segments};
use crate::scsi::{AdditionalSense, Completion, DeviceServer, Execution, Nexus, SenseKey};
use crate::wire::{
    CommandFlags, CommandOrb, Direction, RequestFormat, Sbp2Status, TransportObject,
};

/// How much of a command's data is in memory at a time: the medium is read and written in
/// portions of this many bytes, or of one block if blocks are longer.
const CHUNK: usize = 64 << 10;

/// What a task wants sent to where its data is.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Request {
    /// Read part of the page table.
    Table(Piece),
    /// Fetch data into the chunk at `offset`.
    Fetch { piece: Piece, offset: usize },
    /// Store these bytes of the chunk.
    Store { address: Address, data: Vec<u8> },
}

/// What a task's data is.
#[derive(Debug)]
enum Work {
    /// Bytes that the device server made up, all of them in the chunk.
    Send,
    /// Blocks from the medium that are not yet in the chunk.
    Read { lba: u64, blocks: u32 },
    /// Blocks for the medium, the first ones being those in the chunk.
    Write { lba: u64, blocks: u32, fua: bool },
}

/// One command ORB while it is executed: moves its data between medium and initiator.
///
/// Data goes through a chunk of bounded size, whatever the command asks for. A chunk is written
/// to the medium only when all of it has arrived, so what a failed command leaves behind is a
/// number of whole chunks of its data, from its first block on.
#[derive(Debug)]
pub(super) struct Task {
    /// Whose it is.
    pub(super) slot: usize,
    /// Tells its responses from those of tasks before it.
    pub(super) serial: u64,
    pub(super) orb: OrbId,
    /// Where the data is, and how fast to move it.
    pub(super) route: Route,
    /// The most that a packet may carry.
    payload: usize,
    segments: Segments,
    work: Work,
    block_length: usize,
    chunk: Vec<u8>,
    /// Bytes of the chunk for which a packet was sent.
    asked: usize,
    /// Bytes of the chunk that have crossed the bus.
    moved: usize,
    in_flight: usize,
}

/// The parts of a command ORB that a target has to agree with before it begins.
pub(super) struct Terms {
    route: Route,
    payload: usize,
    segments: Segments,
    has_data: bool,
}

impl Terms {
    /// Checks the ORB.
    pub(super) fn of(
        orb: &CommandOrb,
        max_speed: Speed,
        max_payload: usize,
    ) -> Result<Self, Outcome> {
        match orb.request_format() {
            RequestFormat::NORMAL => {}
            RequestFormat::DUMMY => {
                return Err(Outcome::Refused(Sbp2Status::DUMMY_ORB_COMPLETED));
            }
            _ => return Err(Outcome::Refused(Sbp2Status::REQUEST_TYPE_NOT_SUPPORTED)),
        }
        let speed = Speed::from_code(orb.speed_code())
            .filter(|speed| *speed <= max_speed)
            .ok_or(Outcome::Refused(Sbp2Status::SPEED_NOT_SUPPORTED))?;
        let page_table = orb.flags().contains(CommandFlags::PAGE_TABLE);
        if page_table && orb.page_size() != 0 {
            return Err(Outcome::Refused(Sbp2Status::PAGE_SIZE_NOT_SUPPORTED));
        }
        let has_data = orb.data_size() > 0;
        let node = orb.data_descriptor.node();
        if has_data && node.is_broadcast() {
            return Err(Outcome::Illegal);
        }
        Ok(Self {
            route: Route { node, speed },
            payload: orb
                .max_payload()
                .bytes()
                .min(speed.max_payload())
                .min(max_payload),
            segments: Segments::new(orb, page_table).map_err(|PastEnd| Outcome::Illegal)?,
            has_data,
        })
    }

    /// The speed at which the initiator wants to be spoken to.
    pub(super) const fn speed(&self) -> Speed {
        self.route.speed
    }
}

/// Which ORB a task is for.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) slot: usize,
    pub(super) serial: u64,
    pub(super) orb: OrbId,
}

impl Task {
    /// Gives the command to the device server. Returns the outcome if there is no data to move.
    pub(super) fn start(
        place: Place,
        terms: Terms,
        orb: &CommandOrb,
        device: &mut DeviceServer,
        nexus: &mut Nexus,
    ) -> Result<Self, Outcome> {
        let (work, chunk) = match device.execute(nexus, &orb.command_block) {
            Execution::Complete(completion) => return Err(Outcome::Completed(completion)),
            Execution::DataIn(data) => (Work::Send, data),
            Execution::Read { lba, blocks } => (Work::Read { lba, blocks }, Vec::new()),
            Execution::Write { lba, blocks, fua } => (Work::Write { lba, blocks, fua }, Vec::new()),
        };
        let wanted = match work {
            Work::Write { .. } => Direction::ToTarget,
            Work::Send | Work::Read { .. } => Direction::FromTarget,
        };
        if terms.has_data && orb.direction() != wanted {
            return Err(Outcome::Illegal);
        }
        let block_length = device.medium().block_length();
        let task = Self {
            slot: place.slot,
            serial: place.serial,
            orb: place.orb,
            route: terms.route,
            payload: terms.payload,
            segments: terms.segments,
            work,
            block_length: usize::try_from(block_length).unwrap_or(CHUNK),
            chunk,
            asked: 0,
            moved: 0,
            in_flight: 0,
        };
        task.check_room()?;
        Ok(task)
    }

    /// Blocks of the medium have to find room in the buffer, all of them. There is no residue in
    /// a status block, so an initiator could not learn of a transfer cut short. Other data is cut
    /// to the buffer, as its allocation length would have cut it.
    ///
    /// As long as part of the page table is unknown, so is the answer, and it counts as yes.
    fn check_room(&self) -> Result<(), Outcome> {
        let blocks = match self.work {
            Work::Send => return Ok(()),
            Work::Read { blocks, .. } => blocks,
            // The chunk holds the first ones.
            Work::Write { blocks, .. } => {
                blocks.saturating_sub(count(self.chunk.len() / self.block_length))
            }
        };
        let open = u64::from(blocks) * self.block_length as u64;
        let open = open + (self.chunk.len() - self.asked) as u64;
        match self.segments.known_length() {
            Some(room) if room < open => Err(short()),
            _ => Ok(()),
        }
    }

    /// Goes on as far as possible: returns the next request to send, or `None` while nothing can
    /// be done before a response comes. `window` is the number of data packets that may be under
    /// way.
    ///
    /// # Errors
    /// The outcome: the task has ended.
    pub(super) fn poll(
        &mut self,
        device: &mut DeviceServer,
        window: usize,
    ) -> Result<Option<Request>, Outcome> {
        loop {
            if self.moved == self.chunk.len() {
                self.next_chunk(device)?;
            }
            if self.asked == self.chunk.len() || self.in_flight >= window {
                return Ok(None);
            }
            let most = self.payload.min(self.chunk.len() - self.asked);
            match self.segments.take(most) {
                Next::Piece(piece) => return Ok(Some(self.request(piece))),
                Next::NeedsTable => {
                    return Ok(self.segments.table_read(self.payload).map(Request::Table));
                }
                Next::End if matches!(self.work, Work::Send) => {
                    self.chunk.truncate(self.asked);
                    if self.moved < self.asked {
                        return Ok(None);
                    }
                }
                Next::End => return Err(short()),
            }
        }
    }

    fn request(&mut self, piece: Piece) -> Request {
        let offset = self.asked;
        self.asked += piece.length;
        self.in_flight += 1;
        match self.work {
            Work::Write { .. } => Request::Fetch { piece, offset },
            Work::Send | Work::Read { .. } => Request::Store {
                address: piece.address,
                data: self.chunk[offset..self.asked].to_vec(),
            },
        }
    }

    /// The chunk has crossed the bus as a whole: brings it to the medium if it is for it, and
    /// prepares the next one.
    fn next_chunk(&mut self, device: &mut DeviceServer) -> Result<(), Outcome> {
        let whole = (CHUNK / self.block_length).max(1);
        match &mut self.work {
            Work::Send => return Err(Outcome::Completed(Completion::GOOD)),
            Work::Read { lba, blocks } => {
                if *blocks == 0 {
                    return Err(Outcome::Completed(Completion::GOOD));
                }
                let now = (*blocks).min(count(whole));
                self.chunk.resize(now as usize * self.block_length, 0);
                device
                    .read(*lba, &mut self.chunk)
                    .map_err(Outcome::Completed)?;
                *lba += u64::from(now);
                *blocks -= now;
            }
            Work::Write { lba, blocks, fua } => {
                if !self.chunk.is_empty() {
                    device
                        .write(*lba, &self.chunk)
                        .map_err(Outcome::Completed)?;
                    let done = count(self.chunk.len() / self.block_length);
                    *lba += u64::from(done);
                    *blocks = blocks.saturating_sub(done);
                }
                if *blocks == 0 {
                    let end = device.finish_write(*fua);
                    return Err(Outcome::Completed(end.err().unwrap_or(Completion::GOOD)));
                }
                let now = (*blocks).min(count(whole)) as usize;
                self.chunk.resize(now * self.block_length, 0);
            }
        }
        self.asked = 0;
        self.moved = 0;
        Ok(())
    }

    /// A [`Request::Store`] of `length` bytes has ended.
    pub(super) fn stored(&mut self, length: usize, rcode: RCode) -> Result<(), Outcome> {
        self.in_flight -= 1;
        if !rcode.is_complete() {
            return Err(Outcome::transport(TransportObject::DataBuffer, rcode));
        }
        self.moved += length;
        Ok(())
    }

    /// A [`Request::Fetch`] of `length` bytes for `offset` has ended.
    pub(super) fn fetched(
        &mut self,
        offset: usize,
        length: usize,
        rcode: RCode,
        data: &[u8],
    ) -> Result<(), Outcome> {
        self.in_flight -= 1;
        if !rcode.is_complete() || data.len() != length {
            return Err(Outcome::transport(TransportObject::DataBuffer, rcode));
        }
        self.chunk[offset..offset + length].copy_from_slice(data);
        self.moved += length;
        Ok(())
    }

    /// A [`Request::Table`] of `length` bytes has ended.
    pub(super) fn table_fetched(
        &mut self,
        length: usize,
        rcode: RCode,
        data: &[u8],
    ) -> Result<(), Outcome> {
        if !rcode.is_complete() || data.len() != length {
            return Err(Outcome::transport(TransportObject::PageTable, rcode));
        }
        self.segments
            .table_arrived(data)
            .map_err(|PastEnd| Outcome::Illegal)?;
        self.check_room()
    }
}

/// The buffer has less room than the command's blocks take.
const fn short() -> Outcome {
    Outcome::Completed(Completion::check_with(
        SenseKey::IllegalRequest,
        AdditionalSense::INVALID_FIELD_IN_CDB,
    ))
}

/// A number of blocks in a chunk, which is small.
fn count(blocks: usize) -> u32 {
    u32::try_from(blocks).unwrap_or(u32::MAX)
}
