//! A file as the medium of an emulated disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use sbp2::scsi::{Medium, MediumError, byte_range};

/// A disk image: the blocks of a disk one after another, in a file or on a block device.
///
/// The file keeps its size. It is locked against a second emulator as long as this lives: each
/// would take the other's writes for its own disk's. The lock is advisory (flock), so programs
/// that only look may look.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    file: Flock<File>,
    block_length: u32,
    blocks: u64,
    read_only: bool,
    /// A flush has failed. What the kernel could not write it forgets, and a later flush succeeds
    /// without it, so none is believed any more.
    lost: bool,
}

/// A file that cannot be the medium of a disk.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The operating system refused.
    #[error("cannot {what} the image {}: {error}", path.display())]
    Os {
        /// The image.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What came back.
        error: io::Error,
    },
    /// A folder, a pipe, a character device.
    #[error("the image {} is neither a file nor a block device", path.display())]
    Kind {
        /// The image.
        path: PathBuf,
    },
    /// Another emulator has locked it.
    #[error("the image {} is in use: another emulated bridge or fwshare serve has it", path.display())]
    InUse {
        /// The image.
        path: PathBuf,
    },
    /// It has no bytes.
    #[error("the image {} is empty", path.display())]
    Empty {
        /// The image.
        path: PathBuf,
    },
    /// Its last block would be a partial one.
    #[error(
        "the image {} has {size} bytes, which is no multiple of the sector size, {block_length} bytes",
        path.display()
    )]
    PartialBlock {
        /// The image.
        path: PathBuf,
        /// Its bytes.
        size: u64,
        /// Bytes per block.
        block_length: u32,
    },
}

impl ImageError {
    fn os(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Os { path, what, error }
    }
}

impl Image {
    /// Opens an image. One that this user may not write to becomes a write-protected disk.
    ///
    /// # Errors
    /// [`ImageError`]; the file is left as it is.
    pub fn open(path: &Path, block_length: u32) -> Result<Self, ImageError> {
        Self::of(path, open(path)?, block_length)
    }

    /// Opens an image as a write-protected disk. Any number of emulators can have it so.
    ///
    /// # Errors
    /// [`ImageError`]; the file is left as it is.
    pub fn open_read_only(path: &Path, block_length: u32) -> Result<Self, ImageError> {
        let file = open_as(path, false).map_err(refused(path))?;
        Self::of(path, (file, true), block_length)
    }

    fn of(
        path: &Path,
        (file, read_only): (File, bool),
        block_length: u32,
    ) -> Result<Self, ImageError> {
        let kind = file.metadata().map_err(ImageError::os(path, "look at"))?;
        let kind = kind.file_type();
        let path = path.to_owned();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(ImageError::Kind { path });
        }
        let lock = if read_only {
            FlockArg::LockSharedNonblock
        } else {
            FlockArg::LockExclusiveNonblock
        };
        let mut file = match Flock::lock(file, lock) {
            Ok(file) => file,
            Err((_, Errno::EWOULDBLOCK)) => return Err(ImageError::InUse { path }),
            Err((_, errno)) => return Err(ImageError::os(&path, "lock")(errno.into())),
        };
        // Unlike the metadata, this knows the size of a block device.
        let size = file.seek(SeekFrom::End(0));
        let size = size.map_err(ImageError::os(&path, "measure"))?;
        if size == 0 {
            return Err(ImageError::Empty { path });
        }
        if !size.is_multiple_of(u64::from(block_length)) {
            return Err(ImageError::PartialBlock {
                path,
                size,
                block_length,
            });
        }
        Ok(Self {
            path,
            file,
            block_length,
            blocks: size / u64::from(block_length),
            read_only,
            lost: false,
        })
    }

    fn failed(&self, what: &'static str, error: &io::Error) -> MediumError {
        tracing::error!(image = %self.path.display(), %error, "cannot {what}");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => MediumError::NoSpace,
            io::ErrorKind::ReadOnlyFilesystem => MediumError::WriteProtected,
            _ => MediumError::Failed,
        }
    }

    fn flushed(&mut self, result: io::Result<()>) -> Result<(), MediumError> {
        if let Err(error) = result {
            self.lost = true;
            return Err(self.failed("flush", &error));
        }
        if self.lost {
            return Err(MediumError::Failed);
        }
        Ok(())
    }
}

fn open_as(path: &Path, write: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(write)
        // Or a FIFO would keep us waiting before it can be refused.
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
}

fn refused(path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    move |error| match error.kind() {
        io::ErrorKind::IsADirectory => ImageError::Kind { path: path.into() },
        _ => ImageError::os(path, "open")(error),
    }
}

fn open(path: &Path) -> Result<(File, bool), ImageError> {
    let error = match open_as(path, true) {
        Ok(file) => return Ok((file, false)),
        Err(error) => error,
    };
    let protected = matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::ExecutableFileBusy
    );
    if !protected {
        return Err(refused(path)(error));
    }
    let file = open_as(path, false).map_err(ImageError::os(path, "open"))?;
    tracing::warn!(
        image = %path.display(), %error,
        "cannot be written to, so the disk is write-protected"
    );
    Ok((file, true))
}

