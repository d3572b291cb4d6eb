use super::*;

#[test]
fn what_was_there_comes_back_and_nothing_else_stays() {
    let system = System::new();
    let before = system.tree();
    let applied = apply(&system.root, &system.usual()).unwrap();
    assert_eq!(applied.files.len(), 3);
    assert_eq!(applied.made, [Path::new("/etc/dracut.conf.d")]);
    assert_eq!(system.read(DROP_IN).as_deref(), Some(&b"add_drivers\n"[..]));

    let state = State::load(&system.root).unwrap();
    assert!(!state.is_pending());
    let known = state.original(Path::new(MODULES)).unwrap();
    assert_eq!(known.owner, Owner::Theirs);
    assert_eq!(known.content.as_deref(), Some(&b"# l\xe4dt\next4\n"[..]));
    assert_eq!(
        known.written.as_deref(),
        Some(&b"ext4\nfirewire-sbp2\n"[..])
    );
    assert!(system.undo().iter().all(|undo| !undo.is_altered));

    system.restore();
    assert_eq!(system.tree(), before);
}

#[test]
fn twice_is_the_same_as_once_and_touches_nothing() {
    let system = System::new();
    let edits = system.usual();
    apply(&system.root, &edits).unwrap();
    let before = system.times();
    assert_eq!(apply(&system.root, &edits).unwrap(), Applied::default());
    assert_eq!(
        apply(&system.root, &system.usual()).unwrap(),
        Applied::default()
    );
    check(&system.root, &edits).unwrap();
    assert_eq!(system.times(), before);
}

#[test]
fn of_several_edits_the_first_knows_the_original() {
    let system = System::new();
    let before = system.tree();
    apply(&system.root, &system.usual()).unwrap();
    let again = [
        system.edit(OWN, Some("other options\n"), Owner::Ours),
        system.edit(MODULES, None, Owner::Theirs),
        system.edit(DROP_IN, None, Owner::Ours),
    ];
    apply(&system.root, &again).unwrap();
    assert!(!system.at("/etc/dracut.conf.d").exists());
    assert!(!system.at(MODULES).exists());
    system.restore();
    assert_eq!(system.tree(), before);
}

#[test]
fn what_somebody_made_of_our_file_is_kept_beside_it() {
    let system = System::new();
    apply(&system.root, &system.usual()).unwrap();
    fs::write(system.at(OWN), "options\nand mine\n").unwrap();
    fs::set_permissions(system.at(OWN), Permissions::from_mode(0o600)).unwrap();
    fs::write(system.at(&format!("{OWN}.fwshare-saved~")), "older").unwrap();
    let undo = system.undo();
    let undo = undo.iter().find(|it| it.original.file == Path::new(OWN));
    assert!(undo.unwrap().is_altered);

    system.restore();
    assert!(!system.at(OWN).exists());
    let saved = format!("{OWN}.fwshare-saved-1~");
    assert_eq!(
        system.read(&saved).as_deref(),
        Some(&b"options\nand mine\n"[..])
    );
    let mode = system.at(&saved).metadata().unwrap().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert!(State::load(&system.root).unwrap().is_empty());
}

#[test]
fn what_somebody_changed_between_two_edits_is_not_undone_unasked() {
    let system = System::new();
    apply(&system.root, &system.usual()).unwrap();
    fs::write(system.at(MODULES), "mine\nfirewire-sbp2\n").unwrap();
    let edit = system.edit(
        MODULES,
        Some("mine\nfirewire-sbp2\nsd_mod\n"),
        Owner::Theirs,
    );
    apply(&system.root, &[edit]).unwrap();
    let undo = system.undo();
    let undo = undo
        .into_iter()
        .find(|it| it.original.file == Path::new(MODULES));
    let undo = undo.unwrap();
    assert!(undo.is_altered);
    apply(&system.root, &[undo.leave(Some(b"mine\n".to_vec()))]).unwrap();
    assert_eq!(system.read(MODULES).as_deref(), Some(&b"mine\n"[..]));
    assert_eq!(
        State::load(&system.root)
            .unwrap()
            .original(Path::new(MODULES)),
        None
    );
}

#[test]
fn what_somebody_removed_stays_removed() {
    let system = System::new();
    apply(&system.root, &system.usual()).unwrap();
    for path in [OWN, MODULES] {
        fs::remove_file(system.at(path)).unwrap();
    }
    fs::remove_dir_all(system.at("/etc/dracut.conf.d")).unwrap();
    system.restore();
    for path in [OWN, MODULES, DROP_IN, "/var/lib/fwshare"] {
        assert!(!system.at(path).exists(), "{path}");
    }
}

#[test]
fn folders_stay_if_somebody_uses_them() {
    let system = System::new();
    apply(&system.root, &system.usual()).unwrap();
    fs::write(system.at("/etc/dracut.conf.d/mine.conf"), "").unwrap();
    fs::write(system.at("/var/lib/fwshare/other"), "").unwrap();
    system.restore();
    assert!(system.at("/etc/dracut.conf.d/mine.conf").exists());
    assert!(system.at("/var/lib/fwshare/other").exists());
    assert!(!system.at("/var/lib/fwshare/setup").exists());
    assert!(!system.at(DROP_IN).exists());
}

#[test]
fn a_folder_that_was_there_before_stays_empty() {
    let system = System::new();
    for folder in ["/etc/dracut.conf.d", "/var/lib/fwshare/setup"] {
        fs::create_dir_all(system.at(folder)).unwrap();
    }
    let before = system.tree();
    apply(&system.root, &system.usual()).unwrap();
    system.restore();
    assert_eq!(system.tree(), before);
}

#[test]
fn a_state_of_another_version_or_none_at_all_is_not_guessed_at() {
    let system = System::new();
    apply(&system.root, &system.usual()).unwrap();
    let state = system.at("/var/lib/fwshare/setup/state.json");
    fs::write(&state, "{\"version\": 2, \"unknown\": []}").unwrap();
    let error = apply(&system.root, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/var/lib/fwshare/setup/state.json has version 2, and only version 1 is understood"
    );
    fs::write(&state, "{\"version\": 1").unwrap();
    let error = recover(&system.root).unwrap_err();
    assert!(matches!(error, ChangeError::Damaged { .. }), "{error}");
}
