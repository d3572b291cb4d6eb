//! What the kernel's nbd driver is told by generic netlink, and nothing else: numbers and one
//! function per command.
//!
//! It repeats `include/uapi/linux/nbd-netlink.h` (Linux 6.12) under Rust names.

use std::io::{self, Cursor};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use neli::consts::genl::{CtrlAttr, CtrlCmd};
use neli::consts::nl::{GenlId, NlmF};
use neli::consts::socket::{Msg, NlFamily};
use neli::genl::{AttrTypeBuilder, Genlmsghdr, GenlmsghdrBuilder, Nlattr, NlattrBuilder};
use neli::nl::{NlPayload, NlmsghdrBuilder};
use neli::socket::NlSocket;
use neli::types::{Buffer, GenlBuffer, NlBuffer};
use neli::utils::Groups;
use neli::{FromBytesWithInput as _, Size as _, ToBytes};
use nix::errno::Errno;

/// NBD_GENL_FAMILY_NAME.
const FAMILY: &str = "nbd";
/// NBD_GENL_VERSION.
const VERSION: u8 = 1;

/// NBD_CMD_CONNECT.
const CONNECT: u8 = 1;
/// NBD_CMD_DISCONNECT.
const DISCONNECT: u8 = 2;
/// NBD_CMD_RECONFIGURE.
const RECONFIGURE: u8 = 3;

/// NBD_ATTR_INDEX.
const INDEX: u16 = 1;
/// NBD_ATTR_SIZE_BYTES.
const SIZE_BYTES: u16 = 2;
/// NBD_ATTR_BLOCK_SIZE_BYTES.
const BLOCK_SIZE_BYTES: u16 = 3;
/// NBD_ATTR_TIMEOUT.
const TIMEOUT: u16 = 4;
/// NBD_ATTR_SERVER_FLAGS.
const SERVER_FLAGS: u16 = 5;
/// NBD_ATTR_CLIENT_FLAGS.
const CLIENT_FLAGS: u16 = 6;
/// NBD_ATTR_SOCKETS.
const SOCKETS: u16 = 7;
/// NBD_ATTR_DEAD_CONN_TIMEOUT.
const DEAD_CONN_TIMEOUT: u16 = 8;
/// NBD_ATTR_BACKEND_IDENTIFIER.
const BACKEND_IDENTIFIER: u16 = 10;
/// NBD_SOCK_ITEM.
const SOCK_ITEM: u16 = 1;
/// NBD_SOCK_FD.
const SOCK_FD: u16 = 1;

/// NBD_CFLAG_DISCONNECT_ON_CLOSE.
const DISCONNECT_ON_CLOSE: u64 = 1 << 1;

/// Bytes of an answer that are read: the only one of interest has one number.
const ANSWER: usize = 8192;

/// The kernel's driver.
pub(super) struct Driver {
    socket: NlSocket,
    family: u16,
}

/// A new device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connect<'a> {
    /// The N of `/dev/nbdN`. If there is no such device, it is made.
    pub(super) index: u32,
    /// Bytes.
    pub(super) size: u64,
    /// Bytes in a logical block.
    pub(super) block_size: u32,
    /// What the protocol calls transmission flags.
    pub(super) flags: u16,
    /// Seconds that a request may take.
    pub(super) timeout: u64,
    /// Seconds that requests wait for a new socket.
    pub(super) dead_conn_timeout: u64,
    /// What `/sys/block/nbdN/backend` shows.
    pub(super) identity: &'a str,
}

/// What changes of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reconfigure<'a> {
    /// The N of `/dev/nbdN`.
    pub(super) index: u32,
    /// Has to be that of the device.
    pub(super) identity: &'a str,
    /// As in [`Connect`].
    pub(super) timeout: u64,
    /// As in [`Connect`].
    pub(super) dead_conn_timeout: u64,
    /// Whether it goes when its last user closes it, if that is to change.
    pub(super) disconnect_on_close: Option<bool>,
    /// In the place of a socket that is dead. If none is, it is closed.
    pub(super) socket: Option<BorrowedFd<'a>>,
}

