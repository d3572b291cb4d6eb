//! A FUSE file system on a folder or a file of this host, which only its user can enter, and
//! which can be taken away while others have it open.

#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fuser::{BackgroundSession, Config, Filesystem, MountOption, Notifier};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::statfs::statfs;

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
        let result = unmount(&self.path);
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

/// Whether a process that died has left such a file system on `path`, of which no part may be a
/// symbolic link; `name` is that of [`Mounted::new`].
#[must_use]
pub fn is_left_behind(path: &Path, name: &str) -> bool {
    // The kernel may remember a file's attributes for longer than the process lives. This it always
    // asks for.
    let is_stale = statfs(path).is_err_and(|error| error == Errno::ENOTCONN);
    is_stale
        && is_mounted(
            &fs::read("/proc/self/mountinfo").unwrap_or_default(),
            path,
            name,
        )
}

/// Whether `mountinfo` has such a file system on top of what else is mounted there.
fn is_mounted(mountinfo: &[u8], path: &Path, name: &str) -> bool {
    let mut place = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => place.extend(format!("\\{byte:03o}").bytes()),
            _ => place.push(*byte),
        }
    }
    let subtype = format!("fuse.{name}");
    let mut own = mountinfo.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut words = line.split(|byte| *byte == b' ');
        let here = words.nth(4)? == place;
        words.find(|word| *word == b"-")?;
        let (kind, source) = (words.next()?, words.next()?);
        // Without fusermount3 there is no subtype.
        let plain = kind == b"fuse" && source == name.as_bytes();
        here.then_some(plain || kind == subtype.as_bytes())
    });
    own.next_back() == Some(true)
}

/// Takes a file system away also while it is in use.
///
/// # Errors
/// What the operating system said.
pub fn unmount(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        Err(Errno::EPERM) => ask_fusermount(path),
        result => result.map_err(io::Error::from),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_place_and_kind() {
        let mountinfo = b"\
30 1 0:40 / /a\\040b rw shared:1 - fuse.fwshare fwshare rw\n\
31 1 0:41 / /c rw - fuse.fwshare fwshare rw\n\
33 1 0:43 / /d rw - fuse fwshare rw\n\
32 1 0:42 / /c rw - tmpfs x rw\n";
        assert!(is_mounted(mountinfo, Path::new("/a b"), "fwshare"));
        assert!(!is_mounted(mountinfo, Path::new("/a b"), "fwlab"));
        assert!(is_mounted(mountinfo, Path::new("/d"), "fwshare"));
        assert!(!is_mounted(mountinfo, Path::new("/d"), "fwlab"));
        assert!(!is_mounted(mountinfo, Path::new("/c"), "fwshare"));
        assert!(!is_mounted(mountinfo, Path::new("/"), "fwshare"));
    }
}
