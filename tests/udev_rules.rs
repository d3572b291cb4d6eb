//! The rules for block devices of logins, read by udev itself.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use fwshare_tests::{Judge, judge, needs_root};
use tempfile::TempDir;

const RULES: [&str; 2] = ["60-zz-fwshare-disks.rules", "90-fwshare-disks.rules"];

/// The types that somebody assembles by.
const MEMBERS: [&str; 6] = [
    "LVM2_member",
    "linux_raid_member",
    "isw_raid_member",
    "bcache",
    "stratis",
    "zfs_member",
];

/// What fwshare writes for a disk, with the worst that is left of a hostile text.
const PROPERTIES: &str = "\
ID_BUS=ieee1394
ID_MODEL=a_FWSHARE_ASSEMBLE_1__#+-.:@_
ID_SERIAL=:#
ID_WWN=0x0030e00102030405
ID_WWN_WITH_EXTENSION=0x0030e001020304050000000000000001
FWSHARE_GUID=0030e00102030405
FWSHARE_LUN=1
FWSHARE_ASSEMBLE=0
";

/// The rules of a machine, and its block devices.
struct Machine {
    folder: TempDir,
    udevadm: Judge,
    unshare: Judge,
}

/// What udev makes of a device.
#[derive(Debug)]
struct Made {
    properties: BTreeMap<String, String>,
    said: String,
}

impl Machine {
    /// With something of this type on its disks. `None`: skip the test, the user has been told.
    fn new(kind: &str) -> Option<Self> {
        let (udevadm, unshare) = (judge("udevadm")?, judge("unshare")?);
        if !needs_root() {
            return None;
        }
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
            udevadm,
            unshare,
        };
        // As blkid finds it, and as those find it who assemble. bcache's probes where nothing was
        // found, and what the desktop's sets back, it sets back for all.
        // They are copies of the disk that the machine has booted from, too.
        let finding = format!(
            "SUBSYSTEM==\"block\", ENV{{ID_FS_TYPE}}=\"{kind}\", ENV{{ID_PART_GPT_AUTO_ROOT}}=\"1\"\n"
        );
        let assembling = format!(
            "SUBSYSTEM==\"block\", ENV{{ID_FS_TYPE}}==\"{kind}\", ENV{{ASSEMBLED}}=\"1\"\n\
             SUBSYSTEM==\"block\", ENV{{ID_FS_TYPE}}==\"\", ENV{{PROBED}}=\"1\"\n"
        );
        let desktop = "SUBSYSTEM==\"block\", ENV{UDISKS_IGNORE}=\"0\"\n";
        for (name, text) in [
            ("60-persistent-storage.rules", finding.as_str()),
            ("61-assembling.rules", &assembling),
            ("80-udisks2.rules", desktop),
        ] {
            machine.put(&format!("run/udev/rules.d/{name}"), text);
        }
        for name in RULES {
            machine.put(&format!("run/udev/rules.d/{name}"), &rule(name));
        }
        fs::create_dir_all(machine.at("sys/class/block")).unwrap();
        Some(machine)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn describe(&self, device: &str, properties: &str) {
        self.put(&format!("run/fwshare/devices/{device}"), properties);
    }

    /// A disk with a partition. Gives both.
    fn disk(&self, name: &str, major: u32) -> [String; 2] {
        let disk = format!("/sys/devices/virtual/block/{name}");
        let partition = format!("{name}p1");
        let part = format!("{disk}/{partition}");
        for (path, kind, name, minor) in [
            (&disk, "disk", name, 0),
            (&part, "partition", partition.as_str(), 1),
        ] {
            let uevent = format!("MAJOR={major}\nMINOR={minor}\nDEVNAME={name}\nDEVTYPE={kind}\n");
            self.put(&format!("{}/uevent", &path[1..]), &uevent);
            self.put(
                &format!("{}/dev", &path[1..]),
                &format!("{major}:{minor}\n"),
            );
            symlink("/sys/class/block", self.at(&path[1..]).join("subsystem")).unwrap();
            symlink(path, self.at("sys/class/block").join(name)).unwrap();
        }
        [disk, part]
    }

    /// Has udev take a device for one that was added, in a machine of its own.
    fn udev(&self, device: &str) -> Made {
        let script = "mount --bind \"$1/sys\" /sys && mount --bind \"$1/run\" /run && \
                      mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && \
                      exec \"$2\" test --action=add \"$3\" 2>&1";
        let mut command = self.unshare.command();
        command.args(["--mount", "sh", "-c", script, "sh"]);
        command.arg(self.folder.path());
        command.arg(self.udevadm.command().get_program());
        // Without the variable it takes a disk only from a real sysfs.
        command.arg(device).env("SYSTEMD_DEVICE_VERIFY_SYSFS", "0");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = said.lines().filter_map(|line| line.trim().split_once('='));
        let properties = lines
            .filter(|(key, _)| {
                key.chars()
                    .all(|letter| letter.is_ascii_uppercase() || "_0123456789".contains(letter))
            })
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Made { properties, said }
    }
}

