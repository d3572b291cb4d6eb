use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use super::sysfs::Shape;
use crate::disk::GeometryError;
use crate::nbd::ExportError;
use crate::users::Users;

/// Why there is no nbd device.
#[derive(Debug, thiserror::Error)]
pub enum NbdDeviceError {
    /// The disk's geometry is impossible.
    #[error("the disk cannot be exported: {0}")]
    Geometry(#[from] GeometryError),
    /// The disk cannot be served.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The kernel's driver is not there.
    #[error("the kernel has no nbd driver loaded")]
    NoDriver,
    /// Not root, or without CAP_SYS_ADMIN.
    #[error("this user may not make nbd devices")]
    NotPermitted,
    /// Somebody else has the device that was asked for.
    #[error("{} is in use by {owner}", device.display())]
    InUse {
        /// The device.
        device: PathBuf,
        /// Who has it.
        owner: String,
    },
    /// The kernel has no device left.
    #[error("all nbd devices are in use")]
    Taken,
    /// The kernel has no such logical blocks, or no such number of a device.
    #[error("the kernel refuses {} with blocks of {block_size} bytes", device.as_ref().map_or_else(
        || "an nbd device".to_owned(), |device| device.display().to_string()))]
    Refused {
        /// The device that was asked for.
        device: Option<PathBuf>,
        /// Bytes in a block of the disk.
        block_size: u32,
    },
    /// The kernel is older than Linux 5.14, and does not keep whose device it is.
    #[error("the kernel does not keep whose device {} is", .0.display())]
    TooOld(PathBuf),
    /// A living process serves the disk at a device.
    #[error("{} has this disk, and a process that lives serves it", .0.display())]
    Served(PathBuf),
    /// What a dead process has left behind has another shape than the disk.
    #[error("{} of a dead process is {users}, and has {was}, where the disk has {is}", device.display())]
    OtherShape {
        /// The device.
        device: PathBuf,
        /// Who uses it.
        users: Users,
        /// What the device has.
        was: Shape,
        /// What the disk has.
        is: Shape,
    },
    /// What a dead process has left behind is in use, and another device was asked for.
    #[error("{} of a dead process has this disk, and is {users}", device.display())]
    Elsewhere {
        /// The device that there is.
        device: PathBuf,
        /// Who uses it.
        users: Users,
    },
    /// The operating system refused.
    #[error("cannot {what} {}: {error}", device.display())]
    Os {
        /// What was tried.
        what: &'static str,
        /// On what.
        device: PathBuf,
        /// What came back.
        error: io::Error,
    },
}

impl NbdDeviceError {
    /// The driver's answer to what concerns no device.
    pub(super) fn of_driver(error: io::Error, what: &'static str) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => Self::NoDriver,
            Some(Errno::EPERM | Errno::EACCES) => Self::NotPermitted,
            _ => Self::Os {
                what,
                device: "the nbd driver".into(),
                error,
            },
        }
    }
}
