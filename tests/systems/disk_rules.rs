//! The rules for block devices of logins, among those that systems have.

use fwshare_tests::{fwshare, run};

use crate::system::System;

const FOLDER: &str = "/etc/udev/rules.d";
const RULES: [&str; 2] = ["60-zz-fwshare-disks.rules", "90-fwshare-disks.rules"];

/// A loop device in a folder, with something of the type `$1` on it, as udev sees it.
const LOOK: &str = r#"
mkdir -p /mock/run/udev/rules.d /mock/run/fwshare/devices /mock/sys/class/block
disk=/sys/devices/virtual/block/loop3
mkdir -p /mock$disk/loop
printf 'MAJOR=7\nMINOR=0\nDEVNAME=loop3\nDEVTYPE=disk\n' > /mock$disk/uevent
echo 7:0 > /mock$disk/dev
echo /disk > /mock$disk/loop/backing_file
ln -sfn /sys/class/block /mock$disk/subsystem
ln -sfn $disk /mock/sys/class/block/loop3
printf 'SUBSYSTEM=="block", ENV{ID_FS_TYPE}="%s"\n' "$1" \
  > /mock/run/udev/rules.d/60-persistent-storage.rules
printf 'FWSHARE_GUID=0030e00102030405\nFWSHARE_LUN=0\nFWSHARE_ASSEMBLE=%s\n' "$2" \
  > /mock/run/fwshare/devices/loop3
mount --bind /mock/run /run
mount --bind /mock/sys /sys
# Nothing of this machine's is looked at.
mount -t tmpfs none /dev
mknod -m 666 /dev/null c 1 3
SYSTEMD_DEVICE_VERIFY_SYSFS=0 exec udevadm test --action=change $disk 2>&1
"#;

fn set_up(system: &System, arguments: &[&str]) {
    let mut command = fwshare();
    command.args(["setup-udev", "--root"]).arg(system.path());
    let said = run(command.args(arguments), &[]);
    assert!(said.success(), "{said}");
}

/// What udev does with a device of ours.
fn look(system: &System, kind: &str, assemble: &str) -> String {
    let said = system.run(["/bin/sh", "-euc", LOOK, "sh", kind, assemble]);
    assert!(said.success(), "{said}");
    said.stdout
}

#[test]
fn lvm_and_mdadm_keep_off_until_they_are_asked_for() {
    let Some(system) = System::new("bookworm-initramfs-tools") else {
        return;
    };
    let cases = [
        ("LVM2_member", "lvm pvscan"),
        ("linux_raid_member", "mdadm --incremental"),
        ("ddf_raid_member", "mdadm --incremental"),
    ];
    for (kind, assembling) in cases {
        let said = look(&system, kind, "0");
        assert!(said.contains(assembling), "without our rules: {said}");
    }
    set_up(&system, &[]);
    for (kind, assembling) in cases {
        let said = look(&system, kind, "0");
        assert!(!said.contains(assembling), "{said}");
        assert!(said.contains(&format!("FWSHARE_FS_TYPE={kind}")), "{said}");
        let said = look(&system, kind, "1");
        assert!(said.contains(assembling), "asked for: {said}");
    }
    set_up(&system, &["--remove"]);
    let (kind, assembling) = cases[0];
    assert!(look(&system, kind, "0").contains(assembling));
}

/// Since version 254 udev can say what it thinks of rules.
#[test]
fn udev_finds_no_fault_with_them() {
    for name in ["trixie-dracut", "testing-dracut"] {
        let Some(system) = System::new(name) else {
            continue;
        };
        set_up(&system, &[]);
        let files = RULES.map(|rule| format!("{FOLDER}/{rule}"));
        let said = system.run(
            ["udevadm", "verify"]
                .map(str::to_owned)
                .iter()
                .chain(&files),
        );
        assert!(said.success(), "{name}: {said}");
        let said = look(&system, "LVM2_member", "0");
        assert!(
            said.contains("disk/by-id/firewire-0030e00102030405-0"),
            "{said}"
        );
        assert!(said.contains("ID_FS_TYPE=fwshare_hidden"), "{said}");
    }
}
