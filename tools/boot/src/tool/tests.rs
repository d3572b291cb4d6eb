use std::fs;
use std::path::Path;

use super::*;
use crate::root::Root;

/// A system of these files. A name that ends in `/` is a folder; what stands behind `=` is in it.
fn system(files: &[&str]) -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let (name, content) = file.split_once('=').unwrap_or((file, ""));
        let path = folder.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let root = Root::open(folder.path()).unwrap();
    (folder, root)
}

#[track_caller]
fn ruler(files: &[&str]) -> Ruler {
    Ruler::find(&system(files).1).unwrap()
}

#[test]
fn what_generates_images_rules_and_not_what_is_named_like_it() {
    let initramfs_tools = "usr/sbin/mkinitramfs";
    let tool = |tool| Ruler::Tool(tool);
    assert_eq!(ruler(&[initramfs_tools]), tool(Tool::InitramfsTools));
    // Debian 14: dracut's own update-initramfs, and what another tool has left.
    let remnants = [
        "usr/sbin/update-initramfs",
        "etc/initramfs-tools/modules",
        "usr/bin/dracut",
    ];
    assert_eq!(ruler(&remnants), tool(Tool::Dracut));
    assert_eq!(
        ruler(&["etc/dracut.conf.d/", "usr/sbin/update-initramfs"]),
        Ruler::Nothing
    );
    assert_eq!(ruler(&["usr/bin/mkinitcpio"]), tool(Tool::Mkinitcpio));
    assert_eq!(ruler(&["sbin/mkinitrd"]), tool(Tool::Mkinitrd));
    assert_eq!(ruler(&["sbin/mkinitrd", "sbin/dracut"]), tool(Tool::Dracut));
}

#[test]
fn of_two_tools_the_one_that_builds_for_new_kernels_rules() {
    let both = ["usr/sbin/mkinitramfs", "usr/bin/dracut"];
    assert_eq!(
        ruler(&both),
        Ruler::Either(Tool::InitramfsTools, Tool::Dracut)
    );
    let hook = |name: &'static str| [both[0], both[1], name];
    assert_eq!(
        ruler(&hook("etc/kernel/postinst.d/initramfs-tools")),
        Ruler::Tool(Tool::InitramfsTools)
    );
    assert_eq!(
        ruler(&hook("usr/lib/kernel/install.d/50-dracut.install")),
        Ruler::Tool(Tool::Dracut)
    );
}

#[test]
fn systems_that_are_made_from_elsewhere_and_tools_by_name_are_told_apart() {
    for (files, name, is_untouchable) in [
        (&["etc/NIXOS", "usr/bin/dracut"][..], "NixOS", true),
        (&["ostree/", "usr/bin/dracut"], "an OSTree system", true),
        (&["sbin/mkinitfs"], "mkinitfs", false),
        (&["usr/bin/booster"], "booster", false),
        (
            &[
                "usr/sbin/mkinitrd",
                "sbin/mkinitrd",
                "etc/mkinitrd/mkinitrd.conf",
            ],
            "Debian's mkinitrd (initrd-tools)",
            false,
        ),
    ] {
        let Ruler::Unsupported(found) = ruler(files) else {
            panic!("{name}: {:?}", ruler(files));
        };
        assert_eq!((found.name, found.is_untouchable), (name, is_untouchable));
        assert!(
            found.advice.contains("exclusive_login=0") || name == "mkinitfs" || name == "booster"
        );
    }
}

fn paths(tool: Tool, kernel: &str, files: &[&str]) -> Vec<String> {
    let images = tool.images(&system(files).1, kernel).unwrap();
    let paths = images.images.iter();
    paths
        .map(|image| image.path.display().to_string())
        .collect()
}

#[test]
fn dracut_makes_the_image_that_is_there_or_what_the_distribution_would_call_it() {
    for (name, released) in [
        ("initramfs-6.1.img", "etc/fedora-release"),
        ("initrd.img-6.1", "etc/debian_version"),
        ("initrd-6.1", "etc/os-release=ID_LIKE=\"suse opensuse\"\n"),
    ] {
        let expected = [format!("/boot/{name}")];
        assert_eq!(paths(Tool::Dracut, "6.1", &[released]), expected);
        assert_eq!(
            paths(Tool::Dracut, "6.1", &[&format!("boot/{name}")]),
            expected
        );
    }
    assert!(
        paths(
            Tool::Dracut,
            "6.1",
            &[
                "etc/machine-id=abc\n",
                "efi/abc/6.1/linux",
                "efi/abc/6.1/initrd"
            ]
        )
        .is_empty()
    );
}

