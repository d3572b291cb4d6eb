//! The kernel's command line, in the files that it is made of.

use std::path::{Path, PathBuf};

use super::live::Live;
use super::text;
use crate::tree::{Tree, TreeError};

const FILES: [&str; 4] = [
    "/etc/default/grub",
    "/etc/kernel/cmdline",
    "/etc/cmdline",
    "/etc/dracut.conf",
];

const FOLDERS: [(&str, &str); 6] = [
    ("/etc/default/grub.d", ".cfg"),
    ("/etc/cmdline.d", ".conf"),
    ("/etc/dracut.conf.d", ".conf"),
    ("/boot/loader/entries", ".conf"),
    ("/efi/loader/entries", ".conf"),
    ("/boot/efi/loader/entries", ".conf"),
];

/// What the boot loader passes on, what images carry, and the one that runs.
pub(super) fn files(
    tree: &dyn Tree,
    live: Option<&Live>,
) -> Result<Vec<(PathBuf, String)>, TreeError> {
    let mut files = Vec::new();
    for path in FILES.map(Path::new) {
        files.push((path.to_owned(), text::read(tree, path)?));
    }
    for (folder, end) in FOLDERS {
        files.extend(text::read_all(tree, Path::new(folder), end)?);
    }
    if let Some(live) = live {
        files.push(("/proc/cmdline".into(), live.command_line.clone()));
    }
    Ok(files)
}

/// The words of a line, inside a shell's quotes or not.
pub(super) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split([' ', '\t', '"', '\''])
}
