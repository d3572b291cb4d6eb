use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::endpoint::Endpoint;
use super::export::Export;
use super::listener::{ListenError, Listener};
use super::session::{self, Crew, Handle, Stream};

/// How long to leave clients alone when the system has no room for another one.
const PAUSE_MS: u8 = 200;
/// How long an aborted session may take to notice.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// Serves an [`Export`] at one or more [`Endpoint`]s until it is stopped.
///
/// Dropping it stops it without grace.
pub struct Server {
    shared: Arc<Shared>,
    endpoints: Vec<Endpoint>,
    /// A byte in here, or its end, stops the acceptor.
    wake: UnixStream,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    export: Arc<Export>,
    crew: Arc<Crew>,
    /// With the number of the endpoint at which each came.
    sessions: Mutex<Vec<(usize, Handle)>>,
}

/// How a server came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StopReport {
    /// Clients that were cut off because the grace was over.
    pub cut_off: usize,
    /// Requests of theirs that the disk had not answered. Whether they are done is unknown.
    pub unanswered: usize,
}

impl Server {
    /// Listens at all `endpoints`, and serves who comes.
    ///
    /// # Errors
    ///
    /// The first endpoint that cannot be listened on; then none is.
    pub fn start(export: Export, endpoints: &[Endpoint]) -> Result<Self, ListenError> {
        let listeners = endpoints
            .iter()
            .map(Listener::new)
            .collect::<Result<Vec<_>, _>>()?;
        let endpoints: Vec<_> = listeners
            .iter()
            .map(|listener| listener.endpoint.clone())
            .collect();
        let shared = Arc::new(Shared {
            export: Arc::new(export),
            crew: Arc::default(),
            sessions: Mutex::default(),
        });
        let (wake, woken) = UnixStream::pair().map_err(ListenError::System)?;
        let accepting = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name("nbd-accept".into())
            .spawn(move || accepting.accept(&listeners, &woken))
            .map_err(ListenError::System)?;
        Ok(Self {
            shared,
            endpoints,
            wake,
            acceptor: Some(acceptor),
        })
    }

    /// Where it listens: with the ports that the system chose, and absolute paths.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The URIs by which clients find the export.
    #[must_use]
    pub fn uris(&self) -> Vec<String> {
        let name = self.shared.export.name();
        self.endpoints
            .iter()
            .map(|endpoint| endpoint.uri(name))
            .collect()
    }

    /// How many clients each of [`Self::endpoints`] has now, in their order.
    #[must_use]
    pub fn clients(&self) -> Vec<usize> {
        let sessions = self.shared.sessions();
        let of = |endpoint| {
            let here = |(at, session): &&(usize, Handle)| *at == endpoint && !session.is_over();
            sessions.iter().filter(here).count()
        };
        (0..self.endpoints.len()).map(of).collect()
    }

    /// What is served.
    #[must_use]
    pub fn export(&self) -> &Export {
        &self.shared.export
    }

    /// Stops: accepts nobody else and removes the sockets, lets the disk finish what it has and
    /// the clients hear of it, refuses what they send meanwhile, and hangs up.
    ///
    /// Whoever is not done within `grace` is cut off: a client that does not read its replies,
    /// or a disk that does not answer. The disk is not flushed: whoever owns it does that next.
    pub fn stop(mut self, grace: Duration) -> StopReport {
        self.stop_within(grace)
    }

    fn stop_within(&mut self, grace: Duration) -> StopReport {
        let Some(acceptor) = self.acceptor.take() else {
            return StopReport::default();
        };
        let deadline = Instant::now() + grace;
        // It fails only if the acceptor is gone already.
        let _ = (&self.wake).write_all(&[0]);
        let _ = acceptor.join();

        let sessions = std::mem::take(&mut *self.shared.sessions());
        let sessions: Vec<_> = sessions.into_iter().map(|(_, session)| session).collect();
        for session in &sessions {
            session.stop();
        }
        self.shared.wait_for_crew(deadline);
        let mut report = StopReport::default();
        for unanswered in sessions.iter().filter_map(Handle::abort) {
            report.cut_off += 1;
            report.unanswered += unanswered;
        }
        if self.shared.wait_for_crew(Instant::now() + ABORT_GRACE) {
            for thread in sessions.into_iter().flat_map(|session| session.threads) {
                let _ = thread.join();
            }
        } else {
            // It ends when the call returns.
            tracing::warn!("a thread is still in the disk's submit, and left behind");
        }
        report
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_within(Duration::ZERO);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("export", &self.shared.export)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, Vec<(usize, Handle)>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of all sessions; tells whether they have ended.
    fn wait_for_crew(&self, deadline: Instant) -> bool {
        let threads = self
            .crew
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        let (threads, _) = self
            .crew
            .changed
            .wait_timeout_while(threads, left, |threads| *threads > 0)
            .unwrap_or_else(PoisonError::into_inner);
        *threads == 0
    }

    /// The acceptor: until it is woken.
    fn accept(&self, listeners: &[Listener], woken: &UnixStream) {
        let mut fds = vec![PollFd::new(woken.as_fd(), PollFlags::POLLIN)];
        fds.extend(
            listeners
                .iter()
                .map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)),
        );
        loop {
            if let Err(errno) = poll(&mut fds, PollTimeout::NONE)
                && errno != nix::errno::Errno::EINTR
            {
                tracing::error!(%errno, "cannot wait for clients");
                return;
            }
            if fds[0].any() != Some(false) {
                return;
            }
            for (endpoint, listener) in listeners.iter().enumerate() {
                match listener.accept() {
                    Ok(stream) => self.admit(stream, endpoint),
                    Err(error) if is_passing(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, endpoint = %listener.endpoint, "cannot accept a client");
                        // Out of files or memory: asking again at once would only spin.
                        let _ = poll(&mut fds[..1], PollTimeout::from(PAUSE_MS));
                    }
                }
            }
        }
    }

    fn admit(&self, stream: Stream, endpoint: usize) {
        let mut sessions = self.sessions();
        sessions.retain(|(_, session)| !session.is_over());
        let limit = self.export.limits().clients;
        if sessions.len() >= limit {
            tracing::warn!(limit, "hanging up on a client: there are enough");
            return;
        }
        match session::start(Arc::clone(&self.export), stream, &self.crew) {
            Ok(session) => sessions.push((endpoint, session)),
            Err(error) => tracing::warn!(%error, "cannot serve a client"),
        }
    }
}

/// Errors of `accept` that say nothing about the next client (accept(2)).
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}
