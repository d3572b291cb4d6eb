//! Small systems in temporary folders, for tests.

use std::fs;

use crate::Root;

/// A system of these files: paths, absolute or not, and what is in them.
pub(crate) fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        put(folder.path(), path, text);
    }
    let root = Root::open(folder.path()).unwrap();
    (folder, root)
}

/// Writes a file of a system, and makes the folders that it needs.
pub(crate) fn put(folder: &std::path::Path, path: &str, text: &str) {
    let path = folder.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
