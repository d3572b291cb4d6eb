//! Whatever a login serves its disk as, it is the same disk: its size, its sectors, whether it can
//! be written, and which one it is.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fwshare_tests::{Daemon, judge, needs_fuse, needs_root, skipped};
use serde_json::Value;
use tempfile::TempDir;

const SIZE: u64 = 48 << 20;

/// A folder with an image, for a login.
struct Bench(TempDir);

impl Bench {
    /// `None`: skip the test, the user has been told.
    fn new() -> Option<Self> {
        if !needs_root() || !needs_fuse() {
            return None;
        }
        if !Path::new("/dev/loop-control").exists() {
            skipped("needs /dev/loop-control (the kernel's loop driver)");
            return None;
        }
        let bench = Self(tempfile::tempdir().unwrap());
        let image = File::create(bench.path("image")).unwrap();
        image.set_len(SIZE).unwrap();
        Some(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn login(&self, bus: &str, more: &[&str]) -> Daemon {
        let image = self.path("image").display().to_string();
        let run_dir = self.path("run").display().to_string();
        let bus = format!("emulated:image={image}{bus}");
        let arguments = ["--shared", "--bus", &bus, "--run-dir", &run_dir];
        Daemon::login(arguments.iter().chain(more))
    }

    /// What udev is told of a device.
    fn properties(&self, device: &str) -> Option<String> {
        let name = device.strip_prefix("/dev/").unwrap();
        fs::read_to_string(self.path("run/devices").join(name)).ok()
    }
}

fn device(daemon: &Daemon) -> String {
    let shown = &daemon.shown()["hosts"][0]["devices"][0]["path"];
    shown.as_str().unwrap().to_owned()
}

fn stop_well(daemon: Daemon) -> String {
    let ended = daemon.stop("TERM");
    assert!(ended.status.success(), "{ended:?}");
    assert!(!ended.stderr.contains("WARN"), "{ended:?}");
    ended.stderr
}

#[test]
fn size_sectors_and_protection_are_the_disks_in_every_export() {
    let (Some(bench), Some(blockdev), Some(nbdinfo)) =
        (Bench::new(), judge("blockdev"), judge("nbdinfo"))
    else {
        return;
    };
    let socket = bench.path("socket");
    let file = bench.path("plain");
    let exports = [
        format!("nbd:unix:{}", socket.display()),
        format!("file:{}", file.display()),
        format!("file:{},loop", bench.path("below").display()),
    ];
    for (sector, read_only) in [(512, false), (512, true), (2048, false), (4096, true)] {
        let mut arguments: Vec<_> = exports.iter().flat_map(|e| ["--export", e]).collect();
        if read_only {
            arguments.push("--read-only");
        }
        let daemon = bench.login(&format!(",profile=generic,sector={sector}"), &arguments);
        let disk = &daemon.shown()["disk"];
        assert_eq!(disk["size"], SIZE);
        assert_eq!(disk["block_length"], sector);
        assert_eq!(disk["read_only"], read_only);

        let said = nbdinfo.run(["--json", &daemon.uri(0)]).stdout;
        let nbd: Value = serde_json::from_str(&said).unwrap();
        let nbd = &nbd["exports"][0];
        assert_eq!(nbd["export-size"], SIZE);
        assert_eq!(nbd["is_read_only"], read_only);
        assert_eq!(nbd["block_size_minimum"], sector);

        let metadata = fs::metadata(&file).unwrap();
        assert_eq!(metadata.len(), SIZE);
        assert_eq!(
            metadata.blksize(),
            nbd["block_size_preferred"].as_u64().unwrap()
        );
        assert_eq!(metadata.permissions().mode() & 0o200 == 0, read_only);

        let device = device(&daemon);
        let says = |what: &str| {
            let said = blockdev.run([what, device.as_str()]);
            said.stdout.trim().parse::<u64>().unwrap()
        };
        assert_eq!(says("--getsize64"), SIZE);
        assert_eq!(says("--getss"), sector);
        assert_eq!(says("--getro"), u64::from(read_only));
        stop_well(daemon);
    }
}

#[test]
fn udev_is_told_which_disk_a_device_is_as_long_as_it_is_there() {
    let Some(bench) = Bench::new() else {
        return;
    };
    let export = format!("file:{},loop", bench.path("disk").display());
    let export = ["--export", export.as_str()];
    let daemon = bench.login("", &export);
    let first = device(&daemon);
    let properties = bench.properties(&first).unwrap();
    let target = daemon.shown()["target"].as_str().unwrap();
    let (guid, lun) = target.split_once(':').unwrap();
    let disk = &daemon.shown()["disk"];
    let model = disk["product"].as_str().unwrap().replace(' ', "_");
    for line in [
        "ID_BUS=ieee1394",
        &format!("ID_MODEL={model}"),
        &format!("FWSHARE_GUID={guid}"),
        &format!("FWSHARE_LUN={lun}"),
        "FWSHARE_ASSEMBLE=0",
    ] {
        assert!(
            properties.lines().any(|found| found == line),
            "{properties}"
        );
    }
    // It goes when the device has.
    let user = File::open(&first).unwrap();
    daemon.signal("TERM");
    let autoclear = first.replace("/dev/", "/sys/block/") + "/loop/autoclear";
    while fs::read_to_string(&autoclear).is_ok_and(|text| text.trim() != "1") {
        std::thread::yield_now();
    }
    assert_eq!(bench.properties(&first).as_ref(), Some(&properties));
    drop(user);
    let mut daemon = daemon;
    assert!(daemon.wait().status.success());
    assert_eq!(bench.properties(&first), None);

    // What a killed one has left is the next one's to take away, whatever that one does.
    let daemon = bench.login("", &export);
    let second = device(&daemon);
    drop(daemon.stop("KILL"));
    assert!(bench.properties(&second).is_some());
    stop_well(bench.login("", &[]));
    assert_eq!(bench.properties(&second), None);
    stop_well(bench.login("", &export));
}

#[test]
fn auto_is_the_best_and_says_so() {
    let Some(bench) = Bench::new() else {
        return;
    };
    let daemon = bench.login("", &["--export", "auto"]);
    let target = daemon.shown()["target"].as_str().unwrap();
    let name = format!("disk-{}", target.replace(':', "-"));
    let export = format!("file:{}", bench.path("run").join(name).display());
    assert_eq!(daemon.uri(0), export);
    assert!(bench.properties(&device(&daemon)).is_some());
    let said = stop_well(daemon);
    let told = format!("fwshare: --export auto is {export},loop\n");
    assert!(said.contains(&told), "{said}");
}
