//! `fwshare login --export file:PATH,loop`: real file systems, partitions and tools on the block
//! device, and what becomes of it when the process ends, well or not.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fwshare_tests::{
    Daemon, Judge, Lab, TIME_LIMIT, fwshare, judge, needs_fuse, needs_root, pattern, run,
    same_files, skipped,
};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// An image, and a folder for what a test needs beside it.
struct Bench {
    folder: TempDir,
    mount: Judge,
    umount: Judge,
}

impl Bench {
    /// `None`: skip the test, the user has been told.
    fn new(size: u64) -> Option<Self> {
        if !can() {
            return None;
        }
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
            mount: judge("mount")?,
            umount: judge("umount")?,
        };
        let image = File::create(bench.path("image")).unwrap();
        image.set_len(size).unwrap();
        fs::create_dir(bench.path("root")).unwrap();
        Some(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Logs in, with a loop device for each host.
    fn login(&self, options: &str, hosts: usize) -> Daemon {
        Daemon::login(self.arguments(options, hosts))
    }

    fn arguments(&self, options: &str, hosts: usize) -> Vec<String> {
        let image = self.path("image").display().to_string();
        let run_dir = self.path("run").display().to_string();
        let bus = format!("emulated:image={image}{options}");
        let mut arguments = vec!["--shared".to_owned(), "--bus".to_owned(), bus];
        arguments.extend(["--run-dir".to_owned(), run_dir]);
        for host in 0..hosts {
            let file = self.path(&format!("disk{host}"));
            arguments.extend(["--export".to_owned(), export(&file)]);
        }
        arguments
    }

    fn mount(&self, device: &str) -> PathBuf {
        let root = self.path("root");
        self.mount.run([device.as_ref(), root.as_os_str()]);
        root
    }

    fn umount(&self) {
        self.umount.run([self.path("root")]);
    }
}

impl Drop for Bench {
    /// For a test that failed: leaves nothing mounted.
    fn drop(&mut self) {
        let root = self.path("root");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        if mounts.contains(&format!(" {} ", root.display())) {
            self.umount.try_run([root]);
        }
    }
}

/// Whether there can be loop devices here; if not, the user has been told.
fn can() -> bool {
    if !needs_root() || !needs_fuse() {
        return false;
    }
    let driver = Path::new("/dev/loop-control").exists();
    if !driver {
        skipped("needs /dev/loop-control (the kernel's loop driver)");
    }
    driver
}

fn export(file: &Path) -> String {
    format!("file:{},loop", file.display())
}

/// The device of a host.
fn device(daemon: &Daemon, host: usize) -> String {
    let shown = &daemon.shown()["hosts"][host]["devices"][0];
    assert_eq!(shown["export"], daemon.uri(host).as_str());
    shown["path"].as_str().unwrap().to_owned()
}

fn is_attached(device: &str, file: &Path) -> bool {
    let name = device.strip_prefix("/dev/").unwrap();
    let shown = fs::read_to_string(format!("/sys/block/{name}/loop/backing_file"));
    shown.is_ok_and(|shown| Path::new(shown.trim()) == file)
}

/// Whether the kernel is to detach it when nobody has it open.
fn is_autoclear(device: &str) -> bool {
    let file = device.replace("/dev/", "/sys/block/") + "/loop/autoclear";
    fs::read_to_string(file).is_ok_and(|text| text.trim() == "1")
}

fn stop_well(daemon: Daemon) {
    let ended = daemon.stop("TERM");
    assert!(ended.status.success(), "{ended:?}");
    assert!(!ended.stderr.contains("WARN"), "{ended:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < TIME_LIMIT, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A source tree: this one's protocol.
fn source_tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sbp2/src")
}

/// Makes a file system, has a source tree in it, and has it checked, twice.
fn file_system(size: u64, mkfs: &Judge, options: &[&str], fsck: (&Judge, &str)) {
    let (Some(bench), Some(cp)) = (Bench::new(size), judge("cp")) else {
        return;
    };
    let daemon = bench.login("", 1);
    let device = device(&daemon, 0);
    assert!(is_attached(&device, &bench.path("disk0")));
    mkfs.run(options.iter().chain([&device.as_str()]));
    let root = bench.mount(&device);
    cp.run(["-a", text(&source_tree()), text(&root.join("tree"))]);
    // With this the caches of file system and device are gone.
    bench.umount();
    fsck.0.run([fsck.1, &device]);
    let root = bench.mount(&device);
    assert!(same_files(&source_tree(), &root.join("tree")));
    bench.umount();
    stop_well(daemon);
    assert!(!is_attached(&device, &bench.path("disk0")));
    assert!(!bench.path("disk0").exists());
    fsck.0.run([fsck.1, text(&bench.path("image"))]);
}

#[test]
fn ext4_keeps_a_source_tree() {
    if let (Some(mkfs), Some(e2fsck)) = (judge("mkfs.ext4"), judge("e2fsck")) {
        file_system(64 * MIB, &mkfs, &["-q"], (&e2fsck, "-fn"));
    }
}

#[test]
fn xfs_keeps_a_source_tree() {
    if let (Some(mkfs), Some(repair)) = (judge("mkfs.xfs"), judge("xfs_repair")) {
        file_system(320 * MIB, &mkfs, &["-q"], (&repair, "-n"));
    }
}

#[test]
fn partitions_become_devices() {
    let (Some(bench), Some(sfdisk), Some(losetup), Some(mkfs)) = (
        Bench::new(32 * MIB),
        judge("sfdisk"),
        judge("losetup"),
        judge("mkfs.ext4"),
    ) else {
        return;
    };
    let daemon = bench.login("", 1);
    let whole = device(&daemon, 0);
    let said = sfdisk.try_run_with(b"size=8M\nsize=8M\n", ["-q", "-X", "gpt", &whole]);
    assert!(said.success(), "{said}");
    let shown = sfdisk.run(["-d", &whole]);
    assert_eq!(shown.stdout.matches("size=").count(), 2, "{shown}");
    let partscan = whole.replace("/dev/", "/sys/block/") + "/loop/partscan";
    assert_eq!(fs::read_to_string(partscan).unwrap().trim(), "1");
    let appeared = has_second_partition(&whole);
    stop_well(daemon);

    let image = bench.path("image");
    let plain = losetup.run(["--find", "--show", "--partscan", text(&image)]);
    let plain = plain.stdout.trim();
    let known = has_second_partition(plain);
    losetup.run(["--detach", plain]);
    if !known {
        return skipped("needs a kernel that knows partition tables");
    }
    assert!(appeared, "when they are made");
    let daemon = bench.login("", 1);
    let whole = device(&daemon, 0);
    assert!(has_second_partition(&whole), "when the device is");
    let second = format!("{whole}p2");
    mkfs.run(["-q", &second]);
    bench.mount(&second);
    bench.umount();
    stop_well(daemon);
}

fn has_second_partition(device: &str) -> bool {
    let name = device.trim_start_matches("/dev/");
    Path::new(&format!("/sys/block/{name}/{name}p2")).exists()
}

#[test]
fn large_blocks_and_more_than_two_tebibytes_are_as_the_disk_has_them() {
    let size = 3 << 40;
    let (Some(bench), Some(blockdev), Some(dd)) =
        (Bench::new(size), judge("blockdev"), judge("dd"))
    else {
        return;
    };
    for (sector, read_only) in [("4096", false), ("512", true)] {
        let mut arguments = bench.arguments(&format!(",profile=generic,sector={sector}"), 1);
        if read_only {
            arguments.push("--read-only".to_owned());
        }
        let daemon = Daemon::login(arguments);
        let device = device(&daemon, 0);
        let says = |what: &str| {
            blockdev
                .run([what, device.as_str()])
                .stdout
                .trim()
                .to_owned()
        };
        assert_eq!(says("--getss"), sector);
        assert_eq!(says("--getsize64"), size.to_string());
        assert_eq!(says("--getro"), u8::from(read_only).to_string());
        let end = format!("{}", size / MIB - 1);
        let last = bench.path("last");
        let data = pattern(MIB as usize, 5);
        if read_only {
            let (input, output) = (format!("if={device}"), format!("of={}", last.display()));
            dd.run([
                &input,
                &output,
                "bs=1M",
                "iflag=direct",
                &format!("skip={end}"),
            ]);
            assert!(fs::read(&last).unwrap() == data);
        } else {
            fs::write(&last, data).unwrap();
            let (input, output) = (format!("if={}", last.display()), format!("of={device}"));
            dd.run([
                &input,
                &output,
                "bs=1M",
                "oflag=direct",
                &format!("seek={end}"),
            ]);
        }
        stop_well(daemon);
    }
}

#[test]
fn badblocks_finds_none() {
    let (Some(bench), Some(badblocks)) = (Bench::new(4 * MIB), judge("badblocks")) else {
        return;
    };
    let daemon = bench.login("", 1);
    let said = badblocks.run(["-w", "-v", &device(&daemon, 0)]);
    assert!(said.stderr.contains("0 bad blocks found"), "{said}");
    stop_well(daemon);
}

#[test]
fn what_one_host_writes_the_other_reads_at_once() {
    let (Some(bench), Some(dd)) = (Bench::new(16 * MIB), judge("dd")) else {
        return;
    };
    let daemon = bench.login(",hosts=2", 2);
    let devices = [device(&daemon, 0), device(&daemon, 1)];
    assert_ne!(devices[0], devices[1]);
    let (written, read) = (bench.path("written"), bench.path("read"));
    for round in 0..6 {
        let (from, to) = (&devices[round % 2], &devices[(round + 1) % 2]);
        fs::write(&written, pattern(MIB as usize, round as u64)).unwrap();
        let input = format!("if={}", written.display());
        dd.run([
            &input,
            &format!("of={from}"),
            "bs=1M",
            "oflag=direct",
            "seek=3",
        ]);
        let output = format!("of={}", read.display());
        dd.run([
            &format!("if={to}"),
            &output,
            "bs=1M",
            "count=1",
            "iflag=direct",
            "skip=3",
        ]);
        assert!(
            fs::read(&read).unwrap() == fs::read(&written).unwrap(),
            "{round}"
        );
    }
    stop_well(daemon);
}

#[test]
fn fio_verifies_through_a_hundred_bus_resets() {
    let Some(fio) = judge("fio") else {
        return;
    };
    if !can() {
        return;
    }
    let Some(lab) = Lab::start(1, &["profile=oxfw911,size=64M"]) else {
        return;
    };
    let mut arguments = lab.login_arguments(0);
    arguments.extend(["--export".to_owned(), export(&lab.path("disk"))]);
    let daemon = Daemon::login(arguments);
    let shown = &daemon.shown()["hosts"][0]["devices"][0]["path"];
    let filename = format!("--filename={}", shown.as_str().unwrap());
    let mut resets = lab.meddler(&["reset", "--count", "100", "--interval", "60"]);
    let mut resets = resets.spawn().unwrap();
    let mut rounds = 0;
    while resets.try_wait().unwrap().is_none() {
        let seed = format!("--randseed={rounds}");
        fio.run(
            [
                "--name=job",
                "--ioengine=libaio",
                "--direct=1",
                "--rw=randrw",
                "--bs=4k",
            ]
            .into_iter()
            .chain([
                "--iodepth=4",
                "--size=8M",
                "--verify=crc32c",
                "--verify_fatal=1",
            ])
            .chain(["--verify_state_save=0", "--fsync=100", &filename, &seed]),
        );
        rounds += 1;
    }
    assert!(resets.wait().unwrap().success());
    assert!(lab.show()["bus"]["resets"].as_u64().unwrap() >= 100);
    assert_eq!(lab.bridge_counter("bridge0", "logins"), 1);
    stop_well(daemon);
}

/// SIGTERM waits for the file system, and loses nothing of it.
#[test]
fn a_mounted_device_is_served_until_it_is_unmounted() {
    let (Some(bench), Some(mkfs), Some(e2fsck), Some(debugfs)) = (
        Bench::new(32 * MIB),
        judge("mkfs.ext4"),
        judge("e2fsck"),
        judge("debugfs"),
    ) else {
        return;
    };
    let mut daemon = bench.login("", 1);
    let device = device(&daemon, 0);
    mkfs.run(["-q", &device]);
    let root = bench.mount(&device);
    let data = pattern(3 * MIB as usize, 8);
    fs::write(root.join("before"), &data).unwrap();
    daemon.signal("TERM");
    wait_until("it is to be detached", || is_autoclear(&device));
    fs::write(root.join("after"), &data).unwrap();
    assert!(fs::read(root.join("before")).unwrap() == data);
    bench.umount();
    let ended = daemon.wait();
    assert!(ended.status.success(), "{ended:?}");
    let told = format!("{device} is mounted on {}", root.display());
    assert!(ended.stderr.contains(&told), "{ended:?}");
    assert!(!is_attached(&device, &bench.path("disk0")));
    let image = bench.path("image");
    e2fsck.run(["-fn", text(&image)]);
    for name in ["before", "after"] {
        let copy = bench.path(name);
        debugfs.run([
            "-R",
            &format!("dump {name} {}", copy.display()),
            text(&image),
        ]);
        assert!(fs::read(&copy).unwrap() == data, "{name}");
    }
}

#[test]
fn logout_refuses_while_a_file_system_is_mounted_unless_it_is_forced() {
    let (Some(bench), Some(mkfs)) = (Bench::new(32 * MIB), judge("mkfs.ext4")) else {
        return;
    };
    let run_dir = bench.path("run");
    let verb = |arguments: &[&str]| {
        let mut command = fwshare();
        command.args(arguments).arg("--run-dir").arg(&run_dir);
        run(&mut command, &[])
    };
    for force in [false, true] {
        let mut daemon = bench.login("", 1);
        let device = device(&daemon, 0);
        mkfs.run(["-q", "-F", &device]);
        let root = bench.mount(&device);
        let mounted = format!("{device} is mounted on {}", root.display());

        let refused = verb(&["logout", "--all"]);
        assert_eq!(refused.status.code(), Some(6), "{refused}");
        let unmount = format!("umount {}", root.display());
        for text in [&mounted, &unmount, "--force"] {
            assert!(refused.stderr.contains(text), "no {text:?} in {refused}");
        }
        fs::write(root.join("file"), "it is served still").unwrap();
        let status = verb(&["status"]);
        let shown = format!("and {device}, mounted on {}", root.display());
        assert!(status.stdout.contains(&shown), "{status}");

        if force {
            let forced = verb(&["logout", "--all", "--force"]);
            assert!(forced.success(), "{forced}");
            assert!(forced.stderr.contains(&mounted), "{forced}");
            assert!(forced.stderr.contains("is lost"), "{forced}");
            assert!(daemon.wait().status.success());
            bench.umount();
        } else {
            bench.umount();
            let ended = verb(&["logout", "--all"]);
            assert!(ended.success(), "{ended}");
            let ended = daemon.wait();
            assert!(ended.status.success(), "{ended:?}");
            assert!(!ended.stderr.contains("WARN"), "{ended:?}");
        }
        wait_until("it is detached", || {
            !is_attached(&device, &bench.path("disk0"))
        });
    }
}

/// A forced end comes also to who waits for the unmounting already.
#[test]
fn force_ends_a_login_that_waits_for_the_unmounting() {
    let (Some(bench), Some(mkfs)) = (Bench::new(32 * MIB), judge("mkfs.ext4")) else {
        return;
    };
    let mut daemon = bench.login("", 1);
    let device = device(&daemon, 0);
    mkfs.run(["-q", &device]);
    bench.mount(&device);
    daemon.signal("TERM");
    wait_until("it is to be detached", || is_autoclear(&device));
    let mut logout = fwshare();
    logout
        .args(["logout", "--all", "--force", "--run-dir"])
        .arg(bench.path("run"));
    let ended = run(&mut logout, &[]);
    assert!(ended.success(), "{ended}");
    assert!(daemon.wait().status.success());
    bench.umount();
}

#[test]
fn what_a_killed_daemon_left_behind_is_cleaned_unless_it_is_in_use() {
    let (Some(bench), Some(mkfs)) = (Bench::new(32 * MIB), judge("mkfs.ext4")) else {
        return;
    };
    let file = bench.path("disk0");
    let daemon = bench.login("", 1);
    let first = device(&daemon, 0);
    mkfs.run(["-q", &first]);
    drop(daemon.stop("KILL"));
    assert!(is_attached(&first, &file));
    let daemon = bench.login("", 1);
    let second = device(&daemon, 0);
    assert_eq!(second, first, "it was free again");

    let root = bench.mount(&second);
    drop(daemon.stop("KILL"));
    let mut again = fwshare();
    again.arg("login").args(bench.arguments("", 1));
    let said = run(&mut again, &[]);
    assert_eq!(said.status.code(), Some(6), "{said}");
    let told = format!(
        "{second} of a dead process is still mounted on {}",
        root.display()
    );
    assert!(said.stderr.contains(&told), "{said}");
    assert!(
        said.stderr.contains(&format!("umount {}", root.display())),
        "{said}"
    );
    bench.umount();
    let daemon = bench.login("", 1);
    bench.mount(&device(&daemon, 0));
    bench.umount();
    stop_well(daemon);
}

/// Neither it nor whoever waits for the device waits for ever.
#[test]
fn a_second_signal_ends_it_though_the_disk_is_gone_and_not_all_is_written() {
    let Some(umount) = judge("umount").filter(|_| can()) else {
        return;
    };
    let Some(lab) = Lab::start(1, &["profile=oxfw911,size=16M"]) else {
        return;
    };
    let file = lab.path("disk");
    let mut arguments = lab.login_arguments(0);
    arguments.extend(["--export".to_owned(), export(&file)]);
    let mut daemon = Daemon::login(arguments);
    let shown = &daemon.shown()["hosts"][0]["devices"][0]["path"];
    let device = shown.as_str().unwrap().to_owned();
    lab.ctl(&["unplug", "bridge0"]);
    let user = File::options().write(true).open(&device).unwrap();
    user.write_all_at(&[7; 65536], 0).unwrap();
    daemon.signal("TERM");
    wait_until("it is to be detached", || is_autoclear(&device));
    // Open in this thread only: a program that is started meanwhile must not be the last to
    // close it.
    let waiting = thread::spawn(move || user.sync_all());
    daemon.signal("TERM");
    let ended = daemon.wait();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(waiting.join().unwrap().is_err(), "it was not written");
    wait_until("it is detached", || !is_attached(&device, &file));

    umount.run([&file]);
}
