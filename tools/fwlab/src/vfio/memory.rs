//! A guest's memory, as far as the guest has shared it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use super::sys::Mapping;

/// Most pieces at a time. QEMU has about ten; each takes of a limit of this process (65530).
const PIECES_MAX: usize = 1024;

/// Why a guest's memory cannot be reached. Not one byte was copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DmaError {
    /// There is no memory here: the guest gave none, took it back, or is gone.
    #[error("the guest has no memory at {0:#x}")]
    Unmapped(u64),
    /// There is, but without a file to share it by: a ROM.
    #[error("the guest's memory at {0:#x} is not shared")]
    NotShared(u64),
    /// It is not for this direction.
    #[error("the guest's memory at {0:#x} is not open for this access")]
    Denied(u64),
}

/// Why a piece of memory is not taken in, or not given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum MapError {
    /// Nothing, or more than there are addresses.
    #[error("no {size:#x} bytes fit at {address:#x}")]
    Size { address: u64, size: u64 },
    /// Some of it is mapped already.
    #[error("memory at {0:#x} is mapped already")]
    Overlap(u64),
    /// [`PIECES_MAX`].
    #[error("more than {PIECES_MAX} pieces of memory")]
    TooMany,
    /// The file may become shorter under our hands.
    #[error(
        "the file of the memory cannot be sealed against shrinking ({0}): use QEMU's memory-backend-memfd"
    )]
    MayShrink(Errno),
    /// The file ends too early.
    #[error("the file of the memory, {size:#x} bytes, ends too early for a piece at {offset:#x}")]
    Short { offset: u64, size: u64 },
    /// The system refuses.
    #[error("cannot map the file of the memory: {0}")]
    System(Errno),
    /// No such piece to unmap.
    #[error("no piece of {size:#x} bytes is mapped at {address:#x}")]
    NotMapped { address: u64, size: u64 },
}

impl MapError {
    /// What the client is told. `EEXIST` is the specification's.
    pub(super) fn errno(self) -> Errno {
        match self {
            Self::Size { .. } | Self::Short { .. } => Errno::EINVAL,
            Self::Overlap(_) => Errno::EEXIST,
            Self::TooMany => Errno::ENOSPC,
            Self::MayShrink(_) => Errno::EPERM,
            Self::System(errno) => errno,
            Self::NotMapped { .. } => Errno::ENOENT,
        }
    }
}

/// The memory that a guest lets its device reach.
///
/// Any thread may read and write, also while the guest's own thread maps and unmaps. One access is
/// done at a time, in the order of the calls, as a PCI bus does it. The guest changes the memory
/// meanwhile as it likes; an aligned quadlet inside an access is read or written in one piece.
#[derive(Debug, Default)]
pub struct GuestMemory {
    /// By address; none overlap, none reach over the end of the addresses.
    pieces: Mutex<BTreeMap<u64, Piece>>,
}

#[derive(Debug)]
struct Piece {
    /// Not 0.
    size: u64,
    readable: bool,
    writable: bool,
    mapping: Option<Mapping>,
}

/// What a client wants to share.
#[derive(Debug)]
pub(super) struct NewPiece {
    pub(super) address: u64,
    pub(super) size: u64,
    /// In the file, of which the address is the first byte.
    pub(super) offset: u64,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) file: Option<OwnedFd>,
}

