//! A receive context: fills buffers with packets one after the other (OHCI 1.1, chapter 8).
//!
//! A packet may lie across two buffers and more. Software finds the end of what was written by
//! the residual counts, and looks at the next buffer when one is full: so the packet is written
//! first, and then the counts, the newest buffer's before those of the full ones.
//!
//! A packet is not let in either that would leave all buffers exactly full but for the last one, and
//! that one empty: Linux's driver looks for the end of such a ring for ever (`docs/lab.md`). A
//! controller on a cable comes there once in many years, because its bus takes its time; on a bus
//! where everything arrives at once it is a matter of minutes.

use std::collections::VecDeque;

use ohci_raw::bus::Speed;
use ohci_raw::descriptor::{Branch, DESCRIPTOR_LENGTH, Descriptor};
use ohci_raw::regs::{ContextControl, EventCode};
use zerocopy::FromBytes as _;

use super::Memory;
use super::context::Context;

/// How many packets wait for room: responses, of which a driver has asked for as many as it has
/// labels, and the packet of the last bus reset.
const HELD_MAX: usize = 256;
/// How many buffers one packet may lie across.
const BUFFERS_MAX: usize = 64;
/// From so many buffers on software that keeps pace has always more than one to spare, and makes
/// room for a packet that is not let in.
const RING: usize = 3;

/// A packet on its way into memory, without its trailer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Received {
    pub(super) packet: Vec<u8>,
    pub(super) event: EventCode,
    pub(super) speed: Speed,
}

/// A buffer that is being filled.
#[derive(Clone, Copy, Debug)]
struct Buffer {
    /// Where its descriptor is.
    descriptor: u64,
    data: u64,
    length: u16,
    filled: u16,
}

impl Buffer {
    const fn room(&self) -> u16 {
        self.length - self.filled
    }
}

/// A receive context.
#[derive(Clone, Debug, Default)]
pub(super) struct Receive {
    pub(super) context: Context,
    current: Option<Buffer>,
    /// Whether there were so many buffers at the start that one may be left for later.
    is_ring: bool,
    held: VecDeque<Received>,
}

impl Receive {
    /// Software has written the control register's set address.
    pub(super) fn set(&mut self, value: u32) {
        if self.context.set(value) {
            self.current = None;
        }
        self.context.take_wake();
    }

    /// Takes a packet in, which is written by [`Self::flush`]. It is lost where the context does not
    /// run, or holds too many.
    pub(super) fn push(&mut self, received: Received) {
        if self.context.runs() && self.held.len() < HELD_MAX {
            self.held.push_back(received);
        }
    }

    /// Writes a packet at once, or not at all. Whether there was room.
    pub(super) fn offer(
        &mut self,
        memory: &dyn Memory,
        received: &Received,
        timestamp: u16,
    ) -> Result<bool, EventCode> {
        if !self.context.runs() || !self.held.is_empty() {
            return Ok(false);
        }
        self.context.set_active(true);
        self.write(memory, received, timestamp)
    }

    /// Forgets what waits for room.
    pub(super) fn drop_held(&mut self) {
        self.held.clear();
    }

    /// Writes what there is room for. How many packets that were.
    pub(super) fn flush(
        &mut self,
        memory: &dyn Memory,
        timestamp: u16,
    ) -> Result<usize, EventCode> {
        let mut written = 0;
        while self.context.runs() {
            let Some(received) = self.held.front().cloned() else {
                break;
            };
            self.context.set_active(true);
            if !self.write(memory, &received, timestamp)? {
                break;
            }
            self.held.pop_front();
            written += 1;
        }
        Ok(written)
    }

