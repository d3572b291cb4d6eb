//! Linux firewire-cdev.
#![deny(unsafe_code)]

pub mod abi;
pub mod event;
