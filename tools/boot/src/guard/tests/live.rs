use std::os::unix::fs::symlink;

use super::*;

/// A machine with a FireWire disk `sdb` and another, `sda`; `what` is in udev's database.
fn machine(sdb: &[&str], sdb1: &[&str], more: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let joined = |lines: &[&str]| lines.join("\n") + "\n";
    let (sdb, sdb1) = (joined(sdb), joined(sdb1));
    let (folder, root) = system(&[
        (
            "/sys/devices/fw1.0/3:0:0:0/ieee1394_id",
            "0010b920008c46ad:1:0\n",
        ),
        ("/sys/devices/fw1.0/3:0:0:0/block/sdb/dev", "8:16\n"),
        ("/sys/devices/fw1.0/3:0:0:0/block/sdb/sdb1/dev", "8:17\n"),
        ("/sys/devices/fw1.0/3:0:0:0/block/sdb/sdb1/partition", "1\n"),
        ("/sys/devices/ata1/0:0:0:0/block/sda/dev", "8:0\n"),
        ("/sys/devices/virtual/block/dm-0/dev", "254:0\n"),
        ("/sys/devices/virtual/block/dm-0/dm/name", "shared-lv\n"),
        (
            "/run/udev/data/b8:0",
            "E:ID_FS_UUID=aaaa\nE:ID_FS_TYPE=LVM2_member\n",
        ),
        ("/run/udev/data/b8:16", &sdb),
        ("/run/udev/data/b8:17", &sdb1),
        ("/proc/cmdline", "quiet\n"),
    ]);
    let top = folder.path();
    fs::create_dir_all(top.join("sys/block")).unwrap();
    for (name, device) in [
        ("sda", "ata1/0:0:0:0/block/sda"),
        ("sdb", "fw1.0/3:0:0:0/block/sdb"),
        ("dm-0", "virtual/block/dm-0"),
    ] {
        symlink(
            format!("../devices/{device}"),
            top.join("sys/block").join(name),
        )
        .unwrap();
    }
    for disk in ["fw1.0/3:0:0:0/block/sdb", "ata1/0:0:0:0/block/sda"] {
        symlink("../..", top.join("sys/devices").join(disk).join("device")).unwrap();
    }
    for (path, text) in more {
        put(top, path, text);
    }
    (folder, root)
}

const HOLDER: (&str, &str) = (
    "/sys/devices/fw1.0/3:0:0:0/block/sdb/sdb1/holders/dm-0/x",
    "",
);

#[test]
fn a_disk_is_found_by_its_attribute_with_all_that_is_built_on_it() {
    let (_folder, root) = machine(&[], &["S:disk/by-uuid/bbbb"], &[HOLDER]);
    let live = Live::read(&root).unwrap();
    let names: Vec<_> = live.devices.iter().map(|device| &device.name).collect();
    assert_eq!(names, ["sdb", "sdb1", "dm-0"]);
    assert_eq!(live.device("/dev/mapper/shared-lv").unwrap().name, "dm-0");
    assert_eq!(live.device("UUID=bbbb").unwrap().name, "sdb1");
    assert!(live.device("UUID=aaaa").is_none());
    assert!(live.device("/dev/sda").is_none());
    assert_eq!(Live::read(&system(&[]).1).unwrap(), Live::default());
}

#[test]
fn things_built_on_one_another_in_a_circle_are_no_end() {
    let (_folder, root) = machine(
        &[],
        &[],
        &[
            HOLDER,
            ("/sys/devices/virtual/block/dm-0/holders/sdb/x", ""),
            ("/sys/devices/virtual/block/dm-0/holders/dm-0/x", ""),
        ],
    );
    assert_eq!(Live::read(&root).unwrap().devices.len(), 3);
}

