//! Where the bus is, and the ports to it.

mod emulated;
mod script;
mod spec;
mod taping;

use std::io;
use std::path::{Path, PathBuf};

use fwlab::bridge::{AssemblyError, ImageError};
use ohci_raw::cdev::{self, CdevPort, DiscoveryError, OpenError};
use ohci_raw::port::{Node, Port, PortError};

use self::emulated::EmulatedBus;
use self::script::{Script, Scripted};
pub(crate) use self::spec::BusSpec;
pub(crate) use self::taping::{Taping, no_recording};
use crate::error::{Exit, Failure};

/// What to do where this user may not open the nodes.
const LET_IN: &str = "\
run as root, or let a group in that this user is in: fwshare setup-udev --group GROUP";
const CHECK_HARDWARE: &str = "\
check that the controller's driver is loaded (modprobe firewire-ohci), that the disk is
powered and its cable plugged in, and what the kernel says (dmesg | grep firewire)";
const TRY_EMULATED: &str = "without FireWire, try --bus emulated";

/// A bus with this host on it, or several hosts that this process plays.
pub(crate) struct Bus {
    /// The folder of its nodes, unless it is emulated.
    folder: Option<PathBuf>,
    /// This host's place on it, or, where this process plays several hosts, the first one's.
    port: Box<dyn Port>,
    /// The places of the other hosts.
    others: Vec<Box<dyn Port>>,
}

/// The buses that `spec` names: the emulated one, or that of each controller.
pub(crate) fn open(spec: &BusSpec, taping: &Taping) -> Result<Vec<Bus>, Failure> {
    let buses = match spec {
        BusSpec::Folder(folder) => open_folder(folder),
        BusSpec::Replay { path, mode } => taping.replay(path, *mode),
        BusSpec::Emulated(emulation) => {
            let script = emulation.script.as_deref().map(read_script).transpose()?;
            let mut bus = EmulatedBus::new(emulation).map_err(no_emulation)?;
            let mut port = bus.host();
            if let Some(script) = script {
                port = Box::new(Scripted::new(port, script));
            }
            let others = (1..emulation.hosts).map(|_| bus.host()).collect();
            Ok(vec![Bus {
                folder: None,
                port,
                others,
            }])
        }
    };
    taping.tape(buses?)
}

fn read_script(path: &Path) -> Result<Script, Failure> {
    Script::read(path).map_err(|error| {
        Failure::new(
            Exit::Error,
            format!("the script {}: {error}", path.display()),
        )
    })
}

fn open_folder(folder: &Path) -> Result<Vec<Bus>, Failure> {
    let discovery = cdev::discover(folder).map_err(no_nodes)?;
    for failure in &discovery.failures {
        tracing::warn!("left aside: {failure}");
    }
    let denied = discovery.denied().next().is_some();
    let mut buses = Vec::new();
    let mut failures = Vec::new();
    for card in discovery.cards {
        match CdevPort::new(card) {
            Ok(port) => buses.push(Bus {
                folder: Some(folder.to_owned()),
                port: Box::new(port),
                others: Vec::new(),
            }),
            Err(error) => failures.push(error),
        }
    }
    match failures.into_iter().next() {
        Some(first) if buses.is_empty() => Err(no_port(&first, denied)),
        first => {
            if let Some(error) = first {
                tracing::warn!("left aside: {error}");
            }
            Ok(buses)
        }
    }
}

impl Bus {
    /// The folder of its nodes, unless it is emulated.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The nodes as the first host sees them.
    pub(crate) fn nodes(&mut self) -> Result<Vec<Node>, Failure> {
        self.port.nodes().map_err(lost)
    }

    /// The first host's place.
    pub(crate) fn port(&mut self) -> &mut dyn Port {
        &mut *self.port
    }

    /// The places of the other hosts, of which there are none on real buses. Once only.
    pub(crate) fn take_others(&mut self) -> Vec<Box<dyn Port>> {
        std::mem::take(&mut self.others)
    }

    /// The places of all hosts, the first host's first.
    pub(crate) fn into_ports(self) -> Vec<Box<dyn Port>> {
        let mut ports = vec![self.port];
        ports.extend(self.others);
        ports
    }
}

