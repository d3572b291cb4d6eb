//! Which files are written, for which tool.

use crate::system::{System, can_build};
use crate::{OPTIONS, case, tools};

const SHARED: &str = "\
# Written by fwshare setup-initramfs; changes are lost when it is run again.
# Undo: fwshare setup-initramfs --remove
options firewire-sbp2 exclusive_login=0
";

fn debian(files: &[&str]) -> System {
    let tool = tools::initramfs_tools();
    let mut all = vec![tool.as_str(), "/etc/initramfs-tools/modules=# mine\next4"];
    all.extend(files);
    System::new(&all).today("6.1.0-50-amd64")
}

#[test]
fn initramfs_tools_gets_a_hook_and_keeps_its_list_of_modules() {
    let system = debian(&["/etc/initramfs-tools/hooks/", "/etc/modprobe.d/"]);
    let changed = [
        &format!("+{OPTIONS}"),
        "+/etc/initramfs-tools/hooks/fwshare",
    ];
    case(
        &system,
        &["--no-rebuild"],
        0,
        &["done: the images are as they were"],
        &changed,
    );
    system.run(&["--no-rebuild"]);
    assert_eq!(system.read(OPTIONS), SHARED);
    system
        .run(&["--no-rebuild"])
        .expect(0, &["nothing to do: all is as wanted"]);
}

#[test]
fn a_dry_run_shows_it_all_and_touches_nothing() {
    let system = debian(&[]);
    let said = [
        "+options firewire-sbp2 exclusive_login=0",
        "--dry-run: nothing was changed",
    ];
    case(&system, &["--dry-run"], 0, &said, &[]);
    case(&system, &["--check", "--no-rebuild"], 2, &[], &[]);
    let wrong = [OPTIONS, "is not there"];
    case(&system, &["--check", "--tool", "none"], 10, &wrong, &[]);
}

#[test]
fn folders_that_are_missing_are_made_and_taken_away_again() {
    let system = System::new(&[&tools::dracut()]).today("6.12.1");
    let changed = [
        "+/etc/modprobe.d",
        &format!("+{OPTIONS}"),
        "+/etc/dracut.conf.d",
        "+/etc/dracut.conf.d/90-fwshare.conf",
    ];
    case(&system, &["--no-rebuild"], 0, &[], &changed);
}

#[test]
fn dracut_is_told_of_the_driver_and_of_the_file() {
    // Debian 14: an update-initramfs of dracut's own, and what initramfs-tools has left.
    let system = System::new(&[
        &tools::dracut(),
        "/usr/sbin/update-initramfs*=#!/bin/sh\n",
        "/etc/initramfs-tools/modules=# left\n",
        "/etc/dracut.conf.d/",
        "/etc/modprobe.d/",
    ])
    .today("7.2.1");
    let drop_in = "/etc/dracut.conf.d/90-fwshare.conf";
    let changed = [&format!("+{OPTIONS}"), &format!("+{drop_in}")[..]];
    let said = ["images: dracut"];
    let said = case(&system, &["--no-rebuild"], 0, &said, &changed);
    for line in [
        "+add_drivers+=\" firewire-ohci firewire-sbp2 sd_mod \"\n",
        "+install_items+=\" /etc/modprobe.d/fwshare.conf \"\n",
    ] {
        assert!(said.stdout.contains(line), "{}", said.stdout);
    }
}

#[test]
fn mkinitcpio_gets_words_added_to_its_own() {
    let system = System::new(&[
        &tools::mkinitcpio(),
        "/etc/mkinitcpio.conf.d/",
        "/etc/modprobe.d/",
        "/etc/mkinitcpio.d/linux.preset=PRESETS=('default')\ndefault_image=/boot/initramfs-linux.img\n",
    ])
    .today("7.1-arch1");
    system.put("/lib/modules/7.1-arch1/pkgbase=linux\n");
    let changed = [
        &format!("+{OPTIONS}"),
        "+/etc/mkinitcpio.conf.d/fwshare.conf",
    ];
    let said = [
        "+MODULES+=('firewire-ohci?' 'firewire-sbp2?' 'sd_mod?')\n",
        "+FILES+=(/etc/modprobe.d/fwshare.conf)\n",
    ];
    case(&system, &["--no-rebuild"], 0, &said, &changed);
}

#[test]
fn exclusive_logins_are_written_as_well() {
    let system = debian(&["/etc/initramfs-tools/hooks/", "/etc/modprobe.d/"]);
    system.run(&["--no-rebuild"]).expect(0, &[]);
    let said = [
        "-options firewire-sbp2 exclusive_login=0",
        "+options firewire-sbp2 exclusive_login=1",
    ];
    system
        .run(&["--exclusive", "--no-rebuild"])
        .expect(0, &said);
    system
        .run(&["--check", "--tool", "none", "--exclusive"])
        .expect(0, &["exclusive"]);
    system.run(&["--check", "--tool", "none"]).expect(10, &[]);
}

