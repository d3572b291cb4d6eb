//! A note of a login, for the next process after this one was killed.
//!
//! The bridge keeps the login of a process that died, and refuses a second one of the same host.
//! Most bridges say who is logged in (QUERY LOGINS); for the others there is this note.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ohci_raw::bus::{Eui64, Generation};
use sbp2::initiator::Remnant;
use serde::{Deserialize, Serialize};

/// Where a login of one host to one logical unit is noted.
#[derive(Clone, Debug)]
pub(crate) struct Note(PathBuf);

#[derive(Serialize, Deserialize)]
struct Noted {
    login_id: u16,
    generation: u32,
}

impl Note {
    /// The note in a folder that is this user's.
    pub(crate) fn of(folder: &Path, target: Eui64, lun: u16, host: Eui64) -> Self {
        Self(folder.join(format!("held-{target}-{lun}-{host}.json")))
    }

    /// What was noted. Nonsense is nothing.
    pub(super) fn read(&self) -> Option<Remnant> {
        let text = fs::read(&self.0).ok()?;
        let noted: Noted = serde_json::from_slice(&text).ok()?;
        Some(Remnant {
            login_id: noted.login_id,
            generation: Generation(noted.generation),
        })
    }

    /// Notes a login, in place of an older one.
    pub(super) fn write(&self, remnant: Remnant) {
        let noted = Noted {
            login_id: remnant.login_id,
            generation: remnant.generation.0,
        };
        let new = self.0.with_extension("new");
        let written = serde_json::to_vec(&noted)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&new, text))
            .and_then(|()| fs::rename(&new, &self.0));
        if let Err(error) = written {
            tracing::debug!(note = %self.0.display(), %error, "the login is not noted");
        }
    }

    /// There is no login any more.
    pub(super) fn remove(&self) {
        // There may have been none.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_until_it_is_removed_and_nonsense_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let note = Note::of(folder.path(), Eui64(1), 0, Eui64(2));
        assert_eq!(note.read(), None);
        let remnant = Remnant {
            login_id: 7,
            generation: Generation(9),
        };
        note.write(remnant);
        assert_eq!(note.read(), Some(remnant));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        for text in ["", "x", "{}", "{\"login_id\":99999,\"generation\":0}"] {
            fs::write(&note.0, text).unwrap();
            assert_eq!(note.read(), None, "{text}");
        }
        note.remove();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
