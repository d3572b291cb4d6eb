//! A disk that is a device of this host's kernel.

use std::error::Error;
use std::fmt::Debug;
use std::path::PathBuf;

use crate::users::Users;

/// Why a device is perhaps attached still: what was tried, on what, and what came back.
pub type DetachError = Box<dyn Error + Send + Sync>;

/// A block device of this host, until it is detached.
pub trait BlockDevice: Debug + Send + Sync {
    /// The device, as `/dev/loop0`.
    fn path(&self) -> PathBuf;

    /// Detaches it. What the kernel still has to write is written first.
    ///
    /// A device in use is detached when its last user closes it; until then the disk has to be
    /// served. Gives who uses it, and may be called again.
    ///
    /// # Errors
    /// The system's; it may be attached still.
    fn detach(&self) -> Result<Option<Users>, DetachError>;

    /// Whether it is attached: it was not detached here, and nobody else has done so.
    fn is_attached(&self) -> bool;
}

/// A disk that is served at one place of this host, until it is stopped.
pub trait HostExport: Debug + Send {
    /// As on the command line: `file:/x`.
    fn name(&self) -> String;

    /// The block device that it has, if it has one.
    fn device(&self) -> Option<&dyn BlockDevice>;

    /// Takes it away: its device is detached, nobody opens it any more, and what is under way is
    /// waited for, at most so long. The disk is not flushed: whoever owns it does that next.
    ///
    /// Returns how many requests were not waited for.
    fn stop(self: Box<Self>, grace: std::time::Duration) -> usize;

    /// As [`stop`](Self::stop), but what can be left for the next process is left: a device stays
    /// attached, and who uses it waits.
    fn leave(self: Box<Self>, grace: std::time::Duration) -> usize {
        self.stop(grace)
    }
}
