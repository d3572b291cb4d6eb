//! The whole of it, as its users run it: `fwshare login` on an emulated bus, a disk image behind
//! the bridge, and programs that nobody here wrote at the other end.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use fwshare_tests::{
    Daemon, Judge, attach, ext4_image, fill, fwshare, judge, needs_fuse, needs_root, pattern,
    same_files,
};
use tempfile::TempDir;

const SIZE: u64 = 64 << 20;

/// An image in a folder of its own, and sockets beside it.
struct Lab {
    folder: TempDir,
    image: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk.img");
        Self { folder, image }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A disk of random bytes.
    fn random(seed: u64, size: u64) -> Self {
        let lab = Self::new();
        fs::write(&lab.image, pattern(size as usize, seed)).unwrap();
        lab
    }

    fn empty(size: u64) -> Self {
        let lab = Self::new();
        File::create(&lab.image).unwrap().set_len(size).unwrap();
        lab
    }

    /// A file system with the files of the folder `files`.
    fn ext4(mkfs: &Judge, seed: u64) -> Self {
        let lab = Self::new();
        fill(&lab.path("files"), seed);
        ext4_image(mkfs, &lab.image, SIZE, &lab.path("files"));
        lab
    }

    fn bus(&self, options: &str) -> String {
        format!("emulated:image={}{options}", self.image.display())
    }

    fn serve(&self, options: &str, arguments: &[&str]) -> Daemon {
        let bus = self.bus(options);
        let export = format!("nbd:unix:{}", self.path("a.sock").display());
        let mut all = vec!["--shared", "--bus", &bus, "--export", &export];
        all.extend(arguments);
        Daemon::login(all)
    }
}

