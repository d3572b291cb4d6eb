//! Asynchronous packets as an OHCI controller has them in memory (OHCI release 1.1, 7.8 and 8.7).
//!
//! Headers are little-endian quadlets. Data is as it crosses the bus, byte by byte; that holds for
//! the data of a quadlet packet too, which stands in the header.
//!
//! What is to be sent has the destination in the second quadlet and leaves the source to the
//! hardware ([`Outgoing`]); what was received has the layout of the wire ([`request`],
//! [`response`]).

use alloc::vec::Vec;

use crate::bus::{Address, LockKind, NodeId, Operation, RCode, Speed};

/// Transaction codes (IEEE 1394, 6.2.2.5).
pub mod tcode {
    /// Write request for a data quadlet.
    pub const WRITE_QUADLET: u8 = 0x0;
    /// Write request for a data block.
    pub const WRITE_BLOCK: u8 = 0x1;
    /// Write response.
    pub const WRITE_RESPONSE: u8 = 0x2;
    /// Read request for a data quadlet.
    pub const READ_QUADLET: u8 = 0x4;
    /// Read request for a data block.
    pub const READ_BLOCK: u8 = 0x5;
    /// Read response for a data quadlet.
    pub const READ_QUADLET_RESPONSE: u8 = 0x6;
    /// Read response for a data block.
    pub const READ_BLOCK_RESPONSE: u8 = 0x7;
    /// Lock request.
    pub const LOCK_REQUEST: u8 = 0x9;
    /// Asynchronous stream.
    pub const STREAM: u8 = 0xa;
    /// Lock response.
    pub const LOCK_RESPONSE: u8 = 0xb;
    /// Between link and software: PHY packets.
    pub const LINK_INTERNAL: u8 = 0xe;
}

/// The longest header, in bytes.
pub const HEADER_MAX: usize = 16;
/// The largest data block that its field can name.
pub const DATA_MAX: usize = 0xffff;

/// Why a packet cannot be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PacketError {
    /// A header has 8, 12 or 16 bytes, and those that its transaction code implies.
    #[error("a header of {length} bytes for the transaction code {tcode:#x}")]
    HeaderLength {
        /// The transaction code, or 0 where there is none.
        tcode: u8,
        /// How many bytes there are.
        length: usize,
    },
    /// There is no such transaction code.
    #[error("unknown transaction code {0:#x}")]
    Tcode(u8),
    /// There is no such speed.
    #[error("unknown speed code {0}")]
    Speed(u8),
    /// There is no such lock.
    #[error("unknown extended transaction code {0:#x}")]
    Lock(u16),
    /// The data has not the length that the header names.
    #[error("{got} bytes of data where the header names {named}")]
    DataLength {
        /// What the header names.
        named: usize,
        /// How many there are.
        got: usize,
    },
}

/// What a transmit context is to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outgoing {
    /// A request.
    Request {
        /// To whom.
        destination: NodeId,
        /// Its transaction label, 0 to 63.
        label: u8,
        /// How fast.
        speed: Speed,
        /// Where.
        address: Address,
        /// What.
        operation: Operation,
    },
    /// A response.
    Response {
        /// To whom.
        destination: NodeId,
        /// The label of the request.
        label: u8,
        /// How the request ended.
        rcode: RCode,
        /// What was read.
        data: Vec<u8>,
    },
    /// A PHY packet, without its complement.
    Phy(u32),
    /// An asynchronous stream packet.
    Stream,
}

