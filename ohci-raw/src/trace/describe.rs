//! From the words of the bus to those of a recording, and back.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::collections::BTreeMap;

use super::line::{NodeLine, Op, Payload, PeerLine, What};
use crate::bus::{
    Action, Address, AddressRange, BusReset, Eui64, Event, Generation, IncomingRequest, LockKind,
    NodeId, Operation, Peer, RCode, RequestHandle, Response, Speed, Token, Transaction,
};
use crate::config_rom::Descriptor;
use crate::port::{DescriptorHandle, Node, ResetKind};

/// The address ranges that a port has given, by the names that a recording has for them.
#[derive(Clone, Debug, Default)]
pub struct Symbols(Vec<(String, AddressRange)>);

impl Symbols {
    /// Takes in what a line says of ranges: given, or given back.
    pub fn observe(&mut self, what: &What) {
        match what {
            What::Allocate {
                length,
                start,
                symbol,
                ..
            } => {
                if let Some(start) = self.resolve(start)
                    && let Ok(range) = AddressRange::new(start, *length)
                {
                    self.0.push((symbol.clone(), range));
                }
            }
            What::Deallocate { addr } => self.0.retain(|(symbol, _)| symbol != addr),
            _ => {}
        }
    }

    /// The address by its range's name, or in hexadecimal.
    #[must_use]
    pub fn name(&self, address: Address) -> String {
        for (symbol, range) in &self.0 {
            match range.offset_of(address, 0) {
                Some(0) => return symbol.clone(),
                Some(offset) => return format!("{symbol}+{offset:#x}"),
                None => {}
            }
        }
        address.to_string()
    }

    /// The address that is written so.
    #[must_use]
    pub fn resolve(&self, text: &str) -> Option<Address> {
        let (symbol, offset) = match text.split_once('+') {
            Some((symbol, offset)) => (
                symbol,
                u64::from_str_radix(offset.strip_prefix("0x")?, 16).ok()?,
            ),
            None => (text, 0),
        };
        if symbol.starts_with('$') {
            let mut ranges = self.0.iter();
            let (_, range) = ranges.find(|(own, _)| own == symbol)?;
            return range.start().checked_add(offset);
        }
        let address = u64::from_str_radix(symbol, 16).ok()?;
        (address <= Address::MAX.get()).then(|| Address::new(address))
    }
}

/// The names of one port's things: address ranges, transactions and requests.
#[derive(Debug, Default)]
pub(super) struct Names {
    symbols: Symbols,
    given: u32,
    sent: u64,
    tokens: BTreeMap<u64, Token>,
    ids: BTreeMap<Token, u64>,
    came: u64,
    handles: BTreeMap<RequestHandle, u64>,
}

impl Names {
    fn symbol(&mut self) -> String {
        let letter = char::from(b'a' + (self.given % 26) as u8);
        let round = self.given / 26;
        self.given += 1;
        match round {
            0 => format!("${letter}"),
            round => format!("${letter}{round}"),
        }
    }

    pub(super) fn allocated(&mut self, range: AddressRange, within: Option<AddressRange>) -> What {
        let what = What::Allocate {
            length: range.length(),
            start: range.start().to_string(),
            symbol: self.symbol(),
            within: within.map(ends),
        };
        self.symbols.observe(&what);
        what
    }

    pub(super) fn deallocated(&mut self, range: AddressRange) -> What {
        let addr = self.symbols.name(range.start());
        let what = What::Deallocate { addr };
        self.symbols.observe(&what);
        what
    }

    fn op(&self, address: Address, operation: &Operation) -> Op {
        let (tcode, len, data): (_, _, &[u8]) = match operation {
            Operation::ReadQuadlet => ("read_quadlet".to_string(), None, &[]),
            Operation::ReadBlock { length } => ("read_block".to_string(), Some(*length), &[]),
            Operation::WriteQuadlet { data } => ("write_quadlet".to_string(), None, data),
            Operation::WriteBlock { data } => ("write_block".to_string(), None, data),
            Operation::Lock { kind, data } => (format!("lock_{}", kind.code()), None, data),
        };
        Op {
            tcode,
            addr: self.symbols.name(address),
            len,
            data: Payload::of(data),
        }
    }

    /// A request that is sent, with the next number.
    pub(super) fn sent(&mut self, transaction: &Transaction) -> What {
        self.sent += 1;
        What::Send {
            id: self.sent,
            dest: transaction.destination.to_string(),
            generation: transaction.generation.0,
            speed: transaction.speed.to_string(),
            op: self.op(transaction.address, &transaction.operation),
        }
    }

    /// The number under which a transaction's response comes.
    pub(super) fn bind(&mut self, token: Token, id: u64) {
        self.tokens.insert(id, token);
        self.ids.insert(token, id);
    }

    /// What a machine does.
    pub(super) fn action(&mut self, action: &Action) -> What {
        match action {
            Action::Send(transaction) => self.sent(transaction),
            Action::Respond { handle, response } => self.responded(*handle, response),
        }
    }

    pub(super) fn responded(&mut self, handle: RequestHandle, response: &Response) -> What {
        What::Respond {
            id: self.handles.remove(&handle).unwrap_or_default(),
            rcode: response.rcode.0,
            data: Payload::of(&response.data),
        }
    }

