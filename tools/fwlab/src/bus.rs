//! `fwlab bus`: has a bus until it is told to stop.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use fwlab::bridge::{AssemblyError, ImageError};
use fwlab::lab::{Lab, LabError};
use fwlab::mount::{Mount, MountError};
use fwlab::world::World;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::BusArgs;
use crate::failure::Failure;

/// How often it is looked whether somebody else has unmounted the bus.
const ROUND: Duration = Duration::from_millis(250);

pub(crate) fn run(args: &BusArgs) -> Result<(), Failure> {
    let stop = signals()?;
    let hosts = usize::from(args.hosts);
    let lab = Lab::new(hosts, &args.bridge).map_err(no_lab)?;
    let made = prepare(&args.dir)?;
    let world = Arc::new(World::new(lab));
    let mounted = Mount::new(&args.dir, world);
    let served = mounted.map_err(no_mount).and_then(|mount| {
        let shown = show(args);
        if shown.is_ok() {
            wait(&stop, &mount);
        }
        let detached = mount.detach().map_err(no_mount);
        shown.and(detached)
    });
    if made {
        // Somebody may have put something there in the meantime.
        let _ = fs::remove_dir(&args.dir);
    }
    served
}

fn signals() -> Result<Receiver<()>, Failure> {
    let failed = |error| Failure::new(format!("cannot wait for signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    let (stop, stopped) = mpsc::channel();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                // It may be over already.
                let _ = stop.send(());
            }
        })
        .map_err(failed)?;
    Ok(stopped)
}

fn wait(stop: &Receiver<()>, mount: &Mount) {
    while stop.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
        if mount.is_gone() {
            tracing::warn!("somebody has unmounted the bus");
            break;
        }
    }
}

/// Makes the folder unless it is there. Whether it was made.
fn prepare(folder: &Path) -> Result<bool, Failure> {
    let failed = |error| Failure::new(format!("{}: {error}", folder.display()));
    match fs::create_dir(folder) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => Err(Failure::new(format!("{} is not empty", folder.display()))
                .advise("name an empty folder: what is in it would be hidden")),
        },
        // Mounting tells better what is wrong with it.
        Err(_) => Ok(false),
    }
}

fn show(args: &BusArgs) -> Result<(), Failure> {
    let hosts: Vec<_> = (0..args.hosts)
        .map(|host| args.dir.join(format!("host{host}")))
        .collect();
    if args.json {
        let hosts: Vec<_> = hosts
            .iter()
            .map(|host| host.display().to_string())
            .collect();
        let ready = json!({
            "schema": 1,
            "bus": args.dir.display().to_string(),
            "hosts": hosts,
            "bridges": args.bridge.len(),
        });
        return crate::print(&format!("{ready}\n"));
    }
    let mut text = format!(
        "A bus with {} and {} is in {}\n",
        count(usize::from(args.hosts), "host"),
        count(args.bridge.len(), "bridge"),
        args.dir.display(),
    );
    for host in &hosts {
        text.push_str(&format!("  try: fwshare scan --bus {}\n", host.display()));
    }
    text.push_str(&format!("  try: fwlab ctl {} show\n", args.dir.display()));
    text.push_str("SIGINT (Ctrl-C) or SIGTERM ends it.\n");
    crate::print(&text)
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

fn no_lab(error: LabError) -> Failure {
    let failure = Failure::new(format!("no bus: {error}"));
    match error {
        LabError::Bridge {
            error: AssemblyError::Image(error),
            ..
        } => match error {
            ImageError::Os { error, .. } if error.kind() == std::io::ErrorKind::NotFound => failure
                .advise(
                    "make it with truncate -s 64M FILE, or leave image= out for a disk in memory",
                ),
            ImageError::InUse { .. } => failure.advise("one bus can have several hosts: --hosts 2"),
            ImageError::Empty { .. } => failure.advise("give it a size: truncate -s 64M FILE"),
            _ => failure,
        },
        LabError::Bridge {
            error: AssemblyError::TooManyBlocks { .. },
            ..
        } => failure.advise("take profile=generic, or larger sectors (sector=4096)"),
        LabError::Bridge {
            error: AssemblyError::Record { error, .. },
            ..
        } if error.kind() == std::io::ErrorKind::AlreadyExists => {
            failure.advise("name a new file: a recording is never overwritten")
        }
        LabError::SameGuid(_) => {
            failure.advise("leave guid= out, and each bridge gets one of its own")
        }
        _ => failure,
    }
}

fn no_mount(error: MountError) -> Failure {
    let failure = Failure::new(&error);
    match error {
        MountError::Stale { folder } => {
            failure.advise(format!("take it away: fusermount3 -u {}", folder.display()))
        }
        MountError::Os { error, .. } if error.kind() == std::io::ErrorKind::NotFound => {
            failure.advise("FUSE is missing: modprobe fuse, and without root install fuse3")
        }
        _ => failure,
    }
}
