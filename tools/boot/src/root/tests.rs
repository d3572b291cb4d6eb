use std::fs;
use std::os::unix::fs::symlink;

use nix::unistd::mkfifo;

use super::*;

fn tree() -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("etc/modprobe.d")).unwrap();
    let root = Root::open(folder.path()).unwrap();
    (folder, root)
}

#[test]
fn links_lead_to_places_in_the_tree_and_never_out_of_it() {
    let (folder, root) = tree();
    fs::write(folder.path().join("etc/passwd"), "inside").unwrap();
    let link = folder.path().join("etc/modprobe.d/x.conf");
    for target in ["/etc/passwd", "../../../../../../etc/passwd"] {
        symlink(target, &link).unwrap();
        let read = root.read(Path::new("/etc/modprobe.d/x.conf")).unwrap();
        assert_eq!(read.as_deref(), Some(&b"inside"[..]), "{target}");
        fs::remove_file(&link).unwrap();
    }
    symlink("/etc/nowhere", &link).unwrap();
    let path = Path::new("/etc/modprobe.d/x.conf");
    assert_eq!(root.read(path).unwrap(), None);
    assert_eq!(root.kind(path).unwrap(), Some(Kind::Other));
}

#[test]
fn what_a_link_says_is_told_without_following_it() {
    let (folder, root) = tree();
    let link = |name: &str| root.link(Path::new(name)).unwrap();
    symlink("../dev/null", folder.path().join("etc/mask")).unwrap();
    symlink("etc", folder.path().join("other")).unwrap();
    assert_eq!(link("/etc/mask"), Some("../dev/null".into()));
    assert_eq!(link("/other/mask"), Some("../dev/null".into()));
    assert_eq!(link("/etc"), None);
    assert_eq!(link("/nowhere"), None);
}

#[test]
fn what_is_no_file_is_refused_without_waiting_for_it() {
    let (folder, root) = tree();
    mkfifo(&folder.path().join("etc/fifo"), Mode::S_IRWXU).unwrap();
    let error = root.read(Path::new("/etc/fifo")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read /etc/fifo: it is no regular file"
    );
    assert!(root.read(Path::new("/etc")).is_err());
    let large = File::create(folder.path().join("etc/large")).unwrap();
    large.set_len(MAX_FILE + 1).unwrap();
    assert!(root.read(Path::new("/etc/large")).is_err());
}

#[test]
fn names_are_sorted_and_need_not_be_utf_8() {
    let (folder, root) = tree();
    let modprobe = folder.path().join("etc/modprobe.d");
    for name in [&b"b.conf"[..], b"\xff.conf", b"a.conf"] {
        fs::write(modprobe.join(OsStr::from_bytes(name)), "").unwrap();
    }
    let names = root.list(Path::new("/etc/modprobe.d")).unwrap();
    assert_eq!(
        names,
        [&b"a.conf"[..], b"b.conf", b"\xff.conf"].map(OsStr::from_bytes)
    );
    assert!(root.list(Path::new("/nowhere")).unwrap().is_empty());
}

#[test]
fn only_the_top_of_this_machine_is_live() {
    let (folder, root) = tree();
    assert!(!root.is_live());
    assert!(Root::open(Path::new("/")).unwrap().is_live());
    assert!(Root::open(Path::new("/..")).unwrap().is_live());
    let error = Root::open(&folder.path().join("missing")).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn what_others_rename_at_the_same_time_is_no_failure() {
    let (folder, root) = tree();
    fs::write(folder.path().join("etc/file"), "").unwrap();
    symlink("../etc/../etc/file", folder.path().join("etc/link")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| elsewhere.path().join(name));
    fs::write(&one, "").unwrap();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                fs::rename(&one, &other).unwrap();
                fs::rename(&other, &one).unwrap();
            }
        });
        let found: Vec<_> = (0..20_000)
            .map(|_| root.is_file(Path::new("/etc/link")))
            .collect();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        let failed = found.iter().find(|found| !matches!(found, Ok(true)));
        assert!(failed.is_none(), "{failed:?}");
    });
}
