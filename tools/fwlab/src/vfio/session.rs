//! What one client asks, and what it is told.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes as _, KnownLayout, Unaligned};

use super::interrupts::{Kind, NotAnEventFd};
use super::memory::{MapError, NewPiece};
use super::pci::{self, ConfigSpace};
use super::wire::{
    CAPABILITIES, Command, DATA_MAX, DeviceInfo, DmaMap, DmaUnmap, IrqInfo, IrqSet, RegionAccess,
    RegionInfo, Version,
};
use super::{BAR0_SIZE, Function, GuestMemory, Interrupts};

/// BARs, expansion ROM, configuration space, VGA (`VFIO_PCI_NUM_REGIONS`).
const REGIONS: u32 = 9;
/// INTx, MSI, MSI-X, error, request (`VFIO_PCI_NUM_IRQS`).
const INTERRUPTS: u32 = 5;
/// `VFIO_PCI_BAR0_REGION_INDEX`
const BAR0: u32 = 0;
/// `VFIO_PCI_CONFIG_REGION_INDEX`
const CONFIG: u32 = 7;

/// Why a command is not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// No command, or none of ours.
    #[error("command {0} is not known")]
    Unknown(u16),
    /// Something else came before the version was agreed on, or a second version.
    #[error("{0:?} is out of place")]
    OutOfPlace(Command),
    /// Another protocol.
    #[error("version {0} of the protocol is not known, only 0")]
    Version(u16),
    /// Too short, or a field with a value that it cannot have.
    #[error("{0:?} is malformed")]
    Malformed(Command),
    /// Outside of a region, or of a kind of interrupt.
    #[error("{0:?} names what the device does not have")]
    Absent(Command),
    /// Descriptors were to come and did not: this process has too many open.
    #[error("the descriptors of a message were lost")]
    Lost,
    /// Guest memory.
    #[error(transparent)]
    Memory(#[from] MapError),
    /// Interrupts.
    #[error(transparent)]
    Line(#[from] NotAnEventFd),
}

impl Refusal {
    /// What the client is told.
    pub(super) fn errno(&self) -> Errno {
        match self {
            Self::Unknown(_) => Errno::ENOSYS,
            Self::Version(_) => Errno::EPROTONOSUPPORT,
            Self::OutOfPlace(_) | Self::Malformed(_) | Self::Absent(_) | Self::Line(_) => {
                Errno::EINVAL
            }
            Self::Lost => Errno::EMFILE,
            Self::Memory(error) => error.errno(),
        }
    }
}

/// One command as it came.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) command: Command,
    pub(super) body: &'a [u8],
    /// Those that nobody takes are closed.
    pub(super) descriptors: Vec<OwnedFd>,
}

impl Request<'_> {
    /// What the body begins with, and the rest.
    fn parse<T: FromBytes + KnownLayout + Immutable + Unaligned>(
        &self,
    ) -> Result<(&T, &[u8]), Refusal> {
        T::ref_from_prefix(self.body).map_err(|_| self.malformed())
    }

    /// The same for what says in its first field how long a reply may be.
    fn parse_question<T: FromBytes + KnownLayout + Immutable + Unaligned>(
        &self,
        argsz: impl FnOnce(&T) -> u32,
    ) -> Result<&T, Refusal> {
        let (question, _) = self.parse::<T>()?;
        let fits = usize::try_from(argsz(question)).is_ok_and(|argsz| argsz >= size_of::<T>());
        fits.then_some(question).ok_or_else(|| self.malformed())
    }

    fn malformed(&self) -> Refusal {
        Refusal::Malformed(self.command)
    }

    fn absent(&self) -> Refusal {
        Refusal::Absent(self.command)
    }

    /// The one descriptor that it may carry.
    fn descriptor(&mut self) -> Result<Option<OwnedFd>, Refusal> {
        let one = self.descriptors.pop();
        if self.descriptors.is_empty() {
            Ok(one)
        } else {
            Err(self.malformed())
        }
    }
}

