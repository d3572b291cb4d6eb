//! A device made anew.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::attached::Attached;
use super::error::NbdDeviceError;
use super::keeper::Link;
use super::netlink::{Connect, Driver};
use super::{NbdDevice, Options, TIMEOUT, sysfs};
use crate::block_device::Announce;
use crate::nbd::Export;
use crate::nbd::wire::TransmissionFlags;

/// How long somebody, as udev, may look at the device that was asked for.
const LOOKERS: Duration = Duration::from_secs(3);

/// How often it is tried meanwhile.
const ROUND: Duration = Duration::from_millis(100);

/// The largest block of the driver: a page.
const MAX_BLOCK_SIZE: u32 = 4096;

/// Has the driver make a device: the one that was asked for, or the first that is free.
pub(super) fn connect(
    driver: &Driver,
    export: &Arc<Export>,
    options: &Options,
    announce: Announce<'_>,
) -> Result<NbdDevice, NbdDeviceError> {
    let block_size = export.geometry().block_size;
    let refused = |error| refused(error, options, block_size);
    let Some(index) = options.index else {
        for index in sysfs::free() {
            announce(&sysfs::name(index));
            match make(driver, export, options, index)? {
                Ok(device) => return Ok(device),
                // Somebody was faster.
                Err(error) if is(&error, Errno::EBUSY) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        return Err(NbdDeviceError::Taken);
    };
    announce(&sysfs::name(index));
    let start = Instant::now();
    loop {
        match make(driver, export, options, index)? {
            Ok(device) => return Ok(device),
            Err(error)
                if is(&error, Errno::EBUSY)
                    && !sysfs::is_attached(index)
                    && start.elapsed() < LOOKERS =>
            {
                thread::sleep(ROUND);
            }
            Err(error) => return Err(refused(error)),
        }
    }
}

/// Has the driver make this one. The inner error is the driver's.
fn make(
    driver: &Driver,
    export: &Arc<Export>,
    options: &Options,
    index: u32,
) -> Result<io::Result<NbdDevice>, NbdDeviceError> {
    let mut flags = export.transmission_flags(false);
    flags.remove(TransmissionFlags::SEND_WRITE_ZEROES);
    let geometry = export.geometry();
    let connect = Connect {
        index,
        size: geometry.size,
        block_size: geometry.block_size,
        flags: flags.bits(),
        timeout: TIMEOUT.as_secs(),
        dead_conn_timeout: options.dead_conn_timeout.as_secs().max(1),
        identity: &options.identity,
    };
    let (events, incoming) = mpsc::channel();
    let offered = Link::offer(export, &events, 0, |socket| {
        driver.connect(&connect, socket)
    });
    let link = match offered {
        Ok(Some((link, ()))) => link,
        Ok(None) => return Ok(Err(io::ErrorKind::ConnectionReset.into())),
        Err(error) => return Ok(Err(error)),
    };
    let attached = Attached {
        index,
        identity: options.identity.clone(),
        dead_conn_timeout: options.dead_conn_timeout,
    };
    if !attached.is_attached() {
        let device = attached.path();
        let ended = driver.disconnect(index);
        ended.map_err(attached.failed("detach"))?;
        return Err(NbdDeviceError::TooOld(device));
    }
    let device = NbdDevice::keep(attached, export, (events, incoming), link)?;
    if let Err(error) = device.attached.settle() {
        let path = device.attached.path();
        tracing::warn!("{} has the driver's own limits: {error}", path.display());
    }
    Ok(Ok(device))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

fn refused(error: io::Error, options: &Options, block_size: u32) -> NbdDeviceError {
    match (error.raw_os_error().map(Errno::from_raw), options.index) {
        (Some(Errno::EBUSY), Some(index)) => NbdDeviceError::InUse {
            device: sysfs::node(index),
            owner: sysfs::owner(index),
        },
        (Some(Errno::EINVAL), index) if index.is_some() || block_size > MAX_BLOCK_SIZE => {
            NbdDeviceError::Refused {
                device: index.map(sysfs::node),
                block_size,
            }
        }
        // Numbers have an end, which is EINVAL to the driver.
        (Some(Errno::EINVAL | Errno::EBUSY | Errno::ENOSPC | Errno::EEXIST), None) => {
            NbdDeviceError::Taken
        }
        _ => NbdDeviceError::of_driver(error, "connect to"),
    }
}
