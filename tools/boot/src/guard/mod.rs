//! What would assemble or mount a disk that several hosts see, and what keeps it from that.
//!
//! A host whose image logs in shared has the disk before its root is mounted, and so has every
//! other host. Whatever takes a new disk into use by itself does so on all of them: LVM, md,
//! multipath, fstab, swap, the desktop. [`dangers`] finds what would do it in a system's files,
//! and on the system that runs also what is on the disk. [`Guard::means`] are the files that stop
//! it, all of them ours; where only somebody else's file would do, it is said what to write there.
//!
//! No guard may take another disk away from the host, least of all the one with its root. So
//! none of them hides disks by a pattern of names: all ask for the attribute `ieee1394_id`, which
//! the SCSI devices of firewire-sbp2 and of the old sbp2 have, and no others.

mod command_line;
mod fstab;
mod live;
mod lvm;
mod md;
mod multipath;
mod resume;
mod rules;
mod spec;
#[cfg(test)]
mod tests;
mod text;
mod udisks;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use live::{Device, Live};

use crate::tool::DropIn;
use crate::tree::{Tree, TreeError};

/// What a guard keeps away from the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Guard {
    /// LVM, which activates the volume groups that it finds.
    Lvm,
    /// md, which assembles the arrays that it finds.
    Md,
    /// udisks, by which desktops mount what is plugged in.
    Udisks,
    /// multipathd, which makes a device of its own of disks with several paths.
    Multipath,
    /// The lines of fstab.
    Fstab,
    /// The image of a hibernated host.
    Resume,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Lvm,
        Self::Md,
        Self::Udisks,
        Self::Multipath,
        Self::Fstab,
        Self::Resume,
    ];

    /// As users write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lvm => "lvm",
            Self::Md => "md",
            Self::Udisks => "udisks",
            Self::Multipath => "multipath",
            Self::Fstab => "fstab",
            Self::Resume => "resume",
        }
    }

    /// What keeps it away on this system.
    ///
    /// The files are the same at every call as long as the system's are, ours excepted: what was
    /// written is not reason to write something else.
    ///
    /// # Errors
    /// [`TreeError`] if the system cannot be looked at.
    pub fn means(self, tree: &dyn Tree, live: Option<&Live>) -> Result<Means, TreeError> {
        match self {
            Self::Lvm => lvm::means(tree, live),
            Self::Md => md::means(tree, live),
            Self::Udisks => Ok(udisks::means()),
            Self::Multipath => Ok(multipath::means()),
            Self::Fstab => fstab::means(tree, live),
            Self::Resume => resume::means(tree, live),
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no guard.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{0}\" is no guard: lvm, md, udisks, multipath, fstab and resume are")]
pub struct ParseGuardError(String);

impl FromStr for Guard {
    type Err = ParseGuardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let guard = Self::ALL.into_iter().find(|guard| guard.name() == text);
        guard.ok_or_else(|| ParseGuardError(text.to_owned()))
    }
}

/// Something that would take the disk into use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Danger {
    /// Which guard is for it.
    pub guard: Guard,
    /// Where it comes from, if that is a file.
    pub file: Option<PathBuf>,
    /// The file's line, from 1.
    pub line: Option<usize>,
    /// What would happen, in one sentence.
    pub text: String,
    /// What stops it: a command, a line for a file, or a guard of ours.
    pub remedy: String,
    /// Something stops it already.
    pub is_stopped: bool,
}

impl fmt::Display for Danger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: {}", file.display(), self.text),
            (Some(file), None) => write!(f, "{}: {}", file.display(), self.text),
            (None, _) => f.write_str(&self.text),
        }
    }
}

/// What keeps something away from the disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Means {
    /// Files of ours. None of them is read by anybody if what it is for is not installed.
    pub files: Vec<GuardFile>,
    /// What only the administrator can do.
    pub advice: Vec<String>,
}

/// A file of ours that guards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GuardFile {
    /// The file.
    pub drop_in: DropIn,
    /// What it stops acts in early boot as well, so it has to be in the images.
    pub in_image: bool,
}

impl GuardFile {
    fn new(path: &str, text: String, in_image: bool) -> Self {
        Self {
            drop_in: DropIn {
                path: path.into(),
                text,
                is_program: false,
            },
            in_image,
        }
    }
}

/// Every file that a guard may write, on any system: those to be looked for when all is undone.
#[must_use]
pub fn files() -> Vec<&'static Path> {
    let files = [
        lvm::RULES,
        md::RULES,
        udisks::RULES,
        multipath::RULES,
        multipath::BLACKLIST,
        resume::INITRAMFS_TOOLS,
        resume::DRACUT,
    ];
    files.map(Path::new).to_vec()
}

/// What would take the disk into use, in the order of [`Guard::ALL`].
///
/// Without `live` only names tell that a line of fstab means a FireWire disk; with it, what the
/// disks that are there hold is looked up in udev's database. Nothing is opened.
///
/// # Errors
/// [`TreeError`] if the system cannot be looked at.
pub fn dangers(tree: &dyn Tree, live: Option<&Live>) -> Result<Vec<Danger>, TreeError> {
    let mut dangers = lvm::dangers(tree, live)?;
    dangers.extend(md::dangers(tree, live)?);
    dangers.extend(udisks::dangers(tree, live)?);
    dangers.extend(multipath::dangers(tree)?);
    dangers.extend(fstab::dangers(tree, live)?);
    dangers.extend(resume::dangers(tree, live)?);
    Ok(dangers)
}
