//! What QEMU says, as far as it says it.

use std::fs::File;
use std::io::{IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::PATIENCE;
use crate::vfio::wire::{Command, DmaMap, DmaUnmap, Header, IrqSet, RegionAccess, Version};

pub(super) struct Client {
    pub(super) stream: UnixStream,
    id: u16,
}

/// A reply's body, or the errno that it brings.
pub(super) type Answer = Result<Vec<u8>, Errno>;

impl Client {
    pub(super) fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, id: 0x1394 }
    }

    /// Sends a message and returns its id.
    pub(super) fn send(
        &mut self,
        command: u16,
        flags: u32,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> u16 {
        self.id = self.id.wrapping_add(1);
        let header = Header {
            id: self.id.into(),
            command: command.into(),
            size: ((size_of::<Header>() + body.len()) as u32).into(),
            flags: flags.into(),
            error: 0.into(),
        };
        self.send_raw(header.as_bytes(), descriptors).unwrap();
        self.stream.write_all(body).unwrap();
        self.id
    }

    pub(super) fn send_raw(
        &self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<usize, Errno> {
        let raw: Vec<RawFd> = descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights };
        let flags = MsgFlags::MSG_NOSIGNAL;
        sendmsg::<()>(
            self.stream.as_raw_fd(),
            &[IoSlice::new(bytes)],
            control,
            flags,
            None,
        )
    }

    /// The next reply: its id, command, and what it says.
    pub(super) fn receive(&mut self) -> (u16, u16, Answer) {
        let mut bytes = [0; size_of::<Header>()];
        self.stream.read_exact(&mut bytes).unwrap();
        let header = Header::read_from_bytes(&bytes).unwrap();
        let mut body = vec![0; header.size.get() as usize - bytes.len()];
        self.stream.read_exact(&mut body).unwrap();
        let flags = header.flags.get();
        let answer = if flags & Header::ERROR == 0 {
            assert_eq!((flags, header.error.get()), (Header::REPLY, 0));
            Ok(body)
        } else {
            assert_eq!((flags, body.len()), (Header::REPLY | Header::ERROR, 0));
            Err(Errno::from_raw(header.error.get() as i32))
        };
        (header.id.get(), header.command.get(), answer)
    }

    pub(super) fn call_with(
        &mut self,
        command: u16,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Answer {
        let id = self.send(command, Header::COMMAND, body, descriptors);
        let (id_back, command_back, answer) = self.receive();
        assert_eq!((id_back, command_back), (id, command));
        answer
    }

    pub(super) fn call(&mut self, command: Command, body: &[u8]) -> Answer {
        self.call_with(command as u16, body, &[])
    }

    pub(super) fn ask<T>(&mut self, command: Command, question: &T) -> T
    where
        T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned,
    {
        let answer = self.call(command, question.as_bytes()).unwrap();
        T::read_from_bytes(&answer).unwrap()
    }

    pub(super) fn negotiate(&mut self) {
        let mut body = vec![0; size_of::<Version>()];
        body.extend(
            b"{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,\
              \"write_multiple\":true}}\0",
        );
        let answer = self.call(Command::Version, &body).unwrap();
        let (version, capabilities) = Version::ref_from_prefix(&answer).unwrap();
        assert_eq!((version.major.get(), version.minor.get()), (0, 0));
        let json = capabilities.strip_suffix(b"\0").unwrap();
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(json["capabilities"]["max_msg_fds"], 8);
        assert_eq!(json["capabilities"]["max_data_xfer_size"], 1 << 20);
        assert!(json["capabilities"].get("write_multiple").is_none());
    }

    pub(super) fn map(&mut self, piece: DmaMap, file: Option<&File>) -> Result<(), Errno> {
        let files: Vec<_> = file.map(AsFd::as_fd).into_iter().collect();
        let answer = self.call_with(Command::DmaMap as u16, piece.as_bytes(), &files)?;
        assert!(answer.is_empty());
        Ok(())
    }

    pub(super) fn unmap(&mut self, address: u64, size: u64, flags: u32) -> Result<(), Errno> {
        let piece = DmaUnmap {
            argsz: 24.into(),
            flags: flags.into(),
            address: address.into(),
            size: size.into(),
        };
        let answer = self.call(Command::DmaUnmap, piece.as_bytes())?;
        assert_eq!(answer, piece.as_bytes());
        Ok(())
    }

    pub(super) fn set_irqs(
        &mut self,
        flags: u32,
        index: u32,
        count: u32,
        event: Option<BorrowedFd<'_>>,
    ) -> Result<(), Errno> {
        let set = IrqSet {
            argsz: 20.into(),
            flags: flags.into(),
            index: index.into(),
            start: 0.into(),
            count: count.into(),
        };
        let events: Vec<_> = event.into_iter().collect();
        let answer = self.call_with(Command::SetIrqs as u16, set.as_bytes(), &events)?;
        assert!(answer.is_empty());
        Ok(())
    }

    pub(super) fn read(&mut self, region: u32, offset: u64, count: u32) -> Answer {
        let access = access(region, offset, count);
        let answer = self.call(Command::RegionRead, access.as_bytes())?;
        let (echo, data) = RegionAccess::ref_from_prefix(&answer).unwrap();
        assert_eq!(echo.as_bytes(), access.as_bytes());
        assert_eq!(data.len(), count as usize);
        Ok(data.to_vec())
    }

    pub(super) fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let body = write_body(region, offset, data);
        let answer = self.call(Command::RegionWrite, &body)?;
        assert_eq!(answer, body[..size_of::<RegionAccess>()]);
        Ok(())
    }

    /// As QEMU writes to a BAR: nobody waits.
    pub(super) fn post(&mut self, region: u32, offset: u64, data: &[u8]) {
        let body = write_body(region, offset, data);
        let command = Command::RegionWrite as u16;
        self.send(command, Header::NO_REPLY, &body, &[]);
    }

    /// Whether the server has hung up, once all that it sent is read.
    pub(super) fn hung_up(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            // What it had not read yet when it closed.
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

fn access(region: u32, offset: u64, count: u32) -> RegionAccess {
    RegionAccess {
        offset: offset.into(),
        region: region.into(),
        count: count.into(),
    }
}

fn write_body(region: u32, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut body = access(region, offset, data.len() as u32)
        .as_bytes()
        .to_vec();
    body.extend(data);
    body
}

pub(super) fn piece(address: u64, size: u64, offset: u64, flags: u32) -> DmaMap {
    DmaMap {
        argsz: 32.into(),
        flags: flags.into(),
        offset: offset.into(),
        address: address.into(),
        size: size.into(),
    }
}
