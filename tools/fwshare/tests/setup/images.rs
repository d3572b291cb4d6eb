//! Images that are made, looked into, and not believed.

use std::fs;
use std::process::Command;

use crate::system::{System, can_build};
use crate::{OPTIONS, case, tools};

const HOOK: &str = "+/etc/initramfs-tools/hooks/fwshare";
const IMAGE: &str = "/boot/initrd.img-6.1";

fn debian(tool: &str) -> System {
    System::new(&[
        tool,
        "/etc/initramfs-tools/hooks/",
        "/etc/modprobe.d/",
        &format!("{IMAGE}=old"),
        "/boot/vmlinuz-6.1=",
    ])
    .today("6.1")
}

#[test]
fn the_image_is_made_verified_and_put_in_place() {
    if !can_build() {
        return;
    }
    let system = debian(&tools::initramfs_tools());
    let said = [
        "verified: /boot/initrd.img-6.1 has /etc/modprobe.d/fwshare.conf, byte for byte",
        "done: it holds after the next boot",
    ];
    case(
        &system,
        &[],
        0,
        &said,
        &[&format!("+{OPTIONS}"), HOOK, IMAGE],
    );
    // The image has it still, and is made anew without.
    let said = [
        "/etc/modprobe.d/fwshare.conf is still in it",
        "everything is as it was before",
    ];
    system.run(&["--remove"]).expect(0, &said);
    system.run(&["--remove"]).expect(0, &["nothing to do"]);
}

#[test]
fn a_file_of_another_with_our_name_comes_back_in_the_image_too() {
    if !can_build() {
        return;
    }
    let mine = "options firewire-sbp2 exclusive_login=0 workarounds=4\n";
    let system = debian(&tools::initramfs_tools());
    system.put(&format!("{OPTIONS}={mine}"));
    system.run(&[]).expect(0, &["verified: "]);
    let said = [
        "/etc/modprobe.d/fwshare.conf in it is an older one",
        "everything is as it was before",
    ];
    system.run(&["--remove"]).expect(0, &said);
    system.run(&["--remove"]).expect(0, &["nothing to do"]);
    assert_eq!(system.read(OPTIONS), mine);
}

#[test]
fn what_a_module_needs_has_to_be_inside_whatever_depmod_says_there() {
    if !can_build() {
        return;
    }
    // As depmod does: of a module that is not there it knows nothing.
    let tool = tools::initramfs_tools().replace(
        "cd / && {",
        "/bin/busybox rm -rf /tmp/w && /bin/busybox mkdir -p /tmp/w && \
         /bin/busybox cp -a /etc /lib /tmp/w && cd /tmp/w && \
         /bin/busybox rm lib/modules/$3/kernel/drivers/firewire-core.ko && \
         /bin/busybox sed -i '/^[^:]*core.ko:/d; s/: .*/:/' lib/modules/$3/modules.dep && {",
    );
    let system = debian(&tool);
    let said = system.run(&[]);
    said.expect(
        12,
        &[
            "firewire_core is not in it",
            "firewire-core.ko, which firewire_sbp2 needs, is not in it",
        ],
    );
}

#[test]
fn what_has_to_follow_an_image_and_fails_is_left_to_do() {
    if !can_build() {
        return;
    }
    let system = debian(&tools::initramfs_tools());
    system.put("/etc/initramfs/post-update.d/");
    system.put("/usr/bin/run-parts*=#!/bin/sh\necho the ESP is full; exit 1\n");
    let said = [
        "the new image is in place, but what has to follow came to nothing",
        "| the ESP is full",
        "run-parts --arg=6.1 --arg=/boot/initrd.img-6.1 /etc/initramfs/post-update.d",
    ];
    let said = system.run(&[]).expect(14, &said);
    assert!(!said.stderr.contains("the old ones"), "{}", said.stderr);
    assert_ne!(system.read(IMAGE), "old");
}

#[test]
fn dracut_leaves_out_what_it_is_not_told_of() {
    if !can_build() {
        return;
    }
    let dracut = |tool: &str| {
        System::new(&[
            tool,
            "/etc/dracut.conf.d/",
            "/etc/modprobe.d/",
            "/etc/debian_version=13\n",
            &format!("{IMAGE}=old"),
        ])
        .today("6.1")
    };
    let drop_in = "+/etc/dracut.conf.d/90-fwshare.conf";
    let system = dracut(&tools::dracut());
    case(
        &system,
        &[],
        0,
        &["verified: "],
        &[&format!("+{OPTIONS}"), drop_in, IMAGE],
    );
    // One that does not read the drop-in: the option is missing, and the tool says that all is well.
    let deaf = tools::dracut().replace("/etc/dracut.conf.d/*.conf", "/none");
    let system = dracut(&deaf);
    let said = [
        "failed: /boot/initrd.img-6.1: the new image is not as wanted",
        "/etc/modprobe.d/fwshare.conf is not in it",
        "the old ones are in place",
    ];
    case(&system, &[], 12, &said, &[&format!("+{OPTIONS}"), drop_in]);
    assert_eq!(system.read(IMAGE), "old");
}

