//! What to do when something fails.

use std::io;
use std::path::Path;

use fwshare_export::Users;
use fwshare_export::file::FileError;
use fwshare_export::loop_device::LoopError;
use fwshare_export::nbd::ListenError;
use fwshare_export::nbd_device::NbdDeviceError;
#[cfg(feature = "ublk")]
use fwshare_export::ublk::UblkError;
use ohci_raw::port::PortError;
use sbp2::initiator::Logins;

use crate::error::{Exit, Failure};
use crate::session::SessionError;

const CHECK_BUS: &str = "\
check that the disk is powered and its cable plugged in; fwshare scan shows who answers";

/// A login that could not be had.
pub(super) fn of_login(error: &SessionError, device: &str, exclusive: bool) -> Failure {
    let code = error.exit_code();
    let failure = Failure::with_code(code, format!("cannot log in to {device}: {error}"));
    let failure = match error {
        SessionError::Failed {
            logins: Some(logins),
            ..
        } if !logins.entries.is_empty() => failure.advise(who(logins)),
        _ => failure,
    };
    if matches!(error, SessionError::Port(PortError::Claimed { .. })) {
        return failure.advise(
            "one login serves any number of exports: fwshare status shows it, fwshare logout ends it",
        );
    }
    match code {
        5 => failure.advise("log another host out, or try again when one has left"),
        6 if exclusive => failure.advise(
            "an exclusive login needs that nobody else is logged in: log the others out, or use\n\
             --shared",
        ),
        6 => failure.advise(
            "another initiator holds it exclusively, as Linux does unless its driver is told\n\
             otherwise (firewire-sbp2 exclusive_login=0): log it out there",
        ),
        7 => failure.advise(CHECK_BUS),
        _ => failure,
    }
}

fn who(logins: &Logins) -> String {
    let names = logins.entries.iter().map(|login| {
        format!(
            "{} (login ID {}, node {})",
            login.eui64, login.login_id, login.node
        )
    });
    let names: Vec<_> = names.collect();
    format!(
        "{} of {} logins are taken, by:\n  {}",
        logins.active,
        logins.max,
        names.join("\n  ")
    )
}

/// A session that ended by itself.
pub(super) fn of_session(error: &SessionError, device: &str) -> Failure {
    let code = error.exit_code();
    let failure = Failure::with_code(code, format!("the login to {device} has ended: {error}"));
    match code {
        7 => failure.advise(CHECK_BUS),
        _ => failure,
    }
}

/// A session that did not end well.
pub(super) fn of_end(error: &SessionError, device: &str) -> Failure {
    let message = format!("{device} was not left in good order: {error}");
    let failure = Failure::with_code(error.exit_code(), message);
    match error {
        SessionError::Flush(_) => failure.advise("check the file system before it is used again"),
        _ => failure,
    }
}

/// A disk that cannot be a file.
pub(super) fn of_file(error: &FileError) -> Failure {
    let message = format!("cannot serve the disk: {error}");
    match error {
        FileError::InUse(_) => Failure::new(Exit::Error, message)
            .advise("name another path: what is there would be hidden"),
        FileError::Stale { error, .. } | FileError::Loop(error) => of_loop_device(error, message),
        FileError::Os { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(Exit::Permission, message).advise("name a path where this user may write")
        }
        FileError::Os { what: "make", .. } => {
            Failure::new(Exit::Error, message).advise("make its folder first (mkdir -p)")
        }
        FileError::NoFuse => {
            Failure::new(Exit::Error, message).advise("load the kernel's driver: modprobe fuse")
        }
        FileError::Os {
            what: "mount on", ..
        } => Failure::new(Exit::Error, message)
            .advise("without root, the package fuse3 is needed for this"),
        FileError::Os { .. } => Failure::new(Exit::Error, message),
        FileError::Geometry(_) => Failure::new(Exit::Error, message),
    }
}

fn of_loop_device(error: &LoopError, message: String) -> Failure {
    match error {
        LoopError::NoDriver => {
            Failure::new(Exit::Error, message).advise("the loop driver is needed: modprobe loop")
        }
        LoopError::NotPermitted(_) => Failure::new(Exit::Permission, message)
            .advise("a loop device needs root; without ,loop the file alone does not"),
        LoopError::NoNode(path) => Failure::new(Exit::Error, message).advise(format!(
            "make it, as nobody else does so here: mknod -m 660 {} b 7 N",
            path.display()
        )),
        LoopError::Taken => Failure::new(Exit::Error, message)
            .advise("try again when nothing else makes loop devices"),
        LoopError::Refused { .. } => {
            Failure::new(Exit::Error, message).advise("Linux 5.8 or newer is needed")
        }
        LoopError::NotDirect(_) => Failure::new(Exit::Error, message)
            .advise("another kernel is needed; nbd:unix:PATH works on this one"),
        LoopError::LeftBehind { device, users } => {
            Failure::new(Exit::Held, message).advise(released(device, users))
        }
        LoopError::Os { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(Exit::Permission, message).advise("a loop device needs root")
        }
        LoopError::Os { .. } => Failure::new(Exit::Error, message),
    }
}

