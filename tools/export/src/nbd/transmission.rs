//! The second phase: which requests are taken, and what replies look like (proto.md,
//! "Transmission phase").

use std::ops::Range;

use zerocopy::IntoBytes;

use super::export::Export;
use super::output::Outgoing;
use super::wire::{
    ChunkHeader, ChunkType, Command, CommandFlags, Errno, ErrorChunk, REPLY_FLAG_DONE,
    RequestHeader, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC, SimpleReply,
};

/// A refused write of more than this is hung up on, not read and thrown away. No client that
/// knows the maximum, or assumes 32 MiB for want of it, gets here.
pub(super) const MAX_DRAIN: u32 = 64 << 20;

/// The longest piece that a write of zeroes is cut into, in bytes.
pub(super) const ZEROES_PIECE: u32 = 1 << 20;

/// A text in an error reply is cut here.
const MAX_ERROR_TEXT: usize = 512;

/// A request that may be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Accepted {
    /// Read `length` bytes from `offset`, both whole blocks, and send `part` of them.
    Read {
        offset: u64,
        length: u32,
        part: Range<usize>,
    },
    /// Write the `length` bytes that follow.
    Write { offset: u64, length: u32, fua: bool },
    /// Write zeroes over `range`.
    WriteZeroes { range: Range<u64>, fua: bool },
    /// Bring everything onto the medium.
    Flush,
    /// A read or write of no bytes: there is nothing to ask the disk.
    Nothing,
}

impl Accepted {
    /// Bytes that this host must hold for it.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Read { length, .. } | Self::Write { length, .. } => *length as usize,
            Self::WriteZeroes { .. } | Self::Flush | Self::Nothing => 0,
        }
    }
}

/// Why a request is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub(super) errno: Errno,
    pub(super) text: &'static str,
}

const fn refusal(errno: Errno, text: &'static str) -> Refusal {
    Refusal { errno, text }
}

pub(super) const STOPPING: Refusal = refusal(Errno::Shutdown, "the server is stopping");
pub(super) const NO_MEMORY: Refusal = refusal(Errno::NoMemory, "no memory for this request");

const FLAGS: Refusal = refusal(Errno::Invalid, "a flag that this command does not take");
const UNKNOWN: Refusal = refusal(Errno::Invalid, "a command that this server does not know");
const FLUSH_RANGE: Refusal = refusal(Errno::Invalid, "a flush takes no offset and no length");
const READ_ONLY: Refusal = refusal(Errno::Perm, "the export is read-only");
const FAST_ZERO: Refusal = refusal(Errno::NotSupported, "zeroes are no faster than data");
const READ_END: Refusal = refusal(Errno::Invalid, "a read past the end of the disk");
const WRITE_END: Refusal = refusal(Errno::NoSpace, "a write past the end of the disk");
const TOO_LONG: Refusal = refusal(Errno::Invalid, "longer than the maximum block size");
const ALIGNMENT: Refusal = refusal(
    Errno::Invalid,
    "a write must start and end at a block boundary: other hosts write to this disk",
);

