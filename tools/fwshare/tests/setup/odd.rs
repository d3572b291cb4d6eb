//! Systems that are not as they should be.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;

use crate::system::{System, can_build};
use crate::{OPTIONS, case, tools};

const HOOK: &str = "+/etc/initramfs-tools/hooks/fwshare";

fn system(files: &[&str]) -> System {
    let tool = tools::initramfs_tools();
    let mut all = vec![tool.as_str(), "/etc/initramfs-tools/hooks/"];
    all.extend(files);
    System::new(&all).today("6.1")
}

/// Takes a file system away, also if what another test forks at this moment has it open.
fn unmount(place: &std::path::Path) {
    umount2(place, MntFlags::MNT_DETACH).unwrap();
}

#[test]
fn a_link_is_followed_inside_the_system() {
    let system = system(&["/etc/modprobe.d->/srv/modprobe", "/srv/modprobe/"]);
    let changed = ["+/srv/modprobe/fwshare.conf", HOOK];
    case(&system, &["--no-rebuild"], 0, &[], &changed);
    let outside = tempfile::tempdir().unwrap();
    let link = format!("/etc/modprobe.d->{}", outside.path().display());
    let leading_out = self::system(&[&link]);
    leading_out.run(&["--no-rebuild"]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn what_stands_in_the_place_of_our_file_stays() {
    let mask = system(&["/etc/modprobe.d/fwshare.conf->/dev/null"]);
    case(
        &mask,
        &["--no-rebuild"],
        11,
        &["masked, a link to /dev/null"],
        &[],
    );
    let folder = system(&["/etc/modprobe.d/fwshare.conf/"]);
    case(
        &folder,
        &["--no-rebuild"],
        1,
        &["/etc/modprobe.d/fwshare.conf", "folder"],
        &[],
    );
}

#[test]
fn files_that_nobody_can_read_are_told_and_passed_over() {
    let system = system(&["/etc/modprobe.d/", "/etc/modprobe.d/y.conf/"]);
    nix::unistd::mkfifo(&system.at("/etc/modprobe.d/x.conf"), Mode::S_IRWXU).unwrap();
    let name = std::ffi::OsStr::from_bytes(b"\xff.conf");
    fs::write(system.at("/etc/modprobe.d").join(name), "options x y=1\n").unwrap();
    let large = fs::File::create(system.at("/etc/modprobe.d/large.conf")).unwrap();
    large.set_len(100 << 20).unwrap();
    let said = [
        "/etc/modprobe.d/x.conf",
        "/etc/modprobe.d/y.conf",
        "/etc/modprobe.d/large.conf",
    ];
    system.run(&["--no-rebuild"]).expect(0, &said);
    system.run(&["--remove", "--no-rebuild"]).expect(0, &[]);
}

#[test]
fn what_a_terminal_would_obey_is_not_printed() {
    let line = "options firewire-sbp2 exclusive_login=1 # \x1b]0;title\x07\n";
    let system = system(&[
        &format!("/etc/modprobe.d/zz.conf={line}"),
        "/etc/modprobe.d/y.conf=install firewire-core \x1b[2J\n",
    ]);
    for arguments in [&["--no-rebuild"][..], &["--no-rebuild", "--force"]] {
        let said = system.run(arguments);
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(all.contains("\u{fffd}[2J"), "{all}");
        assert!(!all.contains(['\x1b', '\x07']), "{all:?}");
    }
}

#[test]
fn roots_by_every_name() {
    let system = system(&["/etc/modprobe.d/"]);
    let missing = system.run(&["--no-rebuild", "--root", "/nowhere/at/all"]);
    missing.expect(2, &[]);
    let program = env!("CARGO_BIN_EXE_fwshare");
    let run = |root: &std::ffi::OsStr| {
        Command::new(program)
            .current_dir(system.top().parent().unwrap())
            .args(["setup-initramfs", "--dry-run", "--no-rebuild", "--root"])
            .arg(root)
            .output()
            .unwrap()
    };
    let name = system.top().file_name().unwrap();
    assert!(run(name).status.success(), "relative");
    let mut slash = system.top().as_os_str().to_owned();
    slash.push("/");
    assert!(run(&slash).status.success(), "with a slash");
    let blank = system.top().join("a b");
    std::os::unix::fs::symlink(".", &blank).unwrap();
    assert!(run(blank.as_os_str()).status.success(), "with a blank");
    let missing = run("/nowhere/at/all".as_ref());
    assert_eq!(missing.status.code(), Some(2));
    let file = run(system.at("/etc/group").as_os_str());
    assert_eq!(file.status.code(), Some(2));
}

#[test]
fn a_system_that_cannot_be_written_to_is_told_before_anything_is() {
    if !can_build() {
        return;
    }
    let system = system(&["/etc/modprobe.d/"]);
    let none = None::<&str>;
    mount(
        Some(system.top()),
        system.top(),
        none,
        MsFlags::MS_BIND,
        none,
    )
    .unwrap();
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(none, system.top(), none, read_only, none).unwrap();
    let before = system.snapshot();
    let said = system.run(&["--no-rebuild"]);
    let after = system.snapshot();
    unmount(system.top());
    assert_eq!(before, after);
    said.expect(1, &["Read-only file system", "/"]);
}

#[test]
fn who_is_not_root_is_told_before_anything_is_written() {
    if !can_build() {
        return;
    }
    let system = system(&["/etc/modprobe.d/"]);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(system.top(), open).unwrap();
    // A copy that somebody else can reach.
    let program = system.at("/tmp/fwshare");
    fs::copy(env!("CARGO_BIN_EXE_fwshare"), &program).unwrap();
    let before = system.snapshot();
    let said = system.run_as(
        Command::new(&program).uid(65534).gid(65534),
        &["--no-rebuild"],
    );
    assert_eq!(before, system.snapshot());
    said.expect(4, &["run as root"]);
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    if !can_build() {
        return;
    }
    let system = system(&[]);
    let etc = system.at("/etc/modprobe.d");
    fs::create_dir(&etc).unwrap();
    let flags = MsFlags::empty();
    mount(Some("tmpfs"), &etc, Some("tmpfs"), flags, Some("size=4k")).unwrap();
    fs::write(etc.join("filler"), vec![b'x'; 4096]).unwrap();
    let before = system.snapshot();
    let said = system.run(&["--no-rebuild"]);
    let after = system.snapshot();
    unmount(&etc);
    assert_eq!(crate::changes(&before, &after), Vec::<String>::new());
    said.expect(1, &["No space left on device"]);
}

#[test]
fn two_at_once_do_not_meet() {
    let system = system(&["/etc/modprobe.d/"]);
    let folder = fs::File::open(system.top()).unwrap();
    folder.lock().unwrap();
    let before = system.snapshot();
    system
        .run(&["--no-rebuild"])
        .expect(1, &["another run is changing the files of"]);
    assert_eq!(before, system.snapshot());
    drop(folder);
    system.run(&["--no-rebuild"]).expect(0, &[]);
}

#[test]
fn systems_that_are_made_from_elsewhere_are_not_written_to() {
    for (file, said) in [
        ("/etc/NIXOS", "boot.extraModprobeConfig"),
        ("/ostree/", "rpm-ostree kargs"),
    ] {
        let system = system(&[file, "/etc/modprobe.d/"]);
        case(&system, &[], 11, &[said], &[]);
    }
}

#[test]
fn now_is_for_the_system_that_runs() {
    let system = system(&["/etc/modprobe.d/"]);
    case(
        &system,
        &["--now"],
        2,
        &["--now is for the kernel that runs"],
        &[],
    );
}

#[test]
fn ours_is_told_apart_from_what_looks_like_it() {
    let system = system(&[
        "/etc/modprobe.d/",
        "/etc/initramfs-tools/modules=# firewire-sbp2\r\nfirewire-sbp2-extra\r\nfirewire_sbp2",
    ]);
    let modules = system.read("/etc/initramfs-tools/modules");
    case(
        &system,
        &["--no-rebuild"],
        0,
        &[],
        &[&format!("+{OPTIONS}"), HOOK],
    );
    assert_eq!(system.read("/etc/initramfs-tools/modules"), modules);
}
