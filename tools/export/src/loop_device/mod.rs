//! A file of this host as a block device, by the kernel's loop driver.
//!
//! The device goes past the page cache to the file, has the disk's logical blocks, and its flush
//! is the file's `fsync`.
//!
//! # Who may wait for the device
//!
//! The file is served by this process, so whoever waits for the device waits for this process.
//! None of the threads that serve it touches the device. And a process that is killed while one of
//! its threads waits for the device would never go: the thread waits for an answer, and the kernel
//! gives up on the answer only when the process's descriptors are closed, which that thread holds.
//! So every call here is made by a thread with descriptors of its own, and none keeps the device
//! open.

mod left_behind;
mod system;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

pub(crate) use self::left_behind::detach_left_behind;
pub(crate) use self::system::leave_descriptors;
use crate::apart::wait_for_lookers;
use crate::block_device::{Announce, BlockDevice, DetachError};
use crate::disk::Geometry;
use crate::users::Users;

const CONTROL: &str = "/dev/loop-control";

/// How often somebody else may be faster.
const TRIES: usize = 100;

/// How long to let somebody else be faster.
const ROUND: Duration = Duration::from_millis(20);

/// Why there is no loop device.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// The kernel has no loop driver.
    #[error("there is no {CONTROL}")]
    NoDriver,
    /// Not root.
    #[error("this user may not open {}", .0.display())]
    NotPermitted(PathBuf),
    /// The kernel has a device for which there is no file.
    #[error("{} is free, and there is no such file", .0.display())]
    NoNode(PathBuf),
    /// Somebody else took every device that was free.
    #[error("{TRIES} loop devices were free, and then somebody else had them")]
    Taken,
    /// The kernel is older than Linux 5.8, or has no such logical blocks.
    #[error("the kernel refuses a loop device with blocks of {block_size} bytes")]
    Refused {
        /// Those of the disk.
        block_size: u32,
    },
    /// The device would have kept a copy of the disk in memory, behind the back of other hosts.
    #[error("{} does not go past the page cache", .0.display())]
    NotDirect(PathBuf),
    /// What a dead process has left behind is still in use.
    #[error("{} of a dead process is still {}", device.display(), users)]
    LeftBehind {
        /// The device.
        device: PathBuf,
        /// Who uses it.
        users: Users,
    },
    /// The operating system refused.
    #[error("cannot {what} {}: {error}", path.display())]
    Os {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What came back.
        error: io::Error,
    },
}

/// A file as a block device, until it is detached.
#[derive(Debug)]
pub struct LoopDevice {
    number: u32,
    /// The file: its file system and its number there.
    file: (u64, u64),
}

impl LoopDevice {
    /// Attaches the file `path`, which has this geometry, to a free device.
    ///
    /// # Errors
    /// [`LoopError`]; nothing is attached then.
    pub fn attach(
        path: &Path,
        geometry: &Geometry,
        announce: Announce<'_>,
    ) -> Result<Self, LoopError> {
        for _ in 0..TRIES {
            let number = apart(free)?;
            announce(&name(number));
            if let Some(device) = apart(|| configure(number, path, geometry))? {
                return Ok(device);
            }
            thread::sleep(ROUND);
        }
        Err(LoopError::Taken)
    }

    /// The device, if it is ours still. To close it is to detach it if nobody else has it open.
    fn open(&self) -> Result<Option<File>, LoopError> {
        let path = self.path();
        let device = match File::open(&path) {
            Ok(device) => device,
            // Somebody has removed it.
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        match system::status(device.as_fd()) {
            Ok(info) => {
                let ours = (info.device, info.inode) == self.file;
                Ok(ours.then_some(device))
            }
            Err(Errno::ENXIO) => Ok(None),
            Err(error) => Err(failed("look at", &path)(error)),
        }
    }
}

impl BlockDevice for LoopDevice {
    fn path(&self) -> PathBuf {
        node(self.number)
    }

    fn detach(&self) -> Result<Option<Users>, DetachError> {
        let ended = apart(|| {
            let Some(device) = self.open()? else {
                return Ok(None);
            };
            let users = users(self.number);
            system::clear(device.as_fd()).map_err(failed("detach", &self.path()))?;
            drop(device);
            if users != Users::default() {
                return Ok(Some(users));
            }
            wait_for_lookers(|| Ok(self.open()?.is_some()))
                .map(|attached| attached.then_some(users))
        });
        Ok(ended?)
    }