/// A disk that cannot be a ublk device.
#[cfg(feature = "ublk")]
pub(super) fn of_ublk(error: &UblkError) -> Failure {
    let message = format!("cannot serve the disk: {error}");
    match error {
        UblkError::NoDriver => Failure::new(Exit::Error, message)
            .advise("the ublk driver is needed, of Linux 6.5 or newer: modprobe ublk_drv"),
        UblkError::TooOld => Failure::new(Exit::Error, message)
            .advise("Linux 6.5 or newer is needed; file:PATH,loop works on this one"),
        UblkError::NotPermitted(_) => {
            Failure::new(Exit::Permission, message).advise("a ublk device needs root")
        }
        UblkError::NoIoUring(_) => Failure::new(Exit::Permission, message).advise(
            "allow it (sysctl kernel.io_uring_disabled=0), or use file:PATH,loop, which does\n\
             without",
        ),
        UblkError::Refused { .. } => Failure::new(Exit::Error, message)
            .advise("use file:PATH,loop, or a kernel with larger pages"),
        UblkError::Taken { device, by } => {
            let failure = Failure::new(Exit::Error, message)
                .advise("name another number, or none to have any that is free: ublk");
            match by.name {
                Some(_) => failure,
                None => failure.advise(format!(
                    "what a dead process has left can be deleted with ublk del (ublksrv), if\n\
                     nobody uses it: lsblk {}",
                    device.display()
                )),
            }
        }
        UblkError::Served { by, .. } => Failure::new(Exit::Held, message).advise(format!(
            "use that device, or end the process: kill {}",
            by.pid
        )),
        UblkError::LeftBehind { device, users, .. } => {
            Failure::new(Exit::Held, message).advise(released(device, users))
        }
        UblkError::Os { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(Exit::Permission, message).advise("a ublk device needs root")
        }
        UblkError::Os { .. } | UblkError::Geometry(_) => Failure::new(Exit::Error, message),
    }
}

/// A disk that cannot be a device of the nbd driver.
pub(super) fn of_nbd_device(error: &NbdDeviceError) -> Failure {
    let message = format!("no nbd device: {error}");
    match error {
        NbdDeviceError::NoDriver => {
            Failure::new(Exit::Error, message).advise("the nbd driver is needed: modprobe nbd")
        }
        NbdDeviceError::NotPermitted => Failure::new(Exit::Permission, message)
            .advise("an nbd device needs root; nbd:unix:PATH does not"),
        NbdDeviceError::InUse { .. } => Failure::new(Exit::Held, message)
            .advise("name another one, or none: nbd-device takes the first that nobody uses"),
        NbdDeviceError::Taken => Failure::new(Exit::Error, message).advise(
            "detach one (nbd-client -d), or load the driver for more: modprobe nbd nbds_max=64",
        ),
        NbdDeviceError::Refused { .. } => Failure::new(Exit::Error, message).advise(
            "name no device, or one with a lower number; nbd:unix:PATH works with any disk",
        ),
        NbdDeviceError::TooOld(_) => Failure::new(Exit::Error, message)
            .advise("Linux 5.14 or newer is needed; nbd:unix:PATH works on this one"),
        NbdDeviceError::Served(_) => Failure::new(Exit::Held, message)
            .advise("fwshare status shows it; one nbd-device is enough for a host and its disk"),
        NbdDeviceError::OtherShape { device, users, .. } => {
            Failure::new(Exit::Held, message).advise(released(device, users))
        }
        NbdDeviceError::Elsewhere { device, .. } => Failure::new(Exit::Held, message).advise(
            format!("go on with it: --export nbd-device:{}", device.display()),
        ),
        NbdDeviceError::Geometry(_) | NbdDeviceError::Export(_) | NbdDeviceError::Os { .. } => {
            Failure::new(Exit::Error, message)
        }
    }
}

/// How to be rid of a device's users.
fn released(device: &Path, users: &Users) -> String {
    users.mounts.first().map_or_else(
        || format!("stop what uses it: lsblk {}", device.display()),
        |place| format!("unmount it: umount {place}"),
    )
}

/// An export that nobody can connect to.
pub(super) fn of_export(error: &ListenError) -> Failure {
    let exit = |error: &io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::Permission,
        _ => Exit::Error,
    };
    let message = format!("cannot serve the disk: {error}");
    match error {
        ListenError::InUse(_) => Failure::new(Exit::Error, message)
            .advise("stop the process that has it, or name another path"),
        ListenError::NotASocket(_) => {
            Failure::new(Exit::Error, message).advise("name another path, or move it away")
        }
        ListenError::Unix { error, .. } => {
            let failure = Failure::new(exit(error), message);
            match error.kind() {
                io::ErrorKind::NotFound => failure.advise("make its folder first (mkdir -p)"),
                io::ErrorKind::PermissionDenied => {
                    failure.advise("name a path where this user may write")
                }
                _ => failure,
            }
        }
        ListenError::Tcp { error, .. } => {
            let failure = Failure::new(exit(error), message);
            match error.kind() {
                io::ErrorKind::AddrInUse => {
                    failure.advise("name another port, or 0 to let the system choose one")
                }
                io::ErrorKind::PermissionDenied => {
                    failure.advise("ports below 1024 are root's; NBD's own is 10809")
                }
                _ => failure,
            }
        }
        ListenError::System(_) => Failure::new(Exit::Error, message),
    }
}