fn no_emulation(error: AssemblyError) -> Failure {
    let failure = Failure::new(Exit::Error, format!("no emulated bus: {error}"));
    let error = match error {
        AssemblyError::Image(error) => error,
        AssemblyError::TooManyBlocks { .. } => {
            return failure.advise("take profile=generic, or larger sectors (sector=4096)");
        }
        AssemblyError::Record { error, .. } if error.kind() == io::ErrorKind::AlreadyExists => {
            return failure.advise("name a new file: a recording is never overwritten");
        }
        _ => return failure,
    };
    use ImageError as E;
    match error {
        E::Os { error, .. } if error.kind() == io::ErrorKind::NotFound => failure
            .advise("make one with truncate -s 64M FILE, or leave image= out for a disk in memory"),
        E::Os { .. } => failure,
        E::Kind { .. } => failure.advise("name a file or a block device"),
        E::InUse { .. } => failure
            .advise("one process can serve it to several hosts: --bus emulated:image=FILE,hosts=2"),
        E::Empty { .. } => failure.advise("give it a size first: truncate -s 64M FILE"),
        E::PartialBlock { .. } => failure.advise(
            "it was not changed; name the right file or sector size (sector=512, 2048 or 4096),\n\
             or make it larger with truncate -s %4096 FILE",
        ),
    }
}

fn no_nodes(error: DiscoveryError) -> Failure {
    let message = error.to_string();
    match error {
        DiscoveryError::Folder { source, .. }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Failure::new(Exit::Permission, message)
                .advise("the folder is another user's; that of fwlab bus is for its user alone")
        }
        DiscoveryError::Folder { .. } => Failure::new(Exit::Error, message)
            .advise("--bus takes a folder of FireWire nodes (/dev), or emulated[:KEY=VALUE,...]"),
        DiscoveryError::NoNodes { .. } => Failure::new(Exit::NothingFound, message)
            .advise(CHECK_HARDWARE)
            .advise(TRY_EMULATED),
        DiscoveryError::AllDenied { .. } => Failure::new(Exit::Permission, message).advise(LET_IN),
        _ => Failure::new(Exit::Error, message),
    }
}

fn no_port(error: &OpenError, denied: bool) -> Failure {
    match error {
        OpenError::NoController { .. } if denied => {
            Failure::new(Exit::Permission, error.to_string()).advise(LET_IN)
        }
        _ => Failure::new(Exit::Error, error.to_string()),
    }
}

fn lost(error: PortError) -> Failure {
    let message = format!("the nodes of the bus cannot be listed: {error}");
    match error {
        PortError::Gone { .. } => Failure::new(Exit::LostBus, message),
        _ => Failure::new(Exit::Error, message),
    }
}

/// What to check where there are nodes and no disk among them.
pub(crate) fn nothing_found(bus: &BusSpec) -> Failure {
    let message = format!("no SBP-2 logical unit was found on {bus}");
    let failure = Failure::new(Exit::NothingFound, message);
    match bus {
        BusSpec::Folder(_) => {
            let failure = failure.advise(CHECK_HARDWARE);
            let failure = if nix::unistd::geteuid().is_root() {
                failure
            } else {
                failure.advise(LET_IN)
            };
            failure.advise(TRY_EMULATED)
        }
        BusSpec::Emulated(_) | BusSpec::Replay { .. } => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(spec: &str) -> Failure {
        let spec: BusSpec = spec.parse().unwrap();
        open(&spec, &Taping::default()).map(|_| ()).unwrap_err()
    }

    #[test]
    fn a_folder_without_nodes_is_told_from_one_that_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let empty = failure(folder.path().to_str().unwrap());
        assert_eq!(empty.code(), 21);
        assert!(empty.to_string().contains("firewire-ohci"), "{empty}");
        let missing = failure(folder.path().join("missing").to_str().unwrap());
        assert_eq!(missing.code(), 1);
        assert!(missing.to_string().contains("emulated"), "{missing}");
    }

    #[test]
    fn nodes_that_may_not_be_opened_come_with_who_can_let_one_in() {
        let denied = no_nodes(DiscoveryError::AllDenied {
            folder: "/dev".into(),
            failures: Vec::new(),
        });
        assert_eq!(denied.code(), 4);
        assert!(denied.to_string().contains("setup-udev"));
        let no_controller = OpenError::NoController {
            card: 0,
            folder: "/dev".into(),
        };
        assert_eq!(no_port(&no_controller, true).code(), 4);
        assert_eq!(no_port(&no_controller, false).code(), 1);
    }

    #[test]
    fn each_host_of_an_emulated_bus_sees_the_bridge_and_the_other_hosts() {
        let spec: BusSpec = "emulated:hosts=3,profile=generic,speed=S200"
            .parse()
            .unwrap();
        let mut bus = open(&spec, &Taping::default()).unwrap().remove(0);
        let nodes = bus.nodes().unwrap();
        let mut ids: Vec<_> = nodes.iter().map(|node| node.eui64).collect();
        ids.dedup();
        assert_eq!(ids.len(), 4, "{ids:?}");
        let mut ports = bus.into_ports();
        assert_eq!(ports.len(), 3);
        for port in &mut ports {
            let nodes = port.nodes().unwrap();
            assert_eq!(nodes.len(), 4);
            assert!(nodes.iter().all(|node| node.speed.to_string() == "S200"));
        }
    }
}
