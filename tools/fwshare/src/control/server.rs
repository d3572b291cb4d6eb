//! A login's end of its socket.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use super::board::Board;
use super::message::{Answer, Device, Ended, HostStatus, LastError, Status, Wish};
use super::{PREFIX, SUFFIX, run_folder};
use crate::error::Failure;
use crate::session::{Reset, Resetter, SessionError, State, Watch};
use crate::words::rfc3339;

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest wish.
const LINE_MAX: u64 = 4096;

/// What a login can tell of itself.
pub(crate) struct Source {
    /// Everything but what changes.
    pub(crate) status: Status,
    pub(crate) start: Instant,
    /// Where that can be seen, for each host.
    pub(crate) watches: Vec<Watch>,
    /// By which each host has something reset.
    pub(crate) resetters: Vec<Resetter>,
    /// What each host serves.
    pub(crate) board: Board,
}

/// How a login is asked to end.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// Asks for it.
    pub(crate) stop: Sender<()>,
    /// Whether it is not to wait for those who use its devices.
    pub(crate) by_force: Arc<AtomicBool>,
}

impl Source {
    fn now(&self) -> Status {
        let mut status = self.status.clone();
        status.uptime_s = self.start.elapsed().as_secs();
        for (host, watch) in status.hosts.iter_mut().zip(&self.watches) {
            update(host, &watch.state());
            host.traffic = watch.traffic();
            host.last_error = watch.last_mishap().map(|mishap| LastError {
                at: rfc3339(mishap.at),
                message: mishap.text,
            });
        }
        for (host, served) in status.hosts.iter_mut().zip(self.board.read()) {
            host.clients = served.clients;
            host.devices = served.devices.into_iter().map(Device::looked_at).collect();
        }
        status
    }

    /// The devices that a file system is on, or something else.
    fn in_use(&self) -> Vec<Device> {
        let served = self.board.read().into_iter();
        let devices = served.flat_map(|served| served.devices);
        let devices = devices.map(Device::looked_at);
        devices.filter(Device::is_in_use).collect()
    }

    /// Has it done by the first host: all are on one bus, with one disk.
    fn reset(&self, reset: Reset) -> Ended {
        let verdict = match self.resetters.first() {
            Some(resetter) => resetter.reset(reset),
            None => Err(SessionError::Died),
        };
        match verdict {
            Ok(()) => Ended {
                exit_code: 0,
                message: None,
            },
            Err(error) => Ended {
                exit_code: error.exit_code(),
                message: Some(error.to_string()),
            },
        }
    }
}

fn update(host: &mut HostStatus, state: &State) {
    let counters = &state.counters;
    host.login_id = state.login_id;
    host.node_id = state.node.map(|(node, _)| format!("0x{node}"));
    host.generation = state.node.map(|(_, generation)| generation.0);
    host.bus_resets = counters.bus_resets;
    host.reconnects = counters.reconnects;
    host.logins = counters.logins;
    host.orbs = counters.orbs;
    host.reissued = counters.reissued;
    host.timeouts = counters.timeouts;
    host.stale_status = counters.stale_status;
    host.unsolicited_status = counters.unsolicited_status;
    let own = counters.refusals.iter();
    let own = own.map(|(refusal, count)| (refusal.name(), count));
    let port = &state.port;
    let of_port = [
        ("foreign_card", port.foreign_card),
        ("old_generation", port.stale_requests),
        ("nothing_there", port.unclaimed),
        ("unsupported", port.unsupported),
        ("stray_responses", port.stray_responses),
        ("malformed_events", port.malformed_events),
        ("unknown_events", port.unknown_events),
    ];
    let mut refused = BTreeMap::new();
    for (name, count) in own.chain(of_port) {
        // Some kinds are found out by either, whoever sees them first.
        *refused.entry(name.to_owned()).or_default() += count;
    }
    host.refused = refused;
}

/// A login's socket. Gone when dropped.
pub(crate) struct Control {
    path: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    source: Source,
    ending: Mutex<Ending>,
    /// Those who wait for the end.
    waiting: Mutex<Vec<UnixStream>>,
}

