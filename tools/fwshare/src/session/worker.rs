//! The thread of a session.

mod orders;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use fwshare_export::Completion;
use ohci_raw::bus::{AddressRange, BusReset, Event, Generation, Machine, Peer};
use ohci_raw::port::{Port, PortError, drive};
use sbp2::disk::{Disk, Failure, Notice, Request, RequestTag};
use sbp2::initiator::{Config, Logins, ManagementError, Remnant};
use sbp2::unit::Quirks;

use super::export::in_words;
use super::{Info, Note, Order, SessionError, State, Watch, input, reset};
use crate::journal;

/// Where the session is on its way.
enum Stage {
    /// Waits for the disk to be ready.
    Opening,
    /// Waits for QUERY LOGINS, the last thing before it is open.
    Asking(Info),
    /// Serves.
    Open,
    /// Waits for requests to end.
    Draining,
    /// Waits for the last flush.
    Flushing(RequestTag),
    /// Waits for the end of the login. Says then how the session ended.
    Leaving(Result<(), SessionError>),
    /// Waits for the names of those who are in the way. Says then why the session failed.
    Blaming(Failure),
}

pub(super) struct Worker {
    port: Box<dyn Port>,
    disk: Disk,
    orders: Receiver<Order>,
    /// With the numbers of their orders.
    completions: BTreeMap<RequestTag, (u64, Completion)>,
    ordered: u64,
    resets: reset::Waiting,
    outlets: Outlets,
    /// That of the last bus reset.
    generation: Option<Generation>,
    /// The login is lost, and no new one could be had yet. In a mere bus reset it is not.
    lost: bool,
    stage: Stage,
}

/// Where a session shows how it is.
pub(super) struct Outlets {
    pub(super) watch: Watch,
    /// How often the thread has turned: not at all while it is stuck.
    pub(super) turns: Arc<AtomicU64>,
    pub(super) note: Option<Note>,
}

/// Tells a machine what is on the bus now. What the port has to tell of the past is dropped
/// first.
///
/// Gives the generation in which that holds, if the host is on a bus.
pub(super) fn announce(
    port: &mut dyn Port,
    machine: &mut dyn Machine,
) -> Result<Option<Generation>, PortError> {
    while port.next_event(Some(Duration::ZERO))?.is_some() {}
    let nodes = port.nodes()?;
    let Some(local) = nodes.iter().find(|node| node.is_local) else {
        return Ok(None);
    };
    let generation = local.generation;
    let peers = nodes
        .iter()
        .filter(|node| !node.is_local && node.generation == local.generation)
        .map(|node| Peer {
            node: node.id,
            eui64: node.eui64,
        })
        .collect();
    let reset = BusReset {
        generation: local.generation,
        local: local.id,
        peers,
    };
    machine.handle(Event::BusReset(reset), port.now());
    Ok(Some(generation))
}

impl Worker {
    pub(super) fn new(
        mut port: Box<dyn Port>,
        config: Config,
        quirks: Quirks,
        range: AddressRange,
        orders: Receiver<Order>,
        outlets: Outlets,
    ) -> Result<Self, SessionError> {
        let mut disk = Disk::new(config, quirks, range)?;
        let generation = announce(&mut *port, &mut disk)?;
        if let Some(generation) = generation {
            journal::is_in(generation);
        }
        Ok(Self {
            generation,
            port,
            disk,
            orders,
            completions: BTreeMap::new(),
            ordered: 0,
            resets: reset::Waiting::default(),
            outlets,
            lost: false,
            stage: Stage::Opening,
        })
    }

    /// Runs the session from login to logout. Says on `ready` what it found, once it can serve.
    pub(super) fn run(mut self, ready: &Sender<Info>) -> Result<(), SessionError> {
        self.disk.login(self.port.now());
        loop {
            drive(&mut *self.port, &mut self.disk)?;
            while let Some(notice) = self.disk.poll_notice() {
                if let Some(verdict) = self.take_in(notice, ready) {
                    // The last answers of the target's still want to go out.
                    drive(&mut *self.port, &mut self.disk)?;
                    return verdict;
                }
            }
            let ordered = self.take_orders();
            drive(&mut *self.port, &mut self.disk)?;
            self.show();
            self.outlets.turns.fetch_add(1, Ordering::Relaxed);
            let due = match ordered {
                // Some have ended already, and nothing else may happen for long.
                true => Some(Duration::ZERO),
                false => self.disk.poll_timeout().map(|due| due - self.port.now()),
            };
            if let Some(event) = self.port.next_event(due)? {
                if let Event::BusReset(reset) = &event {
                    self.generation = Some(reset.generation);
                    journal::is_in(reset.generation);
                }
                let now = self.port.now();
                self.disk.handle(event, now);
            }
            let now = self.port.now();
            if self.disk.poll_timeout().is_some_and(|due| due <= now) {
                self.disk.handle_timeout(now);
            }
        }
    }

    fn show(&self) {
        self.outlets.watch.show(State {
            login_id: self.disk.current_login().map(|login| login.id),
            node: self.disk.target_node(),
            writes_in_doubt: self.disk.has_writes_in_doubt(),
            counters: self.disk.counters(),
            port: self.port.counters(),
        });
    }

    /// Should this process be killed, the next one knows by this which login is a remnant.
    fn note(&self, login_id: u16) {
        if let (Some(note), Some(generation)) = (&self.outlets.note, self.generation) {
            note.write(Remnant {
                login_id,
                generation,
            });
        }
    }

