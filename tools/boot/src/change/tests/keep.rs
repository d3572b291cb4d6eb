use super::*;

fn names_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = names
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_keeps_its_mode_and_attributes_and_gets_them_back() {
    let system = System::new();
    let file = system.at(MODULES);
    fs::set_permissions(&file, Permissions::from_mode(0o4640)).unwrap();
    if let Err(error) = xattr::set(&file, "user.origin", b"\xff\0site") {
        assert!(std::env::var_os("CI").is_none(), "{error}");
        eprintln!("skipped: the folder for temporary files has no attributes: {error}");
        return;
    }
    let kept = |what: &str| {
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o4640, "{what}");
        let value = xattr::get(&file, "user.origin").unwrap();
        assert_eq!(value.as_deref(), Some(&b"\xff\0site"[..]), "{what}");
    };
    let original = system.read(MODULES);
    apply(&system.root, &system.usual()).unwrap();
    assert_ne!(system.read(MODULES), original);
    kept("edited");
    let edit = system.edit(MODULES, None, Owner::Theirs);
    apply(&system.root, &[edit]).unwrap();
    system.restore();
    assert_eq!(system.read(MODULES), original);
    kept("brought back");
}

#[test]
fn a_file_keeps_its_owner() {
    let system = System::new();
    let file = system.at(MODULES);
    if !nix::unistd::Uid::effective().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        eprintln!("skipped: needs root");
        return;
    }
    std::os::unix::fs::chown(&file, Some(12), Some(34)).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o6755)).unwrap();
    for _ in 0..2 {
        let metadata = file.metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (12, 34));
        assert_eq!(metadata.mode() & 0o7777, 0o6755);
        apply(&system.root, &system.usual()).unwrap();
    }
}

#[test]
fn a_link_stays_one_and_what_it_leads_to_is_changed_inside_the_tree() {
    let system = System::new();
    // As absolute as a system's own links are, and with more `..` than there are folders.
    for (link, target) in [
        ("/etc/initramfs-tools/modules", "/usr/share/modules"),
        ("/usr", "../../../../../../../../data"),
    ] {
        let _ = fs::remove_file(system.at(link));
        symlink(target, system.at(link)).unwrap();
    }
    fs::create_dir_all(system.at("/data/share")).unwrap();
    fs::write(system.at("/data/share/modules"), "ext4\n").unwrap();
    let before = system.tree();
    let edit = Edit {
        seen: Some(b"ext4\n".to_vec()),
        ..system.edit(MODULES, Some("ours\n"), Owner::Theirs)
    };
    let applied = apply(&system.root, &[edit]).unwrap();
    assert_eq!(applied.files, [Path::new("/data/share/modules")]);
    assert!(system.at(MODULES).is_symlink());
    assert_eq!(
        system.read("/data/share/modules").as_deref(),
        Some(&b"ours\n"[..])
    );
    // The link leads elsewhere by now. What we changed is brought back.
    fs::remove_file(system.at(MODULES)).unwrap();
    symlink("/etc/elsewhere", system.at(MODULES)).unwrap();
    system.restore();
    fs::remove_file(system.at(MODULES)).unwrap();
    symlink("/usr/share/modules", system.at(MODULES)).unwrap();
    assert_eq!(system.tree(), before);
}

#[test]
fn new_files_are_readable_whatever_the_umask_says() {
    let system = System::new();
    // The umask is the process's. Other tests' files are theirs alone for a moment.
    let umask = nix::sys::stat::umask(Mode::from_bits_truncate(0o077));
    let applied = apply(&system.root, &system.usual());
    nix::sys::stat::umask(umask);
    applied.unwrap();
    for (path, mode) in [
        (OWN, 0o644),
        ("/etc/dracut.conf.d", 0o755),
        ("/var/lib/fwshare/setup", 0o755),
        ("/var/lib/fwshare/setup/state.json", 0o644),
    ] {
        let found = system.at(path).metadata().unwrap().mode();
        assert_eq!(found & 0o7777, mode, "{path}");
    }
}

#[test]
fn who_may_not_read_a_file_may_not_read_its_copy() {
    let system = System::new();
    fs::set_permissions(system.at(MODULES), Permissions::from_mode(0o640)).unwrap();
    apply(&system.root, &system.usual()).unwrap();
    let state = system.at("/var/lib/fwshare/setup/state.json");
    assert_eq!(state.metadata().unwrap().mode() & 0o7777, 0o640);
}

#[test]
fn what_can_neither_be_done_nor_taken_back_is_finished_later() {
    let system = System::new();
    let before = system.tree();
    // A folder in the place of a temporary file: removing it as a file fails.
    fs::create_dir(system.at("/etc/initramfs-tools/.fwshare-new-2")).unwrap();
    let error = apply(&system.root, &system.usual()).unwrap_err();
    assert!(matches!(error, ChangeError::Unfinished { .. }), "{error}");
    assert!(State::load(&system.root).unwrap().is_pending());
    let error = apply(&system.root, &system.usual()).unwrap_err();
    assert!(matches!(error, ChangeError::Pending), "{error}");
    fs::remove_dir(system.at("/etc/initramfs-tools/.fwshare-new-2")).unwrap();
    assert!(matches!(
        recover(&system.root).unwrap(),
        Recovered::Finished(_)
    ));
    assert_eq!(names_in(&system.at("/etc/initramfs-tools")), ["modules"]);
    system.restore();
    assert_eq!(system.tree(), before);
}

#[test]
fn a_file_keeps_its_acl_and_takes_none_from_its_folder() {
    let system = System::new();
    let (file, folder) = (system.at(MODULES), system.at("/etc/initramfs-tools"));
    // Version 2; then tag, permissions and ID of the owner, one user, group, mask and others.
    let acl = |user: u8| {
        let mut bytes = vec![2, 0, 0, 0];
        for (tag, may, id) in [
            (0x01, 6, u32::MAX),
            (0x02, 4, u32::from(user)),
            (0x04, 4, u32::MAX),
            (0x10, 4, u32::MAX),
            (0x20, 0, u32::MAX),
        ] {
            bytes.extend([tag, 0, may, 0]);
            bytes.extend(id.to_le_bytes());
        }
        bytes
    };
    const ACL: &str = "system.posix_acl_access";
    if let Err(error) = xattr::set(&file, ACL, &acl(33)) {
        assert!(std::env::var_os("CI").is_none(), "{error}");
        eprintln!("skipped: the folder for temporary files has no ACLs: {error}");
        return;
    }
    xattr::set(&folder, "system.posix_acl_default", &acl(44)).unwrap();
    let before = file.metadata().unwrap().mode();
    apply(&system.root, &system.usual()).unwrap();
    assert_eq!(xattr::get(&file, ACL).unwrap(), Some(acl(33)));
    assert_eq!(file.metadata().unwrap().mode(), before);

    xattr::remove(&file, ACL).unwrap();
    let edit = system.edit(MODULES, Some("again\n"), Owner::Theirs);
    apply(&system.root, &[edit]).unwrap();
    assert_eq!(xattr::get(&file, ACL).unwrap(), None);
}
