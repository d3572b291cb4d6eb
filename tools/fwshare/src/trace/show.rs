//! A recording as text: a line per transaction, in the style of nosy-dump.

use std::collections::BTreeMap;

use ohci_raw::bus::RCode;
use ohci_raw::trace::{Line, Op, Recording, What};

use super::observe::Meaning;
use super::sides::Observers;

/// A request that waits for its end.
struct Open {
    at: u64,
    peer: String,
    op: Op,
    meaning: Meaning,
}

/// One port's state.
#[derive(Default)]
struct Port {
    observers: Observers,
    local: String,
    sent: BTreeMap<u64, Open>,
    came: BTreeMap<u64, (u64, String, Op)>,
}

pub(super) fn text(recording: &Recording) -> String {
    let header = &recording.header;
    let mut text = format!("# {}, command: {}\n", header.tool, header.command.join(" "));
    for (index, port) in header.ports.iter().enumerate() {
        text.push_str(&format!(
            "# port {index}: bus {} ({})\n",
            port.bus, port.name
        ));
    }
    let several = header.ports.len() > 1;
    let mut ports: BTreeMap<usize, Port> = BTreeMap::new();
    for (_, line) in &recording.lines {
        let port = ports.entry(line.port).or_insert_with(|| Port {
            observers: Observers::new(&recording.header, line.port),
            ..Port::default()
        });
        if let Some(shown) = port.take_in(line) {
            let place = if several {
                format!("[{}] ", line.port)
            } else {
                String::new()
            };
            text.push_str(&format!("{place}{shown}\n"));
        }
    }
    for (index, port) in &ports {
        for open in port.sent.values() {
            let place = if several {
                format!("[{index}] ")
            } else {
                String::new()
            };
            text.push_str(&format!(
                "{place}{} no response recorded{}\n",
                port.request(open.at, &open.op, &open.peer, Of::Initiator),
                meaning(&open.meaning),
            ));
        }
    }
    text
}

fn time(at: u64) -> String {
    format!("{:4}.{:06}", at / 1_000_000_000, at / 1000 % 1_000_000)
}

fn request(at: u64, op: &Op, dest: &str, src: &str) -> String {
    let length = match (op.len, op.data.length()) {
        (Some(length), _) => format!(", length={length}"),
        (None, 0) => String::new(),
        (None, 4) if op.tcode == "write_quadlet" => format!(", data={}", hex(op)),
        (None, length) => format!(", length={length}"),
    };
    let Op { tcode, addr, .. } = op;
    format!(
        "{} {tcode}: dest={dest}, src={src}, offs={addr}{length},",
        time(at)
    )
}

fn hex(op: &Op) -> String {
    let bytes = op.data.bytes().unwrap_or_default();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn end(rcode: u32) -> String {
    RCode(rcode)
        .name()
        .map_or_else(|| format!("rcode {rcode:#x}"), str::to_owned)
}

fn meaning(meaning: &Meaning) -> String {
    match meaning {
        Meaning::Unknown => String::new(),
        known => format!("  | {known}"),
    }
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Initiator,
    Target,
}

impl Port {
    /// A request between the node that was recorded and this one.
    fn request(&self, at: u64, op: &Op, peer: &str, of: Of) -> String {
        if (of == Of::Target) == self.observers.at_target() {
            request(at, op, peer, &self.local)
        } else {
            request(at, op, &self.local, peer)
        }
    }

    fn take_in(&mut self, line: &Line) -> Option<String> {
        self.observers.observe(&line.what);
        let at = time(line.at);
        let what = self.observers.as_initiator(&line.what).into_owned();
        Some(match &what {
            What::Send { id, dest, op, .. } => {
                let meaning = self.observers.of(dest).sent(op);
                let open = Open {
                    at: line.at,
                    peer: dest.clone(),
                    op: op.clone(),
                    meaning,
                };
                self.sent.insert(*id, open);
                return None;
            }
            What::Response { id, rcode, .. } => {
                let open = self.sent.remove(id)?;
                format!(
                    "{} {}, {} us{}",
                    self.request(open.at, &open.op, &open.peer, Of::Initiator),
                    end(*rcode),
                    line.at.saturating_sub(open.at) / 1000,
                    meaning(&open.meaning),
                )
            }
            What::Request { id, src, op, .. } => {
                self.came.insert(*id, (line.at, src.clone(), op.clone()));
                return None;
            }
            What::Respond { id, rcode, data } => {
                let (came, src, op) = self.came.remove(id)?;
                let (means, _) = self.observers.of(&src).came(&op, Some(data));
                let means = meaning(&means);
                let request = self.request(came, &op, &src, Of::Target);
                format!("{request} {}{means}", end(*rcode))
            }
            What::BusReset {
                generation,
                local,
                peers,
            } => {
                self.local.clone_from(local);
                let peers: Vec<_> = peers
                    .iter()
                    .map(|peer| format!("{}={}", peer.id, peer.guid))
                    .collect();
                format!(
                    "{at} bus_reset: generation={generation}, local={local}, {}",
                    peers.join(", ")
                )
            }
            What::Nodes(nodes) => {
                let local = nodes.iter().find(|node| node.local);
                if let Some(local) = local {
                    self.local.clone_from(&local.id);
                }
                let nodes: Vec<_> = nodes
                    .iter()
                    .map(|node| format!("{} {}={}", node.name, node.id, node.guid))
                    .collect();
                format!("{at} nodes: {}", nodes.join(", "))
            }
            What::Allocate {
                length,
                start,
                symbol,
                ..
            } => {
                format!("{at} allocate: {symbol}={start}, length={length}")
            }
            What::AddDescriptor {
                handle,
                key,
                blocks,
            } => {
                let length = blocks.length();
                format!("{at} add_descriptor: {handle}, key={key:02x}, length={length}")
            }
            What::RemoveDescriptor { handle } => format!("{at} remove_descriptor: {handle}"),
            What::Deallocate { addr } => format!("{at} deallocate: {addr}"),
            What::Claim { guid, lun } => format!("{at} claim: {guid}:{lun}"),
            What::ResetBus { kind } => format!("{at} reset_bus: {kind}"),
            What::Input(value) => format!("{at} input: {}", short(value)),
            What::Output(value) => format!("{at} output: {}", short(value)),
            What::Failed { error, .. } => format!("{at} failed: {error}"),
            What::Quiet {} => return None,
        })
    }
}

fn short(value: &serde_json::Value) -> String {
    const WIDTH: usize = 100;
    let text = value.to_string();
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
