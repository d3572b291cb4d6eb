//! Programs for the contexts, as a driver writes them, and what it finds in its buffers.

use std::sync::Arc;

use ohci_raw::bus::NodeId;
use ohci_raw::packet::tcode;
use ohci_raw::regs;

use super::ram::Ram;

/// The configuration ROM's image.
pub(super) const ROM: u32 = 0x400;
/// The buffer of self-ID packets.
pub(super) const SELF_IDS: u32 = 0x800;
/// From here on memory is given out.
const FREE: u32 = 0x2000;

/// The transmit contexts, by side.
pub(super) const TRANSMIT: [u32; 2] = [regs::AT_REQUEST, regs::AT_RESPONSE];
/// The receive contexts, by side.
pub(super) const RECEIVE: [u32; 2] = [regs::AR_REQUEST, regs::AR_RESPONSE];

/// Control fields of descriptors: OUTPUT_LAST-Immediate with an interrupt and a branch always,
/// OUTPUT_MORE-Immediate, OUTPUT_LAST, INPUT_MORE.
pub(super) const LAST_IMMEDIATE: u32 = 0x123c << 16;
pub(super) const MORE_IMMEDIATE: u32 = 0x0200 << 16;
pub(super) const LAST: u32 = 0x103c << 16;
pub(super) const INPUT: u32 = 0x283c << 16;

/// A packet to send.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) header: Vec<u32>,
    pub(super) data: Vec<u8>,
}

impl Packet {
    /// A request at S400.
    fn request(tcode: u8, to: NodeId, label: u8, address: u64) -> Self {
        let header = vec![
            2 << 16 | u32::from(label) << 10 | 1 << 8 | u32::from(tcode) << 4,
            u32::from(to.0) << 16 | (address >> 32) as u32,
            address as u32,
        ];
        let data = Vec::new();
        Self { header, data }
    }

    fn with(mut self, quadlet: u32, data: &[u8]) -> Self {
        self.header.push(quadlet);
        self.data = data.to_vec();
        self
    }

    pub(super) fn read_quadlet(to: NodeId, label: u8, address: u64) -> Self {
        Self::request(tcode::READ_QUADLET, to, label, address)
    }

    pub(super) fn read_block(to: NodeId, label: u8, address: u64, length: u32) -> Self {
        Self::request(tcode::READ_BLOCK, to, label, address).with(length << 16, &[])
    }

    pub(super) fn write_quadlet(to: NodeId, label: u8, address: u64, data: [u8; 4]) -> Self {
        let packet = Self::request(tcode::WRITE_QUADLET, to, label, address);
        packet.with(u32::from_le_bytes(data), &[])
    }

    pub(super) fn write_block(to: NodeId, label: u8, address: u64, data: &[u8]) -> Self {
        let length = (data.len() as u32) << 16;
        Self::request(tcode::WRITE_BLOCK, to, label, address).with(length, data)
    }

    pub(super) fn lock(to: NodeId, label: u8, address: u64, kind: u32, data: &[u8]) -> Self {
        let length = (data.len() as u32) << 16 | kind;
        Self::request(tcode::LOCK_REQUEST, to, label, address).with(length, data)
    }

    /// Compare-swap of a quadlet.
    pub(super) fn swap(to: NodeId, label: u8, address: u64, compare: u32, new: u32) -> Self {
        let data = [compare.to_be_bytes(), new.to_be_bytes()].concat();
        Self::lock(to, label, address, 2, &data)
    }

