//! fstab: what the administrator wants mounted at boot, and crypttab, what is to be opened.
//!
//! No file of ours can undo a line of fstab and leave it standing: a drop-in for the mount's unit
//! keeps systemd from mounting, and the check of the file system, which writes, still runs. So
//! the line has to be changed by whoever wrote it.

use std::path::{Path, PathBuf};

use super::text;
use super::{Danger, Guard, Live, Means, spec};
use crate::tree::{Tree, TreeError};

const FSTAB: &str = "/etc/fstab";
const CRYPTTAB: &str = "/etc/crypttab";

/// Those made for several hosts at once.
const CLUSTER: [&str; 4] = ["ocfs2", "gfs2", "gfs", "lustre"];

pub(super) fn means(tree: &dyn Tree, live: Option<&Live>) -> Result<Means, TreeError> {
    let open = dangers(tree, live)?.into_iter();
    let open = open.filter(|danger| !danger.is_stopped);
    let advice = open.map(|danger| {
        let file = danger.file.unwrap_or_default();
        let line = danger.line.unwrap_or_default();
        format!("{}:{line}: {}", file.display(), danger.remedy)
    });
    Ok(Means {
        files: Vec::new(),
        advice: advice.collect(),
    })
}

pub(super) fn dangers(tree: &dyn Tree, live: Option<&Live>) -> Result<Vec<Danger>, TreeError> {
    let mut dangers = Vec::new();
    let text = text::read(tree, Path::new(FSTAB))?;
    for (number, line) in text::lines(&text) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (Some(device), Some(place)) = (fields.first(), fields.get(1)) else {
            continue;
        };
        if !spec::is_shared(&unescaped(device), live) {
            continue;
        }
        let entry = Entry {
            place: unescaped(place),
            file_system: fields.get(2).copied().unwrap_or("auto"),
            options: fields.get(3).unwrap_or(&"").split(',').collect(),
            is_checked: fields.get(5).is_some_and(|pass| *pass != "0"),
        };
        dangers.push(entry.danger(number));
    }
    let text = text::read(tree, Path::new(CRYPTTAB))?;
    for (number, line) in text::lines(&text) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let device = fields.get(1).copied().unwrap_or_default();
        if !spec::is_shared(device, live) {
            continue;
        }
        let options = fields.get(3).copied().unwrap_or_default();
        dangers.push(Danger {
            guard: Guard::Fstab,
            file: Some(PathBuf::from(CRYPTTAB)),
            line: Some(number),
            text:
                "what is encrypted on the disk is opened at boot, on every host, and what is in it \
                   is then found by LVM, md and the desktop without a guard, for it is no FireWire \
                   disk any more"
                    .into(),
            remedy: "add noauto to the line's options".into(),
            is_stopped: options.split(',').any(|option| option == "noauto"),
        });
    }
    Ok(dangers)
}

/// A line for the disk.
struct Entry<'a> {
    place: String,
    file_system: &'a str,
    options: Vec<&'a str>,
    is_checked: bool,
}

impl Entry<'_> {
    fn has(&self, option: &str) -> bool {
        self.options.contains(&option)
    }

    fn danger(&self, line: usize) -> Danger {
        let is_swap = self.file_system == "swap";
        let is_clusters = CLUSTER.contains(&self.file_system);
        let is_by_access = self.has("x-systemd.automount");
        let is_by_hand = self.has("noauto") && !is_by_access;
        // `ro` alone has the journal replayed.
        let is_read_only = self.has("ro") && (self.has("noload") || self.has("norecovery"));
        let when = match (is_by_access, is_by_hand) {
            (true, _) => "as soon as somebody looks into it",
            (false, true) => "only when somebody asks for it",
            (false, false) => "at boot",
        };
        let Self {
            place, file_system, ..
        } = self;
        let text = match () {
            () if is_swap && is_by_hand => "the swap space on the disk is used only when somebody \
                                            asks for it"
                .into(),
            () if is_swap => {
                "every host swaps to the same place on the disk and gets the memory of \
                              another one back"
                    .into()
            }
            () if is_clusters && self.has("_netdev") => format!(
                "{place} is mounted {when}, after the network and what the cluster needs, and \
                 {file_system} is made for several hosts"
            ),
            () if is_clusters => format!(
                "{place} is mounted {when}, before the network and the cluster of {file_system} are \
                 there"
            ),
            () if is_read_only => format!(
                "{place} is mounted {when}, without its journal, and shows old data while another \
                 host writes"
            ),
            () if is_by_hand => format!("{place} is mounted {when}"),
            () => {
                let checked = match self.is_checked {
                    true => "is checked and mounted",
                    false => "is mounted",
                };
                let journal = match self.has("ro") {
                    true => ", and ro does not keep it from replaying the journal, which writes",
                    false => "",
                };
                format!(
                    "{place} {checked} {when}, on every host that has this line, and two mounts of \
                     {file_system} ruin it{journal}"
                )
            }
        };
        let remedy = match () {
            () if is_swap => "take the line out: no host can share swap space".into(),
            () if is_clusters => "add _netdev to the line's options".into(),
            () => {
                let mut remedy = String::from("add noauto to the line's options");
                if is_by_access {
                    remedy.push_str(" and take x-systemd.automount out");
                }
                if self.has("nofail") {
                    remedy.push_str(" (nofail only means that its absence is no failure)");
                }
                if self.file_system == "ext4" {
                    remedy
                        .push_str(", and have ext4 refuse the second mount: tune2fs -O mmp DEVICE");
                }
                remedy
            }
        };
        Danger {
            guard: Guard::Fstab,
            file: Some(PathBuf::from(FSTAB)),
            line: Some(line),
            text,
            remedy,
            is_stopped: match is_clusters {
                true => is_by_hand || self.has("_netdev"),
                false => is_by_hand || (is_read_only && !is_swap),
            },
        }
    }
}

/// fstab(5): a blank is `\040`.
fn unescaped(field: &str) -> String {
    let mut text = field.to_owned();
    for (escape, letter) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        text = text.replace(escape, letter);
    }
    text
}
