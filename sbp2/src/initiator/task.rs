//! One command between its submission and its end.

use alloc::vec;
use alloc::vec::Vec;

use ohci_raw::bus::{Instant, Operation, Response};
use zerocopy::IntoBytes;

use super::command::{Command, CommandError, CommandTag, Completion, Data};
use super::context::Context;
use super::memory::{ORB_WINDOW, read, write};
use super::received::Received;
use super::refusals::Refusal;
use crate::wire::{CommandOrb, MaxPayload, PageTableEntry};

/// How often a command is given to the target before its failure is believed. Bus resets do not
/// count.
pub(super) const MAX_ATTEMPTS: u8 = 3;
/// How often a page table may be read as a whole. Once is enough; a target that has been
/// interrupted reads it anew.
const PAGE_TABLE_READS: usize = 16;

/// A command that waits to be given to the target.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) tag: CommandTag,
    pub(super) command: Command,
    /// How often it was given to the target and came to nothing by its own fault.
    pub(super) attempts: u8,
    /// What became of the last of these.
    pub(super) last_error: Option<CommandError>,
    /// How often it was given to the target at all, bus resets included.
    pub(super) issued: u32,
    /// When it was submitted.
    pub(super) since: Instant,
}

impl Waiting {
    /// Notes that a try came to nothing. An abort is final.
    pub(super) fn blame(&mut self, error: CommandError) {
        self.attempts = match error {
            CommandError::Aborted => MAX_ATTEMPTS,
            _ => self.attempts.saturating_add(1),
        };
        self.last_error = Some(error);
    }
}

/// A command that the target has been given.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) waiting: Waiting,
    pub(super) orb: CommandOrb,
    pub(super) deadline: Instant,
    /// Counts the ORBs of this initiator.
    pub(super) sequence: u64,
    page_table: Vec<PageTableEntry>,
    buffer: Vec<u8>,
    received: Received,
    /// Bytes of the page table that were read.
    table_read: usize,
}

impl Task {
    /// Lays a command out in a slot of the initiator's memory.
    pub(super) fn new(waiting: Waiting, slot: u32, now: Instant, context: &Context) -> Self {
        let config = &context.config;
        let data = &waiting.command.data;
        let mut orb = CommandOrb::new(waiting.command.cdb);
        let mut page_table = Vec::new();
        if let Some(direction) = data.direction()
            && data.length() > 0
        {
            let max_payload = MaxPayload::negotiate(config.speed, config.max_rec);
            let base = context.layout.data(slot);
            // Both casts: no command has more than `Config::MAX_TRANSFER` bytes.
            let length = data.length() as u32;
            let direct = data.length() <= max_payload.bytes();
            let (descriptor, size) = if direct {
                (base, length as u16)
            } else {
                page_table.extend(PageTableEntry::segments(base, length));
                (context.layout.page_table(slot), page_table.len() as u16)
            };
            let descriptor = context.pointer(descriptor);
            let speed = config.speed;
            orb = orb.with_data(direction, descriptor, size, !direct, speed, max_payload);
        }
        let buffer = match data {
            Data::In(length) => vec![0; *length as usize],
            Data::None | Data::Out(_) => Vec::new(),
        };
        let allowed = waiting.command.timeout.unwrap_or(config.command_timeout);
        Self {
            waiting,
            orb,
            deadline: now + allowed,
            sequence: context.counters.orbs,
            page_table,
            buffer,
            received: Received::default(),
            table_read: 0,
        }
    }

    pub(super) fn complete(self, scsi: Vec<u8>) -> Completion {
        Completion {
            scsi,
            data: self.buffer,
            received: self.received.contiguous(),
        }
    }

    pub(super) fn serve_page_table(
        &mut self,
        offset: u64,
        operation: &Operation,
    ) -> Result<Response, Refusal> {
        let table = self.page_table.as_bytes();
        if self.table_read > table.len() * PAGE_TABLE_READS {
            return Err(Refusal::EndlessReading);
        }
        let response = read(table, offset, operation)?;
        self.table_read += response.data.len();
        Ok(response)
    }

    pub(super) fn serve_data(
        &mut self,
        offset: u64,
        operation: &Operation,
    ) -> Result<Response, Refusal> {
        match &self.waiting.command.data {
            Data::Out(bytes) => read(bytes, offset, operation),
            Data::In(_) => {
                let (start, end) = write(&mut self.buffer, offset, operation)?;
                self.received.note(start, end);
                Ok(Response::COMPLETE)
            }
            Data::None => Err(Refusal::NothingThere),
        }
    }
}

/// Answers a read of an ORB: what lies past its end reads as zero, as targets fetch ORB_size
/// quadlets whatever the ORB needs.
pub(super) fn serve_orb(
    orb: &CommandOrb,
    offset: u64,
    operation: &Operation,
) -> Result<Response, Refusal> {
    let mut window = [0; ORB_WINDOW as usize];
    window[..CommandOrb::LENGTH].copy_from_slice(orb.as_bytes());
    read(&window, offset, operation)
}
