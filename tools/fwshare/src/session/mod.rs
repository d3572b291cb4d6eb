//! A login that lives: a thread that owns a port and drives the protocol over it.
//!
//! Everything below this module is a state machine that waits to be called. Here are the thread
//! that calls, the clock, and the queue by which other threads (the clients of exports) hand in
//! their requests.

mod error;
mod export;
mod histogram;
mod input;
mod meter;
mod note;
mod query;
mod rate;
mod reset;
mod watch;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fwshare_export::{Completion, Request};
use ohci_raw::bus::{Eui64, Speed};
use ohci_raw::port::{Port, Waker};
use sbp2::initiator::{Config, Initiator, Login, Logins};
use sbp2::scsi::DiskInfo;
use sbp2::unit::{Quirks, Unit};

pub(crate) use error::SessionError;
pub(crate) use input::sha256;
pub(crate) use meter::{Flow, Latency, Traffic};
pub(crate) use note::Note;
pub(crate) use query::query_logins;
pub(crate) use reset::{Reset, Resetter};
pub(crate) use watch::{State, Watch};

use self::export::ExportedDisk;
use self::worker::{Outlets, Worker};
use crate::service::Turning;

/// How long the end of a session may take: a flush of a large cache, and a logout.
const STOP_PATIENCE: Duration = Duration::from_secs(90);

/// How to log in.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Shut every other initiator out.
    pub(crate) exclusive: bool,
    /// One ORB at a time.
    pub(crate) serialize_io: bool,
    /// How many ORBs at a time otherwise.
    pub(crate) depth: u8,
    /// How long requests wait for a lost login.
    pub(crate) replacement_timeout: Duration,
    /// The most data of one command, in bytes, where it is not to be the default.
    pub(crate) max_transfer: Option<u32>,
    /// Refuse writes.
    pub(crate) read_only: bool,
    /// Where the login is noted for the next process.
    pub(crate) note: Option<Note>,
    /// Quirks beside those of the table; with OVERRIDE instead of them.
    pub(crate) workarounds: Quirks,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            exclusive: false,
            serialize_io: true,
            depth: 8,
            replacement_timeout: Duration::from_secs(120),
            max_transfer: None,
            read_only: false,
            note: None,
            workarounds: Quirks::empty(),
        }
    }
}

/// A logical unit on a bus.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The node that has it.
    pub(crate) eui64: Eui64,
    /// The unit that has it.
    pub(crate) unit: Unit,
    /// Its number.
    pub(crate) lun: u16,
    /// The speed of the path to it.
    pub(crate) speed: Speed,
    /// max_rec of the host's own controller.
    pub(crate) host_max_rec: u8,
}

impl Target {
    fn config(&self, options: &Options) -> Result<Config, SessionError> {
        let agent = self
            .unit
            .management_agent()
            .ok_or(SessionError::NoManagementAgent)?;
        let defaults = Config::shared(self.eui64, agent, self.lun);
        Ok(Config {
            exclusive: options.exclusive,
            login_timeout: self.unit.login_timeout(),
            replacement_timeout: options.replacement_timeout,
            depth: if options.serialize_io {
                1
            } else {
                options.depth
            },
            max_transfer: options.max_transfer.unwrap_or(defaults.max_transfer),
            speed: self.speed,
            max_rec: self.host_max_rec,
            // Nobody else is: see `Session::start`.
            reclaim: true,
            remnant: options.note.as_ref().and_then(Note::read),
            ..defaults
        })
    }
}

/// What a session has found.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    /// The login.
    pub(crate) login: Login,
    /// The disk.
    pub(crate) disk: DiskInfo,
    /// Who else is logged in, if the target tells.
    pub(crate) logins: Option<Logins>,
}

/// Something that another thread wants of the session.
enum Order {
    Request(Request, Completion),
    /// Not to wait long for a lost login any more.
    Hurry,
    Reset(Reset, reset::Reply),
    Stop,
}

/// What a session tells once.
type Verdict<T> = Result<T, SessionError>;

