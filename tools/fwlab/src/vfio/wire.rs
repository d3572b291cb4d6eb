//! What crosses the socket. The specification has the machine's own byte order; all machines that
//! QEMU serves this to are little-endian, and so is this.
//!
//! Sections are those of the "vfio-user Protocol Specification".

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Most bytes of data in one read or write of a region: the specification's default.
pub(super) const DATA_MAX: usize = 1 << 20;
/// Most bytes behind a header: such data and what stands before it.
pub(super) const BODY_MAX: usize = DATA_MAX + size_of::<RegionAccess>();
/// Most descriptors that we say we take with one message. More are closed.
pub(super) const DESCRIPTORS_MAX: usize = 8;

/// "Version": what we say of ourselves. Without `write_multiple` there are no collected writes,
/// without `twin_socket` no commands from us.
pub(super) const CAPABILITIES: &str =
    "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576}}\0";

/// "Header"
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Header {
    /// Comes back in the reply.
    pub(super) id: U16,
    pub(super) command: U16,
    /// Of the whole message.
    pub(super) size: U32,
    pub(super) flags: U32,
    /// An errno, in a reply with [`ERROR`](Self::ERROR).
    pub(super) error: U32,
}

impl Header {
    /// The bits of `flags` that tell a command from a reply.
    pub(super) const TYPE: u32 = 0xf;
    /// The type of a command.
    pub(super) const COMMAND: u32 = 0;
    /// The type of a reply.
    pub(super) const REPLY: u32 = 1;
    /// The sender wants no reply.
    pub(super) const NO_REPLY: u32 = 1 << 4;
    /// The command failed.
    pub(super) const ERROR: u32 = 1 << 5;
}

/// "Commands": those that we do. The others get `ENOSYS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Command {
    Version = 1,
    DmaMap = 2,
    DmaUnmap = 3,
    GetInfo = 4,
    GetRegionInfo = 5,
    GetIrqInfo = 7,
    SetIrqs = 8,
    RegionRead = 9,
    RegionWrite = 10,
    Reset = 13,
}

impl Command {
    pub(super) fn from_code(code: u16) -> Option<Self> {
        [
            Self::Version,
            Self::DmaMap,
            Self::DmaUnmap,
            Self::GetInfo,
            Self::GetRegionInfo,
            Self::GetIrqInfo,
            Self::SetIrqs,
            Self::RegionRead,
            Self::RegionWrite,
            Self::Reset,
        ]
        .into_iter()
        .find(|command| *command as u16 == code)
    }
}

/// `VFIO_USER_VERSION`; capabilities as JSON and a NUL may follow.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Version {
    pub(super) major: U16,
    pub(super) minor: U16,
}

/// `VFIO_USER_DMA_MAP`
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct DmaMap {
    pub(super) argsz: U32,
    pub(super) flags: U32,
    pub(super) offset: U64,
    pub(super) address: U64,
    pub(super) size: U64,
}

impl DmaMap {
    /// The device may read it.
    pub(super) const READABLE: u32 = 1;
    /// The device may write it.
    pub(super) const WRITABLE: u32 = 1 << 1;
}

/// `VFIO_USER_DMA_UNMAP`, and its reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct DmaUnmap {
    pub(super) argsz: U32,
    pub(super) flags: U32,
    pub(super) address: U64,
    pub(super) size: U64,
}

impl DmaUnmap {
    /// `VFIO_DMA_UNMAP_FLAG_ALL`: all pieces; QEMU sends it, the specification does not know it.
    pub(super) const ALL: u32 = 1 << 1;
}

/// `VFIO_USER_DEVICE_GET_INFO`, and its reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct DeviceInfo {
    pub(super) argsz: U32,
    pub(super) flags: U32,
    pub(super) regions: U32,
    pub(super) interrupts: U32,
}

impl DeviceInfo {
    /// The device has `VFIO_USER_DEVICE_RESET`.
    pub(super) const RESET: u32 = 1;
    /// It is a PCI function.
    pub(super) const PCI: u32 = 1 << 1;
}

/// `VFIO_USER_DEVICE_GET_REGION_INFO`, and its reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct RegionInfo {
    pub(super) argsz: U32,
    pub(super) flags: U32,
    pub(super) index: U32,
    pub(super) capabilities: U32,
    pub(super) size: U64,
    pub(super) offset: U64,
}

impl RegionInfo {
    /// The guest may read it.
    pub(super) const READABLE: u32 = 1;
    /// The guest may write it.
    pub(super) const WRITABLE: u32 = 1 << 1;
}

/// `VFIO_USER_DEVICE_GET_IRQ_INFO`, and its reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct IrqInfo {
    pub(super) argsz: U32,
    pub(super) flags: U32,
    pub(super) index: U32,
    pub(super) count: U32,
}

impl IrqInfo {
    /// An eventfd can be had for it.
    pub(super) const EVENTFD: u32 = 1;
    /// It can be masked.
    pub(super) const MASKABLE: u32 = 1 << 1;
    /// It masks itself when it is triggered.
    pub(super) const AUTOMASKED: u32 = 1 << 2;
}

/// `VFIO_USER_DEVICE_SET_IRQS`; booleans may follow, which we do not take.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct IrqSet {
    pub(super) argsz: U32,
    pub(super) flags: U32,
    pub(super) index: U32,
    pub(super) start: U32,
    pub(super) count: U32,
}

impl IrqSet {
    /// `DATA_NONE | ACTION_MASK`
    pub(super) const MASK: u32 = 0x09;
    /// `DATA_NONE | ACTION_UNMASK`
    pub(super) const UNMASK: u32 = 0x11;
    /// `DATA_NONE | ACTION_TRIGGER`; with a count of 0 it switches off.
    pub(super) const TRIGGER: u32 = 0x21;
    /// `DATA_EVENTFD | ACTION_TRIGGER`: triggers come by this eventfd; without one, no more.
    pub(super) const EVENTFD: u32 = 0x24;
}

/// `VFIO_USER_REGION_READ` and `VFIO_USER_REGION_WRITE`, and their replies; the data follows.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct RegionAccess {
    pub(super) offset: U64,
    pub(super) region: U32,
    pub(super) count: U32,
}
