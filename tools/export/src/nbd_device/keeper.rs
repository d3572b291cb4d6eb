//! Keeps the driver connected for as long as the device is attached.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::TIMEOUT;
use super::attached::Attached;
use super::netlink::Driver;
use crate::nbd::{Export, Farewell, KernelSession};

/// How long to give the driver to notice that a connection has ended, each time.
const ROUND: Duration = Duration::from_millis(100);

/// How often it is looked whether nothing is under way.
const LOOK: Duration = Duration::from_millis(500);

/// How often it is offered another one.
const TRIES: u32 = 30;

/// What a [`Keeper`] acts upon.
#[derive(Debug)]
pub(super) enum Event {
    /// Nothing is left of the session with this number.
    Over(u64, Farewell),
    /// Answer what is under way, refuse the rest, and end at this time.
    Stop(Instant),
    /// Answer what is under way, read no more, and end at this time.
    Depart(Instant),
}

/// A session with the driver, over a socket that it was given.
#[derive(Debug)]
pub(super) struct Link {
    session: KernelSession,
    number: u64,
}

impl Link {
    /// Serves one end of a pair of sockets, and gives away the other one. `None`: whoever was given
    /// it has closed it.
    pub(super) fn offer<T>(
        export: &Arc<Export>,
        events: &Sender<Event>,
        number: u64,
        give: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<Option<(Self, T)>> {
        let (ours, theirs) = UnixStream::pair()?;
        let watched = ours.try_clone()?;
        let events = events.clone();
        let session = KernelSession::start(export, ours, move |farewell| {
            // Nobody may want to know any more.
            let _ = events.send(Event::Over(number, farewell));
        })?;
        let given = give(theirs.as_fd());
        drop(theirs);
        match given {
            Ok(given) if !is_hung_up(&watched) => Ok(Some((Self { session, number }, given))),
            Ok(_) => {
                session.abort();
                Ok(None)
            }
            Err(error) => {
                session.abort();
                Err(error)
            }
        }
    }
}

/// Whether whoever is given a socket keeps it. Nobody reads from it.
pub(super) fn wants_socket(
    give: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
) -> io::Result<bool> {
    let (ours, theirs) = UnixStream::pair()?;
    give(theirs.as_fd())?;
    drop(theirs);
    Ok(!is_hung_up(&ours))
}

fn is_hung_up(socket: &UnixStream) -> bool {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok() && fds[0].any() == Some(true)
}

#[derive(Debug)]
pub(super) struct Keeper {
    attached: Arc<Attached>,
    export: Arc<Export>,
    events: Sender<Event>,
    link: Link,
    /// The driver waits for ever.
    patient: bool,
}

impl Keeper {
    pub(super) fn new(
        attached: &Arc<Attached>,
        export: &Arc<Export>,
        events: &Sender<Event>,
        link: Link,
    ) -> Self {
        Self {
            attached: Arc::clone(attached),
            export: Arc::clone(export),
            events: events.clone(),
            link,
            patient: false,
        }
    }

    /// Until the device is detached, or left. How many requests were not waited for.
    pub(super) fn run(mut self, incoming: &Receiver<Event>) -> usize {
        while let Some(event) = self.next(incoming) {
            match event {
                Event::Over(number, _) if number != self.link.number => {}
                Event::Over(_, Farewell::Goodbye) => return 0,
                Event::Over(_, Farewell::HungUp) => {
                    if !self.renew() {
                        return 0;
                    }
                }
                Event::Stop(deadline) => {
                    self.link.session.stop();
                    return self.end(incoming, deadline);
                }
                Event::Depart(deadline) => {
                    self.link.session.depart();
                    return self.end(incoming, deadline);
                }
            }
        }
        0
    }

    fn next(&mut self, incoming: &Receiver<Event>) -> Option<Event> {
        while self.patient {
            match incoming.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) => {}
                event => return event.ok(),
            }
            if self.link.session.under_way() == 0 {
                self.patient = false;
                if let Err(error) = self.attached.set_timeout(TIMEOUT) {
                    tracing::warn!("{error}");
                }
            }
        }
        incoming.recv().ok()
    }

    /// Gives the driver another connection. Nothing is left of the last one.
    fn renew(&mut self) -> bool {
        let path = self.attached.path();
        for _ in 0..TRIES {
            // The device may be about to go.
            thread::sleep(ROUND);
            if !self.attached.is_attached() {
                return false;
            }
            let number = self.link.number + 1;
            let link = Driver::find().and_then(|driver| {
                Link::offer(&self.export, &self.events, number, |socket| {
                    self.attached.reconnect(&driver, socket, Duration::ZERO)
                })
            });
            match link {
                Ok(Some((link, ()))) => {
                    self.link = link;
                    self.patient = true;
                    tracing::warn!(
                        "{}: the driver has waited too long for a request; what was under way \
                         has ended and is done again",
                        path.display()
                    );
                    return true;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!("cannot reconnect {}: {error}", path.display()),
            }
            self.link.number = number;
        }
        tracing::error!("{} is not served any more", path.display());
        false
    }

    /// Waits for the end of the session.
    fn end(self, incoming: &Receiver<Event>, deadline: Instant) -> usize {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match incoming.recv_timeout(left) {
                Ok(Event::Over(number, _)) if number == self.link.number => return 0,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return self.link.session.abort(),
                Err(RecvTimeoutError::Disconnected) => return 0,
            }
        }
    }
}
