//! What one host serves of its disk.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fwshare_export::file::FileExport;
use fwshare_export::nbd::{Endpoint, Export, Server};
use fwshare_export::nbd_device::{self, NbdDevice};
use fwshare_export::{Disk, HostExport};

use super::failure;
use crate::control::Device;
use crate::error::{Exit, Failure};
use crate::export_spec::ExportSpec;

/// How long clients have to hear the end of what they asked for.
const GRACE: Duration = Duration::from_secs(30);

/// How long the last command of a request may take once a lost login is not waited for any more.
const LAST_COMMAND: Duration = Duration::from_secs(30);

/// How often it is looked whether a device is still in use.
const ROUND: Duration = Duration::from_millis(100);

/// What exports have to know of the disk.
pub(super) struct About<'a> {
    /// What NBD clients are told of it.
    pub(super) description: &'a str,
    /// Which disk and host it is, to the next process.
    pub(super) identity: String,
    /// How long requests to it wait for a lost login.
    pub(super) replacement_timeout: Duration,
}

/// All exports of one host.
#[derive(Default)]
pub(super) struct Exports {
    /// For all of `nbd:`.
    server: Option<Server>,
    others: Vec<Box<dyn HostExport>>,
}

impl Exports {
    /// Serves the disk.
    pub(super) fn start<'a>(
        &mut self,
        disk: &Arc<dyn Disk>,
        specs: impl Iterator<Item = &'a ExportSpec>,
        about: &About<'_>,
    ) -> Result<(), Failure> {
        let mut endpoints = Vec::new();
        for spec in specs {
            match spec {
                ExportSpec::Nbd(endpoint) => endpoints.push(endpoint.clone()),
                ExportSpec::File { path, on_loop } => {
                    let file = FileExport::start(Arc::clone(disk), path);
                    let mut file = file.map_err(|error| failure::of_file(&error))?;
                    if *on_loop {
                        let attached = file.attach_loop_device();
                        attached.map_err(|error| failure::of_file(&error.into()))?;
                    }
                    self.others.push(Box::new(file));
                }
                ExportSpec::NbdDevice(index) => {
                    let options = nbd_device::Options {
                        index: *index,
                        identity: about.identity.clone(),
                        dead_conn_timeout: about.replacement_timeout + LAST_COMMAND,
                    };
                    let device = NbdDevice::start(Arc::clone(disk), &options);
                    let device = device.map_err(|error| failure::of_nbd_device(&error))?;
                    self.others.push(Box::new(device));
                }
            }
        }
        if endpoints.is_empty() {
            return Ok(());
        }
        self.server = Some(serve(Arc::clone(disk), &endpoints, about.description)?);
        Ok(())
    }

    /// Where the disk can be found.
    pub(super) fn uris(&self) -> Vec<String> {
        let mut uris = self.server.as_ref().map_or_else(Vec::new, Server::uris);
        uris.extend(self.others.iter().map(|export| export.name()));
        uris
    }

    /// The block devices.
    pub(super) fn devices(&self) -> Vec<Device> {
        let devices = self.others.iter().filter_map(|export| {
            Some(Device {
                path: export.device()?.path().display().to_string(),
                export: export.name(),
            })
        });
        devices.collect()
    }

    /// Detaches the block devices. Those in use are served until they are not, or until the
    /// session ends: what a file system has not written yet would be lost otherwise.
    pub(super) fn let_go_of_devices(&self, session_is_alive: impl Fn() -> bool) {
        for device in self.others.iter().filter_map(|export| export.device()) {
            let path = device.path().display().to_string();
            match device.detach() {
                Ok(None) => continue,
                Ok(Some(users)) => tracing::warn!(
                    "{path} is {users}: it is served until it is not; a second signal does not \
                     wait, and loses what is not written yet"
                ),
                Err(error) => {
                    tracing::warn!("{error}");
                    continue;
                }
            }
            while device.is_attached() && session_is_alive() {
                thread::sleep(ROUND);
            }
        }
    }

    /// Lets the clients finish, and takes all away.
    pub(super) fn stop(self) {
        if let Some(server) = self.server {
            let report = server.stop(GRACE);
            if report.cut_off > 0 {
                tracing::warn!(
                    "{} clients were cut off, {} of their requests unanswered",
                    report.cut_off,
                    report.unanswered
                );
            }
        }
        for export in self.others {
            let name = export.name();
            let unanswered = export.stop(GRACE);
            if unanswered > 0 {
                tracing::warn!("{unanswered} requests to {name} were not answered");
            }
        }
    }
}

fn serve(
    disk: Arc<dyn Disk>,
    endpoints: &[Endpoint],
    description: &str,
) -> Result<Server, Failure> {
    let export = Export::new(disk).and_then(|export| export.described(description));
    let export = export.map_err(|error| {
        Failure::new(Exit::Error, format!("the disk cannot be served: {error}"))
    })?;
    Server::start(export, endpoints).map_err(|error| failure::of_export(&error))
}
