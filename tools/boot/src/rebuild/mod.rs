//! Images made anew, each looked into before it takes the old one's place.
//!
//! The tool writes a new image beside the old one, under a name of ours. The old one is not
//! touched until somebody has looked into the new one and found it good; then a rename puts it in
//! place. dracut of before 112 deletes the old image when /boot is full, which cannot happen here.

mod inside;
mod run;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstatat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};

pub use run::Stopped;

use crate::root::Root;
use crate::tool::Image;

/// How an image was not made.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The folder of the image has not enough room for a second one.
    #[error(
        "{} has {} MiB free, and {} MiB are needed for a new image beside the old one",
        folder.display(), free >> 20, needed.div_ceil(1 << 20)
    )]
    NoRoom {
        /// The folder.
        folder: PathBuf,
        /// In bytes.
        needed: u64,
        /// In bytes.
        free: u64,
    },
    /// Where the image should be is something else.
    #[error("{} is {what}, and not an image's file", path.display())]
    NoFile {
        /// The image.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The tool could not be run.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The tool's program.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The tool failed, or was killed.
    #[error("{command} {how}")]
    Failed {
        /// What was run.
        command: String,
        /// `ended with exit status 1`
        how: String,
        /// The end of what it said, without control characters.
        said: String,
    },
    /// The tool says that all is well and has made no image.
    #[error("{command} says that all is well and has made no image")]
    Nothing {
        /// What was run.
        command: String,
        /// The end of what it said.
        said: String,
    },
    /// The new image is not as wanted.
    #[error("the new image is not as wanted: {why}")]
    Unfit {
        /// What is the matter with it.
        why: String,
        /// The end of what the tool said.
        said: String,
    },
    /// What is to be run after an image was put in place came to nothing. The new image is in
    /// place, and may not be what boots.
    #[error("the new image is in place, but what has to follow came to nothing: {source}")]
    After {
        /// What was to be run.
        command: String,
        /// How it ended.
        source: Box<Self>,
    },
    /// It was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// Another run makes images in the same folder.
    #[error("another run makes images in {} at this moment", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// The operating system refused something.
    #[error("cannot {what} {}: {source}", path.display())]
    Os {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl RebuildError {
    /// The end of what the tool said, if it was run.
    #[must_use]
    pub fn said(&self) -> &str {
        match self {
            Self::Failed { said, .. } | Self::Nothing { said, .. } | Self::Unfit { said, .. } => {
                said
            }
            Self::After { source, .. } => source.said(),
            _ => "",
        }
    }

    /// Whether the new image is in place in spite of it.
    #[must_use]
    pub const fn is_after(&self) -> bool {
        matches!(self, Self::After { .. })
    }
}

/// What a new image takes more than the old one, at most, in bytes.
const GROWTH: u64 = 8 << 20;
/// What an image takes of which there is no old one, in bytes.
const TYPICAL: u64 = 64 << 20;

/// Sees that there is room for a second image, and that the first is a file.
///
/// # Errors
/// [`RebuildError::NoRoom`], [`RebuildError::NoFile`], [`RebuildError::Os`].
pub fn check(root: &Root, image: &Image) -> Result<(), RebuildError> {
    let place = Place::of(root, &image.path)?;
    let old = place.size(&place.name)?;
    let needed = match old {
        Some(size) => size + size / 4 + GROWTH,
        None => TYPICAL,
    };
    let free =
        fstatvfs(&place.folder).map_err(|errno| place.failed("ask for the room in", errno))?;
    if free.flags().contains(FsFlags::ST_RDONLY) {
        return Err(place.failed("make an image in", Errno::EROFS));
    }
    #[expect(
        clippy::useless_conversion,
        reason = "not all machines have 64 bits here"
    )]
    let free = u64::from(free.blocks_available()) * u64::from(free.fragment_size());
    // What an interrupted run has left is removed first.
    let left = place.size(image.workplace().file_name().unwrap_or_default().as_ref())?;
    if free + left.unwrap_or_default() < needed {
        return Err(RebuildError::NoRoom {
            folder: place.path,
            needed,
            free,
        });
    }
    Ok(())
}

/// Makes an image anew. `fit` looks into it, and says what it saw or what is the matter with it;
/// if the latter, or anything else goes wrong, the old image is as it was.
///
/// # Errors
/// [`RebuildError`].
pub fn rebuild<T>(
    root: &Root,
    image: &Image,
    stopped: Stopped<'_>,
    fit: impl FnOnce(&Path) -> Result<T, String>,
) -> Result<T, RebuildError> {
    let place = Place::of(root, &image.path)?;
    place.lock()?;
    check(root, image)?;
    let new = image.workplace();
    let new_name = PathBuf::from(new.file_name().unwrap_or_default());
    place.remove(&new_name)?;
    let made = make(root, image, &place, &new, &new_name, stopped, fit);
    if made.is_err() {
        // The error that counts is the first one.
        let _ = place.remove(&new_name);
    }
    let seen = made?;
    for command in &image.recipe.then {
        run::run(root, command, stopped).map_err(|error| RebuildError::After {
            command: command.join(" "),
            source: error.into(),
        })?;
    }
    Ok(seen)
}

