//! What the kernel tells, and what follows from it.

use std::time::Instant as Clock;

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;

use super::CdevPort;
use super::counters::{count, count_refusal};
use super::nodes::{Key, LOCAL};
use crate::bus::{Event, RCode};
use crate::cdev::device::NodeFile;
use crate::cdev::error::DeviceError;
use crate::cdev::event::{CdevEvent, Request};
use crate::port::PortError;

/// How many events are read from one file before the others get their turn.
const READS_PER_TURN: usize = 64;

impl<F: NodeFile> CdevPort<F> {
    /// Closes the file of a remote node. Nothing more comes from it.
    pub(super) fn lose(&mut self, key: Key, error: &DeviceError) {
        if self.nodes.remove(key).is_none() {
            return;
        }
        tracing::info!(%error, "a node is gone");
        self.counters.lost_nodes += 1;
        self.abandon(Some(key));
        // It may be back under another name already.
        self.rescan.restart(Clock::now());
    }

    fn abandon(&mut self, key: Option<Key>) {
        for token in self.outbound.abandon(key) {
            self.events.push_back(Event::Response {
                token,
                rcode: RCode::CANCELLED,
                data: Vec::new(),
            });
        }
    }

    /// An error on the controller's file. What is still queued can be taken out before
    /// [`PortError::Gone`] is told.
    pub(super) fn local_error(&mut self, error: DeviceError) -> Result<(), PortError> {
        if !error.is_gone() {
            return Err(error.into_port_error());
        }
        if !self.gone {
            tracing::info!(%error, "the controller is gone");
            self.gone = true;
            self.abandon(None);
        }
        Ok(())
    }

    pub(super) fn announce(&mut self) {
        if let Some(news) = self.nodes.news() {
            self.events.push_back(Event::BusReset(news));
        }
    }

    /// Looks at all nodes anew, and tells what is new.
    fn refresh(&mut self) -> Result<(), PortError> {
        match self.nodes.refresh() {
            Ok(lost) => {
                for (key, error) in lost {
                    self.lose(key, &error);
                }
                self.announce();
                Ok(())
            }
            Err(error) => self.local_error(error),
        }
    }

    pub(super) fn look_for_new_nodes(&mut self) {
        let card = self.nodes.card();
        for node in (self.look)(&self.nodes.names()) {
            if node.info.card == card {
                self.add(node);
            }
        }
        self.announce();
    }

    /// Reads what a file has to tell.
    pub(super) fn serve(&mut self, key: Key, flags: EpollFlags) -> Result<(), PortError> {
        for _ in 0..READS_PER_TURN {
            let Some(node) = self.nodes.get(key) else {
                return Ok(());
            };
            let error = match node.file.read_event(&mut self.buffer) {
                Ok(Some(event)) => {
                    self.take_in(key, event)?;
                    continue;
                }
                Err(error @ DeviceError::Event { .. }) => {
                    count(&mut self.counters.malformed_events, &error);
                    continue;
                }
                // A file that hangs up and has nothing to read would be ready for ever.
                Ok(None) if flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) => {
                    DeviceError::os(node.file.path(), "poll", Errno::ENODEV)
                }
                Ok(None) => return Ok(()),
                Err(error) => error,
            };
            if key == LOCAL {
                return self.local_error(error);
            }
            self.lose(key, &error);
        }
        Ok(())
    }

    fn take_in(&mut self, key: Key, event: CdevEvent) -> Result<(), PortError> {
        match event {
            CdevEvent::BusReset(_) => self.bus_reset(key),
            CdevEvent::Response {
                closure,
                rcode,
                data,
            } => {
                match self.outbound.end(key, closure) {
                    Some(token) => self.events.push_back(Event::Response {
                        token,
                        rcode,
                        // After an error the kernel has left its own memory there.
                        data: if rcode.is_complete() {
                            data
                        } else {
                            Vec::new()
                        },
                    }),
                    None => count(
                        &mut self.counters.stray_responses,
                        &format_args!("a response came to nothing that was sent"),
                    ),
                }
                Ok(())
            }
            CdevEvent::Request(request) => self.request(key, request),
            CdevEvent::Ignored { .. } => Ok(()),
            CdevEvent::Unknown { event_type, .. } => {
                count(
                    &mut self.counters.unknown_events,
                    &format_args!("an event of the unknown type {event_type:#x}"),
                );
                Ok(())
            }
        }
    }

    fn bus_reset(&mut self, key: Key) -> Result<(), PortError> {
        if key == LOCAL {
            self.rescan.restart(Clock::now());
            return self.refresh();
        }
        // The kernel has made sure that the node is still the one it was.
        match self.nodes.refresh_remote(key) {
            Ok(()) => self.announce(),
            Err(error) => self.lose(key, &error),
        }
        Ok(())
    }

    fn request(&mut self, key: Key, request: Request) -> Result<(), PortError> {
        // The kernel queues the notice of a reset a little after it lets requests of the new
        // generation in. Such a request is news of the reset, and has to come after it.
        let (card, known) = (self.nodes.card(), self.nodes.state().generation);
        if request
            .origin
            .is_some_and(|origin| origin.card == card && origin.generation != known)
        {
            self.refresh()?;
        }
        let (handle, length) = (request.handle, request.response_length());
        let generation = self.nodes.state().generation;
        let refusal = match self.inbound.open(request, card, generation) {
            Ok(request) => {
                self.events.push_back(Event::Request(request));
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        count_refusal(&mut self.counters, refusal);
        let Some(node) = self.nodes.get(key) else {
            return Ok(());
        };
        let answered = node
            .file
            .send_response(handle, refusal.rcode(), &vec![0; length]);
        if let Err(error) = answered {
            tracing::debug!(%error, "a request that was refused could not be answered");
        }
        Ok(())
    }
}