impl Medium for Image {
    fn block_length(&self) -> u32 {
        self.block_length
    }

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), MediumError> {
        let range = byte_range(self.block_length, self.blocks, lba, buffer.len())?;
        self.file
            .read_exact_at(buffer, range.start)
            .map_err(|error| self.failed("read", &error))
    }

    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), MediumError> {
        if self.read_only {
            return Err(MediumError::WriteProtected);
        }
        let range = byte_range(self.block_length, self.blocks, lba, data.len())?;
        self.file
            .write_all_at(data, range.start)
            .map_err(|error| self.failed("write", &error))
    }

    fn flush(&mut self) -> Result<(), MediumError> {
        let result = self.file.sync_data();
        self.flushed(result)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn what_is_no_image_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = Image::open(&missing, 512).unwrap_err().to_string();
        assert!(error.contains("missing: No such file"), "{error}");
        assert!(!missing.exists());

        let fifo = folder.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        for path in [folder.path(), &fifo, Path::new("/dev/null")] {
            let error = Image::open(path, 512).unwrap_err();
            assert!(matches!(error, ImageError::Kind { .. }), "{error}");
        }

        let error = Image::open(file_of(b"").path(), 512).unwrap_err();
        assert!(matches!(error, ImageError::Empty { .. }), "{error}");
        let odd = file_of(&[7; 1000]);
        let error = Image::open(odd.path(), 512).unwrap_err().to_string();
        assert!(error.contains("1000 bytes") && error.contains("512"));
        assert_eq!(fs::read(odd.path()).unwrap(), [7; 1000]);
        assert!(Image::open(file_of(&[0; 512]).path(), 2048).is_err());
    }

    #[test]
    fn an_image_serves_one_emulator_at_a_time() {
        let file = file_of(&[0; 1024]);
        let first = Image::open(file.path(), 512).unwrap();
        let second = Image::open(file.path(), 512).unwrap_err();
        assert!(matches!(second, ImageError::InUse { .. }), "{second}");
        drop(first);
        assert!(Image::open(file.path(), 512).is_ok());
    }

    #[test]
    fn an_image_that_is_only_read_serves_many_and_nobody_who_writes() {
        let file = file_of(&[1; 512]);
        let mut first = Image::open_read_only(file.path(), 512).unwrap();
        assert!(first.read_only());
        assert_eq!(first.write(0, &[2; 512]), Err(MediumError::WriteProtected));
        let second = Image::open_read_only(file.path(), 512);
        let writer = Image::open(file.path(), 512).unwrap_err();
        assert!(matches!(writer, ImageError::InUse { .. }), "{writer}");
        drop((first, second));
        let folder = tempfile::tempdir().unwrap();
        let error = Image::open_read_only(folder.path(), 512).unwrap_err();
        assert!(matches!(error, ImageError::Kind { .. }), "{error}");
    }

    #[test]
    fn blocks_go_to_their_place_in_the_file_and_never_past_its_end() {
        let file = file_of(&[1; 4096]);
        let mut image = Image::open(file.path(), 512).unwrap();
        assert_eq!((image.blocks(), image.block_length()), (8, 512));
        image.write(6, &[2; 1024]).unwrap();
        assert_eq!(image.write(7, &[3; 1024]), Err(MediumError::OutOfRange));
        assert_eq!(
            image.write(u64::MAX, &[3; 512]),
            Err(MediumError::OutOfRange)
        );
        let mut blocks = [0; 1024];
        image.read(5, &mut blocks).unwrap();
        assert_eq!((blocks[511], blocks[512]), (1, 2));
        assert_eq!(image.read(8, &mut blocks), Err(MediumError::OutOfRange));
        image.flush().unwrap();
        let bytes = fs::read(file.path()).unwrap();
        assert_eq!(bytes[..3072], [1; 3072]);
        assert_eq!(bytes[3072..], [2; 1024]);
    }

    #[test]
    fn a_write_protected_image_takes_no_writes() {
        let file = file_of(&[1; 512]);
        let mut image = Image::open(file.path(), 512).unwrap();
        image.read_only = true;
        assert_eq!(image.write(0, &[2; 512]), Err(MediumError::WriteProtected));
        assert_eq!(fs::read(file.path()).unwrap(), [1; 512]);
    }

    #[test]
    fn after_a_failed_flush_no_flush_is_believed() {
        let file = file_of(&[0; 512]);
        let mut image = Image::open(file.path(), 512).unwrap();
        image.flush().unwrap();
        let failed = image.flushed(Err(Errno::EIO.into()));
        assert_eq!(failed, Err(MediumError::Failed));
        assert_eq!(image.flush(), Err(MediumError::Failed));
    }

    #[test]
    fn a_full_file_system_is_told_from_a_broken_one() {
        let image = Image::open(file_of(&[0; 512]).path(), 512).unwrap();
        let failed = |errno: Errno| image.failed("write", &errno.into());
        assert_eq!(failed(Errno::ENOSPC), MediumError::NoSpace);
        assert_eq!(failed(Errno::EDQUOT), MediumError::NoSpace);
        assert_eq!(failed(Errno::EROFS), MediumError::WriteProtected);
        assert_eq!(failed(Errno::EIO), MediumError::Failed);
    }
}
