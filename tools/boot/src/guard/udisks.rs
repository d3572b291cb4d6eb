//! udisks: what is plugged in is mounted for whoever sits before the screen.
//!
//! udisks takes FireWire for hot-pluggable, so it hints at mounting (`HintAuto`) and lets the user
//! of the seat do it without a password. `UDISKS_IGNORE` takes the disk out of its sight. This is
//! for the running system: there is no udisks in images.

use super::text;
use super::{Danger, Guard, GuardFile, Live, Means, rules};
use crate::tool::HEAD;
use crate::tree::{Tree, TreeError};

/// After 80-udisks2.rules, which sets the property back for some.
pub(super) const RULES: &str = "/etc/udev/rules.d/90-fwshare-udisks.rules";

const PROGRAMS: [&str; 3] = [
    "/usr/libexec/udisks2/udisksd",
    "/usr/lib/udisks2/udisksd",
    "/usr/libexec/udisksd",
];

fn rules_text() -> String {
    format!(
        "{HEAD}# Desktops do not show FireWire disks, and do not mount them.\n{}",
        rules::ours("ENV{UDISKS_IGNORE}=\"1\"")
    )
}

pub(super) fn means() -> Means {
    Means {
        files: vec![GuardFile::new(RULES, rules_text(), false)],
        advice: Vec::new(),
    }
}

pub(super) fn dangers(tree: &dyn Tree, live: Option<&Live>) -> Result<Vec<Danger>, TreeError> {
    let Some(program) = text::first_file(tree, &PROGRAMS)? else {
        return Ok(Vec::new());
    };
    let ignoring = rules::find(tree, |line| {
        let is_set = line.contains("ENV{UDISKS_IGNORE}=\"1\"");
        line.contains("ieee1394_id") && is_set
    })?;
    let is_stopped = !ignoring.is_empty() || text::is_as_written(tree, RULES, &rules_text())?;
    let mut dangers = vec![Danger {
        guard: Guard::Udisks,
        file: Some(program.to_owned()),
        line: None,
        text: "a desktop mounts file systems on the disk when it turns up, because udisks takes \
               FireWire for something that is plugged in, and a file system that is no cluster's is \
               ruined by two mounts"
            .into(),
        remedy: "the guard udisks".into(),
        is_stopped,
    }];
    for device in live.iter().flat_map(|live| &live.devices) {
        let by_desktop =
            |place: &&String| place.starts_with("/media/") || place.starts_with("/run/media/");
        if let Some(place) = device.mounts.iter().find(by_desktop) {
            dangers.push(Danger {
                guard: Guard::Udisks,
                file: None,
                line: None,
                text: format!(
                    "{} is mounted on {place}, where desktops mount",
                    device.name
                ),
                remedy: format!("umount {place}, and the guard udisks"),
                is_stopped: false,
            });
        }
    }
    Ok(dangers)
}
