//! Waiting for a disk that is not plugged in yet.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::ROUND;
use crate::bus::{self, Bus, BusSpec, Taping};
use crate::cli::{LoginArgs, Wait};
use crate::device::{self, Found, TargetSpec};
use crate::error::{Exit, Failure};
use crate::output;
use crate::service::Service;
use crate::signals::Stop;

/// How often the bus is looked at where nothing tells of a change: in a folder that is a FUSE
/// file system's the kernel sees only what goes through itself.
const SLOW: Duration = Duration::from_secs(2);

/// A bus, and what is on it.
pub(super) type Survey = (Vec<Bus>, Vec<Found>);

/// What is on the bus; where it is waited for, when the disk is there. `None`: the end was wished
/// for meanwhile.
pub(super) fn survey(
    args: &LoginArgs,
    target: Option<&TargetSpec>,
    taping: &Taping,
    stop: &Stop,
    service: &mut Service,
    chatty: bool,
) -> Result<Option<Survey>, Failure> {
    let look = || {
        let mut buses = bus::open(&args.bus.bus, taping)?;
        let found = device::survey(&mut buses)?;
        Ok((buses, found))
    };
    let (BusSpec::Folder(folder), Some(wait)) = (&args.bus.bus, args.wait) else {
        return look().map(Some);
    };
    if taping.is_recording() {
        let message = "a recording is of one bus from the start: --wait is of no use with --record";
        return Err(Failure::new(Exit::Usage, message));
    }
    let start = Instant::now();
    let mut told = String::new();
    loop {
        // Before the look, so that no change is missed.
        let changes = Changes::of(folder);
        let absent = match look().and_then(|survey| {
            device::logical_unit(&survey.1, target, &args.bus.bus)?;
            Ok(survey)
        }) {
            Ok(survey) => return Ok(Some(survey)),
            Err(failure) if is_absence(&failure, folder) => failure,
            Err(failure) => return Err(failure),
        };
        if matches!(wait, Wait::AtMost(limit) if start.elapsed() >= limit) {
            return Err(absent);
        }
        if told != absent.message() {
            told = absent.message().to_owned();
            service.status(&format!("waiting for the disk: {told}"));
            if chatty {
                output::complain(&format!("fwshare: waiting for the disk: {told}"));
            }
        }
        let looked = Instant::now();
        while !changes.any() && looked.elapsed() < SLOW {
            if stop.wait(ROUND) {
                return Ok(None);
            }
            service.is_alive();
        }
    }
}

/// Whether this may pass when something is plugged in.
fn is_absence(failure: &Failure, folder: &Path) -> bool {
    let absences = [Exit::NoSuchDevice, Exit::NothingFound, Exit::LostBus];
    absences.iter().any(|exit| failure.code() == *exit as u8) || !folder.exists()
}

/// What the kernel tells of changes in a folder, or, while it is not there, of the next one above
/// it. Without it there is still the slow look.
struct Changes(Option<Inotify>);

impl Changes {
    fn of(folder: &Path) -> Self {
        let Some(place) = folder.ancestors().find(|place| place.is_dir()) else {
            return Self(None);
        };
        let watched = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
        let watched = watched.and_then(|inotify| {
            let kinds = AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_DELETE
                // udev gives the nodes away after it has made them.
                | AddWatchFlags::IN_ATTRIB
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_UNMOUNT;
            inotify.add_watch(place, kinds)?;
            Ok(inotify)
        });
        if let Err(error) = &watched {
            tracing::debug!(folder = %place.display(), %error, "changes are not told");
        }
        Self(watched.ok())
    }

    /// Whether there was any since this was made.
    fn any(&self) -> bool {
        let events = self.0.as_ref().map(Inotify::read_events);
        !matches!(events, None | Some(Err(Errno::EAGAIN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_in_a_folder_is_told_once_and_so_is_the_coming_of_the_folder() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("dev");
        let changes = Changes::of(&folder);
        assert!(!changes.any());
        std::fs::create_dir(&folder).unwrap();
        assert!(changes.any());
        assert!(!changes.any());
        let changes = Changes::of(&folder);
        assert!(!changes.any());
        std::fs::write(folder.join("fw0"), "").unwrap();
        assert!(changes.any());
    }
}