impl Outgoing {
    /// Reads a packet as it stands in a transmit context's program: the header of an immediate
    /// descriptor, and the data behind it.
    ///
    /// # Errors
    /// [`PacketError`].
    pub fn parse(header: &[u8], data: Vec<u8>) -> Result<Self, PacketError> {
        let length = header.len();
        let wrong_length = |tcode| PacketError::HeaderLength { tcode, length };
        if !matches!(length, 8 | 12 | 16) {
            return Err(wrong_length(0));
        }
        let q = Header(header);
        let tcode = (q.at(0) >> 4 & 0xf) as u8;
        let expected = match tcode {
            tcode::STREAM => return Ok(Self::Stream),
            tcode::WRITE_RESPONSE | tcode::READ_QUADLET | tcode::LINK_INTERNAL => 12,
            tcode::WRITE_QUADLET
            | tcode::WRITE_BLOCK
            | tcode::READ_BLOCK
            | tcode::READ_QUADLET_RESPONSE
            | tcode::READ_BLOCK_RESPONSE
            | tcode::LOCK_REQUEST
            | tcode::LOCK_RESPONSE => 16,
            other => return Err(PacketError::Tcode(other)),
        };
        if length != expected {
            return Err(wrong_length(tcode));
        }
        if tcode == tcode::LINK_INTERNAL {
            return Ok(Self::Phy(q.at(1)));
        }
        let code = (q.at(0) >> 16 & 7) as u8;
        let speed = Speed::from_code(code).ok_or(PacketError::Speed(code))?;
        let destination = NodeId((q.at(1) >> 16) as u16);
        let label = (q.at(0) >> 10 & 0x3f) as u8;
        let address = Address::new(u64::from(q.at(1) & 0xffff) << 32 | u64::from(q.at(2)));
        let named = match tcode {
            tcode::WRITE_BLOCK
            | tcode::READ_BLOCK_RESPONSE
            | tcode::LOCK_REQUEST
            | tcode::LOCK_RESPONSE => (q.at(3) >> 16) as usize,
            _ => 0,
        };
        if named != data.len() {
            let got = data.len();
            return Err(PacketError::DataLength { named, got });
        }
        let request = |operation| Self::Request {
            destination,
            label,
            speed,
            address,
            operation,
        };
        let response = |data| Self::Response {
            destination,
            label,
            rcode: RCode(q.at(1) >> 12 & 0xf),
            data,
        };
        Ok(match tcode {
            tcode::WRITE_QUADLET => request(Operation::WriteQuadlet { data: q.bytes(3) }),
            tcode::WRITE_BLOCK => request(Operation::WriteBlock { data }),
            tcode::READ_QUADLET => request(Operation::ReadQuadlet),
            tcode::READ_BLOCK => request(Operation::ReadBlock {
                length: (q.at(3) >> 16) as usize,
            }),
            tcode::LOCK_REQUEST => {
                let code = q.at(3) as u16;
                let kind = LockKind::from_code(code).ok_or(PacketError::Lock(code))?;
                request(Operation::Lock { kind, data })
            }
            tcode::READ_QUADLET_RESPONSE => response(q.bytes(3).to_vec()),
            _ => response(data),
        })
    }
}

/// Quadlets of a header.
struct Header<'a>(&'a [u8]);

impl Header<'_> {
    fn bytes(&self, quadlet: usize) -> [u8; 4] {
        let bytes = self.0.get(4 * quadlet..).and_then(<[u8]>::first_chunk);
        bytes.copied().unwrap_or_default()
    }

    fn at(&self, quadlet: usize) -> u32 {
        u32::from_le_bytes(self.bytes(quadlet))
    }
}

/// Who sent a received packet to whom, under which label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The receiver.
    pub destination: NodeId,
    /// The sender.
    pub source: NodeId,
    /// The transaction label, 0 to 63.
    pub label: u8,
}

impl Route {
    fn quadlets(self, tcode: u8, second: u32) -> [u32; 2] {
        let label = u32::from(self.label & 0x3f) << 10;
        [
            u32::from(self.destination.0) << 16 | label | u32::from(tcode) << 4,
            u32::from(self.source.0) << 16 | second,
        ]
    }
}

/// A request as a receive context writes it, without the trailer.
#[must_use]
pub fn request(route: Route, address: Address, operation: &Operation) -> Vec<u8> {
    let tcode = match operation {
        Operation::ReadQuadlet => tcode::READ_QUADLET,
        Operation::ReadBlock { .. } => tcode::READ_BLOCK,
        Operation::WriteQuadlet { .. } => tcode::WRITE_QUADLET,
        Operation::WriteBlock { .. } => tcode::WRITE_BLOCK,
        Operation::Lock { .. } => tcode::LOCK_REQUEST,
    };
    let address = address.get();
    let [first, second] = route.quadlets(tcode, (address >> 32) as u32);
    let head = [first, second, address as u32];
    let block = |length: usize, extended: u16| (length as u32) << 16 | u32::from(extended);
    match operation {
        Operation::ReadQuadlet => bytes(&head, None, &[]),
        Operation::ReadBlock { length } => bytes(&head, Some(block(*length, 0).to_le_bytes()), &[]),
        Operation::WriteQuadlet { data } => bytes(&head, Some(*data), &[]),
        Operation::WriteBlock { data } => {
            bytes(&head, Some(block(data.len(), 0).to_le_bytes()), data)
        }
        Operation::Lock { kind, data } => bytes(
            &head,
            Some(block(data.len(), kind.code()).to_le_bytes()),
            data,
        ),
    }
}

/// What kind of response a request gets: its transaction code, and for locks the extended one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseKind {
    tcode: u8,
    extended: u16,
}