impl Control {
    /// Opens the socket. By `ending` the login is ended.
    ///
    /// # Errors
    /// The folder or the socket cannot be had; the login can do without.
    pub(crate) fn open(
        run_dir: Option<&Path>,
        source: Source,
        ending: Ending,
    ) -> Result<Self, Failure> {
        let folder = run_folder(run_dir)?;
        let path = folder.join(format!("{PREFIX}{}{SUFFIX}", process::id()));
        let failed = |error: io::Error| {
            Failure::from(anyhow::anyhow!("the socket {}: {error}", path.display()))
        };
        // Under another name until somebody listens: what nobody listens at is taken for a
        // remnant. An earlier process may have had this id.
        let new = path.with_extension("new");
        let _ = fs::remove_file(&new);
        let listener = UnixListener::bind(&new).map_err(failed)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        fs::rename(&new, &path).map_err(failed)?;
        let shared = Arc::new(Shared {
            source,
            ending: Mutex::new(ending),
            waiting: Mutex::new(Vec::new()),
        });
        let serve = Arc::clone(&shared);
        thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    if let Err(error) = Shared::hear(&serve, stream) {
                        tracing::debug!(%error, "somebody hung up");
                    }
                }
            })
            .map_err(failed)?;
        Ok(Self { path, shared })
    }

    /// Tells those who wait how the login has ended.
    pub(crate) fn close(self, result: &Result<(), Failure>) {
        let ended = Answer::Ended(match result {
            Ok(()) => Ended {
                exit_code: 0,
                message: None,
            },
            Err(failure) => Ended {
                exit_code: failure.code(),
                message: Some(failure.to_string()),
            },
        });
        // Whoever asks from here on finds nobody.
        let _ = fs::remove_file(&self.path);
        for stream in self.shared.waiting().drain(..) {
            if let Err(error) = say(&stream, &ended) {
                tracing::debug!(%error, "somebody did not wait");
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Shared {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<UnixStream>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(self: &Arc<Self>, stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new(&stream)
            .take(LINE_MAX)
            .read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(Wish::Status) => say(&stream, &Answer::Status(Box::new(self.source.now()))),
            Ok(Wish::Logout) => match self.source.in_use() {
                in_use if in_use.is_empty() => {
                    self.end(stream, false);
                    Ok(())
                }
                in_use => say(&stream, &Answer::Busy(in_use)),
            },
            Ok(Wish::ForceLogout) => {
                self.end(stream, true);
                Ok(())
            }
            Ok(Wish::Reset(reset)) => {
                let shared = Arc::clone(self);
                // Others may ask how it is meanwhile.
                let thread = thread::Builder::new().name("reset".into()).spawn(move || {
                    if let Err(error) = say(&stream, &Answer::Reset(shared.source.reset(reset))) {
                        tracing::debug!(%error, "somebody did not wait");
                    }
                });
                thread.map(drop)
            }
            Err(error) => say(&stream, &Answer::Refused(error.to_string())),
        }
    }
}

impl Shared {
    /// Has the login end. It is said on `stream` how that went.
    fn end(&self, stream: UnixStream, by_force: bool) {
        self.waiting().push(stream);
        let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        if by_force {
            ending.by_force.store(true, Ordering::Relaxed);
        }
        // It is on its way already if nobody hears.
        let _ = ending.stop.send(());
    }
}

fn say(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(folder: &Path) -> (Control, std::sync::mpsc::Receiver<()>, Arc<AtomicBool>) {
        let status = Status {
            pid: process::id(),
            target: "0030e000000001fa:0".into(),
            ..Status::default()
        };
        let (stop, stopped) = std::sync::mpsc::channel();
        let source = Source {
            status,
            start: Instant::now(),
            watches: Vec::new(),
            resetters: Vec::new(),
            board: Board::default(),
        };
        let by_force = Arc::new(AtomicBool::new(false));
        let ending = Ending {
            stop,
            by_force: Arc::clone(&by_force),
        };
        let control = Control::open(Some(folder), source, ending).unwrap();
        (control, stopped, by_force)
    }

    fn answer(control: &Control, wish: &str) -> Answer {
        let mut stream = UnixStream::connect(&control.path).unwrap();
        stream.write_all(wish.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    #[test]
    fn what_is_no_wish_is_refused_and_ends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let (control, stopped, _) = control(&run);
        for wish in ["\n", "explode\n", "\"explode\"\n", "{\n"] {
            let mut stream = UnixStream::connect(&control.path).unwrap();
            stream.write_all(wish.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.contains("refused"), "{wish}: {answer}");
        }
        assert!(stopped.try_recv().is_err());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&run), mode(&control.path)), (0o700, 0o600));
        let path = control.path.clone();
        drop(control);
        assert!(!path.exists());
    }

    #[test]
    fn who_asks_for_the_end_hears_how_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (control, stopped, by_force) = control(&folder.path().join("run"));
        let mut stream = UnixStream::connect(&control.path).unwrap();
        stream.write_all(b"\"logout\"\n").unwrap();
        stopped.recv_timeout(PATIENCE).unwrap();
        assert!(!by_force.load(Ordering::Relaxed));
        control.close(&Err(Failure::with_code(8, "the flush failed")));
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let expected = Answer::Ended(Ended {
            exit_code: 8,
            message: Some("the flush failed".into()),
        });
        assert_eq!(serde_json::from_str::<Answer>(&answer).unwrap(), expected);
    }

    #[test]
    fn force_is_told_before_the_end_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (control, stopped, by_force) = control(&folder.path().join("run"));
        let mut stream = UnixStream::connect(&control.path).unwrap();
        stream.write_all(b"\"force-logout\"\n").unwrap();
        stopped.recv_timeout(PATIENCE).unwrap();
        assert!(by_force.load(Ordering::Relaxed));
    }

    #[test]
    fn a_reset_without_a_session_fails_and_the_status_is_told_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (control, stopped, _) = control(&folder.path().join("run"));
        for wish in ["logical_unit", "target", "bus"] {
            let wish = format!("{{\"reset\":\"{wish}\"}}\n");
            assert!(matches!(
                answer(&control, &wish),
                Answer::Reset(Ended { exit_code: 1, .. })
            ));
        }
        let Answer::Status(status) = answer(&control, "\"status\"\n") else {
            panic!("no status");
        };
        assert_eq!(status.target, "0030e000000001fa:0");
        assert!(stopped.try_recv().is_err());
    }
}
