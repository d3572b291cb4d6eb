//! What makes the images of a system.
//!
//! A tool has a drop-in folder or something like it, a name for its images, and a command that
//! makes one. [`Ruler::find`] tells which tool rules a system; [`Tool::drop_in`],
//! [`Tool::images`] and [`Image::command`] are what differs between them.

mod dracut;
mod find;
mod initramfs_tools;
mod mkinitcpio;
mod mkinitrd;
mod post_update;
mod shell;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use find::{Ruler, Unsupported};

use crate::tree::{Tree, TreeError};

/// A tool that makes images for early boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tool {
    /// Debian's and Ubuntu's of long standing: `mkinitramfs`, `update-initramfs`.
    InitramfsTools,
    /// Fedora's, SUSE's, and Debian's since 14.
    Dracut,
    /// Arch's.
    Mkinitcpio,
    /// Red Hat's of before dracut.
    Mkinitrd,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::InitramfsTools,
        Self::Dracut,
        Self::Mkinitcpio,
        Self::Mkinitrd,
    ];

    /// As users write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InitramfsTools => "initramfs-tools",
            Self::Dracut => "dracut",
            Self::Mkinitcpio => "mkinitcpio",
            Self::Mkinitrd => "mkinitrd",
        }
    }

    /// The file in the tool's drop-in folder that has these modules and these files put into every
    /// image. `None` for a tool that knows no such thing.
    #[must_use]
    pub fn drop_in(self, modules: &[&str], files: &[&Path]) -> Option<DropIn> {
        match self {
            Self::InitramfsTools => Some(initramfs_tools::drop_in(modules, files)),
            Self::Dracut => Some(dracut::drop_in(modules, files)),
            Self::Mkinitcpio => Some(mkinitcpio::drop_in(modules, files)),
            Self::Mkinitrd => None,
        }
    }

    /// The images of a kernel, those that are there and those that should be.
    ///
    /// # Errors
    /// [`TreeError`] if the system cannot be looked at.
    pub fn images(self, tree: &dyn Tree, kernel: &str) -> Result<Images, TreeError> {
        match self {
            Self::InitramfsTools => initramfs_tools::images(tree, kernel),
            Self::Dracut => dracut::images(tree, kernel),
            Self::Mkinitcpio => mkinitcpio::images(tree, kernel),
            Self::Mkinitrd => mkinitrd::images(tree, kernel),
        }
    }

    /// What should be known about the tool's configuration, beside what is written.
    ///
    /// # Errors
    /// [`TreeError`] if the system cannot be looked at.
    pub fn remarks(self, tree: &dyn Tree) -> Result<Vec<Remark>, TreeError> {
        match self {
            Self::InitramfsTools => initramfs_tools::remarks(tree),
            Self::Dracut => dracut::remarks(tree),
            Self::Mkinitcpio => mkinitcpio::remarks(tree),
            Self::Mkinitrd => Ok(Vec::new()),
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no tool.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{0}\" is no tool that is known: initramfs-tools, dracut, mkinitcpio or mkinitrd")]
pub struct ParseToolError(String);

impl FromStr for Tool {
    type Err = ParseToolError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let tool = Self::ALL.into_iter().find(|tool| tool.name() == text);
        tool.ok_or_else(|| ParseToolError(text.to_owned()))
    }
}

/// A file of ours in a tool's folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropIn {
    /// Where it goes.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
    /// Whether the tool runs it.
    pub is_program: bool,
}

/// A kernel's images, and why there may be others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Images {
    /// Those that the tool makes.
    pub images: Vec<Image>,
    /// What boots, and is not made anew with these.
    pub others: Vec<Remark>,
}

/// An image that a tool makes for a kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
    /// The kernel's version.
    pub kernel: String,
    /// How it is made.
    pub recipe: Recipe,
}

/// How an image is made: the program, and its arguments before and after the image's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipe {
    /// The program.
    pub program: &'static str,
    /// Before the name.
    pub before: Vec<String>,
    /// After it.
    pub after: Vec<String>,
    /// What is to be run when the image is in place, each with its arguments.
    pub then: Vec<Vec<String>>,
}

impl Recipe {
    /// Makes it the one of a system without anything of ours: mkinitrd is told on its command line
    /// what other tools read in a drop-in.
    pub(crate) fn leave_ours_out(&mut self) {
        self.before.retain(|word| !word.starts_with(mkinitrd::WITH));
    }
}

impl Image {
    /// The command that makes the image, in another place.
    #[must_use]
    pub fn command(&self, place: &Path) -> Vec<String> {
        let name = place.display().to_string();
        let program = std::iter::once(self.recipe.program.to_owned());
        let arguments = self.recipe.before.iter().cloned();
        let after = self.recipe.after.iter().cloned();
        program
            .chain(arguments)
            .chain(std::iter::once(name))
            .chain(after)
            .collect()
    }

    /// Where the image is made: beside the old one, under a name that no boot loader's menu takes
    /// for an image (grub-mkconfig looks for `initrd.img-*` and `initramfs-*`).
    #[must_use]
    pub fn workplace(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default();
        let mut hidden = std::ffi::OsString::from(".fwshare-");
        hidden.push(name);
        self.path.with_file_name(hidden)
    }
}

/// Something about a file of the system that a user should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remark {
    /// The file; empty if it is about none.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: Option<usize>,
    /// What is the matter.
    pub text: String,
    /// Something is left for the user to do before the next boot is as wanted.
    pub is_to_do: bool,
}

impl Remark {
    /// One that is about no file.
    pub(crate) fn of_none(text: String, is_to_do: bool) -> Self {
        Self {
            file: PathBuf::new(),
            line: None,
            text,
            is_to_do,
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            _ if self.file.as_os_str().is_empty() => f.write_str(&self.text),
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.text),
            None => write!(f, "{}: {}", self.file.display(), self.text),
        }
    }
}

/// Paths for a shell. Ours need no quotes.
fn words(files: &[&Path]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    files.join(" ")
}

/// The head of every file of ours.
pub const HEAD: &str = "\
# Written by fwshare setup-initramfs; changes are lost when it is run again.
# Undo: fwshare setup-initramfs --remove
";
