//! Takes the data of sectors out of a recording.

use std::collections::BTreeMap;

use ohci_raw::trace::{Op, Payload, Recording, What};
use serde_json::Value;

use super::observe::{Meaning, Observer};
use crate::session::sha256;

#[derive(Default)]
struct Port {
    observer: Observer,
    /// Reads of the target that wait for their answer.
    reads: BTreeMap<u64, Op>,
    /// Requests of this host under way, and whether it is known what they are.
    sent: BTreeMap<u64, bool>,
}

/// The same recording without the data of sectors. What is not known to be something else is
/// taken for it.
pub(super) fn scrub(mut recording: Recording) -> Recording {
    let mut ports: BTreeMap<usize, Port> = BTreeMap::new();
    for (_, line) in &mut recording.lines {
        let port = ports.entry(line.port).or_default();
        port.observer.observe(&line.what);
        match &mut line.what {
            What::Send { id, op, .. } => {
                let is_known = port.observer.sent(op) != Meaning::Unknown;
                port.sent.insert(*id, is_known);
                if !is_known {
                    hide(&mut op.data);
                }
            }
            What::Response { id, data, .. } => {
                let is_known = port.sent.remove(id).unwrap_or_default();
                if !is_known {
                    hide(data);
                }
            }
            What::Request { id, op, .. } if op.tcode.starts_with("read") => {
                port.reads.insert(*id, op.clone());
            }
            // At once: where the recording was cut off, no answer follows.
            What::Request { op, .. } => {
                let (meaning, _) = port.observer.came(op, None);
                if is_secret(&meaning) {
                    hide(&mut op.data);
                }
            }
            What::Respond { id, data, .. } => {
                let meaning = match port.reads.remove(id) {
                    Some(op) => port.observer.came(&op, Some(data)).0,
                    None => Meaning::Unknown,
                };
                if is_secret(&meaning) {
                    hide(data);
                }
            }
            What::Input(value) => hide_input(value),
            What::Output(value) => mark(value),
            _ => {}
        }
    }
    recording.header.scrubbed = true;
    recording
}

const fn is_secret(meaning: &Meaning) -> bool {
    matches!(
        meaning,
        Meaning::Data { sectors: true, .. } | Meaning::Unknown
    )
}

fn hide(data: &mut Payload) {
    if data.is_empty() || data.is_scrubbed() {
        return;
    }
    // What is not hexadecimal is nobody's data, but who knows.
    let bytes = data.bytes().unwrap_or_default();
    *data = Payload::Scrubbed {
        length: bytes.len(),
        sha256: sha256(&bytes),
    };
}

/// What a client wanted written.
fn hide_input(value: &mut Value) {
    let Some(data) = value
        .get_mut("write")
        .and_then(|write| write.get_mut("data"))
    else {
        return;
    };
    if let Ok(mut payload) = serde_json::from_value::<Payload>(data.clone()) {
        hide(&mut payload);
        if let Ok(hidden) = serde_json::to_value(payload) {
            *data = hidden;
        }
    }
}

/// What came of a read has another digest when it is replayed.
fn mark(value: &mut Value) {
    if let Some(object) = value.as_object_mut()
        && object.contains_key("sha256")
    {
        object.insert("scrubbed".to_owned(), true.into());
    }
}
