//! Which files are read, and in which order.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use crate::notice::{Notice, Oddity, keep};
use crate::tree::{Kind, Tree, TreeError};

/// Who reads the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// kmod: every distribution since about 2012.
    Kmod,
    /// module-init-tools, of the time of the `ieee1394` drivers: `/etc/modprobe.conf`, or without
    /// it all files in `/etc/modprobe.d`, whatever their names. The files are taken in the order
    /// of their names here; module-init-tools took them as the folder had them.
    ModuleInitTools,
}

/// How much is read of all files together, in bytes.
pub const MAX_TOTAL: usize = 16 << 20;

/// kmod's folders. A name in an earlier one hides the same name in later ones.
const FOLDERS: [&str; 5] = [
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];

/// A file that is read, or that one may think is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What becomes of it.
    pub state: State,
}

/// What becomes of a file in a folder of configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It is read.
    Read,
    /// It is a link to `/dev/null`: it says nothing, and hides its name in later folders.
    Masked,
    /// A file of the same name in an earlier folder is read instead.
    Hidden {
        /// That file.
        by: PathBuf,
    },
    /// Its name does not end in `.conf`.
    NoSuffix,
    /// It cannot be read; a [`Notice`] says why.
    Skipped,
}

/// The files of kmod's folders, in the order in which they are read.
pub(super) fn kmod(tree: &dyn Tree, notices: &mut Vec<Notice>) -> Vec<Source> {
    let mut found: Vec<(OsString, Source)> = Vec::new();
    let mut names_taken: HashMap<OsString, PathBuf> = HashMap::new();
    for folder in FOLDERS.map(Path::new) {
        if is_usr_lib(tree, folder) {
            continue;
        }
        for (name, path) in names(tree, folder, notices) {
            let Some(mut state) = state(tree, &name, &path, notices) else {
                continue;
            };
            if state != State::NoSuffix {
                match names_taken.get(&name) {
                    Some(by) => state = State::Hidden { by: by.clone() },
                    None => {
                        names_taken.insert(name.clone(), path.clone());
                    }
                }
            }
            found.push((name, Source { path, state }));
        }
    }
    // Sorting is stable: what hides comes before what it hides.
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.into_iter().map(|(_, source)| source).collect()
}

/// Whether this is `/usr/lib/modprobe.d` by its other name.
fn is_usr_lib(tree: &dyn Tree, folder: &Path) -> bool {
    folder.starts_with("/lib")
        && matches!(tree.link(Path::new("/lib")), Ok(Some(target))
            if target == Path::new("usr/lib") || target == Path::new("/usr/lib"))
}

/// What is in a folder. If a file stands in its place, kmod reads that.
fn names(tree: &dyn Tree, folder: &Path, notices: &mut Vec<Notice>) -> Vec<(OsString, PathBuf)> {
    let listed = match tree.kind(folder) {
        Ok(None) => return Vec::new(),
        Ok(Some(Kind::File)) => {
            let name = folder.file_name().unwrap_or_default().to_owned();
            return vec![(name, folder.to_owned())];
        }
        Ok(Some(Kind::Folder)) => tree.list(folder),
        Ok(Some(Kind::Other)) => {
            keep(notices, other(tree, folder));
            return Vec::new();
        }
        Err(error) => Err(error),
    };
    match listed {
        Ok(names) => names
            .into_iter()
            .map(|name| (name.clone(), folder.join(name)))
            .collect(),
        Err(error) => {
            keep(notices, unreadable(folder, error));
            Vec::new()
        }
    }
}

/// What becomes of a file, if there was no other of its name. `None` if nobody would expect it
/// to be read.
fn state(tree: &dyn Tree, name: &OsStr, path: &Path, notices: &mut Vec<Notice>) -> Option<State> {
    let is_folder_itself = FOLDERS.map(Path::new).contains(&path);
    let bytes = name.as_bytes();
    if bytes.starts_with(b".") {
        return None;
    }
    let kind = tree.kind(path);
    if !is_folder_itself && (!bytes.ends_with(b".conf") || bytes.len() < 6) {
        return matches!(kind, Ok(Some(Kind::File))).then_some(State::NoSuffix);
    }
    if name.to_str().is_none() {
        keep(notices, about(path, Oddity::Name));
    }
    match kind {
        Ok(Some(Kind::File)) => Some(State::Read),
        Ok(None) => None,
        Ok(Some(Kind::Folder)) => {
            keep(notices, about(path, Oddity::Folder));
            None
        }
        Ok(Some(Kind::Other)) if is_null(tree, path) => Some(State::Masked),
        Ok(Some(Kind::Other)) => {
            let notice = other(tree, path);
            // kmod 34 passes over a link that leads nowhere; anything else has the name.
            let claims = matches!(notice.oddity, Oddity::Special);
            keep(notices, notice);
            claims.then_some(State::Skipped)
        }
        Err(error) => {
            keep(notices, unreadable(path, error));
            Some(State::Skipped)
        }
    }
}

/// Whether it is a link to `/dev/null`, which need not be there in a system that does not run.
fn is_null(tree: &dyn Tree, path: &Path) -> bool {
    let Ok(Some(target)) = tree.link(path) else {
        return false;
    };
    let mut resolved = path.parent().unwrap_or(Path::new("/")).to_owned();
    for part in target.components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            // A root replaces what is before it.
            part => resolved.push(part),
        }
    }
    resolved == Path::new("/dev/null")
}

fn other(tree: &dyn Tree, path: &Path) -> Notice {
    let oddity = match tree.link(path) {
        Ok(Some(_)) => Oddity::Dangling,
        Ok(None) => Oddity::Special,
        Err(error) => Oddity::Unreadable(error),
    };
    about(path, oddity)
}

pub(super) fn unreadable(path: &Path, error: TreeError) -> Notice {
    about(path, Oddity::Unreadable(error))
}

fn about(path: &Path, oddity: Oddity) -> Notice {
    Notice {
        file: path.to_owned(),
        line: None,
        oddity,
    }
}