impl ResponseKind {
    /// The response to this.
    #[must_use]
    pub const fn to(operation: &Operation) -> Self {
        let (tcode, extended) = match operation {
            Operation::ReadQuadlet => (tcode::READ_QUADLET_RESPONSE, 0),
            Operation::ReadBlock { .. } => (tcode::READ_BLOCK_RESPONSE, 0),
            Operation::WriteQuadlet { .. } | Operation::WriteBlock { .. } => {
                (tcode::WRITE_RESPONSE, 0)
            }
            Operation::Lock { kind, .. } => (tcode::LOCK_RESPONSE, kind.code()),
        };
        Self { tcode, extended }
    }
}

/// A response as a receive context writes it, without the trailer. Only the low 4 bits of the
/// rcode are carried.
#[must_use]
pub fn response(route: Route, kind: ResponseKind, rcode: RCode, data: &[u8]) -> Vec<u8> {
    let [first, second] = route.quadlets(kind.tcode, (rcode.0 & 0xf) << 12);
    let head = [first, second, 0];
    match kind.tcode {
        tcode::WRITE_RESPONSE => bytes(&head, None, &[]),
        tcode::READ_QUADLET_RESPONSE => {
            let quadlet = data.first_chunk().copied().unwrap_or_default();
            bytes(&head, Some(quadlet), &[])
        }
        _ => {
            let block = (data.len() as u32) << 16 | u32::from(kind.extended);
            bytes(&head, Some(block.to_le_bytes()), data)
        }
    }
}

/// The packet by which the receive context for requests tells of a bus reset, without the trailer
/// (8.4.2.3).
#[must_use]
pub fn bus_reset(generation: u8) -> Vec<u8> {
    let first = u32::from(tcode::LINK_INTERNAL) << 4;
    bytes(&[first, 0, u32::from(generation) << 16], None, &[])
}

fn bytes(head: &[u32; 3], fourth: Option<[u8; 4]>, data: &[u8]) -> Vec<u8> {
    let mut packet: Vec<u8> = head.iter().flat_map(|q| q.to_le_bytes()).collect();
    packet.extend(fourth.into_iter().flatten());
    packet.extend_from_slice(data);
    packet.resize(packet.len().next_multiple_of(4), 0);
    packet
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const ROUTE: Route = Route {
        destination: NodeId(0xffc0),
        source: NodeId(0xffc1),
        label: 0x15,
    };

    fn header(quadlets: &[u32]) -> Vec<u8> {
        quadlets.iter().flat_map(|q| q.to_le_bytes()).collect()
    }

    #[test]
    fn a_request_to_send_is_read_as_the_driver_writes_it() {
        let header = header(&[0x0002_5410, 0xffc1_ffff, 0xf001_0000, 0x0008_0000]);
        let data = vec![1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(
            Outgoing::parse(&header, data.clone()),
            Ok(Outgoing::Request {
                destination: NodeId(0xffc1),
                label: 0x15,
                speed: Speed::S400,
                address: Address::new(0xffff_f001_0000),
                operation: Operation::WriteBlock { data },
            })
        );
        assert_eq!(
            Outgoing::parse(&header, vec![0; 7]),
            Err(PacketError::DataLength { named: 8, got: 7 })
        );
    }

    #[test]
    fn a_received_quadlet_keeps_the_order_of_its_bytes() {
        let data = [0xde, 0xad, 0xbe, 0xef];
        let operation = Operation::WriteQuadlet { data };
        let packet = request(ROUTE, Address::new(0x1_0000_0000), &operation);
        assert_eq!(packet[..12], header(&[0xffc0_5400, 0xffc1_0001, 0]));
        assert_eq!(packet[12..], data);
        let kind = ResponseKind::to(&Operation::ReadQuadlet);
        let packet = response(ROUTE, kind, RCode::COMPLETE, &data);
        assert_eq!(packet[..12], header(&[0xffc0_5460, 0xffc1_0000, 0]));
        assert_eq!(packet[12..], data);
    }

    #[test]
    fn data_is_padded_to_a_quadlet_and_its_length_is_not() {
        let operation = Operation::ReadBlock { length: 5 };
        let kind = ResponseKind::to(&operation);
        let packet = response(ROUTE, kind, RCode::COMPLETE, &[1, 2, 3, 4, 5]);
        assert_eq!(packet.len(), 24);
        assert_eq!(packet[12..16], header(&[0x0005_0000]));
        let packet = response(ROUTE, kind, RCode::ADDRESS_ERROR, &[]);
        assert_eq!(packet[4..8], header(&[0xffc1_7000]));
        assert_eq!(packet.len(), 16);
    }

    #[test]
    fn whatever_software_writes_is_a_packet_or_an_error() {
        let mut seed = 1_u32;
        for round in 0..20_000_usize {
            let mut random = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 16) as u8
            };
            let header: Vec<u8> = (0..round % 20).map(|_| random()).collect();
            let data: Vec<u8> = (0..random() % 9).map(|_| random()).collect();
            let _ = Outgoing::parse(&header, data);
        }
    }
}
