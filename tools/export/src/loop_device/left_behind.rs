//! What a process that was killed has left behind: a file that nobody serves, and loop devices
//! on it.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{LoopError, apart, failed, is_gone, node, system, users};
use crate::apart::wait_for_lookers;

/// Detaches the loop devices on the file `path`, which nobody serves any more.
///
/// # Errors
/// [`LoopError::LeftBehind`]: a device is in use, so its user would get another one's data if
/// its number were used anew. [`LoopError::Os`]: not permitted.
pub(crate) fn detach_left_behind(path: &Path) -> Result<(), LoopError> {
    apart(|| {
        for number in devices_on(path) {
            detach(number, path)?;
        }
        Ok(())
    })
}

fn detach(number: u32, path: &Path) -> Result<(), LoopError> {
    let node = node(number);
    let device = match File::open(&node) {
        Ok(device) => device,
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) => return Err(failed("open", &node)(error)),
    };
    // What is open here cannot become another one's.
    if !is_on(number, path) {
        return Ok(());
    }
    match system::clear(device.as_fd()) {
        Ok(()) | Err(Errno::ENXIO) => {}
        Err(error) => return Err(failed("detach", &node)(error)),
    }
    drop(device);
    if wait_for_lookers(|| Ok(is_on(number, path)))? {
        let users = users(number);
        return Err(LoopError::LeftBehind {
            device: node,
            users,
        });
    }
    tracing::info!("{} of a dead process was detached", node.display());
    Ok(())
}

fn devices_on(path: &Path) -> Vec<u32> {
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    disks
        .filter_map(|disk| {
            let name = disk.file_name();
            name.to_str()?.strip_prefix("loop")?.parse().ok()
        })
        .filter(|number| is_on(*number, path))
        .collect()
}

/// Whether a device is attached to `path`. It cannot be asked: its answer needs the dead process.
fn is_on(number: u32, path: &Path) -> bool {
    let shown = PathBuf::from(format!("/sys/block/loop{number}/loop/backing_file"));
    let shown = fs::read(shown).unwrap_or_default();
    let shown = shown.strip_suffix(b"\n").unwrap_or(&shown);
    shown == std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}
