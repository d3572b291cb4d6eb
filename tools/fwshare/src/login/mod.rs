//! `fwshare login`: holds a login and serves the disk.

mod auto;
mod device_properties;
mod exports;
mod failure;
mod hosts;
mod live;
mod shown;
mod steps;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use sbp2::wire::MaxPayload;

use self::hosts::Hosts;
use self::live::Live;
use self::shown::Shown;
use self::steps::Steps;
use crate::bus::{self, BusSpec, Taping};
use crate::cli::{LoginArgs, OnOff};
use crate::control::{self, Board, Control, Ending, HostStatus, Source, Status};
use crate::device::{self, Place};
use crate::error::{Exit, Failure};
use crate::export_spec::{ExportChoice, ExportSpec};
use crate::kernel_driver::{Aside, Sysfs};
use crate::output;
use crate::session::Options;
use crate::signals::Stop;
use crate::words::rfc3339;

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

    // A recording knows no other process.
    let run_folder = match args.bus.bus {
        BusSpec::Replay { .. } => None,
        BusSpec::Folder(_) | BusSpec::Emulated(_) => {
            control::run_folder(args.run_dir.run_dir.as_deref()).ok()
        }
    };
    // An emulated bus ends with this process.
    let is_emulated = matches!(args.bus.bus, BusSpec::Emulated(_));
    let notes = run_folder.clone().filter(|_| !is_emulated);
    let mut hosts = Hosts::new(&place, options(args), notes, false);
    if let Some(folder) = &run_folder {
        hosts.describe_devices_in(device_properties::Folder::of(folder));
    }
    let name = format!("disk-{}-{}", place.found.node.eui64, place.lun());
    let exports = auto::resolve(&args.exports, run_folder.as_deref(), &name, chatty)?;
    let mut control = None;
    let board = Board::default();
    let by_force = Arc::new(AtomicBool::new(false));
    let live = Live::new(chatty && !args.json);
    let steps = Steps::new(args, ports.len());
    steps.found(&place)?;
    let look = |hosts: &Hosts| {
        aside.look();
        board.show(hosts.served());
        live.show(hosts);
    };
    let served = serve(args, &exports, &mut hosts, ports, &stop, &steps, look, |hosts| {
        let replayed = matches!(args.bus.bus, BusSpec::Replay { .. });
        if !replayed {
            board.show(hosts.served());
            let source = source(args, &place, hosts, board.clone());
            let ending = Ending {
                stop: stop.wish(),
                by_force: Arc::clone(&by_force),
            };
            // Who is told that the disk can be used can ask for its status.
            match Control::open(args.run_dir.run_dir.as_deref(), source, ending) {
                Ok(opened) => control = Some(opened),
                Err(failure) => {
                    tracing::warn!("status and logout cannot reach this login: {failure}");
                }
            }
        }
        steps.exported(hosts)?;
        if args.json {
            output::print(&Shown::new(args, &place, hosts).json()?)?;
        }
        if chatty && !replayed {
            output::complain(
                "fwshare: ready; SIGINT (Ctrl-C) or SIGTERM flushes, logs out and ends",
            );
        }
        Ok(())
    });
    drop(live);
    if chatty && served.is_ok() {
        output::complain("fwshare: stopping; a second signal does not wait for clients and disk");
    }
    let left = hosts.leave(!args.bus.bus.runs_by_itself() || served.is_err(), &by_force);
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
fn source(args: &LoginArgs, place: &Place<'_>, hosts: &Hosts, board: Board) -> Source {
    let (mut watches, mut resetters) = (Vec::new(), Vec::new());
    let hosts = hosts.views().map(|view| {
        watches.push(view.watch);
        resetters.push(view.resetter);
        HostStatus {
            guid: view.guid.as_ref().map(ToString::to_string),
            exports: view.uris,
            devices: view.devices,
            ..HostStatus::default()
        }
    });
    let target = place.target();
    let max_payload = MaxPayload::negotiate(target.speed, target.host_max_rec);
    let quirks = place.unit.quirks();
    let status = Status {
        pid: std::process::id(),
        target: place.name(),
        description: place.found.texts(),
        bus: args.bus.bus.to_string(),
        node: place.found.node.name.clone(),
        speed: target.speed.to_string(),
        max_payload: max_payload.bytes(),
        exclusive: args.exclusive,
        serialize_io: args.serialize_io == OnOff::On,
        quirks: quirks
            .iter_names()
            .map(|(name, _)| name.to_owned())
            .collect(),
        started: rfc3339(SystemTime::now()),
        uptime_s: 0,
        hosts: hosts.collect(),
    };
    Source {
        status,
        start: Instant::now(),
        watches,
        resetters,
        board,
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
    exports: &[ExportSpec],
    hosts: &mut Hosts,
    ports: Vec<Box<dyn ohci_raw::port::Port>>,
    stop: &Stop,
    steps: &Steps<'_>,
    mut look: impl FnMut(&Hosts),
    show: impl FnOnce(&Hosts) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for port in ports {
        hosts.log_in(port)?;
        steps.logged_in(hosts)?;
        if stop.wait(Duration::ZERO) {
            return Ok(());
        }
    }
    hosts.export(exports)?;
    show(hosts).map_err(Failure::with_data_shown)?;
    if args.bus.bus.runs_by_itself() {
        return Ok(());
    }
    while !stop.wait(ROUND) {
        hosts.check().map_err(Failure::with_data_shown)?;
        look(hosts);
    }
    Ok(())
}

fn check(exports: &[ExportChoice]) -> Result<(), Failure> {
    use fwshare_export::nbd::Endpoint;
    let exports: Vec<_> = exports.iter().filter_map(ExportChoice::spec).collect();
    for (index, export) in exports.iter().enumerate() {
        let chosen_later = matches!(export, ExportSpec::Nbd(Endpoint::Tcp { port: 0, .. }));
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
        assert_eq!(check(&["auto", "auto"]), Ok(()));
        let twice = check(&["nbd:unix:/a", "nbd:tcp:h:1", "nbd:unix:/a"]).unwrap_err();
        assert_eq!(twice.code(), 2);
        assert!(twice.to_string().contains("unix:/a"), "{twice}");
    }
}
