//! A disk in a file, with ext4 on it, that loses its power.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::support::skipped;
use crate::system;

/// The smallest that has a journal.
const SIZE: u64 = 8 << 20;

/// Nothing reaches the disk before somebody asks for it: no commit from time to time, and no
/// data written for the sake of programs that rename without fsync.
const OPTIONS: &str = "loop,noauto_da_alloc,commit=300";

/// A disk with a system on it.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
}

/// A disk as it was when the power went.
pub(crate) struct Lost<'a> {
    disk: &'a Disk,
}

/// A file system that is mounted until this goes.
struct Mount {
    folder: PathBuf,
}

/// Whether this kernel has loop devices and ext4.
pub(crate) fn needs_loop() -> Option<()> {
    let found = Path::new("/dev/loop-control").exists();
    if !found {
        skipped("needs /dev/loop-control (the kernel's loop driver)");
    }
    found.then_some(())
}

impl Disk {
    /// A disk with a copy of a system.
    pub(crate) fn new(system: &Path) -> Self {
        let disk = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let image = disk.at("image");
        File::create(&image).unwrap().set_len(SIZE).unwrap();
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.args(["-q", "-F", "-b", "1024", "-J", "size=1"]);
        run(mkfs
            .args(["-E", "lazy_itable_init=0,nodiscard"])
            .arg(&image));
        fs::create_dir(disk.at("mounted")).unwrap();
        let mount = disk.mount(&image);
        system::copy(system, &mount.folder.join("system"));
        drop(mount);
        disk
    }

    /// Lets something happen to a copy of the disk, and takes its power away right after it.
    pub(crate) fn lose_power(&self, happens: impl FnOnce(&Path)) -> Lost<'_> {
        let (used, lost) = (self.at("used"), self.at("lost"));
        // New files each time: a loop device that is not gone yet has what it has read of them.
        for earlier in [&used, &lost] {
            let _ = fs::remove_file(earlier);
        }
        fs::copy(self.at("image"), &used).unwrap();
        let mount = self.mount(&used);
        happens(&mount.folder.join("system"));
        // What was not written by now never will be: the copy is the disk.
        fs::copy(&used, &lost).unwrap();
        Lost { disk: self }
    }

    fn mount(&self, image: &Path) -> Mount {
        let folder = self.at("mounted");
        let mut mount = Command::new("mount");
        run(mount
            .args(["-t", "ext4", "-o", OPTIONS])
            .arg(image)
            .arg(&folder));
        Mount { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Lost<'_> {
    /// The system, once the power is back.
    pub(crate) fn look(self, look: impl FnOnce(&Path)) {
        let mount = self.disk.mount(&self.disk.at("lost"));
        look(&mount.folder.join("system"));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Another test may be starting a process, which has our files open until it runs.
        for _ in 0..500 {
            let output = Command::new("umount").arg(&self.folder).output();
            if output.is_ok_and(|output| output.status.success()) {
                return;
            }
            thread::yield_now();
        }
        // Not to be left on the machine, and no good ground for the next disk.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
        assert!(thread::panicking(), "{} stays busy", self.folder.display());
    }
}

fn run(command: &mut Command) {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = command
        .env("PATH", format!("/usr/sbin:/sbin:{path}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
