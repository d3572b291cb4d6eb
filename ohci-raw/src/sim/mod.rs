//! A virtual bus.
//!
//! A [`Bus`] has nodes. A *host* is a node that somebody drives from outside: a test, or a
//! [`Port`](crate::port::Port). A *machine* runs on the bus itself: a bridge in software. A
//! *controller* is driven from outside too, and stands for hardware that has a driver: the bus
//! carries its packets, and answers nothing in its place. The bus
//! has no clock, no threads and no chance in it; who calls it says what time it is, and the same
//! calls give the same events in the same order.
//!
//! ```
//! use ohci_raw::bus::{
//!     Address, Eui64, Event, Instant, Operation, RCode, Speed, Token, Transaction, csr,
//! };
//! use ohci_raw::sim::{Bus, NodeConfig, Timing};
//!
//! let now = Instant::ZERO;
//! let node = |name: &str, number| NodeConfig {
//!     name: name.into(),
//!     eui64: Eui64(number),
//!     rom: vec![0x0404_0000, 0x3133_3934],
//!     speed: Speed::S400,
//!     rom_block_reads: true,
//! };
//! let mut bus = Bus::new(Timing::Immediate);
//! let a = bus.attach_host(node("a", 1), now);
//! let b = bus.attach_host(node("b", 2), now);
//!
//! bus.send(
//!     a,
//!     Transaction {
//!         token: Token(1),
//!         destination: bus.id_of(b).expect("b is attached"),
//!         generation: bus.generation(),
//!         speed: Speed::S400,
//!         address: Address::new(csr::CONFIG_ROM.get() + 4),
//!         operation: Operation::ReadQuadlet,
//!     },
//!     now,
//! );
//! // Two bus resets were told before: those of the attachments.
//! assert!(matches!(bus.poll_event(a), Some(Event::BusReset(_))));
//! assert!(matches!(bus.poll_event(a), Some(Event::BusReset(_))));
//! assert_eq!(
//!     bus.poll_event(a),
//!     Some(Event::Response {
//!         token: Token(1),
//!         rcode: RCode::COMPLETE,
//!         data: b"1394".to_vec(),
//!     }),
//! );
//! ```
//!
//! # What is modelled
//! Hosts are Linux hosts: they answer as `drivers/firewire/core-transaction.c` and `ohci.c` do.
//!
//! - **Bus resets.** Attaching, detaching and [`Bus::reset`] make a new generation and give out
//!   ids anew. Whatever was under way ends for its sender with [`RCode::GENERATION`]; an answer
//!   that the other side gives later is dropped in silence. A request with a stale generation
//!   ends the same way, and nothing is sent.
//! - **Cables.** Nodes are cabled in one of three shapes ([`Topology`]), and say so in self-IDs
//!   ([`Bus::self_ids`]). They are cabled in the order of attachment, or of
//!   [`Bus::set_phy_order`]; that is the order of the ids, too, and the last one is the root.
//! - **PHY configuration.** A packet, or the register of one PHY, makes a node root
//!   ([`Bus::send_phy`], [`Bus::force_root`]). No cable moves for that, and ids are given anew as
//!   the self-ID process does. A gap count is kept, said, and lost again after
//!   two resets; before anybody sets one it fits the shape.
//! - **Addresses.** A request to a controller is an event for it, whatever the address. Elsewhere
//!   it must lie inside one claimed or allocated range as a whole, or it is
//!   answered with [`RCode::ADDRESS_ERROR`]; in the first 4 GiB of a host, with
//!   [`RCode::TYPE_ERROR`]. The bus itself serves configuration ROMs: zeros behind their end
//!   within the window of 1 KiB, [`RCode::TYPE_ERROR`] to writes. A request to an id that nobody
//!   has ends with [`RCode::NO_ACK`].
//! - **Posted writes.** A write to [`csr::POSTED_WRITES`] of a host ends with
//!   [`RCode::COMPLETE`] when it arrives, before anybody has looked at it, and also where nobody
//!   serves the address. The host must answer it nevertheless, and nobody reads the answer.
//! - **Speeds.** A packet that is faster than one of the two nodes is heard by nobody:
//!   [`RCode::NO_ACK`]. One with more data than its speed allows is not sent:
//!   [`RCode::SEND_ERROR`].
//! - **Labels.** A host, but no controller, can have [`TRANSACTION_LABELS`] transactions under way; one more ends with
//!   [`RCode::SEND_ERROR`].
//! - **Busy.** Hosts and machines take every request. A controller takes one when it says so
//!   ([`Bus::acknowledge`]); until then the sender's link tries again, and after its last retry
//!   ([`Bus::set_retries`]) the transaction ends with [`RCode::BUSY`].
//! - **Split timeout.** A transaction without a response ends with [`RCode::CANCELLED`]
//!   ([`Bus::set_split_timeout`]).
//! - **Order.** Packets from one node to another arrive in the order in which they were sent.
//! - **Broadcasts.** A write to physical id 63 reaches every other node that serves the address,
//!   and every other controller.
//! - **Time**, if wanted: [`Timing::Wire`].
//! - **Faults**, if wanted: [`FaultInjector`].
//!
//! # What is not
//! Isochronous packets, PHY packets other than configuration (link-on, ping, resume, remote access
//! reach nobody), the speeds of nodes between two others, cable lengths, what gap counts other
//! than 5 and the shape of the bus do to its speed, links that are off (nodes answer also while
//! their self-ID says so), several nodes that all hold off to be root, busy responses, the CSRs of hosts other than the ROM, `max_rec` of the receiver, bus bridges. A bus reset takes
//! no time, be it short or long. Cables are moved within one reset, see [`Bus::is_recabled`].
//!
//! # Who does what when
//! Calls do the work that is due at once, and return when the bus is quiet. The rest waits for
//! [`Bus::handle_timeout`], which is to be called at [`Bus::poll_timeout`]. No machine ever runs
//! inside another: what it asks for is entered into an agenda that is worked off in order.
//!
//! To look into a machine from outside, let it share its state, as with an `Arc`, and call
//! [`Bus::wake_machine`] after a change. With the feature `std`, [`SharedBus`] runs a bus in real
//! time for several threads, each with a [`SimPort`].
//!
//! [`csr::POSTED_WRITES`]: crate::bus::csr::POSTED_WRITES
//! [`RCode::ADDRESS_ERROR`]: crate::bus::RCode::ADDRESS_ERROR
//! [`RCode::BUSY`]: crate::bus::RCode::BUSY
//! [`RCode::CANCELLED`]: crate::bus::RCode::CANCELLED
//! [`RCode::COMPLETE`]: crate::bus::RCode::COMPLETE
//! [`RCode::GENERATION`]: crate::bus::RCode::GENERATION
//! [`RCode::NO_ACK`]: crate::bus::RCode::NO_ACK
//! [`RCode::SEND_ERROR`]: crate::bus::RCode::SEND_ERROR
//! [`RCode::TYPE_ERROR`]: crate::bus::RCode::TYPE_ERROR

mod bus;
mod busy;
mod cabling;
mod counters;
mod faults;
mod node;
mod phy;
#[cfg(feature = "std")]
mod port;
#[cfg(test)]
mod tests;
mod topology;
mod transactions;
mod wire;

pub use bus::{Bus, SPLIT_TIMEOUT, TRANSACTION_LABELS};
pub use busy::{RETRIES, RETRY_INTERVAL};
pub use cabling::Topology;
pub use counters::Counters;
pub use faults::{Fault, FaultInjector, OperationKind, Packet, PacketKind, RandomFaults};
pub use node::{NodeConfig, NodeIndex};
#[cfg(feature = "std")]
pub use port::{SharedBus, SimPort};
pub use topology::AllocateError;
pub use transactions::RespondError;
pub use wire::Timing;

pub use crate::phy::PhyTraits;
