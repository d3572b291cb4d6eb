//! What comes back.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use crate::system::{System, changes};
use crate::{OPTIONS, tools};

const SITE: &str = "/etc/modprobe.d/zz.conf";
const LINE: &str = "options firewire-sbp2 exclusive_login=1\n";

fn system() -> System {
    System::new(&[
        &tools::initramfs_tools(),
        "/etc/initramfs-tools/hooks/",
        &format!("{SITE}={LINE}"),
    ])
    .today("6.1")
}

#[test]
fn owner_and_mode_of_a_file_that_was_edited_are_kept() {
    let system = system();
    fs::set_permissions(system.at(SITE), fs::Permissions::from_mode(0o640)).unwrap();
    if nix::unistd::geteuid().is_root() {
        chown(system.at(SITE), Some(12), Some(34)).unwrap();
    }
    let before = system.snapshot();
    system.run(&["--no-rebuild", "--force"]).expect(0, &[]);
    let mode = fs::metadata(system.at(SITE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    system.run(&["--remove", "--no-rebuild"]).expect(0, &[]);
    assert!(changes(&before, &system.snapshot()).is_empty());
}

#[test]
fn what_an_administrator_has_added_since_stays() {
    let system = system();
    system.run(&["--no-rebuild", "--force"]).expect(0, &[]);
    let added = format!("{}# mine\n", system.read(SITE));
    fs::write(system.at(SITE), added).unwrap();
    system.run(&["--remove", "--no-rebuild"]).expect(0, &[]);
    assert_eq!(system.read(SITE), format!("{LINE}# mine\n"));
}

#[test]
fn a_file_of_ours_that_was_edited_is_kept_beside() {
    let system = system();
    system.run(&["--no-rebuild", "--force"]).expect(0, &[]);
    let edited = format!(
        "{}options firewire-sbp2 workarounds=4\n",
        system.read(OPTIONS)
    );
    fs::write(system.at(OPTIONS), &edited).unwrap();
    system
        .run(&["--remove", "--no-rebuild"])
        .expect(0, &["fwshare.conf.fwshare-saved~"]);
    assert!(!system.at(OPTIONS).exists());
    assert_eq!(system.read(&format!("{OPTIONS}.fwshare-saved~")), edited);
}

#[test]
fn files_of_ours_are_known_without_what_was_kept() {
    let system = system();
    fs::remove_file(system.at(SITE)).unwrap();
    let before = system.snapshot();
    system
        .run(&["--no-rebuild", "--guard", "all"])
        .expect(0, &[]);
    fs::remove_dir_all(system.at("/var/lib/fwshare")).unwrap();
    system
        .run(&["--remove", "--no-rebuild"])
        .expect(0, &["removed: /etc/modprobe.d/fwshare.conf"]);
    let left = changes(&before, &system.snapshot());
    // Who made the folders is forgotten; files are not.
    assert!(
        left.iter()
            .all(|path| system.at(path.trim_start_matches('+')).is_dir()),
        "{left:?}"
    );
}

#[test]
fn without_anything_of_ours_there_is_nothing_to_remove() {
    let system = system();
    let before = system.snapshot();
    system
        .run(&["--remove", "--no-rebuild"])
        .expect(0, &["nothing to do"]);
    assert_eq!(before, system.snapshot());
}
