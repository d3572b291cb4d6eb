use super::system;
use crate::boot_loader::*;

#[test]
fn where_a_parameter_is_to_be_written() {
    let grub = ("etc/default/grub", "GRUB_CMDLINE_LINUX=\n");
    let entry = ("boot/loader/entries/a.conf", "options x\n");
    let cases: &[(&[(&str, &str)], Edit)] = &[
        (
            &[grub, ("usr/sbin/update-grub", "")],
            Edit::GrubMkconfig {
                then: "update-grub",
            },
        ),
        (
            &[
                grub,
                entry,
                ("usr/sbin/grubby", ""),
                ("usr/sbin/grub2-mkconfig", ""),
            ],
            Edit::Grubby,
        ),
        (
            &[grub, ("usr/sbin/grub2-mkconfig", "")],
            Edit::GrubMkconfig {
                then: "grub2-mkconfig -o /boot/grub2/grub.cfg",
            },
        ),
        (
            &[grub, ("usr/bin/grub-mkconfig", "")],
            Edit::GrubMkconfig {
                then: "grub-mkconfig -o /boot/grub/grub.cfg",
            },
        ),
        (
            &[("usr/sbin/update-grub", ""), ("etc/kernel/cmdline", "x")],
            Edit::KernelInstall,
        ),
        (&[entry], Edit::Entries),
        (&[("etc/lilo.conf", "append=x\n")], Edit::Lilo),
        (
            &[("boot/extlinux/extlinux.conf", "append x\n")],
            Edit::Syslinux,
        ),
        (&[("boot/cmdline.txt", "x\n")], Edit::RaspberryPi),
        (&[grub], Edit::Unknown),
        (&[], Edit::Unknown),
    ];
    for (files, expected) in cases {
        let (_folder, root) = system(files);
        assert_eq!(
            Edit::find(&root, &find(&root, false)),
            *expected,
            "{files:?}"
        );
    }
    let advice = cases[0]
        .1
        .advice("firewire_sbp2.exclusive_login=N")
        .to_string();
    assert_eq!(
        advice,
        "in /etc/default/grub, add to GRUB_CMDLINE_LINUX:  firewire_sbp2.exclusive_login=N\n\
         then run:  update-grub"
    );
}

/// Files, what says that images are unified, and folders with copies.
type Case = (
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
    &'static [&'static str],
);

#[test]
fn images_that_are_not_what_boots() {
    let cases: &[Case] = &[
        (
            &[
                ("boot/vmlinuz-6.1", ""),
                ("etc/kernel/install.conf", "# layout=uki\nlayout=bls\n"),
            ],
            &[],
            &[],
        ),
        (
            &[("etc/kernel/install.conf", "x=y\nlayout=uki\n")],
            &["/etc/kernel/install.conf:2"],
            &[],
        ),
        (
            &[
                ("etc/kernel/install.conf", "\n"),
                ("usr/lib/kernel/install.conf", "layout=uki\n"),
            ],
            &[],
            &[],
        ),
        (
            &[("usr/lib/kernel/install.conf", "layout=uki\n")],
            &["/usr/lib/kernel/install.conf:1"],
            &[],
        ),
        (
            &[("etc/kernel/uki.conf", "")],
            &["/etc/kernel/uki.conf"],
            &[],
        ),
        (
            &[
                ("boot/efi/EFI/Linux/a.efi", ""),
                ("efi/EFI/Linux/A.EFI", ""),
                ("boot/EFI/Linux/x", ""),
            ],
            &["/efi/EFI/Linux/A.EFI", "/boot/efi/EFI/Linux/a.efi"],
            &[],
        ),
        (
            &[
                ("etc/machine-id", "0123456789abcdef\n"),
                ("efi/0123456789abcdef/6.1/linux", ""),
                ("efi/0123456789abcdef/6.2/initrd", ""),
                ("boot/other/6.1/linux", ""),
                ("etc/os-release", "ID=\"debian\"\n"),
                ("boot/debian/6.3/linux", ""),
            ],
            &[],
            &["/boot/debian/6.3", "/efi/0123456789abcdef/6.1"],
        ),
        (
            &[
                ("etc/kernel/entry-token", "x/../../etc\n"),
                ("etc/6.1/linux", ""),
                ("boot/x/y", ""),
            ],
            &[],
            &[],
        ),
    ];
    for (files, unified, copies) in cases {
        let (_folder, root) = system(files);
        let layout = Layout::find(&root);
        let shown = |unified: &Unified| match unified {
            Unified::Layout(place) => place.to_string(),
            Unified::Configuration(path) | Unified::Image(path) => path.display().to_string(),
        };
        let found: Vec<String> = layout.unified.iter().map(shown).collect();
        assert_eq!(found, *unified, "{files:?}");
        let folders: Vec<&str> = layout
            .copies
            .iter()
            .filter_map(|path| path.to_str())
            .collect();
        assert_eq!(folders, *copies, "{files:?}");
    }
}
