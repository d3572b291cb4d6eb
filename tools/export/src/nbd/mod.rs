//! A server for the Network Block Device protocol.
//!
//! The protocol is written down in `doc/proto.md` of the NetworkBlockDevice project; where the
//! code cites "proto.md", it means a heading of that document. It has two phases. First the
//! client and the server haggle over options (`negotiation`): which export, how large, which
//! extras. Then the client sends requests of 28 bytes, each with a cookie, and the server
//! answers each with that cookie, in whichever order they are done (`transmission`).
//!
//! | file | what it does | knows of sockets |
//! |---|---|---|
//! | [`wire`] | the numbers and structures of proto.md | no |
//! | `negotiation` | one option in, replies out | no |
//! | `transmission` | checks a request, writes a reply | no |
//! | [`Connection`] | one client: bytes in, requests to the disk out; completions in, bytes out | no |
//! | [`Export`] | what is served: disk, name, limits | no |
//! | [`Endpoint`] | where to listen, and the URI for it | no |
//! | `listener` | a socket that nobody else can use by accident | yes |
//! | `session` | the two threads around a connection | yes |
//! | `kernel` | such a session with the kernel's driver as the client | yes |
//! | [`Server`] | accepts clients; stops cleanly | yes |
//!
//! # What a flush guarantees
//!
//! When `NBD_CMD_FLUSH` is answered without error, every write whose reply was sent before the
//! flush arrived is on the medium, whichever connection it came by. It holds because of three
//! things together: a write is replied to only after the disk has reported it done; a flush is
//! submitted to the disk only after it has arrived, so after all of those; and it is replied to
//! only after the disk has reported the flush done. Each flush of each client is a flush of the
//! disk: none is merged with another or left out. A write that is still unanswered when the
//! flush arrives may or may not be covered, as in proto.md, "Ordering of messages and writes".
//!
//! Because nothing is cached here, all of this holds across connections, and
//! `NBD_FLAG_CAN_MULTI_CONN` is offered.
//!
//! # What is refused
//!
//! * A write, or a write of zeroes, that does not start and end at a block boundary: `EINVAL`.
//!   To serve it, the server would have to read the whole block, change a part and write it
//!   back, and in between another host may have written the rest. The block size is announced
//!   as the minimum. Reads of any alignment are served: they are widened and cut.
//! * `NBD_OPT_STARTTLS`: put the server behind a Unix socket, ssh, stunnel or `nbdkit nbd`.
//!   There is no authentication on a TCP port.
//! * Metadata contexts: an SBP-2 disk has no map of which blocks are in use.
//! * `NBD_CMD_TRIM` and anything that was not offered: `EINVAL`.

mod connection;
mod counters;
mod endpoint;
mod export;
mod kernel;
mod listener;
mod negotiation;
mod output;
mod server;
mod session;
mod transmission;
pub mod wire;

pub use connection::{Connection, Ticket};
pub use counters::{Counters, Tally};
pub use endpoint::{Endpoint, ParseEndpointError};
pub use export::{Export, ExportError, Limits};
pub(crate) use kernel::KernelSession;
pub use listener::ListenError;
pub use output::Outgoing;
pub use server::{Server, StopReport};
pub(crate) use session::Farewell;
