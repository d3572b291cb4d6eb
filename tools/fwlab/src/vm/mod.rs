//! Virtual machines on the bus: a stock Linux kernel, its own FireWire drivers, and what a test
//! needs, in a guest that is up in seconds and leaves nothing behind.
//!
//! ```text
//!  Guest ── run, spawn ──> agent (start.sh) ── sh ──> what was asked for
//!    │ starts                     /host = a folder of the host
//!    v
//!  QEMU ── vfio-user ──> Seat ──> the bus
//!    └──── datagrams ──> Hub  ──> the other guests
//! ```
//!
//! [`GuestSpec`] says what the machine is to have, [`Guest`] is one that runs. The guest has
//! busybox, the kernel modules that were asked for, programs of this machine with their
//! libraries, and a folder that it shares with this machine. Nothing is installed anywhere.
//!
//! [`Boot`] starts a system that is not ours, to see what becomes of its early boot.
//!
//! A QEMU that knows vfio-user (10.1) and kernels can be had with the script `vm/prepare` of this
//! package; see [`Qemu::find`] and [`Kernel::find`] for where they are looked for.

mod accel;
mod agent;
mod boot;
mod console;
mod error;
mod files;
mod guest;
mod initramfs;
mod kernel;
mod modules;
mod network;
mod program;
mod qemu;
mod scratch;
mod spec;

pub use self::boot::Boot;
pub use self::error::VmError;
pub use self::guest::{Guest, Output, Running};
pub use self::kernel::Kernel;
pub use self::network::Hub;
pub use self::qemu::Qemu;
pub use self::scratch::Scratch;
pub use self::spec::{GuestSpec, Place};
