//! Recordings: every fixture is what fwshare or its bridge does, and a recording of its own replays.
//!
//! Two of them have the kernel at the other end: `tests/kernel/recordings.rs` makes them.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fwshare_tests::{Daemon, Lab, Said, fwshare, judge, pattern, run};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn fixtures() -> Vec<PathBuf> {
    let folders = fs::read_dir(root().join("fixtures/recordings")).unwrap();
    let folders = folders.map(|folder| folder.unwrap().path());
    let folders = folders.filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// `fwshare trace` with these arguments. The commands in fixtures name scripts from the top of
/// the tree on.
fn trace(arguments: &[&str]) -> Said {
    let mut command: Command = fwshare();
    command.current_dir(root()).arg("trace").args(arguments);
    run(&mut command, &[])
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn every_fixture_is_what_fwshare_does_byte_by_byte() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 26, "{fixtures:?}");
    for fixture in &fixtures {
        let said = trace(&["replay", text(fixture)]);
        assert!(said.success(), "{said}");
        assert!(said.stderr.contains("without a deviation"), "{said}");
        let said = trace(&["replay", "--relaxed", text(fixture)]);
        assert!(said.success(), "{said}");
    }
    let kinds = ["scan", "io", "reset", "full", "held", "sense"];
    let own = ["oxfw911", "oxuf922", "generic"].map(|profile| kinds.map(|kind| (profile, kind)));
    let kernels = [("sbp_target", "io"), ("firewire-sbp2", "oxfw911")];
    for (folder, kind) in own.into_iter().flatten().chain(kernels) {
        let file = format!("{folder}/{kind}.fwt.jsonl");
        assert!(fixtures.iter().any(|path| path.ends_with(&file)), "{file}");
    }
}

#[test]
fn a_fixture_edited_by_one_byte_fails_at_its_line() {
    for fixture in [
        "oxfw911/io.fwt.jsonl",
        "sbp_target/io.fwt.jsonl",
        "firewire-sbp2/oxfw911.fwt.jsonl",
    ] {
        edit(&root().join("fixtures/recordings").join(fixture));
    }
}

fn edit(fixture: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let original = fs::read_to_string(fixture).unwrap();
    let lines: Vec<&str> = original.lines().collect();
    let deeds = ["\"send\"", "\"respond\"", "\"output\""];
    let mut edited = 0;
    for (at, line) in lines.iter().enumerate().skip(1) {
        if !deeds.iter().any(|deed| line.contains(deed)) {
            continue;
        }
        // The last hexadecimal digit of what the line carries, or a digit of its number.
        let place = line.rfind("\"}}").map_or(line.len() - 3, |end| end - 1);
        let digit = &line[place..=place];
        let other = if digit == "1" { "2" } else { "1" };
        let changed = format!("{}{other}{}", &line[..place], &line[place + 1..]);
        let mut all = lines.clone();
        all[at] = &changed;
        let file = folder.path().join(format!("{at}.fwt.jsonl"));
        fs::write(&file, all.join("\n") + "\n").unwrap();
        let said = trace(&["replay", text(&file)]);
        assert_eq!(said.status.code(), Some(1), "{changed}\n{said}");
        let expected = format!("{}:{}:", file.display(), at + 1);
        assert!(said.stderr.contains(&expected), "{changed}\n{said}");
        assert!(said.stderr.contains("the recording has"), "{said}");
        edited += 1;
    }
    assert!(edited > 50, "{edited}");
}

