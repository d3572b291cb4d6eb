//! A disk as a block device of this host, by the kernel's ublk driver: `/dev/ublkbN`.
//!
//! Needs Linux 6.5, root and io_uring. Nothing lies in between: what the kernel wants of the
//! device becomes requests to the disk, several at a time, with flushes and FUA. Discards are not
//! offered.
//!
//! The kernel's interface is used as it is, on the crate io-uring. The crate libublk is not: it
//! needs libclang where it is built, and its own interface is being made anew.
//!
//! # When the process dies
//!
//! The device stays, mounted perhaps, and waits. Whoever serves the same disk next takes it over:
//! the same device goes on, with what was not answered issued again
//! (UBLK_F_USER_RECOVERY_REISSUE). That is right here: a write is answered only when the disk has
//! said that it is done, so at worst it is done twice with the same bytes.
//!
//! A device is known again by a number of 64 bits that the kernel keeps for the server
//! (`ublksrv_flags`): a hash of what the disk is called. It is gone when the device is, so nothing
//! can be stale, as a file in a folder could; and nothing has to be there, as a folder would. A
//! device that has that number and other limits or another size is not taken over: it is deleted,
//! or refused if it is in use. A hash that meets another disk's by chance is refused for that
//! reason at least, unless the two are of one size.
//!
//! How long a device waits has no limit. What its users wrote last is written when the next
//! process comes, be that late, and be it that other hosts have written there meanwhile: file
//! systems for several hosts have a watch of their own for such a case. A device that nobody is to
//! serve any more is ended with `ublk del` of ublksrv.
//!
//! # Who may wait for the device
//!
//! The device is served by this process, so whoever waits for it waits for this process. The
//! thread that serves it never touches it, does not wait for the disk, and is told to the kernel
//! as one that gets memory without waiting for what is to be written. What has to open the device
//! or wait for it is done by threads with descriptors of their own, as with
//! [loop devices](crate::loop_device): a process that is killed is gone for ublk only when the
//! character device is closed, and a thread that waits for the device would hold it open for ever.
//!
//! For the same reason a process must not be the last one in a mount namespace in which its own
//! device is mounted: its end is an unmount, and that waits for it. What a namespace gets from the
//! host's by propagation does no harm. Nothing here mounts anything, or makes a namespace.

mod abi;
mod control;
mod error;
mod in_use;
mod queue;
mod ring;
mod start;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use self::error::{Server, UblkError};

use self::control::block;
use self::queue::Queue;
use crate::block_device::{BlockDevice, DetachError, HostExport};
use crate::disk::Disk;
use crate::users::Users;

/// The numbers that a device can have: those below.
pub const NUMBERS: u32 = abi::NUMBERS;

/// How long udev may look at a device that is to be detached.
const LOOKERS: Duration = Duration::from_secs(3);

/// How often it is looked whether somebody uses it.
const ROUND: Duration = Duration::from_millis(200);

/// How long a queue may take to end that has nothing to do.
const END: Duration = Duration::from_secs(5);

/// A disk that is a block device, until it is stopped.
pub struct UblkExport {
    number: u32,
    /// How it is known again.
    mark: u64,
    queue: Queue,
    /// A thread that waits until nobody uses it, and whether it need not any more.
    closer: Mutex<Option<Arc<Quit>>>,
}

impl UblkExport {
    /// Makes `disk` the device `/dev/ublkbN`, N being `number` or any that is free. `identity` is
    /// what the disk is called by everybody who serves it, now or later: if a process that is dead
    /// has left a device for it, that one goes on. `announce` is told the device's name, as
    /// `ublkb0`, before the kernel has it served: what udev is to know of it has to be there when
    /// the kernel tells udev.
    ///
    /// # Errors
    /// [`UblkError`]; what is there is as before.
    pub fn start(
        disk: &Arc<dyn Disk>,
        number: Option<u32>,
        identity: &str,
        announce: &mut dyn FnMut(&str),
    ) -> Result<Self, UblkError> {
        let mark = start::mark(identity);
        let served = start::serve(disk, number, mark, announce)?;
        Ok(Self {
            number: served.number,
            mark,
            queue: served.queue,
            closer: Mutex::default(),
        })
    }

