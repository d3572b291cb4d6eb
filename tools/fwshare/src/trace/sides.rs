//! Recordings at hosts and recordings at bridges, looked at in the same way.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ohci_raw::trace::{Header, What};

use super::observe::Observer;

/// Who observes a port: one observer at a host's. At a bridge one for each initiator, because each
/// of them chooses where its ORBs and buffers are and knows nothing of the others.
#[derive(Default)]
pub(super) struct Observers {
    at_target: bool,
    guids: BTreeMap<String, String>,
    observers: BTreeMap<String, Observer>,
}

impl Observers {
    /// Those of the header's port with this index.
    pub(super) fn new(header: &Header, port: usize) -> Self {
        let port = header.ports.get(port);
        Self {
            at_target: port.is_some_and(|port| port.machine.is_some()),
            ..Self::default()
        }
    }

    /// Whether a bridge was recorded.
    pub(super) const fn at_target(&self) -> bool {
        self.at_target
    }

    /// What a line is to the initiator.
    pub(super) fn as_initiator<'a>(&self, what: &'a What) -> Cow<'a, What> {
        if self.at_target {
            Cow::Owned(mirrored(what))
        } else {
            Cow::Borrowed(what)
        }
    }

    /// Takes in what a line says of nodes and addresses.
    pub(super) fn observe(&mut self, what: &What) {
        if let What::BusReset { peers, .. } = what {
            let peers = peers.iter();
            self.guids = peers
                .map(|peer| (peer.id.clone(), peer.guid.clone()))
                .collect();
        }
        if !self.at_target {
            self.of("").observe(what);
        }
    }

    /// The one to whom transactions with this node matter.
    pub(super) fn of(&mut self, peer: &str) -> &mut Observer {
        let initiator = match self.guids.get(peer) {
            _ if !self.at_target => String::new(),
            Some(guid) => guid.clone(),
            None => peer.to_owned(),
        };
        self.observers.entry(initiator).or_default()
    }
}

/// What the node at the other end of a transaction would have in its place. It has no speed.
fn mirrored(what: &What) -> What {
    match what.clone() {
        What::Request {
            id,
            src,
            generation,
            op,
        } => What::Send {
            id,
            dest: src,
            generation,
            speed: String::new(),
            op,
        },
        What::Send {
            id,
            dest,
            generation,
            op,
            ..
        } => What::Request {
            id,
            src: dest,
            generation,
            op,
        },
        What::Respond { id, rcode, data } => What::Response { id, rcode, data },
        What::Response { id, rcode, data } => What::Respond { id, rcode, data },
        other => other,
    }
}