#[test]
fn mkinitcpio_makes_every_image_of_the_preset() {
    if !can_build() {
        return;
    }
    let system = System::new(&[
        &tools::mkinitcpio(),
        "/etc/mkinitcpio.conf.d/",
        "/etc/modprobe.d/",
        "/etc/mkinitcpio.d/linux.preset=PRESETS=('default' 'fallback')\n\
         default_image=/boot/initramfs-linux.img\nfallback_image=/boot/fallback.img\n\
         fallback_options=\"-S autodetect\"\n",
        "/boot/initramfs-linux.img=old",
        "/boot/fallback.img=old",
    ])
    .today("6.1");
    system.put("/lib/modules/6.1/pkgbase=linux\n");
    let changed = [
        &format!("+{OPTIONS}"),
        "+/etc/mkinitcpio.conf.d/fwshare.conf",
        "/boot/initramfs-linux.img",
        "/boot/fallback.img",
    ];
    case(&system, &[], 0, &["verified: /boot/fallback.img"], &changed);
}

#[test]
fn a_tool_that_fails_leaves_the_image_and_what_it_said_is_shown() {
    if !can_build() {
        return;
    }
    for (script, said) in [
        ("printf 'no \\033[31mroom\\000\\n' >&2; exit 1", "| no room"),
        ("kill -9 $$", "was killed by signal 9"),
        ("exit 0", "has made no image"),
        (": > $2", "has made no image"),
        ("echo rubbish > $2", "the new image is not as wanted"),
    ] {
        let system = debian(&format!("/usr/sbin/mkinitramfs*=#!/bin/sh\n{script}\n"));
        let said = [
            said,
            "bring everything back: fwshare setup-initramfs --remove",
        ];
        case(&system, &[], 12, &said, &[&format!("+{OPTIONS}"), HOOK]);
        assert_eq!(system.read(IMAGE), "old");
        assert_eq!(fs::read_dir(system.at("/boot")).unwrap().count(), 2);
    }
}

#[test]
fn an_image_without_the_driver_is_not_believed() {
    if !can_build() {
        return;
    }
    let tool = tools::initramfs_tools().replace(" \"lib/modules/$3\"", "");
    let system = debian(&tool);
    let said = ["firewire_sbp2 is not in it", "sd_mod is not in it"];
    case(&system, &[], 12, &said, &[&format!("+{OPTIONS}"), HOOK]);
}

#[test]
fn images_in_every_dress_are_looked_into() {
    if !can_build() {
        return;
    }
    for program in ["gzip", "xz", "zstd", "lz4", "lzop", "bzip2"] {
        let found = Command::new(program).arg("--version").output();
        if found.is_err() {
            assert!(std::env::var_os("CI").is_none(), "{program} is missing");
            eprintln!("skipped: {program} is missing");
            continue;
        }
        let system = debian(&tools::initramfs_tools());
        system.run(&[]).expect(0, &["verified"]);
        let plain = system.at("/boot/plain");
        fs::rename(system.at(IMAGE), &plain).unwrap();
        let flags: &[&str] = match program {
            "xz" => &["--check=crc32", "-c"],
            "lz4" => &["-l", "-c"],
            _ => &["-c"],
        };
        let packed = Command::new(program)
            .args(flags)
            .arg(&plain)
            .output()
            .unwrap();
        assert!(packed.status.success(), "{program}");
        // A microcode archive in front, as plain as the kernel wants it, and a gap.
        let mut image = fs::read(&plain).unwrap();
        image.resize(image.len().next_multiple_of(512), 0);
        image.extend(packed.stdout);
        fs::write(system.at(IMAGE), image).unwrap();
        system.run(&["--check"]).expect(0, &["shared"]);
    }
}

#[test]
fn without_room_for_two_images_nothing_is_begun() {
    if !can_build() {
        return;
    }
    let system = debian(&tools::initramfs_tools());
    let boot = system.at("/boot");
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("tmpfs"), &boot, Some("tmpfs"), flags, Some("size=12m")).unwrap();
    fs::write(system.at(IMAGE), vec![b'x'; 8 << 20]).unwrap();
    let before = system.snapshot();
    let foretold = system.run(&["--dry-run"]);
    let said = system.run(&[]);
    let after = system.snapshot();
    // What another test forks at this moment has the folder open.
    nix::mount::umount2(&boot, nix::mount::MntFlags::MNT_DETACH).unwrap();
    assert_eq!(before, after);
    for said in [foretold, said] {
        let expected = "/boot has 4 MiB free, and 18 MiB are needed";
        said.expect(12, &[expected, "nothing was changed"]);
    }
}