#[test]
fn sectors_are_scrubbed_and_what_is_left_still_replays() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (file, sectors)) in [
        ("oxfw911/io", &["a5a5a5a5", "5a5a5a5a"][..]),
        ("oxuf922/io", &["a5a5a5a5", "5a5a5a5a"]),
        ("generic/io", &["a5a5a5a5", "5a5a5a5a"]),
        ("sbp_target/io", &["a5a5a5a5"]),
        ("firewire-sbp2/oxfw911", &["a5a5a5a5"]),
    ]
    .into_iter()
    .enumerate()
    {
        let fixture = root().join(format!("fixtures/recordings/{file}.fwt.jsonl"));
        let scrubbed = folder.path().join(number.to_string());
        let said = trace(&["scrub", text(&fixture), text(&scrubbed)]);
        assert!(said.success(), "{said}");
        let before = fs::read_to_string(&fixture).unwrap();
        let after = fs::read_to_string(&scrubbed).unwrap();
        for sector in sectors {
            assert!(before.contains(sector));
            assert!(!after.contains(sector), "{after}");
        }
        assert!(after.contains("28000000"), "commands stay: {after}");
        assert_eq!(before.lines().count(), after.lines().count());
        assert!(after.contains("\"sha256\"") && after.contains("\"scrubbed\":true"));
        let said = trace(&["replay", text(&scrubbed)]);
        assert!(said.success(), "{said}");
        let again = trace(&["scrub", text(&fixture), text(&scrubbed)]);
        assert_eq!(
            again.status.code(),
            Some(1),
            "nothing is overwritten: {again}"
        );
    }
}

/// A recorder that was killed leaves requests without answers.
#[test]
fn a_recording_that_was_cut_off_anywhere_is_scrubbed_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = root().join("fixtures/recordings/oxfw911/io.fwt.jsonl");
    let original = fs::read_to_string(fixture).unwrap();
    let lines: Vec<&str> = original.lines().collect();
    for count in (1..lines.len()).rev() {
        if !lines[count - 1].contains("a5a5a5a5") && !lines[count - 1].contains("5a5a5a5a") {
            continue;
        }
        let cut = folder.path().join(format!("{count}"));
        fs::write(&cut, lines[..count].join("\n") + "\n").unwrap();
        let scrubbed = folder.path().join(format!("{count}.scrubbed"));
        let said = trace(&["scrub", text(&cut), text(&scrubbed)]);
        assert!(said.success(), "{said}");
        let left = fs::read_to_string(&scrubbed).unwrap();
        assert!(
            !left.contains("a5a5a5a5") && !left.contains("5a5a5a5a"),
            "{left}"
        );
    }
}

#[test]
fn a_recording_is_shown_with_its_protocol() {
    let fixture = root().join("fixtures/recordings/oxfw911/sense.fwt.jsonl");
    let said = trace(&["show", text(&fixture)]);
    for expected in [
        "write_block: dest=ffc0, src=ffc1, offs=fffff0030000, length=8, complete",
        "management ORB: LOGIN, LUN 0, shared",
        "command ORB: READ (10), 1 blocks at 100",
        "CHECK CONDITION: MEDIUM ERROR",
        "data of READ CAPACITY (10)",
        "management ORB: LOGOUT, login 0",
    ] {
        assert!(said.stdout.contains(expected), "{expected}\n{said}");
    }
    let said = trace(&["show", "--stat", text(&fixture)]);
    assert!(
        said.stdout.contains("ORB_POINTER") && said.stdout.contains("READ (10)"),
        "{said}"
    );
}

/// The bridge is on the other side of the same transactions.
#[test]
fn a_recording_at_a_bridge_is_shown_as_its_initiators_say_it() {
    let fixture = root().join("fixtures/recordings/firewire-sbp2/oxfw911.fwt.jsonl");
    let said = trace(&["show", text(&fixture)]);
    for expected in [
        "write_block: dest=ffc0, src=ffc1, offs=fffff0030000, length=8, complete, 0 us  | MANAGEMENT_AGENT",
        "length=32, complete  | management ORB: LOGIN, LUN 0, exclusive",
        "command ORB: INQUIRY",
        "command ORB: READ CAPACITY (10)",
        "command ORB: MODE SENSE (6)",
        "data of WRITE (10), 6 blocks at 24",
        "status: SYNCHRONIZE CACHE (10): GOOD",
        "management ORB: RECONNECT, login 0",
        "management ORB: LOGOUT, login 0",
    ] {
        assert!(said.stdout.contains(expected), "{expected}\n{said}");
    }
    let mut orbs = said
        .stdout
        .lines()
        .filter(|line| line.contains("command ORB"));
    assert!(
        orbs.all(|line| line.contains("read_block: dest=ffc1, src=ffc0")),
        "{said}"
    );
    let said = trace(&["show", "--stat", text(&fixture)]);
    assert!(
        said.stdout.contains("ORB_POINTER") && said.stdout.contains("READ (10)"),
        "{said}"
    );
}