impl Driver {
    /// Finds it. `ENOENT`: it is not loaded.
    pub(super) fn find() -> io::Result<Self> {
        let socket = NlSocket::connect(NlFamily::Generic, None, Groups::empty())?;
        let name = attribute(CtrlAttr::FamilyName, FAMILY)?;
        let message = message(CtrlCmd::Getfamily, 2, vec![name])?;
        send(&socket, GenlId::Ctrl.into(), message)?;
        let family = answer(&socket, u16::from(CtrlAttr::FamilyId))?;
        let family = family.and_then(|bytes| Some(u16::from_ne_bytes(bytes.try_into().ok()?)));
        let family = family.ok_or_else(|| io::Error::from(Errno::ENOENT))?;
        Ok(Self { socket, family })
    }

    /// NBD_CMD_CONNECT: makes a device of a socket. `EBUSY`: it is taken.
    pub(super) fn connect(&self, device: &Connect<'_>, socket: BorrowedFd<'_>) -> io::Result<()> {
        let attributes = vec![
            attribute(INDEX, device.index)?,
            attribute(SIZE_BYTES, device.size)?,
            attribute(BLOCK_SIZE_BYTES, u64::from(device.block_size))?,
            attribute(SERVER_FLAGS, u64::from(device.flags))?,
            attribute(TIMEOUT, device.timeout)?,
            attribute(DEAD_CONN_TIMEOUT, device.dead_conn_timeout)?,
            attribute(BACKEND_IDENTIFIER, device.identity)?,
            sockets(socket)?,
        ];
        self.command(CONNECT, attributes)
    }

    /// NBD_CMD_RECONFIGURE. `EINVAL`: there is no such device, or its identity is another one.
    pub(super) fn reconfigure(&self, change: &Reconfigure<'_>) -> io::Result<()> {
        let mut attributes = vec![
            attribute(INDEX, change.index)?,
            attribute(BACKEND_IDENTIFIER, change.identity)?,
            attribute(TIMEOUT, change.timeout)?,
            attribute(DEAD_CONN_TIMEOUT, change.dead_conn_timeout)?,
        ];
        if let Some(goes) = change.disconnect_on_close {
            let flags = if goes { DISCONNECT_ON_CLOSE } else { 0 };
            attributes.push(attribute(CLIENT_FLAGS, flags)?);
        }
        if let Some(socket) = change.socket {
            attributes.push(sockets(socket)?);
        }
        self.command(RECONFIGURE, attributes)
    }

    /// NBD_CMD_DISCONNECT: detaches it at once. Who uses it gets errors.
    pub(super) fn disconnect(&self, index: u32) -> io::Result<()> {
        self.command(DISCONNECT, vec![attribute(INDEX, index)?])
    }

    fn command(&self, command: u8, attributes: Vec<Nlattr<u16, Buffer>>) -> io::Result<()> {
        let message = message(command, VERSION, attributes)?;
        send(&self.socket, self.family, message)?;
        answer(&self.socket, INDEX).map(drop)
    }
}

fn attribute<T: neli::consts::genl::NlAttrType>(
    kind: T,
    value: impl neli::Size + ToBytes,
) -> io::Result<Nlattr<T, Buffer>> {
    let kind = AttrTypeBuilder::default().nla_type(kind).build();
    let kind = kind.map_err(io::Error::other)?;
    let attribute = NlattrBuilder::default().nla_type(kind).nla_payload(value);
    attribute.build().map_err(io::Error::other)
}

fn sockets(socket: BorrowedFd<'_>) -> io::Result<Nlattr<u16, Buffer>> {
    let fd = u32::try_from(socket.as_raw_fd()).map_err(io::Error::other)?;
    let fd = attribute(SOCK_FD, fd)?;
    let item = attribute(SOCK_ITEM, Vec::<u8>::new())?.nest(&fd);
    let item = item.map_err(io::Error::other)?;
    let sockets = attribute(SOCKETS, Vec::<u8>::new())?.nest(&item);
    sockets.map_err(io::Error::other)
}

