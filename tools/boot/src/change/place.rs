use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstat};

use super::error::{ChangeError, Refusal};
use super::folder::{Folder, Found};
use crate::Root;

/// As many links as the kernel follows.
const LINKS: u32 = 40;

/// Where a path leads: the same place by a path without links. It is found step by step, so
/// that a link is followed knowingly, and a folder that is missing is known.
pub(super) struct Place {
    pub(super) file: PathBuf,
    /// The folders on the way that are not there, the outer ones first.
    pub(super) missing: Vec<PathBuf>,
}

/// A part of a path that is still to be walked.
struct Part {
    name: OsString,
    /// Whether a link said so, and not the caller.
    linked: bool,
}

impl Place {
    pub(super) fn find(root: &Root, path: &Path) -> Result<Self, ChangeError> {
        let refused = |why| ChangeError::refused(path, why);
        if !path.is_absolute() || path.file_name().is_none() {
            return Err(refused(Refusal::Name));
        }
        let mut rest: VecDeque<_> = parts(path, false).collect();
        let mut place = Self {
            file: PathBuf::from("/"),
            missing: Vec::new(),
        };
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            let is_last = rest.is_empty();
            if part.name == ".." {
                if is_last {
                    return Err(refused(Refusal::Folder));
                }
                // Nobody knows what is above a folder that is not there.
                if !place.missing.is_empty() {
                    return Err(refused(Refusal::NoFolder));
                }
                place.file.pop();
                continue;
            }
            let next = place.file.join(&part.name);
            let whole = rest
                .iter()
                .fold(next.clone(), |path, it| path.join(&it.name));
            // Known by its name: a tree in a folder need not have the device.
            if part.linked && whole == Path::new("/dev/null") {
                return Err(refused(Refusal::Mask));
            }
            match look(root, &next)? {
                None if part.linked => return Err(refused(Refusal::Dangling)),
                None if !is_last => place.missing.push(next.clone()),
                None => {}
                Some(Seen::Link(target)) => {
                    links += 1;
                    if links > LINKS {
                        return Err(refused(Refusal::Loop));
                    }
                    if target.is_absolute() {
                        place.file = PathBuf::from("/");
                    }
                    for part in parts(&target, true).rev() {
                        rest.push_front(part);
                    }
                    continue;
                }
                Some(Seen::Other(stat)) => match kind(&stat) {
                    SFlag::S_IFDIR if is_last => return Err(refused(Refusal::Folder)),
                    SFlag::S_IFDIR => {}
                    _ if !is_last => return Err(refused(Refusal::NoFolder)),
                    SFlag::S_IFREG => {}
                    _ => return Err(refused(Refusal::Special)),
                },
            }
            place.file = next;
        }
        // A link may lead to `/`.
        match place.file.file_name() {
            Some(_) => Ok(place),
            None => Err(refused(Refusal::Folder)),
        }
    }

    /// The folder that the file is in, and its name there.
    pub(super) fn split(&self) -> Result<(&Path, &OsStr), ChangeError> {
        split(&self.file)
    }

    /// What is there.
    pub(super) fn read(&self, root: &Root) -> Result<Option<Found>, ChangeError> {
        let (folder, name) = self.split()?;
        match Folder::open(root, folder)? {
            Some(folder) => folder.read(name),
            None => Ok(None),
        }
    }
}

/// The folder of a path, and the name in it.
pub(super) fn split(path: &Path) -> Result<(&Path, &OsStr), ChangeError> {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if path.is_absolute() => Ok((folder, name)),
        _ => Err(ChangeError::refused(path, Refusal::Name)),
    }
}

fn parts(path: &Path, linked: bool) -> impl DoubleEndedIterator<Item = Part> {
    path.components().filter_map(move |component| {
        let name = match component {
            Component::Normal(name) => name,
            Component::ParentDir => OsStr::new(".."),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => return None,
        };
        let name = name.to_owned();
        Some(Part { name, linked })
    })
}

enum Seen {
    Link(PathBuf),
    Other(FileStat),
}

fn look(root: &Root, path: &Path) -> Result<Option<Seen>, ChangeError> {
    let failed = |source| ChangeError::io("look at", path, source);
    let opened = root.open_at(path, OFlag::O_PATH | OFlag::O_NOFOLLOW);
    let Some(opened) = opened.map_err(failed)? else {
        return Ok(None);
    };
    let seen = (|| {
        let stat = fstat(&opened)?;
        Ok(match kind(&stat) {
            SFlag::S_IFLNK => Seen::Link(readlinkat(&opened, "")?.into()),
            _ => Seen::Other(stat),
        })
    })();
    seen.map(Some).map_err(|errno: Errno| failed(errno.into()))
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}