#[test]
fn wireshark_reads_what_is_exported() {
    let Some(tshark) = judge("tshark") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let fixture = root().join("fixtures/recordings/oxfw911/io.fwt.jsonl");
    let file = folder.path().join("io.pcapng");
    let said = trace(&["export", text(&fixture), "--pcapng", text(&file)]);
    assert!(said.success(), "{said}");
    let said = tshark.run([
        "-r",
        text(&file),
        "-T",
        "fields",
        "-e",
        "frame.len",
        "-e",
        "frame.cap_len",
    ]);
    let recording = fs::read_to_string(&fixture).unwrap();
    let kinds = ["\"send\"", "\"respond\"", "\"request\"", "\"response\""];
    let packets = recording
        .lines()
        .filter(|line| kinds.iter().any(|kind| line.contains(kind)));
    assert_eq!(said.stdout.lines().count(), packets.count(), "{said}");
    // The first: a block write of a pointer to the management agent, with header and 8 bytes.
    assert_eq!(said.stdout.lines().next(), Some("24\t24"), "{said}");
}

/// A recording at a bridge, and the same without the data of sectors.
fn replays(file: &Path, logins: usize) {
    let said = trace(&["replay", text(file)]);
    assert!(said.success(), "{said}");
    let scrubbed = file.with_extension("scrubbed");
    assert!(trace(&["scrub", text(file), text(&scrubbed)]).success());
    let said = trace(&["replay", text(&scrubbed)]);
    assert!(said.success(), "{said}");
    let said = trace(&["show", text(&scrubbed)]);
    let orbs = said.stdout.matches("ORB: LOGIN, LUN 0").count();
    assert_eq!(orbs, logins, "{said}");
    let unknown = |line: &&str| line.contains("write_block:") && !line.contains("  | ");
    assert_eq!(said.stdout.lines().find(unknown), None);
}

#[test]
fn a_bridge_is_recorded_into_a_new_file_and_the_recording_replays() {
    let folder = tempfile::tempdir().unwrap();
    for script in ["io", "reset"] {
        let file = folder.path().join(script);
        let bus = format!(
            "emulated:size=1M,script=fixtures/scripts/{script}.txt,record={}",
            file.display()
        );
        let log_in = || {
            let mut command = fwshare();
            command.current_dir(root());
            run(command.args(["login", "--shared", "--bus", &bus]), &[])
        };
        let said = log_in();
        assert!(said.success(), "{said}");
        replays(&file, 1);
        let said = log_in();
        assert_eq!(said.status.code(), Some(1), "{said}");
        assert!(said.stderr.contains("never overwritten"), "{said}");
    }
}

/// Whose ORBs and buffers are at the same addresses.
#[test]
fn a_bridge_between_two_hosts_is_recorded_and_the_recording_replays() {
    let Some(nbdcopy) = judge("nbdcopy") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    fs::write(&data, pattern(64 << 10, 5)).unwrap();
    let file = folder.path().join("x");
    let bus = format!("emulated:size=64K,hosts=2,record={}", file.display());
    let export = |host: usize| {
        let socket = folder.path().join(format!("host{host}"));
        format!("nbd:unix:{}", socket.display())
    };
    let (one, two) = (export(0), export(1));
    let daemon = Daemon::login([
        "--shared", "--bus", &bus, "--export", &one, "--export", &two,
    ]);
    nbdcopy.run(["--flush".as_ref(), data.as_os_str(), daemon.uri(0).as_ref()]);
    nbdcopy.run([daemon.uri(1).as_ref(), copy.as_os_str()]);
    assert!(fs::read(&data).unwrap() == fs::read(&copy).unwrap());
    let ended = daemon.stop("INT");
    assert!(ended.status.success(), "{ended:?}");
    replays(&file, 2);
}

