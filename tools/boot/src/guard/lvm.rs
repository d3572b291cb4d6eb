//! LVM: volume groups are activated as soon as they are complete.
//!
//! lvm2's rule (69-lvm.rules, before it 69-dm-lvm.rules) runs `pvscan` for each block device whose
//! `ID_FS_TYPE` is `LVM2_member`, and `vgchange -aay` for the group that has become complete. It
//! does not ask for `SYSTEMD_READY`, it sets it. So the type is what has to go: after
//! 60-persistent-storage.rules, in which blkid finds it, and before any rule that assembles.
//! dracut's 64-lvm.rules asks for the same property. But what it runs then is `vgchange`, for the
//! groups that `rd.lvm.lv` and `rd.lvm.vg` name, or with `rd.auto` for all; and as that is `-ay`, what
//! a group says about being activated by itself is not heeded.

use std::path::{Path, PathBuf};

use super::text;
use super::{Danger, Guard, GuardFile, Live, Means, command_line, rules};
use crate::tool::HEAD;
use crate::tree::{Tree, TreeError};

/// Its name puts it after `60-persistent-storage*.rules` and before `61-*.rules`.
pub(super) const RULES: &str = "/etc/udev/rules.d/60-zz-fwshare-lvm.rules";

/// The later one's settings win.
const CONFIGURATIONS: [&str; 2] = ["/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf"];

const IN_THE_GROUP: &str = "vgchange --setautoactivation n";

const NAME_GROUPS: &str = "instead of rd.auto, rd.lvm.lv=VG/LV for what the root needs, or rd.lvm=0 if \
                           it needs none";

fn rules_text() -> String {
    format!(
        "{HEAD}# LVM does not see what FireWire disks hold until it is asked: vgchange -aay VG.\n{}",
        rules::hiding("LVM?_member")
    )
}

pub(super) fn means(tree: &dyn Tree, live: Option<&Live>) -> Result<Means, TreeError> {
    let mut advice = vec![format!(
        "a group that says so itself is activated by itself on no host: {IN_THE_GROUP} VG (once, on \
         one host, with LVM 2.03.12 or newer on all)"
    )];
    for line in asked_for_all(tree, live)? {
        let file = line.file.display();
        advice.push(format!("{file}:{}: {NAME_GROUPS}", line.number));
    }
    if let Some(off) = setting(tree, "event_activation")?.filter(|set| set.value == "0") {
        advice.push(format!(
            "{}:{}: event_activation=0 has all groups activated at boot without udev being asked, \
             so that only the group itself can refuse",
            off.file.display(),
            off.line
        ));
    }
    Ok(Means {
        files: vec![GuardFile::new(RULES, rules_text(), true)],
        advice,
    })
}

pub(super) fn dangers(tree: &dyn Tree, live: Option<&Live>) -> Result<Vec<Danger>, TreeError> {
    let activating = rules::find(tree, |line| {
        line.contains("pvscan") || line.contains("vgchange")
    })?;
    let is_restricted = is_restricted(tree)?;
    let is_hidden = text::is_as_written(tree, RULES, &rules_text())?;
    let event = setting(tree, "event_activation")?.filter(|set| set.value == "0");
    let mut dangers = Vec::new();
    for rule in activating {
        dangers.push(Danger {
            guard: Guard::Lvm,
            file: Some(rule.file),
            line: Some(rule.number),
            text: "a volume group on the disk is activated as soon as it is complete, on every \
                   host, and hosts that do not know of each other write over each other's metadata"
                .into(),
            remedy: format!("{IN_THE_GROUP} VG, or the guard lvm"),
            is_stopped: is_restricted || is_hidden,
        });
    }
    if let Some(event) = event {
        dangers.push(Danger {
            guard: Guard::Lvm,
            file: Some(event.file),
            line: Some(event.line),
            text: "event_activation=0 has every volume group activated at boot, those on the disk \
                   as well, without udev being asked"
                .into(),
            remedy: format!("{IN_THE_GROUP} VG"),
            is_stopped: is_restricted,
        });
    }
    if dangers.is_empty() {
        return Ok(dangers);
    }
    for line in asked_for_all(tree, live)? {
        dangers.push(Danger {
            guard: Guard::Lvm,
            file: Some(line.file),
            line: Some(line.number),
            text: "with rd.auto, dracut's image activates every volume group that it finds as soon as \
                   it has found one, those on the disk as well, whatever they say themselves"
                .into(),
            remedy: NAME_GROUPS.into(),
            is_stopped: false,
        });
    }
    for device in live
        .into_iter()
        .flat_map(|live| live.with(&["LVM2_member", "LVM1_member"]))
    {
        let group = device.property("LVM_VG_NAME_COMPLETE");
        let used = match device.holders.is_empty() {
            true => String::new(),
            false => format!(", and is in use by {}", device.holders.join(", ")),
        };
        dangers.push(Danger {
            guard: Guard::Lvm,
            file: None,
            line: None,
            text: match group {
                Some(group) => format!(
                    "{} belongs to the volume group {group}, which is activated by itself{used}",
                    device.name
                ),
                None => format!(
                    "{} belongs to a volume group, which is activated by itself{used}",
                    device.name
                ),
            },
            remedy: format!("{IN_THE_GROUP} {}", group.unwrap_or("VG")),
            is_stopped: is_restricted || (is_hidden && device.is_hidden()),
        });
    }
    Ok(dangers)
}

