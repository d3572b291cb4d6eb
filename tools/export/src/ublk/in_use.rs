//! Whether somebody uses a device, and its end when nobody does.
//!
//! The kernel tells since Linux 7.0. Before that it is looked for: mounts and holders, an open for
//! this process alone, which fails beside a mount in another namespace, a swap or a volume, and
//! what all processes have open.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use super::abi;
use super::control::{Driver, block, errno, name};
use super::error::{UblkError, failed};
use super::queue::Ended;
use crate::loop_device::leave_descriptors;
use crate::users::Users;

/// How long what is under way may take when nobody uses the device.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes a device away unless it is in use. Gives who uses it.
pub(super) fn close(
    number: u32,
    mark: u64,
    ended: &Arc<Ended>,
) -> Result<Option<Users>, UblkError> {
    let ended = Arc::clone(ended);
    apart(number, move || {
        close_by(&mut Driver::open()?, number, mark, &ended)
    })
}

/// The same in a thread that is [`apart`].
pub(super) fn close_by(
    driver: &mut Driver,
    number: u32,
    mark: u64,
    ended: &Ended,
) -> Result<Option<Users>, UblkError> {
    // The number is another one's if it has ended, perhaps.
    if !ended.wait(Duration::ZERO) {
        if let Some(users) = stop(driver, number)? {
            return Ok(Some(users));
        }
        // The number is free only when its server has let go of it.
        ended.wait(PATIENCE);
    }
    delete(driver, number, mark)?;
    Ok(None)
}

/// Takes a device away when nobody uses it, unless that is given up. For a thread of its own.
pub(super) fn wait_for_the_last(
    number: u32,
    mark: u64,
    ended: &Ended,
    mut is_given_up: impl FnMut() -> bool,
) -> Result<(), UblkError> {
    leave_descriptors().map_err(failed("be apart for", block(number)))?;
    let mut driver = Driver::open()?;
    while !is_given_up() {
        if close_by(&mut driver, number, mark, ended)?.is_none() {
            break;
        }
    }
    Ok(())
}

/// Takes a device away though it is in use, if what is under way takes no longer than this.
pub(super) fn force(
    number: u32,
    mark: u64,
    ended: &Arc<Ended>,
    patience: Duration,
) -> Result<(), UblkError> {
    let ended = Arc::clone(ended);
    apart(number, move || {
        let mut driver = Driver::open()?;
        if !ended.wait(Duration::ZERO) {
            driver.stop(number, patience)?;
            ended.wait(PATIENCE);
        }
        delete(&mut driver, number, mark)
    })
}

/// Gives up the number of a device that is stopped, unless another one has it already.
fn delete(driver: &mut Driver, number: u32, mark: u64) -> Result<(), UblkError> {
    let info = driver.info(number)?;
    match info.filter(|info| info.server_flags == mark && info.state == abi::DEV_DEAD) {
        // Who has it open still keeps the number, and no more.
        Some(_) => driver.delete(number, PATIENCE),
        None => Ok(()),
    }
}

/// Stops a device unless it is in use. Gives who uses it.
fn stop(driver: &mut Driver, number: u32) -> Result<Option<Users>, UblkError> {
    if driver.can_try_stop() {
        let stopped = driver.try_stop(number, PATIENCE)?;
        return Ok((!stopped).then(|| Users::of(&name(number))));
    }
    if let Some(users) = look(number) {
        return Ok(Some(users));
    }
    let path = block(number);
    let mut options = OpenOptions::new();
    let alone = options.read(true).custom_flags(libc::O_EXCL).open(&path);
    let alone: File = match alone {
        Ok(alone) => alone,
        Err(error) => match errno(&error) {
            Errno::EBUSY => return Ok(Some(Users::of(&name(number)))),
            Errno::ENOENT | Errno::ENXIO | Errno::ENODEV => return Ok(None),
            _ => return Err(failed("open", path)(error)),
        },
    };
    // From now on it cannot be mounted.
    if let Some(users) = look(number) {
        return Ok(Some(users));
    }
    // Whoever closed it meanwhile was not the last, so what he wrote is in memory still.
    alone.sync_all().map_err(failed("flush", path))?;
    driver.stop(number, PATIENCE)?;
    Ok(None)
}

/// Who uses a device, as far as that can be seen without opening it.
pub(super) fn look(number: u32) -> Option<Users> {
    let name = name(number);
    let users = Users::of(&name);
    let used = users != Users::default() || is_open(&name) || is_below(&name);
    used.then_some(users)
}

/// Whether a process has it open.
fn is_open(name: &str) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut files = processes
        .filter(|process| is_number(&process.file_name()))
        .flat_map(|process| {
            fs::read_dir(process.path().join("fd"))
                .into_iter()
                .flatten()
        })
        .flatten();
    // The link is read and not followed: behind it may be a file whose server does not answer.
    files.any(|file| fs::read_link(file.path()).is_ok_and(|file| is_it(&file, name)))
}

/// Whether it is swapped to, or a loop device is on it, which no process has open.
fn is_below(name: &str) -> bool {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let swaps = swaps.lines().filter_map(|line| line.split(' ').next());
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut loops =
        disks.filter_map(|disk| fs::read_to_string(disk.path().join("loop/backing_file")).ok());
    swaps.map(Path::new).any(|path| is_it(path, name))
        || loops.any(|path| is_it(Path::new(path.trim_end()), name))
}

/// Whether `path` names the disk `name` or one of its partitions: in a folder `dev`, as files
/// elsewhere may be called after the device.
fn is_it(path: &Path, name: &str) -> bool {
    let folder = path.parent().and_then(Path::file_name);
    if folder != Some(OsStr::new("dev")) {
        return false;
    }
    let file = path.file_name().and_then(OsStr::to_str);
    let rest = file.and_then(|file| file.strip_prefix(name));
    rest.is_some_and(|rest| {
        let partition = rest.strip_prefix('p').unwrap_or_default();
        rest.is_empty() || partition.parse::<u32>().is_ok()
    })
}

fn is_number(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.parse::<u32>().is_ok())
}

/// Has a thread without a descriptor of this process do something. Nothing that it opens may
/// leave it, and nothing with a descriptor may come in.
pub(super) fn apart<T: Send + 'static>(
    number: u32,
    work: impl FnOnce() -> Result<T, UblkError> + Send + 'static,
) -> Result<T, UblkError> {
    let whole = |error: io::Error| failed("do something apart with", block(number))(error);
    let thread = thread::Builder::new().name("ublk device".into());
    let thread = thread.spawn(move || {
        leave_descriptors().map_err(|error| failed("be apart for", block(number))(error))?;
        work()
    });
    let ended = thread.map_err(whole)?.join();
    ended.unwrap_or_else(|_| Err(whole(io::Error::other("the thread has died"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_the_disk_and_another_disk_is_not() {
        let is_it = |path: &str| is_it(Path::new(path), "ublkb1");
        assert!(is_it("/dev/ublkb1") && is_it("/dev/ublkb1p12") && is_it("/else/dev/ublkb1"));
        assert!(!is_it("/run/fwshare/devices/ublkb1"));
        assert!(!is_it("/dev/ublkb12") && !is_it("/dev/ublkb1px") && !is_it("/dev/ublkc1"));
    }
}
