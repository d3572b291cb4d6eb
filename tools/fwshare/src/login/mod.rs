//! `fwshare login`: holds a login and serves the disk.

mod exports;
mod failure;
mod hosts;
mod shown;

use std::time::Duration;

use self::hosts::Hosts;
use self::shown::Shown;
use crate::bus::{self, BusSpec, Taping};
use crate::cli::{LoginArgs, OnOff};
use crate::control::{self, Control, HostStatus, Source, Status};
use crate::device::{self, Place};
use crate::error::{Exit, Failure};
use crate::export_spec::ExportSpec;
use crate::kernel_driver::{Aside, Sysfs};
use crate::output;
use crate::session::Options;
use crate::signals::Stop;

/// How often it is looked whether all sessions live.
const ROUND: Duration = Duration::from_millis(250);

/// Logs in, serves, and logs out. `chatty`: progress goes to standard error.
pub(crate) fn run(args: &LoginArgs, chatty: bool, taping: &Taping) -> Result<(), Failure> {
    check(&args.exports)?;
    let stop = Stop::on_signals("logging out")?;
    let mut buses = bus::open(&args.bus.bus, taping)?;
    let found = device::survey(&mut buses)?;
    let place = device::logical_unit(&found, args.target.target.as_ref(), &args.bus.bus)?;
    if !place.device_type().is_disk() {
        let message = format!("{} is no disk but {}", place.name(), place.device_type());
        return Err(Failure::new(Exit::NoSuchDevice, message));
    }
    let sysfs = Sysfs::of(&args.bus.bus, args.sysfs.sysfs.as_deref());
    let node = &place.found.node;
    // Given back to the kernel after everything else.
    let mut aside = Aside::step(sysfs, &node.name, node.eui64, args.unbind_kernel)?;
    let ports = buses.swap_remove(place.found.bus).into_ports();
    // The other buses are of no concern.
    drop(buses);

    // An emulated bus ends with this process, and a recording knows no other one.
    let notes = match args.bus.bus {
        BusSpec::Folder(_) => control::run_folder(args.run_dir.run_dir.as_deref()).ok(),
        BusSpec::Emulated(_) | BusSpec::Replay { .. } => None,
    };
    let mut hosts = Hosts::new(&place, options(args), distinction(&args.bus.bus), notes);
    let mut control = None;
    let look = || aside.look();
    let served = serve(args, &mut hosts, ports, &stop, look, |hosts| {
        let shown = Shown::new(args, &place, hosts);
        if args.json {
            output::print(&shown.json()?)?;
        } else {
            output::print(&shown.text())?;
        }
        if matches!(args.bus.bus, BusSpec::Replay { .. }) {
            return Ok(());
        }
        let source = source(args, &place, hosts);
        match Control::open(args.run_dir.run_dir.as_deref(), source, stop.wish()) {
            Ok(opened) => control = Some(opened),
            Err(failure) => tracing::warn!("status and logout cannot reach this login: {failure}"),
        }
        if chatty {
            output::complain(
                "fwshare: ready; SIGINT (Ctrl-C) or SIGTERM flushes, logs out and ends",
            );
        }
        Ok(())
    });
    if chatty && served.is_ok() {
        output::complain("fwshare: stopping; a second signal does not wait for clients and disk");
    }
    let left = hosts.leave(!args.bus.bus.runs_by_itself() || served.is_err());
    let ended = served.and(left);
    if let Some(control) = control {
        control.close(&ended);
    }
    ended?;
    if chatty {
        output::complain("fwshare: flushed and logged out");
    }
    Ok(())
}

/// What this login tells of itself.
fn source(args: &LoginArgs, place: &Place<'_>, hosts: &Hosts) -> Source {
    let (hosts, watches) = hosts
        .views()
        .map(|view| {
            let host = HostStatus {
                guid: view.guid.as_ref().map(ToString::to_string),
                exports: view.uris,
                devices: view.devices,
                ..HostStatus::default()
            };
            (host, view.watch)
        })
        .unzip();
    let status = Status {
        pid: std::process::id(),
        target: place.name(),
        description: place.found.texts(),
        bus: args.bus.bus.to_string(),
        exclusive: args.exclusive,
        hosts,
    };
    Source { status, watches }
}

/// What tells a bus from others that may have the same nodes: nothing for that of the controllers
/// themselves.
fn distinction(bus: &BusSpec) -> String {
    match bus {
        BusSpec::Folder(folder) if folder == std::path::Path::new("/dev") => String::new(),
        BusSpec::Folder(folder) => {
            let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
            format!("@{}", folder.display())
        }
        // They end with this process.
        BusSpec::Emulated(_) | BusSpec::Replay { .. } => format!("@{}", std::process::id()),
    }
}

fn options(args: &LoginArgs) -> Options {
    Options {
        exclusive: args.exclusive,
        serialize_io: args.serialize_io == OnOff::On,
        replacement_timeout: args.replacement_timeout,
        read_only: args.read_only,
        ..Options::default()
    }
}

/// Does what has to be undone in any case, until it is to end.
fn serve(
    args: &LoginArgs,
    hosts: &mut Hosts,
    ports: Vec<Box<dyn ohci_raw::port::Port>>,
    stop: &Stop,
    mut look: impl FnMut(),
    show: impl FnOnce(&Hosts) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for port in ports {
        hosts.log_in(port)?;
        if stop.wait(Duration::ZERO) {
            return Ok(());
        }
    }
    hosts.export(&args.exports)?;
    show(hosts).map_err(Failure::with_data_shown)?;
    if args.bus.bus.runs_by_itself() {
        return Ok(());
    }
    while !stop.wait(ROUND) {
        hosts.check().map_err(Failure::with_data_shown)?;
        look();
    }
    Ok(())
}

fn check(exports: &[ExportSpec]) -> Result<(), Failure> {
    use fwshare_export::nbd::Endpoint;
    for (index, export) in exports.iter().enumerate() {
        let chosen_later = matches!(
            export,
            ExportSpec::Nbd(Endpoint::Tcp { port: 0, .. }) | ExportSpec::NbdDevice(None)
        );
        if !chosen_later && exports[..index].contains(export) {
            let message = format!("--export {export} is given twice");
            return Err(Failure::new(Exit::Usage, message)
                .advise("one export serves any number of clients"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_export_given_twice_is_refused_unless_the_system_chooses_its_port() {
        let check = |texts: &[&str]| {
            let exports: Vec<_> = texts.iter().map(|text| text.parse().unwrap()).collect();
            super::check(&exports)
        };
        assert_eq!(check(&["nbd:unix:/a", "nbd:unix:/b"]), Ok(()));
        assert_eq!(check(&["nbd:tcp:h:0", "nbd:tcp:h:0"]), Ok(()));
        assert_eq!(check(&["nbd-device", "nbd-device"]), Ok(()));
        let twice = check(&["nbd:unix:/a", "nbd:tcp:h:1", "nbd:unix:/a"]).unwrap_err();
        assert_eq!(twice.code(), 2);
        assert!(twice.to_string().contains("unix:/a"), "{twice}");
    }
}
