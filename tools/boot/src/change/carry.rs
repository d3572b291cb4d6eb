use std::ffi::OsStr;
use std::path::Path;

use nix::errno::Errno;

use super::error::ChangeError;
use super::folder::Folder;
use super::ledger::{Pending, Step};
use super::place::split;
use super::snapshot::Snapshot;
use crate::Root;

/// Where a change that is written down is carried to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To its end, right after it was planned.
    On,
    /// To its end, after it was cut short.
    Over,
    /// To where it came from.
    Back,
}

impl Way {
    /// What is to be there, and what may be there yet.
    fn of(self, step: &Step) -> (Option<&Snapshot>, Option<&Snapshot>) {
        let (before, after) = (step.before.as_ref(), step.after.as_ref());
        match self {
            Self::On | Self::Over => (after, before),
            Self::Back => (before, after),
        }
    }
}

/// Carries a change out. Each file is replaced at once, and all that is new in them has been
/// written before the first is: a disk that gets full is full before anything is changed.
///
/// A file that holds neither what was there nor what will be is an error on the way [`Way::On`].
/// On the other two somebody changed it after we were cut short, and it is left alone.
pub(super) fn carry(root: &Root, pending: &Pending, way: Way) -> Result<(), ChangeError> {
    let (make, drop) = match way {
        Way::On | Way::Over => (&pending.make, &pending.drop),
        Way::Back => (&pending.drop, &pending.make),
    };
    for folder in make {
        let (outer, name) = split(folder)?;
        let outer = Folder::existing(root, outer)?;
        outer.make_folder(name)?;
        outer.sync()?;
    }
    let mut files = Vec::new();
    for (index, step) in pending.steps.iter().enumerate() {
        files.extend(Open::prepare(root, step, way, temporary(index))?);
    }
    for file in &files {
        file.replace(way)?;
    }
    let mut synced: Vec<&Path> = Vec::new();
    for Open { folder, .. } in &files {
        if !synced.contains(&folder.path()) {
            folder.sync()?;
            synced.push(folder.path());
        }
    }
    for folder in drop.iter().rev() {
        let (outer, name) = split(folder)?;
        if let Some(outer) = Folder::open(root, outer)? {
            outer.remove_folder(name)?;
            outer.sync()?;
        }
    }
    Ok(())
}

/// The name of a file that is being written: not one that any tool reads as configuration.
/// Numbers keep the names of several files in one folder apart, and short.
fn temporary(index: usize) -> String {
    format!(".fwshare-new-{index}")
}

/// A file whose folder is held open.
struct Open<'a> {
    folder: Folder,
    name: &'a OsStr,
    step: &'a Step,
    temporary: String,
}

impl<'a> Open<'a> {
    /// Writes what is new. `None` if there is nothing to do, and no folder to do it in.
    fn prepare(
        root: &Root,
        step: &'a Step,
        way: Way,
        temporary: String,
    ) -> Result<Option<Self>, ChangeError> {
        let (path, name) = split(&step.file)?;
        let (want, _) = way.of(step);
        let Some(folder) = Folder::open(root, path)? else {
            return match want {
                Some(_) if way == Way::On => Err(ChangeError::io("open", path, Errno::ENOENT)),
                _ => Ok(None),
            };
        };
        let file = Self {
            folder,
            name,
            step,
            temporary,
        };
        // Of a run that was cut short.
        file.folder.remove(&file.temporary)?;
        if let Some(want) = want
            && file.is_due(way)?
        {
            file.folder.write(&file.temporary, want)?;
        }
        Ok(Some(file))
    }

    fn replace(&self, way: Way) -> Result<(), ChangeError> {
        // Again, because time has passed.
        let is_due = self.is_due(way)?;
        match way.of(self.step).0 {
            Some(_) if is_due => self.folder.rename(&self.temporary, self.name),
            None if is_due => self.folder.remove(self.name),
            _ => self.folder.remove(&self.temporary),
        }
    }

    /// Whether the file is still to be replaced.
    fn is_due(&self, way: Way) -> Result<bool, ChangeError> {
        let (want, other) = way.of(self.step);
        let found = match self.folder.read(self.name) {
            Err(ChangeError::Refused { .. }) if way != Way::On => return Ok(false),
            found => found?,
        };
        let content = found.as_ref().map(|found| &found.content);
        let holds = |it: Option<&Snapshot>| content == it.map(|it| &*it.content);
        match (holds(other), holds(want)) {
            (true, _) => Ok(true),
            (false, false) if way == Way::On => Err(ChangeError::Changed {
                path: self.folder.path().join(self.name),
            }),
            _ => Ok(false),
        }
    }
}
