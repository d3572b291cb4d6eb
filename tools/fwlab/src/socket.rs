//! A socket in the file system for virtual machines: made where there is none, or one that
//! nobody uses any more, and gone at the end.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket};
use nix::sys::stat::{Mode, fchmod};

/// Why there is no socket. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody has it already.
    #[error("{}: already in use by another process", .0.display())]
    InUse(PathBuf),
    /// There is something, and it is no socket. It was not touched.
    #[error("{}: exists and is not a socket, so it was left alone", .0.display())]
    NotASocket(PathBuf),
    /// The system refused a step.
    #[error("{}: cannot {step}: {error}", path.display())]
    System {
        /// The path of the socket.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// What came back.
        #[source]
        error: io::Error,
    },
}

/// A step on the way that failed.
pub(crate) fn failed<E: Into<io::Error>>(
    path: &Path,
    step: &'static str,
) -> impl FnOnce(E) -> SocketError {
    move |error| SocketError::System {
        path: path.to_owned(),
        step,
        error: error.into(),
    }
}

/// A socket's file, removed in the end if it is still the same.
#[derive(Debug)]
pub(crate) struct SocketFile {
    /// Absolute.
    pub(crate) path: PathBuf,
    identity: (u64, u64),
}

/// Makes a socket at `path` that only this user can send or connect to. A socket that nobody uses
/// any more is replaced, and nothing else.
pub(crate) fn bind_at(path: &Path, kind: SockType) -> Result<(OwnedFd, SocketFile), SocketError> {
    // Clients and the removal at the end may have another working directory.
    let path = std::path::absolute(path).map_err(failed(path, "make the path absolute"))?;
    let path = path.as_path();
    let address = UnixAddr::new(path).map_err(failed(path, "name a socket so"))?;
    let _lock = lock_folder(path).map_err(failed(path, "lock the folder"))?;
    clear(path, &address, kind)?;

    let socket = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None);
    let socket = socket.map_err(failed(path, "make a socket"))?;
    // Linux gives the file the mode of the open socket, so at no time can anybody else connect.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed(path, "restrict the socket"))?;
    bind(socket.as_raw_fd(), &address).map_err(failed(path, "make the socket"))?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path).map_err(failed(path, "find the socket just made"))?,
    };
    Ok((socket, file))
}

/// Keeps other servers of this kind out of the folder while one looks for a stale socket and
/// replaces it: of two that find the same one, the second would else remove the first's.
fn lock_folder(path: &Path) -> io::Result<Flock<File>> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    Flock::lock(File::open(folder)?, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

fn clear(path: &Path, address: &UnixAddr, kind: SockType) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(path, "look at what is there")(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    // Not blocking: a server with many clients waiting would otherwise hold us up.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, kind, flags, None);
    let probe = probe.map_err(failed(path, "make a socket"))?;
    match connect(probe.as_raw_fd(), address) {
        Err(Errno::ECONNREFUSED) => {
            fs::remove_file(path).map_err(failed(path, "replace the stale socket"))
        }
        Err(Errno::ENOENT) => Ok(()),
        // Connected, or refused for another reason than that nobody listens.
        Ok(()) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => Err(SocketError::InUse(path.to_owned())),
        Err(errno) => Err(failed(path, "tell whether the socket is in use")(errno)),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _lock = lock_folder(&self.path);
        if identity(&self.path).is_ok_and(|now| now == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
