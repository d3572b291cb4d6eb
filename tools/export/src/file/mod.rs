//! A disk as a file of this host, by FUSE.
//!
//! The file has the disk's size. What reads and writes it reads and writes the disk: it goes past
//! the page cache, `fsync` is a flush of the disk, `O_DSYNC` is FUA. It works wherever there is
//! FUSE, for programs that know nothing of NBD, and below a loop device for file systems.
//!
//! As everywhere in this crate nothing is read to write a part of it: a write that does not begin
//! and end at a block boundary is refused with `EINVAL`. A loop device with direct I/O, as
//! `losetup --direct-io=on` makes it, writes whole blocks.
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
use crate::disk::{Disk, GeometryError};

/// A disk that is a file, until it is stopped.
#[derive(Debug)]
pub struct FileExport {
    path: PathBuf,
    /// The file was made for it.
    made: bool,
    traffic: Arc<Traffic>,
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
    /// What a process that was killed has left at the path.
    #[error("{} is what a dead process has left behind", .0.display())]
    Stale(PathBuf),
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
    /// Serves `disk` as the file `path`, which is made unless it is there and empty.
    ///
    /// # Errors
    /// [`FileError`]; what is at the path is as before.
    pub fn start(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, FileError> {
        let geometry = disk.geometry();
        geometry.check()?;
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
        let traffic = Arc::new(Traffic::default());
        let file = DiskFile::new(disk, Arc::clone(&traffic));
        let mounted = Mounted::new(file, path.clone(), "fwshare").map_err(failed("mount on"))?;
        Ok(Self {
            path,
            made,
            traffic,
            mounted: Some(mounted),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the file away: nobody opens it any more, and what is under way is waited for, at
    /// most so long. Who has it open still reaches the disk until this process ends; the disk
    /// refuses then what comes late. The disk is not flushed: whoever owns it does that next.
    ///
    /// Returns how many requests were not waited for.
    pub fn stop(mut self, grace: Duration) -> usize {
        self.detach();
        self.traffic.wait(grace)
    }

    fn detach(&mut self) {
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

impl Drop for FileExport {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Makes the file unless it is there and empty. Whether it was made.
fn prepare(path: &Path) -> Result<bool, FileError> {
    let failed = |what, error| {
        let path = path.to_owned();
        if fwshare_fuse::is_stale(&error) {
            FileError::Stale(path)
        } else {
            FileError::Os { what, path, error }
        }
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
