//! The hosts that this process plays: one on a real bus, any number on an emulated one.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ohci_raw::bus::Eui64;
use ohci_raw::port::Port;
use sbp2::initiator::Counters;
use sbp2::scsi::DiskInfo;

use super::device_properties::{DeviceProperties, Folder, Identity};
use super::exports::{About, Exports};
use super::failure;
use crate::bus::BusSpec;
use crate::control::{Device, Served};
use crate::device::Place;
use crate::error::Failure;
use crate::export_spec::ExportSpec;
use crate::session::{Info, Note, Options, Resetter, Session, Target, Watch, sha256};

pub(super) struct Hosts {
    name: String,
    description: String,
    target: Target,
    /// What tells the bus from another one.
    bus: String,
    options: Options,
    /// The folder for notes of logins.
    notes: Option<PathBuf>,
    /// What udev is told of block devices, and where.
    identity: Identity,
    properties: Option<Folder>,
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
    pub(super) resetter: Resetter,
    pub(super) info: &'a Info,
    pub(super) uris: Vec<String>,
    pub(super) devices: Vec<Device>,
}

impl Hosts {
    pub(super) fn new(
        place: &Place<'_>,
        bus: &BusSpec,
        options: Options,
        notes: Option<PathBuf>,
        assemble: bool,
    ) -> Self {
        Self {
            name: place.name(),
            description: format!("{} {}", place.name(), place.found.texts()),
            target: place.target(),
            bus: bus.identity(),
            options,
            notes,
            identity: Identity {
                guid: place.found.node.eui64,
                lun: place.lun(),
                vendor: place.found.vendor(),
                model: place.found.model(),
                assemble,
            },
            properties: None,
            hosts: Vec::new(),
        }
    }

    /// Has udev told of block devices by files in this folder.
    pub(super) fn describe_devices_in(&mut self, folder: Folder) {
        folder.tidy();
        self.properties = Some(folder);
    }

    pub(super) fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.hosts.iter().map(|host| View {
            guid: host.guid,
            watch: host.session.watch(),
            resetter: host.session.resetter(),
            info: host.session.info(),
            uris: host.exports.uris(),
            devices: host.exports.devices(),
        })
    }

    /// What each host serves now.
    pub(super) fn served(&self) -> Vec<Served> {
        let hosts = self.hosts.iter();
        hosts.map(|host| host.exports.served()).collect()
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
            let info = &host.session.info().disk;
            let Target { eui64, lun, .. } = self.target;
            let guid = host.guid.map_or_else(String::new, |guid| guid.to_string());
            let about = About {
                description: &self.description,
                // Another host's device is another one, on an emulated bus. And what was written
                // for one disk must not come to another one behind the same bridge.
                identity: format!(
                    "fwshare:{eui64}:{lun}:{}:{guid}@{}",
                    fingerprint(info),
                    self.bus
                ),
                replacement_timeout: self.options.replacement_timeout,
                properties: DeviceProperties::new(self.properties.clone(), &self.identity, info),
            };
            host.exports.start(&disk, own, about)?;
        }
        Ok(())
    }

    /// The sessions, of which each may be stuck.
    pub(super) fn sessions(&self) -> Vec<&Session> {
        self.hosts.iter().map(|host| &host.session).collect()
    }

    /// How things are, in a line.
    pub(super) fn status(&self) -> String {
        let name = &self.name;
        let mut watches = self.hosts.iter().map(|host| host.session.watch());
        if !watches.all(|watch| watch.state().login_id.is_some()) {
            return format!("{name}: not logged in now; requests wait for the disk");
        }
        let places = self.hosts.iter().flat_map(|host| host.exports.places());
        let places: Vec<_> = places.collect();
        match places[..] {
            [] => format!("{name}: logged in"),
            _ => format!("{name}: served at {}", places.join(", ")),
        }
    }

    /// Which exports another process could not go on with, and why.
    pub(super) fn not_to_be_left(&self) -> Vec<String> {
        let exports = self.hosts.iter().map(|host| &host.exports);
        exports.flat_map(Exports::not_to_be_left).collect()
    }

    /// Whether a login is lost, or was with writes that no flush has told of since: only this
    /// process knows that the next one has to fail.
    pub(super) fn are_in_doubt(&self) -> bool {
        let mut states = self.hosts.iter().map(|host| host.session.watch().state());
        states.any(|state| state.login_id.is_none() || state.writes_in_doubt)
    }

    /// Leaves the block devices to another process, flushes, and logs out. Goes on where something
    /// fails, and tells the first failure.
    pub(super) fn hand_over(self) -> Result<(), Failure> {
        self.end(Exports::leave, true)
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
        self.hosts.remove(index).exports.abandon();
        Err(failure::of_session(&error, &self.name))
    }

    /// Lets the clients finish, flushes, and logs out. Goes on where something fails, and tells
    /// the first failure. Unless `ask`, the sessions end by themselves and are only waited for.
    /// Who uses a device is not waited for any more once `by_force` is set, nor if this is no end
    /// in good order: then the device is left to the next process.
    pub(super) fn leave(
        mut self,
        ask: bool,
        in_order: bool,
        by_force: &AtomicBool,
    ) -> Result<(), Failure> {
        for Host {
            exports, session, ..
        } in &mut self.hosts
        {
            let goes_on = || in_order && session.is_alive() && !by_force.load(Ordering::Relaxed);
            exports.let_go_of_devices(goes_on);
        }
        if !in_order {
            return self.end(Exports::abandon, ask);
        }
        if ask {
            self.hosts.iter().for_each(|host| host.session.hurry());
        }
        self.end(Exports::stop, ask)
    }

    fn end(self, exports_end: fn(Exports), ask: bool) -> Result<(), Failure> {
        let mut sessions = Vec::new();
        for host in self.hosts {
            exports_end(host.exports);
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

/// What tells a disk from others of its size, in few letters.
fn fingerprint(info: &DiskInfo) -> String {
    let serial = info.serial.as_deref().unwrap_or_default();
    let text = format!("{}\n{}\n{serial}", info.vendor, info.product);
    let mut digest = sha256(text.as_bytes());
    digest.truncate(16);
    digest
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

#[cfg(test)]
mod tests {
    use sbp2::scsi::Text;

    use super::*;
    use crate::login::device_properties::blank_disk;

    #[test]
    fn disks_of_one_kind_are_told_apart_by_their_serial_numbers() {
        let disk = |serial: Option<&str>| DiskInfo {
            vendor: Text::from_bytes(*b"OXFORD  "),
            product: Text::from_bytes(*b"IDE DISK        "),
            serial: serial.map(str::to_owned),
            ..blank_disk()
        };
        let (one, other) = (disk(Some("1")), disk(Some("2")));
        assert_eq!(fingerprint(&one), fingerprint(&disk(Some("1"))));
        assert_ne!(fingerprint(&one), fingerprint(&other));
        assert_ne!(fingerprint(&one), fingerprint(&disk(None)));
        assert_eq!(fingerprint(&one).len(), 16);
    }
}