    /// An event as a recording has it.
    pub(super) fn event(&mut self, event: &Event) -> What {
        match event {
            Event::Response { token, rcode, data } => {
                let id = self.ids.remove(token).unwrap_or_default();
                self.tokens.remove(&id);
                What::Response {
                    id,
                    rcode: rcode.0,
                    data: Payload::of(data),
                }
            }
            Event::Request(request) => {
                self.came += 1;
                self.handles.insert(request.handle, self.came);
                What::Request {
                    id: self.came,
                    src: request.source.to_string(),
                    generation: request.generation.0,
                    op: self.op(request.address, &request.operation),
                }
            }
            Event::BusReset(reset) => What::BusReset {
                generation: reset.generation.0,
                local: reset.local.to_string(),
                peers: reset
                    .peers
                    .iter()
                    .map(|peer| PeerLine {
                        id: peer.node.to_string(),
                        guid: peer.eui64.to_string(),
                    })
                    .collect(),
            },
        }
    }

    /// The event that a recording has; `None` where the line is none or makes no sense.
    pub(super) fn read_event(&mut self, what: &What) -> Option<Event> {
        Some(match what {
            What::Response { id, rcode, data } => {
                let token = self.tokens.remove(id)?;
                self.ids.remove(&token);
                Event::Response {
                    token,
                    rcode: RCode(*rcode),
                    data: data.bytes()?,
                }
            }
            What::Request {
                id,
                src,
                generation,
                op,
            } => {
                let handle = RequestHandle(*id);
                self.came = *id;
                self.handles.insert(handle, *id);
                Event::Request(IncomingRequest {
                    handle,
                    source: node_id(src)?,
                    generation: Generation(*generation),
                    address: self.symbols.resolve(&op.addr)?,
                    operation: operation(op)?,
                })
            }
            What::BusReset {
                generation,
                local,
                peers,
            } => {
                let peer = |line: &PeerLine| {
                    Some(Peer {
                        node: node_id(&line.id)?,
                        eui64: line.guid.parse().ok()?,
                    })
                };
                Event::BusReset(BusReset {
                    generation: Generation(*generation),
                    local: node_id(local)?,
                    peers: peers.iter().map(peer).collect::<Option<_>>()?,
                })
            }
            _ => return None,
        })
    }

    /// The range that a line gives, under its name.
    pub(super) fn read_range(&mut self, what: &What) -> Option<AddressRange> {
        let What::Allocate { length, start, .. } = what else {
            return None;
        };
        let start = self.symbols.resolve(start)?;
        let range = AddressRange::new(start, *length).ok()?;
        self.symbols.observe(what);
        Some(range)
    }
}

/// A region by its first address and the one after its last.
pub(super) fn ends(region: AddressRange) -> [String; 2] {
    [region.start().to_string(), format!("{:012x}", region.end())]
}

fn bytes(quadlets: &[u32]) -> Payload {
    let bytes = quadlets.iter().flat_map(|quadlet| quadlet.to_be_bytes());
    Payload::of(&bytes.collect::<Vec<u8>>())
}

pub(super) fn added(handle: DescriptorHandle, descriptor: &Descriptor) -> What {
    What::AddDescriptor {
        handle: handle.0,
        key: descriptor.key().0,
        blocks: bytes(descriptor.blocks()),
    }
}

pub(super) const fn removed(handle: DescriptorHandle) -> What {
    What::RemoveDescriptor { handle: handle.0 }
}

pub(super) fn nodes(nodes: &[Node]) -> What {
    let line = |node: &Node| NodeLine {
        name: node.name.clone(),
        id: node.id.to_string(),
        generation: node.generation.0,
        guid: node.eui64.to_string(),
        speed: node.speed.to_string(),
        local: node.is_local,
        rom: bytes(&node.rom),
    };
    What::Nodes(nodes.iter().map(line).collect())
}

pub(super) fn read_node(line: &NodeLine) -> Option<Node> {
    let rom = line.rom.bytes()?;
    let rom = rom.chunks_exact(4).map(|quadlet| {
        let bytes = quadlet.try_into().unwrap_or_default();
        u32::from_be_bytes(bytes)
    });
    let mut speeds = Speed::ALL.into_iter();
    Some(Node {
        name: line.name.clone(),
        id: node_id(&line.id)?,
        generation: Generation(line.generation),
        eui64: line.guid.parse().ok()?,
        speed: speeds.find(|speed| speed.to_string() == line.speed)?,
        is_local: line.local,
        rom: rom.collect(),
    })
}

pub(super) fn claimed(node: Eui64, lun: u16) -> What {
    What::Claim {
        guid: node.to_string(),
        lun,
    }
}

pub(super) fn reset(kind: ResetKind) -> What {
    What::ResetBus {
        kind: match kind {
            ResetKind::Short => "short",
            ResetKind::Long => "long",
        }
        .to_string(),
    }
}

fn node_id(text: &str) -> Option<NodeId> {
    u16::from_str_radix(text, 16).ok().map(NodeId)
}

fn operation(op: &Op) -> Option<Operation> {
    Some(match op.tcode.as_str() {
        "read_quadlet" => Operation::ReadQuadlet,
        "read_block" => Operation::ReadBlock { length: op.len? },
        "write_quadlet" => Operation::WriteQuadlet {
            data: op.data.bytes()?.try_into().ok()?,
        },
        "write_block" => Operation::WriteBlock {
            data: op.data.bytes()?,
        },
        lock => Operation::Lock {
            kind: LockKind::from_code(lock.strip_prefix("lock_")?.parse().ok()?)?,
            data: op.data.bytes()?,
        },
    })
}
