mod live;
mod udev;

use std::fs;

use super::*;
use crate::Root;
use crate::small::{put, system};

fn put_means(folder: &Path, means: &Means) {
    for file in &means.files {
        let path = file.drop_in.path.to_str().unwrap();
        assert!(files().contains(&Path::new(path)), "{path}");
        assert!(file.drop_in.text.starts_with(crate::tool::HEAD), "{path}");
        put(folder, path, &file.drop_in.text);
    }
}

/// Each danger as `guard place stopped`.
fn brief(dangers: &[Danger]) -> Vec<String> {
    let brief = dangers.iter().map(|danger| {
        let file = danger.file.as_deref().unwrap_or(Path::new("-"));
        let line = danger.line.map_or(String::new(), |line| format!(":{line}"));
        let stopped = if danger.is_stopped { " stopped" } else { "" };
        format!("{} {}{line}{stopped}", danger.guard, file.display())
    });
    brief.collect()
}

fn of(files: &[(&str, &str)]) -> Vec<String> {
    let (_folder, root) = system(files);
    brief(&dangers(&root, None).unwrap())
}

const LVM: (&str, &str) = (
    "/usr/lib/udev/rules.d/69-lvm.rules",
    "# pvscan\n\nIMPORT{program}=\"/sbin/lvm pvscan --cache $env{DEVNAME}\"\n",
);
const MD: (&str, &str) = (
    "/usr/lib/udev/rules.d/64-md-raid-assembly.rules",
    "IMPORT{program}=\"/sbin/mdadm --incremental --export $devnode\"\n",
);
const UDISKS: (&str, &str) = ("/usr/libexec/udisks2/udisksd", "");
const MULTIPATH: (&str, &str) = ("/usr/sbin/multipathd", "");

#[test]
fn what_is_not_installed_is_no_danger() {
    assert!(of(&[]).is_empty());
    let other = "/usr/lib/udev/rules.d/60-persistent-storage.rules";
    let fstab = "UUID=1234 / ext4 errors=remount-ro 0 1\n/dev/sda2 none swap sw 0 0\n";
    assert!(
        of(&[
            (other, "IMPORT{builtin}=\"blkid\"\n"),
            ("/etc/fstab", fstab)
        ])
        .is_empty()
    );
}

#[test]
fn what_takes_disks_by_itself_is_named_with_its_line_until_the_guard_stands() {
    let cases = [
        (Guard::Lvm, LVM, "lvm /usr/lib/udev/rules.d/69-lvm.rules:3"),
        (
            Guard::Md,
            MD,
            "md /usr/lib/udev/rules.d/64-md-raid-assembly.rules:1",
        ),
        (Guard::Udisks, UDISKS, "udisks /usr/libexec/udisks2/udisksd"),
        (
            Guard::Multipath,
            MULTIPATH,
            "multipath /usr/sbin/multipathd",
        ),
    ];
    for (guard, file, expected) in cases {
        let (folder, root) = system(&[file]);
        assert_eq!(brief(&dangers(&root, None).unwrap()), [expected]);
        let means = guard.means(&root, None).unwrap();
        put_means(folder.path(), &means);
        let stopped = format!("{expected} stopped");
        assert_eq!(brief(&dangers(&root, None).unwrap()), [stopped]);
        // Twice is once.
        assert_eq!(guard.means(&root, None).unwrap(), means);
        // A file of ours that somebody has changed guards nobody.
        let edited = folder
            .path()
            .join(means.files[0].drop_in.path.strip_prefix("/").unwrap());
        fs::write(edited, "").unwrap();
        assert_eq!(brief(&dangers(&root, None).unwrap()), [expected]);
    }
}

#[test]
fn a_rule_that_is_masked_or_hidden_is_not_in_force() {
    let (folder, root) = system(&[LVM, MD]);
    let rules = folder.path().join("etc/udev/rules.d");
    fs::create_dir_all(&rules).unwrap();
    std::os::unix::fs::symlink("/dev/null", rules.join("69-lvm.rules")).unwrap();
    fs::write(rules.join("64-md-raid-assembly.rules"), "# none\n").unwrap();
    assert!(dangers(&root, None).unwrap().is_empty());
}

