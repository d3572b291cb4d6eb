use std::path::{Path, PathBuf};

use super::bytes::Bytes;
use super::error::{ChangeError, Refusal};
use super::folder::{Folder, Found};
use super::ledger::{Known, Ledger, Pending, Step};
use super::place::Place;
use super::snapshot::{Manner, Snapshot};
use super::{Edit, Owner};
use crate::Root;

/// What has to be done for edits. Nothing is written, and all is refused here that can be known
/// to fail.
pub(super) fn plan(root: &Root, now: &Ledger, edits: &[Edit]) -> Result<Pending, ChangeError> {
    let mut pending = Pending {
        next: now.clone(),
        ..Pending::default()
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for edit in edits {
        let place = Place::find(root, &edit.path)?;
        if files.contains(&place.file) {
            return Err(ChangeError::refused(&edit.path, Refusal::Twice));
        }
        let present = place.read(root)?;
        add(root, &mut pending, edit, &place, present)?;
        files.push(place.file);
    }
    let next = &mut pending.next;
    for folder in &pending.make {
        if !next.made.contains(folder) {
            next.made.push(folder.clone());
        }
    }
    let files = &next.files;
    let is_used = |folder: &Bytes<PathBuf>| files.iter().any(|it| it.file.starts_with(&**folder));
    next.made.retain(is_used);
    let dropped = now.made.iter().filter(|folder| !next.made.contains(folder));
    pending.drop = dropped.cloned().collect();
    for step in &pending.steps {
        let (folder, name) = super::place::split(&step.file)?;
        let folder = nearest(root, folder)?;
        folder.may_change()?;
        if let Some(after) = &step.after {
            folder.may_give(name, &after.manner)?;
        }
    }
    Ok(pending)
}

fn add(
    root: &Root,
    pending: &mut Pending,
    edit: &Edit,
    place: &Place,
    present: Option<Found>,
) -> Result<(), ChangeError> {
    let content = present.as_ref().map(|found| &found.content);
    let is_reached = content == edit.to.as_ref();
    let before = present.as_ref().map(Found::snapshot);
    let index = pending
        .next
        .files
        .iter()
        .position(|it| *it.file == place.file);
    let known = index.map(|index| pending.next.files.remove(index));
    if !is_reached {
        if content != edit.seen.as_ref() {
            let path = edit.path.clone();
            return Err(ChangeError::Changed { path });
        }
        if present.as_ref().is_some_and(|found| found.names > 1) {
            return Err(ChangeError::refused(&edit.path, Refusal::HardLinks));
        }
        let after = match &edit.to {
            Some(to) => Some(Snapshot {
                content: Bytes(to.clone()),
                manner: manner(root, edit, present.as_ref(), known.as_ref())?,
            }),
            None => None,
        };
        for folder in place.missing.iter().filter(|_| after.is_some()) {
            let folder = Bytes(folder.clone());
            if !pending.make.contains(&folder) {
                pending.make.push(folder);
            }
        }
        pending.steps.push(Step {
            file: Bytes(place.file.clone()),
            before: before.clone(),
            after,
        });
    }
    let written = edit.to.clone().map(Bytes);
    let known = match (edit.owner, known) {
        (Owner::Nobody, _) => None,
        (_, Some(known)) => Some(Known {
            mixed: known.mixed || !known.ours && !is_reached && content != known.written.as_deref(),
            written,
            ..known
        }),
        (Owner::Theirs, None) if is_reached => None,
        (owner, None) => Some(Known {
            path: Bytes(edit.path.clone()),
            file: Bytes(place.file.clone()),
            ours: owner == Owner::Ours,
            original: before.filter(|_| owner == Owner::Theirs),
            written,
            mixed: false,
        }),
    };
    let is_back = |known: &Known| known.written.as_deref() == known.original_content();
    if let Some(known) = known.filter(|known| !is_back(known)) {
        let files = &mut pending.next.files;
        files.insert(index.unwrap_or(files.len()), known);
    }
    Ok(())
}

/// Whose the file will be: as it is now, or as it was, or as another is.
fn manner(
    root: &Root,
    edit: &Edit,
    present: Option<&Found>,
    known: Option<&Known>,
) -> Result<Manner, ChangeError> {
    let original = known.and_then(|known| known.original.as_ref());
    if let Some(present) = present {
        let same = original.filter(|it| Some(&*it.content) == edit.to.as_ref());
        let same = same.map(|it| &it.manner);
        return Ok(present.manner.clone().for_content_of(same));
    }
    if let Some(original) = original {
        return Ok(original.manner.clone());
    }
    let found = match &edit.like {
        Some(like) => Place::find(root, like)?.read(root)?,
        None => None,
    };
    Ok(match found {
        Some(found) => found.manner.for_content_of(None),
        None => Manner::callers(edit.mode),
    })
}

/// The folder, or the one in which it will be made.
pub(super) fn nearest(root: &Root, path: &Path) -> Result<Folder, ChangeError> {
    for folder in path.ancestors() {
        if let Some(folder) = Folder::open(root, folder)? {
            return Ok(folder);
        }
    }
    Folder::existing(root, Path::new("/"))
}
