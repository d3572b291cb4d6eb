//! A FireWire laboratory in software.
//!
//! | to | use |
//! |---|---|
//! | have an emulated bridge over an image or over memory | [`bridge`] |
//! | have a host's configuration ROM | [`host`] |

pub mod bridge;
pub mod host;
pub mod kernel;
pub mod lab;
#[cfg(feature = "fuse")]
pub mod mount;
pub mod options;
pub mod size;
