//! What can be in a virtual machine's way.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::vfio::ProbeError;

/// Why there is no virtual machine, or why it does not do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// No QEMU that can, where one was looked for.
    #[error("no QEMU that knows vfio-user-pci (10.1 or newer): {0}")]
    NoQemu(String),
    /// No kernel of that name.
    #[error("no kernel {name}: {reason}")]
    NoKernel {
        /// What was asked for.
        name: String,
        /// Where it was looked for, and what is missing.
        reason: String,
    },
    /// The kernel has no such module.
    #[error("kernel {release} has no module {module}")]
    NoModule {
        /// What was asked for.
        module: String,
        /// Which kernel.
        release: String,
    },
    /// There is no FireWire controller at a socket.
    #[error(transparent)]
    Controller(#[from] ProbeError),
    /// There is no network at a socket.
    #[error("no network at {}: {error}", path.display())]
    NoNetwork {
        /// Where.
        path: PathBuf,
        /// What came back.
        error: std::io::Error,
    },
    /// This machine has no such program.
    #[error("no program {0} on this machine")]
    NoProgram(String),
    /// Another program was needed, and failed.
    #[error("{program} failed ({status}): {said}")]
    Tool {
        /// Which one.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// The operating system refused.
    #[error("{what}: {error}")]
    Os {
        /// What was tried, and where.
        what: String,
        /// What came back.
        error: std::io::Error,
    },
    /// The guest is no longer there: it has ended, or its kernel has.
    #[error("guest {name} has ended; its console ended with\n{console}")]
    Ended {
        /// Which guest.
        name: String,
        /// The last lines of its console, and of what QEMU said.
        console: String,
    },
    /// It takes too long.
    #[error("guest {name}: nothing after {} s, waiting for {what}; its console ended with\n{console}", .after.as_secs())]
    TimedOut {
        /// Which guest.
        name: String,
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// The last lines of its console.
        console: String,
    },
    /// What cannot be asked for.
    #[error("{0}")]
    Spec(String),
}

impl VmError {
    pub(super) fn os(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Os { what, error }
    }
}
