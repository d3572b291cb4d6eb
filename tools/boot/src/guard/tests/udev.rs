//! udev itself reads our rules, between one that finds a type and one that assembles by it.

use super::*;
use crate::judge::udevadm;

/// Types are found here as by blkid, and the disks that nobody shares have them too.
const FINDING: &str = "SUBSYSTEM==\"block\", ENV{ID_FS_TYPE}=\"KIND\"\n";
const ASSEMBLING: &str = "SUBSYSTEM==\"block\", ENV{ID_FS_TYPE}==\"KIND\", RUN+=\"/assembled\"\n";

/// A disk with a partition.
fn disk(folder: &Path, device: &str, name: &str, minor: usize) -> String {
    let disk = format!("/sys/devices/{device}/block/{name}");
    let part = format!("{disk}/{name}1");
    for (path, kind, name, minor) in [
        (&disk, "disk", name.to_owned(), minor),
        (&part, "partition", format!("{name}1"), minor + 1),
    ] {
        let uevent = format!("MAJOR=8\nMINOR={minor}\nDEVNAME={name}\nDEVTYPE={kind}\n");
        put(folder, &format!("{path}/uevent"), &uevent);
        put(folder, &format!("{path}/dev"), &format!("8:{minor}\n"));
        let class = folder.join("sys/class/block");
        fs::create_dir_all(&class).unwrap();
        let link = folder.join(&path[1..]).join("subsystem");
        std::os::unix::fs::symlink("/sys/class/block", link).unwrap();
        std::os::unix::fs::symlink(path, class.join(name)).unwrap();
    }
    let scsi = folder.join("sys/bus/scsi");
    fs::create_dir_all(&scsi).unwrap();
    put(
        folder,
        &format!("/sys/devices/{device}/uevent"),
        "DEVTYPE=scsi_device\n",
    );
    let link = folder.join(format!("sys/devices/{device}/subsystem"));
    std::os::unix::fs::symlink("/sys/bus/scsi", link).unwrap();
    part
}

#[test]
fn only_what_firewire_disks_hold_is_hidden_and_only_from_who_assembles() {
    for (guard, kind) in [
        (Guard::Lvm, "LVM2_member"),
        (Guard::Md, "linux_raid_member"),
        (Guard::Md, "isw_raid_member"),
    ] {
        let rules = "/run/udev/rules.d";
        let (folder, root) = system(&[
            (
                &format!("{rules}/60-persistent-storage.rules"),
                &FINDING.replace("KIND", kind),
            ),
            (
                &format!("{rules}/61-assembling.rules"),
                &ASSEMBLING.replace("KIND", kind),
            ),
        ]);
        let top = folder.path();
        let shared = disk(top, "fw1/fw1.0/3:0:0:0", "sdy", 16);
        put(
            top,
            "/sys/devices/fw1/fw1.0/3:0:0:0/ieee1394_id",
            "0010b920008c46ad:1:0\n",
        );
        let own = disk(top, "ata1/0:0:0:0", "sdz", 32);
        let whole = shared.rsplit_once('/').unwrap().0;
        let Some(before) = udevadm(top, &shared) else {
            return;
        };
        assert!(before.contains("/assembled"), "{before}");
        for file in guard.means(&root, None).unwrap().files {
            let name = file.drop_in.path.file_name().unwrap();
            put(
                top,
                &format!("{rules}/{}", name.display()),
                &file.drop_in.text,
            );
        }
        for device in [shared.as_str(), whole] {
            let said = udevadm(top, device).unwrap();
            assert!(said.contains(&format!("FWSHARE_FS_TYPE={kind}")), "{said}");
            assert!(!said.contains("/assembled"), "{said}");
        }
        let said = udevadm(top, &own).unwrap();
        assert!(said.contains("/assembled"), "{said}");
        assert!(!said.contains("FWSHARE"), "{said}");
    }
}

#[test]
fn udisks_and_multipath_are_told_by_properties() {
    for (guard, property) in [
        (Guard::Udisks, "UDISKS_IGNORE=1"),
        (Guard::Multipath, "FWSHARE_SHARED=1"),
    ] {
        let (folder, root) = system(&[]);
        let top = folder.path();
        let shared = disk(top, "fw1/fw1.0/3:0:0:0", "sdy", 16);
        put(
            top,
            "/sys/devices/fw1/fw1.0/3:0:0:0/ieee1394_id",
            "0010b920008c46ad:1:0\n",
        );
        let own = disk(top, "ata1/0:0:0:0", "sdz", 32);
        let means = guard.means(&root, None).unwrap();
        let rules = &means.files[0].drop_in;
        let name = rules.path.file_name().unwrap().display();
        put(top, &format!("/run/udev/rules.d/{name}"), &rules.text);
        let Some(said) = udevadm(top, &shared) else {
            return;
        };
        assert!(said.contains(property), "{said}");
        let said = udevadm(top, &own).unwrap();
        assert!(!said.contains(property), "{said}");
    }
}
