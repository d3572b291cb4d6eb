//! Who waits for what: reads that are parked until there is an event, and polls.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use fuser::{Errno, Notifier, PollHandle, ReplyData};
use nix::unistd::Pid;

use super::signals;
use crate::kernel::ClientId;
use crate::lab::Lab;
use crate::world::Watcher;

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

#[derive(Default)]
struct State {
    parked: Vec<Parked>,
    polls: HashMap<Opener, PollHandle>,
}

/// The programs that wait.
#[derive(Default)]
pub(super) struct Waiting {
    state: Mutex<State>,
    notifier: OnceLock<Notifier>,
}

impl Waiting {
    pub(super) fn set_notifier(&self, notifier: Notifier) {
        // There is one mount, and this is called once.
        let _ = self.notifier.set(notifier);
    }

    /// Always after the bus, where both are held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a read wait.
    pub(super) fn park(&self, opener: Opener, thread: Pid, room: usize, reply: ReplyData) {
        self.lock().parked.push(Parked {
            opener,
            thread,
            room,
            reply,
        });
    }

    /// Whom to tell when there is something for an opener.
    pub(super) fn watch(&self, opener: Opener, handle: PollHandle) {
        self.lock().polls.insert(opener, handle);
    }

    /// Forgets an opener.
    pub(super) fn forget(&self, opener: Opener) {
        let mut state = self.lock();
        state.polls.remove(&opener);
        let all = std::mem::take(&mut state.parked);
        let (over, waiting) = all.into_iter().partition(|parked| parked.opener == opener);
        state.parked = waiting;
        let over: Vec<Parked> = over;
        for parked in over {
            parked.reply.error(Errno::EBADF);
        }
    }

    /// Ends the reads that wait: the bus is gone.
    pub(super) fn end(&self) {
        for parked in std::mem::take(&mut self.lock().parked) {
            parked.reply.error(Errno::ENODEV);
        }
    }
}

impl State {
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
    fn wake(&mut self, lab: &mut Lab, woken: &[Opener]) {
        let all = std::mem::take(&mut self.parked);
        for parked in all {
            if !woken.contains(&parked.opener) {
                self.parked.push(parked);
                continue;
            }
            let (host, client) = parked.opener;
            match lab.read(host, client) {
                Ok(None) => self.parked.push(parked),
                Ok(Some(event)) => parked.reply.data(cut(&event, parked.room)),
                Err(error) => parked.reply.error(errno(error)),
            }
        }
    }
}

impl Watcher for Waiting {
    fn settle(&self, lab: &mut Lab) {
        let woken = lab.take_woken();
        if woken.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.wake(lab, &woken);
        for opener in woken {
            let Some(handle) = state.polls.remove(&opener) else {
                continue;
            };
            if let Some(Err(error)) = self.notifier.get().map(|notifier| notifier.poll(handle)) {
                tracing::debug!(%error, "nobody waits any more");
            }
        }
    }

    fn round(&self) -> Option<Duration> {
        let mut state = self.lock();
        state.interrupt();
        (!state.parked.is_empty()).then_some(SIGNAL_ROUND)
    }
}

/// What of an event fits: the rest is lost, as the kernel has it.
pub(super) fn cut(event: &[u8], room: usize) -> &[u8] {
    event.get(..room).unwrap_or(event)
}

pub(super) fn errno(error: nix::errno::Errno) -> Errno {
    Errno::from_i32(error as i32)
}
