//! The kernel's driver as the only client of an export, over a pair of sockets.

use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::export::Export;
use super::session::{self, Crew, Farewell, Handle, Kernel};

/// A session with the kernel.
pub(crate) struct KernelSession {
    handle: Handle,
    departing: UnixStream,
}

impl KernelSession {
    /// Serves the kernel, which has or is given the other end of `stream`.
    ///
    /// `at_end` is called when nothing is left of the session: no thread, and no request that the
    /// disk still has. Until then a request that came by it may still be done.
    pub(crate) fn start(
        export: &Arc<Export>,
        stream: UnixStream,
        at_end: impl FnOnce(Farewell) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (departing, noticed) = UnixStream::pair()?;
        let kernel = Kernel {
            departing: noticed,
            at_end: Some(Box::new(at_end)),
        };
        let crew = Arc::<Crew>::default();
        let handle = session::start_kernel(Arc::clone(export), stream, kernel, &crew)?;
        Ok(Self { handle, departing })
    }

    /// Ends it between two requests: those that have come whole are done and answered.
    pub(crate) fn depart(&self) {
        // It fails only if the session is over.
        let _ = (&self.departing).write_all(&[0]);
    }

    /// Ends it when what is under way has been answered; what else comes is refused.
    pub(crate) fn stop(&self) {
        self.handle.stop();
    }

    /// How many requests are with the disk.
    pub(crate) fn under_way(&self) -> usize {
        self.handle.under_way()
    }

    /// Hangs up. Returns how many requests the disk still had.
    pub(crate) fn abort(&self) -> usize {
        self.handle.abort().unwrap_or(0)
    }
}

impl fmt::Debug for KernelSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelSession").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
