//! The bus through the node files of one card.
//!
//! | part | what it knows |
//! |---|---|
//! | `nodes` | the files, and which node id each has in which generation |
//! | `outbound` | which closure of a request stands for which token |
//! | `inbound` | address ranges, and which answer an open request is owed |
//! | `rescan` | when to look for new files |
//! | `claim` | one process of this host for each logical unit |
//! | `serve` | what follows from each event of the kernel |
//!
//! and this file puts them together over epoll.

mod claim;
mod counters;
#[cfg(test)]
mod fake;
mod inbound;
mod nodes;
mod outbound;
mod rescan;
mod serve;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::device::{Device, NodeFile, OutgoingRequest};
use super::discovery::{Card, FoundNode, open_new};
use super::error::{DeviceError, OpenError};
use super::event::BUFFER_LENGTH;
use crate::bus::{AddressRange, Eui64, Event, Instant, RequestHandle, Response, Transaction, csr};
use crate::config_rom::Descriptor;
use crate::port::{DescriptorHandle, Node, Port, PortCounters, PortError, ResetKind, Waker};
use inbound::Inbound;
use nodes::{Key, LOCAL, Nodes};
use outbound::Outbound;
use rescan::Rescan;

/// The key of the waker in the epoll set. File keys count up from 0.
const WAKER: Key = Key::MAX;

type Look<F> = Box<dyn FnMut(&[String]) -> Vec<FoundNode<F>> + Send>;

/// A [`Port`] over firewire-cdev.
///
/// The first event is the bus as it is: an [`Event::BusReset`] of the present generation, with
/// the peers whose files were open from the start. An event of the same generation follows
/// whenever more peers become known: a remote node that had not been through the reset when the
/// controller was, or a node file that appeared.
///
/// A response whose node vanished before it came is reported as
/// [`RCode::CANCELLED`](crate::bus::RCode::CANCELLED).
pub struct CdevPort<F: NodeFile = Device> {
    nodes: Nodes<F>,
    inbound: Inbound,
    outbound: Outbound,
    counters: PortCounters,
    events: VecDeque<Event>,
    epoll: Epoll,
    wake: Arc<EventFd>,
    rescan: Rescan,
    look: Look<F>,
    buffer: Vec<u8>,
    started: Clock,
    gone: bool,
}

impl CdevPort {
    /// The bus of `card`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn new(card: Card) -> Result<Self, OpenError> {
        let folder = card.folder.clone();
        Self::with_look(card, Box::new(move |skip| open_new(&folder, skip)))
    }
}

impl<F: NodeFile> CdevPort<F> {
    /// `look` opens the node files whose names are not in the list it is given.
    fn with_look(card: Card<F>, look: Look<F>) -> Result<Self, OpenError> {
        let os = |operation| {
            move |errno: Errno| OpenError::Os {
                operation,
                source: errno.into(),
            }
        };
        let local = card.local.ok_or(OpenError::NoController {
            card: card.index,
            folder: card.folder,
        })?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(os("epoll_create"))?;
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(os("eventfd"))?;
        let readable = |key| EpollEvent::new(EpollFlags::EPOLLIN, key);
        epoll.add(&wake, readable(WAKER)).map_err(os("epoll_ctl"))?;
        epoll
            .add(&local.file, readable(LOCAL))
            .map_err(os("epoll_ctl"))?;
        let mut port = Self {
            nodes: Nodes::new(local),
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            counters: PortCounters::default(),
            events: VecDeque::new(),
            epoll,
            wake: Arc::new(wake),
            rescan: Rescan::default(),
            look,
            buffer: vec![0; BUFFER_LENGTH],
            started: Clock::now(),
            gone: false,
        };
        for node in card.remotes {
            port.add(node);
        }
        port.announce();
        port.rescan.restart(port.started);
        Ok(port)
    }

    fn add(&mut self, node: FoundNode<F>) {
        let key = self.nodes.next_key();
        match self
            .epoll
            .add(&node.file, EpollEvent::new(EpollFlags::EPOLLIN, key))
        {
            Ok(()) => self.nodes.add(key, node),
            Err(errno) => {
                let error = DeviceError::os(node.file.path(), "epoll_ctl", errno);
                tracing::warn!(%error, "a node cannot be used");
            }
        }
    }

