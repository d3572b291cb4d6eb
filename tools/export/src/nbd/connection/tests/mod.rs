//! The connection alone: bytes in, bytes out, no socket, no thread.

mod haggling;
mod hostile;
mod requests;
mod room;

use std::sync::Arc;

use zerocopy::IntoBytes;

use super::*;
use crate::disk::Geometry;
use crate::memory::MemoryDisk;
use crate::nbd::negotiation::{MAX_OPTION_DATA, MAX_OPTION_SKIP};
use crate::nbd::transmission::MAX_DRAIN;
use crate::nbd::wire::{
    CommandFlags, GREETING_MAGIC, OPTION_MAGIC, OPTION_REPLY_MAGIC, REQUEST_MAGIC,
    SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC,
};

const SIZE: usize = 1 << 20;
const MAX_REQUEST: u32 = 64 << 10;

/// A disk of 1 MiB in blocks of 512 bytes whose requests are at most 64 KiB.
fn disk() -> MemoryDisk {
    let bytes = (0..SIZE).map(|at| (at / 7) as u8).collect();
    MemoryDisk::with_contents(bytes, 512).with_geometry(Geometry {
        size: 0,
        block_size: 512,
        preferred_block_size: 4096,
        max_request: MAX_REQUEST,
        read_only: false,
    })
}

fn export() -> Export {
    Export::new(Arc::new(disk())).unwrap()
}

/// The client's end of a connection, and the disk behind it.
struct Peer {
    connection: Connection,
    heard: Vec<u8>,
}

impl Peer {
    /// A client that has not said anything yet.
    fn fresh(export: Export) -> Self {
        let mut peer = Self {
            connection: Connection::new(Arc::new(export)),
            heard: Vec::new(),
        };
        peer.listen();
        assert_eq!(peer.heard[..8], GREETING_MAGIC.to_be_bytes());
        peer.heard.clear();
        peer
    }

    /// A fixed newstyle client that is haggling.
    fn haggling(export: Export) -> Self {
        let mut peer = Self::fresh(export);
        peer.say(&3_u32.to_be_bytes());
        peer
    }

    /// A client in the second phase.
    fn transmitting(export: Export, structured: bool) -> Self {
        let mut peer = Self::haggling(export);
        if structured {
            peer.say(&option(8, &[]));
        }
        peer.say(&option(7, &inform(b"", &[])));
        peer.heard.clear();
        peer
    }

    /// Sends what there is room for, and hears what comes back. The disk does nothing.
    fn say(&mut self, bytes: &[u8]) -> usize {
        let taken = self.connection.receive(bytes);
        self.listen();
        taken
    }

    fn listen(&mut self) {
        while let Some(outgoing) = self.connection.poll_output() {
            let length = outgoing.len();
            outgoing.write_to(&mut self.heard).unwrap();
            self.connection.sent(length);
        }
    }

    /// Lets the disk do all it was asked for; returns what that was.
    fn work(&mut self) -> Vec<Request> {
        let mut asked = Vec::new();
        let disk = Arc::clone(self.connection.export.disk());
        while let Some((ticket, request)) = self.connection.poll_request() {
            asked.push(request.clone());
            let (tell, told) = std::sync::mpsc::channel();
            disk.submit(request, Box::new(move |result| tell.send(result).unwrap()));
            self.connection.complete(ticket, told.recv().unwrap());
        }
        self.listen();
        asked
    }

    /// Sends a request with its data, and hears all replies.
    fn ask(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.heard.clear();
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[self.say(rest)..];
            self.work();
        }
        std::mem::take(&mut self.heard)
    }

    fn contents(&mut self, offset: u64, length: u32) -> Vec<u8> {
        let disk = Arc::clone(self.connection.export.disk());
        let (tell, told) = std::sync::mpsc::channel();
        disk.submit(
            Request::Read { offset, length },
            Box::new(move |result| tell.send(result).unwrap()),
        );
        told.recv().unwrap().unwrap()
    }
}

fn option(code: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(OPTION_MAGIC.to_be_bytes());
    bytes.extend(code.to_be_bytes());
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// The data of `NBD_OPT_INFO` and `NBD_OPT_GO`.
fn inform(name: &[u8], wanted: &[u16]) -> Vec<u8> {
    let mut data = Vec::new();
    data.extend((name.len() as u32).to_be_bytes());
    data.extend(name);
    data.extend((wanted.len() as u16).to_be_bytes());
    data.extend(wanted.iter().flat_map(|code| code.to_be_bytes()));
    data
}

/// An answer to an option, taken from the front of `heard`: option, reply, data.
fn option_reply(heard: &mut Vec<u8>) -> (u32, u32, Vec<u8>) {
    let quad = |at: usize| u32::from_be_bytes(heard[at..at + 4].try_into().unwrap());
    assert_eq!(heard[..8], OPTION_REPLY_MAGIC.to_be_bytes());
    let (option, reply, length) = (quad(8), quad(12), quad(16) as usize);
    let data = heard[20..20 + length].to_vec();
    heard.drain(..20 + length);
    (option, reply, data)
}

const COOKIE: u64 = 0xfeed_0000_0000_beef;

fn request(command: u16, flags: u16, offset: u64, length: u32) -> Vec<u8> {
    let header = RequestHeader {
        magic: REQUEST_MAGIC.into(),
        flags: flags.into(),
        command: command.into(),
        cookie: COOKIE.into(),
        offset: offset.into(),
        length: length.into(),
    };
    header.as_bytes().to_vec()
}

fn write(flags: u16, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut bytes = request(1, flags, offset, data.len() as u32);
    bytes.extend(data);
    bytes
}

/// A simple reply with `errno`, 0 for success.
fn simple(errno: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(SIMPLE_REPLY_MAGIC.to_be_bytes());
    bytes.extend(errno.to_be_bytes());
    bytes.extend(COOKIE.to_be_bytes());
    bytes
}

/// The last chunk of a structured reply.
fn chunk(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(STRUCTURED_REPLY_MAGIC.to_be_bytes());
    bytes.extend(1_u16.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend(COOKIE.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes
}

const READ: u16 = 0;
const WRITE: u16 = 1;
const DISC: u16 = 2;
const FLUSH: u16 = 3;
const ZEROES: u16 = 6;
const FUA: u16 = CommandFlags::FUA.bits();
const DF: u16 = CommandFlags::DF.bits();
