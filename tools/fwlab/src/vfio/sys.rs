//! What the compiler cannot check: memory that others have too, descriptors out of a socket.

use std::io;
use std::mem::{size_of, size_of_val};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr::{self, NonNull};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::stat::fstat;

use super::memory::MapError;

/// A part of a file that somebody else has mapped too, and changes at any time.
#[derive(Debug)]
pub(super) struct Mapping {
    /// On a page's boundary.
    start: NonNull<u8>,
    length: NonZeroUsize,
    writable: bool,
}

// SAFETY: the pointer belongs to this value alone, and nothing of a mapping is tied to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `length` bytes of `file` from `offset`, a multiple of the page size.
    ///
    /// The file is sealed against shrinking, and one that cannot be is refused: an access behind the
    /// end of a file that became shorter would end this process with SIGBUS.
    pub(super) fn new(
        file: BorrowedFd<'_>,
        offset: u64,
        length: NonZeroUsize,
        writable: bool,
    ) -> Result<Self, MapError> {
        let seals = fcntl(file, FcntlArg::F_GET_SEALS).map_err(MapError::MayShrink)?;
        if seals & libc::F_SEAL_SHRINK == 0 {
            fcntl(file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK))
                .map_err(MapError::MayShrink)?;
        }
        let size = fstat(file).map_err(MapError::System)?.st_size;
        let size = u64::try_from(size).unwrap_or(0);
        let end = offset.checked_add(length.get() as u64);
        let (Some(..), Ok(from)) = (end.filter(|end| *end <= size), i64::try_from(offset)) else {
            return Err(MapError::Short { offset, size });
        };
        let mut access = ProtFlags::PROT_READ;
        access.set(ProtFlags::PROT_WRITE, writable);
        // SAFETY: no address is asked for, so nothing that exists is mapped over.
        let start = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, file, from) };
        Ok(Self {
            start: start.map_err(MapError::System)?.cast(),
            length,
            writable,
        })
    }

    /// Where `length` bytes at `at` begin, if they are inside.
    fn inside(&self, at: usize, length: usize) -> Option<*mut u8> {
        let end = at.checked_add(length)?;
        // SAFETY: `at` is at most the length of the mapping, which is one object.
        (end <= self.length.get()).then(|| unsafe { self.start.as_ptr().add(at) })
    }

    /// Copies out of the mapping, each aligned quadlet in one access. None if it is not all inside.
    pub(super) fn read(&mut self, at: usize, buffer: &mut [u8]) -> Option<()> {
        let mut from = self.inside(at, buffer.len())?;
        let mut rest = buffer;
        while !rest.is_empty() {
            let step = match rest.split_first_chunk_mut::<4>() {
                Some((quadlet, _)) if from.cast::<u32>().is_aligned() => {
                    // SAFETY: inside the mapping (checked above), which is readable, lives as long
                    // as self and lies in a file that cannot shrink: what is trusted is only that
                    // the system has memory for it. It is aligned. The memory is shared with other
                    // processes and with other mappings of the same file, so there is never a
                    // reference to it, and the volatile access assumes nothing of what it holds;
                    // every value is a valid u32. Within this process `&mut self` keeps other
                    // accesses through this mapping out.
                    *quadlet = unsafe { ptr::read_volatile(from.cast::<u32>()) }.to_ne_bytes();
                    4
                }
                _ => {
                    // SAFETY: as above; a byte is always aligned.
                    rest[0] = unsafe { ptr::read_volatile(from) };
                    1
                }
            };
            rest = &mut rest[step..];
            // SAFETY: at most one past the bytes that were checked above.
            from = unsafe { from.add(step) };
        }
        Some(())
    }

    /// Copies into the mapping, each aligned quadlet in one access. None if it is not all inside, or
    /// the mapping is only for reading.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        if !self.writable {
            return None;
        }
        let mut to = self.inside(at, bytes.len())?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let step = match rest.split_first_chunk::<4>() {
                Some((quadlet, _)) if to.cast::<u32>().is_aligned() => {
                    // SAFETY: as in `read`, and the mapping is writable.
                    unsafe { ptr::write_volatile(to.cast::<u32>(), u32::from_ne_bytes(*quadlet)) };
                    4
                }
                _ => {
                    // SAFETY: as above; a byte is always aligned.
                    unsafe { ptr::write_volatile(to, rest[0]) };
                    1
                }
            };
            rest = &rest[step..];
            // SAFETY: at most one past the bytes that were checked above.
            to = unsafe { to.add(step) };
        }
        Some(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and nobody else has the pointer.
        if let Err(error) = unsafe { munmap(self.start.cast(), self.length.get()) } {
            tracing::warn!(%error, "cannot unmap a guest's memory");
        }
    }
}

/// Most descriptors that Linux sends with one message (SCM_MAX_FD): with room for all of them none
/// can be cut off for want of it.
const DESCRIPTORS_MAX: usize = 253;
/// `u64`s of control data, which also align it.
// SAFETY: a calculation.
const CONTROL_WORDS: usize = unsafe { libc::CMSG_SPACE(DESCRIPTORS_BYTES) as usize }.div_ceil(8);
const DESCRIPTORS_BYTES: libc::c_uint = (DESCRIPTORS_MAX * size_of::<RawFd>()) as libc::c_uint;

/// What came out of a socket, besides the bytes.
#[derive(Debug)]
pub(super) struct Received {
    /// Number of bytes; 0 at the end.
    pub(super) length: usize,
    /// Those that came with the bytes.
    pub(super) descriptors: Vec<OwnedFd>,
    /// Some did not come: this process has too many open.
    pub(super) lost: bool,
}

/// Waits for bytes and the descriptors that ride on them.
///
/// nix's own would leak descriptors where some were lost.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = [0_u64; CONTROL_WORDS];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: null pointers and zeros are a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    let flags = libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the message names one buffer and room for control data, both ours to write and with
    // their true lengths.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let length = Errno::result(length)?.unsigned_abs();

    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled the message in.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give a header inside `control`, or null.
    while let Some(found) = unsafe { header.as_ref() } {
        if (found.cmsg_level, found.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: a calculation.
            let bytes = found.cmsg_len - unsafe { libc::CMSG_LEN(0) } as usize;
            // SAFETY: the data of this header, which the kernel wrote.
            let data = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
            for at in 0..bytes / size_of::<RawFd>() {
                // SAFETY: inside the data. The kernel has just opened this descriptor for us, so
                // nobody else owns it.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(data.add(at).read_unaligned()) });
            }
        }
        // SAFETY: both are as the kernel left them.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(Received {
        length,
        descriptors,
        lost: message.msg_flags & libc::MSG_CTRUNC != 0,
    })
}
