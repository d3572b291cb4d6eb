//! Files that can be read: those of a system, or those in an image.
//!
//! kmod's rules are the same for both, so what applies them asks for a [`Tree`].

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Files by their paths. Paths start with `/`, which is the top of the tree; links lead to where
/// they would lead if the tree was a system of its own.
pub trait Tree {
    /// The contents of a regular file, after following links. `None` if there is no such file.
    ///
    /// # Errors
    /// [`TreeError`] if it is something else than a file, larger than [`MAX_FILE`], or cannot be
    /// read.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, TreeError>;

    /// The names in a folder, in the order of their bytes. None if there is no such folder.
    ///
    /// # Errors
    /// [`TreeError`] if it is no folder or cannot be read.
    fn list(&self, folder: &Path) -> Result<Vec<OsString>, TreeError>;

    /// What is at a path, after following links. `None` if there is nothing.
    ///
    /// # Errors
    /// [`TreeError`] if that cannot be found out.
    fn kind(&self, path: &Path) -> Result<Option<Kind>, TreeError>;

    /// What a link says. `None` if there is none at the path, or if the tree does not tell; links
    /// in the folders before it are followed.
    ///
    /// # Errors
    /// [`TreeError`] if that cannot be found out.
    fn link(&self, path: &Path) -> Result<Option<PathBuf>, TreeError> {
        let _ = path;
        Ok(None)
    }

    /// Whether there is a regular file.
    ///
    /// # Errors
    /// As [`Self::kind`].
    fn is_file(&self, path: &Path) -> Result<bool, TreeError> {
        Ok(self.kind(path)? == Some(Kind::File))
    }
}

/// The largest file that [`Tree::read`] reads, in bytes. Configuration is smaller by far;
/// modules.dep of a distribution's kernel has about a megabyte.
pub const MAX_FILE: u64 = 16 << 20;

/// What something in a tree is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A device, a FIFO, a socket, or a link that leads nowhere.
    Other,
}

/// Why something in a tree cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {source}", path.display())]
pub struct TreeError {
    /// What was tried: `read`, `list`.
    pub what: &'static str,
    /// With which path, as a user would write it.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}
