//! A system as it will be.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::tree::{Kind, Tree, TreeError};

/// A tree with some files that are other than they are, or not there.
#[derive(Clone)]
pub struct Overlay<'a> {
    below: &'a dyn Tree,
    files: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

impl std::fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl<'a> Overlay<'a> {
    /// The tree as it is.
    #[must_use]
    pub fn over(below: &'a dyn Tree) -> Self {
        Self {
            below,
            files: BTreeMap::new(),
        }
    }

    /// With this in that file. `None`: without that file.
    pub fn set(&mut self, path: &Path, to: Option<Vec<u8>>) {
        self.files.insert(path.to_owned(), to);
    }
}

impl Tree for Overlay<'_> {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, TreeError> {
        match self.files.get(path) {
            Some(file) => Ok(file.clone()),
            None => self.below.read(path),
        }
    }

    fn list(&self, folder: &Path) -> Result<Vec<OsString>, TreeError> {
        let mut names = self.below.list(folder)?;
        for (path, file) in &self.files {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                continue;
            };
            if parent != folder {
                continue;
            }
            names.retain(|other| other != name);
            if file.is_some() {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn kind(&self, path: &Path) -> Result<Option<Kind>, TreeError> {
        match self.files.get(path) {
            Some(Some(_)) => Ok(Some(Kind::File)),
            Some(None) => Ok(None),
            None => match self.below.kind(path)? {
                None if self.files.iter().any(|(file, to)| {
                    to.is_some() && file.parent().is_some_and(|parent| parent.starts_with(path))
                }) =>
                {
                    Ok(Some(Kind::Folder))
                }
                kind => Ok(kind),
            },
        }
    }

    fn link(&self, path: &Path) -> Result<Option<PathBuf>, TreeError> {
        match self.files.get(path) {
            Some(_) => Ok(None),
            None => self.below.link(path),
        }
    }
}
