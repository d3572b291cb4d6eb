//! The firewire-cdev ABI, and nothing else: numbers, structures, and one safe function per ioctl.
//!
//! Everything here repeats `include/uapi/linux/firewire-cdev.h` and `firewire-constants.h` (Linux
//! 6.12) under Rust names. It is the only file of [`crate::cdev`] with `unsafe` in it. A server
//! that plays the kernel's part (a virtual bus behind FUSE files) uses the same structures; this
//! is why they can be turned from bytes and into bytes.
//!
//! Ioctl arguments and event headers are in host byte order. Payload is not: it is the bytes of
//! the bus as they are.
//!
//! Padding is spelled out, so the structures have one layout on every machine. It is that of
//! x86_64; the kernel takes an ioctl's argument by the size in its number, and does not look at
//! padding.
#![allow(unsafe_code)]

use std::io;
use std::mem::{offset_of, size_of, size_of_val};
use std::os::fd::{AsRawFd, BorrowedFd};

use zerocopy::byteorder::native_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The ABI version that this program is written for: time-stamped events (Linux 6.5).
pub const VERSION: u32 = 6;
/// The lowest version with what is needed here: requests that tell who sent them, and address
/// ranges placed by the kernel (Linux 2.6.36).
pub const VERSION_MIN: u32 = 4;

/// A configuration ROM has at most this many quadlets (the window at register offset 0x400).
pub const ROM_QUADLETS: usize = 256;
/// The largest asynchronous payload at any speed.
pub const MAX_PAYLOAD: usize = 4096;

/// Transaction codes, as ioctls and events use them. Locks are 0x10 plus the extended code.
pub mod tcode {
    /// Write four bytes.
    pub const WRITE_QUADLET: u32 = 0x0;
    /// Write some bytes.
    pub const WRITE_BLOCK: u32 = 0x1;
    /// Read four bytes.
    pub const READ_QUADLET: u32 = 0x4;
    /// Read some bytes.
    pub const READ_BLOCK: u32 = 0x5;
    /// Any lock, in the legacy REQUEST event only.
    pub const LOCK: u32 = 0x9;
    /// What is added to a lock's extended code.
    pub const LOCK_EXTENDED: u32 = 0x10;
    /// The first lock, mask swap.
    pub const LOCK_MASK_SWAP: u32 = 0x11;
    /// Fetch add: its response is as long as the request.
    pub const LOCK_FETCH_ADD: u32 = 0x13;
    /// Little add: its response is as long as the request.
    pub const LOCK_LITTLE_ADD: u32 = 0x14;
    /// The last lock, vendor dependent.
    pub const LOCK_VENDOR: u32 = 0x17;
}

/// `type` of events.
pub mod event_type {
    /// [`BusResetEvent`](super::BusResetEvent).
    pub const BUS_RESET: u32 = 0x00;
    /// [`ResponseEvent`](super::ResponseEvent).
    pub const RESPONSE: u32 = 0x01;
    /// [`RequestEvent`](super::RequestEvent): client or kernel below version 4.
    pub const REQUEST: u32 = 0x02;
    /// An isochronous packet is done.
    pub const ISO_INTERRUPT: u32 = 0x03;
    /// Isochronous resources were allocated.
    pub const ISO_RESOURCE_ALLOCATED: u32 = 0x04;
    /// Isochronous resources were freed.
    pub const ISO_RESOURCE_DEALLOCATED: u32 = 0x05;
    /// [`Request2Event`](super::Request2Event): since version 4.
    pub const REQUEST2: u32 = 0x06;
    /// A PHY packet was sent.
    pub const PHY_PACKET_SENT: u32 = 0x07;
    /// A PHY packet came in.
    pub const PHY_PACKET_RECEIVED: u32 = 0x08;
    /// A chunk of an isochronous buffer is done.
    pub const ISO_INTERRUPT_MULTICHANNEL: u32 = 0x09;
    /// [`Request3Event`](super::Request3Event): since version 6.
    pub const REQUEST3: u32 = 0x0a;
    /// [`Response2Event`](super::Response2Event): since version 6.
    pub const RESPONSE2: u32 = 0x0b;
    /// A PHY packet was sent: since version 6.
    pub const PHY_PACKET_SENT2: u32 = 0x0c;
    /// A PHY packet came in: since version 6.
    pub const PHY_PACKET_RECEIVED2: u32 = 0x0d;
}

/// `type` of [`InitiateBusReset`].
pub mod reset_type {
    /// IEEE 1394-1995.
    pub const LONG: u32 = 0;
    /// IEEE 1394a, arbitrated.
    pub const SHORT: u32 = 1;
}

