//! The hosts that this process plays: one on a real bus, any number on an emulated one.

use std::path::PathBuf;
use std::time::Duration;

use ohci_raw::bus::Eui64;
use ohci_raw::port::Port;
use sbp2::initiator::Counters;

use super::exports::{About, Exports};
use super::failure;
use crate::control::Device;
use crate::device::Place;
use crate::error::Failure;
use crate::export_spec::ExportSpec;
use crate::session::{Info, Note, Options, Session, Target, Watch};

pub(super) struct Hosts {
    name: String,
    description: String,
    target: Target,
    options: Options,
    /// Tells the bus from others of this host.
    bus: String,
    /// The folder for notes of logins.
    notes: Option<PathBuf>,
    hosts: Vec<Host>,
}

struct Host {
    guid: Option<Eui64>,
    session: Session,
    exports: Exports,
}

/// What a host has.
pub(super) struct View<'a> {
    pub(super) guid: Option<Eui64>,
    pub(super) watch: Watch,
    pub(super) info: &'a Info,
    pub(super) uris: Vec<String>,
    pub(super) devices: Vec<Device>,
}

impl Hosts {
    pub(super) fn new(
        place: &Place<'_>,
        options: Options,
        bus: String,
        notes: Option<PathBuf>,
    ) -> Self {
        Self {
            name: place.name(),
            description: format!("{} {}", place.name(), place.found.texts()),
            target: place.target(),
            options,
            bus,
            notes,
            hosts: Vec::new(),
        }
    }

    pub(super) fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.hosts.iter().map(|host| View {
            guid: host.guid,
            watch: host.session.watch(),
            info: host.session.info(),
            uris: host.exports.uris(),
            devices: host.exports.devices(),
        })
    }

    /// Logs one more host in.
    pub(super) fn log_in(&mut self, mut port: Box<dyn Port>) -> Result<(), Failure> {
        let nodes = port.nodes().unwrap_or_default();
        let local = nodes.iter().find(|node| node.is_local);
        let guid = local.map(|node| node.eui64);
        let note = self.notes.as_deref().zip(guid);
        let note =
            note.map(|(folder, host)| Note::of(folder, self.target.eui64, self.target.lun, host));
        let options = Options {
            note,
            ..self.options.clone()
        };
        let session = Session::start(port, &self.target, &options).map_err(|error| {
            let host = match self.hosts.len() {
                0 => String::new(),
                others => format!(", host {}", others + 1),
            };
            let device = format!("{}{host}", self.name);
            failure::of_login(&error, &device, self.options.exclusive)
        })?;
        self.hosts.push(Host {
            guid,
            session,
            exports: Exports::default(),
        });
        Ok(())
    }

    /// Serves the disk: the first export is that of the first host, and so on in turn.
    pub(super) fn export(&mut self, exports: &[ExportSpec]) -> Result<(), Failure> {
        let hosts = self.hosts.len();
        for (index, host) in self.hosts.iter_mut().enumerate() {
            let own = exports.iter().skip(index).step_by(hosts.max(1));
            let disk = host.session.disk();
            let guid = host.guid.map_or_else(String::new, |guid| guid.to_string());
            let about = About {
                description: &self.description,
                identity: format!(
                    "fwshare:{}:{}:{guid}{}",
                    self.target.eui64, self.target.lun, self.bus
                ),
                replacement_timeout: self.options.replacement_timeout,
            };
            host.exports.start(&disk, own, &about)?;
        }
        Ok(())
    }

    /// Looks whether all sessions live.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        let ended = self.hosts.iter().enumerate().find_map(|(index, host)| {
            let error = host.session.wait(Duration::ZERO)?;
            Some((index, error))
        });
        let Some((index, error)) = ended else {
            return Ok(());
        };
        // Its session has nothing to be given back any more.
        drop(self.hosts.remove(index));
        Err(failure::of_session(&error, &self.name))
    }

    /// Lets the clients finish, flushes, and logs out. Goes on where something fails, and tells
    /// the first failure. Unless `ask`, the sessions end by themselves and are only waited for.
    pub(super) fn leave(self, ask: bool) -> Result<(), Failure> {
        for host in &self.hosts {
            host.exports.let_go_of_devices(|| host.session.is_alive());
        }
        let mut sessions = Vec::new();
        for host in self.hosts {
            host.exports.stop();
            sessions.push(host.session);
        }
        let mut result = Ok(());
        for session in sessions {
            log(&session.watch().state().counters);
            if let Err(error) = session.stop(ask) {
                let failure = failure::of_end(&error, &self.name);
                if result.is_ok() {
                    result = Err(failure);
                } else {
                    tracing::error!("{failure}");
                }
            }
        }
        result
    }
}

fn log(counters: &Counters) {
    tracing::info!(
        logins = counters.logins,
        bus_resets = counters.bus_resets,
        reconnects = counters.reconnects,
        orbs = counters.orbs,
        reissued = counters.reissued,
        timeouts = counters.timeouts,
        refused_requests = counters.refusals.total(),
        stale_status = counters.stale_status,
        "counted until now"
    );
}
