//! IEEE 1212 configuration ROMs: how a node says what it is.
//!
//! Every node on the bus serves up to 1 KiB of read-only memory at `ffff f000 0400`. All of it
//! is big-endian quadlets:
//!
//! ```text
//!  400  bus_info_length, crc_length, CRC   ┐
//!  404  "1394"                             │ bus information block
//!  408  capabilities, max_rec, link_spd …  │
//!  40c  EUI-64 (two quadlets)              ┘
//!  414  root directory: length, CRC
//!  418    entry: key, value                  an entry is a number, a register,
//!  41c    entry: key, value ───────┐         or a pointer to a leaf or a directory
//!   …                              │
//!  430  unit directory  <──────────┘         what a driver looks for
//!   …
//!       leaves: texts, EUI-64s
//! ```
//!
//! | to | use |
//! |---|---|
//! | understand a ROM | [`ConfigRom::read`], whose input may have holes |
//! | make one | [`Builder`] |
//! | add to a host's own | [`Descriptor`] |
//! | load one from a file | [`image`] |
//!
//! A ROM comes from a stranger, and the firmware that made it was often never tested against a
//! checker: wrong CRCs, pointers into nowhere and lengths past the end all exist in shops. So
//! reading one is tolerant. Nothing but the lack of a ROM is an error; everything else that is
//! odd becomes a [`Warning`], and what can be decoded is decoded. Work and memory are bounded
//! whatever the quadlets say.
//!
//! Sources: IEEE 1212-2001 clause 7; IEEE 1394-1995 8.3.2.5; `drivers/firewire/core-device.c`
//! and `core-card.c` of Linux.

mod builder;
mod bus_info;
mod crc;
mod descriptor;
mod directory;
pub mod image;
mod key;
mod offset;
mod reader;
mod rom;
mod text;
mod warning;

pub use builder::{BuildError, Builder, DirectoryBuilder, HeaderCrcCovers};
pub use bus_info::BusOptions;
pub use crc::{Crc, crc16};
pub use descriptor::Descriptor;
pub use directory::{Directory, DirectoryId, Entry, Leaf, Target};
pub use key::{Key, KeyType};
pub use offset::Offset;
pub use reader::ReadError;
pub use rom::{ConfigRom, Form};
pub use text::TextError;
pub use warning::{BlockKind, Warning};

/// "1394" in ASCII, quadlet 1 of every IEEE 1394 bus information block.
pub const BUS_NAME: u32 = 0x3133_3934;

/// How many quadlets the ROM's window `ffff f000 0400` … `07ff` has.
pub const WINDOW_QUADLETS: usize = 256;

/// How many quadlets from `ffff f000 0400` the reader and [`image`] take: four windows.
///
/// Pointers may lead out of the window. Early iPods have their unit directory at
/// `ffff f000 0828`.
pub const MAX_QUADLETS: usize = 4 * WINDOW_QUADLETS;

#[cfg(test)]
mod tests;
