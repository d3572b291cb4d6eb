//! The vocabulary of the bus.
//!
//! Everything above speaks of the bus in these words, whether the bus is a real controller,
//! a virtual bus or a recording. Nothing in here does I/O or reads a clock: a protocol is a
//! [`Machine`] that is handed [`Event`]s and the time, and hands out [`Action`]s.

mod address;
mod eui64;
mod event;
mod node;
mod rcode;
mod speed;
mod time;
mod transaction;

pub use address::{Address, AddressRange, RangeError, csr};
pub use eui64::{Eui64, ParseEui64Error};
pub use event::{Action, BusReset, Event, Machine, Peer};
pub use node::{Generation, NodeId};
pub use rcode::RCode;
pub use speed::Speed;
pub use time::Instant;
pub use transaction::{
    IncomingRequest, LockKind, Operation, RequestHandle, Response, Token, Transaction,
};
