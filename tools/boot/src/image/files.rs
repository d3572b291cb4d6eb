//! The files of an image, as they are once the kernel has unpacked it.
//!
//! The kernel makes them in a file system, one after another, so what an entry does depends on
//! those before it: a folder that is a link leads elsewhere, a file takes a file's place, and an
//! entry whose folder is not there is left out without a word (init/initramfs.c).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// How many links a path may lead through, as in Linux.
const MAX_LINKS: usize = 40;
/// How many names are looked up for a path. Linux has no such limit; paths of real images have
/// ten, and a file of paths through long links should not take hours.
const MAX_STEPS: usize = 1024;
/// The longest name of a file, in bytes (`NAME_MAX`).
const MAX_NAME: usize = 255;

/// What something in an image is.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Folder(BTreeMap<Vec<u8>, usize>),
    File {
        size: u64,
        contents: Option<Vec<u8>>,
    },
    Link(Vec<u8>),
    Other,
}

/// All files, by number. 0 is the top.
#[derive(Debug)]
pub(super) struct Files {
    nodes: Vec<Node>,
}

/// The folders on the way to something, without those that were left again, and it.
type Trail<'a> = Vec<(&'a [u8], usize)>;

const TOP: usize = 0;

fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
}

/// Whether a path is that of the top.
pub(super) fn is_top(path: &[u8]) -> bool {
    names(path).next().is_none()
}

/// A path's folder and last name. `None` for the top and for what ends in `..`.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = path.iter().rposition(|&byte| byte != b'/')?;
    let path = path.get(..=end)?;
    let (folder, name) = match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (path.get(..slash)?, path.get(slash + 1..)?),
        None => (&b""[..], path),
    };
    (name != b"." && name != b"..").then_some((folder, name))
}

