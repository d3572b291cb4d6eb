//! The kernel's own SBP-2 driver, set up for sharing, from modprobe to the initramfs.
//!
//! `firewire-sbp2` asks for an exclusive login unless its parameter `exclusive_login` says
//! otherwise, and it is loaded long before anybody can say so by hand: by udev, out of the
//! initramfs. So the parameter has to stand in modprobe.d, the file has to be in the image, and
//! the driver too. This crate finds out how a system does that, plans what is to be changed,
//! changes it so that it can be undone, and looks into the image to see that it worked.
//!
//! Everything works on a [`Root`]: the system that runs, or another one's tree in a folder.

pub mod boot_loader;
pub mod change;
mod compression;
pub mod guard;
pub mod image;
#[cfg(test)]
mod judge;
pub mod kernels;
pub mod kmod;
pub mod modinfo;
pub mod mounts;
pub mod nodes;
pub mod notice;
pub mod plan;
pub mod rebuild;
pub mod root;
#[cfg(test)]
mod small;
pub mod tool;
pub mod tree;

pub use notice::{Notice, Oddity, Place};
pub use root::{Root, RootError};
pub use tree::{Tree, TreeError};
