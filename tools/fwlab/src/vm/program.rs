//! A program of this machine and the libraries that it needs, for a guest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::VmError;

/// Adds the program's libraries, as `ldd` names them, its loader among them.
pub(super) fn add_libraries(program: &Path, found: &mut BTreeSet<PathBuf>) -> Result<(), VmError> {
    let mut command = Command::new("ldd");
    command.arg(program).stdin(Stdio::null());
    let output = command.output().map_err(VmError::os("ldd"))?;
    // It fails for scripts and for static programs, which need none.
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let path = match line.split_once("=>") {
            Some((_, path)) => path,
            None => line,
        };
        let path = path.split_whitespace().next().unwrap_or_default();
        if path.starts_with('/') {
            found.insert(PathBuf::from(path));
        } else if line.contains("not found") {
            return Err(VmError::NoProgram(format!(
                "{}, whole: {}",
                program.display(),
                line.trim()
            )));
        }
    }
    Ok(())
}
