//! Linux firewire-cdev.
#![deny(unsafe_code)]

pub mod abi;
mod device;
mod discovery;
mod error;
pub mod event;
mod port;

pub use device::{Allocation, Device, NodeFile, NodeInfo, OutgoingRequest};
pub use discovery::{Card, Discovery, DiscoveryError, FoundNode, discover};
pub use error::{DeviceError, OpenError};
pub use port::{CdevPort, Counters};
