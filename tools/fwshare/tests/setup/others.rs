//! What would use a disk that several hosts see.

use crate::case;
use crate::system::changes;
use crate::tools::debian;

const FSTAB: &str = "/etc/fstab=UUID=1 / ext4 defaults 0 1\n\
    /dev/disk/by-id/ieee1394-0123456789abcdef:0:0-part1 /srv ext4 nofail 0 2\n";

#[test]
fn a_line_of_fstab_is_told_and_left() {
    let system = debian(&[FSTAB]);
    let said = [
        "What would use a disk that several hosts see",
        "/etc/fstab:2: ",
        "noauto",
    ];
    system.run(&["--no-rebuild"]).expect(0, &said);
    system.run(&["--no-rebuild", "--check"]).expect(2, &[]);
    system
        .run(&["--tool", "none", "--check"])
        .expect(0, &["danger: /etc/fstab:2: "]);
    // No file of ours stops it, and who asked for that is told.
    system
        .run(&["--no-rebuild", "--guard", "fstab"])
        .expect(14, &["no file of ours stops this"]);
    assert_eq!(system.read("/etc/fstab").lines().count(), 2);
}

#[test]
fn guards_are_written_kept_and_taken_away() {
    let system = debian(&[]);
    let before = system.snapshot();
    let said = case(
        &system,
        &["--no-rebuild", "--guard", "lvm,udisks"],
        0,
        &[],
        &[
            "+/etc/modprobe.d/fwshare.conf",
            "+/etc/initramfs-tools/hooks/fwshare",
            "+/etc/udev",
            "+/etc/udev/rules.d",
            "+/etc/udev/rules.d/60-zz-fwshare-lvm.rules",
            "+/etc/udev/rules.d/90-fwshare-udisks.rules",
        ],
    );
    assert!(said.stdout.contains("ieee1394_id"), "{}", said.stdout);
    system
        .run(&["--no-rebuild", "--guard", "lvm"])
        .expect(0, &[]);
    // A run that does not ask for it leaves it.
    system.run(&["--no-rebuild"]).expect(0, &["nothing to do"]);
    assert!(
        system
            .at("/etc/udev/rules.d/60-zz-fwshare-lvm.rules")
            .exists()
    );
    system.run(&["--remove", "--no-rebuild"]).expect(0, &[]);
    assert!(changes(&before, &system.snapshot()).is_empty());
}

#[test]
fn a_word_that_is_no_guard_is_refused() {
    case(
        &debian(&[]),
        &["--guard", "zfs"],
        2,
        &["is no guard: lvm, md, udisks"],
        &[],
    );
}