    /// Leaves the device to the next process that serves the disk: what the disk was asked is
    /// answered, if that takes no longer than this; all else waits in the kernel, which shows the
    /// device as before.
    ///
    /// Returns how many requests were not waited for. They are issued again.
    fn let_go(&self, grace: Duration) -> usize {
        self.stop_closing();
        self.queue.leave();
        match self.queue.ended().wait(grace) {
            true => 0,
            false => self.queue.under_way(),
        }
    }

    fn has_ended(&self) -> bool {
        self.queue.ended().wait(Duration::ZERO)
    }

    /// Has the device detached when nobody uses it any more.
    fn close_later(&self) -> Result<(), UblkError> {
        let mut closer = self.closer.lock().unwrap_or_else(PoisonError::into_inner);
        if closer.is_some() {
            return Ok(());
        }
        let quit = Arc::new(Quit::default());
        let told = Arc::clone(&quit);
        let ended = Arc::clone(self.queue.ended());
        let (number, mark) = (self.number, self.mark);
        let work = move || {
            let closed = in_use::wait_for_the_last(number, mark, &ended, || told.wait(ROUND));
            if let Err(error) = closed {
                tracing::warn!("{error}");
            }
        };
        let thread = thread::Builder::new().name("ublk users".into()).spawn(work);
        thread.map_err(error::failed("wait for the users of", block(self.number)))?;
        *closer = Some(quit);
        Ok(())
    }

    fn stop_closing(&self) {
        let mut closer = self.closer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(quit) = closer.take() {
            quit.tell();
        }
    }
}

/// A thread's leave to end.
#[derive(Debug, Default)]
struct Quit {
    wanted: Mutex<bool>,
    told: Condvar,
}

impl Quit {
    fn tell(&self) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    fn wait(&self, patience: Duration) -> bool {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .told
            .wait_timeout_while(wanted, patience, |wanted| !*wanted);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl BlockDevice for UblkExport {
    fn path(&self) -> PathBuf {
        block(self.number)
    }

    /// Linux before 7.0 does not tell who has the device open: whoever opens it in the moment in
    /// which it is found unused gets errors.
    fn detach(&self) -> Result<Option<Users>, DetachError> {
        let start = Instant::now();
        loop {
            let Some(users) = in_use::close(self.number, self.mark, self.queue.ended())? else {
                return Ok(None);
            };
            if users != Users::default() || start.elapsed() > LOOKERS {
                self.close_later()?;
                return Ok(Some(users));
            }
            thread::sleep(ROUND);
        }
    }

    fn is_attached(&self) -> bool {
        !self.has_ended()
    }
}

impl HostExport for UblkExport {
    fn name(&self) -> String {
        format!("ublk:{}", self.number)
    }

    fn device(&self) -> Option<&dyn BlockDevice> {
        Some(self)
    }

    /// A device that is still in use is taken from its users: what they have written and is not on
    /// the disk fails now, and must not reach the disk when the next process comes.
    fn stop(self: Box<Self>, grace: Duration) -> usize {
        self.stop_closing();
        if let Err(error) = in_use::force(self.number, self.mark, self.queue.ended(), grace) {
            tracing::warn!("{error}");
        }
        self.queue.under_way()
    }

    fn can_be_left(&self) -> bool {
        self.is_attached()
    }

    fn leave(self: Box<Self>, grace: Duration) -> bool {
        if self.has_ended() {
            return false;
        }
        let again = self.let_go(grace);
        if again > 0 {
            tracing::warn!("{again} requests to {} are issued again", self.name());
            // The disk has them still, and its answers need the device no more.
            std::mem::forget(self);
        }
        true
    }
}

impl Drop for UblkExport {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        self.stop_closing();
        let device = block(self.number);
        match in_use::close(self.number, self.mark, self.queue.ended()) {
            Ok(None) => return,
            Ok(Some(users)) => tracing::warn!(
                "{} is {users}: it waits for the next process that serves this disk",
                device.display()
            ),
            Err(error) => tracing::warn!("{} may be left behind: {error}", device.display()),
        }
        self.let_go(END);
    }
}

impl fmt::Debug for UblkExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UblkExport")
            .field("device", &block(self.number))
            .finish_non_exhaustive()
    }
}
