//! Resets that somebody wants of a session.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use ohci_raw::port::Waker;
use sbp2::initiator::ManagementError;
use sbp2::wire::Function;
use serde::{Deserialize, Serialize};

use super::{Order, SessionError, Verdict};

/// How long a reset may take. The kernel puts a bus reset off for up to four seconds, and the
/// reconnect follows.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is to be reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reset {
    /// LOGICAL UNIT RESET.
    LogicalUnit,
    /// TARGET RESET.
    Target,
    /// A short bus reset.
    Bus,
}

impl Reset {
    /// The task management function for it, unless it is for the bus.
    pub(super) const fn function(self) -> Option<Function> {
        match self {
            Self::LogicalUnit => Some(Function::LOGICAL_UNIT_RESET),
            Self::Target => Some(Function::TARGET_RESET),
            Self::Bus => None,
        }
    }
}

/// Where it is said what came of a reset.
pub(super) type Reply = Sender<Verdict<()>>;

/// By which others have a session do resets.
#[derive(Clone, Debug)]
pub(crate) struct Resetter {
    pub(super) orders: Sender<Order>,
    pub(super) waker: Waker,
}

impl Resetter {
    /// Has it done, and waits for that: for the target's answer, or for the reconnect.
    ///
    /// # Errors
    /// [`SessionError::Reset`], [`SessionError::Port`], [`SessionError::TimedOut`];
    /// [`SessionError::Died`] if the session ends meanwhile.
    pub(crate) fn reset(&self, reset: Reset) -> Verdict<()> {
        let (reply, answer): (Reply, Receiver<_>) = mpsc::channel();
        if self.orders.send(Order::Reset(reset, reply)).is_err() {
            return Err(SessionError::Died);
        }
        self.waker.wake();
        match answer.recv_timeout(PATIENCE) {
            Ok(verdict) => verdict,
            Err(RecvTimeoutError::Disconnected) => Err(SessionError::Died),
            Err(RecvTimeoutError::Timeout) => Err(SessionError::TimedOut(PATIENCE)),
        }
    }
}

/// Those who wait for what comes of a reset.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<(Reset, Reply)>);

impl Waiting {
    pub(super) fn add(&mut self, reset: Reset, reply: Reply) {
        self.0.push((reset, reply));
    }

    /// The target has answered.
    pub(super) fn answered(&mut self, function: Function, result: Result<(), ManagementError>) {
        let asked = |(reset, _): &(Reset, Reply)| reset.function() == Some(function);
        if let Some(index) = self.0.iter().position(asked) {
            // Nobody may be listening any more.
            let _ = self
                .0
                .remove(index)
                .1
                .send(result.map_err(SessionError::Reset));
        }
    }

    /// A bus reset is over: there is a login again, or none.
    pub(super) fn bus_was_reset(&mut self) {
        self.0.retain(|(reset, reply)| {
            let over = *reset == Reset::Bus;
            if over {
                let _ = reply.send(Ok(()));
            }
            !over
        });
    }
}
