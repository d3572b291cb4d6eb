//! What a process that has died, or left, has left attached.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::attached::Attached;
use super::error::NbdDeviceError;
use super::keeper::{self, Link};
use super::netlink::Driver;
use super::sysfs::{self, Shape};
use super::{NbdDevice, Options, TIMEOUT};
use crate::block_device::{Announce, HostExport as _};
use crate::nbd::Export;
use crate::users::Users;

/// How long a process may take to die.
const DYING: Duration = Duration::from_secs(5);

/// How often it is looked whether it has.
const ROUND: Duration = Duration::from_millis(100);

/// How long the last requests may take of a device that is given up again.
const GRACE: Duration = Duration::from_secs(5);

/// Takes over the device that has the identity, if there is one, with those who use it. One that
/// nobody uses, and that has another shape or number, is detached instead.
pub(super) fn take_over(
    driver: &Driver,
    export: &Arc<Export>,
    options: &Options,
    announce: Announce<'_>,
) -> Result<Option<NbdDevice>, NbdDeviceError> {
    let Some(index) = sysfs::find(&options.identity) else {
        return Ok(None);
    };
    let attached = Attached {
        index,
        identity: options.identity.clone(),
        dead_conn_timeout: options.dead_conn_timeout,
    };
    let (was, is) = (sysfs::shape(index), Shape::from(export.geometry()));
    if let Some(was) = was.filter(|was| *was != is) {
        let users = attached.users();
        if users != Users::default() {
            return Err(NbdDeviceError::OtherShape {
                device: attached.path(),
                users,
                was,
                is,
            });
        }
        clear(driver, &attached)?;
        return Ok(None);
    }
    announce(&sysfs::name(index));
    let device = serve(driver, export, attached)?;
    // The earlier one may have wanted to be rid of it.
    device.attached.stay(TIMEOUT)?;
    if options.index.is_none_or(|wanted| wanted == index) {
        tracing::info!(
            "{} of an earlier process goes on",
            sysfs::node(index).display()
        );
        return Ok(Some(device));
    }
    // What its users have written is on the disk when it is detached.
    match device.attached.detach() {
        Ok(None) => Ok(None),
        Ok(Some(users)) => {
            Box::new(device).leave(GRACE);
            let device = sysfs::node(index);
            Err(NbdDeviceError::Elsewhere { device, users })
        }
        Err(error) => {
            Box::new(device).leave(GRACE);
            Err(error)
        }
    }
}

/// Gives the driver a socket in the place of the dead process's.
fn serve(
    driver: &Driver,
    export: &Arc<Export>,
    attached: Attached,
) -> Result<NbdDevice, NbdDeviceError> {
    let start = Instant::now();
    loop {
        let (events, incoming) = mpsc::channel();
        let link = Link::offer(export, &events, 0, |socket| {
            attached.reconnect(driver, socket, TIMEOUT)
        });
        match link {
            Ok(Some((link, ()))) => {
                return NbdDevice::keep(attached, export, (events, incoming), link);
            }
            Ok(None) if start.elapsed() > DYING => {
                return Err(NbdDeviceError::Served(attached.path()));
            }
            Ok(None) => thread::sleep(ROUND),
            Err(error) => return Err(refused(error, &attached)),
        }
    }
}

/// Detaches a device that a dead process has left and nobody uses.
fn clear(driver: &Driver, attached: &Attached) -> Result<(), NbdDeviceError> {
    let start = Instant::now();
    // Nobody reads from it: it only shows whether the driver wants one.
    while !keeper::wants_socket(|socket| attached.reconnect(driver, socket, TIMEOUT))
        .map_err(|error| refused(error, attached))?
    {
        if start.elapsed() > DYING {
            return Err(NbdDeviceError::Served(attached.path()));
        }
        thread::sleep(ROUND);
    }
    attached.disconnect()?;
    tracing::info!(
        "{} of an earlier process was detached",
        attached.path().display()
    );
    Ok(())
}

fn refused(error: io::Error, attached: &Attached) -> NbdDeviceError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM) => NbdDeviceError::NotPermitted,
        _ => attached.failed("reconnect")(error),
    }
}
