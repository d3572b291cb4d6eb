//! A function at a socket, guest after guest.

use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{self, Backlog, SockType, listen, shutdown};

use super::Function;
use super::connection::Connection;
use super::session::Session;
use crate::socket::{SocketError, SocketFile, bind_at, failed};

/// How long a server rests when the system has no descriptor for a client.
const REST: Duration = Duration::from_millis(100);

/// Serves a function at a Unix socket.
///
/// One client at a time: a second one waits in the socket's queue until the first has gone, so that
/// a guest may be started anew before the end of its predecessor was noticed. Each client finds
/// the configuration space reset, and no memory or interrupts of an earlier one.
///
/// Dropped, it ends the connection, waits for its thread, and removes the file of the socket.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    file: SocketFile,
}

#[derive(Debug)]
struct Shared {
    listener: UnixListener,
    state: Mutex<State>,
    stopped: Condvar,
    narrow_writes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    /// The client of the moment, to be hung up on.
    client: Option<UnixStream>,
}

impl Server {
    /// Listens at `path` and serves `function` to whoever connects. Only this user can.
    ///
    /// # Errors
    /// [`SocketError`]: the path is in use, or the system refuses.
    pub fn bind(path: &Path, function: Arc<dyn Function>) -> Result<Self, SocketError> {
        let (socket, file) = bind_at(path, SockType::Stream)?;
        listen(&socket, Backlog::MAXCONN).map_err(failed(&file.path, "listen"))?;
        let shared = Arc::new(Shared {
            listener: socket.into(),
            state: Mutex::default(),
            stopped: Condvar::new(),
            narrow_writes: AtomicU64::new(0),
        });
        let serve = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("vfio-user".into())
            .spawn(move || serve.run(&*function))
            .map_err(failed(&file.path, "start a thread"))?;
        Ok(Self {
            shared,
            thread: Some(thread),
            file,
        })
    }

    /// Where it listens: the path that it was given, made absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// How many writes to registers, of all guests, were dropped because they were of less than a
    /// quadlet.
    #[must_use]
    pub fn narrow_writes(&self) -> u64 {
        self.shared.narrow_writes.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(path = %self.file.path.display(), "the server's thread has panicked");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        // On Linux both wake whoever waits in them.
        if let Err(error) = shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both) {
            tracing::debug!(%error, "cannot stop listening");
        }
        if let Some(client) = &state.client {
            // It may have gone by itself.
            let _ = client.shutdown(Shutdown::Both);
        }
        drop(state);
        self.stopped.notify_all();
    }

    fn run(&self, function: &dyn Function) {
        loop {
            let accepted = self.listener.accept();
            let client = accepted.and_then(|(stream, _)| Ok((stream.try_clone()?, stream)));
            let mut state = self.state();
            if state.stopping {
                return;
            }
            match client {
                Ok((clone, stream)) => {
                    state.client = Some(clone);
                    drop(state);
                    self.serve(function, &stream);
                    self.state().client = None;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    // Either way it is tried again, or seen that it is over.
                    let _ = self.stopped.wait_timeout(state, REST);
                }
            }
        }
    }

    fn serve(&self, function: &dyn Function, stream: &UnixStream) {
        let mut session = Session::new(function, &self.narrow_writes);
        match Connection::new(stream).serve(&mut session) {
            Ok(()) => tracing::debug!("the guest has gone"),
            Err(error) => tracing::warn!(%error, "the connection to the guest was ended"),
        }
    }
}