/// Checks a request against the export. `NBD_CMD_DISC` is not one.
pub(super) fn check(
    export: &Export,
    structured: bool,
    header: &RequestHeader,
) -> Result<Accepted, Refusal> {
    let geometry = export.geometry();
    let command = Command::from(header.command.get());
    let offset = header.offset.get();
    let length = header.length.get();
    // FUA is legal on every command ("Command flags").
    let mut legal = CommandFlags::FUA;
    match command {
        Command::Read => legal.set(CommandFlags::DF, structured),
        Command::WriteZeroes => legal |= CommandFlags::NO_HOLE | CommandFlags::FAST_ZERO,
        _ => {}
    }
    let flags = CommandFlags::from_bits_retain(header.flags.get());
    let fua = flags.contains(CommandFlags::FUA);
    let range = offset
        .checked_add(u64::from(length))
        .filter(|&end| end <= geometry.size)
        .map(|end| offset..end);
    let block = u64::from(geometry.block_size);

    match command {
        Command::Disconnect | Command::Unknown(_) => Err(UNKNOWN),
        _ if !legal.contains(flags) => Err(FLAGS),
        Command::Flush if offset != 0 || length != 0 => Err(FLUSH_RANGE),
        Command::Flush => Ok(Accepted::Flush),
        Command::Read => {
            let range = range.ok_or(READ_END)?;
            if length > geometry.max_request {
                return Err(TOO_LONG);
            }
            if length == 0 {
                return Ok(Accepted::Nothing);
            }
            // The disk is whole blocks, so widening cannot leave it.
            let start = range.start - range.start % block;
            let end = range.end.next_multiple_of(block);
            let wide = u32::try_from(end - start)
                .ok()
                .filter(|&wide| wide <= geometry.max_request)
                .ok_or(TOO_LONG)?;
            // Less than a block, so it fits in any usize.
            let skip = (range.start - start) as usize;
            Ok(Accepted::Read {
                offset: start,
                length: wide,
                part: skip..skip + length as usize,
            })
        }
        Command::Write | Command::WriteZeroes => {
            if geometry.read_only {
                return Err(READ_ONLY);
            }
            if flags.contains(CommandFlags::FAST_ZERO) {
                return Err(FAST_ZERO);
            }
            let range = range.ok_or(WRITE_END)?;
            if range.start % block != 0 || range.end % block != 0 {
                return Err(ALIGNMENT);
            }
            if length == 0 {
                return Ok(Accepted::Nothing);
            }
            if command == Command::WriteZeroes {
                return Ok(Accepted::WriteZeroes { range, fua });
            }
            if length > geometry.max_request {
                return Err(TOO_LONG);
            }
            Ok(Accepted::Write {
                offset,
                length,
                fua,
            })
        }
    }
}

/// Writes the replies of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replies {
    /// Structured replies were negotiated.
    pub(super) structured: bool,
}

impl Replies {
    /// Done, and nothing to send with it. Simple in either mode, as it may be.
    pub(super) fn done(self, out: &mut Outgoing, cookie: u64) {
        simple(out, cookie, 0);
    }

    /// Done, and here is what was read at `offset`: `part` of `bytes`.
    pub(super) fn data(
        self,
        out: &mut Outgoing,
        cookie: u64,
        offset: u64,
        bytes: Vec<u8>,
        part: Range<usize>,
    ) {
        if !self.structured {
            simple(out, cookie, 0);
        } else if part.is_empty() {
            // A content chunk must hold at least one byte ("Structured reply types").
            chunk(out, ChunkType::None, cookie, 0);
        } else {
            chunk(out, ChunkType::OffsetData, cookie, 8 + part.len());
            out.copy(&offset.to_be_bytes());
        }
        out.give(bytes, part);
    }

    /// Not done. With structured replies the text goes along.
    pub(super) fn error(self, out: &mut Outgoing, cookie: u64, errno: Errno, text: &str) {
        if !self.structured {
            simple(out, cookie, errno as u32);
            return;
        }
        let text = &text[..text.floor_char_boundary_at(MAX_ERROR_TEXT)];
        let error = ErrorChunk {
            error: (errno as u32).into(),
            text_length: u16::try_from(text.len()).expect("the text was cut").into(),
        };
        chunk(
            out,
            ChunkType::Error,
            cookie,
            size_of::<ErrorChunk>() + text.len(),
        );
        out.copy(error.as_bytes());
        out.copy(text.as_bytes());
    }
}

fn simple(out: &mut Outgoing, cookie: u64, error: u32) {
    let reply = SimpleReply {
        magic: SIMPLE_REPLY_MAGIC.into(),
        error: error.into(),
        cookie: cookie.into(),
    };
    out.copy(reply.as_bytes());
}

/// The header of the only chunk of a reply.
fn chunk(out: &mut Outgoing, kind: ChunkType, cookie: u64, length: usize) {
    let header = ChunkHeader {
        magic: STRUCTURED_REPLY_MAGIC.into(),
        flags: REPLY_FLAG_DONE.into(),
        kind: u16::from(kind).into(),
        cookie: cookie.into(),
        length: u32::try_from(length)
            .expect("a payload is at most 32 MiB")
            .into(),
    };
    out.copy(header.as_bytes());
}

/// `str::floor_char_boundary`, which is newer than the oldest compiler we support.
trait FloorCharBoundary {
    fn floor_char_boundary_at(&self, index: usize) -> usize;
}

impl FloorCharBoundary for str {
    fn floor_char_boundary_at(&self, index: usize) -> usize {
        (0..=index.min(self.len()))
            .rev()
            .find(|&at| self.is_char_boundary(at))
            .unwrap_or(0)
    }
}