#[test]
fn fstab_is_resolved_by_what_udev_knows() {
    let known = [
        "E:ID_FS_UUID=0b1c-2D",
        "E:ID_FS_LABEL=my_disk",
        "E:ID_FS_LABEL_ENC=my\\x20disk",
        "E:ID_PART_ENTRY_UUID=dead-01",
        "E:ID_PART_ENTRY_NAME=the\\x20one",
    ];
    let (_folder, root) = machine(&["S:disk/by-id/wwn-0x5"], &known, &[HOLDER]);
    let live = Live::read(&root).unwrap();
    let fstab = "UUID=0b1c-2d /1 ext4\n\
                 LABEL=my\\040disk /2 ext4\n\
                 PARTUUID=DEAD-01 /3 ext4\n\
                 PARTLABEL=the\\040one /4 ext4\n\
                 /dev/sdb1 /5 ext4\n\
                 /dev/mapper/shared-lv /6 ext4\n\
                 /dev/disk/by-id/wwn-0x5 /7 ext4\n\
                 UUID=aaaa / ext4\n\
                 /dev/sda /8 ext4\n\
                 LABEL=other /9 ext4\n";
    let (_other, system) = system(&[("/etc/fstab", fstab)]);
    assert!(dangers(&system, None).unwrap().is_empty());
    let lines: Vec<_> = dangers(&system, Some(&live))
        .unwrap()
        .iter()
        .map(|danger| danger.line.unwrap())
        .collect();
    assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_volume_group_on_the_disk_is_named_until_its_type_is_hidden() {
    let group = "E:LVM_VG_NAME_COMPLETE=shared";
    let (_folder, root) = machine(&[], &["E:ID_FS_TYPE=LVM2_member", group], &[HOLDER, LVM]);
    let live = Live::read(&root).unwrap();
    let found = dangers(&root, Some(&live)).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        found[1].text,
        "sdb1 belongs to the volume group shared, which is activated by itself, and is in use by dm-0"
    );
    assert_eq!(found[1].remedy, "vgchange --setautoactivation n shared");
    assert!(!found[1].is_stopped);
    let (folder, root) = machine(&[], &["E:FWSHARE_FS_TYPE=LVM2_member"], &[LVM]);
    let live = Live::read(&root).unwrap();
    put_means(
        folder.path(),
        &Guard::Lvm.means(&root, Some(&live)).unwrap(),
    );
    let found = dangers(&root, Some(&live)).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|danger| danger.is_stopped), "{found:?}");
}

#[test]
fn an_array_on_the_disk_is_ignored_only_by_its_own_line() {
    let known = [
        "E:ID_FS_TYPE=linux_raid_member",
        "E:ID_FS_UUID=00112233-4455-6677-8899-aabbccddeeff",
    ];
    let uuid = "00112233:44556677:8899aabb:ccddeeff";
    let conf = "/etc/mdadm/mdadm.conf";
    for (line, place, is_stopped) in [
        ("", "-", false),
        (&format!("ARRAY /dev/md0 UUID={uuid}\n"), conf, false),
        (&format!("ARRAY <ignore> uuid={uuid}\n"), "-", true),
        (
            &format!("ARRAY <ignore> UUID={}\n", uuid.replace('0', "1")),
            "-",
            false,
        ),
    ] {
        let (_folder, root) = machine(&[], &known, &[MD, (conf, line)]);
        let live = Live::read(&root).unwrap();
        let found = dangers(&root, Some(&live)).unwrap();
        let member = found.last().unwrap();
        assert_eq!(member.is_stopped, is_stopped, "{line}");
        assert_eq!(
            member.file.as_deref().unwrap_or(Path::new("-")),
            Path::new(place)
        );
        assert!(member.remedy.contains(uuid));
        let advice = Guard::Md.means(&root, Some(&live)).unwrap().advice;
        assert_eq!(advice.is_empty(), is_stopped, "{line}");
    }
}

#[test]
fn the_largest_swap_space_is_what_the_image_would_resume_from() {
    let swaps = |sdb1, sda| {
        format!(
            "Filename Type Size Used Priority\n/dev/sda partition {sda} 0 -2\n/dev/sdb1 partition \
             {sdb1} 0 -3\n"
        )
    };
    for (text, conf, is_danger) in [
        (swaps(2000, 1000), "", true),
        (swaps(2000, 1000), "RESUME=auto\n", true),
        (swaps(2000, 1000), "RESUME=UUID=aaaa\n", false),
        (swaps(1000, 2000), "", false),
    ] {
        let (_folder, root) = machine(
            &[],
            &["E:ID_FS_TYPE=swap"],
            &[
                ("/proc/swaps", &text),
                ("/usr/sbin/mkinitramfs", ""),
                ("/etc/initramfs-tools/initramfs.conf", conf),
            ],
        );
        let live = Live::read(&root).unwrap();
        let found = dangers(&root, Some(&live)).unwrap();
        assert_eq!(!found.is_empty(), is_danger, "{text}{conf}");
        let means = Guard::Resume.means(&root, Some(&live)).unwrap();
        assert_eq!(!means.files.is_empty(), is_danger, "{text}{conf}");
    }
}

#[test]
fn what_a_desktop_has_mounted_is_named() {
    let (_folder, root) = machine(
        &[],
        &[],
        &[
            UDISKS,
            (
                "/proc/self/mountinfo",
                "36 22 8:17 / /run/media/me/disk rw,relatime - ext4 /dev/sdb1 rw\n\
                 37 22 8:0 / /media/other rw,relatime - ext4 /dev/sda rw\n",
            ),
        ],
    );
    let live = Live::read(&root).unwrap();
    let found = dangers(&root, Some(&live)).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        found[1].text,
        "sdb1 is mounted on /run/media/me/disk, where desktops mount"
    );
}
