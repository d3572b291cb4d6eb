//! What the driver is told of devices: made, started, stopped, taken over.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::abi::{self, Control, Info, Parameters};
use super::error::{Server, UblkError, failed};
use super::ring::{self, Ring};

pub(super) const CONTROL: &str = "/dev/ublk-control";

/// What every device has here.
pub(super) const FLAGS: u64 =
    abi::USER_RECOVERY | abi::USER_RECOVERY_REISSUE | abi::CMD_IOCTL_ENCODE | abi::USER_COPY;

/// The driver. For one thread.
pub(super) struct Driver {
    control: File,
    ring: Ring,
    features: u64,
    /// The mark of the last command.
    mark: u64,
}

impl Driver {
    pub(super) fn open() -> Result<Self, UblkError> {
        let control = OpenOptions::new().read(true).write(true).open(CONTROL);
        let control = control.map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => UblkError::NoDriver,
            Some(Errno::EACCES | Errno::EPERM) => UblkError::NotPermitted(CONTROL.into()),
            _ => failed("open", CONTROL)(error),
        })?;
        let ring = Ring::new(4).map_err(of_ring)?;
        let mut driver = Self {
            control,
            ring,
            features: 0,
            mark: 0,
        };
        let features = driver.exchange(abi::GET_FEATURES, Control::default(), 0_u64);
        driver.features = features.map_err(|error| match errno(&error) {
            // The command or the way commands are numbered is not known.
            Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENODEV => UblkError::TooOld,
            Errno::EACCES | Errno::EPERM => UblkError::NotPermitted(CONTROL.into()),
            _ => failed("use", CONTROL)(error),
        })?;
        if driver.features & FLAGS == FLAGS {
            Ok(driver)
        } else {
            Err(UblkError::TooOld)
        }
    }

    /// Whether [`try_stop`](Self::try_stop) can be used.
    pub(super) const fn can_try_stop(&self) -> bool {
        self.features & abi::SAFE_STOP_DEV != 0
    }

    /// A device, if there is one of this number.
    pub(super) fn info(&mut self, number: u32) -> Result<Option<Info>, UblkError> {
        match self.exchange(abi::GET_DEV_INFO, about(number), Info::default()) {
            Ok(info) => Ok(Some(info)),
            Err(error) if errno(&error) == Errno::ENODEV => Ok(None),
            Err(error) => Err(of_device("look at", number)(error)),
        }
    }

    /// All devices.
    pub(super) fn all(&mut self) -> Result<Vec<Info>, UblkError> {
        let mut all = Vec::new();
        for entry in fs::read_dir("/sys/class/ublk-char").into_iter().flatten() {
            let name = entry.ok().map(|entry| entry.file_name());
            let number = name
                .as_deref()
                .and_then(|name| name.to_str()?.strip_prefix("ublkc")?.parse().ok());
            if let Some(number) = number {
                all.extend(self.info(number)?);
            }
        }
        Ok(all)
    }

    /// Makes a device like this one, which is not started. Gives it as it has become.
    pub(super) fn add(&mut self, info: Info) -> Result<Info, UblkError> {
        let number = info.number;
        match self.exchange(abi::ADD_DEV, about(number), info) {
            Ok(info) => Ok(info),
            Err(error) => match errno(&error) {
                Errno::EEXIST => {
                    let pid = self.info(number)?.map_or(-1, |info| info.pid);
                    let (device, by) = (block(number), Server::of(pid));
                    Err(UblkError::Taken { device, by })
                }
                Errno::EACCES | Errno::EPERM => Err(UblkError::NotPermitted(CONTROL.into())),
                _ => Err(failed("make a device by", CONTROL)(error)),
            },
        }
    }

    pub(super) fn set_parameters(
        &mut self,
        number: u32,
        parameters: Parameters,
    ) -> Result<(), UblkError> {
        let set = self.exchange(abi::SET_PARAMS, about(number), parameters);
        let block_size = 1_u32.checked_shl(parameters.basic.logical_shift.into());
        set.map(drop)
            .map_err(|error| match (errno(&error), block_size) {
                (Errno::EINVAL, Some(block_size)) => UblkError::Refused { block_size },
                _ => of_device("describe", number)(error),
            })
    }

    pub(super) fn parameters(&mut self, number: u32) -> Result<Parameters, UblkError> {
        let empty = Parameters {
            length: abi::PARAMETERS_LENGTH,
            ..Parameters::default()
        };
        self.exchange(abi::GET_PARAMS, about(number), empty)
            .map_err(of_device("look at", number))
    }

    /// Makes the block device. Returns when its partitions are known, so that its requests have to
    /// be served meanwhile.
    pub(super) fn start(&mut self, number: u32) -> Result<(), UblkError> {
        self.order(abi::START_DEV, from_here(number), None)
            .map(drop)
            .map_err(of_device("start", number))
    }

    /// Begins to take over a device whose server is gone.
    pub(super) fn start_recovery(&mut self, number: u32) -> io::Result<()> {
        self.order(abi::START_USER_RECOVERY, about(number), None)
            .map(drop)
    }

    /// Lets a device go on that was taken over.
    pub(super) fn end_recovery(&mut self, number: u32) -> Result<(), UblkError> {
        self.order(abi::END_USER_RECOVERY, from_here(number), None)
            .map(drop)
            .map_err(of_device("take over", number))
    }

    /// Takes the block device away, if so long is enough for what is under way. Whoever uses it
    /// gets errors.
    pub(super) fn stop(&mut self, number: u32, patience: Duration) -> Result<(), UblkError> {
        match self.order(abi::STOP_DEV, about(number), Some(patience)) {
            Err(error) if errno(&error) != Errno::ENODEV => Err(of_device("stop", number)(error)),
            _ => Ok(()),
        }
    }

    /// Takes the block device away unless somebody has it open. Whether it is gone.
    pub(super) fn try_stop(&mut self, number: u32, patience: Duration) -> Result<bool, UblkError> {
        match self.order(abi::TRY_STOP_DEV, about(number), Some(patience)) {
            Ok(ended) => Ok(ended),
            Err(error) if errno(&error) == Errno::EBUSY => Ok(false),
            // It was stopped by somebody else.
            Err(error) if errno(&error) == Errno::ENODEV => Ok(true),
            Err(error) => Err(of_device("stop", number)(error)),
        }
    }

    /// Gives up a device and its number. If so long is not enough for that the kernel does it
    /// when nobody has the device open any more.
    pub(super) fn delete(&mut self, number: u32, patience: Duration) -> Result<(), UblkError> {
        match self.order(abi::DEL_DEV, about(number), Some(patience)) {
            Err(error) if errno(&error) != Errno::ENODEV => Err(of_device("delete", number)(error)),
            _ => Ok(()),
        }
    }

    fn exchange<T: FromBytes + IntoBytes + Immutable>(
        &mut self,
        number: u32,
        command: Control,
        memory: T,
    ) -> io::Result<T> {
        let control = self.control.as_fd();
        self.ring.exchange(control, number, command, memory)
    }

    /// Has something done. Whether it has ended in time.
    fn order(
        &mut self,
        number: u32,
        command: Control,
        patience: Option<Duration>,
    ) -> io::Result<bool> {
        self.mark += 1;
        let control = self.control.as_fd();
        self.ring.order(control, number, command, self.mark)?;
        let start = Instant::now();
        loop {
            let left = patience.map(|patience| patience.saturating_sub(start.elapsed()));
            let in_time = self.ring.wait(left)?;
            while let Some((mark, result)) = self.ring.next() {
                if mark == self.mark {
                    return ring::ended(result).map(|()| true);
                }
            }
            if !in_time || left == Some(Duration::ZERO) {
                return Ok(false);
            }
        }
    }
}

