//! IEEE 1394 ("FireWire") as a host can reach it.
//!
//! | module | what it is |
//! |---|---|
//! | [`bus`] | the vocabulary of the bus: node ids, addresses, transactions, events; and [`bus::Machine`], the shape of everything that speaks on it |
//! | [`config_rom`] | IEEE 1212 configuration ROMs, read and built |
//! | [`phy`] | PHY packets and registers |
//! | [`sim`] | a virtual bus with its own clock |
//! | [`regs`], [`descriptor`], [`packet`] | an OHCI controller's registers, its DMA descriptors, packets as it has them in memory |
//! | [`port`] | the one seam between protocol and bus; firewire-cdev and the virtual bus implement it |
//! | [`cdev`] | Linux's `/dev/fw*` |
//! | `trace` | recordings of what goes over a port, and their replay (feature `trace`) |
//!
//! [`bus`], [`config_rom`], [`phy`], [`sim`]'s core and the controller's definitions need no
//! operating system; [`port`], [`cdev`] and the threads over the virtual bus come with the feature `std` (on by default).
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod bus;
#[cfg(feature = "std")]
pub mod cdev;
pub mod config_rom;
pub mod descriptor;
pub mod packet;
pub mod phy;
#[cfg(feature = "std")]
pub mod port;
pub mod regs;
pub mod sim;
#[cfg(feature = "trace")]
pub mod trace;
