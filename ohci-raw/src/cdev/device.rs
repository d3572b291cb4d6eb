//! One opened node file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::abi::{self, reset_type, tcode};
use super::error::DeviceError;
use super::event::{self, BusState, CdevEvent};
use crate::bus::{Address, AddressRange, Eui64, Generation, LockKind, Operation, RCode, Speed};
use crate::config_rom::Descriptor;
use crate::port::ResetKind;

/// What GET_INFO tells of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeInfo {
    /// The version that the kernel speaks. Events are in the lower of this and
    /// [`abi::VERSION`].
    pub version: u32,
    /// Which of the host's cards the node is on.
    pub card: u32,
    /// Its id, the controller's id, and the generation in which they hold.
    pub state: BusState,
    /// Its configuration ROM, in host byte order, at most [`abi::ROM_QUADLETS`].
    pub rom: Vec<u32>,
}

impl NodeInfo {
    /// Whether the node seems to be this host's own controller.
    ///
    /// A node that was just unplugged keeps its file for two seconds or more, and with it the id
    /// of its last generation, which may be the controller's id by now: of two that seem so,
    /// the one in the later generation is.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.state.node == self.state.local
    }

    /// The node's EUI-64, or `None` for a minimal ROM.
    #[must_use]
    pub fn eui64(&self) -> Option<Eui64> {
        match self.rom[..] {
            [_, _, _, hi, lo, ..] => Some(Eui64::from_quadlets(hi, lo)),
            _ => None,
        }
    }
}

/// A request on its way to the node of a file.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingRequest<'a> {
    /// Comes back in the response event.
    pub closure: u64,
    /// In which to send.
    pub generation: Generation,
    /// Where.
    pub address: Address,
    /// What to do there.
    pub operation: &'a Operation,
}

/// An address range that the kernel gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allocation {
    /// The addresses.
    pub range: AddressRange,
    /// By which to give them back.
    pub handle: u32,
}

/// A node's file as [`CdevPort`](super::CdevPort) needs it: [`Device`], and in tests something
/// that needs no kernel.
///
/// All errors are [`DeviceError`]s that name the file and the ioctl.
#[allow(clippy::missing_errors_doc)]
pub trait NodeFile: AsFd + Send {
    /// The file.
    fn path(&self) -> &Path;

    /// GET_INFO: what the kernel knows of the node now.
    fn info(&self) -> Result<NodeInfo, DeviceError>;

    /// GET_SPEED: the highest speed to the node.
    fn speed(&self) -> Result<Speed, DeviceError>;

