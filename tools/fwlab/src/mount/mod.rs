//! A [`Lab`](crate::lab::Lab) as files: a FUSE file system whose files answer the firewire-cdev ioctls.
//!
//! ```text
//! DIR/ctl          one line of JSON in, one out: see [`command`](crate::lab::command)
//! DIR/host0/fw0    the first host's own controller
//! DIR/host0/fw1…   the other nodes as the first host sees them
//! DIR/host1/fw0…   the same for the second host
//! ```
//!
//! A program that opens `DIR/host0/fw1` finds what it would find behind `/dev/fw1` of a real
//! host. What FUSE adds to the way there:
//!
//! - The files are regular ones. Reads and writes go past the page cache, and no offsets count.
//! - The kernel copies an ioctl's argument by the size in the command. What that points to is
//!   read and written in the memory of the caller (`memory`), which needs the right to trace it:
//!   programs of the same user, where Yama is not in the way.
//! - The kernel turns `ENOSYS` from an ioctl into `ENOTTY`: that is what ADD_DESCRIPTOR and the
//!   PHY packet ioctls give on the file of another node.
//! - A read that waits is parked until there is an event, or until its thread has a signal to
//!   handle (`signals`): the FUSE library does not hand on interruptions.
//!
//! Only the user who mounts it can enter the folder.

mod attributes;
mod files;
mod memory;
mod signals;
mod waiting;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fwshare_fuse::Mounted;

use self::files::Files;
use self::waiting::Waiting;
use crate::world::{Timekeeper, Watcher, World};

/// A bus that is mounted.
pub struct Mount {
    waiting: Arc<Waiting>,
    mounted: Mounted,
    clock: Timekeeper,
}

/// Why a bus cannot be mounted, or not be taken away.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The folder is no folder, or cannot be looked at.
    #[error("{}: {error}", folder.display())]
    Folder {
        /// Which one.
        folder: PathBuf,
        /// What came back.
        error: io::Error,
    },
    /// A bus was mounted there whose process has died.
    #[error("{} is what a dead fwlab has left behind", folder.display())]
    Stale {
        /// Which one.
        folder: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {what} {}: {error}", folder.display())]
    Os {
        /// What was tried.
        what: &'static str,
        /// On which folder.
        folder: PathBuf,
        /// What came back.
        error: io::Error,
    },
}

impl Mount {
    /// Mounts a bus on an existing folder; its clock starts.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn new(folder: &Path, world: Arc<World>) -> Result<Self, MountError> {
        let folder = folder.canonicalize().map_err(|error| MountError::Folder {
            folder: folder.to_owned(),
            error,
        })?;
        let failed = |what| {
            let folder = folder.clone();
            move |error| {
                if fwshare_fuse::is_stale(&error) {
                    MountError::Stale { folder }
                } else {
                    MountError::Os {
                        what,
                        folder,
                        error,
                    }
                }
            }
        };
        let waiting = Arc::new(Waiting::default());
        world.add_watcher(Arc::clone(&waiting) as Arc<dyn Watcher>);
        let files = Files::new(Arc::clone(&world), Arc::clone(&waiting));
        let mounted = Mounted::new(files, folder.clone(), "fwlab").map_err(failed("mount on"))?;
        waiting.set_notifier(mounted.notifier());
        let clock = Timekeeper::new(&world).map_err(failed("keep the time of"))?;
        Ok(Self {
            waiting,
            mounted,
            clock,
        })
    }

    /// Whether somebody has unmounted it from outside.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.mounted.is_gone()
    }

    /// Takes the bus away. Programs that have its files open find their nodes gone as soon as
    /// this process has ended; the folder is free at once.
    ///
    /// # Errors
    /// [`MountError::Os`].
    pub fn detach(self) -> Result<(), MountError> {
        drop(self.clock);
        self.waiting.end();
        let folder = self.mounted.path().to_owned();
        self.mounted.detach().map_err(|error| MountError::Os {
            what: "unmount",
            folder,
            error,
        })
    }
}
