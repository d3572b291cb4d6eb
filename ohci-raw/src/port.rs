//! The one seam to the bus.
//!
//! A [`Port`] is a place where a host is attached to a bus. Implementations:
//! firewire-cdev ([`crate::cdev`]) and the virtual bus ([`crate::sim`]).

use core::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::bus::{
    Action, AddressRange, Eui64, Event, Generation, Instant, Machine, NodeId, RequestHandle,
    Response, Speed, Transaction,
};
use crate::config_rom::Descriptor;

/// Why a bus could not do what was asked.
///
/// Failures on the bus itself are not among these: they arrive as the
/// [`RCode`](crate::bus::RCode) of an [`Event::Response`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// The operating system refused.
    #[error("{what} on {device}: {source}")]
    Os {
        /// What was tried.
        what: &'static str,
        /// On which device.
        device: String,
        /// What came back.
        source: io::Error,
    },
    /// No node with that id can be reached in that generation.
    #[error("no node {node} is known in generation {generation}")]
    NoSuchNode {
        /// The id.
        node: NodeId,
        /// The generation.
        generation: Generation,
    },
    /// No free place for an address range.
    #[error("no free range of {length} bytes in the host's address space")]
    NoSpace {
        /// How many bytes were asked for.
        length: u64,
    },
    /// What was to be served is served by somebody else.
    #[error(
        "no free range of {length} bytes from {} on in the host's address space: another program or driver serves them",
        region.start()
    )]
    Taken {
        /// Where the range was to be.
        region: AddressRange,
        /// How many bytes were asked for.
        length: u64,
    },
    /// The host's configuration ROM has no room for what was to be added.
    #[error(
        "the host's configuration ROM has no room for {quadlets} quadlets more: it has 256 for all programs and drivers"
    )]
    RomFull {
        /// How many quadlets were to be added, the entries that lead to them included.
        quadlets: usize,
    },
    /// An address range of this shape cannot be had.
    #[error(
        "an address range of {length} bytes cannot be had: it must be a multiple of 4, above 0 and below 4 GiB"
    )]
    BadLength {
        /// How many bytes were asked for.
        length: u64,
    },
    /// The answer does not have the length that the request implies.
    #[error("a response of {got} bytes to a request that implies {expected}")]
    ResponseLength {
        /// How many bytes the request implies.
        expected: usize,
        /// How many the answer has.
        got: usize,
    },
    /// Another process of this host is logged in to that logical unit.
    #[error("another process of this host uses logical unit {lun} of {device}")]
    Claimed {
        /// The node.
        device: String,
        /// The logical unit.
        lun: u16,
    },
    /// What was done is not what the recording has.
    #[error("{0}")]
    Deviation(String),
    /// The controller is gone.
    #[error("the controller {device} is gone")]
    Gone {
        /// Which one.
        device: String,
    },
}

/// How a bus is to be reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResetKind {
    /// The long reset of IEEE 1394-1995.
    Long,
    /// The arbitrated (short) reset of IEEE 1394a, which disturbs less.
    Short,
}

/// Names a [`Descriptor`] that was added. Chosen by the port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DescriptorHandle(pub u32);

/// A node as the host sees it now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// What the operating system calls it (`fw1`), or the virtual bus.
    pub name: String,
    /// Its id.
    pub id: NodeId,
    /// The generation in which the id holds.
    pub generation: Generation,
    /// Its EUI-64, as its configuration ROM tells.
    pub eui64: Eui64,
    /// The highest speed at which it can be reached.
    pub speed: Speed,
    /// Whether it is this host's own controller.
    pub is_local: bool,
    /// Its configuration ROM in host byte order, from the first quadlet on.
    pub rom: Vec<u32>,
}

/// What the port put right on its own. All of these are 0 on a healthy bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortCounters {
    /// Requests from another of the host's cards, answered with an address error.
    pub foreign_card: u64,
    /// Requests from before the last bus reset, answered with an address error.
    pub stale_requests: u64,
    /// Requests to addresses that are not claimed any more, answered with an address error.
    pub unclaimed: u64,
    /// Requests that are no transaction of the standard, answered with a type error.
    pub unsupported: u64,
    /// Responses to nothing that was sent.
    pub stray_responses: u64,
    /// Events that could not be read.
    pub malformed_events: u64,
    /// Events of a type that is not known.
    pub unknown_events: u64,
    /// Node files that were closed because their node is gone.
    pub lost_nodes: u64,
}

/// Makes a thread that waits in [`Port::next_event`] return early. Cheap to clone, may be called
/// from any thread and at any time; a call while nobody waits is kept for the next wait.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// Wakes.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// A place where a host is attached to a bus.
pub trait Port: Send {
    /// The time by this bus's clock.
    fn now(&self) -> Instant;

    /// Every node that can be seen, the host's own controller included.
    ///
    /// # Errors
    /// [`PortError::Os`], [`PortError::Gone`].
    fn nodes(&mut self) -> Result<Vec<Node>, PortError>;

    /// Sends a request; an [`Event::Response`] with its token follows, exactly one.
    ///
    /// # Errors
    /// Only what the bus never saw: [`PortError::Os`], [`PortError::NoSuchNode`],
    /// [`PortError::Gone`]. No response follows then.
    fn send(&mut self, transaction: Transaction) -> Result<(), PortError>;