    fn gone_error(&self) -> PortError {
        PortError::Gone {
            device: self.nodes.local().file.path().display().to_string(),
        }
    }

    /// One ioctl on the controller's file on behalf of the owner.
    fn on_local<T>(
        &mut self,
        ioctl: impl FnOnce(&F) -> Result<T, DeviceError>,
    ) -> Result<T, PortError> {
        ioctl(&self.nodes.local().file).map_err(DeviceError::into_port_error)
    }

    fn node(key: Key, found: &FoundNode<F>) -> Result<Option<Node>, DeviceError> {
        let info = found.file.info()?;
        let Some(eui64) = info.eui64() else {
            return Ok(None);
        };
        Ok(Some(Node {
            name: found.file.name(),
            id: info.state.node,
            generation: info.state.generation,
            eui64,
            speed: found.file.speed()?,
            is_local: key == LOCAL,
            rom: info.rom,
        }))
    }
}

impl<F: NodeFile> Port for CdevPort<F> {
    /// The time since the port was opened, by `CLOCK_MONOTONIC`.
    fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    /// The controller first. A node with a minimal ROM has no EUI-64 and is left out.
    fn nodes(&mut self) -> Result<Vec<Node>, PortError> {
        if self.gone {
            return Err(self.gone_error());
        }
        self.look_for_new_nodes();
        let mut nodes = Vec::new();
        let mut lost = Vec::new();
        // What is seen here is not taken for news: requests from before the reset may still be
        // waiting to be read, and in their order they are good.
        for (key, found) in self.nodes.iter() {
            match Self::node(key, found) {
                Ok(node) => nodes.extend(node),
                Err(error) if key != LOCAL && error.is_gone() => lost.push((key, error)),
                Err(error) => return Err(error.into_port_error()),
            }
        }
        for (key, error) in lost {
            self.lose(key, &error);
        }
        Ok(nodes)
    }

    /// Broadcasts have no node file and go nowhere.
    fn send(&mut self, transaction: Transaction) -> Result<(), PortError> {
        let Transaction {
            token,
            destination,
            generation,
            address,
            ref operation,
            ..
        } = transaction;
        let nowhere = PortError::NoSuchNode {
            node: destination,
            generation,
        };
        if self.gone {
            return Err(self.gone_error());
        }
        let is_current = generation == self.nodes.state().generation;
        if is_current && self.nodes.find(destination, generation).is_none() {
            // A node can speak to this host before it is time to look for its file.
            self.look_for_new_nodes();
        }
        let Some((key, file)) = self.nodes.find(destination, generation) else {
            return Err(nowhere);
        };
        let closure = self.outbound.begin(key, token);
        let sent = file.send_request(OutgoingRequest {
            closure,
            generation,
            address,
            operation,
        });
        let Err(error) = sent else {
            return Ok(());
        };
        self.outbound.end(key, closure);
        if key != LOCAL && error.is_gone() {
            self.lose(key, &error);
            return Err(nowhere);
        }
        Err(error.into_port_error())
    }

    fn respond(&mut self, handle: RequestHandle, response: Response) -> Result<(), PortError> {
        let Some(answer) = self.inbound.close(handle, response) else {
            return Err(DeviceError::os(
                self.nodes.local().file.path(),
                "answering a request that is not open",
                Errno::EINVAL,
            )
            .into_port_error());
        };
        self.on_local(|file| file.send_response(answer.handle, answer.rcode, &answer.data))?;
        match answer.mismatch {
            None => Ok(()),
            Some((expected, got)) => Err(PortError::ResponseLength { expected, got }),
        }
    }

    fn allocate(&mut self, length: u64) -> Result<AddressRange, PortError> {
        for region in [csr::POSTED_WRITES, csr::HIGH_MEMORY] {
            match self.allocate_in(region, length) {
                Err(PortError::Taken { .. }) => {}
                other => return other,
            }
        }
        Err(PortError::NoSpace { length })
    }

