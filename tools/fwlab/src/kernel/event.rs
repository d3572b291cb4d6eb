//! The bytes that one read(2) of a node's file gives.

use ohci_raw::bus::{Generation, NodeId, Operation, RCode};
use ohci_raw::cdev::abi::{self, event_type, tcode};
use zerocopy::{Immutable, IntoBytes};

/// The C structure of RESPONSE has 24 bytes, of which data takes the last four.
const RESPONSE_STRUCTURE: usize = 24;

/// Who is who on a bus.
#[derive(Clone, Copy, Debug)]
pub(super) struct BusState {
    pub(super) node: NodeId,
    pub(super) local: NodeId,
    pub(super) manager: Option<u8>,
    pub(super) root: NodeId,
    pub(super) generation: Generation,
}

/// `fw_cdev_event_bus_reset`, 36 bytes: what GET_INFO writes.
pub(super) fn bus_reset(closure: u64, state: BusState) -> Vec<u8> {
    let id = |id: NodeId| u32::from(id.0).into();
    let event = abi::BusResetEvent {
        closure: closure.into(),
        event_type: event_type::BUS_RESET.into(),
        node_id: id(state.node),
        local_node_id: id(state.local),
        bm_node_id: state
            .manager
            .map_or(0xffff.into(), |phy| id(NodeId::local(phy))),
        irm_node_id: id(state.root),
        root_node_id: id(state.root),
        generation: low_byte(state.generation).into(),
    };
    event.as_bytes().to_vec()
}

/// The same as an event, which has the structure's padding.
pub(super) fn bus_reset_event(closure: u64, state: BusState) -> Vec<u8> {
    let mut bytes = bus_reset(closure, state);
    bytes.resize(40, 0);
    bytes
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) closure: u64,
    pub(super) rcode: RCode,
    pub(super) sent: u32,
    pub(super) came: u32,
}

pub(super) fn response(version: u32, ended: Ended, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32).into();
    if version >= 6 {
        let event = abi::Response2Event {
            closure: ended.closure.into(),
            event_type: event_type::RESPONSE2.into(),
            rcode: ended.rcode.0.into(),
            length,
            request_tstamp: ended.sent.into(),
            response_tstamp: ended.came.into(),
            pad: 0.into(),
        };
        return with(&event, data);
    }
    let event = abi::ResponseEvent {
        closure: ended.closure.into(),
        event_type: event_type::RESPONSE.into(),
        rcode: ended.rcode.0.into(),
        length,
    };
    let mut bytes = with(&event, data);
    if data.len() <= RESPONSE_STRUCTURE - size_of_val(&event) {
        // A second copy of short data, behind the structure, for programs from before 2.6.27.
        bytes.resize(RESPONSE_STRUCTURE, 0);
        bytes.extend_from_slice(data);
    } else {
        bytes.resize(RESPONSE_STRUCTURE + data.len(), 0);
    }
    bytes
}

/// A request of another node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming<'a> {
    pub(super) closure: u64,
    pub(super) handle: u32,
    pub(super) address: u64,
    pub(super) operation: &'a Operation,
    pub(super) source: NodeId,
    pub(super) destination: NodeId,
    pub(super) generation: Generation,
    pub(super) tstamp: u32,
}

/// Behind the header of a read there are as many bytes as it asks for, which mean nothing.
pub(super) fn request(version: u32, incoming: Incoming<'_>) -> Vec<u8> {
    let (code, length, brought) = taken_apart(incoming.operation);
    let mut data = brought.to_vec();
    data.resize(length as usize, 0);
    let data = &data[..];
    let closure = incoming.closure.into();
    let offset = incoming.address.into();
    let length = length.into();
    let handle = incoming.handle.into();
    if version < 4 {
        let is_lock = code > tcode::LOCK_EXTENDED;
        let event = abi::RequestEvent {
            closure,
            event_type: event_type::REQUEST.into(),
            tcode: if is_lock { tcode::LOCK } else { code }.into(),
            offset,
            handle,
            length,
        };
        return with(&event, data);
    }
    let id = |id: NodeId| u32::from(id.0).into();
    let event = abi::Request2Event {
        closure,
        event_type: event_type::REQUEST2.into(),
        tcode: code.into(),
        offset,
        source_node_id: id(incoming.source),
        destination_node_id: id(incoming.destination),
        card: super::CARD.into(),
        generation: low_byte(incoming.generation).into(),
        handle,
        length,
    };
    if version < 6 {
        return with(&event, data);
    }
    let mut bytes = with(&event, &incoming.tstamp.to_ne_bytes());
    bytes[8..12].copy_from_slice(&event_type::REQUEST3.to_ne_bytes());
    bytes.resize(size_of::<abi::Request3Event>(), 0);
    bytes.extend_from_slice(data);
    bytes
}