    fn is_attached(&self) -> bool {
        // A device that does not tell is one that has to be waited for.
        apart(|| Ok(self.open()?.is_some())).unwrap_or(true)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let path = self.path();
        match self.detach() {
            Ok(None) => {}
            Ok(Some(users)) => tracing::warn!("{} is still {users}", path.display()),
            Err(error) => tracing::warn!("{} may be left behind: {error}", path.display()),
        }
    }
}

/// The number of a device that nobody uses.
fn free() -> Result<u32, LoopError> {
    let control = Path::new(CONTROL);
    let opened = OpenOptions::new().read(true).write(true).open(control);
    let opened = opened.map_err(|error| match error.kind() {
        _ if is_gone(&error) => LoopError::NoDriver,
        io::ErrorKind::PermissionDenied => LoopError::NotPermitted(CONTROL.into()),
        _ => failed("open", control)(error),
    })?;
    system::free(opened.as_fd()).map_err(|error| match error {
        Errno::EPERM | Errno::EACCES => LoopError::NotPermitted(CONTROL.into()),
        _ => failed("find a loop device by", control)(error),
    })
}

/// Attaches a file to a device, unless somebody else was faster, or has it for himself.
fn configure(
    number: u32,
    path: &Path,
    geometry: &Geometry,
) -> Result<Option<LoopDevice>, LoopError> {
    let open = |path: &Path| {
        let mut options = OpenOptions::new();
        options.read(true).write(!geometry.read_only).open(path)
    };
    let file = open(path).map_err(failed("open", path))?;
    let metadata = file.metadata().map_err(failed("look at", path))?;
    let mut flags = system::PARTSCAN | system::DIRECT_IO;
    if geometry.read_only {
        flags |= system::READ_ONLY;
    }
    let node = node(number);
    let device = open(&node).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => LoopError::NoNode(node.clone()),
        io::ErrorKind::PermissionDenied => LoopError::NotPermitted(node.clone()),
        _ => failed("open", &node)(error),
    })?;
    let shown = path.as_os_str().as_bytes();
    let block_size = geometry.block_size;
    match system::configure(device.as_fd(), file.as_fd(), block_size, flags, shown) {
        Ok(()) => {}
        Err(Errno::EBUSY | Errno::EAGAIN) => return Ok(None),
        Err(Errno::EINVAL | Errno::ENOTTY) => return Err(LoopError::Refused { block_size }),
        Err(Errno::EPERM | Errno::EACCES) => return Err(LoopError::NotPermitted(node)),
        Err(error) => return Err(failed("configure", &node)(error)),
    }
    let direct =
        system::status(device.as_fd()).is_ok_and(|info| info.flags & system::DIRECT_IO != 0);
    if !direct {
        // Closed next, and with that detached.
        system::clear(device.as_fd()).map_err(failed("detach", &node))?;
        return Err(LoopError::NotDirect(node));
    }
    Ok(Some(LoopDevice {
        number,
        file: (metadata.dev(), metadata.ino()),
    }))
}

/// Has a thread without a descriptor of this process do something with loop devices. Nothing that
/// it opens may leave it.
fn apart<T: Send>(work: impl FnOnce() -> Result<T, LoopError> + Send) -> Result<T, LoopError> {
    let whole = |error| failed("leave the descriptors of", Path::new("this process"))(error);
    crate::apart::apart(work).map_err(whole)?
}

fn users(number: u32) -> Users {
    Users::of(&name(number))
}

/// The kernel's name of a device.
fn name(number: u32) -> String {
    format!("loop{number}")
}

fn node(number: u32) -> PathBuf {
    Path::new("/dev").join(name(number))
}

/// Whether there is no such file, or nothing behind it.
fn is_gone(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO))
}

fn failed<E: Into<io::Error>>(what: &'static str, path: &Path) -> impl FnOnce(E) -> LoopError {
    let path = path.to_owned();
    move |error| LoopError::Os {
        what,
        path,
        error: error.into(),
    }
}

#[cfg(test)]
mod tests;
