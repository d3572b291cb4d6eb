//! Takes the data of sectors out of a recording.

use std::collections::BTreeMap;

use ohci_raw::trace::{Op, Payload, Recording, What};
use serde_json::Value;

use super::observe::{Meaning, Observer};
use crate::session::sha256;

#[derive(Default)]
struct Port {
    observer: Observer,
    /// Where a request stands among the lines.
    came: BTreeMap<u64, (usize, Op)>,
}

/// The same recording without the data of sectors. What is not known to be something else is
/// taken for it.
pub(super) fn scrub(mut recording: Recording) -> Recording {
    let mut ports: BTreeMap<usize, Port> = BTreeMap::new();
    for at in 0..recording.lines.len() {
        let (_, line) = &mut recording.lines[at];
        let port = ports.entry(line.port).or_default();
        port.observer.observe(&line.what);
        match &mut line.what {
            What::Send { op, .. } => {
                port.observer.sent(op);
            }
            What::Request { id, op, .. } => {
                port.came.insert(*id, (at, op.clone()));
            }
            What::Respond { id, data, .. } => {
                let Some((request, op)) = port.came.remove(id) else {
                    continue;
                };
                let (meaning, _) = port.observer.came(&op, Some(data));
                if matches!(
                    meaning,
                    Meaning::Data { sectors: true, .. } | Meaning::Unknown
                ) {
                    hide(data);
                    if let What::Request { op, .. } = &mut recording.lines[request].1.what {
                        hide(&mut op.data);
                    }
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

fn hide(data: &mut Payload) {
    if let (false, false, Some(bytes)) = (data.is_empty(), data.is_scrubbed(), data.bytes()) {
        *data = Payload::Scrubbed {
            length: bytes.len(),
            sha256: sha256(&bytes),
        };
    }
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
