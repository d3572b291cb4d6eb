//! A recording for Wireshark, in pcapng.
//!
//! There is no link type for IEEE 1394 asynchronous packets, so LINKTYPE_USER0 (147) is used. A
//! packet is the packet of IEEE 1394-1995 6.2 as it crosses the bus, big-endian, without CRCs:
//!
//! ```text
//! quadlet 0  destination_ID:16  tl:6  rt:2  tcode:4  pri:4
//! quadlet 1  source_ID:16       destination_offset 47:32, or rcode:4 and 12 reserved bits
//! quadlet 2  destination_offset 31:0, or reserved in responses
//! quadlet 3  data of quadlet packets, or data_length:16 extended_tcode:16
//! data       of block packets, padded to whole quadlets
//! ```
//!
//! A recording has no transaction labels: the low six bits of its own numbers stand for them.

use std::collections::BTreeMap;
use std::io::{self, Write};

use ohci_raw::trace::{Op, Payload, Recording, Symbols, What};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const LINKTYPE_USER0: u16 = 147;
/// if_tsresol: nanoseconds.
const OPTION_RESOLUTION: u16 = 9;
const OPTION_NAME: u16 = 2;
/// rcodes from here on are the host's own and never on the bus.
const FIRST_HOST_RCODE: u32 = 0x10;

#[derive(Default)]
struct Port {
    symbols: Symbols,
    local: u16,
    sent: BTreeMap<u64, (u16, Op)>,
    came: BTreeMap<u64, (u16, Op)>,
}

pub(super) fn write(recording: &Recording, out: &mut impl Write) -> io::Result<()> {
    let mut section = BYTE_ORDER_MAGIC.to_le_bytes().to_vec();
    section.extend([1, 0, 0, 0]);
    section.extend(u64::MAX.to_le_bytes());
    block(out, SECTION_HEADER, &section)?;
    for (index, port) in recording.header.ports.iter().enumerate() {
        let mut interface = LINKTYPE_USER0.to_le_bytes().to_vec();
        interface.extend([0; 6]);
        option(
            &mut interface,
            OPTION_NAME,
            format!("port {index} ({})", port.name).as_bytes(),
        );
        option(&mut interface, OPTION_RESOLUTION, &[9]);
        option(&mut interface, 0, &[]);
        block(out, INTERFACE, &interface)?;
    }
    let mut ports: BTreeMap<usize, Port> = BTreeMap::new();
    for (_, line) in &recording.lines {
        let port = ports.entry(line.port).or_default();
        if let Some(bytes) = port.packet(&line.what) {
            packet(out, line.port, line.at, &bytes)?;
        }
    }
    Ok(())
}

fn packet(out: &mut impl Write, port: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let interface = u32::try_from(port).unwrap_or(u32::MAX);
    let (high, low) = ((at >> 32) as u32, at as u32);
    let mut body = Vec::new();
    for field in [interface, high, low, length, length] {
        body.extend(field.to_le_bytes());
    }
    body.extend(bytes);
    pad(&mut body);
    block(out, ENHANCED_PACKET, &body)
}

fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 12)
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

impl Port {
    fn packet(&mut self, what: &What) -> Option<Vec<u8>> {
        self.symbols.observe(what);
        match what {
            What::Nodes(nodes) => {
                let local = nodes.iter().find(|node| node.local)?;
                self.local = node_id(&local.id)?;
                None
            }
            What::BusReset { local, .. } => {
                self.local = node_id(local)?;
                None
            }
            What::Send { id, dest, op, .. } => {
                let dest = node_id(dest)?;
                self.sent.insert(*id, (dest, op.clone()));
                self.request(*id, dest, self.local, op)
            }
            What::Request { id, src, op, .. } => {
                let src = node_id(src)?;
                self.came.insert(*id, (src, op.clone()));
                self.request(*id, self.local, src, op)
            }
            What::Response { id, rcode, data } => {
                let (peer, op) = self.sent.remove(id)?;
                response(*id, self.local, peer, &op, *rcode, data)
            }
            What::Respond { id, rcode, data } => {
                let (peer, op) = self.came.remove(id)?;
                response(*id, peer, self.local, &op, *rcode, data)
            }
            _ => None,
        }
    }

    fn request(&self, id: u64, dest: u16, src: u16, op: &Op) -> Option<Vec<u8>> {
        let address = self.symbols.resolve(&op.addr)?;
        let (tcode, extended) = tcodes(op)?;
        let mut bytes = head(id, dest, tcode, src, address.hi());
        bytes.extend(address.lo().to_be_bytes());
        match op.len {
            _ if op.tcode == "read_quadlet" => {}
            Some(length) => bytes.extend(length_word(length, 0)),
            None => payload(&mut bytes, &op.data, op.tcode == "write_quadlet", extended),
        }
        Some(bytes)
    }
}

fn response(id: u64, dest: u16, src: u16, op: &Op, rcode: u32, data: &Payload) -> Option<Vec<u8>> {
    if rcode >= FIRST_HOST_RCODE {
        return None;
    }
    let (request, extended) = tcodes(op)?;
    // Write response, read responses, lock response.
    let tcode = match request {
        0 | 1 => 2,
        4 => 6,
        5 => 7,
        _ => 0xb,
    };
    let mut bytes = head(id, dest, tcode, src, (rcode as u16) << 12);
    bytes.extend([0; 4]);
    match tcode {
        2 => {}
        _ => payload(&mut bytes, data, tcode == 6, extended),
    }
    Some(bytes)
}

fn head(id: u64, dest: u16, tcode: u8, src: u16, low: u16) -> Vec<u8> {
    let label = (id & 0x3f) as u16;
    let mut bytes = dest.to_be_bytes().to_vec();
    bytes.extend((label << 10 | u16::from(tcode) << 4).to_be_bytes());
    bytes.extend(src.to_be_bytes());
    bytes.extend(low.to_be_bytes());
    bytes
}

fn payload(bytes: &mut Vec<u8>, data: &Payload, is_quadlet: bool, extended: u16) {
    let data = data.bytes().unwrap_or_default();
    if !is_quadlet {
        bytes.extend(length_word(data.len(), extended));
    }
    bytes.extend(data);
    pad(bytes);
}

fn length_word(length: usize, extended: u16) -> Vec<u8> {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    [length.to_be_bytes(), extended.to_be_bytes()].concat()
}

fn tcodes(op: &Op) -> Option<(u8, u16)> {
    Some(match op.tcode.as_str() {
        "write_quadlet" => (0, 0),
        "write_block" => (1, 0),
        "read_quadlet" => (4, 0),
        "read_block" => (5, 0),
        lock => (9, lock.strip_prefix("lock_")?.parse().ok()?),
    })
}

fn node_id(text: &str) -> Option<u16> {
    u16::from_str_radix(text, 16).ok()
}
