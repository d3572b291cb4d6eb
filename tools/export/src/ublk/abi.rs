//! The numbers and structures of ublk, and nothing else.
//!
//! It repeats `include/uapi/linux/ublk_cmd.h` (Linux 6.12; what is newer says so) under Rust
//! names.

use std::mem::{offset_of, size_of};

use nix::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes in a sector of the block layer, whatever the disk has.
pub(super) const SECTOR: u64 = 512;

/// As [`Control::queue`]: the whole device.
pub(super) const NO_QUEUE: u16 = u16::MAX;
/// As the number of a device to be added: any that is free.
pub(super) const ANY_NUMBER: u32 = u32::MAX;
/// Above any number of a device: as many minors as the kernel has for one driver.
pub(super) const NUMBERS: u32 = 1 << 20;

/// UBLK_F_USER_RECOVERY: the device outlives its server, and waits for another one.
pub(super) const USER_RECOVERY: u64 = 1 << 3;
/// UBLK_F_USER_RECOVERY_REISSUE: what the server had not answered is given to the next one.
pub(super) const USER_RECOVERY_REISSUE: u64 = 1 << 4;
/// UBLK_F_CMD_IOCTL_ENCODE: commands have numbers as ioctls have them.
pub(super) const CMD_IOCTL_ENCODE: u64 = 1 << 6;
/// UBLK_F_USER_COPY: data is read from and written to the character device.
pub(super) const USER_COPY: u64 = 1 << 7;
/// UBLK_F_SAFE_STOP_DEV (Linux 7.0): there is [`TRY_STOP_DEV`].
pub(super) const SAFE_STOP_DEV: u64 = 1 << 17;

/// UBLK_S_DEV_DEAD: not started yet, or stopped.
pub(super) const DEV_DEAD: u16 = 0;

/// UBLK_ATTR_READ_ONLY. Of [`Basic::attributes`], as are those below.
pub(super) const READ_ONLY: u32 = 1 << 0;
/// UBLK_ATTR_VOLATILE_CACHE: there are flushes.
pub(super) const VOLATILE_CACHE: u32 = 1 << 2;
/// UBLK_ATTR_FUA.
pub(super) const FUA: u32 = 1 << 3;

/// UBLK_PARAM_TYPE_BASIC. Of [`Parameters::types`].
pub(super) const PARAM_BASIC: u32 = 1 << 0;
/// UBLK_PARAM_TYPE_DISCARD, where the limit of write-zeroes is.
pub(super) const PARAM_DISCARD: u32 = 1 << 1;

/// UBLK_IO_OP_READ. In the lowest byte of [`Descriptor::operation`].
pub(super) const OP_READ: u8 = 0;
/// UBLK_IO_OP_WRITE.
pub(super) const OP_WRITE: u8 = 1;
/// UBLK_IO_OP_FLUSH.
pub(super) const OP_FLUSH: u8 = 2;
/// UBLK_IO_OP_WRITE_ZEROES.
pub(super) const OP_WRITE_ZEROES: u8 = 5;
/// UBLK_IO_F_FUA. In the other bits of [`Descriptor::operation`].
pub(super) const IO_FUA: u32 = 1 << 13;

/// UBLK_IO_RES_OK: a request is there.
pub(super) const RES_OK: i32 = 0;
/// UBLK_IO_RES_ABORT: the device is being stopped; nothing comes any more.
pub(super) const RES_ABORT: i32 = -(Errno::ENODEV as i32);

/// Where a request's bytes are in the character device: queue 0, this tag.
pub(super) const fn position(tag: u16) -> u64 {
    IO_BUF_OFFSET + ((tag as u64) << TAG_OFF)
}

/// UBLKSRV_IO_BUF_OFFSET.
pub(super) const IO_BUF_OFFSET: u64 = 0x8000_0000;
/// UBLK_TAG_OFF: a request has 32 MiB at most.
pub(super) const TAG_OFF: u32 = 25;

const READS: u32 = 2;
const WRITES: u32 = 1;

/// A command's number: `_IOC(direction, 'u', number, sizeof(T))`.
const fn number<T>(direction: u32, number: u32) -> u32 {
    (direction << 30) | ((size_of::<T>() as u32) << 16) | ((b'u' as u32) << 8) | number
}

