//! The places of the file system, and how they look.

use std::ffi::OsStr;
use std::time::UNIX_EPOCH;

use fuser::{FileAttr, FileType, INodeNo};
use nix::unistd::{getegid, geteuid};

/// How many inode numbers a host has: more nodes than any bus, by far.
const PER_HOST: u64 = 1 << 32;

/// A place in the file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Root,
    /// The meddler's file.
    Control,
    Host(usize),
    Node {
        host: usize,
        number: u32,
    },
}

pub(super) const CONTROL: &str = "ctl";

impl Place {
    pub(super) fn inode(self) -> INodeNo {
        INodeNo(match self {
            Self::Root => INodeNo::ROOT.0,
            Self::Control => INodeNo::ROOT.0 + 1,
            Self::Host(host) => (host as u64 + 1) * PER_HOST,
            Self::Node { host, number } => (host as u64 + 1) * PER_HOST + 1 + u64::from(number),
        })
    }

    /// The place with this inode number, whether it is there or not.
    pub(super) fn of(inode: INodeNo) -> Option<Self> {
        if inode == INodeNo::ROOT {
            return Some(Self::Root);
        }
        if inode == Self::Control.inode() {
            return Some(Self::Control);
        }
        let host = usize::try_from((inode.0 / PER_HOST).checked_sub(1)?).ok()?;
        Some(match (inode.0 % PER_HOST).checked_sub(1) {
            None => Self::Host(host),
            Some(number) => Self::Node {
                host,
                number: u32::try_from(number).ok()?,
            },
        })
    }

    /// The place that is called so in this one, whether it is there or not.
    pub(super) fn child(self, name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        match self {
            Self::Root if name == CONTROL => Some(Self::Control),
            Self::Root => Some(Self::Host(number(name, "host")?)),
            Self::Host(host) => Some(Self::Node {
                host,
                number: number(name, "fw")?,
            }),
            Self::Control | Self::Node { .. } => None,
        }
    }

    pub(super) fn attributes(self) -> FileAttr {
        let is_folder = matches!(self, Self::Root | Self::Host(_));
        FileAttr {
            ino: self.inode(),
            size: 0,
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: self.kind(),
            perm: if is_folder { 0o700 } else { 0o600 },
            nlink: if is_folder { 2 } else { 1 },
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    pub(super) const fn kind(self) -> FileType {
        match self {
            Self::Root | Self::Host(_) => FileType::Directory,
            Self::Control | Self::Node { .. } => FileType::RegularFile,
        }
    }
}

/// The number behind a prefix, written as it would be here.
fn number<T: std::str::FromStr + ToString>(name: &str, prefix: &str) -> Option<T> {
    let digits = name.strip_prefix(prefix)?;
    let number: T = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_its_inode_number() {
        for place in [
            Place::Root,
            Place::Control,
            Place::Host(0),
            Place::Host(61),
            Place::Node { host: 0, number: 0 },
            Place::Node {
                host: 61,
                number: 9,
            },
        ] {
            assert_eq!(Place::of(place.inode()), Some(place));
        }
        assert_eq!(Place::of(INodeNo(0)), None);
        assert_eq!(Place::of(INodeNo(77)), None);
    }

    #[test]
    fn names_have_one_spelling() {
        let child = |place: Place, name: &str| place.child(OsStr::new(name));
        assert_eq!(child(Place::Root, "host12"), Some(Place::Host(12)));
        assert_eq!(
            child(Place::Host(3), "fw7"),
            Some(Place::Node { host: 3, number: 7 })
        );
        for name in ["host", "host01", "host+1", "fw0", "CTL", ""] {
            assert_eq!(child(Place::Root, name), None, "{name}");
        }
        for name in ["fw", "fw01", "fw-1", "fw99999999999", "host0"] {
            assert_eq!(child(Place::Host(0), name), None, "{name}");
        }
    }
}
