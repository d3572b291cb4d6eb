//! A [`Lab`] in real time, for several threads.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as Clock};

use ohci_raw::bus::Instant;

use crate::lab::Lab;

/// Somebody who hands on what happens on the bus: to waiting programs, to virtual machines.
pub trait Watcher: Send + Sync {
    /// Something has happened. Called with the bus at rest, by whoever made it happen: must not
    /// wait, nor reach for the [`World`].
    fn settle(&self, lab: &mut Lab);

    /// The clock has come round. After how long it is to come again, whatever happens on the bus.
    fn round(&self) -> Option<Duration> {
        None
    }
}

/// A bus with its clock, and with those who watch it.
pub struct World {
    state: Mutex<State>,
    /// Something has become due earlier, or it is over.
    changed: Condvar,
    watchers: RwLock<Vec<Arc<dyn Watcher>>>,
    start: Clock,
}

struct State {
    lab: Lab,
    stopped: bool,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

impl World {
    /// A bus whose time begins now. Something happens by itself as long as there is a
    /// [`Timekeeper`].
    #[must_use]
    pub fn new(lab: Lab) -> Self {
        Self {
            state: Mutex::new(State {
                lab,
                stopped: false,
            }),
            changed: Condvar::new(),
            watchers: RwLock::new(Vec::new()),
            start: Clock::now(),
        }
    }

    /// Adds somebody who watches.
    pub fn add_watcher(&self, watcher: Arc<dyn Watcher>) {
        let mut watchers = self
            .watchers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        watchers.push(watcher);
    }

    /// The time on the bus.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    /// A thread that panicked has left the bus between two steps at worst.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the bus, and then what follows from it for those who watch.
    pub fn with<T>(&self, act: impl FnOnce(&mut Lab, Instant) -> T) -> T {
        let mut state = self.lock();
        let before = state.lab.poll_timeout();
        let result = act(&mut state.lab, self.now());
        self.settle(&mut state.lab);
        if state.lab.poll_timeout() != before {
            self.changed.notify_one();
        }
        result
    }

    fn settle(&self, lab: &mut Lab) {
        let watchers = self.watchers.read().unwrap_or_else(PoisonError::into_inner);
        for watcher in watchers.iter() {
            watcher.settle(lab);
        }
    }

    fn round(&self) -> Option<Duration> {
        let watchers = self.watchers.read().unwrap_or_else(PoisonError::into_inner);
        watchers.iter().filter_map(|watcher| watcher.round()).min()
    }

    /// Has the clock come round soon: for a watcher whose [`Watcher::round`] says something else
    /// now.
    pub fn wake_clock(&self) {
        self.changed.notify_one();
    }

    fn keep_time(&self) {
        let mut state = self.lock();
        while !state.stopped {
            state.lab.handle_timeout(self.now());
            let round = self.round();
            self.settle(&mut state.lab);
            let due = state.lab.poll_timeout();
            let due = due.map(|at| at.saturating_since(self.now()));
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

    fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_one();
    }
}

/// A thread that does on a bus what becomes due. The bus stands still when this is dropped.
#[derive(Debug)]
pub struct Timekeeper {
    world: Arc<World>,
    thread: Option<JoinHandle<()>>,
}

impl Timekeeper {
    /// Starts the thread; one for each bus, once.
    ///
    /// # Errors
    /// What the operating system says of threads.
    pub fn new(world: &Arc<World>) -> io::Result<Self> {
        let keeping = Arc::clone(world);
        let thread = thread::Builder::new().name("clock".to_owned());
        Ok(Self {
            world: Arc::clone(world),
            thread: Some(thread.spawn(move || keeping.keep_time())?),
        })
    }
}

impl Drop for Timekeeper {
    fn drop(&mut self) {
        self.world.stop();
        if let Some(thread) = self.thread.take() {
            // It never panics, and if it did there would be nothing to do about it.
            let _ = thread.join();
        }
    }
}
