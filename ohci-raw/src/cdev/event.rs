//! What one read(2) of a node's file gives: one event.
//!
//! ```text
//!          0        8     12      16      20      24      28      32          48      56
//! RESPONSE closure  type  rcode   length  data…
//! RESPONSE2 …       type  rcode   length  sent    came    -       data…
//! REQUEST  closure  type  tcode   offset──────    handle  length  data…
//! REQUEST2 …        type  tcode   offset──────    source  dest    card gen    data…
//!                                                         handle length
//! REQUEST3 as REQUEST2                                                time -  data…
//! ```
//!
//! Two things bite newcomers. The C structure of RESPONSE has 24 bytes on 64-bit machines, but
//! its data starts at byte 20, and the kernel appends a second copy of a short payload for the
//! sake of old programs: the number of bytes that read(2) returns means nothing, `length` does.
//! And a buffer that is too small loses the rest of the event in silence, so
//! [`BUFFER_LENGTH`] leaves no doubt.
//!
//! Headers are in host byte order. Payload is the bytes of the bus.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::abi::{self, event_type, tcode};
use crate::bus::{Address, Generation, NodeId, RCode};

/// Room for every event that can come: a header, and as much payload as the 16-bit length field
/// of a packet can name.
pub const BUFFER_LENGTH: usize = 64 + 0x1_0000;

/// An event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CdevEvent {
    /// The bus was reset, or the node of this file was seen again after it.
    BusReset(BusState),
    /// A request that was sent has ended (RESPONSE, RESPONSE2).
    Response {
        /// What was handed in with the request.
        closure: u64,
        /// How it ended.
        rcode: RCode,
        /// What was read; after errors, whatever the kernel left there.
        data: Vec<u8>,
    },
    /// Another node asks for something (REQUEST, REQUEST2, REQUEST3).
    Request(Request),
    /// A known event that is of no use here: PHY packets and isochronous traffic.
    Ignored {
        /// What was handed in with the ioctl that asked for it.
        closure: u64,
        /// One of [`event_type`].
        event_type: u32,
    },
    /// An event that came after the negotiated version, kept as it is.
    Unknown {
        /// What was handed in with the ioctl that asked for it.
        closure: u64,
        /// What the kernel calls it.
        event_type: u32,
        /// Everything after the type.
        rest: Vec<u8>,
    },
}

/// Who is who on the bus, from a bus-reset event or GET_INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BusState {
    /// The node of the file.
    pub node: NodeId,
    /// The controller.
    pub local: NodeId,
    /// The generation in which the ids hold.
    pub generation: Generation,
}

/// A request from another node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// What was handed in when the address range was allocated.
    pub closure: u64,
    /// One of [`tcode`].
    pub tcode: u32,
    /// Where.
    pub address: Address,
    /// Who asks. The legacy event does not tell.
    pub origin: Option<Origin>,
    /// By which to answer.
    pub handle: u32,
    /// How many bytes are to be read; for writes and locks, how many came.
    pub length: usize,
    /// What came with it.
    pub data: Vec<u8>,
}

impl Request {
    /// How many bytes the kernel wants in the answer, whether it is an error or not
    /// (`fw_get_response_length` in `core-transaction.c`).
    #[must_use]
    pub const fn response_length(&self) -> usize {
        match self.tcode {
            tcode::READ_QUADLET => 4,
            tcode::READ_BLOCK | tcode::LOCK_FETCH_ADD | tcode::LOCK_LITTLE_ADD => self.length,
            tcode::LOCK | tcode::LOCK_MASK_SWAP..=tcode::LOCK_VENDOR => self.length / 2,
            _ => 0,
        }
    }
}

/// Where a request came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The node that asks.
    pub source: NodeId,
    /// The node that it asks: the controller, or everybody.
    pub destination: NodeId,
    /// The card, which need not be the one whose file is read.
    pub card: u32,
    /// The generation on that card.
    pub generation: Generation,
}

/// The bytes are no event. The kernel makes none of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EventError {
    /// Cut off.
    #[error("an event of type {event_type:#04x} needs {needed} bytes, {got} came")]
    Short {
        /// The type; `u32::MAX` where not even that came.
        event_type: u32,
        /// How many bytes header and payload have by what they say.
        needed: usize,
        /// How many there are.
        got: usize,
    },
    /// A node id of more than 16 bits.
    #[error("an event of type {event_type:#04x} names node {id:#x}; ids have 16 bits")]
    NodeId {
        /// The type.
        event_type: u32,
        /// The id.
        id: u32,
    },
    /// An address of more than 48 bits.
    #[error(
        "an event of type {event_type:#04x} names address {address:#x}; addresses have 48 bits"
    )]
    Address {
        /// The type.
        event_type: u32,
        /// The address.
        address: u64,
    },
    /// More bytes than a packet can ask for.
    #[error("a request for {length} bytes; the length field of packets has 16 bits")]
    Length {
        /// How many.
        length: u32,
    },
}

