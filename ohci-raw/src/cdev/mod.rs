//! Linux firewire-cdev: the bus through `/dev/fw*`.
//!
//! # What a node file is
//! The kernel makes a file for every node of every bus: `/dev/fw0`, `/dev/fw1`… One of them is
//! the host's own controller (the *local* node), the others are the devices and hosts on its
//! bus. Numbers are given in the order of appearance and mean nothing; a file that was opened
//! stays with its node, whatever id the node has after the next bus reset.
//!
//! With the file of a node a program may send requests to that node, and ask for its
//! configuration ROM, its id and the speed to it. With any file it may reset the bus, and claim
//! addresses of the host (on *all* its controllers) to which other nodes then send requests that
//! the program answers. An SBP-2 initiator needs both: it writes to the disk's management agent
//! through the disk's file, and the disk reads ORBs and moves data through addresses that the
//! initiator claimed.
//!
//! ```no_run
//! use std::path::Path;
//! use ohci_raw::cdev::{CdevPort, discover};
//! use ohci_raw::port::Port;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! for card in discover(Path::new("/dev"))?.cards {
//!     let mut port = CdevPort::new(card)?;
//!     for node in port.nodes()? {
//!         println!("{} is {} at {}, {}", node.name, node.eui64, node.id, node.speed);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Permissions
//! The rules of systemd open node files of cameras and audio devices to users. SBP-2 disks and
//! controllers stay with root, so a user needs *two* rules, for instance in
//! `/etc/udev/rules.d/60-firewire-disk.rules`:
//!
//! ```text
//! SUBSYSTEM=="firewire", ATTR{units}=="*0x00609e:0x010483*", GROUP="disk", MODE="0660"
//! SUBSYSTEM=="firewire", ATTR{is_local}=="1", GROUP="disk", MODE="0660"
//! ```
//!
//! followed by `udevadm control --reload` and `udevadm trigger --subsystem-match=firewire`. Who
//! may open the controller's file can claim addresses, change the host's configuration ROM and
//! reset the bus. The first rule alone lets [`discover`] find the disk but not its card's
//! controller, and [`CdevPort::new`] then says [`OpenError::NoController`].
//!
//! # Why the controller's own file
//! Two reasons to claim all addresses, take in all requests and listen for bus resets on one
//! file, and for that to be the controller's:
//!
//! * Each file has a queue of its own, and nothing tells what came first in two of them. A disk
//!   writes data and then the status that says so; read from two files, the status may overtake.
//! * The file of a remote node can report a bus reset half a second late, since the kernel
//!   first makes sure that the node is still the same. The window in which a login may be
//!   reconnected can be as short as a second.
//!
//! The new ids of the remote nodes are asked for by GET_INFO as soon as the controller reports
//! the reset; a node that is not through it yet follows in a second [`Event::BusReset`] when its
//! own file reports it. That the kernel has not compared ROMs at the first of the two is the
//! price: should another node have slipped into the place of one in the same reset, its EUI-64
//! is only corrected by the second.
//!
//! # Why every byte passes through the program
//! OHCI controllers can serve the low 4 GiB of their address space by DMA, without software.
//! The kernel's own SBP-2 driver does so. It does not offer that to programs: it gives no
//! addresses below 4 GiB, does not open the controller's filter for them, and tells no DMA
//! addresses. Every ORB that is fetched and every packet of data is an event to read and a
//! response to send, and stalls of the program are stalls of the disk.
//!
//! # What is missing
//! * New node files are found by looking through the folder after a bus reset, at growing
//!   distances for a minute. A file whose permissions are set later is found at the next reset,
//!   or by [`Port::nodes`]; inotify would find it at once.
//! * Broadcasts, PHY packets and isochronous traffic; descriptors for the host's configuration
//!   ROM, which a target would need ([`abi`] has the numbers and structures of some of them).
//!
//! # Traps of firewire-cdev, and who minds them
//! | trap | minded by |
//! |---|---|
//! | ALLOCATE below 4 GiB always fails (`EBUSY`) | [`CdevPort`] asks for `0x1_0000_0000..0xffff_0000_0000`, where writes are posted, then up to `0xffff_e000_0000`; that the kernel looks for a place needs version 4, so less is refused |
//! | no DMA for programs | nobody can; see above |
//! | a request must lie inside one range as a whole | the owner claims one range per contiguous buffer; [`CdevPort`] checks what the kernel delivers |
//! | no order between files | [`CdevPort`]: ranges and requests on the controller's file only |
//! | SEND_RESPONSE wants the exact length, for errors too, or uses the handle up and sends nothing | [`CdevPort`] pads errors, and sends an error where a response has the wrong length |
//! | posted writes want a response, too; its rcode goes nowhere | the owner answers every request; what it could not keep it must report by other means (SBP-2: the status block) |
//! | data at byte 20 of RESPONSE, 32 of RESPONSE2, 56 of REQUEST3; the read count lies | [`event`] |
//! | a read's `length` caps what comes back, 4 for a quadlet | [`Device`] sets it; a peer may still send less than it was asked for, which the owner checks |
//! | a stale generation is a response with rcode 0x13, no error number | [`CdevPort`] refuses what it knows to be stale as [`NoSuchNode`], the rest comes as [`RCode::GENERATION`] |
//! | a remote node's bus-reset event comes late | [`CdevPort`] listens to the controller's file |
//! | requests come from any node on any card | [`CdevPort`] refuses other cards and old generations; the owner checks the source |
//! | no `driver_override`; the kernel's sbp2 may hold the unit | left to the program (sysfs) |
//! | the kernel's sbp2 and this program are one initiator to the bridge | left to the program |
//! | status may come before the response to the ORB_POINTER write; a late response is CANCELLED | left to the protocol; events come in the order in which they were read |
//! | an unacknowledged ORB_POINTER write must not be repeated | left to the protocol; nothing is repeated here |
//!
//! Sources: `include/uapi/linux/firewire-cdev.h`, `Documentation/ABI/stable/firewire-cdev`,
//! `drivers/firewire/core-cdev.c`, `core-device.c`, `core-transaction.c` and `ohci.c` of
//! Linux 6.12.
//!
//! [`Event::BusReset`]: crate::bus::Event::BusReset
//! [`RCode::GENERATION`]: crate::bus::RCode::GENERATION
//! [`NoSuchNode`]: crate::port::PortError::NoSuchNode
//! [`Port::nodes`]: crate::port::Port::nodes
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
pub use port::CdevPort;
