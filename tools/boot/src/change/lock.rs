use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FlockArg, OFlag};

use super::error::ChangeError;
use crate::Root;

/// One run at a time changes a system: a lock on its top folder, which leaves nothing behind
/// and ends with the process.
pub(super) struct Lock {
    _folder: OwnedFd,
}

impl Lock {
    pub(super) fn take(root: &Root) -> Result<Self, ChangeError> {
        let top = Path::new("/");
        let failed = |source| ChangeError::io("lock", root.path(), source);
        // Opened anew: the lock is one of the open file, and the root's own may be shared.
        let folder = root.open_at(top, OFlag::O_RDONLY | OFlag::O_DIRECTORY);
        let folder = folder.map_err(failed)?;
        let folder = folder.ok_or_else(|| failed(Errno::ENOENT.into()))?;
        // `Flock` panics when it cannot unlock. Closing unlocks, and cannot fail.
        #[expect(deprecated)]
        let locked = nix::fcntl::flock(folder.as_raw_fd(), FlockArg::LockExclusiveNonblock);
        match locked {
            Ok(()) => Ok(Self { _folder: folder }),
            Err(Errno::EWOULDBLOCK) => Err(ChangeError::Busy {
                root: root.path().to_owned(),
            }),
            Err(errno) => Err(failed(errno.into())),
        }
    }
}