/// A recording may come from anybody.
#[test]
fn a_recorded_bridge_opens_no_file_and_runs_no_command() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = root().join("fixtures/recordings/firewire-sbp2/oxfw911.fwt.jsonl");
    let original = fs::read_to_string(&fixture).unwrap();
    let image = folder.path().join("image");
    fs::write(&image, [1; 4096]).unwrap();
    for (machine, expected) in [
        (format!("image={}", image.display()), "names a file"),
        (
            format!("size=1M,record={}.new", image.display()),
            "names a file",
        ),
        ("profile=oxfw912".to_owned(), "oxfw911, oxuf922 or generic"),
        ("a dragon".to_owned(), "KEY=VALUE"),
    ] {
        let machine = format!("\"machine\":\"{machine}\"");
        let own = "\"machine\":\"profile=oxfw911,size=1048576,guid=0030e000000001fa\"";
        assert!(original.contains(own));
        let file = folder.path().join("x.fwt.jsonl");
        fs::write(&file, original.replacen(own, &machine, 1)).unwrap();
        let said = trace(&["replay", text(&file)]);
        assert_eq!(said.status.code(), Some(1), "{said}");
        assert!(said.stderr.contains(expected), "{said}");
    }
    assert_eq!(fs::read(&image).unwrap(), [1; 4096]);
    assert!(!folder.path().join("image.new").exists());

    let bus = format!("replay:{}", fixture.display());
    let said = run(fwshare().args(["login", "--shared", "--bus", &bus]), &[]);
    assert_eq!(said.status.code(), Some(1), "{said}");
    assert!(said.stderr.contains("recorded at bridge0"), "{said}");
}

/// Over the real ioctl path and in real time, with a client that is not ours.
#[test]
fn a_daemon_on_node_files_is_recorded_and_its_recording_replays() {
    let Some(nbdcopy) = judge("nbdcopy") else {
        return;
    };
    let Some(lab) = Lab::start(1, &["size=1M"]) else {
        return;
    };
    let data = lab.path("data");
    fs::write(&data, pattern(1 << 20, 9)).unwrap();
    let file = lab.path("x.fwt.jsonl");
    let mut arguments = lab.login_arguments(0);
    arguments.extend(["--record".to_owned(), text(&file).to_owned()]);
    let daemon = Daemon::login(arguments);
    // In the middle of its work.
    let mut resets = lab.meddler(&["reset", "--count", "20", "--interval", "20"]);
    let mut resets = resets.spawn().unwrap();
    nbdcopy.run(["--flush".as_ref(), data.as_os_str(), daemon.uri(0).as_ref()]);
    assert!(resets.wait().unwrap().success());
    let copy = lab.path("copy");
    nbdcopy.run([daemon.uri(0).as_ref(), copy.as_os_str()]);
    assert!(fs::read(&data).unwrap() == fs::read(&copy).unwrap());
    let ended = daemon.stop("INT");
    assert!(ended.status.success(), "{ended:?}");

    let said = trace(&["replay", text(&file)]);
    assert!(said.success(), "{said}");
    let scrubbed = lab.path("scrubbed");
    assert!(trace(&["scrub", text(&file), text(&scrubbed)]).success());
    let said = trace(&["replay", text(&scrubbed)]);
    assert!(said.success(), "{said}");
    assert!(fs::metadata(&scrubbed).unwrap().len() < fs::metadata(&file).unwrap().len() / 2);

    // The command itself, on the recording.
    let bus = format!("replay:{}", file.display());
    let said = run(fwshare().args(["login", "--shared", "--bus", &bus]), &[]);
    assert!(said.success(), "{said}");
    let said = run(fwshare().args(["login", "--exclusive", "--bus", &bus]), &[]);
    assert_eq!(said.status.code(), Some(1), "{said}");
    assert!(said.stderr.contains("the replay deviates"), "{said}");
}
