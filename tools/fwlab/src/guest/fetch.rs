//! Files of a guest, copied to this machine.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use fwlab::vm::Guest;

use super::no_machine;
use super::watch::Watch;
use crate::cli::Wanted;
use crate::failure::Failure;

/// Fetches all of them; one that cannot be had does not keep the others there.
pub(super) fn all(wanted: &[Wanted], guest: &Guest, watch: &mut Watch<'_>) -> Result<(), Failure> {
    let mut result = Ok(());
    for (number, wanted) in wanted.iter().enumerate() {
        let fetched = fetch(wanted, &format!("fetch{number}"), guest, watch);
        result = result.and(fetched);
    }
    result
}

fn fetch(wanted: &Wanted, name: &str, guest: &Guest, watch: &mut Watch<'_>) -> Result<(), Failure> {
    let quoted = wanted.guest.replace('\'', "'\\''");
    let copying = guest.spawn(&format!("cp -r -- '{quoted}' /host/{name}"));
    let copying = copying.map_err(no_machine)?;
    let status = watch.until(None, |round| copying.has_ended_within(round))?;
    if status != Some(0) {
        let said = copying.text();
        return Err(Failure::new(format!("cannot fetch: {}", said.trim())));
    }
    let mut to = wanted.host.clone();
    if to.is_dir()
        && let Some(name) = Path::new(&wanted.guest).file_name()
    {
        to.push(name);
    }
    copy(&guest.folder().join(name), &to).map_err(|error| {
        let (guest, to) = (&wanted.guest, to.display());
        Failure::new(format!("cannot fetch {guest} to {to}: {error}"))
    })
}

/// Copies files and folders; links as they are, wherever they lead.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_dir() {
        match fs::create_dir(to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && to.is_dir() => {}
            made => made?,
        }
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
    } else if kind.is_file() {
        fs::copy(from, to)?;
    } else {
        tracing::warn!(file = %to.display(), "neither a file nor a folder, so left out");
    }
    Ok(())
}
