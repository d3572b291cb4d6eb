//! `fwshare status`: the logins that run on this host.

mod detail;
mod table;
mod watch;

use serde::Serialize;

use crate::cli::StatusArgs;
use crate::control::{self, HostStatus, Running, Status};
use crate::error::Failure;
use crate::output;

#[derive(Serialize)]
struct Shown {
    schema: u32,
    logins: Vec<Status>,
}

pub(crate) fn run(args: &StatusArgs) -> Result<(), Failure> {
    if let Some(interval) = args.watch {
        return watch::run(args, interval);
    }
    let shown = look(args)?;
    if args.json {
        output::print_json(&shown)
    } else {
        output::print(&text(args, &shown.logins))
    }
}

/// Asks those that run.
fn look(args: &StatusArgs) -> Result<Shown, Failure> {
    let running = control::running(args.run_dir.run_dir.as_deref(), args.target.as_deref())?;
    let logins = running.into_iter().map(|Running { status, .. }| status);
    Ok(Shown {
        schema: 1,
        logins: logins.collect(),
    })
}

/// A line for each host, or all there is to say if one target was asked for.
fn text(args: &StatusArgs, logins: &[Status]) -> String {
    // What a bridge, a disk or an error says of itself is not for the terminal to obey.
    output::harmless(&match args.target {
        Some(_) => detail::text(logins),
        None => table::text(logins),
    })
}

/// What was refused, by kind. Empty on a healthy bus.
fn refused(host: &HostStatus) -> String {
    let kinds = host.refused.iter().filter(|(_, count)| **count > 0);
    let kinds: Vec<_> = kinds
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    kinds.join(", ")
}

/// An export, the device on it, and who uses them.
fn export(host: &HostStatus, export: &str) -> String {
    let mut text = control::with_device(export, &host.devices);
    let device = host.devices.iter().find(|device| device.export == export);
    if let Some(device) = device.filter(|device| device.is_in_use()) {
        text += &format!(", {}", device.use_in_words());
    } else if let (None, Some(clients)) = (device, host.clients.get(export)) {
        text += &format!(", {}", crate::words::count(*clients, "client"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Device;

    #[test]
    fn an_export_is_shown_with_those_who_use_it() {
        let device = |path: &str, export: &str, mounts: &[&str]| Device {
            path: path.into(),
            export: export.into(),
            mounts: mounts.iter().map(|place| (*place).to_owned()).collect(),
            holders: Vec::new(),
        };
        let host = HostStatus {
            clients: [("nbd:a", 2), ("file:/b", 1), ("file:/c", 1), ("file:/d", 1)]
                .map(|(export, clients)| (export.to_owned(), clients))
                .into(),
            devices: vec![
                device("/dev/loop0", "file:/c", &["/mnt"]),
                device("/dev/loop1", "file:/d", &[]),
            ],
            ..HostStatus::default()
        };
        for (name, shown) in [
            ("nbd:a", "nbd:a, 2 clients"),
            ("file:/b", "file:/b, 1 client"),
            ("file:/c", "file:/c and /dev/loop0, mounted on /mnt"),
            ("file:/d", "file:/d and /dev/loop1"),
            ("nbd:e", "nbd:e"),
        ] {
            assert_eq!(export(&host, name), shown);
        }
    }
}
