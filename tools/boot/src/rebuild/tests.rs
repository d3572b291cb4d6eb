//! A tree with a shell and a tool that is a script. Needs root and a busybox without libraries.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::*;
use crate::tool::Tool;

struct System {
    folder: tempfile::TempDir,
    root: Root,
    image: Image,
}

/// A system whose mkinitramfs is this script. `None`: the test is skipped.
fn system(script: &str) -> Option<System> {
    let busybox = Path::new("/bin/busybox");
    let why = match () {
        () if !nix::unistd::geteuid().is_root() => "it needs root",
        () if !busybox.exists() => "it needs /bin/busybox (apt-get install busybox-static)",
        () => "",
    };
    if !why.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("skipped: {why}");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path();
    for name in ["bin", "boot", "dev", "proc", "sys", "usr/sbin"] {
        fs::create_dir_all(top.join(name)).unwrap();
    }
    fs::copy(busybox, top.join("bin/busybox")).unwrap();
    symlink("busybox", top.join("bin/sh")).unwrap();
    let tool = top.join("usr/sbin/mkinitramfs");
    fs::write(&tool, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(top.join("boot/initrd.img-1"), "old").unwrap();
    let root = Root::open(top).unwrap();
    let images = Tool::InitramfsTools.images(&root, "1").unwrap();
    let image = images.images[0].clone();
    Some(System {
        folder,
        root,
        image,
    })
}

impl System {
    fn rebuild<T>(&self, fit: impl FnOnce(&Path) -> Result<T, String>) -> Result<T, RebuildError> {
        rebuild(&self.root, &self.image, &|| false, fit)
    }

    fn image(&self) -> String {
        fs::read_to_string(self.folder.path().join("boot/initrd.img-1")).unwrap()
    }

    /// What is in /boot and was not there before.
    #[track_caller]
    fn assert_old(&self) {
        assert_eq!(self.image(), "old");
        assert_eq!(
            fs::read_dir(self.folder.path().join("boot"))
                .unwrap()
                .count(),
            1
        );
        assert_eq!(
            fs::read_dir(self.folder.path().join("dev"))
                .unwrap()
                .count(),
            0
        );
    }
}

#[test]
fn the_tool_runs_in_the_tree_and_the_image_is_looked_into_before_it_counts() {
    let script = "echo new-$3 > $2; cd /; echo boot* proc/self/exe dev/null > /seen";
    let Some(system) = system(script) else { return };
    let seen = system.rebuild(|new| {
        assert_eq!(new, Path::new("/boot/.fwshare-initrd.img-1"));
        assert_eq!(system.image(), "old");
        Ok(fs::read_to_string(system.root.outside(new)).unwrap())
    });
    assert_eq!(seen.unwrap(), "new-1\n");
    assert_eq!(system.image(), "new-1\n");
    assert_eq!(
        fs::read_dir(system.folder.path().join("dev"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(
        fs::read_dir(system.folder.path().join("proc"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_tool_finds_its_files_in_dev() {
    let script = "echo a | cat /dev/stdin > /dev/fd/1; [ -e /dev/fd ] && echo new > $2";
    let Some(system) = system(&script.replace("cat", "/bin/busybox cat")) else {
        return;
    };
    system.rebuild(|_| Ok(())).unwrap();
}

#[test]
fn a_tool_that_fails_leaves_the_old_image() {
    let said = r"printf '\033[31mno \000room\033[0m\n\033]0;title\007'; echo half > $2; exit 3";
    let Some(failing) = system(said) else { return };
    let error = failing.rebuild(|_| Ok(())).unwrap_err();
    assert!(
        error.to_string().ends_with("ended with exit status 3"),
        "{error}"
    );
    assert_eq!(error.said(), "no room\n]0;title");
    failing.assert_old();
}

#[test]
fn a_tool_that_is_killed_leaves_the_old_image() {
    let Some(killed) = system("echo half > $2; kill -9 $$") else {
        return;
    };
    let error = killed.rebuild(|_| Ok(())).unwrap_err();
    assert!(
        error.to_string().ends_with("was killed by signal 9"),
        "{error}"
    );
    killed.assert_old();
}

#[test]
fn a_tool_that_makes_nothing_and_says_that_all_is_well_is_not_believed() {
    for script in ["exit 0", ": > $2"] {
        let Some(lazy) = system(script) else { return };
        let error = lazy.rebuild(|_| Ok(())).unwrap_err();
        assert!(matches!(error, RebuildError::Nothing { .. }), "{error}");
        lazy.assert_old();
    }
}

#[test]
fn an_image_that_is_not_as_wanted_does_not_count() {
    let Some(system) = system("echo new > $2; echo all is well") else {
        return;
    };
    let error = system
        .rebuild(|_| Err::<(), _>("no driver".into()))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the new image is not as wanted: no driver"
    );
    assert_eq!(error.said(), "all is well");
    system.assert_old();
}

#[test]
fn a_tool_is_ended_with_all_that_it_has_started() {
    // The second one would keep the pipe open for ever.
    let script = "echo half > $2; /bin/busybox sleep 1000 & /bin/busybox sleep 1000";
    let Some(system) = system(script) else { return };
    let asked = Cell::new(0);
    let stopped = || {
        asked.set(asked.get() + 1);
        asked.get() > 2
    };
    let error = rebuild(&system.root, &system.image, &stopped, |_| Ok(())).unwrap_err();
    assert!(matches!(error, RebuildError::Interrupted), "{error}");
    system.assert_old();
}

#[test]
fn what_stands_where_the_image_should_be_is_looked_at_first() {
    let Some(system) = system("echo new > $2") else {
        return;
    };
    let image = system.folder.path().join("boot/initrd.img-1");
    fs::remove_file(&image).unwrap();
    symlink("/etc/passwd", &image).unwrap();
    let error = system.rebuild(|_| Ok(())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/boot/initrd.img-1 is a link, and not an image's file"
    );
    fs::remove_file(&image).unwrap();
    fs::create_dir(&image).unwrap();
    assert!(system.rebuild(|_| Ok(())).is_err());
    fs::remove_dir(&image).unwrap();
    system.rebuild(|_| Ok(())).unwrap();
    assert_eq!(system.image(), "new\n");
}

#[test]
fn a_system_without_the_tool_says_so() {
    let Some(system) = system("") else { return };
    fs::remove_file(system.folder.path().join("usr/sbin/mkinitramfs")).unwrap();
    let error = system.rebuild(|_| Ok(())).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot run mkinitramfs in /"),
        "{error}"
    );
    system.assert_old();
}

#[test]
fn a_boot_that_has_no_room_for_two_images_is_seen_before_anything_is_done() {
    let Some(system) = system("echo new > $2") else {
        return;
    };
    let boot = system.folder.path().join("boot");
    // As in a full /boot: room for the old image and a part of a new one.
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("tmpfs"), &boot, Some("tmpfs"), flags, Some("size=12m")).unwrap();
    fs::write(boot.join("initrd.img-1"), vec![b'x'; 8 << 20]).unwrap();
    let result = system.rebuild(|_| Ok(()));
    let left = fs::read_dir(&boot).unwrap().count();
    // What another test forks at this moment has the folder open.
    nix::mount::umount2(&boot, nix::mount::MntFlags::MNT_DETACH).unwrap();
    let error = result.unwrap_err();
    assert_eq!(
        error.to_string(),
        "/boot has 4 MiB free, and 18 MiB are needed for a new image beside the old one"
    );
    assert_eq!(left, 1);
}

#[test]
fn a_daemon_that_a_tool_leaves_is_not_waited_for() {
    // It is waited for until it has left.
    let script = "/bin/busybox setsid /bin/sh -c ': > /left; exec /bin/busybox sleep 20' & \
                  while [ ! -e /left ]; do :; done; echo new > $2";
    let Some(system) = system(script) else { return };
    let start = std::time::Instant::now();
    system.rebuild(|_| Ok(())).unwrap();
    assert!(start.elapsed().as_secs() < 15);
    assert_eq!(system.image(), "new\n");
}

#[test]
fn who_could_not_read_the_old_image_cannot_read_the_new_one() {
    let Some(system) = system("echo new > $2; /bin/busybox chmod 0644 $2") else {
        return;
    };
    let path = system.folder.path().join("boot/initrd.img-1");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
    for (old, new) in [(0o600, 0o600), (0o755, 0o644)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(old)).unwrap();
        system.rebuild(|_| Ok(())).unwrap();
        assert_eq!(mode(), new);
    }
}

#[test]
fn a_boot_that_cannot_be_written_to_is_seen_before_anything_is_done() {
    let Some(system) = system("echo new > $2") else {
        return;
    };
    let boot = system.folder.path().join("boot");
    let flags = nix::mount::MsFlags::MS_RDONLY;
    nix::mount::mount(Some("tmpfs"), &boot, Some("tmpfs"), flags, Some("size=99m")).unwrap();
    let result = check(&system.root, &system.image);
    nix::mount::umount(&boot).unwrap();
    let error = result.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot make an image in /boot: Read-only"),
        "{error}"
    );
}

#[test]
fn two_runs_do_not_make_the_same_image() {
    let Some(system) = system("echo new > $2") else {
        return;
    };
    system
        .rebuild(|_| {
            let other = system.rebuild(|_| Ok(())).unwrap_err();
            assert!(matches!(other, RebuildError::Busy { .. }), "{other}");
            Ok(())
        })
        .unwrap();
    assert_eq!(system.image(), "new\n");
}

#[test]
fn what_follows_an_image_and_fails_is_told_apart() {
    let Some(mut system) = system("echo new > $2") else {
        return;
    };
    let command = ["sh", "-c", "echo no room on the ESP; exit 1"];
    system.image.recipe.then = vec![command.map(str::to_owned).to_vec()];
    let error = system.rebuild(|_| Ok(())).unwrap_err();
    assert!(error.is_after(), "{error}");
    assert_eq!(error.said(), "no room on the ESP");
    assert_eq!(system.image(), "new\n");
}