    /// The answer to a request.
    pub(super) fn answer(to: &Incoming, rcode: u32, data: &[u8]) -> Self {
        let (tcode, extended) = match to.tcode() {
            tcode::READ_QUADLET => (tcode::READ_QUADLET_RESPONSE, 0),
            tcode::READ_BLOCK => (tcode::READ_BLOCK_RESPONSE, 0),
            tcode::LOCK_REQUEST => (tcode::LOCK_RESPONSE, to.header[3] & 0xffff),
            _ => (tcode::WRITE_RESPONSE, 0),
        };
        let mut answer = Self::request(tcode, to.source(), to.label(), 0);
        answer.header[1] |= rcode << 12;
        match tcode {
            tcode::WRITE_RESPONSE => answer,
            tcode::READ_QUADLET_RESPONSE => {
                let quadlet = data.first_chunk().copied().unwrap_or_default();
                answer.with(u32::from_le_bytes(quadlet), &[])
            }
            _ => answer.with((data.len() as u32) << 16 | extended, data),
        }
    }

    pub(super) fn phy(quadlet: u32) -> Self {
        Self {
            header: vec![u32::from(tcode::LINK_INTERNAL) << 4, quadlet, !quadlet],
            data: Vec::new(),
        }
    }
}

/// A packet that was received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Incoming {
    pub(super) header: Vec<u32>,
    pub(super) data: Vec<u8>,
    pub(super) status: u16,
    pub(super) stamp: u16,
}

impl Incoming {
    pub(super) fn tcode(&self) -> u8 {
        (self.header[0] >> 4 & 0xf) as u8
    }

    pub(super) fn label(&self) -> u8 {
        (self.header[0] >> 10 & 0x3f) as u8
    }

    pub(super) fn destination(&self) -> NodeId {
        NodeId((self.header[0] >> 16) as u16)
    }

    pub(super) fn source(&self) -> NodeId {
        NodeId((self.header[1] >> 16) as u16)
    }

    pub(super) fn address(&self) -> u64 {
        u64::from(self.header[1] & 0xffff) << 32 | u64::from(self.header[2])
    }

    pub(super) fn rcode(&self) -> u32 {
        self.header[1] >> 12 & 0xf
    }

    pub(super) fn event(&self) -> u16 {
        self.status & 0x1f
    }
}

/// A block of descriptors: where it begins, how many it has, and where its last one is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) start: u32,
    pub(super) z: u32,
    pub(super) last: u32,
}

/// A buffer of a receive context.
#[derive(Clone, Copy, Debug)]
struct Buffer {
    descriptor: u32,
    data: u32,
    length: u32,
}

/// What a driver keeps in mind.
pub(super) struct Driver {
    ram: Arc<Ram>,
    free: u32,
    /// The last descriptor of each transmit context's program.
    last: [Option<u32>; 2],
    buffers: [Vec<Buffer>; 2],
    /// How many bytes of a receive context's stream were looked at.
    taken: [usize; 2],
}

impl Driver {
    pub(super) fn new(ram: Arc<Ram>) -> Self {
        Self {
            ram,
            free: FREE,
            last: [None; 2],
            buffers: [const { Vec::new() }; 2],
            taken: [0; 2],
        }
    }

    /// Memory that nobody else has.
    pub(super) fn allocate(&mut self, length: u32) -> u32 {
        let start = self.free;
        self.free = (start + length).next_multiple_of(16);
        start
    }

    /// Takes all memory back.
    pub(super) fn rewind(&mut self) {
        self.free = FREE;
    }

    /// A block that sends a packet.
    pub(super) fn block(&mut self, packet: &Packet) -> Block {
        let start = self.allocate(48);
        let length = 4 * packet.header.len() as u32;
        self.ram.put(start, &[0; 48]);
        self.ram.put_quadlets(start + 16, &packet.header);
        if packet.data.is_empty() {
            self.ram.put_quadlets(start, &[LAST_IMMEDIATE | length]);
            return Block {
                start,
                z: 2,
                last: start,
            };
        }
        let data = self.allocate(packet.data.len() as u32);
        self.ram.put(data, &packet.data);
        self.ram.put_quadlets(start, &[MORE_IMMEDIATE | length]);
        let length = packet.data.len() as u32;
        self.ram.put_quadlets(start + 32, &[LAST | length, data]);
        Block {
            start,
            z: 3,
            last: start + 32,
        }
    }