    /// SEND_REQUEST. One [`CdevEvent::Response`] follows.
    fn send_request(&self, request: OutgoingRequest<'_>) -> Result<(), DeviceError>;

    /// SEND_RESPONSE. `data` has the length that the request implies, whatever `rcode` is.
    fn send_response(&self, handle: u32, rcode: RCode, data: &[u8]) -> Result<(), DeviceError>;

    /// ALLOCATE: `length` bytes anywhere in `region`.
    fn allocate(
        &self,
        region: AddressRange,
        length: u32,
        closure: u64,
    ) -> Result<Allocation, DeviceError>;

    /// DEALLOCATE.
    fn deallocate(&self, handle: u32) -> Result<(), DeviceError>;

    /// ADD_DESCRIPTOR, on a local node. Gives the handle.
    fn add_descriptor(&self, descriptor: &Descriptor) -> Result<u32, DeviceError>;

    /// REMOVE_DESCRIPTOR.
    fn remove_descriptor(&self, handle: u32) -> Result<(), DeviceError>;

    /// INITIATE_BUS_RESET.
    fn reset(&self, kind: ResetKind) -> Result<(), DeviceError>;

    /// The next event, or `None` if there is none now. `buffer` has
    /// [`BUFFER_LENGTH`](event::BUFFER_LENGTH) bytes.
    fn read_event(&self, buffer: &mut [u8]) -> Result<Option<CdevEvent>, DeviceError>;

    /// The file's name without its folder.
    fn name(&self) -> String {
        let name = self.path().file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// A node's file, `/dev/fw*`.
///
/// It stays with its node across bus resets, whatever the node's id is then.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    file: File,
    /// The lower of the kernel's version and ours.
    version: u32,
}

impl Device {
    /// Opens the file, settles on a version, and switches bus-reset events on.
    ///
    /// # Errors
    /// [`DeviceError::NotANode`], [`DeviceError::Version`], [`DeviceError::Os`].
    pub fn open(path: &Path) -> Result<(Self, NodeInfo), DeviceError> {
        // O_CLOEXEC is what the standard library always sets.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|source| DeviceError::os(path, "open", source))?;
        let mut device = Self {
            path: path.to_owned(),
            file,
            version: abi::VERSION,
        };
        let info = device.info()?;
        device.version = info.version.min(abi::VERSION);
        Ok((device, info))
    }

    fn os(&self, operation: &'static str) -> impl FnOnce(io::Error) -> DeviceError {
        move |source| DeviceError::os(&self.path, operation, source)
    }

    fn answer(&self, operation: &'static str, what: String) -> DeviceError {
        DeviceError::Answer {
            path: self.path.clone(),
            operation,
            what,
        }
    }
}

/// What the kernel's answers mean, and whether they can be true.
impl Device {
    fn node_info(
        &self,
        info: &abi::GetInfo,
        event: &abi::BusResetEvent,
        mut rom: Vec<u32>,
    ) -> Result<NodeInfo, DeviceError> {
        if info.version < abi::VERSION_MIN {
            return Err(DeviceError::Version {
                path: self.path.clone(),
                version: info.version,
            });
        }
        // rom_length is the ROM's true length, which may be more than was copied.
        let quadlets = usize::try_from(info.rom_length / 4).unwrap_or(usize::MAX);
        rom.truncate(quadlets);
        let state =
            event::bus_state(event).map_err(|error| self.answer("GET_INFO", error.to_string()))?;
        Ok(NodeInfo {
            version: info.version,
            card: info.card,
            state,
            rom,
        })
    }

    fn allocation(
        &self,
        region: AddressRange,
        answer: &abi::Allocate,
    ) -> Result<Allocation, DeviceError> {
        let length = u64::from(answer.length);
        let range = AddressRange::new(Address::new(answer.offset), length)
            .ok()
            .filter(|range| range.start().get() == answer.offset)
            .filter(|range| region.offset_of(range.start(), length).is_some())
            .ok_or_else(|| {
                let start = answer.offset;
                self.answer(
                    "ALLOCATE",
                    format!("a range of {length} bytes at {start:#x}"),
                )
            })?;
        Ok(Allocation {
            range,
            handle: answer.handle,
        })
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl NodeFile for Device {
    fn path(&self) -> &Path {
        &self.path
    }

    fn info(&self) -> Result<NodeInfo, DeviceError> {
        let mut rom = vec![0; abi::ROM_QUADLETS];
        let (info, event) =
            abi::get_info(self.as_fd(), abi::VERSION, 0, &mut rom).map_err(|source| {
                // Files that are no devices answer ENOTTY, some devices EINVAL.
                match source.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::ENOTTY | Errno::EINVAL) => DeviceError::NotANode {
                        path: self.path.clone(),
                        source,
                    },
                    _ => self.os("GET_INFO")(source),
                }
            })?;
        self.node_info(&info, &event, rom)
    }

    fn speed(&self) -> Result<Speed, DeviceError> {
        let code = abi::get_speed(self.as_fd()).map_err(self.os("GET_SPEED"))?;
        u8::try_from(code)
            .ok()
            .and_then(Speed::from_code)
            .ok_or_else(|| self.answer("GET_SPEED", format!("speed code {code}")))
    }

    fn send_request(&self, request: OutgoingRequest<'_>) -> Result<(), DeviceError> {
        let too_long = |_| self.os("SEND_REQUEST")(Errno::EMSGSIZE.into());
        let (tcode, length, data): (u32, usize, &[u8]) = match request.operation {
            Operation::ReadQuadlet => (tcode::READ_QUADLET, 4, &[]),
            Operation::ReadBlock { length } => (tcode::READ_BLOCK, *length, &[]),
            Operation::WriteQuadlet { data } => (tcode::WRITE_QUADLET, 4, data),
            Operation::WriteBlock { data } => (tcode::WRITE_BLOCK, data.len(), data),
            Operation::Lock { kind, data } => (lock_tcode(*kind), data.len(), data),
        };
        let argument = abi::SendRequest {
            tcode,
            length: u32::try_from(length).map_err(too_long)?,
            offset: request.address.get(),
            closure: request.closure,
            generation: request.generation.0,
            ..abi::SendRequest::default()
        };
        abi::send_request(self.as_fd(), argument, data).map_err(self.os("SEND_REQUEST"))
    }

    fn send_response(&self, handle: u32, rcode: RCode, data: &[u8]) -> Result<(), DeviceError> {
        abi::send_response(self.as_fd(), handle, rcode.0, data).map_err(self.os("SEND_RESPONSE"))
    }

    fn allocate(
        &self,
        region: AddressRange,
        length: u32,
        closure: u64,
    ) -> Result<Allocation, DeviceError> {
        let argument = abi::Allocate {
            offset: region.start().get(),
            closure,
            length,
            handle: 0,
            region_end: region.end(),
        };
        let mut answer = abi::allocate(self.as_fd(), argument).map_err(self.os("ALLOCATE"))?;
        answer.length = length;
        self.allocation(region, &answer)
    }

    fn deallocate(&self, handle: u32) -> Result<(), DeviceError> {
        abi::deallocate(self.as_fd(), handle).map_err(self.os("DEALLOCATE"))
    }

    fn add_descriptor(&self, descriptor: &Descriptor) -> Result<u32, DeviceError> {
        let key = u32::from(descriptor.key().0) << 24;
        abi::add_descriptor(self.as_fd(), 0, key, descriptor.blocks())
            .map_err(self.os("ADD_DESCRIPTOR"))
    }

    fn remove_descriptor(&self, handle: u32) -> Result<(), DeviceError> {
        abi::remove_descriptor(self.as_fd(), handle).map_err(self.os("REMOVE_DESCRIPTOR"))
    }

    fn reset(&self, kind: ResetKind) -> Result<(), DeviceError> {
        let reset_type = match kind {
            ResetKind::Long => reset_type::LONG,
            ResetKind::Short => reset_type::SHORT,
        };
        abi::initiate_bus_reset(self.as_fd(), reset_type).map_err(self.os("INITIATE_BUS_RESET"))
    }

    fn read_event(&self, buffer: &mut [u8]) -> Result<Option<CdevEvent>, DeviceError> {
        let length = loop {
            // read(2) waits for an event, with O_NONBLOCK as well (`dequeue_event` in
            // drivers/firewire/core-cdev.c).
            let mut ready = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, PollTimeout::ZERO) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(self.os("poll")(error.into())),
            }
            match (&self.file).read(buffer) {
                // Node files have no end.
                Ok(0) => return Err(self.os("read")(Errno::ENODEV.into())),
                Ok(length) => break length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.os("read")(error)),
            }
        };
        event::parse(buffer.get(..length).unwrap_or_default(), self.version)
            .map(Some)
            .map_err(|source| DeviceError::Event {
                path: self.path.clone(),
                source,
            })
    }
}

/// Locks are 0x10 and their extended transaction code.
fn lock_tcode(kind: LockKind) -> u32 {
    tcode::LOCK_EXTENDED + u32::from(kind.code())
}

/// The lock with this transaction code, or `None` where it is vendor dependent or no lock.
pub(super) fn lock_kind(tcode: u32) -> Option<LockKind> {
    let code = tcode.checked_sub(tcode::LOCK_EXTENDED)?;
    u16::try_from(code).ok().and_then(LockKind::from_code)
}

#[cfg(test)]
mod tests;
