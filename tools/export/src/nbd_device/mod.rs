//! A disk as a block device of this host, by the kernel's nbd driver.
//!
//! The driver is the client of our own NBD server, over a pair of sockets; generic netlink tells
//! it of the device and its socket. It has the disk's logical blocks, its flush is one of the
//! disk, and FUA is FUA. Writes of zeroes are not offered: the disk has no shorter way to do them,
//! and one of 4 GiB would be under way for minutes.
//!
//! # Why one connection
//!
//! The driver waits [`TIMEOUT`] for a reply. Then it shuts the connection down and sends the request
//! again. With several connections it does so at once, on another one, while the first attempt is
//! perhaps still on its way to the disk: that could land after what was written later to the same
//! blocks. With one connection it waits for a new one, and is given that only when nothing is left
//! of the old one, no thread and no request that the disk has. So an attempt has ended before the
//! next one comes, however long it took, and no limit has to be guessed: a request may live as long
//! as a lost login is waited for, and behind others. A single connection moves many times what
//! FireWire does.
//!
//! A request that takes longer than that each time, as a read of a bad block, would be sent again
//! for ever and never be answered. So the driver is told to wait for ever with the new connection,
//! until nothing is under way once.
//!
//! # A process that dies
//!
//! The device stays, and whoever uses it waits. The next process with the same identity finds it in
//! `/sys/block/nbdN/backend` and gives the driver a new socket. Requests that the driver had not
//! sent go on at once. Those that it had sent are sent again when their [`TIMEOUT`] is over, which
//! was begun when they were first sent; what was known of them has died with the process, and what
//! the bridge had of them was aborted with the old login. If no process comes, they fail after
//! `dead_conn_timeout` more, so none is written much later. There is one exception: what was under
//! way when the process died while the driver waited for ever, as above, waits for the next process
//! or for `nbd-client -d`.
//!
//! A process that [leaves](HostExport::leave) has the driver wait for [`LEAVING_TIMEOUT`] only, and
//! reads on until nothing more is there: usually nothing is under way then, and nothing waits.
//!
//! # Detaching
//!
//! `NBD_CMD_DISCONNECT` would take a mounted file system's disk away. So the driver is asked to
//! disconnect when the device is closed for the last time, and the device is opened and closed
//! once, in case nobody uses it.
//!
//! Whoever opens or closes it waits for this process, which serves it: as with
//! [`loop_device`](crate::loop_device), only threads without descriptors of this process do so. The
//! driver would go on by itself after its timeouts, but until then a killed process would keep its
//! FireWire node open and its login from the next one.

mod attached;
mod connect;
mod error;
mod keeper;
mod netlink;
mod sysfs;
mod take_over;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::attached::Attached;
pub use self::error::NbdDeviceError;
use self::keeper::{Event, Keeper, Link};
use self::netlink::Driver;
pub use self::sysfs::Shape;
use crate::block_device::{Announce, BlockDevice, DetachError, HostExport};
use crate::disk::Disk;
use crate::nbd::Export;
use crate::users::Users;

/// How long the driver waits for the reply to a request before it gives the connection up.
///
/// Safe whatever it is. Shorter: more requests are sent again while a disk spins up or a bus is
/// reset. Longer: what was under way when a process was killed takes longer to be sent again.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The same while the device is left to another process.
pub const LEAVING_TIMEOUT: Duration = Duration::from_secs(3);

/// How a disk becomes a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The N of `/dev/nbdN`; `None`: the first that nobody uses.
    pub index: Option<u32>,
    /// What the next process knows the device by: the same for the same disk, another one for every
    /// other disk. A short text without line ends.
    pub identity: String,
    /// How long who uses the device waits if nobody serves it: whole seconds, at least one. No
    /// shorter than requests to the disk wait for a lost login.
    pub dead_conn_timeout: Duration,
}

/// A disk that is an nbd device, until it is stopped.
#[derive(Debug)]
pub struct NbdDevice {
    attached: Arc<Attached>,
    events: Sender<Event>,
    /// Gives how many requests were not waited for.
    keeper: Option<JoinHandle<usize>>,
}