#[test]
fn lvm_may_be_restricted_already() {
    let cases = [
        (
            "activation {\n\tauto_activation_volume_list = [ \"root\" ]\n}\n",
            true,
        ),
        (
            "auto_activation_volume_list = [\n\"root\",\n\"@*\"\n]\n",
            false,
        ),
        ("# auto_activation_volume_list = [ \"root\" ]\n", false),
        (
            "global_filter = [ \"r|^/dev/disk/by-id/ieee1394-|\" ]\n",
            true,
        ),
        ("filter = [ \"a|^/dev/sda|\", \"r|.*|\" ]\n", true),
        ("filter = [ \"a|.*|\" ]\n", false),
        ("filter = [ \"r|^/dev/sr0|\" ]\n", false),
        ("use_devicesfile = 1\n", true),
        ("\t# use_devicesfile = 1\n", true),
        ("# use_devicesfile = 1\nuse_devicesfile = 0\n", false),
    ];
    for (text, is_stopped) in cases {
        let (_folder, root) = system(&[
            LVM,
            ("/etc/lvm/lvm.conf", text),
            ("/etc/lvm/devices/system.devices", ""),
        ]);
        let found = dangers(&root, None).unwrap();
        assert_eq!(found[0].is_stopped, is_stopped, "{text}");
    }
}

#[test]
fn lvm_that_does_not_ask_udev_is_not_stopped_by_a_rule() {
    let (folder, root) = system(&[LVM, ("/etc/lvm/lvm.conf", "event_activation = 0\n")]);
    let means = Guard::Lvm.means(&root, None).unwrap();
    put_means(folder.path(), &means);
    assert_eq!(
        brief(&dangers(&root, None).unwrap()),
        [
            "lvm /usr/lib/udev/rules.d/69-lvm.rules:3 stopped",
            "lvm /etc/lvm/lvm.conf:1"
        ]
    );
    let told = |advice: &String| advice.contains("/etc/lvm/lvm.conf:1: event_activation=0");
    assert!(means.advice.iter().any(told), "{means:?}");
}

#[test]
fn dracuts_images_activate_all_groups_if_they_are_asked_to_and_none_are_named() {
    for (words, is_danger) in [
        ("quiet", false),
        ("rd.auto", true),
        ("rd.auto=1 quiet", true),
        ("rd.auto=0", false),
        ("rd.auto rd.lvm.lv=own/root", false),
        ("rd.auto rd.lvm.vg=own", false),
        ("rd.auto rd.lvm=0", false),
        ("rd.auto rd.lvm=1", true),
    ] {
        let grub = format!("#rd.auto\nGRUB_CMDLINE_LINUX=\"{words}\"\n");
        let (folder, root) = system(&[LVM, ("/etc/default/grub", &grub)]);
        let means = Guard::Lvm.means(&root, None).unwrap();
        put_means(folder.path(), &means);
        let found = brief(&dangers(&root, None).unwrap());
        let place = "/etc/default/grub:2";
        assert_eq!(
            found.contains(&format!("lvm {place}")),
            is_danger,
            "{words}"
        );
        let told = means.advice.iter().any(|advice| advice.starts_with(place));
        assert_eq!(told, is_danger, "{words}");
    }
}

#[test]
fn md_that_does_not_ask_udev_is_not_stopped_by_a_rule() {
    let scan = "/usr/share/initramfs-tools/scripts/local-block/mdadm";
    let (folder, root) = system(&[MD, (scan, ""), ("/etc/mdadm/mdadm.conf", "MAILADDR root\n")]);
    put_means(folder.path(), &Guard::Md.means(&root, None).unwrap());
    let found = brief(&dangers(&root, None).unwrap());
    assert_eq!(found[1..], [format!("md {scan}")]);
    for (text, stops) in [
        ("AUTO -all\n", true),
        ("auto homehost -all\n", true),
        ("AUTO +1.x -all\n", false),
        ("#AUTO -all\n", false),
        ("AUTO\n  -all # none\n", true),
    ] {
        put(folder.path(), "/etc/mdadm/mdadm.conf.d/site.conf", text);
        let found = dangers(&root, None).unwrap();
        assert_eq!(found[1].is_stopped, stops, "{text}");
    }
}

#[test]
fn multipath_takes_firewire_for_no_protocol_that_it_knows() {
    let main = "/etc/multipath.conf";
    let (_folder, root) = system(&[
        MULTIPATH,
        (
            main,
            "defaults {\n\tfind_multipaths no\n}\nblacklist {\n\tprotocol \"scsi:sbp\"\n}\n",
        ),
    ]);
    let found = dangers(&root, None).unwrap();
    assert_eq!(
        brief(&found),
        [
            "multipath /etc/multipath.conf:2",
            "multipath /etc/multipath.conf:5"
        ]
    );
    assert!(found[1].text.contains("scsi:unspec"));
    for (text, is_stopped) in [
        ("blacklist {\n\tprotocol \"scsi:unspec\"\n}\n", true),
        ("blacklist {\n\tdevnode \".*\"\n}\n", true),
        (
            "blacklist {\n\tdevice {\n\t\tdevnode \".*\"\n\t}\n}\n",
            false,
        ),
        ("blacklist {\n!\tdevnode \".*\"\n}\n", false),
        ("blacklist {\n#\tdevnode \".*\"\n}\n", false),
        ("blacklist_exceptions {\n\tdevnode \".*\"\n}\n", false),
        ("}\n}\nblacklist {\n\tdevnode \".*\"\n", true),
    ] {
        let (_folder, root) = system(&[MULTIPATH, ("/etc/multipath/conf.d/x.conf", text)]);
        let found = dangers(&root, None).unwrap();
        assert_eq!(found[0].is_stopped, is_stopped, "{text}");
    }
}

