//! The unit, judged by systemd's own programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use fwshare_tests::units::shipped;
use fwshare_tests::{fwshare, judge, run, skipped};
use tempfile::TempDir;

const FSTAB_GENERATOR: &str = "/usr/lib/systemd/system-generators/systemd-fstab-generator";

/// A folder with the unit, whose program is the one of this tree.
fn units() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(shipped()).unwrap();
    let program = fwshare().get_program().to_str().unwrap().to_owned();
    let text = text.replace("/usr/bin/fwshare", &program);
    assert!(text.contains(&program));
    fs::write(folder.path().join("fwshare@.service"), text).unwrap();
    folder
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    let Some(analyze) = judge("systemd-analyze") else {
        return;
    };
    let units = units();
    let mut verify = analyze.command();
    verify.args(["verify", "--man=no"]);
    verify.arg(units.path().join("fwshare@archive.service"));
    let said = run(verify.env("SYSTEMD_UNIT_PATH", unit_path(&units)), &[]);
    assert!(said.success() && said.stderr.is_empty(), "{said}");
}

#[test]
fn what_the_unit_leaves_open_is_within_what_was_promised() {
    let Some(analyze) = judge("systemd-analyze") else {
        return;
    };
    let unit = shipped().display().to_string();
    let said = analyze.try_run(["security", "--offline=true", "--threshold=30", &unit]);
    assert!(said.success(), "{said}");
    let said = analyze.try_run(["security", "--offline=true", "--threshold=29", &unit]);
    assert!(!said.success(), "it is better than the unit says: {said}");
}

/// The line of fstab that the unit shows, and one for a file system that the boot waits for:
/// neither makes a circle with the unit.
#[test]
fn a_mount_requires_the_unit_and_waits_for_the_device_as_long_as_the_unit_does() {
    let Some(analyze) = judge("systemd-analyze") else {
        return;
    };
    if !Path::new(FSTAB_GENERATOR).exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{FSTAB_GENERATOR} is missing"
        );
        skipped("needs systemd's generator of mounts");
        return;
    }
    let text = fs::read_to_string(shipped()).unwrap();
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with("#     /dev/"));
    let shown = [lines.next().unwrap(), lines.next().unwrap()];
    let shown = shown.map(|line| line.trim_start_matches('#').trim());
    let shown = shown.join(" ").replace("\\ ", "").replace("ocfs2", "ext4");
    let at_boot = shown.replace("nofail,_netdev,", "");
    assert_ne!(shown, at_boot);
    for line in [shown, at_boot] {
        let units = units();
        let fstab = units.path().join("fstab");
        fs::write(&fstab, format!("{line}\n")).unwrap();
        let mut generator = Command::new(FSTAB_GENERATOR);
        generator.args([units.path(), units.path(), units.path()]);
        let said = run(generator.env("SYSTEMD_FSTAB", &fstab), &[]);
        assert!(said.success(), "{said}");
        let mount = units.path().join("srv-archive.mount");
        let text = fs::read_to_string(&mount).unwrap();
        for wanted in [
            "After=fwshare@archive.service",
            "Requires=fwshare@archive.service",
        ] {
            assert!(text.contains(wanted), "{text}");
        }
        let mut verify = analyze.command();
        verify
            .args(["verify", "--man=no"])
            .arg(&mount)
            .arg("sysinit.target");
        let said = run(verify.env("SYSTEMD_UNIT_PATH", unit_path(&units)), &[]);
        let circle = said.stderr.contains("cycle") || said.stderr.contains("fwshare");
        assert!(said.success() && !circle, "{said}");
    }
}

/// Our units before the system's.
fn unit_path(units: &TempDir) -> String {
    format!("{}:", units.path().display())
}
