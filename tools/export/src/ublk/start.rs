//! A device for a disk: the one that a dead process has left behind, or a new one.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use sha2::{Digest as _, Sha256};

use super::abi::{self, Basic, Discard, Info, Parameters};
use super::control::{Driver, FLAGS, block, errno, failed_to_take_over, name};
use super::error::{Server, UblkError};
use super::in_use;
use super::queue::{DEPTH, Queue};
use crate::disk::{Disk, Geometry};

/// The longest request in bytes, so that [`DEPTH`] of them are no burden.
const MAX_REQUEST: u32 = 1 << 20;

/// How long it may take until the kernel knows that a device's server is dead. Where
/// [`TIMEOUT`] could not be set it is half a minute.
const FUNERAL: Duration = Duration::from_secs(60);
/// How long a process may die that was told to.
const DYING: Duration = Duration::from_secs(3);
/// How often it is looked.
const ROUND: Duration = Duration::from_millis(20);

/// After so many milliseconds Linux before 6.15 looks whether the server is dead, if all requests
/// were under way then. A server that is alive has as long as it needs.
const TIMEOUT: &str = "1000";

/// A device that is served.
pub(super) struct Served {
    pub(super) number: u32,
    pub(super) queue: Queue,
}

/// The mark of the disk that has this name, for [`Info::server_flags`]. Has to be the same for
/// ever: an old process's devices are found by it.
pub(super) fn mark(identity: &str) -> u64 {
    let digest = Sha256::new()
        .chain_update("fwshare ublk ")
        .chain_update(identity)
        .finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |mark, byte| mark << 8 | u64::from(*byte))
}

/// Takes over the device that the disk has, or makes one.
pub(super) fn serve(
    disk: &Arc<dyn Disk>,
    wanted: Option<u32>,
    mark: u64,
    announce: &mut dyn FnMut(&str),
) -> Result<Served, UblkError> {
    let geometry = disk.geometry();
    geometry.check()?;
    let parameters = parameters(&geometry);
    let mut driver = Driver::open()?;
    for info in driver.all()? {
        if info.server_flags != mark || info.flags & FLAGS != FLAGS {
            continue;
        }
        let number = info.number;
        let why = match reason_to_refuse(&mut driver, &info, wanted, &parameters)? {
            None => match recover(&mut driver, number)? {
                true => {
                    announce(&name(number));
                    return take_over(&mut driver, disk, geometry, number);
                }
                false => "was being taken over when the next process died, too",
            },
            Some(why) => why,
        };
        clear(&mut driver, &info, why)?;
    }
    let info = driver.add(Info {
        queues: 1,
        depth: DEPTH,
        max_request: MAX_REQUEST.max(geometry.block_size),
        number: wanted.unwrap_or(abi::ANY_NUMBER),
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        flags: FLAGS,
        server_flags: mark,
        ..Info::default()
    })?;
    let number = info.number;
    announce(&name(number));
    let begun = begin(&mut driver, disk, geometry, number, parameters);
    if begun.is_err()
        && let Err(error) = driver.delete(number, DYING)
    {
        tracing::warn!("{} may be left behind: {error}", block(number).display());
    }
    let queue = begun?;
    set_timeout(number);
    Ok(Served { number, queue })
}

/// Why a device of this disk cannot be taken over.
fn reason_to_refuse(
    driver: &mut Driver,
    info: &Info,
    wanted: Option<u32>,
    parameters: &Parameters,
) -> Result<Option<&'static str>, UblkError> {
    if info.state == abi::DEV_DEAD {
        return Ok(Some("was not started"));
    }
    if wanted.is_some_and(|wanted| wanted != info.number) {
        return Ok(Some("has another number"));
    }
    let theirs = driver.parameters(info.number)?;
    let same = (theirs.basic, theirs.discard) == (parameters.basic, parameters.discard)
        && info.depth == DEPTH
        && info.queues == 1;
    Ok((!same).then_some("has another size, or other limits"))
}

/// Begins to take over a device, when its server is dead. `false`: somebody has begun before.
fn recover(driver: &mut Driver, number: u32) -> Result<bool, UblkError> {
    let start = Instant::now();
    loop {
        let error = match driver.start_recovery(number) {
            Ok(()) => return Ok(true),
            Err(error) => error,
        };
        match errno(&error) {
            Errno::EINVAL => return Ok(false),
            Errno::EBUSY if start.elapsed() < FUNERAL => {}
            _ => return Err(failed_to_take_over(number, error)),
        }
        refuse_if_served(driver, number, start.elapsed())?;
        thread::sleep(ROUND);
    }
}

