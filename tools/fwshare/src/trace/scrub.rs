//! Takes the data of sectors out of a recording.

use std::collections::BTreeMap;

use ohci_raw::trace::{Op, Payload, Recording, What};
use serde_json::Value;

use super::observe::Meaning;
use super::sides::Observers;
use crate::session::sha256;

#[derive(Default)]
struct Port {
    observers: Observers,
    /// Reads of the target that wait for their answer, and whom they ask.
    reads: BTreeMap<u64, (String, Op)>,
    /// Requests of the initiator under way, and whether it is known what they are.
    sent: BTreeMap<u64, bool>,
}

impl Port {
    fn initiator_asks(&mut self, id: u64, peer: &str, op: &mut Op) {
        let is_known = self.observers.of(peer).sent(op) != Meaning::Unknown;
        self.sent.insert(id, is_known);
        if !is_known {
            hide(&mut op.data);
        }
    }

    fn target_answers(&mut self, id: u64, data: &mut Payload) {
        if !self.sent.remove(&id).unwrap_or_default() {
            hide(data);
        }
    }

    fn target_asks(&mut self, id: u64, peer: &str, op: &mut Op) {
        if op.tcode.starts_with("read") {
            self.reads.insert(id, (peer.to_owned(), op.clone()));
            return;
        }
        // At once: where the recording was cut off, no answer follows.
        let (meaning, _) = self.observers.of(peer).came(op, None);
        if is_secret(&meaning) {
            hide(&mut op.data);
        }
    }

    fn initiator_answers(&mut self, id: u64, data: &mut Payload) {
        let meaning = match self.reads.remove(&id) {
            Some((peer, op)) => self.observers.of(&peer).came(&op, Some(data)).0,
            None => Meaning::Unknown,
        };
        if is_secret(&meaning) {
            hide(data);
        }
    }
}

/// The same recording without the data of sectors. What is not known to be something else is
/// taken for it.
pub(super) fn scrub(mut recording: Recording) -> Recording {
    let mut ports: BTreeMap<usize, Port> = BTreeMap::new();
    for (_, line) in &mut recording.lines {
        let port = ports.entry(line.port).or_insert_with(|| Port {
            observers: Observers::new(&recording.header, line.port),
            ..Port::default()
        });
        port.observers.observe(&line.what);
        let at_target = port.observers.at_target();
        match &mut line.what {
            What::Send { id, dest, op, .. } if at_target => port.target_asks(*id, dest, op),
            What::Send { id, dest, op, .. } => port.initiator_asks(*id, dest, op),
            What::Request { id, src, op, .. } if at_target => port.initiator_asks(*id, src, op),
            What::Request { id, src, op, .. } => port.target_asks(*id, src, op),
            What::Response { id, data, .. } if at_target => port.initiator_answers(*id, data),
            What::Response { id, data, .. } => port.target_answers(*id, data),
            What::Respond { id, data, .. } if at_target => port.target_answers(*id, data),
            What::Respond { id, data, .. } => port.initiator_answers(*id, data),
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

#[cfg(test)]
mod tests {
    use ohci_raw::trace::{Header, PortHeader, SCHEMA};

    use super::*;

    /// What one initiator says of its memory is no word on another's.
    #[test]
    fn what_is_an_orb_of_one_initiator_is_data_of_another() {
        const ORB: &str = r#""000000001000","len":32"#;
        let lines = [
            r#""bus_reset":{"gen":1,"local":"ffc0","peers":[{"id":"ffc1","guid":"a"},{"id":"ffc2","guid":"b"}]}"#.to_owned(),
            r#""request":{"id":1,"src":"ffc1","gen":1,"tcode":"write_block","addr":"fffff0030000","data":"00000000 00001000"}"#.to_owned(),
            format!(r#""send":{{"id":1,"dest":"ffc1","gen":1,"speed":"S100","tcode":"read_block","addr":{ORB}}}"#),
            r#""response":{"id":1,"rcode":0,"data":"11111111"}"#.to_owned(),
            format!(r#""send":{{"id":2,"dest":"ffc2","gen":1,"speed":"S100","tcode":"read_block","addr":{ORB}}}"#),
            r#""response":{"id":2,"rcode":0,"data":"22222222"}"#.to_owned(),
            r#""bus_reset":{"gen":2,"local":"ffc0","peers":[{"id":"ffc1","guid":"b"},{"id":"ffc2","guid":"a"}]}"#.to_owned(),
            format!(r#""send":{{"id":3,"dest":"ffc2","gen":2,"speed":"S100","tcode":"read_block","addr":{ORB}}}"#),
            r#""response":{"id":3,"rcode":0,"data":"33333333"}"#.to_owned(),
        ];
        let lines = lines.iter().map(|line| {
            let line = format!(r#"{{"port":0,"at":0,{line}}}"#);
            serde_json::from_str(&line).unwrap()
        });
        let port = PortHeader {
            bus: 0,
            name: "bridge0".into(),
            machine: Some("size=1M".into()),
        };
        let scrubbed = scrub(Recording {
            path: "x".into(),
            header: Header {
                schema: SCHEMA,
                tool: "test".into(),
                command: vec![],
                ports: vec![port],
                scrubbed: false,
            },
            lines: (2..).zip(lines).collect(),
        });
        let responses = scrubbed
            .lines
            .iter()
            .filter_map(|(_, line)| match &line.what {
                What::Response { data, .. } => Some(data.is_scrubbed()),
                _ => None,
            });
        assert_eq!(responses.collect::<Vec<_>>(), [false, true, false]);
    }
}
