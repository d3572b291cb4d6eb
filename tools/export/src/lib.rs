//! A disk handed to the host.
//!
//! Whoever has a disk implements [`Disk`]: its [`Geometry`], and a way to submit a [`Request`]
//! and be told later how it ended. This crate turns that into something that other programs can
//! open: [`nbd`], a server for the Network Block Device protocol, which QEMU, libnbd's tools, fio
//! and the Linux kernel speak, [`nbd_device`], that server with the kernel's driver as its client,
//! and [`file`](mod@file), a file by FUSE, with a [`loop_device`] on it.
//!
//! ```
//! use std::sync::Arc;
//! use fwshare_export::{memory::MemoryDisk, nbd::{Endpoint, Export, Server}};
//!
//! let disk = Arc::new(MemoryDisk::new(1 << 20, 512));
//! let export = Export::new(disk)?;
//! let server = Server::start(export, &["tcp:127.0.0.1:0".parse::<Endpoint>()?])?;
//! for uri in server.uris() {
//!     println!("try: nbdinfo {uri}");
//! }
//! server.stop(std::time::Duration::from_secs(5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What an export promises
//!
//! Other hosts write to the same disk at the same time, and none of them is asked first. So
//! nothing here is cached, merged or read ahead: each request of a client becomes a request to
//! the disk, and is answered when the disk has answered. For the same reason nothing here reads
//! a block to write a part of it: between the two, another host's bytes would be lost.

// Two files have exceptions: loop_device/system.rs and ublk/ring.rs.
#![deny(unsafe_code)]

mod apart;
mod block_device;
#[cfg(test)]
mod c_header;
mod disk;
pub mod file;
pub mod loop_device;
pub mod memory;
pub mod nbd;
pub mod nbd_device;
#[cfg(feature = "ublk")]
pub mod ublk;
mod users;

pub use block_device::{Announce, BlockDevice, DetachError, HostExport};
pub use disk::{Completion, Disk, DiskError, Geometry, GeometryError, MAX_REQUEST_LIMIT, Request};
pub use users::Users;