#[test]
fn lines_of_fstab_are_judged_by_what_they_do() {
    let disk = "/dev/disk/by-id/ieee1394-0010b920008c46ad:1:0-part1";
    let cases = [
        (
            "/srv ext4 defaults 0 2",
            false,
            "is checked and mounted at boot",
        ),
        ("/srv ext4 nofail 0 0", false, "is mounted at boot"),
        ("/srv ext4 noauto 0 0", true, "only when somebody asks"),
        (
            "/srv ext4 noauto,x-systemd.automount 0 0",
            false,
            "looks into it",
        ),
        ("/srv xfs ro 0 0", false, "replaying the journal"),
        ("/srv ext4 ro,noload 0 0", true, "old data"),
        ("/srv xfs ro,norecovery 0 0", true, "old data"),
        ("/srv ocfs2 defaults 0 0", false, "before the network"),
        ("/srv ocfs2 _netdev 0 0", true, "made for several hosts"),
        ("none swap sw 0 0", false, "the memory of another"),
        ("none swap noauto 0 0", true, "only when somebody asks"),
        ("/srv", false, "two mounts of auto ruin it"),
    ];
    for (rest, is_stopped, text) in cases {
        let fstab = format!("# {disk} / ext4\n{disk}\t{rest}\n");
        let (_folder, root) = system(&[("/etc/fstab", &fstab)]);
        let found = dangers(&root, None).unwrap();
        assert_eq!(found.len(), 1, "{rest}");
        assert_eq!(found[0].line, Some(2));
        assert_eq!(found[0].is_stopped, is_stopped, "{rest}");
        assert!(found[0].text.contains(text), "{rest}: {}", found[0].text);
        let means = Guard::Fstab.means(&root, None).unwrap();
        assert!(means.files.is_empty());
        assert_eq!(means.advice.len(), usize::from(!is_stopped), "{rest}");
    }
}

#[test]
fn a_device_in_fstab_is_known_by_its_links() {
    let found = of(&[(
        "/etc/fstab",
        "/dev/disk/by-path/pci-0000:03:00.0-ieee1394-0x0010b920008c46ad:1:0-part1 /a ext4\n\
         ID=ieee1394-0010b920008c46ad:1:0 /b\\040c ext4\n\
         /dev/disk/by-id/ata-ieee1394 /c ext4\n\
         /dev/disk/by-path/pci-0000:00:1f.2-ata-1 /d ext4\n\
         LABEL=ieee1394- /e ext4\n",
    )]);
    assert_eq!(found, ["fstab /etc/fstab:1", "fstab /etc/fstab:2"]);
    let crypttab = "data /dev/disk/by-id/ieee1394-1:1:0 none luks\n";
    assert_eq!(
        of(&[("/etc/crypttab", crypttab)]),
        ["fstab /etc/crypttab:1"]
    );
}

const SWAP: &str = "/dev/disk/by-id/ieee1394-0010b920008c46ad:1:0-part2";

#[test]
fn the_image_does_not_resume_from_the_disk() {
    let conf = format!("RESUME={SWAP}\n");
    let (folder, root) = system(&[
        ("/usr/sbin/mkinitramfs", ""),
        ("/etc/initramfs-tools/conf.d/resume", &conf),
    ]);
    let expected = ["resume /etc/initramfs-tools/conf.d/resume:1"];
    assert_eq!(brief(&dangers(&root, None).unwrap()), expected);
    let means = Guard::Resume.means(&root, None).unwrap();
    put_means(folder.path(), &means);
    assert_eq!(Guard::Resume.means(&root, None).unwrap(), means);
    // A shell reads the folder as mkinitramfs does, and has the last word.
    let script = "for file in conf.d/*; do . ./$file; done; echo $RESUME";
    let shell = std::process::Command::new("sh")
        .args(["-c", script])
        .current_dir(folder.path().join("etc/initramfs-tools"))
        .output()
        .unwrap();
    assert_eq!(shell.stdout, b"none\n");
    let found = dangers(&root, None).unwrap();
    assert_eq!(brief(&found), [format!("{} stopped", expected[0])]);
}