impl Files {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::Folder(BTreeMap::new())],
        }
    }

    pub(super) fn node(&self, number: usize) -> Option<&Node> {
        self.nodes.get(number)
    }

    fn child(&self, folder: usize, name: &[u8]) -> Option<usize> {
        match self.node(folder)? {
            Node::Folder(children) => children.get(name).copied(),
            _ => None,
        }
    }

    /// Follows a path from the top, and links on the way; at its end only if told to.
    fn walk<'a>(&'a self, path: &'a [u8], last: bool) -> Result<Option<Trail<'a>>, Errno> {
        let mut ahead: Vec<&[u8]> = names(path).rev().collect();
        let mut trail: Trail<'a> = Vec::new();
        let mut links = 0;
        let mut steps = 0;
        while let Some(name) = ahead.pop() {
            steps += 1;
            if steps > MAX_STEPS {
                return Err(Errno::ELOOP);
            }
            let folder = trail.last().map_or(TOP, |(_, number)| *number);
            if name == b".." {
                trail.pop();
                continue;
            }
            let Some(number) = self.child(folder, name) else {
                return Ok(None);
            };
            match self.node(number) {
                Some(Node::Link(target)) if last || !ahead.is_empty() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::ELOOP);
                    }
                    if target.is_empty() {
                        return Ok(None);
                    }
                    if target.starts_with(b"/") {
                        trail.clear();
                    }
                    ahead.extend(names(target).rev());
                    if ahead.len() > MAX_STEPS {
                        return Err(Errno::ELOOP);
                    }
                }
                Some(Node::Folder(_)) => trail.push((name, number)),
                Some(_) if !ahead.is_empty() => return Ok(None),
                _ => trail.push((name, number)),
            }
        }
        Ok(Some(trail))
    }

    /// What is at a path, after following links.
    ///
    /// # Errors
    /// `ELOOP`.
    pub(super) fn find(&self, path: &Path) -> Result<Option<&Node>, Errno> {
        let trail = self.walk(path.as_os_str().as_bytes(), true)?;
        Ok(trail.and_then(|trail| {
            let number = trail.last().map_or(TOP, |(_, number)| *number);
            self.node(number)
        }))
    }

    /// What is at a path, be it a link.
    ///
    /// # Errors
    /// `ELOOP`.
    pub(super) fn find_link(&self, path: &Path) -> Result<Option<&Node>, Errno> {
        let trail = self.walk(path.as_os_str().as_bytes(), false)?;
        Ok(trail.and_then(|trail| {
            let number = trail.last().map_or(TOP, |(_, number)| *number);
            self.node(number)
        }))
    }

    /// Where an entry of this name goes: its folder, its name there, and its path from the top.
    pub(super) fn place(&self, path: &[u8]) -> Option<Place> {
        let (folder, name) = split(path)?;
        if name.len() > MAX_NAME {
            return None;
        }
        let trail = self.walk(folder, true).ok()??;
        let number = trail.last().map_or(TOP, |(_, number)| *number);
        let Node::Folder(_) = self.node(number)? else {
            return None;
        };
        let mut path = Vec::from(b"/");
        for (name, _) in &trail {
            path.extend_from_slice(name);
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Some(Place {
            folder: number,
            name: name.to_vec(),
            path: PathBuf::from(OsString::from_vec(path)),
        })
    }

    /// Takes away what is at a place, unless it stays there or cannot be taken away. Whether the
    /// place is free or has what stays.
    fn clear(&mut self, place: &Place, stays: impl Fn(&Node) -> bool) -> bool {
        let there = self.child(place.folder, &place.name);
        let free = match there.and_then(|number| self.node(number)) {
            None => return true,
            Some(node) if stays(node) => return true,
            Some(Node::Folder(children)) => children.is_empty(),
            Some(_) => true,
        };
        if free && let Some(Node::Folder(children)) = self.nodes.get_mut(place.folder) {
            children.remove(&place.name);
        }
        free
    }

    fn put(&mut self, place: Place, node: Node) -> usize {
        let number = self.nodes.len();
        self.nodes.push(node);
        self.enter(place, number);
        number
    }

    fn enter(&mut self, place: Place, number: usize) {
        if let Some(Node::Folder(children)) = self.nodes.get_mut(place.folder) {
            children.insert(place.name, number);
        }
    }

    /// Makes a folder. Whether it is there now.
    pub(super) fn make_folder(&mut self, place: Place) -> bool {
        let free = self.clear(&place, |node| matches!(node, Node::Folder(_)));
        if free && self.child(place.folder, &place.name).is_none() {
            self.put(place, Node::Folder(BTreeMap::new()));
        }
        free
    }

    /// Makes a link. Whether it is there now.
    pub(super) fn make_link(&mut self, place: Place, target: Vec<u8>) -> bool {
        let free = self.clear(&place, |_| false);
        if free {
            self.put(place, Node::Link(target));
        }
        free
    }

    /// Makes a device, a FIFO or a socket. Whether there is one now.
    pub(super) fn make_other(&mut self, place: Place) -> bool {
        let free = self.clear(&place, |_| false);
        if free {
            self.put(place, Node::Other);
        }
        free
    }

    /// Makes a file, empty at first. The file that was there loses its contents and stays, as it
    /// does for others that have it by another name. `None` if that cannot be.
    pub(super) fn make_file(&mut self, place: Place) -> Option<usize> {
        if !self.clear(&place, |node| matches!(node, Node::File { .. })) {
            return None;
        }
        Some(match self.child(place.folder, &place.name) {
            Some(number) => {
                self.fill(number, 0, None);
                number
            }
            None => {
                let contents = Some(Vec::new());
                self.put(place, Node::File { size: 0, contents })
            }
        })
    }

    /// Gives a file another name. Whether it has it now.
    pub(super) fn make_hard_link(&mut self, place: Place, number: usize) -> bool {
        let free = self.clear(&place, |_| false);
        if free {
            self.enter(place, number);
        }
        free
    }

    /// Gives a file its contents.
    pub(super) fn fill(&mut self, number: usize, new_size: u64, new: Option<Vec<u8>>) {
        if let Some(Node::File { size, contents }) = self.nodes.get_mut(number) {
            *size = new_size;
            *contents = match new_size {
                0 => Some(Vec::new()),
                _ => new,
            };
        }
    }

    /// Everything in here, folders before what is in them, in the order of the bytes of names.
    pub(super) fn walk_all(&self) -> impl Iterator<Item = (PathBuf, &Node)> {
        let mut ahead: Vec<(PathBuf, usize)> = vec![(PathBuf::from("/"), TOP)];
        std::iter::from_fn(move || {
            let (path, number) = ahead.pop()?;
            let node = self.node(number)?;
            if let Node::Folder(children) = node {
                ahead.extend(
                    children
                        .iter()
                        .rev()
                        .map(|(name, &child)| (path.join(OsString::from_vec(name.clone())), child)),
                );
            }
            Some((path, node))
        })
    }
}

/// Where an entry goes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    folder: usize,
    name: Vec<u8>,
    /// From the top, with no link in it.
    pub(super) path: PathBuf,
}