fn message<C, T>(
    command: C,
    version: u8,
    attributes: Vec<Nlattr<T, Buffer>>,
) -> io::Result<Genlmsghdr<C, T>>
where
    C: neli::consts::genl::Cmd,
    T: neli::consts::genl::NlAttrType,
{
    let message = GenlmsghdrBuilder::default()
        .cmd(command)
        .version(version)
        .attrs(attributes.into_iter().collect::<GenlBuffer<_, _>>());
    message.build().map_err(io::Error::other)
}

fn send<C, T>(socket: &NlSocket, family: u16, message: Genlmsghdr<C, T>) -> io::Result<()>
where
    C: neli::consts::genl::Cmd,
    T: neli::consts::genl::NlAttrType,
{
    let message = NlmsghdrBuilder::default()
        .nl_type(family)
        .nl_flags(NlmF::REQUEST | NlmF::ACK)
        .nl_payload(NlPayload::Payload(message))
        .build()
        .map_err(io::Error::other)?;
    let mut bytes = Cursor::new(vec![0; message.padded_size()]);
    message.to_bytes(&mut bytes).map_err(io::Error::other)?;
    socket.send(bytes.into_inner(), Msg::empty()).map(drop)
}

/// Reads until the command is acknowledged, or refused. Gives this attribute of what came before.
fn answer(socket: &NlSocket, attribute: u16) -> io::Result<Option<Vec<u8>>> {
    let mut found = None;
    loop {
        let mut bytes = vec![0; ANSWER];
        let (length, _) = socket.recv(&mut bytes, Msg::empty())?;
        bytes.truncate(length);
        let mut bytes = Cursor::new(bytes);
        let messages =
            NlBuffer::<u16, Genlmsghdr<u8, u16>>::from_bytes_with_input(&mut bytes, length);
        for message in messages.map_err(io::Error::other)? {
            match message.nl_payload() {
                NlPayload::Ack(_) => return Ok(found),
                NlPayload::Err(error) => {
                    return Err(io::Error::from_raw_os_error(error.error().saturating_neg()));
                }
                NlPayload::Payload(payload) => {
                    let attributes = payload.attrs().get_attr_handle();
                    if let Some(attribute) = attributes.get_attribute(attribute) {
                        found = Some(attribute.nla_payload().as_ref().to_vec());
                    }
                }
                NlPayload::DumpExtAck(_) | NlPayload::Empty => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_that_of_the_systems_header() {
        let mut facts = Vec::new();
        for (ours, c) in [
            (u64::from(VERSION), "NBD_GENL_VERSION"),
            (CONNECT.into(), "NBD_CMD_CONNECT"),
            (DISCONNECT.into(), "NBD_CMD_DISCONNECT"),
            (RECONFIGURE.into(), "NBD_CMD_RECONFIGURE"),
            (INDEX.into(), "NBD_ATTR_INDEX"),
            (SIZE_BYTES.into(), "NBD_ATTR_SIZE_BYTES"),
            (BLOCK_SIZE_BYTES.into(), "NBD_ATTR_BLOCK_SIZE_BYTES"),
            (TIMEOUT.into(), "NBD_ATTR_TIMEOUT"),
            (SERVER_FLAGS.into(), "NBD_ATTR_SERVER_FLAGS"),
            (CLIENT_FLAGS.into(), "NBD_ATTR_CLIENT_FLAGS"),
            (SOCKETS.into(), "NBD_ATTR_SOCKETS"),
            (DEAD_CONN_TIMEOUT.into(), "NBD_ATTR_DEAD_CONN_TIMEOUT"),
            (BACKEND_IDENTIFIER.into(), "NBD_ATTR_BACKEND_IDENTIFIER"),
            (SOCK_ITEM.into(), "NBD_SOCK_ITEM"),
            (SOCK_FD.into(), "NBD_SOCK_FD"),
            (DISCONNECT_ON_CLOSE, "NBD_CFLAG_DISCONNECT_ON_CLOSE"),
        ] {
            facts.push((c.to_owned(), ours));
        }
        crate::c_header::compare("linux/nbd-netlink.h", &["linux/nbd.h"], &facts);
    }
}