fn make<T>(
    root: &Root,
    image: &Image,
    place: &Place,
    new: &Path,
    new_name: &Path,
    stopped: Stopped<'_>,
    fit: impl FnOnce(&Path) -> Result<T, String>,
) -> Result<T, RebuildError> {
    let command = image.command(new);
    let said = run::run(root, &command, stopped)?;
    let command = command.join(" ");
    if place.size(new_name)?.unwrap_or_default() == 0 {
        return Err(RebuildError::Nothing { command, said });
    }
    let seen = fit(new).map_err(|why| RebuildError::Unfit { why, said })?;
    place.put(new_name)?;
    Ok(seen)
}

/// A folder of images, and a name in it.
struct Place {
    folder: std::os::fd::OwnedFd,
    path: PathBuf,
    name: PathBuf,
}

impl Place {
    fn of(root: &Root, image: &Path) -> Result<Self, RebuildError> {
        let path = image.parent().unwrap_or(Path::new("/")).to_owned();
        let failed = |source| RebuildError::Os {
            what: "open",
            path: path.clone(),
            source,
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let folder = root.open_at(&path, flags).map_err(failed)?;
        let folder = folder.ok_or_else(|| failed(Errno::ENOENT.into()))?;
        let name = PathBuf::from(image.file_name().unwrap_or_default());
        Ok(Self { folder, path, name })
    }

    fn failed(&self, what: &'static str, errno: Errno) -> RebuildError {
        RebuildError::Os {
            what,
            path: self.path.clone(),
            source: errno.into(),
        }
    }

    /// Keeps other runs from making images here, for as long as this lives: the folder was opened
    /// anew, and closing it unlocks.
    fn lock(&self) -> Result<(), RebuildError> {
        #[expect(deprecated, reason = "nix's `Flock` panics when it cannot unlock")]
        let locked = nix::fcntl::flock(
            self.folder.as_raw_fd(),
            nix::fcntl::FlockArg::LockExclusiveNonblock,
        );
        match locked {
            Ok(()) => Ok(()),
            Err(Errno::EWOULDBLOCK) => Err(RebuildError::Busy {
                folder: self.path.clone(),
            }),
            Err(errno) => Err(self.failed("lock", errno)),
        }
    }

    /// A file's size. `None` if it is not there.
    fn size(&self, name: &Path) -> Result<Option<u64>, RebuildError> {
        let stat = self.stat(name)?;
        Ok(stat.map(|stat| stat.st_size.try_into().unwrap_or_default()))
    }

    /// What is known of a file. `None` if it is not there.
    fn stat(&self, name: &Path) -> Result<Option<FileStat>, RebuildError> {
        let stat = match fstatat(&self.folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(self.failed("look into", errno)),
        };
        let what = match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => return Ok(Some(stat)),
            SFlag::S_IFLNK => "a link",
            SFlag::S_IFDIR => "a folder",
            _ => "a device",
        };
        Err(RebuildError::NoFile {
            path: self.path.join(name),
            what,
        })
    }

    fn remove(&self, name: &Path) -> Result<(), RebuildError> {
        match unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.failed("remove an unfinished image in", errno)),
        }
    }

    /// Puts the new image in the old one's place. There may be keys in it: who could not read the
    /// old one cannot read the new one either.
    fn put(&self, new: &Path) -> Result<(), RebuildError> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let opened = nix::fcntl::openat(&self.folder, new, flags, Mode::empty());
        let file = opened.map_err(|errno| self.failed("open the new image in", errno))?;
        let mode = |stat: FileStat| Mode::from_bits_truncate(stat.st_mode);
        if let (Some(old), Some(made)) = (self.stat(&self.name)?, self.stat(new)?)
            && !mode(old).contains(mode(made))
        {
            fchmod(&file, mode(old) & mode(made))
                .map_err(|errno| self.failed("keep the mode of the image in", errno))?;
        }
        fsync(&file).map_err(|errno| self.failed("write the new image to the disk, in", errno))?;
        renameat(&self.folder, new, &self.folder, &self.name)
            .map_err(|errno| self.failed("rename the new image in", errno))?;
        fsync(&self.folder).map_err(|errno| self.failed("write to the disk", errno))
    }
}
