use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::small::system;

const DEP: &str = "\
kernel/drivers/firewire/firewire-core.ko.xz: kernel/lib/crc-itu-t.ko.xz
kernel/drivers/firewire/firewire-sbp2.ko.xz: kernel/drivers/firewire/firewire-core.ko.xz kernel/lib/crc-itu-t.ko.xz
kernel/drivers/scsi/sd_mod.ko:
";

#[test]
fn a_kernel_is_a_folder_with_a_modules_dep() {
    let (folder, root) = system(&[
        ("lib/modules/6.9.1/modules.dep", DEP),
        ("lib/modules/6.10.2-amd64/modules.dep", ""),
        (
            "lib/modules/6.10.2-amd64/modules.builtin",
            "kernel/drivers/firewire/firewire-sbp2.ko\n",
        ),
        ("lib/modules/5.0/updates/dkms/x.ko", ""),
        ("lib/modules/not a version/modules.dep", DEP),
        ("lib/modules/file", ""),
        ("usr/lib/modules/6.11/modules.dep", ""),
        ("usr/lib/modules/6.9.1/modules.dep", ""),
    ]);
    fs::create_dir_all(folder.path().join("lib/modules/4.0/modules.dep")).unwrap();
    let kernels = find(&root).unwrap();
    let versions: Vec<&str> = kernels
        .iter()
        .map(|kernel| kernel.version().as_str())
        .collect();
    assert_eq!(versions, ["6.9.1", "6.10.2-amd64", "6.11"]);
    assert_eq!(
        kernels.iter().map(drivers).collect::<Vec<_>>(),
        [(true, false), (true, false), (false, false)]
    );
    let top = Path::new("/lib/modules/6.9.1/kernel");
    assert_eq!(
        kernels[0].driver("firewire_sbp2"),
        Driver::Module {
            path: top.join("drivers/firewire/firewire-sbp2.ko.xz"),
            dependencies: vec![
                top.join("drivers/firewire/firewire-core.ko.xz"),
                top.join("lib/crc-itu-t.ko.xz"),
            ],
        }
    );
    assert_eq!(
        kernels[0].module_file("sd-mod"),
        Some(top.join("drivers/scsi/sd_mod.ko"))
    );
    assert_eq!(kernels[0].driver("firewire"), Driver::Missing);
    assert_eq!(kernels[1].driver("firewire-sbp2"), Driver::BuiltIn);
    assert_eq!(kernels[1].module_file("firewire-sbp2"), None);
}

#[test]
fn a_merged_usr_is_one_folder() {
    let (folder, root) = system(&[("usr/lib/modules/6.1/modules.dep", DEP)]);
    symlink("usr/lib", folder.path().join("lib")).unwrap();
    assert_eq!(find(&root).unwrap().len(), 1);
}

#[test]
fn no_kernels_are_no_error_and_what_cannot_be_read_is() {
    let (folder, root) = system(&[("etc/x", "")]);
    assert!(find(&root).unwrap().is_empty());
    let large = folder.path().join("lib/modules/6.1/modules.dep");
    fs::create_dir_all(large.parent().unwrap()).unwrap();
    let file = fs::File::create(large).unwrap();
    file.set_len(crate::tree::MAX_FILE + 1).unwrap();
    let error = find(&root).unwrap_err().to_string();
    assert!(error.contains("/lib/modules/6.1/modules.dep"), "{error}");
}

/// Whether it has today's SBP-2 driver, and the old stack's.
fn drivers(kernel: &Kernel) -> (bool, bool) {
    let is_there = |name| kernel.driver(name).is_there();
    (is_there("firewire-sbp2"), is_there("sbp2"))
}

#[test]
fn stacks_are_told_apart_by_their_sbp2_drivers() {
    let old = "/lib/modules/2.6.18/kernel/drivers/ieee1394/sbp2.ko: /lib/modules/2.6.18/kernel/drivers/ieee1394/ieee1394.ko\n";
    let both = format!("{old}{DEP}");
    for (dep, expected) in [
        (old, (false, true)),
        (DEP, (true, false)),
        (both.as_str(), (true, true)),
        (
            "kernel/sbp2.kobold:\nkernel/sbp2.txt:\nkernel/.ko:\nsbp2.ko\n",
            (false, false),
        ),
    ] {
        let (_folder, root) = system(&[("lib/modules/2.6.18/modules.dep", dep)]);
        let kernels = find(&root).unwrap();
        assert_eq!(drivers(&kernels[0]), expected, "{dep}");
    }
    let (_folder, root) = system(&[("lib/modules/2.6.18/modules.dep", old)]);
    let path = PathBuf::from("/lib/modules/2.6.18/kernel/drivers/ieee1394/sbp2.ko");
    assert_eq!(find(&root).unwrap()[0].module_file("sbp2"), Some(path));
}

#[test]
fn versions_are_names_and_nothing_else() {
    for good in [
        "6.1.0-57-amd64",
        "7.3.4+deb13-amd64",
        "5.14.0-427.el9.x86_64",
        "6.1~rc1",
        "2.6.18",
    ] {
        assert_eq!(good.parse::<Version>().unwrap().as_str(), good);
    }
    for bad in [
        "",
        "../../etc",
        "6.1/..",
        "6..1",
        ".",
        ".6",
        "6 1",
        "6.1\n",
        "-k",
        "6\t1",
        "6.1\0",
        "6;x",
        "6.1$(x)",
        "é",
    ] {
        assert!(bad.parse::<Version>().is_err(), "{bad:?}");
    }
    assert!("6".repeat(256).parse::<Version>().is_err());
    let error = "6 1".parse::<Version>().unwrap_err().to_string();
    assert_eq!(error, "\"6 1\" is no version of a kernel: it has ' ' in it");
}

/// What coreutils make of the same lines.
fn sort_v(lines: &[String]) -> Vec<String> {
    let mut sort = Command::new("sort")
        .arg("-V")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = sort.stdin.take().unwrap();
    stdin.write_all(lines.join("\n").as_bytes()).unwrap();
    drop(stdin);
    let output = sort.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn versions_are_sorted_as_by_sort(
        versions in prop::collection::vec("[0-9]{1,3}([.~+_-](rc|el|deb|amd|x|0|00)?[0-9]{0,3}[a-z]{0,2}){0,4}", 2..20)
    ) {
        let mut parsed: Vec<Version> = versions.iter().filter_map(|text| text.parse().ok()).collect();
        let valid: Vec<String> = parsed.iter().map(ToString::to_string).collect();
        parsed.sort();
        let sorted: Vec<String> = parsed.iter().map(ToString::to_string).collect();
        prop_assert_eq!(sorted, sort_v(&valid));
    }

    #[test]
    fn any_bytes_are_an_index(dep: Vec<u8>, built_in: Vec<u8>) {
        let index = Index::new(Path::new("/lib/modules/6.1"), &dep, &built_in);
        prop_assert_eq!(index.driver("firewire-sbp2"), Driver::Missing);
    }
}
