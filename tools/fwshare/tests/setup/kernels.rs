//! What kernels a system has, and what can be done for them.

use crate::system::System;
use crate::{OPTIONS, case, tools};

const HOOK: &str = "+/etc/initramfs-tools/hooks/fwshare";

fn system() -> System {
    System::new(&[
        &tools::initramfs_tools(),
        "/etc/initramfs-tools/hooks/",
        "/etc/modprobe.d/",
    ])
}

#[test]
fn without_a_kernel_files_are_written_and_it_is_said() {
    let changed = [&format!("+{OPTIONS}"), HOOK];
    case(
        &system(),
        &["--no-rebuild"],
        0,
        &["no kernel is installed"],
        &changed,
    );
    case(&system(), &[], 14, &["no kernel is installed"], &changed);
    let said = ["What will be left to do", "no kernel is installed"];
    case(&system(), &["--dry-run"], 0, &said, &[]);
}

#[test]
fn a_kernel_without_the_driver_is_named_and_the_other_one_done() {
    let system = system().today("6.1").kernel("6.1-cloud", &["sd_mod"]);
    let said = [
        "done, but for this:",
        "6.1-cloud: this kernel has no driver for SBP-2 disks",
    ];
    case(
        &system,
        &["--no-rebuild"],
        14,
        &said,
        &[&format!("+{OPTIONS}"), HOOK],
    );
    // To take away, there is nothing in it.
    system.run(&["--no-rebuild"]).expect(14, &[]);
    system
        .run(&["--remove", "--no-rebuild"])
        .expect(0, &["done"]);
}

#[test]
fn no_driver_at_all_is_an_end_of_its_own() {
    let system = system().kernel("6.1-cloud", &["sd_mod"]);
    let said = [
        "no kernel here has a driver for SBP-2 disks: 6.1-cloud",
        "linux-image-amd64",
    ];
    case(&system, &[], 3, &said, &[]);
}

#[test]
fn a_driver_that_is_built_in_is_reached_by_the_command_line_alone() {
    let words = "firewire_sbp2.exclusive_login=0";
    let built_in = |system: System| {
        let system = system.kernel("6.1", &["sd_mod"]);
        system.put("/lib/modules/6.1/modules.builtin=kernel/drivers/firewire/firewire-sbp2.ko\n");
        system.put("/usr/sbin/update-grub*=#!/bin/sh\n");
        system
    };
    let plain = built_in(system());
    plain.put("/etc/default/grub=GRUB_CMDLINE_LINUX=\"\"\n");
    let said = ["built in", words, "update-grub"];
    plain.run(&["--no-rebuild"]).expect(14, &said);
    plain
        .run(&["--check", "--tool", "none"])
        .expect(10, &[words]);
    let told = built_in(system());
    told.put(&format!(
        "/etc/default/grub=GRUB_CMDLINE_LINUX=\"quiet {words}\"\n"
    ));
    told.run(&["--no-rebuild"]).expect(0, &[]);
    told.run(&["--check", "--tool", "none"]).expect(0, &[]);
}

#[test]
fn what_a_removed_kernel_has_left_is_none() {
    let system = system().today("6.1");
    system.put("/lib/modules/5.10/updates/dkms/x.ko=");
    let said = case(
        &system,
        &["--no-rebuild"],
        0,
        &[],
        &[&format!("+{OPTIONS}"), HOOK],
    );
    assert!(!said.stdout.contains("5.10"), "{}", said.stdout);
}

#[test]
fn versions_that_are_not_there_or_are_none_are_refused() {
    let system = system().today("6.1").today("6.2");
    let said = ["there is no kernel 9.9.9 in /lib/modules; there are 6.1, 6.2"];
    case(&system, &["--kernel", "9.9.9"], 2, &said, &[]);
    for bad in ["../../etc", "a/b", "a b", "a\nb", ""] {
        case(&system, &["--kernel", bad], 2, &[], &[]);
    }
    case(&system, &["--kernel=-x"], 2, &["starts with"], &[]);
    case(
        &system,
        &["--kernel", "running"],
        2,
        &["none of another system's"],
        &[],
    );
    let said = ["kernel 6.2: firewire_sbp2"];
    let said = case(
        &system,
        &["--kernel", "6.2", "--no-rebuild"],
        0,
        &said,
        &[&format!("+{OPTIONS}"), HOOK],
    );
    assert!(!said.stdout.contains("kernel 6.1:"), "{}", said.stdout);
}
