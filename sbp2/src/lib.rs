//! The Serial Bus Protocol 2 (SBP-2): how a disk is spoken to across IEEE 1394.
//!
//! | module | what it is |
//! |---|---|
//! | [`disk`] | a logical unit as a block device, on top of the initiator |
//! | [`initiator`] | a host: login, reconnect, logout, commands |
//! | [`wire`] | every structure that crosses the bus |
//! | [`target`] | a bridge in software: logins, fetch agents, logical units |
//! | [`scsi`] | CDBs, sense, INQUIRY and mode data, the disk command set |
//! | [`mod@unit`] | what a configuration ROM says of a logical unit; quirks |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod disk;
pub mod initiator;
pub mod scsi;
pub mod target;
pub mod unit;
pub mod wire;
