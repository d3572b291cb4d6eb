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

pub mod bridge;
pub mod controller;
pub mod host;
pub mod kernel;
pub mod lab;
#[cfg(feature = "fuse")]
pub mod mount;
pub mod options;
pub mod size;
pub mod world;
