//! A service manager, as far as a service sees one: a socket, and variables that name it.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fwshare_tests::TIME_LIMIT;

/// Where a service tells how it is.
pub(crate) struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    /// At a path.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            socket: UnixDatagram::bind(path).unwrap(),
            name: path.display().to_string(),
        }
    }

    /// At a name that is no file.
    pub(crate) fn abstract_named(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(name).unwrap();
        Self {
            socket: UnixDatagram::bind_addr(&address).unwrap(),
            name: format!("@{name}"),
        }
    }

    /// Has a command tell it, and give a sign of life within this time.
    pub(crate) fn of(&self, command: &mut Command, watchdog: Option<Duration>) {
        command.env("NOTIFY_SOCKET", &self.name);
        command.env_remove("WATCHDOG_PID");
        match watchdog {
            Some(patience) => command.env("WATCHDOG_USEC", patience.as_micros().to_string()),
            None => command.env_remove("WATCHDOG_USEC"),
        };
    }

    /// What is told next, if something is within this time.
    pub(crate) fn next(&self, patience: Duration) -> Option<Vec<String>> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 4096];
        match self.socket.recv(&mut buffer) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                Some(text.lines().map(str::to_owned).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until a line that begins so is told. Gives all lines until then.
    pub(crate) fn wait_for(&self, wanted: &str) -> Vec<String> {
        let start = Instant::now();
        let mut told: Vec<String> = Vec::new();
        while start.elapsed() < TIME_LIMIT {
            let lines = self.next(TIME_LIMIT).unwrap_or_default();
            let found = lines.iter().any(|line| line.starts_with(wanted));
            told.extend(lines);
            if found {
                return told;
            }
        }
        panic!("no {wanted}: {told:?}");
    }

    /// What was told and not heard yet.
    pub(crate) fn drain(&self) -> Vec<String> {
        let told = std::iter::from_fn(|| self.next(Duration::from_millis(1)));
        told.flatten().collect()
    }
}
