//! What to do when something fails.

use std::io;
use std::path::Path;

use fwlab::bridge::{AssemblyError, ImageError};
use ohci_raw::config_rom::BuildError;
use ohci_raw::port::PortError;
use sbp2::scsi::Completion;
use sbp2::target::BridgeError;

use crate::bus::BusSpec;
use crate::error::{Exit, Failure};

/// The exit code for a medium that failed.
const MEDIUM: u8 = 8;

const ONE_TARGET: &str = "\
another fwshare serve, or the kernel's target (sbp_target), has them: stop that one first; one
fwshare serve can serve several images (--image FILE --image FILE)";

pub(super) fn of_bus(bus: &BusSpec) -> Failure {
    let message = format!("nothing can be served on {bus}: nobody else is on it");
    Failure::new(Exit::Usage, message).advise(
        "without FireWire, make a bus that has several hosts: fwlab bus FOLDER --hosts 2; then\n\
         fwshare serve --bus FOLDER/host0 and fwshare login --bus FOLDER/host1",
    )
}

pub(super) fn of_image(error: &ImageError) -> Failure {
    use ImageError as E;
    let exit = match error {
        E::Os { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => Exit::Permission,
        _ => Exit::Error,
    };
    let failure = Failure::new(exit, format!("the disk cannot be served: {error}"));
    match error {
        E::Os { error, .. } if error.kind() == io::ErrorKind::NotFound => {
            failure.advise("make one first: truncate -s 64M FILE")
        }
        E::Os { .. } => failure,
        E::Kind { .. } => failure.advise("name a file or a block device"),
        E::InUse { .. } => failure
            .advise("stop the other one: each would take the other's writes for its own disk's"),
        E::Empty { .. } => failure.advise("give it a size first: truncate -s 64M FILE"),
        E::PartialBlock { .. } => failure.advise(
            "it was not changed; name the right file or sector size (--sector 512, 2048 or 4096),\n\
             or make it larger with truncate -s %4096 FILE",
        ),
    }
}

pub(super) fn of_size(error: &AssemblyError, image: &Path) -> Failure {
    let message = format!("the image {} cannot be served: {error}", image.display());
    Failure::new(Exit::Error, message)
        .advise("take --profile generic, or larger sectors (--sector 4096)")
}

/// A bridge that cannot be.
pub(super) fn of_bridge(error: &BridgeError) -> Failure {
    Failure::new(Exit::Error, format!("the disk cannot be served: {error}"))
}

/// A unit directory that cannot be built.
pub(super) fn of_unit(error: &BuildError) -> Failure {
    Failure::new(Exit::Error, format!("the disk cannot be served: {error}"))
}

/// Something that the bus did not let this host do before it served.
pub(super) fn of_port(error: &PortError, name: &str) -> Failure {
    let message = format!("{name} cannot serve a disk: {error}");
    match error {
        PortError::Gone { .. } => Failure::new(Exit::LostBus, message),
        PortError::Taken { .. } => Failure::new(Exit::Held, message).advise(ONE_TARGET),
        PortError::RomFull { .. } => Failure::new(Exit::Error, message)
            .advise("stop another program that shows something there, or serve fewer images"),
        PortError::Os { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(Exit::Permission, message)
        }
        _ => Failure::new(Exit::Error, message),
    }
}

/// A bus that was lost while it was served on.
pub(super) fn of_bus_lost(error: &PortError, name: &str) -> Failure {
    let message = format!("{name} serves no longer: {error}");
    match error {
        PortError::Gone { .. } => Failure::new(Exit::LostBus, message)
            .advise("check that the controller is plugged in and its driver loaded"),
        _ => Failure::new(Exit::Error, message),
    }
}

/// An image that did not take what was written.
pub(super) fn of_flush(lun: u16, error: &Completion, name: &str) -> Failure {
    let message = format!(
        "what was written to logical unit {lun} of {name} is not all in its image: {error}"
    );
    Failure::with_code(MEDIUM, message).advise("check its file system before it is used again")
}
