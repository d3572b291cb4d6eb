//! A FireWire laboratory in software.
//!
//! | to | use |
//! |---|---|
//! | have an emulated bridge over an image or over memory | [`bridge`] |
//! | have a host's configuration ROM | [`host`] |
//! | have an OHCI controller for operating systems to drive | [`controller`] |
//! | have Linux's FireWire core as programs see it, without a kernel | [`kernel`] |
//! | have a bus with all of these, and meddle with it | [`lab`] |
//! | have it in real time, for several threads | [`world`] |
//! | have it as files for programs as they are | `mount` (feature `fuse`) |
//! | have a place for a virtual machine on it | `seat` (feature `vm`) |
//! | start such a machine | `vm` (feature `vm`) |
//! | be a PCI function in a virtual machine | `vfio` (feature `vm`) |

pub mod bridge;
pub mod controller;
pub mod host;
pub mod kernel;
pub mod lab;
#[cfg(feature = "fuse")]
pub mod mount;
pub mod options;
#[cfg(feature = "vm")]
pub mod seat;
pub mod size;
#[cfg(feature = "vm")]
pub mod socket;
#[cfg(feature = "vm")]
pub mod vfio;
#[cfg(feature = "vm")]
pub mod vm;
pub mod world;
