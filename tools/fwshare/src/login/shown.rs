//! What is printed once the disk can be used.

use std::fmt::Write as _;

use fwlab::size::Readable;
use ohci_raw::bus::Eui64;
use serde::Serialize;

use super::hosts::{Hosts, View};
use crate::cli::{LoginArgs, OnOff};
use crate::control::{self, Device};
use crate::device::Place;
use crate::error::{Exit, Failure};
use crate::scan::id24;

#[derive(Serialize)]
pub(super) struct Shown {
    schema: u32,
    target: String,
    bus: String,
    node: String,
    speed: String,
    vendor: Option<String>,
    model: Option<String>,
    bridge: Option<&'static str>,
    firmware_revision: Option<String>,
    disk: Option<Disk>,
    exclusive: bool,
    serialize_io: bool,
    replacement_timeout_s: u64,
    hosts: Vec<Host>,
    #[serde(skip)]
    texts: String,
}

/// What the disk says of itself.
#[derive(Serialize)]
struct Disk {
    vendor: String,
    product: String,
    revision: String,
    serial: Option<String>,
    device_type: u8,
    blocks: u64,
    block_length: u32,
    size: u64,
    read_only: bool,
}

#[derive(Serialize)]
struct Host {
    guid: Option<String>,
    login_id: u16,
    reconnect_hold_s: u32,
    logins: Option<Logins>,
    exports: Vec<String>,
    devices: Vec<Device>,
}

#[derive(Serialize)]
struct Logins {
    active: usize,
    max: u16,
}

impl Shown {
    pub(super) fn new(args: &LoginArgs, place: &Place<'_>, hosts: &Hosts) -> Self {
        let found = place.found;
        let first = hosts.views().next();
        Self {
            schema: 1,
            target: place.name(),
            bus: args.bus.bus.to_string(),
            node: found.node.name.clone(),
            speed: found.node.speed.to_string(),
            vendor: found.vendor(),
            model: found.model(),
            bridge: place.bridge(),
            firmware_revision: place.unit.firmware_revision.map(id24),
            disk: first.map(|view| Disk::new(&view, args.read_only)),
            exclusive: args.exclusive,
            serialize_io: args.serialize_io == OnOff::On,
            replacement_timeout_s: args.replacement_timeout.as_secs(),
            hosts: hosts.views().map(Host::new).collect(),
            texts: found.texts(),
        }
    }

    /// One line.
    pub(super) fn json(&self) -> Result<String, Failure> {
        let line = serde_json::to_string(self).map_err(|error| {
            let message = format!("cannot write the result as JSON: {error}");
            Failure::new(Exit::Error, message)
        })?;
        Ok(line + "\n")
    }

    pub(super) fn text(&self) -> String {
        let mut lines = Lines::default();
        lines.add(
            "Disk",
            format!(
                "{}, {} on {}, {}",
                self.target, self.node, self.bus, self.speed
            ),
        );
        lines.add("", self.texts.clone());
        let firmware = self.firmware_revision.as_deref();
        let firmware = firmware.map(|revision| format!("firmware {revision}"));
        let bridge = self.bridge.map(str::to_owned).into_iter().chain(firmware);
        lines.add("Bridge", bridge.collect::<Vec<_>>().join(", "));
        if let Some(disk) = &self.disk {
            let protected = if disk.read_only { ", read-only" } else { "" };
            lines.add(
                "Size",
                format!(
                    "{}: {} blocks of {} bytes{protected}",
                    Readable(disk.size),
                    disk.blocks,
                    disk.block_length
                ),
            );
        }
        for (index, host) in self.hosts.iter().enumerate() {
            if self.hosts.len() > 1 {
                let guid = host.guid.as_deref().unwrap_or("-");
                lines.add(&format!("Host {}", index + 1), guid.to_owned());
            }
            lines.add("Login", self.login(host));
            for uri in &host.exports {
                lines.add("Export", control::with_device(uri, &host.devices));
                lines.add("", format!("try: {}", trial(uri, &host.devices)));
            }
        }
        if self.hosts.iter().all(|host| host.exports.is_empty()) {
            lines.add(
                "Export",
                "none; with --export nbd:unix:PATH, file:PATH or nbd-device the disk can be used"
                    .to_owned(),
            );
        }
        lines.0
    }

    fn login(&self, host: &Host) -> String {
        let kind = if self.exclusive {
            "exclusive"
        } else {
            "shared"
        };
        let mut text = format!("ID {}, {kind}", host.login_id);
        if let Some(logins) = &host.logins {
            // Writing to a string cannot fail.
            let _ = write!(text, ", {} of {} logins taken", logins.active, logins.max);
        }
        let _ = write!(text, ", kept {} s after a bus reset", host.reconnect_hold_s);
        text
    }
}

/// A command that shows that the export is there.
fn trial(uri: &str, devices: &[Device]) -> String {
    let device = devices.iter().find(|device| device.export == uri);
    match (device, uri.strip_prefix("file:")) {
        (Some(device), _) => format!("lsblk {}", device.path),
        (None, Some(path)) => format!("head -c 512 '{path}' | od -c"),
        (None, None) => format!("nbdinfo '{uri}'"),
    }
}

/// Lines with a title in front.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, title: &str, text: String) {
        if !text.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(self.0, "{title:<8}{text}");
        }
    }
}

impl Disk {
    fn new(view: &View<'_>, read_only: bool) -> Self {
        let disk = &view.info.disk;
        Self {
            vendor: disk.vendor.to_string(),
            product: disk.product.to_string(),
            revision: disk.revision.to_string(),
            serial: disk.serial.clone(),
            device_type: disk.device_type.0,
            blocks: disk.blocks,
            block_length: disk.block_length,
            size: disk.blocks.saturating_mul(u64::from(disk.block_length)),
            read_only: read_only || disk.write_protected,
        }
    }
}

impl Host {
    fn new(view: View<'_>) -> Self {
        let logins = view.info.logins.as_ref();
        Self {
            guid: view.guid.as_ref().map(Eui64::to_string),
            login_id: view.info.login.id,
            // The field has it less one.
            reconnect_hold_s: u32::from(view.info.login.reconnect_hold) + 1,
            logins: logins.map(|logins| Logins {
                active: logins.active,
                max: logins.max,
            }),
            exports: view.uris,
            devices: view.devices,
        }
    }
}