    /// Writes one packet with its trailer. Whether there was room.
    fn write(
        &mut self,
        memory: &dyn Memory,
        received: &Received,
        timestamp: u16,
    ) -> Result<bool, EventCode> {
        self.context.received(received.event, received.speed);
        let mut bytes = received.packet.clone();
        let trailer = u32::from(self.context.status()) << 16 | u32::from(timestamp);
        bytes.extend_from_slice(&trailer.to_le_bytes());

        if self.current.is_none() {
            self.is_ring = has_buffers(memory, self.context.command_ptr, RING)?;
        }
        let Some(mut buffers) = self.find_room(memory, bytes.len())? else {
            return Ok(false);
        };
        if self.is_ring && leaves_the_last_one(memory, &buffers, bytes.len())? {
            return Ok(false);
        }
        let mut rest = &bytes[..];
        for buffer in &mut buffers {
            let (part, others) = rest.split_at(rest.len().min(usize::from(buffer.room())));
            memory
                .write(buffer.data + u64::from(buffer.filled), part)
                .map_err(|_| EventCode::DataWrite)?;
            buffer.filled += part.len() as u16;
            rest = others;
        }
        for buffer in buffers.iter().rev() {
            let [c0, c1] = buffer.room().to_le_bytes();
            let [s0, s1] = self.context.status().to_le_bytes();
            memory
                .write(buffer.descriptor + 12, &[c0, c1, s0, s1])
                .map_err(|_| EventCode::DataWrite)?;
        }
        self.current = buffers.last().copied();
        Ok(true)
    }

    /// The buffers from the current one on that have room for so many bytes, if there are enough.
    fn find_room(
        &self,
        memory: &dyn Memory,
        length: usize,
    ) -> Result<Option<Vec<Buffer>>, EventCode> {
        let mut buffers: Vec<Buffer> = Vec::new();
        let mut room = 0;
        let mut last = self.current;
        if let Some(current) = self.current.filter(|current| current.room() > 0) {
            room = usize::from(current.room());
            buffers.push(current);
        }
        while room < length {
            // Software fills the branch in when it gives a buffer back: it is read each time.
            let branch = match last {
                Some(buffer) => read_descriptor(memory, buffer.descriptor)?.branch(),
                None => self.context.command_ptr,
            };
            if branch.z() == 0 {
                return Ok(None);
            }
            if buffers.len() == BUFFERS_MAX {
                return Err(EventCode::Unknown);
            }
            let next = read_buffer(memory, branch)?;
            room += usize::from(next.room());
            buffers.push(next);
            last = Some(next);
        }
        Ok(Some(buffers))
    }

    /// The program or the buffers cannot be reached.
    pub(super) fn die(&mut self, event: EventCode) {
        self.context.end_with(event);
        self.context.control |= ContextControl::DEAD;
        self.context.set_active(false);
        self.held.clear();
    }
}

/// Whether so many bytes fill these buffers exactly, and the one behind them is the last.
fn leaves_the_last_one(
    memory: &dyn Memory,
    buffers: &[Buffer],
    length: usize,
) -> Result<bool, EventCode> {
    let room: usize = buffers
        .iter()
        .map(|buffer| usize::from(buffer.room()))
        .sum();
    match buffers.last() {
        Some(last) if room == length => {
            let next = read_descriptor(memory, last.descriptor)?.branch();
            Ok(next.z() != 0 && !has_buffers(memory, next, 2)?)
        }
        _ => Ok(false),
    }
}

/// Whether a program has at least so many buffers from here on.
fn has_buffers(memory: &dyn Memory, mut branch: Branch, count: usize) -> Result<bool, EventCode> {
    for left in (0..count).rev() {
        if branch.z() == 0 {
            return Ok(false);
        }
        if left > 0 {
            branch = read_descriptor(memory, branch.address())?.branch();
        }
    }
    Ok(true)
}

fn read_descriptor(memory: &dyn Memory, address: u64) -> Result<Descriptor, EventCode> {
    let unreadable = EventCode::DescriptorRead;
    let mut bytes = [0; DESCRIPTOR_LENGTH as usize];
    memory.read(address, &mut bytes).map_err(|_| unreadable)?;
    Descriptor::read_from_bytes(&bytes).map_err(|_| unreadable)
}

fn read_buffer(memory: &dyn Memory, branch: Branch) -> Result<Buffer, EventCode> {
    let descriptor = read_descriptor(memory, branch.address())?;
    Ok(Buffer {
        descriptor: branch.address(),
        data: u64::from(descriptor.data_address.get()),
        length: descriptor.req_count.get(),
        filled: 0,
    })
}
