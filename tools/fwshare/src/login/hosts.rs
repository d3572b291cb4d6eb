//! The hosts that this process plays: one on a real bus, any number on an emulated one.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use fwshare_export::file::FileExport;
use fwshare_export::nbd::{Endpoint, Export, Server};
use ohci_raw::bus::Eui64;
use ohci_raw::port::Port;
use sbp2::initiator::Counters;

use super::failure;
use crate::control::Device;
use crate::device::Place;
use crate::error::{Exit, Failure};
use crate::export_spec::ExportSpec;
use crate::session::{Info, Note, Options, Session, Target, Watch};

/// How long clients have to hear the end of what they asked for.
const GRACE: Duration = Duration::from_secs(30);

/// How often it is looked whether a device is still in use.
const ROUND: Duration = Duration::from_millis(100);

pub(super) struct Hosts {
    name: String,
    description: String,
    target: Target,
    options: Options,
    /// The folder for notes of logins.
    notes: Option<PathBuf>,
    hosts: Vec<Host>,
}

struct Host {
    guid: Option<Eui64>,
    session: Session,
    server: Option<Server>,
    files: Vec<FileExport>,
}

impl Host {
    /// Where its disk can be found.
    fn uris(&self) -> Vec<String> {
        let mut uris = self.server.as_ref().map_or_else(Vec::new, Server::uris);
        uris.extend(self.files.iter().map(uri));
        uris
    }

    /// Its block devices.
    fn devices(&self) -> Vec<Device> {
        let devices = self.files.iter().filter_map(|file| {
            Some(Device {
                path: file.loop_device()?.path().display().to_string(),
                export: uri(file),
            })
        });
        devices.collect()
    }

    fn serve(&mut self, export: &ExportSpec, endpoints: &mut Vec<Endpoint>) -> Result<(), Failure> {
        match export {
            ExportSpec::Nbd(endpoint) => endpoints.push(endpoint.clone()),
            ExportSpec::File { path, on_loop } => {
                let file = FileExport::start(self.session.disk(), path);
                let mut file = file.map_err(|error| failure::of_file(&error))?;
                if *on_loop {
                    let attached = file.attach_loop_device();
                    attached.map_err(|error| failure::of_file(&error.into()))?;
                }
                self.files.push(file);
            }
        }
        Ok(())
    }
}

fn uri(file: &FileExport) -> String {
    format!("file:{}", file.path().display())
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
    pub(super) fn new(place: &Place<'_>, options: Options, notes: Option<PathBuf>) -> Self {
        Self {
            name: place.name(),
            description: format!("{} {}", place.name(), place.found.texts()),
            target: place.target(),
            options,
            notes,
            hosts: Vec::new(),
        }
    }

    pub(super) fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.hosts.iter().map(|host| View {
            guid: host.guid,
            watch: host.session.watch(),
            info: host.session.info(),
            uris: host.uris(),
            devices: host.devices(),
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
            server: None,
            files: Vec::new(),
        });
        Ok(())
    }

    /// Serves the disk: the first export is that of the first host, and so on in turn.
    pub(super) fn export(&mut self, exports: &[ExportSpec]) -> Result<(), Failure> {
        let hosts = self.hosts.len();
        for (index, host) in self.hosts.iter_mut().enumerate() {
            let own = exports.iter().skip(index).step_by(hosts.max(1));
            let mut endpoints = Vec::new();
            for export in own {
                host.serve(export, &mut endpoints)?;
            }
            if endpoints.is_empty() {
                continue;
            }
            let export = Export::new(host.session.disk())
                .and_then(|export| export.described(&self.description))
                .map_err(|error| {
                    Failure::new(
                        Exit::Error,
                        format!("{} cannot be served: {error}", self.name),
                    )
                })?;
            let server = Server::start(export, &endpoints);
            host.server = Some(server.map_err(|error| failure::of_export(&error))?);
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

    /// Detaches the block devices. Those in use are served until they are not, or until their
    /// session ends: what a file system has not written yet would be lost otherwise.
    fn let_go_of_devices(&self) {
        for host in &self.hosts {
            let devices = host.files.iter().filter_map(FileExport::loop_device);
            for device in devices {
                let path = device.path().display().to_string();
                match device.detach() {
                    Ok(None) => continue,
                    Ok(Some(users)) => tracing::warn!(
                        "{path} is {users}: it is served until it is not; a second signal does \
                         not wait, and loses what is not written yet"
                    ),
                    Err(error) => {
                        tracing::warn!("{error}");
                        continue;
                    }
                }
                while device.is_attached() && host.session.is_alive() {
                    thread::sleep(ROUND);
                }
            }
        }
    }

    /// Lets the clients finish, flushes, and logs out. Goes on where something fails, and tells
    /// the first failure. Unless `ask`, the sessions end by themselves and are only waited for.
    pub(super) fn leave(self, ask: bool) -> Result<(), Failure> {
        self.let_go_of_devices();
        let mut sessions = Vec::new();
        for host in self.hosts {
            if let Some(server) = host.server {
                let report = server.stop(GRACE);
                if report.cut_off > 0 {
                    tracing::warn!(
                        "{} clients were cut off, {} of their requests unanswered",
                        report.cut_off,
                        report.unanswered
                    );
                }
            }
            for file in host.files {
                let path = file.path().display().to_string();
                let unanswered = file.stop(GRACE);
                if unanswered > 0 {
                    tracing::warn!("{unanswered} requests to {path} were not answered");
                }
            }
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
