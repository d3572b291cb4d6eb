//! The words on the kernel's command line, as boot loaders have it and as dracut adds to it.

use std::path::{Path, PathBuf};

use super::live::Live;
use super::text;
use crate::boot_loader::{self, Reader};
use crate::tree::{Tree, TreeError};

/// A command line, or a part of one.
pub(super) struct Line {
    pub(super) file: PathBuf,
    /// From 1.
    pub(super) number: usize,
    words: Vec<String>,
}

impl Line {
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.words().any(|found| found == word)
    }
}

/// What the boot loader passes on, what dracut's images carry, and what runs. GRUB's own
/// configuration is left out: it repeats for each entry what it was made from.
pub(super) fn all(tree: &dyn Tree, live: Option<&Live>) -> Result<Vec<Line>, TreeError> {
    let found = boot_loader::find(tree, false).found.into_iter();
    let found = found.filter(|found| found.reader != Reader::Grub);
    let mut lines: Vec<_> = found
        .map(|found| Line {
            file: found.place.file,
            number: usize::try_from(found.place.line).unwrap_or(usize::MAX),
            words: words(&found.text),
        })
        .collect();
    let mut files = Vec::new();
    for path in ["/etc/cmdline", "/etc/dracut.conf"].map(Path::new) {
        files.push((path.to_owned(), text::read(tree, path)?));
    }
    for folder in ["/etc/cmdline.d", "/etc/dracut.conf.d"].map(Path::new) {
        files.extend(text::read_all(tree, folder, ".conf")?);
    }
    if let Some(live) = live {
        files.push(("/proc/cmdline".into(), live.command_line.clone()));
    }
    for (file, text) in files {
        lines.extend(text::lines(&text).map(|(number, line)| Line {
            file: file.clone(),
            number,
            words: words(line),
        }));
    }
    Ok(lines)
}

/// The words of a line, inside a shell's quotes or not.
fn words(line: &str) -> Vec<String> {
    let words = line.split([' ', '\t', '"', '\'']);
    let words = words.filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}