#[test]
fn the_old_stack_gets_its_own_names_and_serialize_io() {
    let old = ["ieee1394", "ohci1394", "sbp2", "sd_mod"];
    let tool = tools::initramfs_tools();
    let files = [&tool[..], "/etc/modprobe.d/", "/etc/initramfs-tools/hooks/"];
    let changed = [
        &format!("+{OPTIONS}"),
        "+/etc/initramfs-tools/hooks/fwshare",
    ];
    let system = System::new(&files).kernel("2.6.18-4-xen-amd64", &old);
    let said = [
        "+options sbp2 exclusive_login=0 serialize_io=1\n",
        "ohci1394 sbp2 sd_mod",
    ];
    let said = case(&system, &["--no-rebuild"], 0, &said, &changed);
    assert!(
        !said.stdout.contains("options firewire-sbp2"),
        "{}",
        said.stdout
    );
    let both = System::new(&files).kernel("2.6.18-4", &old).today("6.1");
    let said = [
        "+options firewire-sbp2 exclusive_login=0\n+options sbp2 exclusive_login=0 serialize_io=1\n",
    ];
    case(&both, &["--no-rebuild"], 0, &said, &changed);
    // The files are the same for every kernel, whichever gets a new image.
    let said = ["2.6.18-4: --kernel leaves it out", said[0]];
    let arguments = ["--no-rebuild", "--kernel", "6.1"];
    case(&both, &arguments, 0, &said, &changed);
}

#[test]
fn red_hats_mkinitrd_reads_one_file_in_which_ours_is_a_block() {
    if !can_build() {
        return;
    }
    let old = ["ieee1394", "ohci1394", "sbp2", "sd_mod"];
    let system = System::new(&[
        &tools::mkinitrd(),
        "/etc/redhat-release=",
        "/etc/modprobe.conf=alias eth0 e1000",
        "/boot/initrd-2.6.18-8.el5.img=old",
    ])
    .kernel("2.6.18-8.el5", &old);
    let changed = ["/etc/modprobe.conf", "/boot/initrd-2.6.18-8.el5.img"];
    let said = [
        "+options sbp2 exclusive_login=0 serialize_io=1\n",
        "options that make sbp2 log in as wanted",
    ];
    case(&system, &[], 0, &said, &changed);
    // The image has it still, and no file in it tells.
    let said = [
        "it still sets exclusive_login",
        "mkinitrd -f /boot/.fwshare-initrd-2.6.18-8.el5.img",
        "everything is as it was before",
    ];
    system.run(&["--remove"]).expect(0, &said);
    system.run(&["--remove"]).expect(0, &["nothing to do"]);
}

#[test]
fn a_parameter_that_the_module_does_not_have_is_not_written() {
    let tool = tools::initramfs_tools();
    let system = System::new(&[&tool, "/etc/modprobe.d/", "/etc/initramfs-tools/hooks/"])
        .kernel("2.6.8", &["ieee1394", "ohci1394", "sbp2", "sd_mod"]);
    let module = system.at("/lib/modules/2.6.8/kernel/drivers/sbp2.ko");
    std::fs::write(module, crate::elf::module("sbp2", &["exclusive_login"])).unwrap();
    let said = ["+options sbp2 exclusive_login=0\n"];
    let changed = [
        &format!("+{OPTIONS}"),
        "+/etc/initramfs-tools/hooks/fwshare",
    ];
    case(&system, &["--no-rebuild"], 0, &said, &changed);
}

#[test]
fn our_own_file_is_put_right() {
    let system = debian(&["/etc/initramfs-tools/hooks/"]);
    system.put(&format!("{OPTIONS}={}", SHARED.replace('\n', "\r\n")));
    system
        .run(&["--no-rebuild"])
        .expect(0, &["changed: /etc/modprobe.d/fwshare.conf"]);
    assert_eq!(system.read(OPTIONS), SHARED);
}

#[test]
fn the_rules_are_written_and_taken_away() {
    let system = System::new(&["/etc/udev/rules.d/"]);
    let before = system.snapshot();
    system
        .run(&["setup-udev", "--dry-run"])
        .expect(0, &["GROUP=\"disk\"", "0x00609e:0x010483"]);
    assert_eq!(before, system.snapshot());
    system
        .run(&["setup-udev", "--group", "nobody-here"])
        .expect(2, &["groupadd --system nobody-here"]);
    system
        .run(&["setup-udev", "--group", "x\"y"])
        .expect(2, &["is no name of a group"]);
    assert_eq!(before, system.snapshot());
    system.run(&["setup-udev"]).expect(0, &["done"]);
    let after = system.snapshot();
    assert_eq!(
        crate::changes(&before, &after),
        [
            "+/etc/udev/rules.d/60-fwshare.rules",
            "+/etc/udev/rules.d/60-zz-fwshare-disks.rules",
            "+/etc/udev/rules.d/90-fwshare-disks.rules"
        ]
    );
    system.run(&["setup-udev"]).expect(0, &["nothing to do"]);
    assert_eq!(after, system.snapshot());
    system.run(&["setup-udev", "--remove"]).expect(0, &["done"]);
    system.put("/etc/udev/rules.d/60-fwshare.rules=# mine\n");
    for arguments in [&["setup-udev"][..], &["setup-udev", "--remove"]] {
        system
            .run(arguments)
            .expect(11, &["is somebody else's, and was not changed"]);
    }
    std::fs::remove_file(system.at("/etc/udev/rules.d/60-fwshare.rules")).unwrap();
    assert!(crate::changes(&before, &system.snapshot()).is_empty());

    // A package's rule is not hidden by ours.
    system.put("/usr/lib/udev/rules.d/60-zz-fwshare-disks.rules=# of a package\n");
    let before = system.snapshot();
    system.run(&["setup-udev"]).expect(0, &["done"]);
    assert_eq!(
        crate::changes(&before, &system.snapshot()),
        [
            "+/etc/udev/rules.d/60-fwshare.rules",
            "+/etc/udev/rules.d/90-fwshare-disks.rules"
        ]
    );
}
