use std::fs;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use proptest::prelude::*;

use super::system;
use crate::boot_loader::*;
use crate::kmod::Bool;

/// Each as `FILE:LINE [VERSION] TEXT`.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let (_folder, root) = system(files);
    let lines = find(&root, false);
    assert!(lines.notices.is_empty(), "{:?}", lines.notices);
    lines
        .found
        .iter()
        .map(|found| {
            let kernel = found.kernel.as_ref().map_or("*", Version::as_str);
            format!("{} [{kernel}] {}", found.place, found.text)
        })
        .collect()
}

const GRUB: &str = r#"# GRUB_CMDLINE_LINUX="comment"
GRUB_DEFAULT=0
GRUB_DISTRIBUTOR=`( . /etc/os-release; echo ${NAME:-Debian} ) 2>/dev/null || echo Debian`
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_LINUX="first \
firewire_sbp2.exclusive_login=Y"   # why
  export GRUB_CMDLINE_LINUX_XEN='single "double"'
GRUB_CMDLINE_LINUX_DEFAULT=quiet\ splash
"#;

#[test]
fn what_grub_mkconfig_is_told() {
    let more = "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX more\"\nGRUB_CMDLINE_LINUX+=\" and\"\n";
    assert_eq!(
        found(&[
            ("etc/default/grub", GRUB),
            ("etc/default/grub.d/b.cfg", more),
            ("etc/default/grub.d/c.txt", "GRUB_CMDLINE_LINUX=no\n"),
        ]),
        [
            "/etc/default/grub:5 [*] first firewire_sbp2.exclusive_login=Y",
            "/etc/default/grub:7 [*] single \"double\"",
            "/etc/default/grub:8 [*] quiet splash",
            "/etc/default/grub.d/b.cfg:1 [*] $GRUB_CMDLINE_LINUX more",
            "/etc/default/grub.d/b.cfg:2 [*]  and",
        ]
    );
    let (_folder, root) = system(&[("etc/default/grub", GRUB)]);
    let lines = find(&root, false);
    assert_eq!(lines.found[0].place.last_line, 6);
    let set = lines.found[0]
        .parse()
        .sets("firewire-sbp2", "exclusive_login");
    assert_eq!(set.map(|(value, _)| value), Some(Bool::On));
}

#[test]
fn a_shell_reads_the_same() {
    let (folder, root) = system(&[("etc/default/grub", GRUB)]);
    let script = ". \"$0\"; printf '%s\\n' \"$GRUB_CMDLINE_LINUX\" \
                  \"$GRUB_CMDLINE_LINUX_XEN\" \"$GRUB_CMDLINE_LINUX_DEFAULT\"";
    let file = folder.path().join("etc/default/grub");
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(file)
        .output()
        .unwrap();
    let ours: Vec<String> = find(&root, false)
        .found
        .into_iter()
        .map(|found| found.text)
        .collect();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        ours.join("\n") + "\n"
    );
}

#[test]
fn what_grub_was_given() {
    let config = "set default=0\nmenuentry 'It'\\''s' {\n\tlinux\t/boot/vmlinuz-6.1.0-57-amd64 root=/dev/sda1 ro \"a=b c\"\n\
                  \tinitrd /boot/initrd.img-6.1.0-57-amd64\n}\n# linux /no\n\
                  linuxefi ($root)/vmlinuz-5.14.0-427.el9.x86_64 ro $kernelopts\n\
                  multiboot2 /xen.gz placeholder\nmodule2 /vmlinuz-6.1 placeholder ro\nmodule2 /initrd\n\
                  linux_x /vmlinuz-1 x\nset kernelopts=\"root=x rhgb\"\nlinux\n";
    assert_eq!(
        found(&[
            ("boot/grub/grub.cfg", config),
            (
                "boot/grub2/grubenv",
                "# GRUB Environment Block\nkernelopts=root=x firewire_sbp2.x\n####"
            ),
        ]),
        [
            "/boot/grub/grub.cfg:3 [6.1.0-57-amd64] root=/dev/sda1 ro \"a=b c\"",
            "/boot/grub/grub.cfg:7 [5.14.0-427.el9.x86_64] ro $kernelopts",
            "/boot/grub/grub.cfg:9 [6.1] placeholder ro",
            "/boot/grub/grub.cfg:12 [*] root=x rhgb",
            "/boot/grub2/grubenv:2 [*] root=x firewire_sbp2.x",
        ]
    );
}

