//! Who runs, asked over their sockets.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::message::{Answer, Device, Ended, Status, Wish};
use super::{PREFIX, SUFFIX, folder};
use crate::device::guid_digits;
use crate::error::{Exit, Failure};
use crate::session::Reset;

/// How long a login may take to tell how it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long its end may take: it flushes and logs out, and waits for its clients.
const END_PATIENCE: Duration = Duration::from_secs(180);
/// How long a reset may take: longer than the login gives it.
const RESET_PATIENCE: Duration = Duration::from_secs(40);

/// A login that runs.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    path: PathBuf,
    pub(crate) status: Status,
}

/// The logins that run, those of `target` or all. What a killed one has left behind is removed.
///
/// # Errors
/// The folder cannot be listed, or no such login runs.
pub(crate) fn running(
    run_dir: Option<&Path>,
    target: Option<&str>,
) -> Result<Vec<Running>, Failure> {
    let folder = folder(run_dir)?;
    let mut found = Vec::new();
    for path in sockets(&folder)? {
        match ask(&path, Wish::Status, PATIENCE) {
            Ok(Answer::Status(status)) => found.push(Running {
                path,
                status: *status,
            }),
            Ok(answer) => tracing::warn!(socket = %path.display(), ?answer, "a strange answer"),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                tracing::debug!(socket = %path.display(), "left behind by a login that was killed");
                // It is nobody's.
                let _ = fs::remove_file(&path);
            }
            Err(error) => tracing::warn!(socket = %path.display(), %error, "no answer"),
        }
    }
    found.retain(|running| target.is_none_or(|target| means(target, &running.status.target)));
    if found.is_empty() {
        let message = match target {
            Some(target) => format!("no login to {target} runs on this host"),
            None => "no login runs on this host".to_owned(),
        };
        let place = format!(
            "looked in {}; --run-dir names another folder",
            folder.display()
        );
        return Err(Failure::new(Exit::NothingFound, message).advise(place));
    }
    Ok(found)
}

/// Whether a target as the user writes it, with the first digits of the GUID and perhaps a
/// logical unit, means this one.
fn means(written: &str, target: &str) -> bool {
    let (digits, lun) = match written.rsplit_once(':') {
        Some((digits, lun)) => (digits, Some(lun)),
        None => (written, None),
    };
    let digits = guid_digits(digits);
    let (guid, of) = target.split_once(':').unwrap_or((target, ""));
    !digits.is_empty()
        && guid.starts_with(&digits.to_ascii_lowercase())
        && lun.is_none_or(|lun| lun == of)
}

fn sockets(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let message = format!("{}: {error}", folder.display());
            return Err(match error.kind() {
                io::ErrorKind::PermissionDenied => Failure::new(Exit::Permission, message)
                    .advise("the logins there are another user's"),
                _ => Failure::new(Exit::Error, message),
            });
        }
    };
    let names = entries.flatten().map(|entry| entry.path());
    let mut sockets: Vec<_> = names
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
        })
        .collect();
    sockets.sort();
    Ok(sockets)
}

fn ask(path: &Path, wish: Wish, patience: Duration) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut line = serde_json::to_vec(&wish)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

impl Running {
    /// Asks it to end, by force or not, and waits for that.
    ///
    /// # Errors
    /// One of its devices is in use, and it goes on; or it does not say how it ended.
    pub(crate) fn end(&self, by_force: bool) -> Result<Ended, Failure> {
        let wish = match by_force {
            true => Wish::ForceLogout,
            false => Wish::Logout,
        };
        match ask(&self.path, wish, END_PATIENCE) {
            Ok(Answer::Ended(ended)) => Ok(ended),
            Ok(Answer::Busy(devices)) => Err(self.busy(&devices)),
            Ok(answer) => Err(self.strange(&answer)),
            Err(error) => Err(Failure::new(
                Exit::Error,
                format!("{} does not say how it ended: {error}", self.who()),
            )),
        }
    }

    /// Has something reset by it, and waits for that.
    ///
    /// # Errors
    /// It was not reset, or nobody knows.
    pub(crate) fn reset(&self, reset: Reset) -> Result<Ended, Failure> {
        match ask(&self.path, Wish::Reset(reset), RESET_PATIENCE) {
            Ok(Answer::Reset(ended)) => Ok(ended),
            Ok(answer) => Err(self.strange(&answer)),
            Err(error) => Err(Failure::new(
                Exit::Error,
                format!("{} does not say what came of it: {error}", self.who()),
            )),
        }
    }

    fn who(&self) -> String {
        format!(
            "the login to {} (process {})",
            self.status.target, self.status.pid
        )
    }

    fn strange(&self, answer: &Answer) -> Failure {
        let message = format!("{} gave a strange answer: {answer:?}", self.who());
        Failure::new(Exit::Error, message)
    }

    fn busy(&self, devices: &[Device]) -> Failure {
        let uses = devices
            .iter()
            .map(|device| format!("{} is {}", device.path, device.use_in_words()));
        let message = format!(
            "{} goes on: {}",
            self.who(),
            uses.collect::<Vec<_>>().join(", ")
        );
        let mut failure = Failure::new(Exit::Held, message);
        for device in devices {
            // What was mounted last may be in what was mounted first.
            for place in device.mounts.iter().rev() {
                failure = failure.advise(format!("unmount it first: umount {place}"));
            }
            if !device.holders.is_empty() {
                let path = &device.path;
                failure = failure.advise(format!("stop first what is built on it: lsblk {path}"));
            }
        }
        failure.advise("with --force it ends all the same, and what is not written yet is lost")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_meant_by_the_first_digits_of_its_guid() {
        let target = "0030e000000001fa:0";
        for written in ["0030e", "0x0030E000", "eui.0030e000000001fa", "0030e0:0"] {
            assert!(means(written, target), "{written}");
        }
        for written in ["", ":0", "30e", "0030e:1", "0030e000000001fa00", "fw1"] {
            assert!(!means(written, target), "{written}");
        }
    }

    #[test]
    fn a_socket_that_nobody_serves_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login-1.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        fs::write(folder.path().join("login-2"), "").unwrap();
        let error = running(Some(folder.path()), None).unwrap_err();
        assert_eq!(error.code(), 21);
        assert!(!path.exists());
        assert!(folder.path().join("login-2").exists());
    }
}