    /// The disk is gone, and had everything before. One that is there is flushed in any case.
    fn has_nothing_to_flush(&self) -> bool {
        self.lost && !self.disk.has_unflushed_writes()
    }

    fn flush_when_drained(&mut self) {
        if matches!(self.stage, Stage::Draining) && self.completions.is_empty() {
            if self.has_nothing_to_flush() {
                self.stage = Stage::Leaving(Ok(()));
                self.disk.logout(self.port.now());
                return;
            }
            let tag = self.disk.submit(Request::Flush, self.port.now());
            self.stage = Stage::Flushing(tag);
        }
    }

    /// Returns how the session ended, once it has.
    fn take_in(
        &mut self,
        notice: Notice,
        ready: &Sender<Info>,
    ) -> Option<Result<(), SessionError>> {
        match notice {
            Notice::Ready { login, info } => {
                self.lost = false;
                self.note(login.id);
                if matches!(self.stage, Stage::Opening) {
                    self.stage = Stage::Asking(Info {
                        login,
                        disk: info,
                        logins: None,
                    });
                    self.disk.query_logins(self.port.now());
                } else {
                    // As loud as the loss.
                    tracing::warn!(login_id = login.id, "the disk can be used again");
                }
            }
            Notice::Logins(result) => return self.logins(result, ready),
            Notice::Refused(refusal) => {
                tracing::warn!("{refusal}; it was refused, and further ones are counted only");
            }
            Notice::Reconnected => {
                if let Some(login) = self.disk.current_login() {
                    self.note(login.id);
                }
                self.resets.bus_was_reset();
                tracing::info!("reconnected after a bus reset");
            }
            Notice::LoginLost(error) => {
                self.lost = true;
                self.resets.bus_was_reset();
                self.outlets
                    .watch
                    .note_mishap(format_args!("the login is lost: {error}"));
                tracing::warn!(%error, "the login is lost; requests wait for a new one");
            }
            Notice::LoginRetry(error) => {
                self.outlets
                    .watch
                    .note_mishap(format_args!("the login could not be had again: {error}"));
                tracing::warn!(%error, "the login could not be had again; trying on");
            }
            Notice::TaskManagement { function, result } => self.resets.answered(function, result),
            Notice::Failed(failure) => return self.failed(failure),
            Notice::LoggedOut(result) => {
                if let (Ok(()), Some(note)) = (&result, &self.outlets.note) {
                    note.remove();
                }
                return self.logged_out(result);
            }
            Notice::Completed { tag, result } => self.completed(tag, result),
            _ => {}
        }
        None
    }

    fn logins(
        &mut self,
        result: Result<Logins, ManagementError>,
        ready: &Sender<Info>,
    ) -> Option<Result<(), SessionError>> {
        if let Err(error) = &result {
            tracing::debug!(%error, "the target does not tell who is logged in");
        }
        match std::mem::replace(&mut self.stage, Stage::Open) {
            Stage::Asking(info) => {
                let logins = result.ok();
                // If nobody waits for it any more, the orders end too.
                let _ = ready.send(Info { logins, ..info });
                None
            }
            Stage::Blaming(failure) => Some(Err(SessionError::Failed {
                failure,
                logins: result.ok(),
            })),
            stage => {
                self.stage = stage;
                None
            }
        }
    }

    fn failed(&mut self, failure: Failure) -> Option<Result<(), SessionError>> {
        let refused = matches!(&failure, Failure::Login(error) if error.sbp_status().is_some());
        if refused {
            self.stage = Stage::Blaming(failure);
            self.disk.query_logins(self.port.now());
            return None;
        }
        let nothing_to_give_back = matches!(failure, Failure::Login(_));
        let error = SessionError::Failed {
            failure,
            logins: None,
        };
        if nothing_to_give_back {
            return Some(Err(error));
        }
        self.stage = Stage::Leaving(Err(error));
        None
    }

    fn logged_out(
        &mut self,
        result: Result<(), ManagementError>,
    ) -> Option<Result<(), SessionError>> {
        match std::mem::replace(&mut self.stage, Stage::Draining) {
            Stage::Leaving(Ok(())) => Some(result.map_err(SessionError::Logout)),
            Stage::Leaving(error) => {
                if let Err(error) = result {
                    tracing::warn!(%error, "the login was not given back");
                }
                Some(error)
            }
            Stage::Blaming(failure) => {
                self.stage = Stage::Blaming(failure);
                None
            }
            // Nobody asked for it.
            _ => Some(Err(match result {
                Err(error) => SessionError::Logout(error),
                Ok(()) => SessionError::Died,
            })),
        }
    }

    fn completed(&mut self, tag: RequestTag, result: Result<Vec<u8>, sbp2::disk::RequestError>) {
        if let Err(error) = &result {
            self.outlets.watch.note_mishap(error);
            tracing::error!(%error, "a request failed");
        }
        if let Some((number, done)) = self.completions.remove(&tag) {
            if self.port.is_taped() {
                let data = result.as_deref().map_err(ToString::to_string);
                // A deviation stays one: the next step over the port tells of it.
                let _ = self.port.output(&input::outcome(number, data).to_string());
            }
            done(result.map_err(|error| in_words(&error)));
            self.flush_when_drained();
        } else if matches!(self.stage, Stage::Flushing(own) if own == tag) {
            let ended = match result {
                Err(_) if self.has_nothing_to_flush() => Ok(()),
                result => result.map(drop).map_err(SessionError::Flush),
            };
            self.stage = Stage::Leaving(ended);
            self.disk.logout(self.port.now());
        }
    }
}
