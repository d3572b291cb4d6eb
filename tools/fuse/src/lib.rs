//! A FUSE file system on a folder or a file of this host, which only its user can enter, and
//! which can be taken away while others have it open.

#![forbid(unsafe_code)]

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use fuser::{BackgroundSession, Config, Filesystem, MountOption, Notifier};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

/// A file system that is mounted.
#[derive(Debug)]
pub struct Mounted {
    path: PathBuf,
    session: BackgroundSession,
}

impl Mounted {
    /// Mounts on `path`, of which no part may be a symbolic link; `name` is what mount(8) shows.
    ///
    /// # Errors
    /// What the operating system said; see [`is_stale`].
    pub fn new(filesystem: impl Filesystem, path: PathBuf, name: &str) -> io::Result<Self> {
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName(name.to_owned()),
            MountOption::Subtype(name.to_owned()),
            MountOption::NoSuid,
            MountOption::NoExec,
        ];
        let session = fuser::Session::new(filesystem, &path, &config)?.spawn()?;
        Ok(Self { path, session })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Wakes those who poll.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        self.session.notifier()
    }

    /// Whether somebody else has unmounted it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.session.guard.is_finished()
    }

    /// Takes it away: nobody opens anything in it any more. Who has something open keeps that
    /// until this process ends.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn detach(self) -> io::Result<()> {
        if self.is_gone() {
            return Ok(());
        }
        let result = match umount2(&self.path, MntFlags::MNT_DETACH) {
            Err(Errno::EPERM) => ask_fusermount(&self.path),
            result => result.map_err(io::Error::from),
        };
        // Open files keep the connection: it ends with the process, and to wait for them here
        // would be to wait for strangers.
        std::mem::forget(self.session);
        result
    }
}

/// Whether the error is that of a path on which a process that died had mounted something.
#[must_use]
pub fn is_stale(error: &io::Error) -> bool {
    error.raw_os_error().map(Errno::from_raw) == Some(Errno::ENOTCONN)
}

/// Who mounted without being root needs help to unmount.
fn ask_fusermount(path: &Path) -> io::Result<()> {
    let status = Command::new("fusermount3")
        .args(["-u", "-z", "-q", "--"])
        .arg(path)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("fusermount3: {status}")))
    }
}
