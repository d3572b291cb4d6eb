//! How running logins can be asked and ended: a socket for each, in a folder of their user's.
//!
//! One line of JSON goes in, one comes out. The folder and the sockets are for their owner alone.

mod board;
mod client;
mod message;
mod server;

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};

pub(crate) use board::{Board, Served};
pub(crate) use client::{Running, running};
pub(crate) use message::{Device, Ended, HostStatus, Status, with_device};
pub(crate) use server::{Control, Ending, Source};

use crate::error::{Exit, Failure};

/// The names of sockets: this, the process's id, and [`SUFFIX`].
const PREFIX: &str = "login-";
const SUFFIX: &str = ".sock";

/// The folder of the sockets, unless it cannot be told where that is.
fn folder(wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(wanted) = wanted {
        return Ok(wanted.to_owned());
    }
    if nix::unistd::geteuid().is_root() {
        return Ok("/run/fwshare".into());
    }
    let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    runtime
        .map(|folder| PathBuf::from(folder).join("fwshare"))
        .ok_or_else(|| {
            Failure::new(Exit::Error, "no folder for the sockets of running logins")
                .advise("set XDG_RUNTIME_DIR, or name one with --run-dir")
        })
}

/// The folder of the sockets, made if it is not there.
///
/// # Errors
/// It cannot be told where that is, or it cannot be made or trusted.
pub(crate) fn run_folder(wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    let folder = folder(wanted)?;
    prepare(&folder)
        .map_err(|error| Failure::new(Exit::Error, format!("{}: {error}", folder.display())))?;
    Ok(folder)
}

/// Makes the folder if it is not there. One that others could put something into is refused.
fn prepare(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::metadata(folder)?;
    let own = metadata.uid() == nix::unistd::geteuid().as_raw();
    if !metadata.is_dir() || !own || metadata.permissions().mode() & 0o022 != 0 {
        return Err(io::Error::other(
            "it must be a folder of this user, to which nobody else can write",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_to_which_others_can_write_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("run");
        prepare(&folder).unwrap();
        let mode = |folder: &Path| fs::metadata(folder).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        prepare(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(prepare(&folder).is_err());
        let file = base.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(prepare(&file).is_err());
        assert!(prepare(&base.path().join("a/b")).is_err());
    }
}