    fn allocate_in(
        &mut self,
        region: AddressRange,
        length: u64,
    ) -> Result<AddressRange, PortError> {
        let bytes = match u32::try_from(length) {
            Ok(bytes) if bytes > 0 && bytes % 4 == 0 => bytes,
            _ => return Err(PortError::BadLength { length }),
        };
        let closure = self.inbound.next_closure();
        match self.nodes.local().file.allocate(region, bytes, closure) {
            Ok(allocation) => {
                self.inbound.claim(closure, allocation);
                Ok(allocation.range)
            }
            Err(error) if error.errno() == Some(Errno::EBUSY) => {
                Err(PortError::Taken { region, length })
            }
            Err(error) => Err(error.into_port_error()),
        }
    }

    fn add_descriptor(&mut self, descriptor: &Descriptor) -> Result<DescriptorHandle, PortError> {
        match self.nodes.local().file.add_descriptor(descriptor) {
            Ok(handle) => Ok(DescriptorHandle(handle)),
            Err(error) if error.errno() == Some(Errno::EBUSY) => Err(PortError::RomFull {
                quadlets: descriptor.quadlets(),
            }),
            Err(error) => Err(error.into_port_error()),
        }
    }

    fn remove_descriptor(&mut self, handle: DescriptorHandle) -> Result<(), PortError> {
        self.on_local(|file| file.remove_descriptor(handle.0))
    }

    fn claim(&mut self, node: Eui64, lun: u16) -> Result<(), PortError> {
        let found = self.nodes.iter().map(|(_, found)| found);
        match found.into_iter().find(|it| it.info.eui64() == Some(node)) {
            Some(found) => claim::claim(&found.file, found.file.path(), lun),
            None => Ok(()),
        }
    }

    fn deallocate(&mut self, range: AddressRange) -> Result<(), PortError> {
        let Some(handle) = self.inbound.release(range) else {
            return Err(DeviceError::os(
                self.nodes.local().file.path(),
                "giving back a range that was not allocated",
                Errno::EINVAL,
            )
            .into_port_error());
        };
        self.on_local(|file| file.deallocate(handle))
    }

    fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<Event>, PortError> {
        let deadline = timeout.and_then(|timeout| Clock::now().checked_add(timeout));
        let mut ready = [EpollEvent::empty(); 16];
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.gone {
                return Err(self.gone_error());
            }
            let until = deadline.into_iter().chain(self.rescan.due()).min();
            let count = match self.epoll.wait(&mut ready, epoll_timeout(until)) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => {
                    let path = self.nodes.local().file.path();
                    return Err(DeviceError::os(path, "epoll_wait", errno).into_port_error());
                }
            };
            let mut woken = false;
            for event in ready.iter().take(count) {
                match event.data() {
                    WAKER => woken = true,
                    key => self.serve(key, event.events())?,
                }
            }
            if self.rescan.take(Clock::now()) && !self.gone {
                self.look_for_new_nodes();
            }
            if !self.events.is_empty() {
                // A waker's call stays in the eventfd for the next wait.
                continue;
            }
            if woken {
                // EAGAIN cannot be: there is one reader.
                let _ = self.wake.read();
                return Ok(None);
            }
            if !self.gone && deadline.is_some_and(|deadline| Clock::now() >= deadline) {
                return Ok(None);
            }
        }
    }

    fn counters(&self) -> PortCounters {
        self.counters
    }

    fn reset_bus(&mut self, kind: ResetKind) -> Result<(), PortError> {
        self.on_local(|file| file.reset(kind))
    }

    fn waker(&self) -> Waker {
        let wake = Arc::clone(&self.wake);
        Waker::new(move || {
            // The only error is that the counter is full, and then the waiter wakes anyway.
            let _ = wake.write(1);
        })
    }
}

fn epoll_timeout(until: Option<Clock>) -> EpollTimeout {
    let Some(until) = until else {
        return EpollTimeout::NONE;
    };
    let left = until.saturating_duration_since(Clock::now());
    EpollTimeout::try_from(whole_millis(left)).unwrap_or(EpollTimeout::MAX)
}

/// Rounded up, so as not to come back early and spin.
fn whole_millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}