/// One client, from its first command to its end.
pub(super) struct Session<'a> {
    function: &'a dyn Function,
    /// Writes to BAR 0 of less than a quadlet.
    narrow_writes: &'a AtomicU64,
    memory: Arc<GuestMemory>,
    interrupts: Arc<Interrupts>,
    config: ConfigSpace,
    connected: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(function: &'a dyn Function, narrow_writes: &'a AtomicU64) -> Self {
        Self {
            function,
            narrow_writes,
            memory: Arc::default(),
            interrupts: Arc::default(),
            config: ConfigSpace::new(),
            connected: false,
        }
    }

    /// Does a command and appends the body of its reply.
    pub(super) fn handle(
        &mut self,
        mut request: Request<'_>,
        reply: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        if self.connected == (request.command == Command::Version) {
            return Err(Refusal::OutOfPlace(request.command));
        }
        match request.command {
            Command::Version => self.version(&request, reply),
            Command::DmaMap => self.map(&mut request),
            Command::DmaUnmap => self.unmap(&request, reply),
            Command::GetInfo => device_info(&request, reply),
            Command::GetRegionInfo => region_info(&request, reply),
            Command::GetIrqInfo => irq_info(&request, reply),
            Command::SetIrqs => self.set_irqs(&mut request),
            Command::RegionRead => self.read(&request, reply),
            Command::RegionWrite => self.write(&request, reply),
            Command::Reset => {
                self.config = ConfigSpace::new();
                self.function.reset();
                Ok(())
            }
        }
    }

    fn version(&mut self, request: &Request<'_>, reply: &mut Vec<u8>) -> Result<(), Refusal> {
        let (version, _) = request.parse::<Version>()?;
        if version.major != 0 {
            return Err(Refusal::Version(version.major.get()));
        }
        // The client's capabilities are about what we would send, and we send nothing by ourselves.
        let own = Version {
            major: 0.into(),
            minor: 0.into(),
        };
        reply.extend(own.as_bytes());
        reply.extend(CAPABILITIES.as_bytes());
        self.connected = true;
        self.function
            .connected(Arc::clone(&self.memory), Arc::clone(&self.interrupts));
        Ok(())
    }

    fn map(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        let file = request.descriptor()?;
        let (wish, _) = request.parse::<DmaMap>()?;
        let flags = wish.flags.get();
        if flags & !(DmaMap::READABLE | DmaMap::WRITABLE) != 0 {
            return Err(request.malformed());
        }
        self.memory.map(NewPiece {
            address: wish.address.get(),
            size: wish.size.get(),
            offset: wish.offset.get(),
            readable: flags & DmaMap::READABLE != 0,
            writable: flags & DmaMap::WRITABLE != 0,
            file,
        })?;
        Ok(())
    }

    fn unmap(&self, request: &Request<'_>, reply: &mut Vec<u8>) -> Result<(), Refusal> {
        let (wish, _) = request.parse::<DmaUnmap>()?;
        match wish.flags.get() {
            0 => self.memory.unmap(wish.address.get(), wish.size.get())?,
            DmaUnmap::ALL => self.memory.clear(),
            _ => return Err(request.malformed()),
        }
        reply.extend(wish.as_bytes());
        Ok(())
    }

    fn set_irqs(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        let descriptor = request.descriptor()?;
        let (set, _) = request.parse::<IrqSet>()?;
        let kind = Kind::from_index(set.index.get()).ok_or_else(|| request.absent())?;
        let (flags, count) = (set.flags.get(), set.count.get());
        // There is one of each kind.
        if set.start != 0 || count > 1 {
            return Err(request.absent());
        }
        match (flags, count, kind) {
            (IrqSet::TRIGGER, 0, _) => self.interrupts.connect(kind, None)?,
            (IrqSet::EVENTFD, 1, _) => self.interrupts.connect(kind, descriptor)?,
            (IrqSet::MASK, 1, Kind::Intx) => self.interrupts.mask(true),
            (IrqSet::UNMASK, 1, Kind::Intx) => self.interrupts.mask(false),
            _ => return Err(request.malformed()),
        }
        Ok(())
    }

    fn read(&self, request: &Request<'_>, reply: &mut Vec<u8>) -> Result<(), Refusal> {
        let (access, _) = request.parse::<RegionAccess>()?;
        let (offset, count) = place(request, access)?;
        reply.extend(access.as_bytes());
        let start = reply.len();
        reply.resize(start + count, 0);
        let data = &mut reply[start..];
        if access.region == CONFIG {
            self.config.read(offset as usize, data);
            return Ok(());
        }
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let register = self.function.read(at & !3).to_le_bytes();
            let wanted = &register[(at & 3) as usize..];
            let step = wanted.len().min(rest.len());
            let (now, later) = rest.split_at_mut(step);
            now.copy_from_slice(&wanted[..step]);
            rest = later;
            at = (at & !3) + 4;
        }
        Ok(())
    }

    fn write(&mut self, request: &Request<'_>, reply: &mut Vec<u8>) -> Result<(), Refusal> {
        let (access, data) = request.parse::<RegionAccess>()?;
        let (offset, count) = place(request, access)?;
        if data.len() != count {
            return Err(request.malformed());
        }
        reply.extend(access.as_bytes());
        if access.region == CONFIG {
            self.config.write(offset as usize, data);
            return Ok(());
        }
        let head = (offset.next_multiple_of(4) - offset) as usize;
        let (head, rest) = data.split_at(head.min(data.len()));
        let (quadlets, tail) = rest.as_chunks::<4>();
        for (at, quadlet) in (offset.next_multiple_of(4)..).step_by(4).zip(quadlets) {
            self.function.write(at, u32::from_le_bytes(*quadlet));
        }
        for part in [head, tail] {
            if !part.is_empty() {
                self.dropped(offset, part.len());
            }
        }
        Ok(())
    }

    /// OHCI 1.1, 4: registers are accessed in quadlets only.
    fn dropped(&self, offset: u32, length: usize) {
        if self.narrow_writes.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                offset,
                length,
                "the guest wrote less than a quadlet to a register: dropped, and not told again"
            );
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // The function may hold these for longer: what they stand for ends here.
        self.memory.clear();
        self.interrupts.clear();
        if self.connected {
            self.function.gone();
        }
    }
}

