//! The host's side of the channel to the guest's agent (`start.sh`).
//!
//! The guest says `ready` when it is up, and `done NUMBER STATUS` for each command that has ended.
//! The host says the number of a command that is to be run, whose script it has put in the folder
//! that both share, or `off`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What has been heard of the guest.
#[derive(Default)]
struct Heard {
    ready: bool,
    done: BTreeMap<u64, i32>,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Heard>,
    changed: Condvar,
}

/// What came of waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait<T> {
    /// It came.
    Came(T),
    /// The guest is gone.
    Ended,
    /// It did not come in time.
    TimedOut,
}

/// The channel.
#[derive(Clone)]
pub(super) struct Agent {
    shared: Arc<Shared>,
    input: Arc<Mutex<ChildStdin>>,
}

impl Agent {
    /// Listens to the guest from now on, until it is gone.
    pub(super) fn new(input: ChildStdin, output: ChildStdout) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let listening = Arc::clone(&shared);
        thread::Builder::new()
            .name("guest".into())
            .spawn(move || listen(&listening, output))?;
        let input = Arc::new(Mutex::new(input));
        Ok(Self { shared, input })
    }

    /// Says a line. That it does not arrive shows when an answer is waited for.
    pub(super) fn say(&self, line: &str) {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = input.write_all(format!("{line}\n").as_bytes());
    }

    /// Waits until the guest is up.
    pub(super) fn ready(&self, limit: Duration) -> Wait<()> {
        self.wait(limit, |heard| heard.ready.then_some(()))
    }

    /// Waits for a command's end, for its exit status.
    pub(super) fn done(&self, number: u64, limit: Duration) -> Wait<i32> {
        self.wait(limit, |heard| heard.done.get(&number).copied())
    }

    /// Waits for the guest's end.
    pub(super) fn ended(&self, limit: Duration) -> bool {
        self.wait::<()>(limit, |_| None) == Wait::Ended
    }

    fn wait<T>(&self, limit: Duration, came: impl Fn(&Heard) -> Option<T>) -> Wait<T> {
        let until = Instant::now() + limit;
        let mut heard = self.shared.lock();
        loop {
            if let Some(came) = came(&heard) {
                return Wait::Came(came);
            }
            if heard.ended {
                return Wait::Ended;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Wait::TimedOut;
            }
            let waited = self.shared.changed.wait_timeout(heard, left);
            heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen(shared: &Shared, output: ChildStdout) {
    for line in BufReader::new(output).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        let words: Vec<_> = line.split_whitespace().collect();
        let mut heard = shared.lock();
        match words[..] {
            ["ready"] => heard.ready = true,
            ["done", number, status] => {
                if let (Ok(number), Ok(status)) = (number.parse(), status.parse()) {
                    heard.done.insert(number, status);
                }
            }
            // Nothing that the guest says can do harm.
            _ => tracing::debug!(%line, "the guest says what is not understood"),
        }
        drop(heard);
        shared.changed.notify_all();
    }
    shared.lock().ended = true;
    shared.changed.notify_all();
}