/// Fails if another process serves the device that is alive after so long.
fn refuse_if_served(driver: &mut Driver, number: u32, waited: Duration) -> Result<(), UblkError> {
    let pid = driver.info(number)?.map_or(-1, |info| info.pid);
    let by = Server::of(pid);
    // A process that started itself anew has left it, and has the id that it had.
    let is_own = u32::try_from(pid).is_ok_and(|pid| pid == std::process::id());
    if is_own || by.name.is_none() || waited < DYING {
        return Ok(());
    }
    let device = block(number);
    Err(UblkError::Served { device, by })
}

/// Serves a device whose recovery has begun.
fn take_over(
    driver: &mut Driver,
    disk: &Arc<dyn Disk>,
    geometry: Geometry,
    number: u32,
) -> Result<Served, UblkError> {
    let queue = Queue::start(Arc::clone(disk), geometry, number)?;
    driver.end_recovery(number)?;
    tracing::info!("{} of a dead process goes on", block(number).display());
    set_timeout(number);
    Ok(Served { number, queue })
}

/// Deletes what a dead process has left, unless it is in use.
fn clear(driver: &mut Driver, info: &Info, why: &'static str) -> Result<(), UblkError> {
    let number = info.number;
    refuse_if_served(driver, number, DYING)?;
    if let Some(users) = in_use::look(number) {
        let device = block(number);
        return Err(UblkError::LeftBehind { device, why, users });
    }
    driver.stop(number, FUNERAL)?;
    driver.delete(number, FUNERAL)?;
    tracing::info!("{} of a dead process was deleted", block(number).display());
    Ok(())
}

/// Starts a device that was added. If that fails nothing of it is open here.
fn begin(
    driver: &mut Driver,
    disk: &Arc<dyn Disk>,
    geometry: Geometry,
    number: u32,
    parameters: Parameters,
) -> Result<Queue, UblkError> {
    driver.set_parameters(number, parameters)?;
    let queue = Queue::start(Arc::clone(disk), geometry, number)?;
    let started = driver.start(number);
    if started.is_err() {
        queue.leave();
        queue.ended().wait(DYING);
    }
    started.map(|()| queue)
}

fn set_timeout(number: u32) {
    // Whoever sets it may wait for requests that are under way.
    let set = in_use::apart(number, move || {
        let path = format!("/sys/block/{}/queue/io_timeout", name(number));
        Ok(fs::write(path, TIMEOUT))
    });
    if !matches!(set, Ok(Ok(()))) {
        tracing::debug!("{}: no timeout: {set:?}", name(number));
    }
}

/// What the kernel is told of the disk. Discards are not offered: other hosts may have written
/// what this one wants to be gone.
fn parameters(geometry: &Geometry) -> Parameters {
    let shift = |bytes: u32| u8::try_from(bytes.trailing_zeros()).unwrap_or_default();
    let sectors = |bytes: u32| bytes / abi::SECTOR as u32;
    let block = shift(geometry.block_size);
    let longest = MAX_REQUEST
        .max(geometry.block_size)
        .min(geometry.max_request);
    let attributes = abi::VOLATILE_CACHE | abi::FUA;
    let read_only = if geometry.read_only {
        abi::READ_ONLY
    } else {
        0
    };
    Parameters {
        length: abi::PARAMETERS_LENGTH,
        types: abi::PARAM_BASIC | abi::PARAM_DISCARD,
        basic: Basic {
            attributes: attributes | read_only,
            logical_shift: block,
            physical_shift: block,
            optimal_shift: block,
            minimal_shift: block,
            max_sectors: sectors(longest - longest % geometry.block_size),
            sectors: geometry.size / abi::SECTOR,
            ..Basic::default()
        },
        discard: Discard {
            granularity: geometry.block_size,
            max_write_zeroes_sectors: sectors(geometry.max_request),
            max_segments: 1,
            ..Discard::default()
        },
        rest: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryDisk;

    #[test]
    fn a_mark_is_the_same_for_ever_and_another_for_another_disk() {
        // printf 'fwshare ublk a' | sha256sum
        assert_eq!(mark("a"), 0xe819_afca_e595_6128);
        assert_ne!(mark("a"), mark("b"));
    }

    #[test]
    fn the_kernel_is_told_what_the_disk_is_like() {
        let disk = MemoryDisk::new(1 << 20, 4096);
        let mut geometry = disk.geometry();
        geometry.max_request = 32 << 20;
        let told = parameters(&geometry);
        assert_eq!(told.basic.logical_shift, 12);
        assert_eq!(told.basic.sectors, 2048);
        assert_eq!(told.basic.max_sectors, 2048);
        assert_eq!(told.basic.attributes, abi::VOLATILE_CACHE | abi::FUA);
        assert_eq!(told.discard.max_sectors, 0);
        assert_eq!(told.discard.max_write_zeroes_sectors, 65_536);
        geometry.read_only = true;
        geometry.max_request = 65_536;
        let told = parameters(&geometry);
        assert_eq!(told.basic.max_sectors, 128);
        assert_ne!(told.basic.attributes & abi::READ_ONLY, 0);
    }
}
