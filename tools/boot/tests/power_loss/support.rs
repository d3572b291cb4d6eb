//! What the judges need.

use std::env;
use std::io::Write as _;
use std::path::PathBuf;
use std::thread;

/// Finds a program. `None` means: skip the test, the user has been told.
///
/// # Panics
/// In CI (the variable `CI` is set) if it is missing.
pub(crate) fn needs(program: &str, package: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from);
    let mut files = folders
        .into_iter()
        .chain(env::split_paths(&path))
        .map(|folder| folder.join(program));
    let found = files.find(|file| file.is_file());
    if found.is_none() {
        skipped(&format!("needs {program} (Debian package {package})"));
    }
    found
}

/// Whether this is root.
pub(crate) fn needs_root() -> bool {
    let is_root = nix::unistd::Uid::effective().is_root();
    if !is_root {
        skipped("needs root");
    }
    is_root
}

/// Tells the user, past the test harness's capture, that this test did not judge anything.
///
/// # Panics
/// In CI, where nothing is missing.
pub(crate) fn skipped(why: &str) {
    assert!(env::var_os("CI").is_none(), "{why}");
    let thread = thread::current();
    let line = format!("skipped {}: {why}\n", thread.name().unwrap_or("a test"));
    let _ = std::io::stderr().write_all(line.as_bytes());
}