/// A ring that could not be had.
pub(super) fn of_ring(error: io::Error) -> UblkError {
    match errno(&error) {
        Errno::EPERM | Errno::EACCES | Errno::ENOSYS => UblkError::NoIoUring(error),
        _ => failed("set up io_uring for", CONTROL)(error),
    }
}

/// The block device.
pub(super) fn block(number: u32) -> PathBuf {
    Path::new("/dev").join(name(number))
}

/// Its name.
pub(super) fn name(number: u32) -> String {
    format!("ublkb{number}")
}

/// Where its server reads and writes.
pub(super) fn character(number: u32) -> PathBuf {
    PathBuf::from(format!("/dev/ublkc{number}"))
}

/// What the system has for a reason.
pub(super) fn errno(error: &io::Error) -> Errno {
    error
        .raw_os_error()
        .map_or(Errno::UnknownErrno, Errno::from_raw)
}

fn of_device(what: &'static str, number: u32) -> impl FnOnce(io::Error) -> UblkError {
    move |error| match errno(&error) {
        Errno::EACCES | Errno::EPERM => UblkError::NotPermitted(block(number)),
        _ => failed(what, block(number))(error),
    }
}

/// A device that could not be taken over.
pub(super) fn failed_to_take_over(number: u32, error: io::Error) -> UblkError {
    of_device("take over", number)(error)
}

fn about(number: u32) -> Control {
    Control {
        number,
        queue: abi::NO_QUEUE,
        ..Control::default()
    }
}

/// A command that makes this process the server.
fn from_here(number: u32) -> Control {
    Control {
        data: std::process::id().into(),
        ..about(number)
    }
}