/// A login to a disk that is ready.
pub(crate) struct Session {
    orders: Sender<Order>,
    waker: Waker,
    info: Info,
    watch: Watch,
    turns: Arc<AtomicU64>,
    read_only: bool,
    ended: Receiver<Verdict<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    /// Logs in and brings the disk up.
    ///
    /// # Errors
    /// [`SessionError`]; there is no login then.
    pub(crate) fn start(
        mut port: Box<dyn Port>,
        target: &Target,
        options: &Options,
    ) -> Result<Self, SessionError> {
        let config = target.config(options)?;
        let quirks = target.unit.quirks().with_workarounds(options.workarounds);
        // From here on a login of this host is a remnant.
        port.claim(target.eui64, target.lun)?;
        let range = port.allocate(Initiator::range_length(&config))?;
        let waker = port.waker();
        let watch = Watch::new();
        let turns = Arc::<AtomicU64>::default();
        let (orders, incoming) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let outlets = Outlets {
            watch: watch.clone(),
            turns: Arc::clone(&turns),
            note: options.note.clone(),
        };
        let worker = Worker::new(port, config, quirks, range, incoming, outlets)?;
        let thread = thread::Builder::new()
            .name("session".into())
            .spawn(move || {
                // Nobody may be listening any more.
                let _ = end.send(worker.run(&ready));
            })
            .map_err(SessionError::Thread)?;
        let Ok(info) = is_ready.recv() else {
            let error = ended.recv().ok().and_then(Result::err);
            return Err(error.unwrap_or(SessionError::Died));
        };
        Ok(Self {
            orders,
            waker,
            info,
            watch,
            turns,
            read_only: options.read_only,
            ended,
            thread: Some(thread),
        })
    }

    /// What was found.
    pub(crate) fn info(&self) -> &Info {
        &self.info
    }

    /// Where its state can be seen, also after it has ended.
    pub(crate) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// The disk, to be exported.
    pub(crate) fn disk(&self) -> Arc<dyn fwshare_export::Disk> {
        Arc::new(ExportedDisk::new(
            &self.info.disk,
            self.read_only,
            self.orders.clone(),
            self.waker.clone(),
            self.watch.meter(),
        ))
    }

    /// By which others can have the disk or the bus reset.
    pub(crate) fn resetter(&self) -> Resetter {
        Resetter {
            orders: self.orders.clone(),
            waker: self.waker.clone(),
        }
    }

    /// Waits until the session ends by itself, at most this long. `None`: it lives.
    pub(crate) fn wait(&self, patience: Duration) -> Option<SessionError> {
        match self.ended.recv_timeout(patience) {
            Ok(Ok(())) | Err(RecvTimeoutError::Disconnected) => Some(SessionError::Died),
            Ok(Err(error)) => Some(error),
            Err(RecvTimeoutError::Timeout) => None,
        }
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_alive(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }

    /// From here on a login that is lost, or will be, is not waited for longer than a bus reset
    /// takes: requests fail then, and the session ends.
    pub(crate) fn hurry(&self) {
        // If it is gone, there is nothing to wait for.
        let _ = self.orders.send(Order::Hurry);
        self.waker.wake();
    }

    /// Flushes, logs out and ends the thread; unless `ask`, waits until it does so by itself.
    /// Requests that have not ended are waited for.
    ///
    /// # Errors
    /// [`SessionError::Flush`], [`SessionError::Logout`]; the session has ended all the same.
    pub(crate) fn stop(mut self, ask: bool) -> Result<(), SessionError> {
        if ask {
            // If it is gone, its last word is in `ended`.
            let _ = self.orders.send(Order::Stop);
            self.waker.wake();
        }
        let verdict = match self.ended.recv_timeout(STOP_PATIENCE) {
            Ok(verdict) => verdict,
            Err(RecvTimeoutError::Disconnected) => Err(SessionError::Died),
            Err(RecvTimeoutError::Timeout) => return Err(SessionError::TimedOut(STOP_PATIENCE)),
        };
        if let Some(thread) = self.thread.take() {
            // It has said its last word, so a panic is the only thing that join could tell.
            thread.join().map_err(|_| SessionError::Died)?;
        }
        verdict
    }
}

impl Turning for Session {
    fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    fn poke(&self) {
        self.waker.wake();
    }
}
