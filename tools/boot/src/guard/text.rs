//! Text files of a system.

use std::path::{Path, PathBuf};

use crate::tree::{Tree, TreeError};

/// The text of a file, empty if there is none. What is no UTF-8 becomes U+FFFD.
pub(super) fn read(tree: &dyn Tree, path: &Path) -> Result<String, TreeError> {
    if !tree.is_file(path)? {
        return Ok(String::new());
    }
    let bytes = tree.read(path)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The files in a folder whose names end so, each with its text. Who reads a folder passes over
/// what it cannot read, and so is done here.
pub(super) fn read_all(
    tree: &dyn Tree,
    folder: &Path,
    end: &str,
) -> Result<Vec<(PathBuf, String)>, TreeError> {
    let mut files = Vec::new();
    for name in tree.list(folder)? {
        if !name.to_string_lossy().ends_with(end) {
            continue;
        }
        let path = folder.join(name);
        if let Ok(text) = read(tree, &path) {
            files.push((path, text));
        }
    }
    Ok(files)
}

/// The lines that are no comments, with their numbers from 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    let lines = lines.map(|(index, line)| (index + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Whether a file of ours stands in the system as we would write it.
pub(super) fn is_as_written(tree: &dyn Tree, path: &str, text: &str) -> Result<bool, TreeError> {
    Ok(read(tree, Path::new(path))? == text)
}

/// The first of these that is a file: the program by which something is known to be installed.
pub(super) fn first_file<'a>(
    tree: &dyn Tree,
    paths: &[&'a str],
) -> Result<Option<&'a Path>, TreeError> {
    for path in paths.iter().map(|path| Path::new(*path)) {
        if tree.is_file(path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
