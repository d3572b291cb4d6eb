//! What we did to a system, kept in the system: one file, which is also the journal of a change
//! under way. Whatever is to hold after a loss of power is what this file says.
//!
//! Its folders come and go together with it, by one rename: there is no moment at which they
//! are there and nobody knows who made them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::error::{ChangeError, Refusal};
use super::folder::Folder;
use super::ledger::{Ledger, Pending};
use super::place::{Place, split};
use super::plan::nearest;
use super::snapshot::{Manner, Snapshot};
use crate::Root;
use crate::tree::{MAX_FILE, Tree as _};

/// Where it is kept.
const STATE: &str = "/var/lib/fwshare/setup/state.json";

/// The file while it is written, and its folders while they are made or removed.
const FRESH: &str = ".fwshare-new";

/// The version of what is in the file.
const VERSION: u64 = 1;

/// What is in the file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Stored {
    /// The folders that we made for the file, the outer ones first.
    home: Vec<Bytes<PathBuf>>,
    /// What was done and is complete.
    pub(super) now: Ledger,
    /// What is being done.
    pub(super) pending: Option<Pending>,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[derive(Serialize)]
struct Versioned<'a> {
    version: u64,
    #[serde(flatten)]
    stored: &'a Stored,
}

/// Reads the file.
pub(super) fn load(root: &Root) -> Result<Stored, ChangeError> {
    let path = Path::new(STATE);
    let read = root.read(path);
    let bytes = read.map_err(|error| ChangeError::io(error.what, path, error.source))?;
    let Some(bytes) = bytes else {
        return Ok(Stored::default());
    };
    let damaged = |source| ChangeError::Damaged {
        path: path.to_owned(),
        source,
    };
    let Version { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if version != VERSION {
        return Err(ChangeError::Version {
            path: path.to_owned(),
            found: version,
            known: VERSION,
        });
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}

/// Whether the caller may write the file, and whether it is small enough to be read again.
pub(super) fn may_store(root: &Root, stored: &Stored) -> Result<(), ChangeError> {
    stored.encode()?;
    let place = Place::find(root, Path::new(STATE))?;
    nearest(root, place.split()?.0)?.may_change()
}

/// Writes the file, and makes its folders if they are missing. It holds from now on; once the
/// folder that is returned is synced, it also outlives a loss of power.
pub(super) fn store(root: &Root, stored: &mut Stored) -> Result<Folder, ChangeError> {
    let place = Place::find(root, Path::new(STATE))?;
    let (home, file) = place.split()?;
    let Some(top) = place.missing.first() else {
        let home = Folder::existing(root, home)?;
        home.write(FRESH, &stored.encode()?)?;
        home.rename(FRESH, file)?;
        return Ok(home);
    };
    stored.home = place.missing.iter().cloned().map(Bytes).collect();
    let (outer, name) = split(top)?;
    let outer = Folder::existing(root, outer)?;
    outer.make_folder(FRESH)?;
    let mut folder = Folder::existing(root, &outer.path().join(FRESH))?;
    for inner in place.missing.iter().skip(1) {
        let name = split(inner)?.1;
        folder.make_folder(name)?;
        folder.sync()?;
        folder = Folder::existing(root, &folder.path().join(name))?;
    }
    // All of it gets its place at once.
    folder.write(file, &stored.encode()?)?;
    folder.sync()?;
    outer.rename(FRESH, name)?;
    Ok(outer)
}

/// Removes the file, with the folders that were made for it and have nothing else in them.
/// `None` if there was none. What it leaves is for [`sweep`].
pub(super) fn discard(root: &Root, stored: &Stored) -> Result<Option<Folder>, ChangeError> {
    let place = Place::find(root, Path::new(STATE))?;
    let (home, file) = place.split()?;
    let mut top = None;
    let mut only = file;
    for path in home.ancestors() {
        let is_ours = stored.home.iter().any(|it| **it == *path);
        if !is_ours || list(root, path)? != [only] {
            break;
        }
        let (outer, name) = split(path)?;
        top = Some((outer, name));
        only = name;
    }
    let Some((outer, name)) = top else {
        let home = Folder::open(root, home)?;
        if let Some(home) = &home {
            home.remove(file)?;
        }
        return Ok(home);
    };
    let outer = Folder::existing(root, outer)?;
    outer.rename(name, FRESH)?;
    Ok(Some(outer))
}

/// Whether a run that was cut short has left something here.
pub(super) fn has_leftovers(root: &Root) -> Result<bool, ChangeError> {
    Ok(!leftovers(root)?.is_empty())
}

/// Removes what [`store`] and [`discard`] leave, and a run that was cut short in them.
pub(super) fn sweep(root: &Root) -> Result<(), ChangeError> {
    for fresh in leftovers(root)? {
        let folder = fresh.parent().unwrap_or(&fresh);
        // The way from there to the file, of which parts may be missing.
        let way: PathBuf = match Path::new(STATE).strip_prefix(folder) {
            Ok(way) => way.components().skip(1).collect(),
            Err(_) => continue,
        };
        let mut path = Place::find(root, &fresh.join(&way))?.file;
        for depth in 0..=way.components().count() {
            let (outer, name) = split(&path)?;
            if let Some(outer) = Folder::open(root, outer)? {
                match depth {
                    0 => outer.remove(name)?,
                    _ => outer.remove_folder(name)?,
                }
                outer.sync()?;
            }
            path.pop();
        }
    }
    Ok(())
}

fn leftovers(root: &Root) -> Result<Vec<PathBuf>, ChangeError> {
    let folders = Path::new(STATE).ancestors().skip(1);
    let mut found = Vec::new();
    for path in folders.map(|folder| folder.join(FRESH)) {
        match root.stat_link(&path) {
            Ok(Some(_)) => found.push(path),
            Ok(None) => {}
            Err(source) => return Err(ChangeError::io("look at", &path, source)),
        }
    }
    Ok(found)
}

impl Stored {
    /// With something under way.
    pub(super) fn with(self, pending: Pending) -> Self {
        Self {
            pending: Some(pending),
            ..self
        }
    }

    /// With nothing under way.
    pub(super) fn settled(&self, now: Ledger) -> Self {
        Self {
            home: self.home.clone(),
            now,
            pending: None,
        }
    }

    fn encode(&self) -> Result<Snapshot, ChangeError> {
        let path = Path::new(STATE);
        let versioned = Versioned {
            version: VERSION,
            stored: self,
        };
        let encoded = serde_json::to_vec_pretty(&versioned);
        let content = encoded.map_err(|source| ChangeError::io("write", path, source))?;
        if content.len() as u64 > MAX_FILE {
            return Err(ChangeError::refused(path, Refusal::Large));
        }
        // Who may not read all of the files that are copied here may not read this.
        let pending = self.pending.iter().flat_map(Pending::snapshots);
        let mode = self.now.snapshots().chain(pending);
        let mode = mode.fold(0o644, |mode, copy| mode & (copy.manner.mode | 0o600));
        Ok(Snapshot {
            content: Bytes(content),
            manner: Manner::callers(mode),
        })
    }
}

fn list(root: &Root, folder: &Path) -> Result<Vec<OsString>, ChangeError> {
    let list = root.list(folder);
    list.map_err(|error| ChangeError::io(error.what, folder, error.source))
}
