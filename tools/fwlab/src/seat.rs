//! A seat on the bus for a virtual machine: a vfio-user socket with an OHCI controller behind it.
//!
//! Who connects has a controller as after power-on. Who goes, however, pulls the plug: the node
//! leaves the bus, and the seat waits for the next one.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::controller::{DmaError, Memory};
use crate::lab::{Lab, LabError};
use crate::socket::SocketError;
use crate::vfio::{Function, GuestMemory, Interrupts, Server};
use crate::world::{Watcher, World};

/// Why there is no seat.
#[derive(Debug, thiserror::Error)]
pub enum SeatError {
    /// The bus has no room.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

/// A seat that is open; it is closed when this is dropped.
#[derive(Debug)]
pub struct Seat {
    number: usize,
    server: Server,
}

impl Seat {
    /// Opens a seat on the bus at this socket.
    ///
    /// # Errors
    /// [`SeatError`].
    pub fn open(world: &Arc<World>, path: &Path) -> Result<Self, SeatError> {
        let number = world.with(Lab::add_seat)?;
        let lines = Arc::new(Lines {
            number,
            interrupts: Mutex::new(None),
        });
        world.add_watcher(Arc::clone(&lines) as Arc<dyn Watcher>);
        let function = Arc::new(Slot {
            world: Arc::clone(world),
            number,
            lines,
        });
        let server = Server::bind(path, function)?;
        Ok(Self { number, server })
    }

    /// Its number: the node is `vm` with this number on the bus.
    #[must_use]
    pub const fn number(&self) -> usize {
        self.number
    }

    /// Its socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.server.path()
    }
}

/// What the virtual machine finds in its slot.
struct Slot {
    world: Arc<World>,
    number: usize,
    lines: Arc<Lines>,
}

impl Function for Slot {
    fn connected(&self, memory: Arc<GuestMemory>, interrupts: Arc<Interrupts>) {
        *self.lines.lock() = Some(interrupts);
        let memory = Arc::new(Guest(memory));
        self.world
            .with(|lab, now| lab.seat(self.number, memory, now));
        tracing::info!(seat = self.number, "a virtual machine has come");
    }

    fn read(&self, offset: u32) -> u32 {
        self.world
            .with(|lab, now| lab.read_register(self.number, offset, now))
    }

    fn write(&self, offset: u32, value: u32) {
        self.world
            .with(|lab, now| lab.write_register(self.number, offset, value, now));
    }

    fn reset(&self) {
        self.world
            .with(|lab, now| lab.reset_controller(self.number, now));
    }

    fn gone(&self) {
        self.world.with(|lab, now| lab.unseat(self.number, now));
        *self.lines.lock() = None;
        tracing::info!(seat = self.number, "the virtual machine is gone");
    }
}

/// The controller's lines to the virtual machine.
struct Lines {
    number: usize,
    interrupts: Mutex<Option<Arc<Interrupts>>>,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Interrupts>>> {
        let interrupts = self.interrupts.lock();
        interrupts.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher for Lines {
    fn settle(&self, lab: &mut Lab) {
        if let Some(interrupts) = &*self.lock() {
            interrupts.update(lab.pending_interrupts(self.number));
        }
    }
}

/// The virtual machine's memory.
struct Guest(Arc<GuestMemory>);

impl Memory for Guest {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), DmaError> {
        let length = buffer.len();
        let read = self.0.read(address, buffer);
        read.map_err(|_| DmaError { address, length })
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), DmaError> {
        let length = bytes.len();
        let written = self.0.write(address, bytes);
        written.map_err(|_| DmaError { address, length })
    }
}
