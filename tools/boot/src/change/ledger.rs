use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Applied;
use super::bytes::Bytes;
use super::snapshot::Snapshot;

/// What was done to a system so far, as far as it is not undone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    pub(super) files: Vec<Known>,
    /// The folders that we made for them, the outer ones first.
    pub(super) made: Vec<Bytes<PathBuf>>,
}

/// A file that is not as it was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Known {
    /// As the first edit named it.
    pub(super) path: Bytes<PathBuf>,
    /// The same by a path without links.
    pub(super) file: Bytes<PathBuf>,
    /// Whether nothing was there that is to be brought back.
    pub(super) ours: bool,
    /// What was there before the first edit.
    pub(super) original: Option<Snapshot>,
    /// What we left there last.
    pub(super) written: Option<Bytes<Vec<u8>>>,
    /// Whether somebody changed the file between two of our edits: then the original is not
    /// all that belongs there without us.
    pub(super) mixed: bool,
}

/// A change under way: all that is needed to finish it or to take it back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) steps: Vec<Step>,
    /// Folders that are missing, the outer ones first.
    pub(super) make: Vec<Bytes<PathBuf>>,
    /// Folders that we once made, and that nothing of ours is in any longer.
    pub(super) drop: Vec<Bytes<PathBuf>>,
    /// What is known once it is done.
    pub(super) next: Ledger,
}

/// One file of a change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Step {
    /// By a path without links.
    pub(super) file: Bytes<PathBuf>,
    pub(super) before: Option<Snapshot>,
    pub(super) after: Option<Snapshot>,
}

impl Ledger {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.made.is_empty()
    }

    /// By either of its paths.
    pub(super) fn get(&self, path: &Path) -> Option<&Known> {
        let mut files = self.files.iter();
        files.find(|known| *known.file == *path || *known.path == *path)
    }

    pub(super) fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.files
            .iter()
            .filter_map(|known| known.original.as_ref())
    }
}

impl Known {
    pub(super) fn original_content(&self) -> Option<&Vec<u8>> {
        self.original.as_ref().map(|original| &*original.content)
    }
}

impl Pending {
    /// Whether nothing but what is known changes.
    pub(super) fn is_idle(&self) -> bool {
        self.steps.is_empty() && self.make.is_empty() && self.drop.is_empty()
    }

    pub(super) fn applied(&self) -> Applied {
        let paths = |paths: &[Bytes<PathBuf>]| paths.iter().map(|it| it.0.clone()).collect();
        Applied {
            files: self.steps.iter().map(|it| it.file.0.clone()).collect(),
            made: paths(&self.make),
            removed: paths(&self.drop),
        }
    }

    pub(super) fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        let steps = self.steps.iter();
        let steps = steps.flat_map(|step| [&step.before, &step.after]);
        steps.flatten().chain(self.next.snapshots())
    }
}