#[test]
fn without_a_tool_the_files_are_written_and_it_is_said() {
    let system = System::new(&["/etc/modprobe.d/"]).today("6.1");
    let changed = [&format!("+{OPTIONS}")[..]];
    case(
        &system,
        &["--no-rebuild"],
        0,
        &["no tool was found"],
        &changed,
    );
    case(&system, &[], 13, &["no image was made"], &changed);
    // Nobody has looked into an image, so nobody says that it is as wanted.
    system.run(&["--no-rebuild"]).expect(0, &[]);
    system
        .run(&["--check"])
        .expect(10, &["no image was looked into"]);
    system.run(&["--dry-run"]).expect(0, &["--dry-run: "]);
    system.run(&["--check", "--tool", "none"]).expect(0, &[]);
    system.run(&["--remove"]).expect(13, &[]);
    system.run(&["--remove"]).expect(0, &["nothing to do"]);
    let alpine = System::new(&["/etc/modprobe.d/", "/sbin/mkinitfs="]).today("6.1");
    case(
        &alpine,
        &[],
        13,
        &["mkinitfs", "/etc/mkinitfs/features.d"],
        &changed,
    );
}

#[test]
fn a_kernel_that_boots_without_an_image_gets_none() {
    let system = System::new(&[
        &tools::initramfs_tools(),
        "/etc/initramfs-tools/hooks/",
        "/etc/modprobe.d/",
    ])
    .today("6.1");
    let changed = [&format!("+{OPTIONS}"), HOOK];
    let said = ["there is no such image, and none was made"];
    case(&system, &[], 0, &said, &changed);
    // One that can boot may want it.
    system.put("/boot/vmlinuz-6.1=");
    let said = [
        "done, but for this:",
        "mkinitramfs -o /boot/initrd.img-6.1 6.1",
    ];
    case(&system, &[], 14, &said, &changed);
}

#[test]
fn of_two_tools_one_has_to_be_named() {
    let system = debian(&tools::initramfs_tools());
    system.put("/usr/bin/dracut=");
    let said = [
        "there are initramfs-tools and dracut",
        "--tool initramfs-tools or --tool dracut",
    ];
    case(&system, &["--no-rebuild"], 11, &said, &[]);
    let changed = [&format!("+{OPTIONS}"), HOOK];
    case(
        &system,
        &["--no-rebuild", "--tool", "initramfs-tools"],
        0,
        &[],
        &changed,
    );
    case(
        &system,
        &["--tool", "update-initramfs"],
        2,
        &["is no tool that is known"],
        &[],
    );
}

#[test]
fn kernel_and_image_in_one_file_need_another_step() {
    if !can_build() {
        return;
    }
    let system = debian(&tools::initramfs_tools());
    system.put("/efi/EFI/Linux/debian-6.1.efi=MZ and more");
    let said = [
        "done, but for this:",
        "/efi/EFI/Linux/debian-6.1.efi",
        "kernel-install add 6.1",
    ];
    case(
        &system,
        &[],
        14,
        &said,
        &[&format!("+{OPTIONS}"), HOOK, IMAGE],
    );
}

#[test]
fn copies_of_a_boot_loader_need_another_step() {
    if !can_build() {
        return;
    }
    let system = System::new(&[
        &tools::dracut(),
        "/etc/dracut.conf.d/",
        "/etc/modprobe.d/",
        "/etc/machine-id=0123\n",
        "/boot/efi/0123/6.1/linux=",
        "/boot/efi/0123/6.1/initrd=old",
    ])
    .today("6.1");
    let changed = [
        &format!("+{OPTIONS}"),
        "+/etc/dracut.conf.d/90-fwshare.conf",
    ];
    let said = [
        "/boot/efi/0123/6.1: the boot loader has copies here",
        "kernel-install add 6.1",
    ];
    case(&system, &[], 14, &said, &changed);
    // An image that is as wanted, where kernel-install would have put it.
    let plain = debian(&tools::initramfs_tools());
    plain.run(&[]).expect(0, &[]);
    system.run(&["--no-rebuild"]).expect(0, &[]);
    fs::copy(plain.at(IMAGE), system.at("/boot/efi/0123/6.1/initrd")).unwrap();
    system.run(&["--check"]).expect(0, &[]);
    system.run(&[]).expect(0, &["nothing to do"]);
    system
        .run(&["--remove"])
        .expect(14, &["initrd: /etc/modprobe.d/fwshare.conf is still in it"]);
}
