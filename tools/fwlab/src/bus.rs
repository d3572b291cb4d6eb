//! `fwlab bus`: has a bus until it is told to stop.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use fwlab::bridge::{AssemblyError, ImageError};
use fwlab::lab::{Lab, LabError};
use fwlab::mount::{Mount, MountError};
use fwlab::seat::{Seat, SeatError};
use fwlab::socket::SocketError;
use fwlab::vm::Hub;
use fwlab::world::World;
use nix::errno::Errno;
use serde_json::json;

use crate::cli::{BusArgs, TopologyName};
use crate::failure::Failure;
use crate::signals::signals;

/// clap's own.
const USAGE: u8 = 2;
/// How often it is looked whether somebody else has unmounted the bus.
const ROUND: Duration = Duration::from_millis(250);

pub(crate) fn run(args: &BusArgs) -> Result<(), Failure> {
    let stop = signals()?;
    if args.hosts == 0 && args.controller.is_empty() {
        return Err(
            Failure::new("a bus for nobody: no hosts, and no controllers")
                .advise("--controller SOCKET has a place for a virtual machine")
                .or_code(USAGE),
        );
    }
    let hosts = usize::from(args.hosts);
    let lab = Lab::new(hosts, &args.bridge).map_err(no_lab)?;
    let made = prepare(&args.dir)?;
    let world = Arc::new(World::new(lab));
    if args.topology != TopologyName::Chain {
        world.with(|lab, now| lab.set_topology(args.topology.into(), now));
    }
    let served = serve(args, &stop, &world);
    if made {
        // Somebody may have put something there in the meantime.
        let _ = fs::remove_dir(&args.dir);
    }
    served
}

fn serve(args: &BusArgs, stop: &Receiver<i32>, world: &Arc<World>) -> Result<(), Failure> {
    // They are closed at the end.
    let _sockets = Sockets::open(args, world)?;
    let mounted = Mount::new(&args.dir, Arc::clone(world));
    mounted.map_err(no_mount).and_then(|mount| {
        let shown = show(args);
        if shown.is_ok() {
            wait(stop, &mount);
        }
        let detached = mount.detach().map_err(no_mount);
        shown.and(detached)
    })
}

/// What virtual machines reach the bus and each other by.
struct Sockets {
    _seats: Vec<Seat>,
    _network: Option<Hub>,
}

impl Sockets {
    fn open(args: &BusArgs, world: &Arc<World>) -> Result<Self, Failure> {
        for path in args.controller.iter().chain(&args.network) {
            outside(&args.dir, path)?;
        }
        let seats = args.controller.iter().map(|path| {
            Seat::open(world, path).map_err(|error| match error {
                SeatError::Socket(error) => no_socket(error),
                SeatError::Lab(error) => no_lab(error),
            })
        });
        let seats = seats.collect::<Result<_, _>>()?;
        let network = args.network.as_deref().map(Hub::open).transpose();
        Ok(Self {
            _seats: seats,
            _network: network.map_err(no_socket)?,
        })
    }
}

/// Nothing can be made in the bus's own folder.
fn outside(dir: &Path, socket: &Path) -> Result<(), Failure> {
    let folder = std::path::absolute(socket).ok().and_then(|path| {
        let parent = path.parent()?;
        parent.canonicalize().ok()
    });
    let inside = dir
        .canonicalize()
        .is_ok_and(|dir| folder.is_some_and(|folder| folder.starts_with(dir)));
    if inside {
        return Err(Failure::new(format!(
            "{} is in the folder of the bus, {}",
            socket.display(),
            dir.display()
        ))
        .advise("name a socket beside that folder"));
    }
    Ok(())
}

fn wait(stop: &Receiver<i32>, mount: &Mount) {
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
    let shown = |path: &Path| path.display().to_string();
    let hosts: Vec<_> = (0..args.hosts)
        .map(|host| shown(&args.dir.join(format!("host{host}"))))
        .collect();
    let controllers: Vec<_> = args.controller.iter().map(|path| shown(path)).collect();
    let network = args.network.as_deref().map(shown);
    if args.json {
        let ready = json!({
            "schema": 1,
            "bus": shown(&args.dir),
            "hosts": hosts,
            "bridges": args.bridge.len(),
            "controllers": controllers,
            "network": network,
        });
        return crate::print(&format!("{ready}\n"));
    }
    let mut on_bus = vec![
        count(hosts.len(), "host"),
        count(args.bridge.len(), "bridge"),
    ];
    if !controllers.is_empty() {
        on_bus.push(count(controllers.len(), "controller"));
    }
    let last = on_bus.pop().unwrap_or_default();
    let mut text = format!(
        "A bus with {} and {last} is in {}\n",
        on_bus.join(", "),
        shown(&args.dir)
    );
    for host in &hosts {
        text.push_str(&format!("  try: fwshare scan --bus {host}\n"));
    }
    let network = network.map(|socket| format!(" --network {socket}"));
    let network = network.unwrap_or_default();
    for (number, controller) in (1..).zip(&controllers) {
        text.push_str(&format!(
            "  try: fwlab vm --controller {controller}{network} --number {number} --shell\n"
        ));
    }
    text.push_str(&format!("  try: fwlab ctl {} show\n", shown(&args.dir)));
    text.push_str("SIGINT (Ctrl-C) or SIGTERM ends it.\n");
    crate::print(&text)
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

pub(crate) fn no_lab(error: LabError) -> Failure {
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

fn no_socket(error: SocketError) -> Failure {
    let failure = Failure::new(format!("no socket: {error}"));
    match error {
        SocketError::InUse(_) => {
            failure.advise("end the other process, or name another path: each socket has its own")
        }
        SocketError::NotASocket(_) => failure.advise("name another path"),
        SocketError::System { path, error, .. } => {
            match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT) => {
                    let folder = path.parent().unwrap_or(&path);
                    failure.advise(format!("make its folder: mkdir -p {}", folder.display()))
                }
                Some(Errno::ENAMETOOLONG) => failure.advise(
                    "a socket's path, from the root on, has 107 bytes at most: name one in /tmp",
                ),
                _ => failure,
            }
        }
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