/// Offset and length, if all of it is in a region.
fn place(request: &Request<'_>, access: &RegionAccess) -> Result<(u32, usize), Refusal> {
    let size = region_size(access.region.get());
    let count = u64::from(access.count.get());
    let end = access.offset.get().checked_add(count);
    if end.is_none_or(|end| end > size.into()) {
        return Err(request.absent());
    }
    match (u32::try_from(access.offset.get()), usize::try_from(count)) {
        (Ok(offset), Ok(count)) if count <= DATA_MAX => Ok((offset, count)),
        _ => Err(request.absent()),
    }
}

/// 0 for what the function does not have.
fn region_size(index: u32) -> u32 {
    match index {
        BAR0 => BAR0_SIZE,
        CONFIG => pci::SIZE as u32,
        _ => 0,
    }
}

fn device_info(request: &Request<'_>, reply: &mut Vec<u8>) -> Result<(), Refusal> {
    request.parse_question::<DeviceInfo>(|question| question.argsz.get())?;
    let info = DeviceInfo {
        argsz: (size_of::<DeviceInfo>() as u32).into(),
        flags: (DeviceInfo::RESET | DeviceInfo::PCI).into(),
        regions: REGIONS.into(),
        interrupts: INTERRUPTS.into(),
    };
    reply.extend(info.as_bytes());
    Ok(())
}

fn region_info(request: &Request<'_>, reply: &mut Vec<u8>) -> Result<(), Refusal> {
    let question = request.parse_question::<RegionInfo>(|question| question.argsz.get())?;
    let index = question.index.get();
    if index >= REGIONS {
        return Err(request.absent());
    }
    let flags = match region_size(index) {
        0 => 0,
        _ => RegionInfo::READABLE | RegionInfo::WRITABLE,
    };
    let info = RegionInfo {
        argsz: (size_of::<RegionInfo>() as u32).into(),
        flags: flags.into(),
        index: index.into(),
        capabilities: 0.into(),
        size: u64::from(region_size(index)).into(),
        offset: 0.into(),
    };
    reply.extend(info.as_bytes());
    Ok(())
}

fn irq_info(request: &Request<'_>, reply: &mut Vec<u8>) -> Result<(), Refusal> {
    let question = request.parse_question::<IrqInfo>(|question| question.argsz.get())?;
    let index = question.index.get();
    if index >= INTERRUPTS {
        return Err(request.absent());
    }
    let (flags, count) = match Kind::from_index(index) {
        Some(Kind::Intx) => (
            IrqInfo::EVENTFD | IrqInfo::MASKABLE | IrqInfo::AUTOMASKED,
            1,
        ),
        Some(Kind::Msi) => (IrqInfo::EVENTFD, 1),
        None => (0, 0),
    };
    let info = IrqInfo {
        argsz: (size_of::<IrqInfo>() as u32).into(),
        flags: flags.into(),
        index: index.into(),
        count: count.into(),
    };
    reply.extend(info.as_bytes());
    Ok(())
}
