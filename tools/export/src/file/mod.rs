//! A disk as a file of this host, by FUSE.
//!
//! The file has the disk's size. What reads and writes it reads and writes the disk: it goes past
//! the page cache, `fsync` is a flush of the disk, `O_DSYNC` is FUA. It works wherever there is
//! FUSE, for programs that know nothing of NBD, and below a loop device for file systems.
//!
//! As everywhere in this crate nothing is read to write a part of it: a write that does not begin
//! and end at a block boundary is refused with `EINVAL`. A [loop device](crate::loop_device) writes
//! whole blocks.
//!
//! Only the user who serves it can open it.

mod filesystem;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fwshare_fuse::Mounted;

use self::filesystem::{DiskFile, Traffic};
use crate::block_device::{Announce, BlockDevice, HostExport};
use crate::disk::{Disk, Geometry, GeometryError};
use crate::loop_device::{self, LoopDevice, LoopError};

/// What mount(8) shows.
const NAME: &str = "fwshare";

/// Where FUSE is.
const FUSE: &str = "/dev/fuse";

/// A disk that is a file, until it is stopped.
#[derive(Debug)]
pub struct FileExport {
    path: PathBuf,
    /// The file was made for it.
    made: bool,
    geometry: Geometry,
    traffic: Arc<Traffic>,
    /// Detached before the file is unmounted: until then it has to be served.
    device: Option<LoopDevice>,
    mounted: Option<Mounted>,
}

/// Why a disk cannot be a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk's geometry is impossible.
    #[error("the disk cannot be exported: {0}")]
    Geometry(#[from] GeometryError),
    /// Something is at the path already, and would be hidden.
    #[error("{} is there already and is no empty file", .0.display())]
    InUse(PathBuf),
    /// What a process that was killed has left at the path cannot be taken away.
    #[error("{} is what a dead process has left behind: {error}", path.display())]
    Stale {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: LoopError,
    },
    /// The kernel has no FUSE.
    #[error("there is no {FUSE}")]
    NoFuse,
    /// There is no loop device for it.
    #[error("no loop device: {0}")]
    Loop(#[from] LoopError),
    /// The operating system refused.
    #[error("cannot {what} {}: {error}", path.display())]
    Os {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What came back.
        error: io::Error,
    },
}

impl FileExport {
    /// Serves `disk` as the file `path`, which is made unless it is there and empty. What a
    /// process that was killed has left there is taken away first, with loop devices on it that
    /// nobody uses.
    ///
    /// # Errors
    /// [`FileError`]; what is at the path is as before.
    pub fn start(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, FileError> {
        let geometry = disk.geometry();
        geometry.check()?;
        if !Path::new(FUSE).exists() {
            return Err(FileError::NoFuse);
        }
        clear(path)?;
        let made = prepare(path)?;
        let served = Self::mount(disk, path, made);
        if made && served.is_err() {
            // Nothing was put into it.
            let _ = fs::remove_file(path);
        }
        served
    }

    fn mount(disk: Arc<dyn Disk>, path: &Path, made: bool) -> Result<Self, FileError> {
        let failed = |what| {
            let path = path.to_owned();
            move |error| FileError::Os { what, path, error }
        };
        let path = path.canonicalize().map_err(failed("find"))?;
        let geometry = disk.geometry();
        let traffic = Arc::new(Traffic::default());
        let file = DiskFile::new(disk, Arc::clone(&traffic));
        let mounted = Mounted::new(file, path.clone(), NAME).map_err(failed("mount on"))?;
        Ok(Self {
            path,
            made,
            geometry,
            traffic,
            device: None,
            mounted: Some(mounted),
        })
    }

    /// Attaches a loop device to the file.
    ///
    /// # Errors
    /// [`LoopError`]; the file is served all the same.
    pub fn attach_loop_device(&mut self, announce: Announce<'_>) -> Result<(), LoopError> {
        self.device = Some(LoopDevice::attach(&self.path, &self.geometry, announce)?);
        Ok(())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn detach(&mut self) {
        drop(self.device.take());
        let Some(mounted) = self.mounted.take() else {
            return;
        };
        if let Err(error) = mounted.detach() {
            tracing::warn!(path = %self.path.display(), %error, "the file cannot be unmounted");
        }
        if self.made {
            // Somebody may have taken it away meanwhile.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl HostExport for FileExport {
    fn name(&self) -> String {
        format!("file:{}", self.path.display())
    }

    fn device(&self) -> Option<&dyn BlockDevice> {
        let device = self.device.as_ref()?;
        Some(device)
    }

    fn clients(&self) -> Option<usize> {
        Some(self.traffic.open())
    }

    /// Who has the file open still reaches the disk until this process ends; the disk refuses then
    /// what comes late.
    fn stop(mut self: Box<Self>, grace: Duration) -> usize {
        self.detach();
        self.traffic.wait(grace)
    }
}

impl Drop for FileExport {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Takes away what a dead process has left at the path.
fn clear(path: &Path) -> Result<(), FileError> {
    // The file itself cannot be asked where it is.
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new(".")).canonicalize();
    let (Ok(parent), Some(name)) = (parent, path.file_name()) else {
        return Ok(());
    };
    let whole = parent.join(name);
    if !fwshare_fuse::is_left_behind(&whole, NAME) {
        return Ok(());
    }
    let stale = |error| FileError::Stale {
        path: whole.clone(),
        error,
    };
    loop_device::detach_left_behind(&whole).map_err(stale)?;
    fwshare_fuse::unmount(&whole).map_err(|error| FileError::Os {
        what: "unmount",
        path: whole.clone(),
        error,
    })?;
    tracing::info!("{} of a dead process was taken away", whole.display());
    Ok(())
}

/// Makes the file unless it is there and empty. Whether it was made.
fn prepare(path: &Path) -> Result<bool, FileError> {
    let failed = |what, error| {
        let path = path.to_owned();
        FileError::Os { what, path, error }
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    match options.open(path) {
        Ok(_) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("make", error)),
    }
    let metadata = fs::metadata(path).map_err(|error| failed("look at", error))?;
    if metadata.is_file() && metadata.len() == 0 {
        Ok(false)
    } else {
        Err(FileError::InUse(path.to_owned()))
    }
}

#[cfg(test)]
mod tests;
