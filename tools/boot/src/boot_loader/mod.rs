//! Command lines for the kernel, in what boot loaders read.
//!
//! `firewire_sbp2.exclusive_login=` there beats modprobe.d, and is the only way to a driver that is
//! built in. [`find`] tells what stands where, [`Edit`] where it is to be written, and [`Layout`]
//! whether the image that is built is the one that boots.

mod edit;
mod entries;
mod grub;
mod layout;
mod other;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use edit::Edit;
pub use layout::{Layout, Unified};

use crate::kernels::Version;
use crate::kmod::CommandLine;
use crate::notice::{Notice, Oddity, Place, keep};
use crate::tree::{Kind, Tree};

/// A command line that stands somewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Where it stands.
    pub place: Place,
    /// The command line. Variables of a boot loader or a shell are left as they are.
    pub text: String,
    /// For which kernel; `None` if for all, or if that is not said.
    pub kernel: Option<Version>,
    /// Who reads it.
    pub reader: Reader,
}

impl Found {
    /// What it says, as the kernel and kmod read it.
    #[must_use]
    pub fn parse(&self) -> CommandLine {
        CommandLine::parse(self.text.as_bytes(), &self.place)
    }
}

/// Who reads a command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// The kernel that runs was given it.
    Running,
    /// `grub-mkconfig`, which writes GRUB's own configuration: `/etc/default/grub`.
    GrubMkconfig,
    /// GRUB: grub.cfg and grubenv. They are made, not edited.
    Grub,
    /// `kernel-install`, for entries and unified images that it will make.
    KernelInstall,
    /// systemd-boot, or GRUB on Fedora and its kin: an entry of the Boot Loader Specification.
    Entry,
    /// LILO.
    Lilo,
    /// extlinux or syslinux.
    Syslinux,
    /// The firmware of a Raspberry Pi.
    RaspberryPi,
}

/// All command lines of a system, and what is odd about the files they are in.
#[derive(Debug, Default)]
pub struct CommandLines {
    /// Those that were found, file by file.
    pub found: Vec<Found>,
    /// What cannot be read.
    pub notices: Vec<Notice>,
}

/// Finds the command lines of a system. That of the kernel which runs is asked for only if this
/// is the system that runs: another's tree may have this machine's `/proc` mounted.
#[must_use]
pub fn find(tree: &dyn Tree, is_live: bool) -> CommandLines {
    let mut lines = Collector {
        tree,
        lines: CommandLines::default(),
    };
    if is_live {
        lines.whole("/proc/cmdline", Reader::Running);
    }
    grub::find(&mut lines);
    entries::find(&mut lines);
    other::find(&mut lines);
    lines.lines
}

/// Where a system's boot partitions are mounted.
const BOOT: [&str; 3] = ["/boot", "/efi", "/boot/efi"];

struct Collector<'a> {
    tree: &'a dyn Tree,
    lines: CommandLines,
}

impl Collector<'_> {
    /// A text file. `None` if it is not there, or not to be read.
    fn read(&mut self, file: &Path) -> Option<String> {
        let read = match self.tree.kind(file) {
            Ok(Some(Kind::File)) => self.tree.read(file),
            Ok(_) => return None,
            Err(error) => Err(error),
        };
        match read {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes?).into_owned()),
            Err(error) => {
                self.odd(file, None, Oddity::Unreadable(error));
                None
            }
        }
    }

    /// The files in a folder whose names end so.
    fn files(&mut self, folder: &Path, end: &str) -> Vec<PathBuf> {
        let names = match self.tree.kind(folder) {
            Ok(Some(Kind::Folder)) => self.tree.list(folder),
            Ok(_) => return Vec::new(),
            Err(error) => Err(error),
        };
        match names {
            Ok(names) => names
                .into_iter()
                .filter(|name| name.to_str().is_some_and(|name| name.ends_with(end)))
                .map(|name| folder.join(name))
                .collect(),
            Err(error) => {
                self.odd(folder, None, Oddity::Unreadable(error));
                Vec::new()
            }
        }
    }

    /// A file that is one command line, whatever lines it has. Lines that start with `#` are
    /// comments.
    fn whole(&mut self, file: &str, reader: Reader) {
        let Some(text) = self.read(Path::new(file)) else {
            return;
        };
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        if !lines.is_empty() {
            self.push(Place::new(file, 1), lines.join(" "), None, reader);
        }
    }

    fn push(&mut self, place: Place, text: String, kernel: Option<Version>, reader: Reader) {
        self.lines.found.push(Found {
            place,
            text,
            kernel,
            reader,
        });
    }

    fn odd(&mut self, file: &Path, line: Option<u32>, oddity: Oddity) {
        let file = file.to_owned();
        keep(&mut self.lines.notices, Notice { file, line, oddity });
    }
}

/// A file's lines with their numbers.
fn numbered(text: &str) -> impl Iterator<Item = (u32, &str)> {
    (1_u32..).zip(text.lines().map(str::trim))
}

/// The version in the path of a kernel: `/boot/vmlinuz-VERSION`, or `/TOKEN/VERSION/linux` as
/// kernel-install has it.
fn version(path: &str) -> Option<Version> {
    let mut parts = path.rsplit('/');
    let file = parts.next()?;
    if matches!(file, "linux" | "vmlinuz") {
        let version = parts.next()?.parse().ok()?;
        // Without a token above it is a folder like any other.
        return parts
            .next()
            .is_some_and(|token| !token.is_empty())
            .then_some(version);
    }
    let (name, version) = file.split_once('-')?;
    let is_kernel = ["vmlinuz", "vmlinux", "bzImage", "kernel", "Image"].contains(&name);
    version.parse().ok().filter(|_| is_kernel)
}

/// A command line of words. Blanks in one are put between quotes, as boot loaders do it.
fn join<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> String {
    let words = words.into_iter().map(|word| {
        let word = String::from_utf8_lossy(word);
        match word.contains([' ', '\t']) && !word.contains('"') {
            true => format!("\"{word}\""),
            false => word.into_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
