//! Why there is no ublk device.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::control::CONTROL;
use crate::disk::GeometryError;
use crate::users::Users;

/// Why there is no ublk device.
#[derive(Debug, thiserror::Error)]
pub enum UblkError {
    /// The disk's geometry is impossible.
    #[error("the disk cannot be exported: {0}")]
    Geometry(#[from] GeometryError),
    /// The kernel has no ublk driver.
    #[error("there is no {CONTROL}")]
    NoDriver,
    /// Not root.
    #[error("this user may not open {}", .0.display())]
    NotPermitted(PathBuf),
    /// The kernel was told to have no io_uring, or has none.
    #[error("the kernel refuses io_uring: {0}")]
    NoIoUring(io::Error),
    /// The kernel is older than Linux 6.5.
    #[error("the kernel's ublk driver is too old")]
    TooOld,
    /// The kernel has no devices with such blocks.
    #[error("the kernel refuses a ublk device with blocks of {block_size} bytes")]
    Refused {
        /// Those of the disk.
        block_size: u32,
    },
    /// The wanted number is another one's.
    #[error("{} is there already, served by {by}", device.display())]
    Taken {
        /// The device.
        device: PathBuf,
        /// Whose it is.
        by: Server,
    },
    /// The disk has a device already.
    #[error("the disk is {} already, served by {by}", device.display())]
    Served {
        /// The device.
        device: PathBuf,
        /// Who serves it.
        by: Server,
    },
    /// What a dead process has left behind cannot be taken over, and is in use.
    #[error("{} of a dead process {why}, and is {users}", device.display())]
    LeftBehind {
        /// The device.
        device: PathBuf,
        /// Why it cannot be taken over.
        why: &'static str,
        /// Who uses it.
        users: Users,
    },
    /// The operating system refused.
    #[error("cannot {what} {}: {error}", path.display())]
    Os {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What came back.
        error: io::Error,
    },
}

/// A process that serves a device. Displays as "process 7 (qemu-storage-daemon)".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Its id; -1 if the device was not started.
    pub pid: i32,
    /// What it is called; `None` if it is dead.
    pub name: Option<String>,
}

impl Server {
    /// A process by its id.
    pub(super) fn of(pid: i32) -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        let name = read("stat")
            .filter(|stat| is_alive(stat))
            .and_then(|_| Some(read("comm")?.trim().to_owned()));
        Self { pid, name }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.pid) {
            (Some(name), pid) => write!(f, "process {pid} ({name})"),
            (None, 1..) => write!(f, "process {}, which is dead", self.pid),
            (None, _) => f.write_str("nobody"),
        }
    }
}

/// Whether a process is more than what its parent has not asked for yet, by its `stat` of proc(5).
fn is_alive(stat: &str) -> bool {
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    !state.is_some_and(|state| state.starts_with(['Z', 'X']))
}

pub(super) fn failed<E: Into<io::Error>>(
    what: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(E) -> UblkError {
    let path = path.into();
    move |error| UblkError::Os {
        what,
        path,
        error: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_serve_nobody() {
        assert!(is_alive("7 (a) b) S 1 7 7"));
        assert!(!is_alive("7 (a) S) Z 1 7 7"));
        let own = Server::of(std::process::id().try_into().unwrap());
        assert!(own.name.is_some());
        assert_eq!(Server::of(-1).to_string(), "nobody");
    }
}
