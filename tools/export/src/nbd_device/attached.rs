//! A device that the driver has made for us.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use super::error::NbdDeviceError;
use super::netlink::{Driver, Reconfigure};
use super::{TIMEOUT, sysfs};
use crate::apart::{apart, wait_for_lookers};
use crate::users::Users;

/// The longest request in KiB. The driver's own limit of 128 costs much of a fast bus.
const MAX_SECTORS_KB: u32 = 512;

/// How many requests may be under way. More would only wait, and with a slow disk for longer than
/// [`TIMEOUT`].
const NR_REQUESTS: u32 = 32;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Attached {
    pub(super) index: u32,
    pub(super) identity: String,
    pub(super) dead_conn_timeout: Duration,
}

impl Attached {
    pub(super) fn path(&self) -> PathBuf {
        sysfs::node(self.index)
    }

    /// Whether it is, and is the one that we know.
    pub(super) fn is_attached(&self) -> bool {
        sysfs::identity(self.index).as_ref() == Some(&self.identity)
    }

    pub(super) fn users(&self) -> Users {
        Users::of(&sysfs::name(self.index))
    }

    pub(super) fn failed(&self, what: &'static str) -> impl FnOnce(io::Error) -> NbdDeviceError {
        let device = self.path();
        move |error| NbdDeviceError::Os {
            what,
            device,
            error,
        }
    }

    /// Gives the driver a new socket in the place of the one that is dead; if none is, the socket
    /// is closed.
    pub(super) fn reconnect(
        &self,
        driver: &Driver,
        socket: BorrowedFd<'_>,
        timeout: Duration,
    ) -> io::Result<()> {
        driver.reconfigure(&Reconfigure {
            socket: Some(socket),
            timeout: timeout.as_secs(),
            ..self.change()
        })
    }

    /// Has the driver wait so long for replies; zero: for ever.
    pub(super) fn set_timeout(&self, timeout: Duration) -> Result<(), NbdDeviceError> {
        self.tell(&Reconfigure {
            timeout: timeout.as_secs(),
            ..self.change()
        })
    }

    /// Has it stay when its last user closes it, and the driver wait so long for replies.
    pub(super) fn stay(&self, timeout: Duration) -> Result<(), NbdDeviceError> {
        self.tell(&Reconfigure {
            timeout: timeout.as_secs(),
            disconnect_on_close: Some(false),
            ..self.change()
        })
    }

    fn tell(&self, change: &Reconfigure<'_>) -> Result<(), NbdDeviceError> {
        let driver = Driver::find();
        let told = driver.and_then(|driver| driver.reconfigure(change));
        told.map_err(self.failed("configure"))
    }

    fn change(&self) -> Reconfigure<'_> {
        Reconfigure {
            index: self.index,
            identity: &self.identity,
            timeout: TIMEOUT.as_secs(),
            dead_conn_timeout: self.dead_conn_timeout.as_secs().max(1),
            disconnect_on_close: None,
            socket: None,
        }
    }

    /// Sets its limits, and has the kernel look for partitions. Waits for what is under way, so not
    /// for a device that is taken over: it has them.
    pub(super) fn settle(&self) -> io::Result<()> {
        apart(|| {
            sysfs::set(self.index, "max_sectors_kb", MAX_SECTORS_KB)?;
            sysfs::set(self.index, "nr_requests", NR_REQUESTS)?;
            File::open(self.path()).map(drop)
        })?
    }

    /// Detaches it, or has it detached when its last user closes it. Gives who uses it.
    pub(super) fn detach(&self) -> Result<Option<Users>, NbdDeviceError> {
        if !self.is_attached() {
            return Ok(None);
        }
        let users = self.users();
        let change = Reconfigure {
            disconnect_on_close: Some(true),
            ..self.change()
        };
        let driver = Driver::find();
        match driver.and_then(|driver| driver.reconfigure(&change)) {
            Ok(()) => {}
            Err(_) if !self.is_attached() => return Ok(None),
            Err(error) => return Err(self.failed("detach")(error)),
        }
        let closed = apart(|| File::open(self.path()).map(drop));
        match closed.and_then(|closed| closed) {
            Ok(()) => {}
            Err(_) if !self.is_attached() => return Ok(None),
            Err(error) => return Err(self.failed("open and close")(error)),
        }
        if users != Users::default() {
            return Ok(self.is_attached().then_some(users));
        }
        let attached = wait_for_lookers(|| Ok::<_, NbdDeviceError>(self.is_attached()))?;
        Ok(attached.then(|| self.users()))
    }

    /// Takes it away from whoever uses it.
    pub(super) fn disconnect(&self) -> Result<(), NbdDeviceError> {
        if !self.is_attached() {
            return Ok(());
        }
        let driver = Driver::find();
        let told = driver.and_then(|driver| driver.disconnect(self.index));
        told.map_err(self.failed("detach"))
    }
}
