//! Sockets to listen on.

use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen as start,
    setsockopt, socket, sockopt,
};
use nix::sys::stat::{Mode, fchmod};

use super::endpoint::Endpoint;
use super::session::Stream;

/// Seconds of silence after which a TCP client is asked whether it is still there. A host that
/// lost its power would otherwise keep its place for ever.
const KEEPALIVE_IDLE: u32 = 60;

/// Why an endpoint cannot be listened on. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there already.
    #[error("{}: already in use by another process", .0.display())]
    InUse(PathBuf),
    /// There is something, and it is no socket. It was not touched.
    #[error("{}: exists and is not a socket, so it was left alone", .0.display())]
    NotASocket(PathBuf),
    /// The system refused a step on the way to a Unix socket.
    #[error("{}: cannot {step}: {error}", path.display())]
    Unix {
        /// The path of the socket.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// What came back.
        #[source]
        error: io::Error,
    },
    /// The system refused the TCP port.
    #[error("{endpoint}: cannot listen: {error}")]
    Tcp {
        /// The address.
        endpoint: Endpoint,
        /// What came back.
        #[source]
        error: io::Error,
    },
    /// The system has no room for the server's own thread or socket.
    #[error("cannot start a server: {0}")]
    System(#[source] io::Error),
}

/// A socket that clients connect to.
#[derive(Debug)]
pub(super) struct Listener {
    /// Where it really is: a chosen port, an absolute path.
    pub(super) endpoint: Endpoint,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Unix {
        listener: UnixListener,
        _file: SocketFile,
    },
    Tcp(TcpListener),
}

impl Listener {
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, ListenError> {
        match endpoint {
            Endpoint::Unix(path) => unix(path),
            Endpoint::Tcp { host, port } => tcp(host, *port).map_err(|error| ListenError::Tcp {
                endpoint: endpoint.clone(),
                error,
            }),
        }
    }

    /// The next client; an error of the kind `WouldBlock` if there is none.
    pub(super) fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Socket::Unix { listener, .. } => Ok(Stream::Unix(listener.accept()?.0)),
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                setsockopt(&stream, sockopt::KeepAlive, &true)?;
                setsockopt(&stream, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Unix { listener, .. } => listener.as_fd(),
            Socket::Tcp(listener) => listener.as_fd(),
        }
    }
}

fn tcp(host: &str, port: u16) -> io::Result<Listener> {
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    let listener = TcpListener::bind(addresses.as_slice())?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok(Listener {
        endpoint: Endpoint::Tcp {
            host: host.to_owned(),
            port,
        },
        socket: Socket::Tcp(listener),
    })
}

fn unix(path: &Path) -> Result<Listener, ListenError> {
    let failed = |step| {
        let path = path.to_owned();
        move |error: io::Error| ListenError::Unix { path, step, error }
    };
    // Clients and the removal at the end may have another working directory.
    let path = std::path::absolute(path).map_err(failed("make the path absolute"))?;
    let path = path.as_path();
    let address = UnixAddr::new(path)
        .map_err(io::Error::from)
        .map_err(failed("name a socket so"))?;
    let _lock = lock_folder(path).map_err(failed("lock the folder"))?;
    clear(path, &address)?;

    let socket = new_socket(SockFlag::SOCK_NONBLOCK).map_err(failed("make a socket"))?;
    // Linux makes the file with the mode of the open socket (and the umask), so at no time can
    // anybody else connect. A chmod afterwards would leave a gap, and the umask belongs to the
    // whole process.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)
        .map_err(io::Error::from)
        .map_err(failed("restrict the socket"))?;
    bind(socket.as_raw_fd(), &address)
        .map_err(io::Error::from)
        .map_err(failed("make the socket"))?;
    let file = SocketFile::new(path).map_err(failed("find the socket just made"))?;
    start(&socket, Backlog::MAXCONN)
        .map_err(io::Error::from)
        .map_err(failed("listen"))?;
    Ok(Listener {
        endpoint: Endpoint::Unix(path.to_owned()),
        socket: Socket::Unix {
            listener: socket.into(),
            _file: file,
        },
    })
}

fn new_socket(flags: SockFlag) -> io::Result<OwnedFd> {
    Ok(socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | flags,
        None,
    )?)
}

/// Keeps other servers of this kind out of the folder of `path` while one looks for a stale
/// socket and replaces it: of two that find the same one, the second would else remove the
/// socket that the first has just made.
fn lock_folder(path: &Path) -> io::Result<Flock<File>> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    Flock::lock(File::open(folder)?, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// Removes a socket that nobody listens on, and nothing else.
fn clear(path: &Path, address: &UnixAddr) -> Result<(), ListenError> {
    let failed = |step| {
        move |error: io::Error| ListenError::Unix {
            path: path.to_owned(),
            step,
            error,
        }
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at what is there")(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ListenError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    // Not blocking: a server with many clients waiting would otherwise hold us up.
    let probe = new_socket(SockFlag::SOCK_NONBLOCK).map_err(failed("make a socket"))?;
    match connect(probe.as_raw_fd(), address) {
        Err(Errno::ECONNREFUSED) => {
            fs::remove_file(path).map_err(failed("replace the stale socket"))
        }
        Err(Errno::ENOENT) => Ok(()),
        // Connected, or refused for another reason than that nobody listens.
        Ok(()) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => Err(ListenError::InUse(path.to_owned())),
        Err(errno) => Err(failed("tell whether the socket is in use")(errno.into())),
    }
}

/// The file of a socket, removed in the end if it is still the same.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
        })
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
