//! Messages out of a socket and into it.

use std::io;
use std::mem;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use zerocopy::FromBytes as _;

use super::session::{Refusal, Request, Session};
use super::sys;
use super::wire::{BODY_MAX, Command, DESCRIPTORS_MAX, Header};

/// Why a connection ends before the client ends it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// There is no telling where the next message begins.
    #[error("a message of {0} bytes, where 16 to {max} are possible", max = size_of::<Header>() + BODY_MAX)]
    Size(u32),
    /// The client went in the middle of a message.
    #[error("a message ends early")]
    Truncated,
    /// The two have no protocol in common.
    #[error(transparent)]
    Version(Refusal),
    /// The socket failed.
    #[error("{0}")]
    Socket(#[from] io::Error),
}

/// A client's socket, and room for one message.
pub(super) struct Connection<'a> {
    stream: &'a UnixStream,
    body: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    /// Some descriptors of this message are lost.
    lost: bool,
}

impl<'a> Connection<'a> {
    pub(super) fn new(stream: &'a UnixStream) -> Self {
        Self {
            stream,
            body: Vec::new(),
            descriptors: Vec::new(),
            lost: false,
        }
    }

    /// Serves the client until it goes.
    pub(super) fn serve(&mut self, session: &mut Session<'_>) -> Result<(), ConnectionError> {
        let mut reply = Vec::new();
        while let Some(header) = self.receive()? {
            let flags = header.flags.get();
            if flags & Header::TYPE != Header::COMMAND {
                // We ask nothing, so nobody can answer.
                tracing::debug!(?header, "a message that is no command was passed over");
                continue;
            }
            reply.clear();
            reply.resize(size_of::<Header>(), 0);
            let done = self.dispatch(header, session, &mut reply);
            let error = match &done {
                Ok(()) => None,
                Err(refusal) => {
                    tracing::warn!(%refusal, "a command of the guest's was refused");
                    reply.truncate(size_of::<Header>());
                    Some(refusal.errno())
                }
            };
            if flags & Header::NO_REPLY == 0 {
                self.answer(header, error, &mut reply)?;
            }
            if let Err(refusal @ Refusal::Version(_)) = done {
                return Err(ConnectionError::Version(refusal));
            }
        }
        Ok(())
    }

    fn dispatch(
        &mut self,
        header: Header,
        session: &mut Session<'_>,
        reply: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let descriptors = mem::take(&mut self.descriptors);
        let code = header.command.get();
        let command = Command::from_code(code).ok_or(Refusal::Unknown(code))?;
        if self.lost {
            return Err(Refusal::Lost);
        }
        let body = &self.body;
        session.handle(
            Request {
                command,
                body,
                descriptors,
            },
            reply,
        )
    }

    /// The next message, whole; its body and descriptors are left in self. None if the client has
    /// gone.
    fn receive(&mut self) -> Result<Option<Header>, ConnectionError> {
        let mut bytes = [0; size_of::<Header>()];
        self.descriptors.clear();
        self.lost = false;
        match self.fill(&mut bytes)? {
            0 => return Ok(None),
            length if length < bytes.len() => return Err(ConnectionError::Truncated),
            _ => {}
        }
        let Ok(header) = Header::read_from_bytes(&bytes) else {
            return Err(ConnectionError::Truncated);
        };
        let size = header.size.get();
        let wrong = ConnectionError::Size(size);
        let length = usize::try_from(size).ok();
        let length = length.and_then(|size| size.checked_sub(size_of::<Header>()));
        let Some(length) = length.filter(|length| *length <= BODY_MAX) else {
            return Err(wrong);
        };
        let mut body = mem::take(&mut self.body);
        body.resize(length, 0);
        let filled = self.fill(&mut body)?;
        self.body = body;
        if filled < length {
            return Err(ConnectionError::Truncated);
        }
        Ok(Some(header))
    }

    /// Reads until `buffer` is full or the client has gone.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let received = match sys::receive(self.stream.as_fd(), &mut buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                received => received?,
            };
            self.descriptors.extend(received.descriptors);
            self.descriptors.truncate(DESCRIPTORS_MAX);
            self.lost |= received.lost;
            if received.length == 0 {
                break;
            }
            filled += received.length;
        }
        Ok(filled)
    }

    /// Sends `reply`, which begins with room for its header.
    fn answer(&self, to: Header, error: Option<Errno>, reply: &mut [u8]) -> io::Result<()> {
        let header = Header {
            id: to.id,
            command: to.command,
            size: u32::try_from(reply.len()).map_err(io::Error::other)?.into(),
            flags: match error {
                None => Header::REPLY,
                Some(_) => Header::REPLY | Header::ERROR,
            }
            .into(),
            error: error
                .map_or(0, |errno| (errno as i32).unsigned_abs())
                .into(),
        };
        if let Some(room) = reply.first_chunk_mut::<{ size_of::<Header>() }>() {
            *room = zerocopy::transmute!(header);
        }
        let mut rest: &[u8] = reply;
        while !rest.is_empty() {
            match send(self.stream.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(sent) => rest = &rest[sent..],
            }
        }
        Ok(())
    }
}