#[test]
fn entries_and_what_they_are_made_of() {
    assert_eq!(
        found(&[
            ("etc/kernel/cmdline", "# x\nroot=a\n quiet\n"),
            ("usr/lib/kernel/cmdline", "no\n"),
            (
                "boot/loader/entries/a.conf",
                "title x\nlinux /vmlinuz-6.12\noptions root=a\noptions  more\n"
            ),
            ("boot/loader/entries/b.txt", "options no\n"),
            (
                "efi/loader/entries/b.conf",
                "version 6.1\nlinux /t0k3n/6.1-x/linux\noptions\tb\n#options c\n"
            ),
            (
                "boot/efi/loader/entries/c.conf",
                "version 7.3\nefi /x.efi\noptions c\n"
            ),
        ]),
        [
            "/etc/kernel/cmdline:1 [*] root=a quiet",
            "/boot/loader/entries/a.conf:3 [6.12] root=a",
            "/boot/loader/entries/a.conf:4 [6.12] more",
            "/efi/loader/entries/b.conf:3 [6.1-x] b",
            "/boot/efi/loader/entries/c.conf:3 [7.3] c",
        ]
    );
    assert_eq!(
        found(&[("usr/lib/kernel/cmdline", "quiet\n")]),
        ["/usr/lib/kernel/cmdline:1 [*] quiet"]
    );
}

#[test]
fn other_loaders() {
    assert_eq!(
        found(&[
            (
                "etc/lilo.conf",
                "append=\"quiet\"\nimage = /boot/vmlinuz-2.6.18\n  append = \"x\"\nimage=/vmlinuz\nappend=y\n"
            ),
            (
                "boot/extlinux/extlinux.conf",
                "LABEL a\n APPEND root=a\n LINUX /vmlinuz-6.1\nlabel b\n kernel /vmlinuz-6.2\n append b\n",
            ),
            ("boot/firmware/cmdline.txt", "console=tty1 quiet\n"),
        ]),
        [
            "/etc/lilo.conf:1 [*] quiet",
            "/etc/lilo.conf:3 [2.6.18] x",
            "/etc/lilo.conf:5 [*] y",
            "/boot/extlinux/extlinux.conf:2 [6.1] root=a",
            "/boot/extlinux/extlinux.conf:6 [6.2] b",
            "/boot/firmware/cmdline.txt:1 [*] console=tty1 quiet",
        ]
    );
}

#[test]
fn the_running_kernel_is_asked_only_on_its_own_system() {
    let (_folder, root) = system(&[("proc/cmdline", "quiet\n")]);
    assert!(find(&root, false).found.is_empty());
    let found = find(&root, true).found;
    assert_eq!(
        (found[0].text.as_str(), found[0].reader),
        ("quiet", Reader::Running)
    );
}

#[test]
fn what_is_odd_is_named_and_the_rest_is_read() {
    let (folder, root) = system(&[
        (
            "etc/default/grub",
            "GRUB_CMDLINE_LINUX=a\nGRUB_CMDLINE_LINUX_DEFAULT=\"b\n",
        ),
        (
            "boot/grub/grub.cfg",
            "linux /vmlinuz-6.1 'x\nlinux /vmlinuz-6.1 y\n",
        ),
        ("boot/loader/entries/a.conf/x", ""),
    ]);
    mkfifo(&folder.path().join("etc/lilo.conf"), Mode::S_IRWXU).unwrap();
    let large = fs::File::create(folder.path().join("boot/cmdline.txt")).unwrap();
    large.set_len(crate::tree::MAX_FILE + 1).unwrap();
    let lines = find(&root, false);
    let texts: Vec<&str> = lines
        .found
        .iter()
        .map(|found| found.text.as_str())
        .collect();
    assert_eq!(texts, ["a", "y"]);
    let said: Vec<String> = lines.notices.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(said[0], "/etc/default/grub:2: a quote is not closed");
    assert_eq!(said[1], "/boot/grub/grub.cfg:1: a quote is not closed");
    assert!(
        said[2].starts_with("/boot/cmdline.txt: cannot read"),
        "{said:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_are_configuration(
        bytes: Vec<u8>,
        text in "(GRUB_CMDLINE_LINUX|linux|set|options|append|layout|image|label|[=\"'\\\\ \n]){0,30}",
    ) {
        for content in [bytes.as_slice(), text.as_bytes()] {
            let (folder, root) = system(&[
                ("etc/default/x", ""), ("boot/grub/x", ""), ("boot/loader/entries/x", ""),
                ("boot/extlinux/x", ""), ("etc/kernel/x", ""), ("boot/firmware/x", ""),
            ]);
            for file in [
                "etc/default/grub", "boot/grub/grub.cfg", "boot/grub/grubenv", "etc/lilo.conf",
                "boot/loader/entries/a.conf", "boot/extlinux/extlinux.conf", "etc/kernel/cmdline",
                "etc/kernel/install.conf", "etc/machine-id", "boot/firmware/cmdline.txt",
            ] {
                fs::write(folder.path().join(file), content).unwrap();
            }
            for found in find(&root, false).found {
                let _ = found.parse();
            }
            let _ = Layout::find(&root);
        }
    }
}
