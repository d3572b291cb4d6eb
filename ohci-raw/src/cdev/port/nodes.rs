//! The files of one card, and who can be reached through which of them now.

use std::collections::BTreeMap;

use crate::bus::{BusReset, Generation, NodeId, Peer};
use crate::cdev::device::NodeFile;
use crate::cdev::discovery::FoundNode;
use crate::cdev::error::DeviceError;
use crate::cdev::event::BusState;

/// Names a file for as long as the port lives. Never given twice, so that a late notice about a
/// file that was closed cannot be mistaken for one about its successor.
pub(super) type Key = u64;

/// The controller's own file.
pub(super) const LOCAL: Key = 0;

pub(super) struct Nodes<F> {
    local: FoundNode<F>,
    remotes: BTreeMap<Key, FoundNode<F>>,
    last_key: Key,
    /// The last bus reset that the owner was told of.
    told: Option<BusReset>,
}

impl<F: NodeFile> Nodes<F> {
    pub(super) fn new(local: FoundNode<F>) -> Self {
        Self {
            local,
            remotes: BTreeMap::new(),
            last_key: LOCAL,
            told: None,
        }
    }

    pub(super) fn next_key(&mut self) -> Key {
        self.last_key += 1;
        self.last_key
    }

    pub(super) fn add(&mut self, key: Key, node: FoundNode<F>) {
        self.remotes.insert(key, node);
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<FoundNode<F>> {
        self.remotes.remove(&key)
    }

    pub(super) fn local(&self) -> &FoundNode<F> {
        &self.local
    }

    pub(super) fn get(&self, key: Key) -> Option<&FoundNode<F>> {
        match key {
            LOCAL => Some(&self.local),
            key => self.remotes.get(&key),
        }
    }

    /// Every file, the controller's first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &FoundNode<F>)> {
        let remotes = self.remotes.iter().map(|(&key, node)| (key, node));
        std::iter::once((LOCAL, &self.local)).chain(remotes)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.iter().map(|(_, node)| node.file.name()).collect()
    }

    pub(super) fn card(&self) -> u32 {
        self.local.info.card
    }

    /// The controller's state as last looked at.
    pub(super) fn state(&self) -> BusState {
        self.local.info.state
    }

    /// The file through which a node is reached. The controller reaches itself through its own.
    pub(super) fn find(&self, node: NodeId, generation: Generation) -> Option<(Key, &F)> {
        self.iter()
            .find(|(_, found)| {
                let state = found.info.state;
                state.node == node && state.generation == generation
            })
            .map(|(key, found)| (key, &found.file))
    }

    /// Looks at every node anew. Returns the ones that cannot be looked at any more.
    ///
    /// The kernel changes node ids and generations of all nodes at once, under the lock that
    /// GET_INFO takes (`fw_core_handle_bus_reset` in `core-topology.c`), so that one look after
    /// the controller's bus-reset event is enough for all nodes that are still there.
    ///
    /// # Errors
    /// The controller itself cannot be looked at.
    pub(super) fn refresh(&mut self) -> Result<Vec<(Key, DeviceError)>, DeviceError> {
        self.local.info = self.local.file.info()?;
        let keys: Vec<Key> = self.remotes.keys().copied().collect();
        Ok(keys
            .into_iter()
            .filter_map(|key| Some((key, self.refresh_remote(key).err()?)))
            .collect())
    }

    /// Looks at one remote node anew.
    pub(super) fn refresh_remote(&mut self, key: Key) -> Result<(), DeviceError> {
        if let Some(node) = self.remotes.get_mut(&key) {
            node.info = node.file.info()?;
        }
        Ok(())
    }

    /// What the owner of the port does not know yet: a new generation, or more of its peers.
    pub(super) fn news(&mut self) -> Option<BusReset> {
        // Not the card's `local`: that one is always up to date, and the generation of a file can
        // lag behind it when the kernel has skipped a generation and looks at all nodes anew.
        let BusState {
            node: local,
            generation,
            ..
        } = self.state();
        let peers: Vec<Peer> = self
            .remotes
            .values()
            .filter(|node| node.info.state.generation == generation)
            .filter_map(|node| {
                Some(Peer {
                    node: node.info.state.node,
                    eui64: node.info.eui64()?,
                })
            })
            .collect();
        if let Some(told) = &self.told
            && told.generation == generation
            && told.local == local
            && peers.iter().all(|peer| told.peers.contains(peer))
        {
            return None;
        }
        let news = BusReset {
            generation,
            local,
            peers,
        };
        self.told = Some(news.clone());
        Some(news)
    }
}
