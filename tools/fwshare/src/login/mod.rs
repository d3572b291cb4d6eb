//! `fwshare login`: holds a login and serves the disk.

mod auto;
mod device_properties;
mod exports;
mod failure;
mod hosts;
mod live;
mod several;
mod shown;
mod source;
mod steps;
mod upgrade;
mod wait;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ohci_raw::port::Port;

use self::hosts::Hosts;
use self::live::Live;
use self::shown::Shown;
use self::source::source;
use self::steps::Steps;
use crate::bus::{BusSpec, Taping};
use crate::cli::{LoginArgs, OnOff};
use crate::config::Config;
use crate::control::{self, Board, Control, Ending};
use crate::device::{self, TargetSpec};
use crate::error::{Exit, Failure};
use crate::export_spec::{ExportChoice, ExportSpec};
use crate::journal;
use crate::kernel_driver::{Aside, Sysfs};
use crate::output;
use crate::service::Service;
use crate::session::Options;
use crate::signals::Stop;

/// How often it is looked whether all sessions live.
const ROUND: Duration = Duration::from_millis(250);

/// Why the disk is not served any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// For good.
    Stop,
    /// For another process to go on.
    Upgrade,
}

/// Logs in as the command line or the configuration says. `chatty`: progress goes to standard
/// error.
pub(crate) fn run(args: &LoginArgs, chatty: bool, taping: &Taping) -> Result<(), Failure> {
    let Some(path) = &args.config else {
        return one(args, chatty, taping);
    };
    let config = Config::read(path)?;
    match (&args.target, config.disks()) {
        (Some(wanted), _) => one(&config.disk(wanted)?.login(args), chatty, taping),
        (None, [only]) => one(&only.login(args), chatty, taping),
        (None, _) => several::run(&config, chatty),
    }
}

/// Logs in, serves, and logs out.
fn one(args: &LoginArgs, chatty: bool, taping: &Taping) -> Result<(), Failure> {
    check(&args.exports)?;
    let target = args.target.as_deref().map(str::parse::<TargetSpec>);
    let target = target
        .transpose()
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let stop = Stop::on_signals("logging out")?;
    let anew = upgrade::Wish::on_signal()?;
    let mut service = Service::new();
    let found = wait::survey(args, target.as_ref(), taping, &stop, &mut service, chatty)?;
    let Some((mut buses, found)) = found else {
        return Ok(());
    };
    let place = device::logical_unit(&found, target.as_ref(), &args.bus.bus)?;
    if !place.device_type().is_disk() {
        let message = format!("{} is no disk but {}", place.name(), place.device_type());
        return Err(Failure::new(Exit::NoSuchDevice, message));
    }
    journal::is_about(place.found.node.eui64, place.lun());
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
    let mut hosts = Hosts::new(&place, &args.bus.bus, options(args), notes, args.assemble);
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
    let tend = |hosts: &Hosts, service: &mut Service| {
        aside.look();
        board.show(hosts.served());
        live.show(hosts);
        service.are_alive(&hosts.sessions());
        service.status(&hosts.status());
        if !anew.has_come() {
            return false;
        }
        let checked = upgrade::check(args, taping, hosts);
        if let Err(failure) = &checked {
            service.status(failure.message());
            output::complain(&format!("fwshare: {failure}"));
        }
        checked.is_ok()
    };
    let beside = Beside {
        stop: &stop,
        service: &mut service,
        steps: &steps,
    };
    let served = serve(args, &exports, &mut hosts, ports, beside, tend, |hosts| {
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
        if upgrade::is_to_stop() {
            // We hold the other end ourselves.
            let _ = stop.wish().send(());
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
    let end = served.as_ref().map_or(End::Stop, |end| *end);
    match end {
        End::Stop => service.stopping(),
        End::Upgrade => service.reloading(),
    }
    if chatty && served.is_ok() {
        output::complain(match end {
            End::Stop => "fwshare: stopping; a second signal does not wait for clients and disk",
            End::Upgrade => "fwshare: starting anew; the block devices stay",
        });
    }
    let in_order = served.is_ok();
    let left = match end {
        End::Stop => {
            let ask = !args.bus.bus.runs_by_itself() || !in_order;
            hosts.leave(ask, in_order, &by_force)
        }
        End::Upgrade => hosts.hand_over(),
    };
    let ended = served.and(left);
    if let Some(control) = control {
        control.close(&ended);
    }
    ended?;
    if end == End::Upgrade {
        return Err(upgrade::start_anew(&stop));
    }
    if chatty {
        output::complain("fwshare: flushed and logged out");
    }
    Ok(())
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

/// What goes on beside the hosts.
struct Beside<'a> {
    stop: &'a Stop,
    service: &'a mut Service,
    steps: &'a Steps<'a>,
}

/// Does what has to be undone in any case, until it is to end. `tend` is called every round, and
/// says whether another process is to go on.
fn serve(
    args: &LoginArgs,
    exports: &[ExportSpec],
    hosts: &mut Hosts,
    ports: Vec<Box<dyn Port>>,
    beside: Beside<'_>,
    mut tend: impl FnMut(&Hosts, &mut Service) -> bool,
    show: impl FnOnce(&Hosts) -> Result<(), Failure>,
) -> Result<End, Failure> {
    for port in ports {
        hosts.log_in(port)?;
        beside.steps.logged_in(hosts)?;
        if beside.stop.wait(Duration::ZERO) {
            return Ok(End::Stop);
        }
    }
    hosts.export(exports)?;
    show(hosts).map_err(Failure::with_data_shown)?;
    beside.service.ready(&hosts.status());
    if args.bus.bus.runs_by_itself() {
        return Ok(End::Stop);
    }
    while !beside.stop.wait(ROUND) {
        hosts.check().map_err(Failure::with_data_shown)?;
        if tend(hosts, beside.service) {
            return Ok(End::Upgrade);
        }
    }
    Ok(End::Stop)
}

fn check(exports: &[ExportChoice]) -> Result<(), Failure> {
    for (index, export) in exports.iter().enumerate() {
        if export.is_among(&exports[..index]) {
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
        assert_eq!(check(&["nbd-device", "nbd-device"]), Ok(()));
        let twice = check(&["nbd:unix:/a", "nbd:tcp:h:1", "nbd:unix:/a"]).unwrap_err();
        assert_eq!(twice.code(), 2);
        assert!(twice.to_string().contains("unix:/a"), "{twice}");
    }
}
