use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::abi;
use super::event::EventError;
use crate::port::PortError;

/// What went wrong on a node's file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The operating system refused.
    #[error("{operation} on {}: {source}", path.display())]
    Os {
        /// Which file.
        path: PathBuf,
        /// The system call or ioctl.
        operation: &'static str,
        /// What came back.
        source: io::Error,
    },
    /// The file does not know GET_INFO.
    #[error("{} is no firewire-cdev node file: GET_INFO: {source}", path.display())]
    NotANode {
        /// Which file.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// The kernel is too old.
    #[error(
        "{}: the kernel speaks firewire-cdev version {version}; version {} (Linux 2.6.36) or later is needed",
        path.display(), abi::VERSION_MIN
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// What the kernel speaks.
        version: u32,
    },
    /// An ioctl succeeded with an answer that no kernel gives.
    #[error("{operation} on {}: {what} cannot be", path.display())]
    Answer {
        /// Which file.
        path: PathBuf,
        /// The ioctl.
        operation: &'static str,
        /// The answer.
        what: String,
    },
    /// Bytes were read that are no event.
    #[error("read on {}: {source}", path.display())]
    Event {
        /// Which file.
        path: PathBuf,
        /// What is wrong with them.
        source: EventError,
    },
}

impl DeviceError {
    pub(super) fn os(path: &Path, operation: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Os {
            path: path.to_owned(),
            operation,
            source: source.into(),
        }
    }

    /// Which file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Os { path, .. }
            | Self::NotANode { path, .. }
            | Self::Version { path, .. }
            | Self::Answer { path, .. }
            | Self::Event { path, .. } => path,
        }
    }

    /// The operating system's error number, where it is its error.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Os { source, .. } | Self::NotANode { source, .. } => {
                source.raw_os_error().map(Errno::from_raw)
            }
            _ => None,
        }
    }

    /// Whether the file may not be opened by this user. A udev rule helps, see [`crate::cdev`].
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.errno(), Some(Errno::EACCES | Errno::EPERM))
    }

    /// Whether the node is not there any more: the kernel says so (`ENODEV`), or the file is not
    /// there, or the server behind a FUSE file has gone (`ENOTCONN`, `ECONNABORTED`).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(
            self.errno(),
            Some(
                Errno::ENODEV
                    | Errno::ENXIO
                    | Errno::ENOENT
                    | Errno::ENOTCONN
                    | Errno::ECONNABORTED
            )
        )
    }

    /// As the seam to the bus puts it.
    #[must_use]
    pub fn into_port_error(self) -> PortError {
        let device = self.path().display().to_string();
        if self.is_gone() {
            return PortError::Gone { device };
        }
        match self {
            Self::Os {
                operation, source, ..
            } => PortError::Os {
                what: operation,
                device,
                source,
            },
            other => PortError::Os {
                what: "firewire-cdev",
                device,
                source: io::Error::new(io::ErrorKind::InvalidData, other),
            },
        }
    }
}

/// Why there is no port on a card.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Address ranges and bus-reset notices come from the controller's own file, and that could
    /// not be opened.
    #[error("the node file of the controller itself (card {card} in {}) could not be opened", folder.display())]
    NoController {
        /// The kernel's number of the card.
        card: u32,
        /// The folder of the node files.
        folder: PathBuf,
    },
    /// The operating system refused something else than a node.
    #[error("{operation}: {source}")]
    Os {
        /// The system call.
        operation: &'static str,
        /// What came back.
        source: io::Error,
    },
}