    /// Answers a request. An answer from before the last bus reset is dropped in silence, as the
    /// bus does.
    ///
    /// # Errors
    /// [`PortError::ResponseLength`]; [`PortError::Os`]. The request is answered with an error in
    /// the first case.
    fn respond(&mut self, handle: RequestHandle, response: Response) -> Result<(), PortError>;

    /// Claims `length` bytes of the host's address space, above 4 GiB and where writes are posted
    /// if possible. Requests to them arrive as [`Event::Request`].
    ///
    /// # Errors
    /// [`PortError::NoSpace`], [`PortError::BadLength`], [`PortError::Os`].
    fn allocate(&mut self, length: u64) -> Result<AddressRange, PortError>;

    /// Claims `length` bytes of the host's address space inside `region`, from its start if
    /// possible. Unlike [`Self::allocate`] for what has to be where others look for it: registers
    /// to which a configuration ROM leads.
    ///
    /// # Errors
    /// [`PortError::Taken`], [`PortError::BadLength`], [`PortError::Os`].
    fn allocate_in(&mut self, region: AddressRange, length: u64)
    -> Result<AddressRange, PortError>;

    /// Adds to the host's configuration ROM, until the port is dropped. A bus reset follows by
    /// which the other nodes learn of it, on Linux up to two seconds later.
    ///
    /// Linux adds it to the ROMs of all of the host's controllers.
    ///
    /// # Errors
    /// [`PortError::RomFull`], [`PortError::Os`].
    fn add_descriptor(&mut self, descriptor: &Descriptor) -> Result<DescriptorHandle, PortError>;

    /// Takes a descriptor away again. A bus reset follows as before.
    ///
    /// # Errors
    /// [`PortError::Os`].
    fn remove_descriptor(&mut self, handle: DescriptorHandle) -> Result<(), PortError>;

    /// Claims a logical unit of a node among the processes of this host, until the port is
    /// dropped. To the target all of them are one initiator, so only one can be logged in.
    ///
    /// Where no other process can reach the bus there is nothing to claim, and this does nothing.
    ///
    /// # Errors
    /// [`PortError::Claimed`], [`PortError::Os`].
    fn claim(&mut self, node: Eui64, lun: u16) -> Result<(), PortError> {
        let _ = (node, lun);
        Ok(())
    }

    /// Gives a range back.
    ///
    /// # Errors
    /// [`PortError::Os`].
    fn deallocate(&mut self, range: AddressRange) -> Result<(), PortError>;

    /// The next event, waiting for it at most `timeout` (`None`: without limit). `None` comes back
    /// when the time is over, or when a [`Waker`] woke.
    ///
    /// # Errors
    /// [`PortError::Os`], [`PortError::Gone`].
    fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<Event>, PortError>;

    /// Whether [`Self::input`] and [`Self::output`] want to be called. Where nobody records or
    /// replays, nothing needs to be put into words.
    fn is_taped(&self) -> bool {
        false
    }

    /// Something from outside of the bus on which what follows depends, such as a client's
    /// request. A port that records notes it; one that replays gives the recorded one instead,
    /// or none.
    fn input(&mut self, live: Option<String>) -> Option<String> {
        live
    }

    /// What came of an input. A port that records notes it; one that replays compares.
    ///
    /// # Errors
    /// [`PortError::Deviation`].
    fn output(&mut self, text: &str) -> Result<(), PortError> {
        let _ = text;
        Ok(())
    }

    /// What the port put right on its own, where it has to.
    fn counters(&self) -> PortCounters {
        PortCounters::default()
    }

    /// Resets the bus.
    ///
    /// # Errors
    /// [`PortError::Os`].
    fn reset_bus(&mut self, kind: ResetKind) -> Result<(), PortError>;

    /// What wakes [`Self::next_event`].
    fn waker(&self) -> Waker;
}

/// Carries out everything that `machine` wants done now.
///
/// A transaction that cannot be sent is answered to the machine at once, with
/// [`RCode::GENERATION`](crate::bus::RCode::GENERATION) where the node is not known in its
/// generation and [`RCode::SEND_ERROR`](crate::bus::RCode::SEND_ERROR) otherwise.
///
/// # Errors
/// [`PortError::Gone`]: there is no bus any more. [`PortError::Deviation`]: nor a recording.
pub fn drive(port: &mut dyn Port, machine: &mut dyn Machine) -> Result<(), PortError> {
    use crate::bus::RCode;

    while let Some(action) = machine.poll_action() {
        match action {
            Action::Send(transaction) => {
                let token = transaction.token;
                let rcode = match port.send(transaction) {
                    Ok(()) => continue,
                    Err(error @ (PortError::Gone { .. } | PortError::Deviation(_))) => {
                        return Err(error);
                    }
                    Err(PortError::NoSuchNode { .. }) => RCode::GENERATION,
                    Err(error) => {
                        tracing::warn!(%error, "a request could not be sent");
                        RCode::SEND_ERROR
                    }
                };
                let now = port.now();
                machine.handle(
                    Event::Response {
                        token,
                        rcode,
                        data: Vec::new(),
                    },
                    now,
                );
            }
            Action::Respond { handle, response } => match port.respond(handle, response) {
                Ok(()) => {}
                Err(error @ (PortError::Gone { .. } | PortError::Deviation(_))) => {
                    return Err(error);
                }
                Err(error) => tracing::warn!(%error, "a request could not be answered"),
            },
        }
    }
    Ok(())
}
