use std::io;
use std::path::{Path, PathBuf};

/// Why files were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Another run is changing this system.
    #[error("another run is changing the files of {}", root.display())]
    Busy {
        /// The system, from this machine's `/`.
        root: PathBuf,
    },
    /// An earlier change was cut short. [`recover`](super::recover) comes first.
    #[error("an earlier change was cut short, and has to be finished first")]
    Pending,
    /// A file is not to be changed. Nothing was.
    #[error("{} is not changed: {why}", path.display())]
    Refused {
        /// The file, as the edit names it.
        path: PathBuf,
        /// Why not.
        #[source]
        why: Refusal,
    },
    /// A file does not hold what the planner read there. Nothing was changed, or all of it was
    /// taken back.
    #[error("{} is not changed: it has changed since it was read", path.display())]
    Changed {
        /// The file, as the edit names it.
        path: PathBuf,
    },
    /// What is known about earlier changes was written by another version.
    #[error("{} has version {found}, and only version {known} is understood", path.display())]
    Version {
        /// The file with the state.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// What is known about earlier changes cannot be understood.
    #[error("{} is damaged: {source}", path.display())]
    Damaged {
        /// The file with the state.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The system refused. All that had been changed by then was taken back.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried: `write`, `rename`.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The change failed, and so did taking it back. What is to be done is still known:
    /// [`recover`](super::recover) finishes it.
    #[error("{source}; this could not be taken back ({back}), and the next run finishes it")]
    Unfinished {
        /// Why the change failed.
        source: Box<Self>,
        /// Why it could not be taken back.
        back: Box<Self>,
    },
    /// The change is complete, but not what was to be cleared up after it.
    /// [`recover`](super::recover) does that.
    #[error("the files are changed, but clearing up after that failed: {source}")]
    Uncleared {
        /// Why.
        source: Box<Self>,
    },
}

/// Why a file is not to be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// A link to /dev/null: somebody does not want this file to be.
    #[error("it is masked, a link to /dev/null")]
    Mask,
    /// A link on the way leads to a place where nothing is.
    #[error("a link leads to where nothing is")]
    Dangling,
    /// Links lead around in a circle, or there are more than the kernel follows.
    #[error("too many links")]
    Loop,
    /// There is a folder.
    #[error("it is a folder")]
    Folder,
    /// There is a device, a FIFO or a socket.
    #[error("it is no regular file")]
    Special,
    /// Something else stands where a folder should be.
    #[error("something on the way to it is no folder")]
    NoFolder,
    /// The path is not absolute, or its last part names no file.
    #[error("it is no absolute path of a file")]
    Name,
    /// The file has other names, which would keep what is in it now.
    #[error("it has other names (hard links)")]
    HardLinks,
    /// The file, or all files together, are larger than [`MAX_FILE`](crate::tree::MAX_FILE).
    #[error("it is too large")]
    Large,
    /// Two edits are about one file.
    #[error("two changes to one file")]
    Twice,
}

impl ChangeError {
    pub(super) fn io(what: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    pub(super) fn refused(path: &Path, why: Refusal) -> Self {
        Self::Refused {
            path: path.to_owned(),
            why,
        }
    }
}
