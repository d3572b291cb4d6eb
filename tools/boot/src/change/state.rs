use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::ChangeError;
use super::ledger::Known;
use super::place::Place;
use super::store::{self, Stored};
use super::{Edit, Owner};
use crate::Root;

/// Beside a file, what somebody had made of it before it was undone. The `~` is for
/// initramfs-tools, which runs hooks and reads conf.d whatever other end their names have; the
/// others want one of their own.
const SAVED: &str = "fwshare-saved";

/// What earlier changes did to a system.
#[derive(Debug)]
pub struct State {
    stored: Stored,
    has_leftovers: bool,
}

/// A file that is not as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Original {
    /// As the first edit named it.
    pub path: PathBuf,
    /// The same by a path without links.
    pub file: PathBuf,
    /// [`Owner::Ours`] or [`Owner::Theirs`], as the first edit said.
    pub owner: Owner,
    /// What was there before; `None` if nothing was, or nothing that is to be brought back.
    pub content: Option<Vec<u8>>,
    /// What we left there last; `None` if we removed the file.
    pub written: Option<Vec<u8>>,
}

/// How to bring a file back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Undo {
    /// What is known about it.
    pub original: Original,
    /// What is there now.
    pub present: Option<Vec<u8>>,
    /// Whether somebody else has changed it since our first edit. The original is then not all
    /// that belongs there without us.
    pub is_altered: bool,
    /// A name that is free, for what somebody made of it.
    saved: PathBuf,
}

impl State {
    /// Reads what is known. Nothing is locked or changed.
    ///
    /// # Errors
    /// [`ChangeError::Io`], [`ChangeError::Version`] or [`ChangeError::Damaged`].
    pub fn load(root: &Root) -> Result<Self, ChangeError> {
        Ok(Self {
            stored: store::load(root)?,
            has_leftovers: store::has_leftovers(root)?,
        })
    }

    /// Whether a change was cut short, or is being made at this moment: [`recover`](super::recover)
    /// comes before all else. Until then the rest of the state is that from before the change.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        self.stored.pending.is_some() || self.has_leftovers
    }

    /// Whether nothing is to be undone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stored.now.is_empty()
    }

    /// What is known about a file, by the path of the first edit or by the one without links.
    #[must_use]
    pub fn original(&self, path: &Path) -> Option<Original> {
        self.stored.now.get(path).map(Original::of)
    }

    /// How to bring back each file. Applying all of [`Undo::restore`] as one brings everything
    /// back that was there before the first change: folders that we made go if nothing else is
    /// in them, and so does this state.
    ///
    /// # Errors
    /// [`ChangeError::Refused`] if something else than a file is in the place of one,
    /// [`ChangeError::Io`] if one cannot be read.
    pub fn undo(&self, root: &Root) -> Result<Vec<Undo>, ChangeError> {
        let files = self.stored.now.files.iter();
        files.map(|known| Undo::of(root, known)).collect()
    }
}

impl Original {
    fn of(known: &Known) -> Self {
        Self {
            path: known.path.0.clone(),
            file: known.file.0.clone(),
            owner: match known.ours {
                true => Owner::Ours,
                false => Owner::Theirs,
            },
            content: known.original_content().cloned(),
            written: known.written.as_ref().map(|written| written.0.clone()),
        }
    }
}

impl Undo {
    fn of(root: &Root, known: &Known) -> Result<Self, ChangeError> {
        let original = Original::of(known);
        let found = Place::find(root, &original.file)?.read(root)?;
        let present = found.map(|found| found.content);
        Ok(Self {
            is_altered: known.mixed || present != original.written && present != original.content,
            saved: free(root, &original.file)?,
            present,
            original,
        })
    }

    /// The original comes back. If somebody else has changed the file, theirs is kept beside it
    /// (`FILE.fwshare-saved~`, or with a number before the `~`); if they removed it, it stays removed.
    #[must_use]
    pub fn restore(self) -> Vec<Edit> {
        let is_gone = self.present.is_none() && self.original.written.is_some();
        let to = self.original.content.clone().filter(|_| !is_gone);
        let saved = self.is_altered && self.present.is_some() && self.present != to;
        let saved = saved.then(|| Edit {
            path: self.saved.clone(),
            seen: None,
            to: self.present.clone(),
            owner: Owner::Nobody,
            mode: 0o644,
            like: Some(self.original.file.clone()),
        });
        saved.into_iter().chain([self.leave(to)]).collect()
    }

    /// The file becomes what the caller says: what somebody else made of it without what is
    /// ours, for one. It is forgotten then.
    #[must_use]
    pub fn leave(self, to: Option<Vec<u8>>) -> Edit {
        Edit {
            // What a link leads to today may be another file.
            path: self.original.file,
            seen: self.present,
            to,
            owner: Owner::Nobody,
            mode: 0o644,
            like: None,
        }
    }
}

/// A name beside a file that nothing has.
fn free(root: &Root, file: &Path) -> Result<PathBuf, ChangeError> {
    let mut number = 0_u64;
    loop {
        let mut name: OsString = file.into();
        name.push(".");
        name.push(SAVED);
        if number > 0 {
            name.push(format!("-{number}"));
        }
        name.push("~");
        let path = PathBuf::from(name);
        let stat = root.stat_link(&path);
        if stat
            .map_err(|source| ChangeError::io("look at", &path, source))?
            .is_none()
        {
            return Ok(path);
        }
        number += 1;
    }
}
