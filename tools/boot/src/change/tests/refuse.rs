use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};

use super::*;

fn told(system: &System, path: &str) -> Option<Refusal> {
    let edit = Edit {
        path: path.into(),
        seen: None,
        to: Some(b"ours".to_vec()),
        owner: Owner::Ours,
        mode: 0o644,
        like: None,
    };
    let before = system.times();
    let why = refusal(check(&system.root, std::slice::from_ref(&edit)));
    assert_eq!(refusal(apply(&system.root, &[edit])), why);
    assert_eq!(system.times(), before);
    why
}

#[test]
fn what_is_no_file_is_refused() {
    let system = System::new();
    let fifo = system.at("/etc/fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    for (name, target) in [
        ("mask", "/dev/null"),
        ("mask-by-mask", "mask"),
        ("dangling", "/nowhere/x.conf"),
        ("dangling-out", "../../../../../../../../../../tmp/nowhere"),
        ("circle", "circle"),
        ("folder", "modprobe.d"),
        ("top", "/"),
        ("above", ".."),
        ("to-fifo", "fifo"),
    ] {
        symlink(target, system.at("/etc").join(name)).unwrap();
    }
    for (path, why) in [
        ("/etc/mask", Refusal::Mask),
        ("/etc/mask-by-mask", Refusal::Mask),
        ("/etc/dangling", Refusal::Dangling),
        ("/etc/dangling/x", Refusal::Dangling),
        ("/etc/dangling-out", Refusal::Dangling),
        ("/etc/circle", Refusal::Loop),
        ("/etc/folder", Refusal::Folder),
        ("/etc/top", Refusal::Folder),
        ("/etc/above", Refusal::Folder),
        ("/etc/modprobe.d", Refusal::Folder),
        ("/etc/fifo", Refusal::Special),
        ("/etc/to-fifo", Refusal::Special),
        ("/etc/fifo/x", Refusal::NoFolder),
        ("/etc/nowhere/../x", Refusal::NoFolder),
        ("etc/x", Refusal::Name),
        ("/", Refusal::Name),
        ("/etc/..", Refusal::Name),
    ] {
        assert_eq!(told(&system, path), Some(why), "{path}");
    }
}

#[test]
fn a_file_with_other_names_is_refused() {
    let system = System::new();
    fs::hard_link(system.at(MODULES), system.at("/etc/other")).unwrap();
    let edit = system.edit(MODULES, Some("x"), Owner::Theirs);
    assert_eq!(
        refusal(apply(&system.root, &[edit])),
        Some(Refusal::HardLinks)
    );
}

#[test]
fn one_file_is_not_changed_twice_by_whatever_name() {
    let system = System::new();
    symlink("modprobe.d", system.at("/etc/alias")).unwrap();
    let edits = [
        system.edit(OWN, Some("one"), Owner::Ours),
        system.edit("/etc/alias/fwshare.conf", Some("other"), Owner::Ours),
    ];
    assert_eq!(refusal(apply(&system.root, &edits)), Some(Refusal::Twice));
}

#[test]
fn what_the_planner_did_not_see_is_not_replaced() {
    let system = System::new();
    let before = system.tree();
    for seen in [None, Some(b"other".to_vec())] {
        let mut edits = system.usual();
        edits[2].seen = seen;
        let error = apply(&system.root, &edits).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/etc/initramfs-tools/modules is not changed: it has changed since it was read"
        );
        assert_eq!(system.tree(), before);
    }
}

#[test]
fn one_run_at_a_time() {
    let system = System::new();
    let other = Root::open(system.folder.path()).unwrap();
    let lock = Lock::take(&other).unwrap();
    let busy = |error| matches!(error, ChangeError::Busy { .. });
    assert!(busy(apply(&system.root, &system.usual()).unwrap_err()));
    assert!(busy(recover(&system.root).unwrap_err()));
    drop(lock);
    apply(&system.root, &system.usual()).unwrap();
}

#[test]
fn a_read_only_system_is_said_to_be_one_before_anything_is_written() {
    if !nix::unistd::Uid::effective().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        eprintln!("skipped: needs root");
        return;
    }
    let system = System::new();
    // The mounts of this thread are its own.
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let mount = |from: Option<&Path>, to: &Path, flags| {
        let none = None::<&str>;
        nix::mount::mount(from, to, none, flags, none).unwrap();
    };
    let folder = system.folder.path();
    let bind = MsFlags::MS_BIND;
    mount(None, Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    mount(Some(folder), folder, bind);
    mount(
        None,
        folder,
        bind | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
    );
    let root = Root::open(folder).unwrap();
    for result in [
        check(&root, &system.usual()),
        apply(&root, &system.usual()).map(drop),
    ] {
        assert_eq!(
            result.unwrap_err().to_string(),
            "cannot write in /etc/modprobe.d: Read-only file system (os error 30)"
        );
    }
    // What is there already needs no writing.
    let there = Edit {
        to: system.read(MODULES),
        ..system.edit(MODULES, None, Owner::Theirs)
    };
    apply(&root, &[there]).unwrap();
}
