//! A FireWire laboratory in software.
//!
//! | to | use |
//! |---|---|
//! | have an emulated bridge over an image or over memory | [`bridge`] |
//! | have a host's configuration ROM | [`host`] |
//! | have Linux's FireWire core as programs see it, without a kernel | [`kernel`] |
//! | have a bus with all of these, and meddle with it | [`lab`] |
//! | have it as files for programs as they are | `mount` (feature `fuse`) |
//! | have a PCI function in a virtual machine | `vfio` (feature `vm`) |

pub mod bridge;
pub mod host;
pub mod kernel;
pub mod lab;
#[cfg(feature = "fuse")]
pub mod mount;
pub mod options;
pub mod size;
#[cfg(feature = "vm")]
pub mod vfio;