/// UBLK_U_CMD_GET_DEV_INFO. Of the control device, as are those below.
pub(super) const GET_DEV_INFO: u32 = number::<Control>(READS, 0x02);
/// UBLK_U_CMD_ADD_DEV.
pub(super) const ADD_DEV: u32 = number::<Control>(READS | WRITES, 0x04);
/// UBLK_U_CMD_DEL_DEV: returns when the number is free.
pub(super) const DEL_DEV: u32 = number::<Control>(READS | WRITES, 0x05);
/// UBLK_U_CMD_START_DEV: returns when all requests are fetched and partitions are known.
pub(super) const START_DEV: u32 = number::<Control>(READS | WRITES, 0x06);
/// UBLK_U_CMD_STOP_DEV: whoever uses it gets errors.
pub(super) const STOP_DEV: u32 = number::<Control>(READS | WRITES, 0x07);
/// UBLK_U_CMD_SET_PARAMS.
pub(super) const SET_PARAMS: u32 = number::<Control>(READS | WRITES, 0x08);
/// UBLK_U_CMD_GET_PARAMS.
pub(super) const GET_PARAMS: u32 = number::<Control>(READS, 0x09);
/// UBLK_U_CMD_START_USER_RECOVERY.
pub(super) const START_USER_RECOVERY: u32 = number::<Control>(READS | WRITES, 0x10);
/// UBLK_U_CMD_END_USER_RECOVERY: returns when all requests are fetched.
pub(super) const END_USER_RECOVERY: u32 = number::<Control>(READS | WRITES, 0x11);
/// UBLK_U_CMD_GET_FEATURES (Linux 6.5).
pub(super) const GET_FEATURES: u32 = number::<Control>(READS, 0x13);
/// UBLK_U_CMD_TRY_STOP_DEV (Linux 7.0): fails with `EBUSY` if somebody has it open.
pub(super) const TRY_STOP_DEV: u32 = number::<Control>(READS | WRITES, 0x17);

/// UBLK_U_IO_FETCH_REQ. Of a character device, as is the other.
pub(super) const FETCH_REQ: u32 = number::<Io>(READS | WRITES, 0x20);
/// UBLK_U_IO_COMMIT_AND_FETCH_REQ.
pub(super) const COMMIT_AND_FETCH_REQ: u32 = number::<Io>(READS | WRITES, 0x21);

macro_rules! structure {
    ($(#[$doc:meta])* $name:ident ($size:literal) {
        $($(#[$field_doc:meta])* $offset:literal $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
        )]
        #[repr(C)]
        pub(super) struct $name {
            $($(#[$field_doc])* pub(super) $field: $type,)*
        }
        const _: () = assert!(size_of::<$name>() == $size);
        $(const _: () = assert!(offset_of!($name, $field) == $offset);)*
    };
}

structure! {
    /// `struct ublksrv_ctrl_cmd`.
    Control (32) {
        /// The N of `/dev/ublkbN`.
        0 number: u32,
        /// [`NO_QUEUE`].
        4 queue: u16,
        /// Bytes at `address`.
        6 length: u16,
        /// What goes in or comes out.
        8 address: u64,
        /// The process's id for those that start a device.
        16 data: u64,
        /// For devices of users who are not root.
        24 path_length: u16,
        26 padding: u16,
        28 reserved: u32,
    }
}

structure! {
    /// `struct ublksrv_ctrl_dev_info`.
    Info (64) {
        0 queues: u16,
        /// Requests at a time.
        2 depth: u16,
        /// [`DEV_DEAD`] or another.
        4 state: u16,
        6 padding: u16,
        /// The longest request in bytes.
        8 max_request: u32,
        12 number: u32,
        /// The process that serves or served it; -1 if none.
        16 pid: i32,
        20 padding1: u32,
        /// [`USER_RECOVERY`] and the others.
        24 flags: u64,
        /// The kernel keeps it for the server.
        32 server_flags: u64,
        40 uid: u32,
        44 gid: u32,
        48 reserved1: u64,
        56 reserved2: u64,
    }
}

structure! {
    /// `struct ublksrv_io_desc`: a request.
    Descriptor (24) {
        /// [`OP_READ`] and the others, and [`IO_FUA`].
        0 operation: u32,
        4 sectors: u32,
        8 start: u64,
        16 address: u64,
    }
}

structure! {
    /// `struct ublksrv_io_cmd`.
    Io (16) {
        0 queue: u16,
        2 tag: u16,
        /// Bytes done, or a negative number.
        4 result: i32,
        /// 0 with [`USER_COPY`].
        8 address: u64,
    }
}

structure! {
    /// `struct ublk_param_basic`.
    Basic (32) {
        /// [`READ_ONLY`] and the others.
        0 attributes: u32,
        4 logical_shift: u8,
        5 physical_shift: u8,
        6 optimal_shift: u8,
        7 minimal_shift: u8,
        8 max_sectors: u32,
        12 chunk_sectors: u32,
        16 sectors: u64,
        24 boundary_mask: u64,
    }
}

structure! {
    /// `struct ublk_param_discard`.
    Discard (20) {
        0 alignment: u32,
        4 granularity: u32,
        8 max_sectors: u32,
        12 max_write_zeroes_sectors: u32,
        16 max_segments: u16,
        18 reserved: u16,
    }
}

structure! {
    /// `struct ublk_params`, as far as it is of use here.
    Parameters (64) {
        /// [`PARAMETERS_LENGTH`].
        0 length: u32,
        /// [`PARAM_BASIC`] and the other.
        4 types: u32,
        8 basic: Basic,
        40 discard: Discard,
        /// Of the next ones.
        60 rest: u32,
    }
}

/// How many bytes of [`Parameters`] are handed over.
pub(super) const PARAMETERS_LENGTH: u32 = offset_of!(Parameters, rest) as u32;

#[cfg(test)]
mod tests;
