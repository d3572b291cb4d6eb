//! The two threads around a [`Connection`].
//!
//! One reads from the socket, the other writes to it, so a client that is slow to read its
//! replies does not keep its requests from being read until the connection says that it holds
//! enough. Both hand requests to the disk. Completions come in on whatever thread the disk uses;
//! they change the connection and wake the writer, and never touch the socket.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::disk::DiskError;

use super::connection::{Connection, Ticket};
use super::counters::add;
use super::export::Export;

/// How much is read from a socket at a time.
const READ_SIZE: usize = 128 << 10;

/// How long one that departs goes on reading, if its client goes on sending.
const LAST_READS: Duration = Duration::from_secs(2);

/// A client's socket.
#[derive(Debug)]
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn hang_up(&self) {
        // It fails only if the client was quicker.
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => (&*stream).read(bytes),
            Stream::Tcp(stream) => (&*stream).read(bytes),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => (&*stream).write_vectored(slices),
            Stream::Tcp(stream) => (&*stream).write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client that is being served.
pub(super) struct Session {
    connection: Mutex<Connection>,
    /// Something in the connection changed.
    changed: Condvar,
    /// Held from taking a request out of the connection until the disk has it, so that the two
    /// threads keep the client's order between them.
    submitting: Mutex<()>,
    export: Arc<Export>,
    stream: Stream,
    kernel: Option<Kernel>,
}

/// What a session has whose client is the kernel.
pub(super) struct Kernel {
    /// Readable once the session is to depart.
    pub(super) departing: UnixStream,
    /// Called when nothing is left of the session: no thread, and no request that the disk still
    /// has.
    pub(super) at_end: Option<Box<dyn FnOnce(Farewell) + Send + Sync>>,
}

/// How a session has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Farewell {
    /// The client has taken its leave.
    Goodbye,
    /// One of the two has hung up.
    HungUp,
}

impl Drop for Session {
    fn drop(&mut self) {
        let said_goodbye = self.lock().said_goodbye();
        let at_end = self.kernel.as_mut().and_then(|kernel| kernel.at_end.take());
        if let Some(at_end) = at_end {
            at_end(if said_goodbye {
                Farewell::Goodbye
            } else {
                Farewell::HungUp
            });
        }
    }
}

/// How many threads serve clients, and a way to wait until they are gone.
#[derive(Debug, Default)]
pub(super) struct Crew {
    pub(super) threads: Mutex<usize>,
    pub(super) changed: Condvar,
}

/// A session's threads, seen from the server.
pub(super) struct Handle {
    session: Weak<Session>,
    pub(super) threads: Vec<JoinHandle<()>>,
}

impl Handle {
    /// Whether nothing of it is left: no thread, and no request that the disk still has. Until
    /// then it keeps its place, or clients that come, ask and go would fill the memory.
    pub(super) fn is_over(&self) -> bool {
        self.session.strong_count() == 0
    }

    /// How many requests are with the disk.
    pub(super) fn under_way(&self) -> usize {
        let session = self.session.upgrade();
        session.map_or(0, |session| session.lock().under_way())
    }

    /// Lets what is under way end, and then the session.
    pub(super) fn stop(&self) {
        if let Some(session) = self.session.upgrade() {
            session.lock().stop();
            session.changed.notify_all();
        }
    }

    /// Ends the session if it has not ended. Returns how many requests the disk still had.
    pub(super) fn abort(&self) -> Option<usize> {
        let session = self.session.upgrade()?;
        let mut connection = session.lock();
        let aborted = (!connection.is_finished()).then(|| connection.under_way());
        connection.lost();
        drop(connection);
        session.changed.notify_all();
        session.stream.hang_up();
        aborted
    }
}

/// Serves the client at the other end of `stream`.
pub(super) fn start(export: Arc<Export>, stream: Stream, crew: &Arc<Crew>) -> io::Result<Handle> {
    let connection = Connection::new(Arc::clone(&export));
    run(export, connection, stream, None, crew)
}

/// Serves the kernel, which has the other end of `stream`.
pub(super) fn start_kernel(
    export: Arc<Export>,
    stream: UnixStream,
    kernel: Kernel,
    crew: &Arc<Crew>,
) -> io::Result<Handle> {
    let connection = Connection::in_transmission(Arc::clone(&export));
    run(export, connection, Stream::Unix(stream), Some(kernel), crew)
}

