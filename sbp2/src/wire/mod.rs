//! Every structure that crosses the bus, and nothing else.
//!
//! The types are byte-exact: big-endian fields, no padding, any bytes of the right length make a
//! value and come out again unchanged, so unknown codes survive a round trip. Reading a value
//! never panics; only lengths are checked (`try_read_from_*`).
//!
//! | structure | who writes it where |
//! |---|---|
//! | [`ManagementOrb`] | the initiator keeps it in its own memory, and writes its address to the target's management agent |
//! | [`LoginResponse`], [`QueryLoginsHeader`] and [`LoginEntry`] | the target, into the initiator's memory |
//! | [`CommandOrb`] | the initiator, in its own memory; its address goes to the command block agent |
//! | [`PageTableEntry`] | the initiator, in its own memory, for data in more than one piece |
//! | [`StatusBlock`] | the target, to the initiator's status FIFO, once for each ORB |
//!
//! Section numbers are those of ANSI NCITS 325-1998.

mod agent;
mod command_orb;
mod management_orb;
mod page_table;
mod pointer;
mod responses;
mod status_block;

pub use agent::{AGENT_LENGTH, AgentRegister, AgentState};
pub use command_orb::{CommandFlags, CommandOrb, Direction, MaxPayload, RequestFormat};
pub use management_orb::{Function, MANAGEMENT_ORB_LENGTH, ManagementOrb};
pub use page_table::{MAX_SEGMENT, PageTableEntry};
pub use pointer::Pointer;
pub use responses::{LoginEntry, LoginResponse, QueryLoginsHeader};
pub use status_block::{
    Resp, Sbp2Status, SerialBusError, StatusBlock, StatusError, StatusSource, TransportObject,
};

/// A quadlet in bus byte order.
pub type Quadlet = zerocopy::byteorder::U32<zerocopy::byteorder::BigEndian>;
/// Half a quadlet in bus byte order.
pub type Doublet = zerocopy::byteorder::U16<zerocopy::byteorder::BigEndian>;
