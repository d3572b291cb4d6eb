use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{AccessFlags, Uid, UnlinkatFlags, faccessat, unlinkat};

use super::bytes::Bytes;
use super::error::{ChangeError, Refusal};
use super::snapshot::{Manner, Snapshot};
use crate::Root;
use crate::root::inside;
use crate::tree::MAX_FILE;

/// The mode of folders that are new, whatever the umask says.
const NEW: u32 = 0o755;

/// A folder of a system, held open: what is done in it is done in this one, even if its name
/// comes to lead elsewhere.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// A file as it is.
pub(super) struct Found {
    pub(super) content: Vec<u8>,
    pub(super) manner: Manner,
    /// How many names it has.
    pub(super) names: u64,
}

impl Found {
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            content: Bytes(self.content.clone()),
            manner: self.manner.clone(),
        }
    }
}

impl Folder {
    /// Opens a folder by a path without links. `None` if it is not there.
    pub(super) fn open(root: &Root, path: &Path) -> Result<Option<Self>, ChangeError> {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(
                ResolveFlag::RESOLVE_IN_ROOT
                    | ResolveFlag::RESOLVE_NO_SYMLINKS
                    | ResolveFlag::RESOLVE_NO_MAGICLINKS,
            );
        match openat2(root.as_fd(), inside(path), how) {
            Ok(fd) => Ok(Some(Self {
                fd,
                path: path.to_owned(),
            })),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(ChangeError::io("open", path, errno)),
        }
    }

    /// Opens a folder that has to be there.
    pub(super) fn existing(root: &Root, path: &Path) -> Result<Self, ChangeError> {
        let missing = || ChangeError::io("open", path, Errno::ENOENT);
        Self::open(root, path)?.ok_or_else(missing)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the caller may make and remove names here.
    pub(super) fn may_change(&self) -> Result<(), ChangeError> {
        let flags = AccessFlags::W_OK | AccessFlags::X_OK;
        faccessat(&self.fd, ".", flags, AtFlags::AT_EACCESS)
            .map_err(|errno| ChangeError::io("write in", &self.path, errno))
    }

    /// Whether the caller may make files that are somebody's.
    pub(super) fn may_give(&self, name: &OsStr, manner: &Manner) -> Result<(), ChangeError> {
        let caller = Uid::effective();
        match caller.is_root() || caller.as_raw() == manner.uid {
            true => Ok(()),
            false => Err(self.failed("keep the owner of", name, Errno::EPERM)),
        }
    }

    /// Reads a regular file. `None` if there is nothing.
    pub(super) fn read(&self, name: &OsStr) -> Result<Option<Found>, ChangeError> {
        let refused = |why| ChangeError::refused(&self.path.join(name), why);
        let failed = |source| self.failed("read", name, source);
        // A FIFO is not waited for.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT) => return Ok(None),
            // A link has come to be there, or a socket.
            Err(Errno::ELOOP | Errno::ENXIO) => return Err(refused(Refusal::Special)),
            Err(errno) => return Err(failed(errno.into())),
        };
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(refused(Refusal::Folder));
        }
        if !metadata.is_file() {
            return Err(refused(Refusal::Special));
        }
        let mut content = Vec::new();
        let limited = (&mut file).take(MAX_FILE + 1).read_to_end(&mut content);
        limited.map_err(failed)?;
        if content.len() as u64 > MAX_FILE {
            return Err(refused(Refusal::Large));
        }
        Ok(Some(Found {
            content,
            manner: Manner::of(&file).map_err(failed)?,
            names: metadata.nlink(),
        }))
    }

    /// Writes a file that is not there yet, so that it outlives a loss of power once it has
    /// another name. If that fails, there is no file.
    pub(super) fn write(
        &self,
        name: impl AsRef<OsStr>,
        snapshot: &Snapshot,
    ) -> Result<(), ChangeError> {
        let name = name.as_ref();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        // Nobody reads it before it is known who may.
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let opened = openat(&self.fd, name, flags | OFlag::O_CLOEXEC, mode);
        let mut file = File::from(opened.map_err(|errno| self.failed("make", name, errno))?);
        let written = file
            .write_all(&snapshot.content)
            .and_then(|()| snapshot.manner.give(&file))
            .and_then(|()| file.sync_all());
        written.map_err(|source| {
            // What failed first is reported.
            let _ = self.remove(name);
            self.failed("write", name, source)
        })
    }

    /// Gives a file or folder a name here, instead of what had it.
    pub(super) fn rename(
        &self,
        from: impl AsRef<OsStr>,
        to: impl AsRef<OsStr>,
    ) -> Result<(), ChangeError> {
        renameat(&self.fd, from.as_ref(), &self.fd, to.as_ref())
            .map_err(|errno| self.failed("replace", to, errno))
    }

    /// Removes a file, if there is one.
    pub(super) fn remove(&self, name: impl AsRef<OsStr>) -> Result<(), ChangeError> {
        match unlinkat(&self.fd, name.as_ref(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.failed("remove", name, errno)),
        }
    }

    /// Makes a folder. Nothing happens if there is one.
    pub(super) fn make_folder(&self, name: impl AsRef<OsStr>) -> Result<(), ChangeError> {
        let name = name.as_ref();
        let failed = |errno| self.failed("make", name, errno);
        match mkdirat(&self.fd, name, Mode::from_bits_truncate(NEW)) {
            Ok(()) => {}
            Err(Errno::EEXIST) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = openat(&self.fd, name, flags, Mode::empty()).map_err(failed)?;
        File::from(opened)
            .set_permissions(Permissions::from_mode(NEW))
            .map_err(|source| self.failed("make", name, source))
    }

    /// Removes a folder, if there is one and nothing is in it.
    pub(super) fn remove_folder(&self, name: impl AsRef<OsStr>) -> Result<(), ChangeError> {
        match unlinkat(&self.fd, name.as_ref(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENOTEMPTY | Errno::EEXIST) => {
                Ok(())
            }
            Err(errno) => Err(self.failed("remove", name, errno)),
        }
    }

    /// Waits until the names here outlive a loss of power.
    pub(super) fn sync(&self) -> Result<(), ChangeError> {
        nix::unistd::fsync(self.fd.as_fd())
            .map_err(|errno| ChangeError::io("write", &self.path, errno))
    }

    fn failed(
        &self,
        what: &'static str,
        name: impl AsRef<OsStr>,
        source: impl Into<std::io::Error>,
    ) -> ChangeError {
        ChangeError::io(what, &self.path.join(name.as_ref()), source)
    }
}
