use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::judge::{Judge, judge, needs_root, skipped};
use crate::run::TIME_LIMIT;

/// An NBD export as a block device of this host, by nbdfuse and a loop device, and mounted
/// perhaps. Needs no nbd driver in the kernel, and keeps nothing in a cache below the device:
/// what another host has written is there. Gone when dropped.
#[derive(Debug)]
pub struct Attached {
    folder: TempDir,
    losetup: Judge,
    mount: Judge,
    umount: Judge,
    nbdfuse: Option<Child>,
    device: Option<String>,
    mounted: bool,
}

/// Attaches the export at `uri`. `None` means: skip the test, the user has been told.
///
/// # Panics
///
/// If the programs are there and fail, and in CI if they are not there. A kernel without FUSE
/// or loop devices is no failure anywhere.
#[must_use]
pub fn attach(uri: &str) -> Option<Attached> {
    let nbdfuse = judge("nbdfuse")?;
    let (losetup, mount, umount) = (judge("losetup")?, judge("mount")?, judge("umount")?);
    if !needs_root() {
        return None;
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        if !Path::new(device).exists() {
            skipped(&format!(
                "needs {device} (the kernel's FUSE and loop drivers)"
            ));
            return None;
        }
    }
    let mut attached = Attached {
        folder: tempfile::tempdir().expect("a temporary folder"),
        losetup,
        mount,
        umount,
        nbdfuse: None,
        device: None,
        mounted: false,
    };
    for folder in [attached.fuse(), attached.root()] {
        fs::create_dir(folder).expect("a folder to mount on");
    }
    let ready = attached.folder.path().join("ready");
    let child = nbdfuse
        .command()
        .arg("--pidfile")
        .args([&ready, &attached.file()])
        .arg(uri)
        .stdin(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run nbdfuse: {error}"));
    attached.nbdfuse = Some(child);
    // It writes this file once it serves, and that is the only sign it gives.
    let start = Instant::now();
    while !fs::metadata(&ready).is_ok_and(|file| file.len() > 0) {
        let child = attached.nbdfuse.as_mut().expect("just started");
        let ended = child.try_wait().expect("a child to wait for");
        assert_eq!(ended, None, "nbdfuse ended");
        assert!(start.elapsed() < TIME_LIMIT, "nbdfuse does not come up");
        thread::sleep(Duration::from_millis(10));
    }
    let file = attached.file();
    let said = attached.losetup.run(
        ["--find", "--show", "--direct-io=on"]
            .iter()
            .map(AsRef::as_ref)
            .chain([file.as_os_str()]),
    );
    attached.device = Some(said.stdout.trim().to_owned());
    Some(attached)
}

impl Attached {
    /// The block device.
    #[must_use]
    pub fn device(&self) -> &str {
        self.device.as_deref().unwrap_or_default()
    }

    /// Mounts the device, and tells where.
    pub fn mount(&mut self) -> PathBuf {
        let root = self.root();
        self.mount.run([self.device().as_ref(), root.as_os_str()]);
        self.mounted = true;
        root
    }

    /// Unmounts and detaches, and ends the test if something was not written.
    pub fn detach(mut self) {
        if self.mounted {
            self.umount.run([self.root()]);
            self.mounted = false;
        }
        if let Some(device) = self.device.take() {
            self.losetup.run(["--detach", &device]);
        }
        self.umount.run([self.fuse()]);
        if let Some(mut child) = self.nbdfuse.take() {
            let status = child.wait().expect("a child to wait for");
            assert!(status.success(), "nbdfuse: {status}");
        }
    }

    fn fuse(&self) -> PathBuf {
        self.folder.path().join("fuse")
    }

    fn file(&self) -> PathBuf {
        self.fuse().join("disk")
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }
}

impl Drop for Attached {
    /// For a test that failed: leaves nothing mounted.
    fn drop(&mut self) {
        if self.mounted {
            self.umount.try_run([self.root()]);
        }
        if let Some(device) = &self.device {
            self.losetup.try_run(["--detach", device]);
        }
        if let Some(child) = &mut self.nbdfuse {
            self.umount.try_run([self.folder.path().join("fuse")]);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
