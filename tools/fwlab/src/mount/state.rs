//! What the threads share: the bus, its clock, and who waits for what.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant as Clock};

use fuser::{Errno, Notifier, PollHandle, ReplyData};
use nix::unistd::Pid;
use ohci_raw::bus::Instant;

use super::signals;
use crate::kernel::ClientId;
use crate::lab::Lab;

/// How often it is looked whether a thread that waits has a signal to handle.
const SIGNAL_ROUND: Duration = Duration::from_millis(50);

/// An opener of a node's file: of which host, and which of its kernel's clients.
pub(super) type Opener = (usize, ClientId);

/// A read(2) that waits for an event.
struct Parked {
    opener: Opener,
    thread: Pid,
    room: usize,
    reply: ReplyData,
}

/// The bus and its users.
pub(super) struct State {
    pub(super) lab: Lab,
    parked: Vec<Parked>,
    polls: HashMap<Opener, PollHandle>,
    stopped: bool,
}

impl State {
    /// Lets a read wait.
    pub(super) fn park(&mut self, opener: Opener, thread: Pid, room: usize, reply: ReplyData) {
        self.parked.push(Parked {
            opener,
            thread,
            room,
            reply,
        });
    }

    /// Whom to tell when there is something for an opener.
    pub(super) fn watch(&mut self, opener: Opener, handle: PollHandle) {
        self.polls.insert(opener, handle);
    }

    /// Forgets an opener.
    pub(super) fn forget(&mut self, opener: Opener) {
        self.polls.remove(&opener);
        let all = std::mem::take(&mut self.parked);
        let (over, waiting) = all.into_iter().partition(|parked| parked.opener == opener);
        self.parked = waiting;
        let over: Vec<Parked> = over;
        for parked in over {
            parked.reply.error(Errno::EBADF);
        }
    }

    fn interrupt(&mut self) {
        let all = std::mem::take(&mut self.parked);
        for parked in all {
            if signals::is_wanted(parked.thread) {
                parked.reply.error(Errno::EINTR);
            } else {
                self.parked.push(parked);
            }
        }
    }

    /// Serves the reads that wait for these.
    fn wake(&mut self, woken: &[Opener]) {
        let all = std::mem::take(&mut self.parked);
        for parked in all {
            if !woken.contains(&parked.opener) {
                self.parked.push(parked);
                continue;
            }
            let (host, client) = parked.opener;
            match self.lab.read(host, client) {
                Ok(None) => self.parked.push(parked),
                Ok(Some(event)) => parked.reply.data(cut(&event, parked.room)),
                Err(error) => parked.reply.error(errno(error)),
            }
        }
    }
}

/// What of an event fits: the rest is lost, as the kernel has it.
pub(super) fn cut(event: &[u8], room: usize) -> &[u8] {
    event.get(..room).unwrap_or(event)
}

pub(super) fn errno(error: nix::errno::Errno) -> Errno {
    Errno::from_i32(error as i32)
}

pub(super) struct World {
    state: Mutex<State>,
    /// Something has become due earlier, or it is over.
    changed: Condvar,
    notifier: OnceLock<Notifier>,
    start: Clock,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

impl World {
    pub(super) fn new(lab: Lab) -> Self {
        Self {
            state: Mutex::new(State {
                lab,
                parked: Vec::new(),
                polls: HashMap::new(),
                stopped: false,
            }),
            changed: Condvar::new(),
            notifier: OnceLock::new(),
            start: Clock::now(),
        }
    }

    pub(super) fn set_notifier(&self, notifier: Notifier) {
        // There is one mount, and this is called once.
        let _ = self.notifier.set(notifier);
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    /// A thread that panicked has left the bus between two steps at worst.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the bus, and then what follows from it for those who wait.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = act(&mut state, self.now());
        self.settle(&mut state);
        self.changed.notify_one();
        result
    }

    fn settle(&self, state: &mut State) {
        let woken = state.lab.take_woken();
        state.wake(&woken);
        for opener in woken {
            let Some(handle) = state.polls.remove(&opener) else {
                continue;
            };
            if let Some(Err(error)) = self.notifier.get().map(|notifier| notifier.poll(handle)) {
                tracing::debug!(%error, "nobody waits any more");
            }
        }
    }

    /// Runs the bus's clock, until [`Self::stop`].
    pub(super) fn keep_time(&self) {
        let mut state = self.lock();
        while !state.stopped {
            state.lab.handle_timeout(self.now());
            state.interrupt();
            self.settle(&mut state);
            let due = state.lab.poll_timeout();
            let due = due.map(|at| at.saturating_since(self.now()));
            let round = (!state.parked.is_empty()).then_some(SIGNAL_ROUND);
            state = match due.into_iter().chain(round).min() {
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    /// Ends the clock, and the reads that wait.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        for parked in std::mem::take(&mut state.parked) {
            parked.reply.error(Errno::ENODEV);
        }
        self.changed.notify_one();
    }
}