/// Sees that this kernel has the driver, loaded, and that this user may ask it.
///
/// # Errors
/// [`NbdDeviceError::NoDriver`], [`NbdDeviceError::NotPermitted`]
pub fn probe() -> Result<(), NbdDeviceError> {
    let found = Driver::find().map_err(|error| NbdDeviceError::of_driver(error, "find"));
    found.map(drop)
}

impl NbdDevice {
    /// Makes `disk` a device; or takes over the one that a process with the same identity has left.
    ///
    /// # Errors
    /// [`NbdDeviceError`]; who uses a device that there was is not disturbed.
    pub fn start(
        disk: Arc<dyn Disk>,
        options: &Options,
        announce: Announce<'_>,
    ) -> Result<Self, NbdDeviceError> {
        disk.geometry().check()?;
        let export = Arc::new(Export::new(disk)?);
        let driver = Driver::find().map_err(|error| NbdDeviceError::of_driver(error, "find"))?;
        match take_over::take_over(&driver, &export, options, announce)? {
            Some(device) => Ok(device),
            None => connect::connect(&driver, &export, options, announce),
        }
    }

    /// One whose driver has the other end of `link`.
    fn keep(
        attached: Attached,
        export: &Arc<Export>,
        (events, incoming): (Sender<Event>, Receiver<Event>),
        link: Link,
    ) -> Result<Self, NbdDeviceError> {
        let attached = Arc::new(attached);
        let keeper = Keeper::new(&attached, export, &events, link);
        let thread = thread::Builder::new().name("nbd device".into());
        let thread = thread.spawn(move || keeper.run(&incoming));
        Ok(Self {
            keeper: Some(thread.map_err(attached.failed("keep"))?),
            attached,
            events,
        })
    }

    /// Ends what serves it. How many requests were not waited for.
    fn end(&mut self, end: impl FnOnce(Instant) -> Event, grace: Duration) -> usize {
        let Some(keeper) = self.keeper.take() else {
            return 0;
        };
        // It fails if the driver has detached the device, and nothing is left to end.
        let _ = self.events.send(end(Instant::now() + grace));
        keeper.join().unwrap_or(0)
    }

    /// Detaches it in any case.
    fn take_away(&self) {
        let path = self.path();
        match self.attached.detach() {
            Ok(None) => return,
            Ok(Some(users)) => {
                tracing::warn!("{} is taken away, and is {users}", path.display());
            }
            Err(error) => tracing::warn!("{error}"),
        }
        if let Err(error) = self.attached.disconnect() {
            tracing::warn!("{} is left behind: {error}", path.display());
        }
    }
}

impl BlockDevice for NbdDevice {
    fn path(&self) -> PathBuf {
        self.attached.path()
    }

    fn detach(&self) -> Result<Option<Users>, DetachError> {
        Ok(self.attached.detach()?)
    }

    fn is_attached(&self) -> bool {
        self.attached.is_attached()
    }
}

impl HostExport for NbdDevice {
    fn name(&self) -> String {
        "nbd-device".to_owned()
    }

    fn device(&self) -> Option<&dyn BlockDevice> {
        Some(self)
    }

    /// Who uses the device still gets errors from then on.
    fn stop(mut self: Box<Self>, grace: Duration) -> usize {
        self.take_away();
        self.end(Event::Stop, grace)
    }

    fn can_be_left(&self) -> bool {
        true
    }

    fn leave(mut self: Box<Self>, grace: Duration) -> bool {
        // What is sent from now on may not be read any more.
        if let Err(error) = self.attached.stay(LEAVING_TIMEOUT) {
            tracing::warn!("{error}");
        }
        let unanswered = self.end(Event::Depart, grace);
        if unanswered > 0 {
            tracing::warn!("{unanswered} requests were not answered, and are sent again");
        }
        self.is_attached()
    }
}

impl Drop for NbdDevice {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            self.take_away();
            self.end(Event::Stop, Duration::ZERO);
        }
    }
}
