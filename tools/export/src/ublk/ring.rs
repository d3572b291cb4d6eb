//! io_uring as far as ublk needs it, and what else is not safe: requests in memory that the
//! kernel writes to. One safe function per call.
//!
//! It is the only file of this module with `unsafe` in it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::abi::{Control, Descriptor, Io};

/// Bytes for a command in a submission of 128 bytes.
const COMMAND_SIZE: usize = 80;

/// What a kernel of the last century had, too.
const PAGE: usize = 4096;

/// Commands to the kernel, and what comes back. For one thread.
pub(super) struct Ring {
    ring: IoUring<squeue::Entry128, cqueue::Entry>,
}

impl Ring {
    /// A ring for so many commands at a time.
    pub(super) fn new(entries: u32) -> io::Result<Self> {
        let ring = IoUring::builder().build(entries)?;
        Ok(Self { ring })
    }

    /// Puts a command to a control device in line, without memory of its own.
    pub(super) fn order(
        &mut self,
        device: BorrowedFd<'_>,
        number: u32,
        command: Control,
        mark: u64,
    ) -> io::Result<()> {
        let command = Control {
            length: 0,
            address: 0,
            ..command
        };
        self.push(entry(device, number, command.as_bytes()), mark)
    }

    /// Has a command to a control device done that reads or writes `memory`, and gives what is in
    /// there then.
    ///
    /// Nothing else may be in line.
    pub(super) fn exchange<T: FromBytes + IntoBytes + Immutable>(
        &mut self,
        device: BorrowedFd<'_>,
        number: u32,
        command: Control,
        memory: T,
    ) -> io::Result<T> {
        const MARK: u64 = u64::MAX;
        let mut memory = Box::new(memory);
        let command = Control {
            length: u16::try_from(size_of::<T>()).map_err(io::Error::other)?,
            address: (&raw mut *memory).expose_provenance() as u64,
            ..command
        };
        self.push(entry(device, number, command.as_bytes()), MARK)?;
        loop {
            if let Err(error) = self.wait(None) {
                // The kernel may write there still.
                mem::forget(memory);
                return Err(error);
            }
            while let Some((mark, result)) = self.next() {
                if mark == MARK {
                    return ended(result).map(|()| *memory);
                }
            }
        }
    }

    /// Puts a command to a character device in line, about a request of queue 0.
    pub(super) fn answer(
        &mut self,
        device: &File,
        number: u32,
        tag: u16,
        result: i32,
    ) -> io::Result<()> {
        let command = Io {
            queue: 0,
            tag,
            result,
            address: 0,
        };
        let device = std::os::fd::AsFd::as_fd(device);
        self.push(entry(device, number, command.as_bytes()), tag.into())
    }

    /// Has it told once when there is something to be read.
    pub(super) fn watch(&mut self, file: BorrowedFd<'_>, mark: u64) -> io::Result<()> {
        let readable = libc::POLLIN as u32;
        let entry = opcode::PollAdd::new(types::Fd(file.as_raw_fd()), readable).build();
        self.push(entry.into(), mark)
    }

    fn push(&mut self, entry: squeue::Entry128, mark: u64) -> io::Result<()> {
        let entry = entry.user_data(mark);
        // SAFETY: no entry that is made here refers to memory, but for that of `exchange`, which
        // keeps it until the command has ended.
        if unsafe { self.ring.submission().push(&entry) }.is_ok() {
            return Ok(());
        }
        self.submit()?;
        // SAFETY: as above.
        unsafe { self.ring.submission().push(&entry) }
            .map_err(|_| io::Error::other("the kernel takes no more commands"))
    }

    /// Hands over what is in line.
    pub(super) fn submit(&mut self) -> io::Result<()> {
        again(|| self.ring.submit())
    }

    /// Hands over what is in line, and waits until something has come back, or so long. Whether
    /// something may have.
    pub(super) fn wait(&mut self, patience: Option<Duration>) -> io::Result<bool> {
        let Some(patience) = patience else {
            again(|| self.ring.submit_and_wait(1))?;
            return Ok(true);
        };
        let time = types::Timespec::from(patience);
        let arguments = types::SubmitArgs::new().timespec(&time);
        match again(|| self.ring.submitter().submit_with_args(1, &arguments)) {
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Ok(false),
            ended => ended.map(|()| true),
        }
    }

    /// What has come back: a mark, and a result.
    pub(super) fn next(&mut self) -> Option<(u64, i32)> {
        let entry = self.ring.completion().next()?;
        Some((entry.user_data(), entry.result()))
    }
}

/// What a command's result says.
pub(super) fn ended(result: i32) -> io::Result<()> {
    match result {
        0.. => Ok(()),
        error => Err(io::Error::from_raw_os_error(error.saturating_neg())),
    }
}

fn entry(device: BorrowedFd<'_>, number: u32, command: &[u8]) -> squeue::Entry128 {
    let mut bytes = [0; COMMAND_SIZE];
    bytes
        .iter_mut()
        .zip(command)
        .for_each(|(to, from)| *to = *from);
    let device = types::Fd(device.as_raw_fd());
    opcode::UringCmd80::new(device, number).cmd(bytes).build()
}

/// Tries once more where a signal came in between.
fn again(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<()> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ended => return ended.map(drop),
        }
    }
}

/// The requests of queue 0, where the kernel puts them.
pub(super) struct Descriptors {
    memory: NonNull<libc::c_void>,
    length: NonZeroUsize,
    depth: u16,
}

// SAFETY: the memory belongs to this alone, and is only read.
unsafe impl Send for Descriptors {}

impl Descriptors {
    /// Those of a character device that has so many.
    pub(super) fn new(device: &File, depth: u16) -> io::Result<Self> {
        let page = sysconf(SysconfVar::PAGE_SIZE)?
            .and_then(|page| usize::try_from(page).ok())
            .unwrap_or(PAGE);
        let length = (usize::from(depth) * size_of::<Descriptor>()).next_multiple_of(page);
        let length = NonZeroUsize::new(length).ok_or(Errno::EINVAL)?;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
        // SAFETY: a new mapping, where nothing is.
        let memory = unsafe { mmap(None, length, ProtFlags::PROT_READ, flags, device, 0) }?;
        Ok(Self {
            memory,
            length,
            depth,
        })
    }

    /// The request with this tag, after the kernel has said that it is there.
    pub(super) fn get(&self, tag: u16) -> Option<Descriptor> {
        if tag >= self.depth {
            return None;
        }
        let all = self.memory.cast::<Descriptor>().as_ptr();
        // SAFETY: within the mapping, which is aligned to pages; any bytes are a valid value. The
        // kernel writes to it only while the request is its own; should it do so nevertheless,
        // this is a volatile read of memory outside of the language's.
        Some(unsafe { all.add(usize::from(tag)).read_volatile() })
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `new`, and nothing refers to it.
        let _ = unsafe { munmap(self.memory, self.length.get()) };
    }
}

/// PR_SET_IO_FLUSHER of `linux/prctl.h`.
const SET_IO_FLUSHER: libc::c_int = 57;

/// Tells the kernel that the calling thread has to get on for memory to become free: it is not
/// made to wait for what it has to write itself. Needs root.
pub(super) fn writes_back() -> io::Result<()> {
    // SAFETY: the call has numbers only.
    let told = unsafe { libc::prctl(SET_IO_FLUSHER, 1, 0, 0, 0) };
    Errno::result(told).map(drop).map_err(io::Error::from)
}
