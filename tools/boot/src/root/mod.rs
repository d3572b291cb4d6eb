//! A system, seen from where it may not be running.
//!
//! All paths are resolved by the kernel inside the folder (`openat2` with `RESOLVE_IN_ROOT`,
//! Linux 5.6): an absolute link in another system's tree leads to a place in that tree, and no
//! path leads out of it.

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use crate::tree::{Kind, MAX_FILE, Tree, TreeError};

/// How often a path is tried that cannot be followed because others rename at the same time. Each
/// attempt has its own chance, so this many are enough however busy they are.
const ATTEMPTS: usize = 128;

/// The tree of a system.
#[derive(Debug)]
pub struct Root {
    folder: OwnedFd,
    path: PathBuf,
    is_live: bool,
}

/// Why a folder cannot be taken for a system.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {} as the root of a system: {source}", path.display())]
pub struct RootError {
    /// The folder, as it was given.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

impl Root {
    /// The system in a folder. `/`, by whatever name, is the one that runs.
    ///
    /// # Errors
    /// [`RootError`] if there is no such folder.
    pub fn open(path: &Path) -> Result<Self, RootError> {
        let failed = |errno: Errno| RootError {
            path: path.to_owned(),
            source: errno.into(),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = open(path, flags, Mode::empty()).map_err(failed)?;
        let running = open("/", flags, Mode::empty()).map_err(failed)?;
        let (this, that) = (fstat(&folder), fstat(&running));
        let (this, that) = (this.map_err(failed)?, that.map_err(failed)?);
        // The name is for messages and for commands, whose working directory is another.
        let path = std::fs::canonicalize(path).map_err(|source| RootError {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            folder,
            path,
            is_live: (this.st_dev, this.st_ino) == (that.st_dev, that.st_ino),
        })
    }

    /// Whether this is the system that runs.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.is_live
    }

    /// The folder, from this machine's `/`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How this machine calls a file of this system.
    #[must_use]
    pub fn outside(&self, path: &Path) -> PathBuf {
        self.path.join(inside(path))
    }

    /// Opens what is at a path of this system. `None` if there is nothing.
    ///
    /// # Errors
    /// The kernel's. A path that leads nowhere because a file stands where a folder should is none.
    pub fn open_at(&self, path: &Path, flags: OFlag) -> io::Result<Option<OwnedFd>> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        // By openat2(2) a `..` cannot be followed while anything is renamed or mounted anywhere.
        for _ in 1..ATTEMPTS {
            match openat2(&self.folder, inside(path), how) {
                Err(Errno::EAGAIN) => {}
                opened => return found(opened),
            }
        }
        found(openat2(&self.folder, inside(path), how))
    }

    /// What is at a path, after following links. `None` if there is nothing.
    ///
    /// # Errors
    /// As [`Self::open_at`].
    pub fn stat(&self, path: &Path) -> io::Result<Option<FileStat>> {
        let opened = self.open_at(path, OFlag::O_PATH)?;
        Ok(opened.map(fstat).transpose()?)
    }

    /// What is at a path itself, be it a link. `None` if there is nothing.
    ///
    /// # Errors
    /// As [`Self::open_at`].
    pub fn stat_link(&self, path: &Path) -> io::Result<Option<FileStat>> {
        let opened = self.open_at(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        Ok(opened.map(fstat).transpose()?)
    }
}

fn found(opened: nix::Result<OwnedFd>) -> io::Result<Option<OwnedFd>> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// A path of the system as one relative to its top.
pub(crate) fn inside(path: &Path) -> &Path {
    let path = path.strip_prefix("/").unwrap_or(path);
    match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    }
}

fn kind(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Folder,
        _ => Kind::Other,
    }
}

impl Tree for Root {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, TreeError> {
        let failed = |source| TreeError {
            what: "read",
            path: path.to_owned(),
            source,
        };
        // A FIFO is not waited for.
        let opened = self.open_at(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK);
        let Some(opened) = opened.map_err(failed)? else {
            return Ok(None);
        };
        let stat = fstat(&opened).map_err(|errno| failed(errno.into()))?;
        match kind(&stat) {
            Kind::File => {}
            Kind::Folder => return Err(failed(Errno::EISDIR.into())),
            Kind::Other => return Err(failed(io::Error::other("it is no regular file"))),
        }
        let mut bytes = Vec::new();
        let mut file = File::from(opened).take(MAX_FILE + 1);
        file.read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(failed(Errno::EFBIG.into()));
        }
        Ok(Some(bytes))
    }

    fn list(&self, folder: &Path) -> Result<Vec<OsString>, TreeError> {
        let failed = |source| TreeError {
            what: "list",
            path: folder.to_owned(),
            source,
        };
        let opened = self.open_at(folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY);
        let Some(opened) = opened.map_err(failed)? else {
            return Ok(Vec::new());
        };
        let mut opened = Dir::from_fd(opened).map_err(|errno| failed(errno.into()))?;
        let mut names = Vec::new();
        for entry in opened.iter() {
            let entry = entry.map_err(|errno| failed(errno.into()))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn kind(&self, path: &Path) -> Result<Option<Kind>, TreeError> {
        let failed = |source| TreeError {
            what: "look at",
            path: path.to_owned(),
            source,
        };
        Ok(match self.stat(path).map_err(failed)? {
            Some(stat) => Some(kind(&stat)),
            None => self.stat_link(path).map_err(failed)?.map(|_| Kind::Other),
        })
    }

    fn link(&self, path: &Path) -> Result<Option<PathBuf>, TreeError> {
        let failed = |source| TreeError {
            what: "look at",
            path: path.to_owned(),
            source,
        };
        let opened = self.open_at(path, OFlag::O_PATH | OFlag::O_NOFOLLOW);
        let Some(opened) = opened.map_err(failed)? else {
            return Ok(None);
        };
        let stat = fstat(&opened).map_err(|errno| failed(errno.into()))?;
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFLNK {
            return Ok(None);
        }
        let target = readlinkat(&opened, "").map_err(|errno| failed(errno.into()))?;
        Ok(Some(target.into()))
    }
}