macro_rules! argument {
    ($(#[$doc:meta])* $name:ident ($size:literal) {
        $($(#[$field_doc:meta])* $offset:literal $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $name {
            $($(#[$field_doc])* #[doc = concat!("\n\nAt byte ", $offset, ".")] pub $field: $type,)*
        }
        const _: () = assert!(size_of::<$name>() == $size);
        $(const _: () = assert!(offset_of!($name, $field) == $offset);)*
    };
}

macro_rules! event {
    ($(#[$doc:meta])* $name:ident ($size:literal) {
        $($(#[$field_doc:meta])* $offset:literal $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
        #[repr(C)]
        pub struct $name {
            /// What was handed in with the ioctl that brought the event about. At byte 0.
            pub closure: U64,
            /// One of [`event_type`]. At byte 8.
            pub event_type: U32,
            $($(#[$field_doc])* #[doc = concat!("\n\nAt byte ", $offset, ".")] pub $field: $type,)*
        }
        const _: () = assert!(size_of::<$name>() == $size);
        const _: () = assert!(offset_of!($name, event_type) == 8);
        $(const _: () = assert!(offset_of!($name, $field) == $offset);)*
    };
}

argument! {
    /// `fw_cdev_get_info`.
    GetInfo (40) {
        /// In: the version the client is written for. Out: the kernel's.
        0 version: u32,
        /// In: room at `rom`. Out: the ROM's true length. Both in bytes.
        4 rom_length: u32,
        /// Where to put the ROM, in host byte order; 0 for nowhere.
        8 rom: u64,
        /// Where to put a [`BusResetEvent`]; 0 for nowhere.
        16 bus_reset: u64,
        /// The closure of this and later bus-reset events.
        24 bus_reset_closure: u64,
        /// Out: which card the node is on.
        32 card: u32,
        /// Unused.
        36 pad: u32,
    }
}

argument! {
    /// `fw_cdev_send_request`, also for broadcasts.
    SendRequest (40) {
        /// One of [`tcode`].
        0 tcode: u32,
        /// Bytes at `data`, or how many are to be read.
        4 length: u32,
        /// The 48-bit address at the destination.
        8 offset: u64,
        /// Comes back in the response event.
        16 closure: u64,
        /// Where the payload is; 0 for none.
        24 data: u64,
        /// The generation in which to send.
        32 generation: u32,
        /// Unused.
        36 pad: u32,
    }
}

argument! {
    /// `fw_cdev_send_response`.
    SendResponse (24) {
        /// How it went.
        0 rcode: u32,
        /// Exactly what the request implies, errors included.
        4 length: u32,
        /// Where the payload is.
        8 data: u64,
        /// The request's handle.
        16 handle: u32,
        /// Unused.
        20 pad: u32,
    }
}

argument! {
    /// `fw_cdev_allocate`.
    Allocate (32) {
        /// In: where to look from. Out: where the range starts.
        0 offset: u64,
        /// Comes back in request events.
        8 closure: u64,
        /// Bytes.
        16 length: u32,
        /// Out: by which to give the range back.
        20 handle: u32,
        /// The first address that the range must not touch.
        24 region_end: u64,
    }
}

argument! {
    /// `fw_cdev_deallocate`, and `fw_cdev_remove_descriptor`, which looks the same.
    Deallocate (4) {
        /// From [`Allocate`] or [`AddDescriptor`].
        0 handle: u32,
    }
}

argument! {
    /// `fw_cdev_initiate_bus_reset`.
    InitiateBusReset (4) {
        /// One of [`reset_type`].
        0 reset_type: u32,
    }
}

argument! {
    /// `fw_cdev_add_descriptor`.
    AddDescriptor (24) {
        /// An entry to put before the pointer, or 0.
        0 immediate: u32,
        /// The pointer's key in the top byte.
        4 key: u32,
        /// Where the quadlets are, in host byte order.
        8 data: u64,
        /// Quadlets.
        16 length: u32,
        /// Out: by which to take the descriptor away again.
        20 handle: u32,
    }
}

argument! {
    /// `fw_cdev_get_cycle_timer2`.
    GetCycleTimer2 (24) {
        /// Out: seconds of the system's clock.
        0 tv_sec: i64,
        /// Out: nanoseconds of the system's clock.
        8 tv_nsec: i32,
        /// Which clock.
        12 clk_id: i32,
        /// Out: 7 bits of seconds, 13 of cycles, 12 of offset.
        16 cycle_timer: u32,
        /// Unused.
        20 pad: u32,
    }
}

event! {
    /// What every event starts with.
    CommonEvent (12) {}
}

event! {
    /// `fw_cdev_event_bus_reset`. GET_INFO writes these 36 bytes; read(2) gives 40.
    BusResetEvent (36) {
        /// The node of this file.
        12 node_id: U32,
        /// The controller.
        16 local_node_id: U32,
        /// The bus manager, 0xffff while there is none.
        20 bm_node_id: U32,
        /// The isochronous resource manager.
        24 irm_node_id: U32,
        /// The root.
        28 root_node_id: U32,
        /// The generation in which these ids hold.
        32 generation: U32,
    }
}

event! {
    /// `fw_cdev_event_response`. Data follows at byte 20, although the C structure has 24.
    ResponseEvent (20) {
        /// How it went.
        12 rcode: U32,
        /// Bytes of data.
        16 length: U32,
    }
}

event! {
    /// `fw_cdev_event_response2`. Data follows at byte 32.
    Response2Event (32) {
        /// How it went.
        12 rcode: U32,
        /// Bytes of data.
        16 length: U32,
        /// When the request was sent: 3 bits of seconds, 13 of cycles.
        20 request_tstamp: U32,
        /// When the response came.
        24 response_tstamp: U32,
        /// Unused.
        28 pad: U32,
    }
}

event! {
    /// `fw_cdev_event_request`. Data follows at byte 32.
    RequestEvent (32) {
        /// One of [`tcode`]; all locks are [`tcode::LOCK`].
        12 tcode: U32,
        /// The 48-bit address.
        16 offset: U64,
        /// By which to answer.
        24 handle: U32,
        /// Bytes of data, or how many to read.
        28 length: U32,
    }
}

event! {
    /// `fw_cdev_event_request2`. Data follows at byte 48.
    Request2Event (48) {
        /// One of [`tcode`].
        12 tcode: U32,
        /// The 48-bit address.
        16 offset: U64,
        /// Who asks, on `card` and in `generation`.
        24 source_node_id: U32,
        /// Whom it asks.
        28 destination_node_id: U32,
        /// On which of the host's cards.
        32 card: U32,
        /// The generation of that card's bus.
        36 generation: U32,
        /// By which to answer.
        40 handle: U32,
        /// Bytes of data, or how many to read.
        44 length: U32,
    }
}

event! {
    /// `fw_cdev_event_request3`: [`Request2Event`] and a time stamp. Data follows at byte 56.
    Request3Event (56) {
        /// One of [`tcode`].
        12 tcode: U32,
        /// The 48-bit address.
        16 offset: U64,
        /// Who asks, on `card` and in `generation`.
        24 source_node_id: U32,
        /// Whom it asks.
        28 destination_node_id: U32,
        /// On which of the host's cards.
        32 card: U32,
        /// The generation of that card's bus.
        36 generation: U32,
        /// By which to answer.
        40 handle: U32,
        /// Bytes of data, or how many to read.
        44 length: U32,
        /// When it came: 3 bits of seconds, 13 of cycles.
        48 tstamp: U32,
        /// Unused.
        52 pad: U32,
    }
}

/// Ioctl numbers as the request argument of ioctl(2) carries them.
pub mod number {
    use super::{
        AddDescriptor, Allocate, Deallocate, GetCycleTimer2, GetInfo, InitiateBusReset,
        SendRequest, SendResponse, size_of,
    };
    use nix::{request_code_none, request_code_readwrite, request_code_write};

    /// The letter of firewire-cdev.
    pub const TYPE: u8 = b'#';

    macro_rules! number {
        ($($(#[$doc:meta])* $name:ident = $code:ident($nr:literal $(, $argument:ty)?) => $value:literal;)*) => {
            $($(#[$doc])* pub const $name: u32 =
                $code!(TYPE, $nr $(, size_of::<$argument>())?) as u32;)*
            // MIPS, PowerPC and SPARC put the direction bits elsewhere.
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
            const _: () = { $(assert!($name == $value);)* };
        };
    }

    number! {
        /// [`super::get_info`].
        GET_INFO = request_code_readwrite(0x00, GetInfo) => 0xc028_2300;
        /// [`super::send_request`].
        SEND_REQUEST = request_code_write(0x01, SendRequest) => 0x4028_2301;
        /// [`super::allocate`].
        ALLOCATE = request_code_readwrite(0x02, Allocate) => 0xc020_2302;
        /// [`super::deallocate`].
        DEALLOCATE = request_code_write(0x03, Deallocate) => 0x4004_2303;
        /// [`super::send_response`].
        SEND_RESPONSE = request_code_write(0x04, SendResponse) => 0x4018_2304;
        /// [`super::initiate_bus_reset`].
        INITIATE_BUS_RESET = request_code_write(0x05, InitiateBusReset) => 0x4004_2305;
        /// [`super::add_descriptor`].
        ADD_DESCRIPTOR = request_code_readwrite(0x06, AddDescriptor) => 0xc018_2306;
        /// [`super::remove_descriptor`].
        REMOVE_DESCRIPTOR = request_code_write(0x07, Deallocate) => 0x4004_2307;
        /// [`super::get_speed`].
        GET_SPEED = request_code_none(0x11) => 0x0000_2311;
        /// A write to every node.
        SEND_BROADCAST_REQUEST = request_code_write(0x12, SendRequest) => 0x4028_2312;
        /// Bus time and system time together.
        GET_CYCLE_TIMER2 = request_code_readwrite(0x14, GetCycleTimer2) => 0xc018_2314;
    }
}

mod raw {
    use super::number::TYPE;
    use super::{
        AddDescriptor, Allocate, Deallocate, GetInfo, InitiateBusReset, SendRequest, SendResponse,
    };

    nix::ioctl_readwrite!(get_info, TYPE, 0x00, GetInfo);
    nix::ioctl_write_ptr!(send_request, TYPE, 0x01, SendRequest);
    nix::ioctl_readwrite!(allocate, TYPE, 0x02, Allocate);
    nix::ioctl_write_ptr!(deallocate, TYPE, 0x03, Deallocate);
    nix::ioctl_write_ptr!(send_response, TYPE, 0x04, SendResponse);
    nix::ioctl_write_ptr!(initiate_bus_reset, TYPE, 0x05, InitiateBusReset);
    nix::ioctl_readwrite!(add_descriptor, TYPE, 0x06, AddDescriptor);
    nix::ioctl_write_ptr!(remove_descriptor, TYPE, 0x07, Deallocate);
    nix::ioctl_none!(get_speed, TYPE, 0x11);
}

/// GET_INFO: negotiates the version, starts the delivery of bus-reset events, and tells the
/// node's present state. `rom` takes as much of the ROM as fits; the answer's `rom_length` tells
/// how long it is. The pointers in the answer mean nothing.
///
/// # Errors
/// `ENOTTY`: not a firewire-cdev file. `ENODEV`: the node is gone.
pub fn get_info(
    fd: BorrowedFd<'_>,
    version: u32,
    closure: u64,
    rom: &mut [u32],
) -> io::Result<(GetInfo, BusResetEvent)> {
    // read(2) gives 40 bytes for this event and a server may do so here, too.
    let mut bus_reset = [BusResetEvent::new_zeroed(); 2];
    let mut info = GetInfo {
        version,
        rom_length: u32::try_from(size_of_val(rom)).unwrap_or(u32::MAX),
        rom: rom.as_mut_ptr() as u64,
        bus_reset: bus_reset.as_mut_ptr() as u64,
        bus_reset_closure: closure,
        ..GetInfo::default()
    };
    // SAFETY: the number carries the size of `info`, which outlives the call. `rom` points to
    // `rom_length` bytes and `bus_reset` to more bytes than the event has; both outlive the call,
    // are exclusively borrowed, and any bytes are a valid value of them.
    unsafe { raw::get_info(fd.as_raw_fd(), &raw mut info) }?;
    let [event, _] = bus_reset;
    Ok((info, event))
}

/// SEND_REQUEST. `data` is the payload of writes and locks; where it is empty, `request.length`
/// says how much to read. `request.data` is ignored.
///
/// # Errors
/// `EINVAL`: a bad transaction code. `EIO`: longer than the speed allows. `ENODEV`: the node is
/// gone. What fails on the bus comes as a response event instead.
pub fn send_request(fd: BorrowedFd<'_>, mut request: SendRequest, data: &[u8]) -> io::Result<()> {
    request.data = 0;
    if !data.is_empty() {
        request.length = length_of(data)?;
        request.data = data.as_ptr() as u64;
    }
    // SAFETY: the number carries the size of `request`, which outlives the call. `data` is null,
    // which the kernel does not follow, or points to `length` bytes that outlive the call; the
    // kernel only reads them.
    unsafe { raw::send_request(fd.as_raw_fd(), &raw const request) }?;
    Ok(())
}

/// SEND_RESPONSE. `data` is as long as the request implies, also where `rcode` is an error.
///
/// # Errors
/// `EINVAL`: no such handle, or the wrong length; the handle is used up and the peer gets no
/// answer. `ENODEV`: the node is gone.
pub fn send_response(fd: BorrowedFd<'_>, handle: u32, rcode: u32, data: &[u8]) -> io::Result<()> {
    let response = SendResponse {
        rcode,
        length: length_of(data)?,
        data: data.as_ptr() as u64,
        handle,
        pad: 0,
    };
    // SAFETY: the number carries the size of `response`, which outlives the call; so do the
    // `length` bytes at `data`, which the kernel only reads.
    unsafe { raw::send_response(fd.as_raw_fd(), &raw const response) }?;
    Ok(())
}

/// ALLOCATE: claims addresses on all local nodes. In the answer `offset` and `handle` are set.
///
/// # Errors
/// `EBUSY`: no free place between `offset` and `region_end`. `EINVAL`: not whole quadlets, or
/// no room for them in the region. `ENODEV`: the node is gone.
pub fn allocate(fd: BorrowedFd<'_>, mut range: Allocate) -> io::Result<Allocate> {
    // SAFETY: the number carries the size of `range`, which outlives the call and of which any
    // bytes are a valid value. There are no pointers in it.
    unsafe { raw::allocate(fd.as_raw_fd(), &raw mut range) }?;
    Ok(range)
}

/// DEALLOCATE.
///
/// # Errors
/// `EINVAL`: no such handle. `ENODEV`: the node is gone.
pub fn deallocate(fd: BorrowedFd<'_>, handle: u32) -> io::Result<()> {
    let range = Deallocate { handle };
    // SAFETY: the number carries the size of `range`, which outlives the call.
    unsafe { raw::deallocate(fd.as_raw_fd(), &raw const range) }?;
    Ok(())
}

/// INITIATE_BUS_RESET. Returns at once; the kernel keeps 2 s between resets.
///
/// # Errors
/// `ENODEV`: the node is gone.
pub fn initiate_bus_reset(fd: BorrowedFd<'_>, reset_type: u32) -> io::Result<()> {
    let reset = InitiateBusReset { reset_type };
    // SAFETY: the number carries the size of `reset`, which outlives the call.
    unsafe { raw::initiate_bus_reset(fd.as_raw_fd(), &raw const reset) }?;
    Ok(())
}

/// ADD_DESCRIPTOR: adds to the configuration ROMs of all local nodes; a bus reset follows. In the
/// ROM's root directory `immediate` comes first unless it is 0, then `key`, which leads to
/// `blocks`. These are whole blocks in host byte order, each with its length in the upper half of
/// its header and zeros in the lower, into which the kernel ORs the CRC. Gives the handle by which
/// to take it away again.
///
/// # Errors
/// `EBUSY`: the ROM has no room. `EINVAL`: no chain of whole blocks, or more than 256 quadlets.
/// `ENOSYS`: not a local node's file. `ENODEV`: the node is gone.
pub fn add_descriptor(
    fd: BorrowedFd<'_>,
    immediate: u32,
    key: u32,
    blocks: &[u32],
) -> io::Result<u32> {
    let mut descriptor = AddDescriptor {
        immediate,
        key,
        data: blocks.as_ptr() as u64,
        length: u32::try_from(blocks.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        handle: 0,
    };
    // SAFETY: the number carries the size of `descriptor`, which outlives the call and of which
    // any bytes are a valid value. `data` points to `length` quadlets that outlive the call; the
    // kernel only reads them.
    unsafe { raw::add_descriptor(fd.as_raw_fd(), &raw mut descriptor) }?;
    Ok(descriptor.handle)
}

/// REMOVE_DESCRIPTOR; a bus reset follows.
///
/// # Errors
/// `EINVAL`: no such handle. `ENODEV`: the node is gone.
pub fn remove_descriptor(fd: BorrowedFd<'_>, handle: u32) -> io::Result<()> {
    let descriptor = Deallocate { handle };
    // SAFETY: the number carries the size of `descriptor`, which outlives the call.
    unsafe { raw::remove_descriptor(fd.as_raw_fd(), &raw const descriptor) }?;
    Ok(())
}

/// GET_SPEED: the code of the highest speed to the node.
///
/// # Errors
/// `ENODEV`: the node is gone.
pub fn get_speed(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: the ioctl has no argument.
    Ok(unsafe { raw::get_speed(fd.as_raw_fd()) }?)
}

fn length_of(data: &[u8]) -> io::Result<u32> {
    u32::try_from(data.len()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests;
