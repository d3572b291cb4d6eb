//! Whether a virtual machine would find a function at a socket.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zerocopy::{FromBytes as _, IntoBytes as _};

use super::wire::{CAPABILITIES, Command, Header, Version};

/// A server that is free answers at once, one whose client has just gone a little later.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a virtual machine would find nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// There is no socket, or nobody behind it.
    #[error("no controller at {}: {error}", path.display())]
    Nobody {
        /// Where.
        path: PathBuf,
        /// What came back.
        error: io::Error,
    },
    /// Somebody is there and says nothing, as a server does that has a client.
    #[error("the controller at {} is in use by another virtual machine", .0.display())]
    InUse(PathBuf),
    /// Something else is there.
    #[error("what is at {} is no vfio-user device", .0.display())]
    NotADevice(PathBuf),
}

/// Connects to the function at `path`, and leaves it again.
///
/// QEMU itself waits for ever where another virtual machine is connected.
///
/// # Errors
/// [`ProbeError`].
pub fn probe(path: &Path) -> Result<(), ProbeError> {
    let stream = UnixStream::connect(path).map_err(|error| ProbeError::Nobody {
        path: path.to_owned(),
        error,
    })?;
    match greet(stream) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(ProbeError::InUse(path.to_owned()))
        }
        Ok(false) | Err(_) => Err(ProbeError::NotADevice(path.to_owned())),
    }
}

/// Says the version, and hears whether the other side answers in the same protocol.
fn greet(mut stream: UnixStream) -> io::Result<bool> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let version = Version {
        major: 0.into(),
        minor: 0.into(),
    };
    let length = size_of::<Header>() + size_of::<Version>() + CAPABILITIES.len();
    let header = Header {
        id: 1.into(),
        command: (Command::Version as u16).into(),
        size: u32::try_from(length).map_err(io::Error::other)?.into(),
        flags: Header::COMMAND.into(),
        error: 0.into(),
    };
    let message = [
        header.as_bytes(),
        version.as_bytes(),
        CAPABILITIES.as_bytes(),
    ];
    stream.write_all(&message.concat())?;
    let mut answer = [0; size_of::<Header>()];
    stream.read_exact(&mut answer)?;
    let answer = Header::read_from_bytes(&answer);
    Ok(answer.is_ok_and(|answer| {
        (answer.command, answer.flags.get()) == (header.command, Header::REPLY)
    }))
}