fn stop_well(daemon: Daemon, signal: &str) {
    let ended = daemon.stop(signal);
    assert!(ended.status.success(), "{ended:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_image_is_served_and_copied_out_whole() {
    let (Some(mkfs), Some(e2fsck), Some(nbdinfo), Some(nbdcopy), Some(qemu)) = (
        judge("mkfs.ext4"),
        judge("e2fsck"),
        judge("nbdinfo"),
        judge("nbdcopy"),
        judge("qemu-img"),
    ) else {
        return;
    };
    let lab = Lab::ext4(&mkfs, 1);
    let before = fs::read(&lab.image).unwrap();
    let daemon = lab.serve("", &[]);
    let uri = daemon.uri(0);
    let info = nbdinfo.run(["--json", &uri]).stdout;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let export = &info["exports"][0];
    assert_eq!(export["export-size"], SIZE);
    assert_eq!(export["can_multi_conn"], true);
    assert_eq!(export["can_flush"], true);
    assert_eq!(export["is_read_only"], false);
    assert_eq!(export["block_size_minimum"], 512);
    let copy = lab.path("copy");
    nbdcopy.run([uri.as_str(), text(&copy)]);
    assert!(fs::read(&copy).unwrap() == before);
    qemu.run(["compare", "-f", "raw", "-F", "raw", &uri, text(&copy)]);
    e2fsck.run(["-f", "-n", text(&copy)]);
    stop_well(daemon, "INT");
    assert!(
        fs::read(&lab.image).unwrap() == before,
        "reading changes nothing"
    );
    assert!(!lab.path("a.sock").exists(), "the socket is gone");
}

#[test]
fn an_image_is_copied_in_whole() {
    let Some(nbdcopy) = judge("nbdcopy") else {
        return;
    };
    for sector in [512, 2048, 4096] {
        let lab = Lab::empty(8 << 20);
        let source = lab.path("source");
        fs::write(&source, pattern(8 << 20, sector)).unwrap();
        let daemon = lab.serve(&format!(",sector={sector}"), &[]);
        nbdcopy.run([text(&source), &daemon.uri(0)]);
        stop_well(daemon, "TERM");
        assert!(fs::read(&lab.image).unwrap() == fs::read(&source).unwrap());
    }
}

#[test]
fn patterns_that_qemu_writes_are_read_back() {
    let Some(qemu) = judge("qemu-io") else {
        return;
    };
    let lab = Lab::random(4, 4 << 20);
    let daemon = lab.serve(",profile=generic", &["--serialize-io=off"]);
    let mut arguments = vec!["-f", "raw"];
    for command in [
        "write -P 0x5a 512 512",
        "write -P 0xa5 1M 700k",
        "write -z 2M 64k",
        "write -f -P 0x3c 3M 4k",
        "flush",
        "read -P 0x5a 512 512",
        "read -P 0xa5 1M 700k",
        "read -P 0 2M 64k",
        "read -P 0x3c 3M 4k",
    ] {
        arguments.extend(["-c", command]);
    }
    let uri = daemon.uri(0);
    arguments.push(&uri);
    let said = qemu.run(&arguments);
    assert!(!said.stdout.contains("failed"), "{said}");
    stop_well(daemon, "TERM");
    let image = fs::read(&lab.image).unwrap();
    let was = pattern(4 << 20, 4);
    assert!(image[..512] == was[..512] && image[1024..1 << 20] == was[1024..1 << 20]);
    assert!(
        image[1 << 20..][..700 << 10]
            .iter()
            .all(|byte| *byte == 0xa5)
    );
}

fn fio(fio: &Judge, lab: &Lab, name: &str, uri: &str, offset: u64, size: u64) {
    fio.run([
        format!("--name={name}"),
        format!("--aux-path={}", lab.folder.path().display()),
        "--ioengine=nbd".into(),
        format!("--uri={uri}"),
        "--rw=randrw".into(),
        "--bsrange=512-64k".into(),
        "--blockalign=512".into(),
        format!("--offset={offset}"),
        format!("--size={size}"),
        "--iodepth=16".into(),
        "--fsync=32".into(),
        "--verify=crc32c".into(),
        "--verify_fatal=1".into(),
        "--randseed=7".into(),
    ]);
}

#[test]
fn fio_verifies_with_sixteen_requests_in_flight() {
    let Some(judge) = judge("fio") else {
        return;
    };
    for serialize in ["--serialize-io=on", "--serialize-io=off"] {
        let lab = Lab::empty(SIZE);
        let daemon = lab.serve("", &[serialize]);
        fio(&judge, &lab, "verify", &daemon.uri(0), 0, 16 << 20);
        stop_well(daemon, "TERM");
    }
}

#[test]
fn a_file_system_is_mounted_written_and_sound() {
    let (Some(mkfs), Some(e2fsck)) = (judge("mkfs.ext4"), judge("e2fsck")) else {
        return;
    };
    let lab = Lab::ext4(&mkfs, 5);
    let expected = lab.path("expected");
    fill(&expected, 6);
    for serialize in ["--serialize-io=on", "--serialize-io=off"] {
        let daemon = lab.serve("", &[serialize]);
        let Some(mut attached) = attach(&daemon.uri(0)) else {
            return;
        };
        let root = attached.mount();
        assert!(same_files(&lab.path("files"), &root));
        fill(&root.join("new"), 6);
        attached.detach();
        stop_well(daemon, "TERM");
        e2fsck.run(["-f", "-n", text(&lab.image)]);
        // A new login, and nothing left in any cache of this host.
        let daemon = lab.serve("", &[serialize]);
        let mut attached = attach(&daemon.uri(0)).expect("it could be attached before");
        let root = attached.mount();
        assert!(same_files(&expected, &root.join("new")));
        fs::remove_dir_all(root.join("new")).unwrap();
        attached.detach();
        stop_well(daemon, "INT");
        e2fsck.run(["-f", "-n", text(&lab.image)]);
    }
}

#[test]
fn two_hosts_of_one_command_share_the_disk() {
    let (Some(judge_fio), Some(qemu)) = (judge("fio"), judge("qemu-io")) else {
        return;
    };
    let lab = Lab::empty(SIZE);
    let second = format!("nbd:unix:{}", lab.path("b.sock").display());
    let daemon = lab.serve(",hosts=2", &["--export", &second]);
    let (a, b) = (daemon.uri(0), daemon.uri(1));
    assert_ne!(
        daemon.shown()["hosts"][0]["login_id"],
        daemon.shown()["hosts"][1]["login_id"]
    );
    std::thread::scope(|scope| {
        scope.spawn(|| fio(&judge_fio, &lab, "first", &a, 0, 12 << 20));
        scope.spawn(|| fio(&judge_fio, &lab, "second", &b, SIZE / 2, 12 << 20));
    });
    for (writer, reader, byte) in [(&a, &b, "0x11"), (&b, &a, "0x22")] {
        let write = format!("write -P {byte} 48M 128k");
        let read = format!("read -P {byte} 48M 128k");
        qemu.run(["-f", "raw", "-c", &write, writer]);
        let said = qemu.run(["-f", "raw", "-c", &read, reader]);
        assert!(!said.stdout.contains("failed"), "{said}");
    }
    stop_well(daemon, "TERM");
}

#[test]
fn a_disk_beyond_two_tebibytes_is_used_to_its_end() {
    let Some(qemu) = judge("qemu-io") else {
        return;
    };
    let socket = tempfile::tempdir().unwrap();
    let export = format!("nbd:unix:{}", socket.path().join("a.sock").display());
    let daemon = Daemon::login([
        "--shared",
        "--bus",
        "emulated:size=3T,profile=generic",
        "--export",
        &export,
    ]);
    let uri = daemon.uri(0);
    let said = qemu.run([
        "-f",
        "raw",
        "-c",
        "write -P 0x77 3298534817792 65536",
        "-c",
        "read -P 0x77 3298534817792 65536",
        "-c",
        "read -P 0 0 65536",
        &uri,
    ]);
    assert!(!said.stdout.contains("failed"), "{said}");
    stop_well(daemon, "TERM");
}

#[test]
fn a_client_in_mid_transfer_does_not_keep_the_command_from_ending() {
    let Some(nbdcopy) = judge("nbdcopy") else {
        return;
    };
    let lab = Lab::empty(SIZE);
    let daemon = lab.serve("", &[]);
    let mut client = nbdcopy
        .command()
        .args(["--progress=0", &daemon.uri(0), "null:"])
        .spawn()
        .unwrap();
    stop_well(daemon, "TERM");
    // It may have finished before.
    let _ = client.wait();
}

#[test]
fn a_read_only_export_cannot_be_written() {
    let Some(qemu) = judge("qemu-io") else {
        return;
    };
    let lab = Lab::random(9, 1 << 20);
    let before = fs::read(&lab.image).unwrap();
    let daemon = lab.serve("", &["--read-only"]);
    let uri = daemon.uri(0);
    let said = qemu.try_run(["-f", "raw", "-c", "write -P 1 0 512", &uri]);
    assert!(!said.success() || said.stdout.contains("failed"), "{said}");
    stop_well(daemon, "TERM");
    assert!(fs::read(&lab.image).unwrap() == before);
}

#[test]
fn the_command_of_this_tree_is_the_one_that_is_tested() {
    let version = fwshare().arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    assert_eq!(
        version.trim(),
        concat!("fwshare ", env!("CARGO_PKG_VERSION"))
    );
}

/// Without NBD: a file by FUSE, a loop device on it, and a file system on that.
#[test]
fn the_disk_is_a_file_with_a_file_system_on_it() {
    let (Some(mkfs), Some(e2fsck), Some(losetup), Some(mount), Some(umount)) = (
        judge("mkfs.ext4"),
        judge("e2fsck"),
        judge("losetup"),
        judge("mount"),
        judge("umount"),
    ) else {
        return;
    };
    if !needs_root() || !needs_fuse() {
        return;
    }
    let lab = Lab::empty(SIZE);
    let file = lab.path("disk");
    let bus = lab.bus("");
    let export = format!("file:{}", file.display());
    let daemon = Daemon::login(["--shared", "--bus", &bus, "--export", &export]);
    assert_eq!(daemon.uri(0), export);
    let device = losetup.run(["--find", "--show", "--direct-io=on", text(&file)]);
    let device = device.stdout.trim().to_owned();
    mkfs.run(["-q", "-F", &device]);
    let root = lab.path("root");
    fs::create_dir(&root).unwrap();
    fill(&lab.path("files"), 21);
    mount.run([device.as_str(), text(&root)]);
    let copied = std::process::Command::new("cp")
        .args(["-a", text(&lab.path("files")), text(&root.join("files"))])
        .status();
    assert!(copied.unwrap().success());
    umount.run([text(&root)]);
    mount.run([device.as_str(), text(&root)]);
    assert!(same_files(&lab.path("files"), &root.join("files")));
    umount.run([text(&root)]);
    losetup.run(["--detach", &device]);
    stop_well(daemon, "INT");
    assert!(!file.exists(), "it is gone with the daemon");
    // The image itself is what it ought to be.
    e2fsck.run(["-fn", text(&lab.image)]);
}