/// An event that says how an isochronous resource was sought: in vain.
pub(super) fn no_resource(closure: u64, event_type: u32, handle: u32) -> Vec<u8> {
    const NO_CHANNEL: i32 = -1;
    let mut bytes = closure.to_ne_bytes().to_vec();
    bytes.extend(event_type.to_ne_bytes());
    bytes.extend(handle.to_ne_bytes());
    bytes.extend(NO_CHANNEL.to_ne_bytes());
    bytes.extend(0_i32.to_ne_bytes());
    bytes
}

/// An event that says that a PHY packet was sent. From version 6 on it has the packet, too.
pub(super) fn phy_packet_sent(
    version: u32,
    closure: u64,
    rcode: RCode,
    tstamp: u32,
    packet: &[u8; 8],
) -> Vec<u8> {
    let (event_type, length, stamp) = match version {
        6.. => (event_type::PHY_PACKET_SENT2, packet.len() as u32, tstamp),
        _ => (event_type::PHY_PACKET_SENT, 0, 0),
    };
    let mut bytes = closure.to_ne_bytes().to_vec();
    for field in [event_type, rcode.0, length, stamp] {
        bytes.extend(field.to_ne_bytes());
    }
    if version >= 6 {
        bytes.extend(packet);
    }
    bytes
}

/// The transaction code, the number of bytes asked for or brought, and what was brought.
fn taken_apart(operation: &Operation) -> (u32, u32, &[u8]) {
    let (code, length, data): (u32, usize, &[u8]) = match operation {
        Operation::ReadQuadlet => (tcode::READ_QUADLET, 4, &[]),
        Operation::ReadBlock { length } => (tcode::READ_BLOCK, *length, &[]),
        Operation::WriteQuadlet { data } => (tcode::WRITE_QUADLET, 4, data),
        Operation::WriteBlock { data } => (tcode::WRITE_BLOCK, data.len(), data),
        Operation::Lock { kind, data } => (
            tcode::LOCK_EXTENDED + u32::from(kind.code()),
            data.len(),
            data,
        ),
    };
    (code, length as u32, data)
}

fn with(header: &(impl IntoBytes + Immutable), data: &[u8]) -> Vec<u8> {
    [header.as_bytes(), data].concat()
}

/// The controller counts resets in eight bits.
pub(super) fn low_byte(generation: Generation) -> u32 {
    generation.0 & 0xff
}

#[cfg(test)]
mod tests {
    use ohci_raw::cdev::event::{self, CdevEvent};

    use super::*;

    const ENDED: Ended = Ended {
        closure: 0x1122_3344_5566_7788,
        rcode: RCode::COMPLETE,
        sent: 1,
        came: 2,
    };

    #[test]
    fn a_short_response_has_its_data_at_20_and_once_more_behind() {
        let bytes = response(5, ENDED, &[1, 2, 3, 4]);
        assert_eq!(bytes.len(), 28);
        assert_eq!(bytes[20..], [1, 2, 3, 4, 1, 2, 3, 4]);
        let bytes = response(4, ENDED, &[7; 8]);
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[20..28], [7; 8]);
        let bytes = response(6, ENDED, &[7; 8]);
        assert_eq!(bytes.len(), 40);
        assert_eq!(bytes[32..], [7; 8]);
    }

    #[test]
    fn what_is_written_is_what_the_client_side_reads() {
        let operation = Operation::WriteBlock { data: vec![9; 12] };
        let incoming = Incoming {
            closure: 5,
            handle: 6,
            address: 0x1_0000_0040,
            operation: &operation,
            source: NodeId(0xffc2),
            destination: NodeId(0xffc0),
            generation: Generation(0x103),
            tstamp: 8,
        };
        for version in [3, 4, 5, 6] {
            let bytes = request(version, incoming);
            let Ok(CdevEvent::Request(read)) = event::parse(&bytes, version) else {
                panic!("{version}");
            };
            assert_eq!((read.closure, read.handle, read.length), (5, 6, 12));
            assert_eq!(
                (read.address.get(), read.data),
                (0x1_0000_0040, vec![9; 12])
            );
            assert_eq!(read.origin.is_some(), version >= 4);
            assert!(read.origin.is_none_or(|origin| origin.generation.0 == 3));
            let bytes = response(version, ENDED, &[1; 12]);
            assert!(matches!(
                event::parse(&bytes, version),
                Ok(CdevEvent::Response { data, .. }) if data == [1; 12]
            ));
        }
    }
}