/// Where dracut's images are asked to activate whatever they find.
fn asked_for_all(
    tree: &dyn Tree,
    live: Option<&Live>,
) -> Result<Vec<command_line::Line>, TreeError> {
    let mut lines = command_line::all(tree, live)?;
    lines.retain(|line| {
        let mut words = line.words();
        let names_some =
            words.any(|word| word.starts_with("rd.lvm.lv=") || word.starts_with("rd.lvm.vg="));
        let is_asked = line.has("rd.auto") || line.has("rd.auto=1");
        is_asked && !names_some && !line.has("rd.lvm=0")
    });
    Ok(lines)
}

/// Whether LVM's own configuration leaves the disk alone. What is in a list of groups or of
/// devices the administrator has put there.
fn is_restricted(tree: &dyn Tree) -> Result<bool, TreeError> {
    let groups = setting(tree, "auto_activation_volume_list")?;
    if groups.is_some_and(|groups| !groups.value.contains("\"@*\"")) {
        return Ok(true);
    }
    for filter in ["global_filter", "filter"] {
        if setting(tree, filter)?.is_some_and(|filter| rejects(&filter.value)) {
            return Ok(true);
        }
    }
    // Its default differs between distributions, and lvm.conf has it as a comment.
    let uses_devices_file = setting(tree, "use_devicesfile")?
        .or(setting(tree, "# use_devicesfile")?)
        .is_some_and(|set| set.value == "1");
    let devices_file = Path::new("/etc/lvm/devices/system.devices");
    Ok(uses_devices_file && tree.is_file(devices_file)?)
}

/// Whether a filter keeps FireWire disks out: by their links, or all that it does not name.
fn rejects(filter: &str) -> bool {
    let patterns = filter.split('"').skip(1).step_by(2);
    patterns
        .filter_map(|pattern| pattern.strip_prefix('r'))
        .map(|pattern| {
            pattern.trim_matches(|end: char| !end.is_alphanumeric() && !"^.*$".contains(end))
        })
        .any(|pattern| pattern.contains("ieee1394") || pattern == ".*")
}

struct Setting {
    file: PathBuf,
    line: usize,
    value: String,
}

/// A setting of lvm.conf, with the lines of a list in one.
fn setting(tree: &dyn Tree, key: &str) -> Result<Option<Setting>, TreeError> {
    let mut found = None;
    for path in CONFIGURATIONS.map(Path::new) {
        let text = text::read(tree, path)?;
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(value) = line.strip_prefix(key).map(str::trim_start) else {
                continue;
            };
            let Some(value) = value.strip_prefix('=') else {
                continue;
            };
            let mut value = value.trim().to_owned();
            for line in lines.iter().skip(index + 1) {
                if !value.contains('[') || value.contains(']') {
                    break;
                }
                value.push(' ');
                value.push_str(line);
            }
            found = Some(Setting {
                file: path.to_owned(),
                line: index + 1,
                value,
            });
        }
    }
    Ok(found)
}