fn run(
    export: Arc<Export>,
    connection: Connection,
    stream: Stream,
    kernel: Option<Kernel>,
    crew: &Arc<Crew>,
) -> io::Result<Handle> {
    let session = Arc::new(Session {
        connection: Mutex::new(connection),
        changed: Condvar::new(),
        submitting: Mutex::new(()),
        export,
        stream,
        kernel,
    });
    let mut handle = Handle {
        session: Arc::downgrade(&session),
        threads: Vec::new(),
    };
    let presence = Presence::new(&session, crew);
    let writer = Arc::clone(&session);
    handle.threads.push(
        thread::Builder::new()
            .name("nbd-write".into())
            .spawn(move || {
                let _presence = presence;
                let writer = writer;
                writer.write();
            })?,
    );
    let duty = Duty::new(crew);
    let reader = Arc::clone(&session);
    let spawned = thread::Builder::new()
        .name("nbd-read".into())
        .spawn(move || {
            let _duty = duty;
            let reader = reader;
            reader.read();
        });
    match spawned {
        Ok(thread) => handle.threads.push(thread),
        Err(error) => {
            handle.abort();
            return Err(error);
        }
    }
    Ok(handle)
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The reader: until the client has nothing more to say.
    fn read(self: &Arc<Self>) {
        let mut buffer = vec![0; READ_SIZE];
        let mut last_reads = None;
        loop {
            let Some(length) = self.next_read(&mut last_reads) else {
                break self.lock().depart();
            };
            match (&self.stream).read(&mut buffer[..length]) {
                Ok(0) => break self.lock().input_ended(),
                Ok(length) => self.receive(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::debug!(%error, "a client cannot be read from");
                    break self.lock().lost();
                }
            }
            if !self.lock().reads_input() {
                break;
            }
        }
        self.changed.notify_all();
    }

    /// How many bytes to read next; `None`: no more, as the session departs. It does so between
    /// two requests, if it can when the client has nothing more to say.
    fn next_read(&self, last_reads: &mut Option<Instant>) -> Option<usize> {
        let Some(kernel) = &self.kernel else {
            return Some(READ_SIZE);
        };
        let mut fds = [
            PollFd::new(self.stream.as_fd(), PollFlags::POLLIN),
            PollFd::new(kernel.departing.as_fd(), PollFlags::POLLIN),
        ];
        while poll(&mut fds, PollTimeout::NONE) == Err(Errno::EINTR) {}
        let [readable, departing] = fds.map(|fd| fd.any() == Some(true));
        if !departing {
            return Some(READ_SIZE);
        }
        let end = *last_reads.get_or_insert_with(|| Instant::now() + LAST_READS);
        let connection = self
            .changed
            .wait_while(self.lock(), |connection| connection.is_blocked())
            .unwrap_or_else(PoisonError::into_inner);
        match connection.to_boundary() {
            0 if readable && Instant::now() < end => Some(READ_SIZE),
            0 => None,
            rest => Some(rest.min(READ_SIZE)),
        }
    }

    fn receive(self: &Arc<Self>, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut connection = self
                .changed
                .wait_while(self.lock(), |connection| connection.is_blocked())
                .unwrap_or_else(PoisonError::into_inner);
            let taken = connection.receive(rest);
            drop(connection);
            rest = &rest[taken..];
            self.changed.notify_all();
            while self.submit_one() {}
        }
    }

    /// The writer: until everything is said, or nobody listens.
    fn write(self: &Arc<Self>) {
        let mut connection = self.lock();
        loop {
            if let Some(outgoing) = connection.poll_output() {
                drop(connection);
                let length = outgoing.len();
                let result = outgoing.write_to(&mut &self.stream);
                connection = self.lock();
                match result {
                    Ok(()) => connection.sent(length),
                    Err(error) => {
                        tracing::debug!(%error, "a client cannot be written to");
                        connection.lost();
                    }
                }
                self.changed.notify_all();
            } else if connection.is_finished() {
                break;
            } else {
                drop(connection);
                let submitted = self.submit_one();
                connection = self.lock();
                if !submitted && connection.is_idle() {
                    connection = self
                        .changed
                        .wait(connection)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        drop(connection);
        self.stream.hang_up();
    }

    /// Hands the disk a request, if there is one. The connection is not locked meanwhile: the
    /// disk may be done at once.
    fn submit_one(self: &Arc<Self>) -> bool {
        let _order = self
            .submitting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some((ticket, request)) = self.lock().poll_request() else {
            return false;
        };
        let mut answer = Answer {
            session: Arc::clone(self),
            ticket: Some(ticket),
        };
        self.export
            .disk()
            .submit(request, Box::new(move |result| answer.give(result)));
        true
    }
}

/// The other end of a completion. Given up unanswered, it fails the request, so that no client
/// waits for a disk that forgot it.
struct Answer {
    session: Arc<Session>,
    ticket: Option<Ticket>,
}

impl Answer {
    fn give(&mut self, result: Result<Vec<u8>, DiskError>) {
        if let Some(ticket) = self.ticket.take() {
            self.session.lock().complete(ticket, result);
            self.session.changed.notify_all();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.give(Err(DiskError::Io("the disk dropped the request".into())));
    }
}

/// Counts a thread of the crew for as long as it lives.
struct Duty(Arc<Crew>);

impl Duty {
    fn new(crew: &Arc<Crew>) -> Self {
        *crew.threads.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(Arc::clone(crew))
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        *self
            .0
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.changed.notify_all();
    }
}

/// Counts a client, and the thread that outlives its reader.
struct Presence {
    session: Weak<Session>,
    export: Arc<Export>,
    _duty: Duty,
}

impl Presence {
    fn new(session: &Arc<Session>, crew: &Arc<Crew>) -> Self {
        let export = Arc::clone(&session.export);
        add(&export.counters().clients, 1);
        add(&export.counters().clients_seen, 1);
        Self {
            session: Arc::downgrade(session),
            export,
            _duty: Duty::new(crew),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        add(&self.export.counters().clients, 1_u64.wrapping_neg());
        if thread::panicking()
            && let Some(session) = self.session.upgrade()
        {
            session.stream.hang_up();
        }
    }
}