impl Made {
    fn property(&self, key: &str) -> &str {
        self.properties.get(key).map_or("", String::as_str)
    }

    fn has_link(&self, link: &str) -> bool {
        let links = self.property("DEVLINKS");
        links
            .split(' ')
            .any(|found| found == format!("/dev/{link}"))
    }
}

fn rule(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/fwshare/system");
    fs::read_to_string(folder.join(name)).unwrap()
}

const LINK: &str = "disk/by-id/firewire-0030e00102030405-1";
const WWN: &str = "disk/by-id/wwn-0x0030e001020304050000000000000001";

#[test]
fn disks_and_partitions_have_names_whatever_the_kernel_calls_them() {
    for (name, major) in [("loop3", 7), ("nbd0", 43), ("ublkb12", 259)] {
        let Some(machine) = Machine::new("ext4") else {
            return;
        };
        let [disk, part] = machine.disk(name, major);
        machine.describe(name, PROPERTIES);
        let made = machine.udev(&part);
        assert!(made.has_link(&format!("{LINK}-part1")), "{made:#?}");
        assert!(made.has_link(&format!("{WWN}-part1")), "{made:#?}");
        assert!(!made.has_link(LINK) && !made.has_link(WWN), "{made:#?}");
        // A file system is found by its type still.
        assert_eq!(made.property("ID_FS_TYPE"), "ext4");
        assert_eq!(made.property("UDISKS_IGNORE"), "1");
        assert_eq!(made.property("SYSTEMD_READY"), "");

        let made = machine.udev(&disk);
        assert!(made.has_link(LINK) && made.has_link(WWN), "{made:#?}");
        assert_eq!(made.property("ID_PART_GPT_AUTO_ROOT"), "");
        let kept = machine.at(&format!("run/udev/data/b{major}:0"));
        let kept = fs::read_to_string(kept).unwrap();
        assert!(kept.lines().any(|line| line == "L:-100"), "{kept}");
        assert_eq!(made.property("ID_BUS"), "ieee1394");
        assert_eq!(made.property("ID_MODEL"), "a_FWSHARE_ASSEMBLE_1__#+-.:@_");
        assert_eq!(made.property("ID_SERIAL"), ":#");
        assert_eq!(made.property("FWSHARE_ASSEMBLE"), "0");
        assert!(made.said.contains("MODE 0660"), "{made:#?}");
    }
}

#[test]
fn nobody_assembles_what_is_on_it_unless_the_administrator_asks() {
    for kind in MEMBERS {
        let Some(machine) = Machine::new(kind) else {
            return;
        };
        let devices = machine.disk("loop3", 7);
        for device in &devices {
            let made = machine.udev(device);
            assert_eq!(
                made.property("ASSEMBLED"),
                "1",
                "no disk of ours: {made:#?}"
            );
        }
        machine.describe("loop3", PROPERTIES);
        for device in &devices {
            let made = machine.udev(device);
            let hidden = ["ASSEMBLED", "PROBED"].map(|key| made.property(key));
            assert_eq!(hidden, ["", ""], "{made:#?}");
            assert_eq!(made.property("ID_FS_TYPE"), "fwshare_hidden");
            assert_eq!(made.property("FWSHARE_FS_TYPE"), kind);
            assert_eq!(made.property("UDISKS_IGNORE"), "1");
            assert_eq!(made.property("FWSHARE_SHARED"), "1");
        }
        let asked = PROPERTIES.replace("ASSEMBLE=0", "ASSEMBLE=1");
        machine.describe("loop3", &asked);
        for device in &devices {
            let made = machine.udev(device);
            assert_eq!(made.property("ASSEMBLED"), "1", "{made:#?}");
            assert_eq!(made.property("ID_FS_TYPE"), kind);
            assert_eq!(made.property("UDISKS_IGNORE"), "0");
            assert_eq!(made.property("FWSHARE_GUID"), "0030e00102030405");
        }
    }
}

#[test]
fn other_disks_are_left_alone() {
    let Some(machine) = Machine::new("LVM2_member") else {
        return;
    };
    machine.describe("loop3", PROPERTIES);
    machine.describe("sdz", PROPERTIES);
    for (name, major) in [("loop30", 7), ("sdz", 8)] {
        for device in machine.disk(name, major) {
            let made = machine.udev(&device);
            assert_eq!(made.property("ASSEMBLED"), "1", "{made:#?}");
            assert_eq!(made.property("UDISKS_IGNORE"), "0");
            assert_eq!(made.property("ID_PART_GPT_AUTO_ROOT"), "1");
            let keys = made.properties.keys();
            let ours: Vec<_> = keys.filter(|key| key.starts_with("FWSHARE")).collect();
            assert!(ours.is_empty(), "{made:#?}");
        }
    }
}
