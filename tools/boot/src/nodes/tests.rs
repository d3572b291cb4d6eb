//! udev itself reads the rule.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::judge::udevadm;

/// A node of the bus, as firewire-core shows it.
fn node(folder: &Path, name: &str, attributes: &[(&str, &str)]) -> String {
    let path = format!("/sys/devices/{name}");
    let device = folder.join(&path[1..]);
    let bus = folder.join("sys/bus/firewire/devices");
    fs::create_dir_all(&device).unwrap();
    fs::create_dir_all(&bus).unwrap();
    let uevent = format!("MAJOR=248\nMINOR=1\nDEVNAME={name}\n");
    let all = [("uevent", uevent.as_str()), ("dev", "248:1\n")];
    for (attribute, value) in all.iter().chain(attributes) {
        fs::write(device.join(attribute), value).unwrap();
    }
    symlink("/sys/bus/firewire", device.join("subsystem")).unwrap();
    symlink(&path, bus.join(name)).unwrap();
    path
}

#[test]
fn disks_and_controllers_are_given_to_the_group_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path();
    let rules_folder = top.join("run/udev/rules.d");
    fs::create_dir_all(&rules_folder).unwrap();
    fs::write(rules_folder.join("60-fwshare.rules"), rules("disk")).unwrap();
    let remote = ("is_local", "0\n");
    for (name, attributes, is_given) in [
        ("fw0", [("is_local", "1\n"), ("units", "")], true),
        ("fw1", [remote, ("units", "0x00609e:0x010483\n")], true),
        // A disk that is a camera as well, and a sound card.
        (
            "fw2",
            [remote, ("units", "0x00a02d:0x010001 0x00609e:0x010483\n")],
            true,
        ),
        ("fw3", [remote, ("units", "0x00a02d:0x010001\n")], false),
    ] {
        let device = node(top, name, &attributes);
        let Some(said) = udevadm(top, &device) else {
            return;
        };
        let given = said.contains("60-fwshare.rules") && said.contains("MODE 0660");
        assert_eq!(given, is_given, "{name}: {said}");
    }
}