    /// Appends a block to a program. Whether there was one to append to.
    pub(super) fn append(&mut self, side: usize, block: Block) -> bool {
        let before = self.last[side].replace(block.last);
        if let Some(before) = before {
            self.ram.put_quadlets(before + 8, &[block.start | block.z]);
        }
        before.is_some()
    }

    /// The context was stopped.
    pub(super) fn forget_program(&mut self, side: usize) {
        self.last[side] = None;
    }

    /// Gives a receive context new buffers, and forgets the old ones. Where its program begins.
    pub(super) fn buffers(&mut self, side: usize, count: u32, length: u32) -> u32 {
        self.buffers[side].clear();
        self.taken[side] = 0;
        let first = self.add_buffer(side, length);
        for _ in 1..count {
            self.add_buffer(side, length);
        }
        first
    }

    /// Appends a buffer to a receive context's program. How the program names it.
    pub(super) fn add_buffer(&mut self, side: usize, length: u32) -> u32 {
        let descriptor = self.allocate(16);
        let data = self.allocate(length);
        let words = [INPUT | length, data, 0, length];
        self.ram.put_quadlets(descriptor, &words);
        if let Some(before) = self.buffers[side].last() {
            self.ram
                .put_quadlets(before.descriptor + 8, &[descriptor | 1]);
        }
        self.buffers[side].push(Buffer {
            descriptor,
            data,
            length,
        });
        descriptor | 1
    }

    /// Where a receive context's buffer and its descriptor are.
    pub(super) fn buffer(&self, side: usize, number: usize) -> (u32, u32) {
        let buffer = self.buffers[side][number];
        (buffer.data, buffer.descriptor)
    }

    /// The residual counts of a receive context's buffers.
    pub(super) fn residuals(&self, side: usize) -> Vec<u32> {
        let counts = self.buffers[side].iter();
        counts
            .map(|buffer| self.ram.quadlet(buffer.descriptor + 12) & 0xffff)
            .collect()
    }

    /// The packets that were not taken before.
    pub(super) fn received(&mut self, side: usize) -> Vec<Incoming> {
        let mut stream = Vec::new();
        for (buffer, left) in self.buffers[side].iter().zip(self.residuals(side)) {
            let filled = (buffer.length - left) as usize;
            stream.extend(self.ram.bytes(buffer.data, filled));
            if left > 0 {
                break;
            }
        }
        let mut rest = &stream[self.taken[side]..];
        self.taken[side] = stream.len();
        let mut packets = Vec::new();
        while !rest.is_empty() {
            let (packet, after) = parse(rest);
            packets.push(packet);
            rest = after;
        }
        packets
    }
}

/// The first packet of a stream, and what is behind it.
fn parse(bytes: &[u8]) -> (Incoming, &[u8]) {
    let quadlet = |at: usize| {
        let bytes = bytes[4 * at..][..4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes)
    };
    let tcode = (quadlet(0) >> 4 & 0xf) as u8;
    let (head, data) = match tcode {
        tcode::WRITE_RESPONSE | tcode::READ_QUADLET | tcode::LINK_INTERNAL => (3, 0),
        tcode::WRITE_QUADLET | tcode::READ_QUADLET_RESPONSE | tcode::READ_BLOCK => (4, 0),
        tcode::WRITE_BLOCK
        | tcode::READ_BLOCK_RESPONSE
        | tcode::LOCK_REQUEST
        | tcode::LOCK_RESPONSE => (4, (quadlet(3) >> 16) as usize),
        other => panic!("a packet with the transaction code {other:#x}"),
    };
    let end = 4 * head + data.next_multiple_of(4);
    let trailer = quadlet(end / 4);
    let packet = Incoming {
        header: (0..head).map(quadlet).collect(),
        data: bytes[4 * head..][..data].to_vec(),
        status: (trailer >> 16) as u16,
        stamp: trailer as u16,
    };
    (packet, &bytes[end + 4..])
}