impl GuestMemory {
    /// Fills `buffer` from `address`.
    ///
    /// # Errors
    /// [`DmaError`], if it is not all memory that may be read.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), DmaError> {
        let mut pieces = self.pieces();
        let length = buffer.len();
        each(&mut pieces, address, length, |piece, _, here, _| {
            piece.open(here, piece.readable).map(drop)
        })?;
        each(&mut pieces, address, length, |piece, at, here, part| {
            let mapping = piece.open(here, piece.readable)?;
            let copied = mapping.read(at, &mut buffer[part]);
            copied.ok_or(DmaError::Unmapped(here))
        })?;
        // What the guest wrote before it wrote what was just read is read later, not earlier.
        fence(Ordering::Acquire);
        Ok(())
    }

    /// Writes `bytes` to `address`.
    ///
    /// # Errors
    /// [`DmaError`], if it is not all memory that may be written.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), DmaError> {
        let mut pieces = self.pieces();
        let length = bytes.len();
        each(&mut pieces, address, length, |piece, _, here, _| {
            piece.open(here, piece.writable).map(drop)
        })?;
        // Who sees these bytes sees those of earlier calls too.
        fence(Ordering::Release);
        each(&mut pieces, address, length, |piece, at, here, part| {
            let mapping = piece.open(here, piece.writable)?;
            let copied = mapping.write(at, &bytes[part]);
            copied.ok_or(DmaError::Unmapped(here))
        })
    }

    pub(super) fn map(&self, new: NewPiece) -> Result<(), MapError> {
        let NewPiece { address, size, .. } = new;
        let wrong = MapError::Size { address, size };
        let end = address.checked_add(size).ok_or(wrong)?;
        let length = usize::try_from(size).ok().and_then(NonZeroUsize::new);
        let length = length.ok_or(wrong)?;
        let mut pieces = self.pieces();
        // The last that begins before our end is the only one that can reach into it.
        if let Some((start, last)) = pieces.range(..end).next_back()
            && start + last.size > address
        {
            return Err(MapError::Overlap(address.max(*start)));
        }
        if pieces.len() >= PIECES_MAX {
            return Err(MapError::TooMany);
        }
        let mapping = match new.file {
            Some(file) => Some(Mapping::new(
                file.as_fd(),
                new.offset,
                length,
                new.writable,
            )?),
            None => None,
        };
        let piece = Piece {
            size,
            readable: new.readable,
            writable: new.writable,
            mapping,
        };
        pieces.insert(address, piece);
        Ok(())
    }

    /// Once this returns, nobody is in the piece any more.
    pub(super) fn unmap(&self, address: u64, size: u64) -> Result<(), MapError> {
        let mut pieces = self.pieces();
        match pieces.get(&address) {
            Some(piece) if piece.size == size => {
                pieces.remove(&address);
                Ok(())
            }
            _ => Err(MapError::NotMapped { address, size }),
        }
    }

    pub(super) fn clear(&self) {
        self.pieces().clear();
    }

    fn pieces(&self) -> MutexGuard<'_, BTreeMap<u64, Piece>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Piece {
    fn open(&mut self, here: u64, allowed: bool) -> Result<&mut Mapping, DmaError> {
        if !allowed {
            return Err(DmaError::Denied(here));
        }
        self.mapping.as_mut().ok_or(DmaError::NotShared(here))
    }
}

/// Calls `visit` with each piece that an access touches: where in the piece, at what address, and
/// which part of the access.
fn each(
    pieces: &mut BTreeMap<u64, Piece>,
    address: u64,
    length: usize,
    mut visit: impl FnMut(&mut Piece, usize, u64, Range<usize>) -> Result<(), DmaError>,
) -> Result<(), DmaError> {
    let mut done = 0;
    while done < length {
        let here = address.checked_add(done as u64);
        let here = here.ok_or(DmaError::Unmapped(address))?;
        let found = pieces.range_mut(..=here).next_back();
        let (start, piece) = found.ok_or(DmaError::Unmapped(here))?;
        let at = here - start;
        // The size of a piece fits a usize, so what is inside one does.
        let left = usize::try_from(piece.size.saturating_sub(at)).unwrap_or(0);
        let count = left.min(length - done);
        let Some(at) = usize::try_from(at).ok().filter(|_| count > 0) else {
            return Err(DmaError::Unmapped(here));
        };
        visit(piece, at, here, done..done + count)?;
        done += count;
    }
    Ok(())
}