#[test]
fn a_rescue_image_is_not_made_anew_and_told() {
    let files = ["boot/initramfs-6.1.img", "boot/initramfs-0-rescue-abc.img"];
    let images = Tool::Dracut.images(&system(&files).1, "6.1").unwrap();
    let [rescue] = &images.others[..] else {
        panic!("{:?}", images.others);
    };
    assert!(
        !rescue.is_to_do && rescue.text.contains("rescue"),
        "{rescue}"
    );
}

#[test]
fn mkinitcpio_makes_the_images_of_the_kernels_preset() {
    let preset = "etc/mkinitcpio.d/linux.preset=\
        ALL_kver=\"/boot/vmlinuz-linux\"\nPRESETS=('default' 'fallback' \"uki\")\n\
        default_image=\"/boot/initramfs-linux.img\"\n\
        fallback_image=\"/boot/initramfs-linux-fallback.img\"\nfallback_options=\"-S autodetect\"\n\
        uki_uki=\"/efi/EFI/Linux/arch-linux.efi\"\nuki_config=/etc/uki.conf\n";
    let files = ["usr/lib/modules/7.1-arch1/pkgbase=linux\n", preset];
    let images = Tool::Mkinitcpio
        .images(&system(&files).1, "7.1-arch1")
        .unwrap();
    let commands: Vec<_> = images
        .images
        .iter()
        .map(|image| image.command(&image.workplace()).join(" "))
        .collect();
    assert_eq!(
        commands,
        [
            "mkinitcpio -k 7.1-arch1 -g /boot/.fwshare-initramfs-linux.img",
            "mkinitcpio -k 7.1-arch1 -S autodetect -g /boot/.fwshare-initramfs-linux-fallback.img",
        ]
    );
    let remarks: Vec<_> = images.others.iter().map(ToString::to_string).collect();
    assert!(remarks[0].contains("/etc/uki.conf"), "{remarks:?}");
    assert!(remarks[1].contains("mkinitcpio -p linux"), "{remarks:?}");
}

#[test]
fn boot_loaders_of_debian_are_told_afterwards() {
    let image = |files: &[&str]| {
        let images = Tool::InitramfsTools
            .images(&system(files).1, "6.1")
            .unwrap();
        images.images[0].clone()
    };
    let plain = image(&[]);
    assert_eq!(
        plain.command(Path::new("/x")).join(" "),
        "mkinitramfs -o /x 6.1"
    );
    assert!(plain.recipe.then.is_empty());
    let told = image(&["etc/initramfs/post-update.d/"]);
    assert_eq!(
        told.recipe.then[0].join(" "),
        "run-parts --arg=6.1 --arg=/boot/initrd.img-6.1 /etc/initramfs/post-update.d"
    );
    let files = ["etc/debian_version", "usr/share/initramfs/post-update.d/"];
    let dracut = Tool::Dracut.images(&system(&files).1, "6.1").unwrap();
    assert_eq!(
        dracut.images[0].recipe.then[0].join(" "),
        "run-parts --arg=6.1 --arg=/boot/initrd.img-6.1 /usr/share/initramfs/post-update.d"
    );
}

#[test]
fn words_that_run_together_are_told() {
    let files = [
        "etc/dracut.conf.d/10-x.conf=# add_drivers+=\"a\"\nadd_drivers+=\"nvme\"\n",
        "etc/dracut.conf.d/20-y.conf=add_drivers+=\" nvme \"\ninstall_items+=\" /x \"\n",
        "etc/dracut.conf.d/30-z=add_drivers+=\"nvme\"\n",
        "etc/initramfs-tools/update-initramfs.conf=update_initramfs=yes\n#update_initramfs=no\n",
    ];
    let (_folder, root) = system(&files);
    let remarks = Tool::Dracut.remarks(&root).unwrap();
    let [remark] = &remarks[..] else {
        panic!("{remarks:?}");
    };
    assert!(
        remark
            .to_string()
            .starts_with("/etc/dracut.conf.d/10-x.conf:2: ")
    );
    assert!(Tool::InitramfsTools.remarks(&root).unwrap().is_empty());
}

#[test]
fn assignments_are_read_as_a_shell_reads_them() {
    let text = "a=1\nb=\"two words\" # why\n c=('x' \"y z\") #\n# d=1\ne f=1\nexport g='h#i'\nj=$(rm -rf /)\n";
    let found = shell::assignments(text);
    let found: Vec<_> = found
        .iter()
        .map(|found| (found.name.as_str(), found.value.as_str(), found.line))
        .collect();
    assert_eq!(
        found,
        [
            ("a", "1", 1),
            ("b", "two words", 2),
            ("c", "x y z", 3),
            ("g", "h#i", 6),
            ("j", "$(rm -rf /)", 7),
        ]
    );
}

#[test]
fn tools_are_known_by_their_names() {
    for tool in Tool::ALL {
        assert_eq!(tool.to_string().parse(), Ok(tool));
    }
    assert!("update-initramfs".parse::<Tool>().is_err());
}
