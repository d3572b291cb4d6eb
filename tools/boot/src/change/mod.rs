//! What becomes of files: written whole or not at all, and brought back.
//!
//! Several files are changed as one: [`apply`] writes down what it is about to do, and only then
//! does it. A loss of power before that was written leaves everything as it was. After it,
//! [`State::is_pending`] says so, and [`recover`] finishes the change. At any moment each file is
//! wholly the old or wholly the new one, with the owner, mode, ACLs and context that it had.
//!
//! What was there before stays known (/var/lib/fwshare/setup/state.json in the system), until
//! [`State::undo`] has brought it back.
//!
//! A file gets a new inode: its times are new, and one that has other names is refused. Links
//! stay links, and what they lead to is changed; no path leads out of the [`Root`].

mod bytes;
mod carry;
mod error;
mod folder;
mod ledger;
mod lock;
mod place;
mod plan;
mod snapshot;
mod state;
mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use error::{ChangeError, Refusal};
pub use state::{Original, State, Undo};

use carry::{Way, carry};
use folder::Folder;
use ledger::{Ledger, Pending};
use lock::Lock;
use plan::plan;
use store::Stored;

use crate::Root;

/// What a file is to become.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// The file, as an absolute path of the system.
    pub path: PathBuf,
    /// What the planner read there; `None` if there was nothing.
    pub seen: Option<Vec<u8>>,
    /// What is to be there; `None` if nothing is.
    pub to: Option<Vec<u8>>,
    /// Whose file it is.
    pub owner: Owner,
    /// The mode of a new file, whatever the umask says: 0o644, or 0o755 for a program.
    pub mode: u32,
    /// A new file gets owner, mode, ACLs and context of this one, if it is there. Without that it
    /// is the caller's. One that replaces another keeps what that had.
    pub like: Option<PathBuf>,
}

/// Whose file one is, and with that, what undoing does to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Wholly ours: it will be removed.
    Ours,
    /// Somebody else's: what was there before the first edit will be brought back.
    Theirs,
    /// No concern of ours any longer: it stays as this edit leaves it, and is forgotten.
    Nobody,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// The files that were written or removed, by paths without links.
    pub files: Vec<PathBuf>,
    /// The folders that were made, the outer ones first.
    pub made: Vec<PathBuf>,
    /// The folders that we had made and that are no longer needed. They are removed if they were
    /// empty.
    pub removed: Vec<PathBuf>,
}

/// What became of a change that was cut short.
#[derive(Debug)]
pub enum Recovered {
    /// There was none.
    Nothing,
    /// It had not begun, or it was complete. What it had left was removed.
    Swept,
    /// It is done now.
    Finished(Applied),
    /// It could not be finished, and all is as it was before.
    TakenBack(ChangeError),
}

/// Looks whether edits can be applied, and changes nothing.
///
/// # Errors
/// Those that [`apply`] finds before it changes anything: [`ChangeError::Refused`],
/// [`ChangeError::Changed`], [`ChangeError::Pending`], and [`ChangeError::Io`] if the system is
/// read-only or the caller is not allowed to.
pub fn check(root: &Root, edits: &[Edit]) -> Result<(), ChangeError> {
    planned(root, edits).map(drop)
}

/// Changes files, all of them or none. Edits that are done already are left out; if all are, not
/// even a time changes.
///
/// # Errors
/// [`ChangeError`]. Nothing has changed then, unless it is [`ChangeError::Unfinished`] or
/// [`ChangeError::Uncleared`].
pub fn apply(root: &Root, edits: &[Edit]) -> Result<Applied, ChangeError> {
    let _lock = Lock::take(root)?;
    let (stored, pending) = planned(root, edits)?;
    if stored.now == pending.next && pending.is_idle() {
        return Ok(Applied::default());
    }
    let applied = pending.applied();
    let mut journal = stored.with(pending);
    finish(root, &mut journal, Way::On).map(|()| applied)
}

/// Finishes a change that was cut short, or takes it back if that is not possible.
///
/// # Errors
/// [`ChangeError::Busy`] if it is still under way, [`ChangeError::Unfinished`] if neither worked.
pub fn recover(root: &Root) -> Result<Recovered, ChangeError> {
    let _lock = Lock::take(root)?;
    let had_leftovers = store::has_leftovers(root)?;
    if had_leftovers {
        store::sweep(root)?;
    }
    let mut stored = store::load(root)?;
    let Some(pending) = &stored.pending else {
        return Ok(match had_leftovers {
            true => Recovered::Swept,
            false => Recovered::Nothing,
        });
    };
    let applied = pending.applied();
    match finish(root, &mut stored, Way::Over) {
        Ok(()) => Ok(Recovered::Finished(applied)),
        Err(error @ ChangeError::Unfinished { .. }) => Err(error),
        Err(error) => Ok(Recovered::TakenBack(error)),
    }
}

/// What is known, and what is to be done, if nothing speaks against it.
fn planned(root: &Root, edits: &[Edit]) -> Result<(Stored, Pending), ChangeError> {
    let stored = store::load(root)?;
    if stored.pending.is_some() || store::has_leftovers(root)? {
        return Err(ChangeError::Pending);
    }
    let pending = plan(root, &stored.now, edits)?;
    if stored.now != pending.next || !pending.is_idle() {
        store::may_store(root, &stored.clone().with(pending.clone()))?;
    }
    Ok((stored, pending))
}

/// Carries a change out, or back if that fails.
fn finish(root: &Root, journal: &mut Stored, way: Way) -> Result<(), ChangeError> {
    match forward(root, journal, way) {
        // From here on it is done, and there is no way back.
        Ok(folder) => clear(root, folder).map_err(|source| ChangeError::Uncleared {
            source: source.into(),
        }),
        Err(source) => match back(root, journal) {
            Ok(()) => Err(source),
            Err(back) => Err(ChangeError::Unfinished {
                source: source.into(),
                back: back.into(),
            }),
        },
    }
}

fn forward(root: &Root, journal: &mut Stored, way: Way) -> Result<Option<Folder>, ChangeError> {
    if way == Way::On {
        store::store(root, journal)?.sync()?;
    }
    let Some(pending) = &journal.pending else {
        return Ok(None);
    };
    carry(root, pending, way)?;
    settle(root, journal, &pending.next)
}

fn back(root: &Root, journal: &Stored) -> Result<(), ChangeError> {
    store::sweep(root)?;
    // What failed may have been to write the journal.
    if store::load(root)?.pending.is_none() {
        return Ok(());
    }
    if let Some(pending) = &journal.pending {
        carry(root, pending, Way::Back)?;
    }
    let folder = settle(root, journal, &journal.now)?;
    clear(root, folder)
}

/// Says that nothing is under way, by one rename.
fn settle(root: &Root, journal: &Stored, now: &Ledger) -> Result<Option<Folder>, ChangeError> {
    match now.is_empty() {
        true => store::discard(root, journal),
        false => store::store(root, &mut journal.settled(now.clone())).map(Some),
    }
}

fn clear(root: &Root, folder: Option<Folder>) -> Result<(), ChangeError> {
    if let Some(folder) = folder {
        folder.sync()?;
    }
    match store::has_leftovers(root)? {
        true => store::sweep(root),
        false => Ok(()),
    }
}
