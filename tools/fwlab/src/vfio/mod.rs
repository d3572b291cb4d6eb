//! A PCI function in a virtual machine: the server side of vfio-user, the protocol in which QEMU
//! (10.1 or newer, `-device vfio-user-pci`) has a device served by another process.
//!
//! | to | use |
//! |---|---|
//! | be a device | [`Function`] |
//! | have it in a guest | [`Server`] |
//! | see whether one is there for a guest | [`probe`] |
//! | reach into the guest's memory | [`GuestMemory`] |
//! | interrupt the guest | [`Interrupts`] |
//!
//! Source of the protocol: "vfio-user Protocol Specification" in QEMU's `docs/interop`, and Linux's
//! `<linux/vfio.h>`, from which it takes structures and flags.

mod connection;
mod interrupts;
mod memory;
mod pci;
mod probe;
mod server;
mod session;
mod sys;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

pub use interrupts::Interrupts;
pub use memory::{DmaError, GuestMemory};
pub use probe::{ProbeError, probe};
pub use server::Server;

/// Bytes of BAR 0, where the registers are.
pub const BAR0_SIZE: u32 = 4096;

/// One PCI function's device side. Called from the thread of the connection.
///
/// Nobody is answered while a call lasts, the guest's processor waits: none may block.
pub trait Function: Send + Sync {
    /// A guest has connected: its memory, and the lines to its interrupt controller.
    ///
    /// Both are new with each guest, and empty at first.
    fn connected(&self, memory: Arc<GuestMemory>, interrupts: Arc<Interrupts>);
    /// Reads a 32-bit register of BAR 0 at a byte offset that is a multiple of 4, below [`BAR0_SIZE`].
    fn read(&self, offset: u32) -> u32;
    /// Writes one.
    fn write(&self, offset: u32, value: u32);
    /// The function is reset (`VFIO_USER_DEVICE_RESET`).
    fn reset(&self);
    /// The guest is gone; memory and interrupts are of no use any more.
    ///
    /// Comes once after each [`connected`](Self::connected), and after the last call of that guest.
    fn gone(&self);
}
