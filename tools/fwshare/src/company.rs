//! The other hosts of an emulated bus, for the verbs that only look.

use ohci_raw::port::Port;

use crate::device::Place;
use crate::session::{Options, Session};

/// Hosts that are logged in so that there is something to see.
pub(crate) struct Company(Vec<Session>);

impl Company {
    /// Logs a host in at each of these ports, as far as the target lets them.
    pub(crate) fn join(ports: Vec<Box<dyn Port>>, place: &Place<'_>) -> Self {
        let target = place.target();
        let login = |port| match Session::start(port, &target, &Options::default()) {
            Ok(session) => Some(session),
            Err(error) => {
                tracing::warn!("one of the other hosts is not logged in: {error}");
                None
            }
        };
        Self(ports.into_iter().filter_map(login).collect())
    }

    /// Logs them out.
    pub(crate) fn leave(self) {
        for session in self.0 {
            if let Err(error) = session.stop(true) {
                tracing::warn!("one of the other hosts is not logged out: {error}");
            }
        }
    }
}
