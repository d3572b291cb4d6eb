//! What a session shows of itself to other threads.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use ohci_raw::bus::{Generation, NodeId};
use ohci_raw::port::PortCounters;
use sbp2::initiator::Counters;

use super::meter::{Meter, Traffic};

/// A session as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    /// The name of the login, while there is one that can be used.
    pub(crate) login_id: Option<u16>,
    /// The target's node id and the generation in which it holds, while it is on the bus.
    pub(crate) node: Option<(NodeId, Generation)>,
    /// Writes that were reported as done may be lost, and no flush has told it yet.
    pub(crate) writes_in_doubt: bool,
    /// What has happened so far.
    pub(crate) counters: Counters,
    /// What the port put right on its own.
    pub(crate) port: PortCounters,
}

/// Something that went wrong, though the session lives.
#[derive(Clone, Debug)]
pub(crate) struct Mishap {
    pub(crate) at: SystemTime,
    pub(crate) text: String,
}

/// Where the session's thread shows its state to others.
#[derive(Clone, Debug)]
pub(crate) struct Watch(Arc<Shown>);

#[derive(Debug)]
struct Shown {
    state: Mutex<State>,
    last_mishap: Mutex<Option<Mishap>>,
    meter: Arc<Meter>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shown {
            state: Mutex::default(),
            last_mishap: Mutex::default(),
            meter: Arc::new(Meter::new()),
        }))
    }

    pub(crate) fn state(&self) -> State {
        *lock(&self.0.state)
    }

    /// What clients ask, and how it goes.
    pub(crate) fn traffic(&self) -> Traffic {
        self.0.meter.show()
    }

    /// What went wrong last.
    pub(crate) fn last_mishap(&self) -> Option<Mishap> {
        lock(&self.0.last_mishap).clone()
    }

    pub(super) fn show(&self, state: State) {
        *lock(&self.0.state) = state;
    }

    pub(super) fn note_mishap(&self, text: impl Display) {
        *lock(&self.0.last_mishap) = Some(Mishap {
            at: SystemTime::now(),
            text: text.to_string(),
        });
    }

    pub(super) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.0.meter)
    }
}

fn lock<T>(shown: &Mutex<T>) -> MutexGuard<'_, T> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}
