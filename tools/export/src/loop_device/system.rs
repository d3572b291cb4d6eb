//! What the kernel has for loop devices, and nothing else: numbers, structures, and one safe
//! function per call.
//!
//! It repeats `include/uapi/linux/loop.h` (Linux 6.12) under Rust names, and is the only file of
//! this crate with `unsafe` in it.
#![allow(unsafe_code)]

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Bytes of a name, with the zero at its end.
pub(super) const NAME_SIZE: usize = 64;

/// Writes fail. Of [`Info::flags`], as are those below.
pub(super) const READ_ONLY: u32 = 1;
/// Partitions become devices.
pub(super) const PARTSCAN: u32 = 8;
/// The file is read and written past the page cache.
pub(super) const DIRECT_IO: u32 = 16;

/// LOOP_CLR_FD.
pub(super) const CLR_FD: u32 = 0x4c01;
/// LOOP_GET_STATUS64.
pub(super) const GET_STATUS64: u32 = 0x4c05;
/// LOOP_CONFIGURE.
pub(super) const CONFIGURE: u32 = 0x4c0a;
/// LOOP_CTL_GET_FREE.
pub(super) const CTL_GET_FREE: u32 = 0x4c82;

macro_rules! argument {
    ($(#[$doc:meta])* $name:ident ($size:literal) {
        $($(#[$field_doc:meta])* $offset:literal $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub(super) struct $name {
            $($(#[$field_doc])* pub(super) $field: $type,)*
        }
        const _: () = assert!(size_of::<$name>() == $size);
        $(const _: () = assert!(offset_of!($name, $field) == $offset);)*
    };
}

argument! {
    /// `struct loop_info64`.
    Info (232) {
        /// The file system that the file is in, as `st_dev`.
        0 device: u64,
        /// The file, as `st_ino`.
        8 inode: u64,
        /// What the file is itself, if it is a device.
        16 rdevice: u64,
        /// Where the device begins in the file.
        24 offset: u64,
        /// Where it ends; 0: with the file.
        32 size_limit: u64,
        /// The N of `/dev/loopN`.
        40 number: u32,
        /// Of no use any more, as is all that has to do with encryption.
        44 encrypt_type: u32,
        48 encrypt_key_size: u32,
        /// [`READ_ONLY`] and the others.
        52 flags: u32,
        /// What losetup(8) shows.
        56 file_name: [u8; NAME_SIZE],
        120 crypt_name: [u8; NAME_SIZE],
        184 encrypt_key: [u8; 32],
        216 init: [u64; 2],
    }
}

argument! {
    /// `struct loop_config`.
    Config (304) {
        /// The file.
        0 fd: u32,
        /// Bytes in a logical block.
        4 block_size: u32,
        /// What else there is to say.
        8 info: Info,
        240 reserved: [u64; 8],
    }
}

mod raw {
    use super::{CLR_FD, CONFIGURE, CTL_GET_FREE, Config, GET_STATUS64, Info};

    nix::ioctl_none_bad!(clear, CLR_FD);
    nix::ioctl_read_bad!(status, GET_STATUS64, Info);
    nix::ioctl_write_ptr_bad!(configure, CONFIGURE, Config);
    nix::ioctl_none_bad!(free, CTL_GET_FREE);
}

/// LOOP_CTL_GET_FREE: the number of a device that nobody uses, made if there is none.
pub(super) fn free(control: BorrowedFd<'_>) -> Result<u32, Errno> {
    // SAFETY: the ioctl has no argument.
    let number = unsafe { raw::free(control.as_raw_fd()) }?;
    u32::try_from(number).map_err(|_| Errno::ERANGE)
}

/// LOOP_CONFIGURE. Fails with `EBUSY` if somebody else was faster.
pub(super) fn configure(
    device: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    block_size: u32,
    flags: u32,
    name: &[u8],
) -> Result<(), Errno> {
    let mut config = Config::new_zeroed();
    config.fd = u32::try_from(file.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    config.block_size = block_size;
    config.info.flags = flags;
    // The last byte stays 0.
    let room = config.info.file_name.iter_mut().take(NAME_SIZE - 1);
    room.zip(name).for_each(|(to, from)| *to = *from);
    // SAFETY: the kernel reads as many bytes as a `Config` has, and keeps no pointer to them.
    unsafe { raw::configure(device.as_raw_fd(), &raw const config) }?;
    Ok(())
}

/// LOOP_GET_STATUS64. Fails with `ENXIO` if the device is not attached.
pub(super) fn status(device: BorrowedFd<'_>) -> Result<Info, Errno> {
    let mut info = Info::new_zeroed();
    // SAFETY: the kernel writes as many bytes as an `Info` has, any of which are a valid value.
    unsafe { raw::status(device.as_raw_fd(), &raw mut info) }?;
    Ok(info)
}

/// LOOP_CLR_FD: detaches the device, or has it detached when its last user closes it.
pub(super) fn clear(device: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the ioctl has no argument.
    unsafe { raw::clear(device.as_raw_fd()) }?;
    Ok(())
}

/// Gives the calling thread a table of descriptors of its own, with nothing in it but the
/// standard three. It must not own or borrow another one, nor be given one later.
pub(crate) fn leave_descriptors() -> io::Result<()> {
    // SAFETY: with CLOSE_RANGE_UNSHARE the descriptors that are closed are this thread's copies;
    // those of all other threads stay. Its callers are at the start of a thread that owns none.
    let left = unsafe { libc::close_range(3, libc::c_uint::MAX, CLOSE_RANGE_UNSHARE) };
    Errno::result(left).map(drop).map_err(io::Error::from)
}

/// Of `linux/close_range.h`.
const CLOSE_RANGE_UNSHARE: libc::c_int = 2;

#[cfg(test)]
mod tests;
