//! The Serial Bus Protocol 2 (SBP-2): how a disk is spoken to across IEEE 1394.
//!
//! | module | what it is |
//! |---|---|
//! | [`wire`] | every structure that crosses the bus |
//! | [`target`] | a bridge in software: logins, fetch agents, logical units |
//! | [`scsi`] | CDBs, sense, INQUIRY and mode data, the disk command set |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod scsi;
pub mod target;
pub mod wire;
