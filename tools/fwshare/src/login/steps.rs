//! What is printed as the login comes up: a line for each thing as soon as it is known.

use std::fmt::Write as _;

use fwlab::size::Readable;

use super::hosts::{Hosts, View};
use crate::cli::LoginArgs;
use crate::control::{self, Device};
use crate::device::Place;
use crate::error::Failure;
use crate::output;
use crate::scan::id24;

/// Who prints it, unless it is to be JSON.
pub(super) struct Steps<'a> {
    args: &'a LoginArgs,
    /// How many hosts this process plays.
    hosts: usize,
}

impl<'a> Steps<'a> {
    pub(super) fn new(args: &'a LoginArgs, hosts: usize) -> Self {
        Self { args, hosts }
    }

    fn print(&self, lines: &Lines) -> Result<(), Failure> {
        if self.args.json {
            return Ok(());
        }
        output::print(&lines.0)
    }

    /// The logical unit was found.
    pub(super) fn found(&self, place: &Place<'_>) -> Result<(), Failure> {
        let found = place.found;
        let mut lines = Lines::default();
        lines.add(
            "Disk",
            format!(
                "{}, {} on {}, {}",
                place.name(),
                found.node.name,
                self.args.bus.bus,
                found.node.speed
            ),
        );
        lines.add("", found.texts());
        let firmware = place.unit.firmware_revision.map(id24);
        let firmware = firmware.map(|revision| format!("firmware {revision}"));
        let bridge = place.bridge().map(str::to_owned).into_iter();
        let bridge: Vec<_> = bridge.chain(firmware).collect();
        lines.add("Bridge", bridge.join(", "));
        self.print(&lines)
    }

    /// One more host is logged in, and has seen what the disk is.
    pub(super) fn logged_in(&self, hosts: &Hosts) -> Result<(), Failure> {
        let mut lines = Lines::default();
        let mut views = hosts.views().enumerate();
        let Some((index, view)) = views.by_ref().last() else {
            return Ok(());
        };
        if self.hosts > 1 {
            let guid = view
                .guid
                .map_or_else(|| "-".to_owned(), |guid| guid.to_string());
            lines.add(&format!("Host {}", index + 1), guid);
        }
        lines.add("Login", login(&view, self.args.exclusive));
        if index == 0 {
            lines.add("Size", size(&view, self.args.read_only));
        }
        self.print(&lines)
    }

    /// The disk can be used.
    pub(super) fn exported(&self, hosts: &Hosts) -> Result<(), Failure> {
        let mut lines = Lines::default();
        for (index, view) in hosts.views().enumerate() {
            let whose = match self.hosts {
                1 => String::new(),
                _ => format!(", host {}", index + 1),
            };
            for uri in &view.uris {
                let export = control::with_device(uri, &view.devices);
                lines.add("Export", export + &whose);
                lines.add("", format!("try: {}", trial(uri, &view.devices)));
            }
        }
        if lines.0.is_empty() {
            lines.add(
                "Export",
                "none; with --export nbd:unix:PATH or file:PATH the disk can be used".to_owned(),
            );
        }
        self.print(&lines)
    }
}

fn login(view: &View<'_>, exclusive: bool) -> String {
    let kind = if exclusive { "exclusive" } else { "shared" };
    let login = view.info.login;
    let mut text = format!("ID {}, {kind}", login.id);
    if let Some(logins) = &view.info.logins {
        // Writing to a string cannot fail.
        let _ = write!(text, ", {} of {} logins taken", logins.active, logins.max);
    }
    // The field has it less one.
    let hold = u32::from(login.reconnect_hold) + 1;
    let _ = write!(text, ", kept {hold} s after a bus reset");
    text
}

fn size(view: &View<'_>, read_only: bool) -> String {
    let disk = &view.info.disk;
    let size = disk.blocks.saturating_mul(u64::from(disk.block_length));
    let protected = match read_only || disk.write_protected {
        true => ", read-only",
        false => "",
    };
    format!(
        "{}: {} blocks of {} bytes{protected}",
        Readable(size),
        disk.blocks,
        disk.block_length
    )
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