/// Reads the event in `bytes`, which one read(2) gave. `version` is the negotiated one: events
/// that are newer are [`CdevEvent::Unknown`].
///
/// # Errors
/// [`EventError`] for everything that the kernel would not write.
pub fn parse(bytes: &[u8], version: u32) -> Result<CdevEvent, EventError> {
    let common: abi::CommonEvent = header(bytes, u32::MAX)?.0;
    let closure = common.closure.get();
    let event_type = common.event_type.get();
    Ok(match event_type {
        event_type::BUS_RESET => CdevEvent::BusReset(bus_state(&header(bytes, event_type)?.0)?),
        event_type::RESPONSE => {
            let (event, data): (abi::ResponseEvent, _) = header(bytes, event_type)?;
            CdevEvent::Response {
                closure,
                rcode: RCode(event.rcode.get()),
                data: payload(bytes, data, event.length.get(), event_type)?.to_vec(),
            }
        }
        event_type::RESPONSE2 if version >= 6 => {
            let (event, data): (abi::Response2Event, _) = header(bytes, event_type)?;
            CdevEvent::Response {
                closure,
                rcode: RCode(event.rcode.get()),
                data: payload(bytes, data, event.length.get(), event_type)?.to_vec(),
            }
        }
        event_type::REQUEST => {
            let (event, data): (abi::RequestEvent, _) = header(bytes, event_type)?;
            let address = address(event.offset.get(), event_type)?;
            let tcode = event.tcode.get();
            let length = event.length.get();
            CdevEvent::Request(Request {
                closure,
                tcode,
                address,
                origin: None,
                handle: event.handle.get(),
                length: usize::try_from(length).map_err(|_| EventError::Length { length })?,
                data: request_data(bytes, data, tcode, length, event_type)?,
            })
        }
        event_type::REQUEST2 => request(&header(bytes, event_type)?, bytes)?,
        event_type::REQUEST3 if version >= 6 => {
            let (_, data): (abi::Request3Event, _) = header(bytes, event_type)?;
            // Up to the time stamp, which comes last, the two are the same.
            let (event, _) = header(bytes, event_type)?;
            request(&(event, data), bytes)?
        }
        event_type::ISO_INTERRUPT..=event_type::ISO_RESOURCE_DEALLOCATED
        | event_type::PHY_PACKET_SENT..=event_type::ISO_INTERRUPT_MULTICHANNEL => {
            CdevEvent::Ignored {
                closure,
                event_type,
            }
        }
        event_type::PHY_PACKET_SENT2 | event_type::PHY_PACKET_RECEIVED2 if version >= 6 => {
            CdevEvent::Ignored {
                closure,
                event_type,
            }
        }
        _ => CdevEvent::Unknown {
            closure,
            event_type,
            rest: bytes
                .get(size_of::<abi::CommonEvent>()..)
                .unwrap_or_default()
                .to_vec(),
        },
    })
}

/// Reads the ids of a bus-reset event.
///
/// # Errors
/// [`EventError::NodeId`].
pub fn bus_state(event: &abi::BusResetEvent) -> Result<BusState, EventError> {
    Ok(BusState {
        node: node_id(event.node_id.get(), event_type::BUS_RESET)?,
        local: node_id(event.local_node_id.get(), event_type::BUS_RESET)?,
        generation: Generation(event.generation.get()),
    })
}

/// The header of an event, and what follows it.
fn header<T: FromBytes + KnownLayout + Immutable>(
    bytes: &[u8],
    event_type: u32,
) -> Result<(T, &[u8]), EventError> {
    T::read_from_prefix(bytes).map_err(|_| EventError::Short {
        event_type,
        needed: size_of::<T>(),
        got: bytes.len(),
    })
}

/// The payload: what `length` says of what follows the header.
fn payload<'a>(
    event: &[u8],
    data: &'a [u8],
    length: u32,
    event_type: u32,
) -> Result<&'a [u8], EventError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    data.get(..length).ok_or(EventError::Short {
        event_type,
        needed: (event.len() - data.len()).saturating_add(length),
        got: event.len(),
    })
}

fn request(
    (event, data): &(abi::Request2Event, &[u8]),
    bytes: &[u8],
) -> Result<CdevEvent, EventError> {
    let event_type = event.event_type.get();
    let tcode = event.tcode.get();
    let length = event.length.get();
    Ok(CdevEvent::Request(Request {
        closure: event.closure.get(),
        tcode,
        address: address(event.offset.get(), event_type)?,
        origin: Some(Origin {
            source: node_id(event.source_node_id.get(), event_type)?,
            destination: node_id(event.destination_node_id.get(), event_type)?,
            card: event.card.get(),
            generation: Generation(event.generation.get()),
        }),
        handle: event.handle.get(),
        length: usize::try_from(length).map_err(|_| EventError::Length { length })?,
        data: request_data(bytes, data, tcode, length, event_type)?,
    }))
}

/// What came with a request. Reads bring nothing: their length is what they ask for.
fn request_data(
    event: &[u8],
    data: &[u8],
    tcode: u32,
    length: u32,
    event_type: u32,
) -> Result<Vec<u8>, EventError> {
    if length > 0xffff {
        return Err(EventError::Length { length });
    }
    match tcode {
        tcode::READ_QUADLET | tcode::READ_BLOCK => Ok(Vec::new()),
        _ => Ok(payload(event, data, length, event_type)?.to_vec()),
    }
}

fn node_id(id: u32, event_type: u32) -> Result<NodeId, EventError> {
    u16::try_from(id)
        .map(NodeId)
        .map_err(|_| EventError::NodeId { event_type, id })
}

fn address(address: u64, event_type: u32) -> Result<Address, EventError> {
    if address > Address::MAX.get() {
        return Err(EventError::Address {
            event_type,
            address,
        });
    }
    Ok(Address::new(address))
}

#[cfg(test)]
mod tests;