#[test]
fn only_the_resume_that_is_in_force_counts() {
    let conf = format!("RESUME={SWAP}\n");
    for (name, text, is_danger) in [
        ("resume", conf.as_str(), true),
        ("resume.dpkg-old", &conf, false),
        (".resume", &conf, false),
        ("a", &conf, false),
        ("zzz", "RESUME=UUID=1\n", false),
    ] {
        let folder = "/etc/initramfs-tools/conf.d";
        let (_folder, root) = system(&[
            ("/usr/sbin/mkinitramfs", ""),
            (&format!("{folder}/b"), "RESUME=none\n"),
            (&format!("{folder}/{name}"), text),
        ]);
        let found = dangers(&root, None).unwrap();
        assert_eq!(!found.is_empty(), is_danger, "{name}");
        let means = Guard::Resume.means(&root, None).unwrap();
        assert_eq!(!means.files.is_empty(), is_danger, "{name}");
    }
}

#[test]
fn a_command_line_is_told_and_dracut_leaves_its_module_out() {
    let grub = format!("GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX=\"quiet resume={SWAP}\"\n");
    let (folder, root) = system(&[("/usr/bin/dracut", ""), ("/etc/default/grub", &grub)]);
    assert_eq!(
        brief(&dangers(&root, None).unwrap()),
        ["resume /etc/default/grub:2"]
    );
    let means = Guard::Resume.means(&root, None).unwrap();
    assert_eq!(means.files[0].drop_in.path, Path::new(resume::DRACUT));
    let advice = format!("/etc/default/grub:2: take resume={SWAP} out, or add noresume");
    assert_eq!(means.advice, [advice]);
    put_means(folder.path(), &means);
    assert_eq!(
        brief(&dangers(&root, None).unwrap()),
        ["resume /etc/default/grub:2 stopped"]
    );
    let (_folder, root) = system(&[(
        "/etc/kernel/cmdline",
        &format!("root=/dev/sda1 noresume resume={SWAP}\n"),
    )]);
    assert_eq!(
        brief(&dangers(&root, None).unwrap()),
        ["resume /etc/kernel/cmdline:1 stopped"]
    );
}

#[test]
fn what_dracut_or_the_running_kernel_is_told_counts_and_grubs_copies_do_not() {
    let word = format!("resume={SWAP}");
    let (_folder, root) = system(&[
        ("/boot/grub/grub.cfg", &format!("linux /vmlinuz-1 {word}\n")),
        ("/etc/cmdline.d/95resume.conf", &word),
        (
            "/etc/dracut.conf.d/x.conf",
            &format!("# {word}\nkernel_cmdline=\"{word}\"\n"),
        ),
        (
            "/boot/loader/entries/a.conf",
            &format!("title a\noptions ro {word}\n"),
        ),
    ]);
    let live = Live {
        command_line: format!("quiet {word}\n"),
        ..Live::default()
    };
    let mut found = brief(&dangers(&root, Some(&live)).unwrap());
    found.sort();
    assert_eq!(
        found,
        [
            "resume /boot/loader/entries/a.conf:2",
            "resume /etc/cmdline.d/95resume.conf:1",
            "resume /etc/dracut.conf.d/x.conf:2",
            "resume /proc/cmdline:1",
        ]
    );
}

#[test]
fn nothing_that_stands_in_the_way_stops_the_look() {
    let (folder, root) = system(&[LVM, UDISKS, MULTIPATH, MD]);
    let rules = folder.path().join("usr/lib/udev/rules.d");
    let mode = nix::sys::stat::Mode::S_IRWXU;
    nix::unistd::mkfifo(&rules.join("10-fifo.rules"), mode).unwrap();
    fs::create_dir(rules.join("11-folder.rules")).unwrap();
    put(folder.path(), "/etc/multipath/conf.d/10.conf", "");
    let settings = folder.path().join("etc/multipath/conf.d");
    for large in [rules.join("12.rules"), settings.join("12.conf")] {
        let large = fs::File::create(large).unwrap();
        large.set_len(crate::tree::MAX_FILE + 1).unwrap();
    }
    let junk =
        b"\xff\0\n=\n[\n{\n\"\nRESUME=\nAUTO\nARRAY uuid=\nfilter=[\nblacklist {\n}\n}\n x y z\n";
    for file in [
        "etc/fstab",
        "etc/crypttab",
        "etc/lvm/lvm.conf",
        "etc/mdadm.conf",
        "etc/multipath.conf",
        "etc/default/grub",
        "etc/initramfs-tools/initramfs.conf",
        "usr/lib/udev/rules.d/13.rules",
    ] {
        put(folder.path(), file, "");
        fs::write(folder.path().join(file), junk).unwrap();
    }
    assert_eq!(dangers(&root, None).unwrap().len(), 4);
    for guard in Guard::ALL {
        guard.means(&root, None).unwrap();
        assert_eq!(guard.name().parse(), Ok(guard));
    }
    assert!("swap".parse::<Guard>().is_err());
}
