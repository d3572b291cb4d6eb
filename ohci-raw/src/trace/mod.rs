//! Recordings of everything that goes over a [`Port`](crate::port::Port), and their replay.
//!
//! A recording is JSON Lines (`.fwt.jsonl`): one object per line, the first a [`Header`], the
//! others what happened, in order. It can be read, compared with diff, searched with grep and
//! edited by hand, and a recording that was cut off is valid up to where it was.
//!
//! ```text
//! {"schema":1,"tool":"fwshare 0.1.0","command":["scan"],"ports":[{"bus":0,"name":"/dev"}],…}
//! {"port":0,"at":0,"nodes":[{"name":"fw0","id":"ffc1","gen":3,"guid":"…","rom":"…",…}]}
//! {"port":0,"at":0,"allocate":{"length":200000,"start":"000100000000","symbol":"$a"}}
//! {"port":0,"at":0,"send":{"id":1,"dest":"ffc0","gen":3,"speed":"S400",
//!                          "tcode":"write_block","addr":"fffff0030000","data":"ffc10001 00001000"}}
//! {"port":0,"at":91250,"request":{"id":1,"src":"ffc0","gen":3,"tcode":"read_block",
//!                          "addr":"$a+0x1000","len":32}}
//! {"port":0,"at":91250,"respond":{"id":1,"rcode":0,"data":"…"}}
//! ```
//!
//! - Times (`at`) are nanoseconds of the port's clock. It stands still but for `next_event`, so
//!   that a replay sees the same times at the same points as the recording.
//! - Payload (`data`) is the bytes of the bus, in hexadecimal quadlets.
//! - Addresses that this host chose are symbols: the range (`$a`, `$b`…) and the offset in it.
//!   Within payload they are what they were: a replay is given the same ranges.
//! - Transactions and requests are numbered in the order in which they came.
//! - What a program did ([`What::is_deed`]) is compared by a [`Replay`]; the rest is given to it.
//!
//! A [`Replay`] in [`Mode::Strict`] demands every deed, byte by byte and in order. In
//! [`Mode::Relaxed`] node ids, generations and speeds may be others, and deeds that stand
//! together may come in another order.
//!
//! A [`Machine`](crate::bus::Machine) is recorded in the same words, from where it stands: the
//! events it was handed, the calls when its time had come (`quiet`), and what it did. A
//! [`MachineRecorder`] writes that, [`replay_machine`] hands it to another one and compares.

mod describe;
mod line;
mod machine;
mod reader;
mod recorder;
mod replay;
#[cfg(test)]
mod tests;
mod verdict;

pub use describe::Symbols;
pub use line::{
    FailureKind, Header, Line, NodeLine, Op, Payload, PeerLine, PortHeader, SCHEMA, What,
};
pub use machine::{MachineRecorder, replay_machine};
pub use reader::{Recording, TraceError};
pub use recorder::{Recorder, Tape};
pub use replay::Replay;
pub use verdict::{Mode, Verdict};
