//! What a login serves, for those who ask for its status. The login's own thread keeps it true.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::message::Device;

/// What one host serves now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Served {
    /// How many use each export, for those that can tell.
    pub(crate) clients: BTreeMap<String, usize>,
    /// The block devices.
    pub(crate) devices: Vec<Device>,
}

/// What each host serves now. A clone shows the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Mutex<Vec<Served>>>);

impl Board {
    pub(crate) fn show(&self, served: Vec<Served>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = served;
    }

    pub(super) fn read(&self) -> Vec<Served> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
