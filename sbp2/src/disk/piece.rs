//! A request is carried out in pieces, each one command.

use alloc::vec;
use alloc::vec::Vec;

use ohci_raw::bus::Instant;

use super::request::{Request, RequestError, RequestTag};
use crate::initiator::{Command, Data};
use crate::scsi::{Cdb, read_blocks, write_blocks};

/// One command of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) request: RequestTag,
    pub(super) kind: Kind,
    pub(super) lba: u64,
    pub(super) blocks: u32,
    /// Where its bytes are in the request's.
    pub(super) offset: usize,
    /// How often it was tried again.
    pub(super) retries: u32,
    /// When it was first given to the initiator.
    pub(super) since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Read,
    Write { fua: bool },
    Synchronize,
}

impl Piece {
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Read => "READ",
            Kind::Write { .. } => "WRITE",
            Kind::Synchronize => "SYNCHRONIZE CACHE",
        }
    }
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) request: Request,
    /// READ: what has arrived.
    pub(super) buffer: Vec<u8>,
    /// How many of its blocks have been handed out in pieces.
    pub(super) begun: u32,
    /// How many pieces have not ended.
    pub(super) under_way: u32,
    /// Whether SYNCHRONIZE CACHE has been handed out.
    pub(super) synchronized: bool,
    pub(super) error: Option<RequestError>,
    /// How often writes may have been lost before the first piece was handed out.
    pub(super) losses: u64,
    /// The number of writes that had ended when the flush was handed out.
    pub(super) covers: u64,
}

impl Work {
    pub(super) fn new(request: Request, block_length: u32) -> Self {
        let length = match request {
            Request::Read { blocks, .. } => blocks as usize * block_length as usize,
            _ => 0,
        };
        Self {
            request,
            buffer: vec![0; length],
            begun: 0,
            under_way: 0,
            synchronized: false,
            error: None,
            losses: 0,
            covers: 0,
        }
    }

    fn blocks(&self, block_length: u32) -> u32 {
        match &self.request {
            Request::Read { blocks, .. } | Request::WriteZeroes { blocks, .. } => *blocks,
            // The length was checked when the request came in.
            Request::Write { data, .. } => (data.len() / block_length as usize) as u32,
            Request::Flush => 0,
        }
    }

    /// Whether SYNCHRONIZE CACHE has to follow: for a flush, and for FUA on a disk that does not
    /// know it.
    fn wants_sync(&self, disk_has_fua: bool) -> bool {
        match self.request {
            Request::Flush => true,
            Request::Write { fua, .. } | Request::WriteZeroes { fua, .. } => fua && !disk_has_fua,
            Request::Read { .. } => false,
        }
    }

    /// The next piece to hand out, if there is one now.
    pub(super) fn next_piece(
        &mut self,
        tag: RequestTag,
        limits: Limits,
        now: Instant,
    ) -> Option<Piece> {
        if self.error.is_some() {
            return None;
        }
        let left = self.blocks(limits.block_length) - self.begun;
        let mut piece = Piece {
            request: tag,
            kind: Kind::Synchronize,
            lba: 0,
            blocks: left.min(limits.max_blocks),
            offset: self.begun as usize * limits.block_length as usize,
            retries: 0,
            since: now,
        };
        if left == 0 {
            let ready = self.wants_sync(limits.fua) && self.under_way == 0 && !self.synchronized;
            self.synchronized |= ready;
            self.under_way += u32::from(ready);
            return ready.then_some(piece);
        }
        let (lba, kind) = match self.request {
            Request::Read { lba, .. } => (lba, Kind::Read),
            Request::Write { lba, fua, .. } | Request::WriteZeroes { lba, fua, .. } => {
                let fua = fua && limits.fua;
                (lba, Kind::Write { fua })
            }
            Request::Flush => return None,
        };
        piece.kind = kind;
        piece.lba = lba + u64::from(self.begun);
        self.begun += piece.blocks;
        self.under_way += 1;
        Some(piece)
    }

    /// Whether nothing is left to be handed out now, though something may be under way.
    pub(super) fn is_handed_out(&self, limits: Limits) -> bool {
        self.error.is_some()
            || (self.begun == self.blocks(limits.block_length)
                && (self.synchronized || !self.wants_sync(limits.fua)))
    }

    /// The command for a piece of this request.
    pub(super) fn command(&self, piece: &Piece, block_length: u32) -> Command {
        let length = piece.blocks as usize * block_length as usize;
        let (cdb, data) = match piece.kind {
            Kind::Read => (
                read_blocks(piece.lba, piece.blocks),
                // At most the initiator's max_transfer.
                Data::In(length as u32),
            ),
            Kind::Write { fua } => {
                let bytes = match &self.request {
                    Request::Write { data, .. } => {
                        data[piece.offset..piece.offset + length].to_vec()
                    }
                    _ => vec![0; length],
                };
                (write_blocks(piece.lba, piece.blocks, fua), Data::Out(bytes))
            }
            Kind::Synchronize => (
                Cdb::SynchronizeCache10 {
                    immediate: false,
                    lba: 0,
                    blocks: 0,
                },
                Data::None,
            ),
        };
        Command {
            cdb: padded(&cdb),
            data,
            timeout: None,
            urgent: false,
        }
    }
}

/// A CDB in the 16 bytes of an ORB's command block.
pub(super) fn padded(cdb: &Cdb) -> [u8; 16] {
    let raw = cdb.encode();
    let mut block = [0; 16];
    block[..raw.as_bytes().len()].copy_from_slice(raw.as_bytes());
    block
}

/// What a command may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    pub(super) block_length: u32,
    pub(super) max_blocks: u32,
    /// Whether the disk knows FUA, or has no cache that would need it.
    pub(super) fua: bool,
}
