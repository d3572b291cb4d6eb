//! What one host serves of its disk.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fwshare_export::file::FileExport;
use fwshare_export::nbd::{Endpoint, Export, Server};
use fwshare_export::nbd_device::{self, NbdDevice};
#[cfg(feature = "ublk")]
use fwshare_export::ublk::UblkExport;
use fwshare_export::{Disk, HostExport};

use super::device_properties::DeviceProperties;
use super::failure;
use crate::control::{Device, Served};
use crate::error::{Exit, Failure};
use crate::export_spec::ExportSpec;

/// How long clients have to hear the end of what they asked for.
const GRACE: Duration = Duration::from_secs(30);

/// How long the last command of a request may take before or after a lost login is waited for: its
/// timeout of 30 s, and those of the functions that abort it.
const LAST_COMMAND: Duration = Duration::from_secs(60);

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
    /// What udev is told of its block devices.
    pub(super) properties: DeviceProperties,
}

/// All exports of one host.
#[derive(Default)]
pub(super) struct Exports {
    /// For all of `nbd:`.
    server: Option<Server>,
    others: Vec<Box<dyn HostExport>>,
    /// What udev is told of the block devices.
    properties: DeviceProperties,
}

impl Exports {
    /// Serves the disk.
    pub(super) fn start<'a>(
        &mut self,
        disk: &Arc<dyn Disk>,
        specs: impl Iterator<Item = &'a ExportSpec>,
        about: About<'_>,
    ) -> Result<(), Failure> {
        self.properties = about.properties;
        let mut endpoints = Vec::new();
        for spec in specs {
            match spec {
                ExportSpec::Nbd(endpoint) => endpoints.push(endpoint.clone()),
                ExportSpec::File { path, on_loop } => {
                    let file = FileExport::start(Arc::clone(disk), path);
                    let mut file = file.map_err(|error| failure::of_file(&error))?;
                    if *on_loop {
                        let announce = &mut |name: &str| self.properties.announce(name);
                        let attached = file.attach_loop_device(announce);
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
                    let announce = &mut |name: &str| self.properties.announce(name);
                    let device = NbdDevice::start(Arc::clone(disk), &options, announce);
                    let device = device.map_err(|error| failure::of_nbd_device(&error))?;
                    self.others.push(Box::new(device));
                }
                #[cfg(feature = "ublk")]
                ExportSpec::Ublk { number } => {
                    let announce = &mut |name: &str| self.properties.announce(name);
                    let device = UblkExport::start(disk, *number, &about.identity, announce);
                    let device = device.map_err(|error| failure::of_ublk(&error))?;
                    self.others.push(Box::new(device));
                }
            }
        }
        self.settle();
        if endpoints.is_empty() {
            return Ok(());
        }
        self.server = Some(serve(Arc::clone(disk), &endpoints, about.description)?);
        Ok(())
    }

    /// Where the disk can be found.
    pub(super) fn uris(&self) -> Vec<String> {
        self.named(|export| export.name())
    }

    /// The same for people: block devices by their own names.
    pub(super) fn places(&self) -> Vec<String> {
        self.named(|export| match export.device() {
            Some(device) => device.path().display().to_string(),
            None => export.name(),
        })
    }

    /// The server's URIs, and what each of the others is called.
    fn named(&self, call: impl Fn(&dyn HostExport) -> String) -> Vec<String> {
        let mut names = self.server.as_ref().map_or_else(Vec::new, Server::uris);
        names.extend(self.others.iter().map(|export| call(&**export)));
        names
    }

    /// The block devices.
    pub(super) fn devices(&self) -> Vec<Device> {
        let devices = self.others.iter().filter_map(|export| {
            Some(Device {
                path: export.device()?.path().display().to_string(),
                export: export.name(),
                ..Device::default()
            })
        });
        devices.collect()
    }

    /// Tells udev which devices are there.
    fn settle(&mut self) {
        let devices = self.others.iter().filter_map(|export| export.device());
        let attached = devices.filter(|device| device.is_attached());
        let names = attached.filter_map(|device| {
            let path = device.path();
            Some(path.file_name()?.to_str()?.to_owned())
        });
        let names: Vec<_> = names.collect();
        self.properties.settle(&names);
    }

    /// What is served now, and to how many.
    pub(super) fn served(&self) -> Served {
        let of_server = self.server.iter().flat_map(|server| {
            let clients = server.clients();
            server.uris().into_iter().zip(clients)
        });
        let of_others = self.others.iter();
        let of_others = of_others.filter_map(|export| Some((export.name(), export.clients()?)));
        Served {
            clients: of_server.chain(of_others).collect(),
            devices: self.devices(),
        }
    }

    /// Detaches the block devices. Those in use are served as long as it is worth while: what a
    /// file system has not written yet would be lost otherwise.
    pub(super) fn let_go_of_devices(&mut self, is_worth_while: impl Fn() -> bool) {
        for device in self.others.iter().filter_map(|export| export.device()) {
            let path = device.path().display().to_string();
            match device.detach() {
                Ok(None) => continue,
                Ok(Some(_)) if !is_worth_while() => continue,
                Ok(Some(users)) => tracing::warn!(
                    "{path} is {users}: it is served until it is not; a second signal does not \
                     wait, and loses what is not written yet"
                ),
                Err(error) => {
                    tracing::warn!("{error}");
                    continue;
                }
            }
            while device.is_attached() && is_worth_while() {
                thread::sleep(ROUND);
            }
        }
        self.settle();
    }

    /// Which of them another process could not go on with, and why. A socket to which nobody is
    /// connected is none of them: the next client will not see a difference.
    pub(super) fn not_to_be_left(&self) -> Vec<String> {
        let others = self.others.iter().filter(|export| !export.can_be_left());
        let others = others.map(|export| format!("{} ends with this process", export.name()));
        let clients = self
            .server
            .as_ref()
            .map_or(0, |server| server.export().counters().read().clients);
        let clients = (clients > 0).then(|| format!("{clients} NBD clients are connected"));
        clients.into_iter().chain(others).collect()
    }

    /// Lets requests under way end, and leaves the devices attached, for another process to take
    /// over.
    pub(super) fn leave(self) {
        if let Some(server) = self.server {
            stop_server(server);
        }
        for export in self.others {
            let name = export.name();
            if !export.leave(GRACE) {
                tracing::warn!("{name} could not be left, and is made anew");
            }
        }
    }

    /// Leaves the devices that somebody still uses to the next process, if it can take them over,
    /// and takes all else away.
    pub(super) fn abandon(mut self) {
        for export in std::mem::take(&mut self.others) {
            let is_used = export
                .device()
                .is_some_and(|device| !matches!(device.detach(), Ok(None)) && device.is_attached());
            if !is_used || !export.can_be_left() {
                self.others.push(export);
                continue;
            }
            let name = export.name();
            if export.leave(GRACE) {
                tracing::warn!("{name} is in use, and waits for the next login to this disk");
            }
        }
        self.stop();
    }

    /// Lets the clients finish, and takes all away.
    pub(super) fn stop(self) {
        if let Some(server) = self.server {
            stop_server(server);
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

fn stop_server(server: Server) {
    let report = server.stop(GRACE);
    if report.cut_off > 0 {
        tracing::warn!(
            "{} clients were cut off, {} of their requests unanswered",
            report.cut_off,
            report.unanswered
        );
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use fwshare_export::{BlockDevice, DetachError, Users};

    use super::*;

    /// What was done to it.
    type Done = Arc<Mutex<Vec<&'static str>>>;

    #[derive(Debug)]
    struct Fake {
        stays: bool,
        used: bool,
        done: Done,
    }

    impl BlockDevice for Fake {
        fn path(&self) -> std::path::PathBuf {
            "/dev/fake".into()
        }

        fn detach(&self) -> Result<Option<Users>, DetachError> {
            Ok(self.used.then(Users::default))
        }

        fn is_attached(&self) -> bool {
            self.used
        }
    }

    impl HostExport for Fake {
        fn name(&self) -> String {
            "fake:/x".into()
        }

        fn device(&self) -> Option<&dyn BlockDevice> {
            Some(self)
        }

        fn stop(self: Box<Self>, _: Duration) -> usize {
            self.done.lock().unwrap().push("stopped");
            0
        }

        fn can_be_left(&self) -> bool {
            self.stays
        }

        fn leave(self: Box<Self>, grace: Duration) -> bool {
            if !self.stays {
                self.stop(grace);
                return false;
            }
            self.done.lock().unwrap().push("left");
            true
        }
    }

    fn exports(stays: bool, used: bool) -> (Exports, Done) {
        let done = Done::default();
        let fake = Fake {
            stays,
            used,
            done: Arc::clone(&done),
        };
        let exports = Exports {
            others: vec![Box::new(fake)],
            ..Exports::default()
        };
        (exports, done)
    }

    #[test]
    fn a_device_that_can_is_left_for_the_next_process_and_no_other_is_touched_before() {
        let (stays, done) = exports(true, true);
        assert_eq!(stays.not_to_be_left(), Vec::<String>::new());
        stays.leave();
        assert_eq!(*done.lock().unwrap(), ["left"]);
        let (ends, done) = exports(false, true);
        assert_eq!(ends.not_to_be_left(), ["fake:/x ends with this process"]);
        assert!(done.lock().unwrap().is_empty());
        ends.leave();
        assert_eq!(*done.lock().unwrap(), ["stopped"]);
    }
    #[test]
    fn an_end_in_disorder_takes_no_device_from_its_users_if_the_next_process_can_have_it() {
        for (stays, used, becomes) in [
            (true, true, "left"),
            (true, false, "stopped"),
            (false, true, "stopped"),
        ] {
            let (exports, done) = exports(stays, used);
            exports.abandon();
            assert_eq!(*done.lock().unwrap(), [becomes], "{stays} {used}");
        }
    }
}
