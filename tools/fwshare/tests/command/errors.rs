//! What goes wrong is said in words, with an exit code, and nothing is lost by it.

use std::fs;

use crate::support::{Running, run, run_with};

#[test]
fn a_command_line_that_makes_no_sense_is_told_what_would() {
    for (line, said) in [
        ("", "Usage: fwshare"),
        ("scna", "a similar subcommand exists: 'scan'"),
        ("login", "--shared|--exclusive"),
        ("login --shared --exclusive", "cannot be used with"),
        (
            "login --shared --bus emulated --export unix:/x",
            "file:PATH[,loop], nbd-device[:/dev/nbdN] or ublk[:N]",
        ),
        (
            "login --shared --bus emulated --export file:/x,lop",
            "\"lop\" is no option of a file; there is loop",
        ),
        (
            "login --shared --bus emulated --export nbd:tcp:host",
            "no port",
        ),
        (
            "login --shared --bus emulated:hsots=2",
            "image, size, profile",
        ),
        ("login --shared --bus emulated:size=12Q", "K, M, G or T"),
        (
            "login --shared --bus emulated:size=1000",
            "sector size, 512",
        ),
        (
            "login --shared --bus emulated:profile=x",
            "oxfw911, oxuf922 or generic",
        ),
        ("login --shared --bus replay:", "replay:FILE"),
        ("login --shared xyz --bus emulated", "16 hexadecimal"),
        ("login --shared 00:99999 --bus emulated", "0 to 65535"),
        ("login --shared --replacement-timeout -1", "0 to 86400"),
        (
            "login --shared --bus emulated --export nbd:unix:/x --export nbd:unix:/x",
            "given twice",
        ),
        ("serve", "--image <FILE>"),
        ("serve --image x --sector 1000", "512, 2048 or 4096"),
        ("serve --image x --logins 43", "1 to 42"),
        ("serve --image x --profile y", "oxfw911, oxuf922, generic"),
        ("serve --image x --image x", "given twice"),
        (
            "serve --image a --image b --image c --image d --image e --image f --image g --image h --image i",
            "at most 8",
        ),
        ("serve --image x --bus emulated", "fwlab bus"),
        ("serve --image x --bus replay:y", "fwlab bus"),
    ] {
        run(line).expect(2, &[said]);
    }
}

#[test]
fn what_is_no_image_is_not_served_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let missing = folder.path().join("missing");
    for (image, words) in [
        (missing.clone(), ["No such file", "truncate -s 64M"]),
        (
            folder.path().to_owned(),
            ["neither", "a file or a block device"],
        ),
        (file("empty", &[]), ["is empty", "truncate -s 64M"]),
        (file("odd", &[7; 1000]), ["1000 bytes", "--sector"]),
    ] {
        run(&format!("serve --image {}", image.display())).expect(1, &words);
    }
    assert!(!missing.exists());
    assert_eq!(fs::read(folder.path().join("odd")).unwrap(), [7; 1000]);
    // Good images, and no bus.
    let good = file("good", &[7; 1024]);
    let line = format!(
        "serve --image {} --bus {}",
        good.display(),
        folder.path().display()
    );
    run(&line).expect(21, &["firewire-ohci"]);
    assert_eq!(fs::read(&good).unwrap(), [7; 1024]);
}

/// READ CAPACITY (10) counts blocks in 32 bits.
#[test]
fn an_image_that_a_bridges_commands_cannot_reach_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("large");
    let file = fs::File::create(&image).unwrap();
    if file.set_len(3 << 40).is_err() {
        // Not every file system has files of this size.
        return;
    }
    run(&format!(
        "serve --profile oxfw911 --image {}",
        image.display()
    ))
    .expect(1, &["--profile generic", "--sector 4096"]);
}

#[test]
fn a_missing_image_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.img");
    for verb in ["login --shared", "scan", "logins"] {
        let outcome = run(&format!("{verb} --bus emulated:image={}", image.display()));
        outcome.expect(
            1,
            &["disk.img", "No such file", "os error 2", "truncate -s"],
        );
        assert!(!image.exists());
    }
}

#[test]
fn an_image_that_is_no_multiple_of_the_sector_size_is_refused_and_left_as_it_is() {
    let image = tempfile::NamedTempFile::new().unwrap();
    let login = |options: &str| {
        let path = image.path().display();
        run(&format!(
            "login --shared --bus emulated:image={path}{options}"
        ))
    };
    login("").expect(1, &["is empty", "truncate -s"]);
    let bytes = vec![7; 5 * 512];
    fs::write(image.path(), &bytes).unwrap();
    login(",sector=4096").expect(1, &["2560 bytes", "4096 bytes", "not changed"]);
    fs::write(image.path(), &bytes[1..]).unwrap();
    login("").expect(1, &["2559 bytes", "512 bytes"]);
    assert_eq!(fs::read(image.path()).unwrap(), bytes[1..]);
}

#[test]
fn an_image_and_a_socket_that_are_in_use_stay_with_whom_they_belong_to() {
    let folder = tempfile::tempdir().unwrap();
    let (image, socket) = (
        folder.path().join("disk.img"),
        folder.path().join("disk.sock"),
    );
    fs::write(&image, [0; 4096]).unwrap();
    let mut first = Running::start(&format!(
        "login --shared --json --bus emulated:image={} --export nbd:unix:{}",
        image.display(),
        socket.display()
    ));
    first.line();

    let second = run(&format!("scan --bus emulated:image={}", image.display()));
    second.expect(1, &["in use", "hosts=2"]);
    let second = run(&format!(
        "login --shared --bus emulated --export nbd:unix:{}",
        socket.display()
    ));
    second.expect(1, &["disk.sock", "in use", "another path"]);

    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    first.signal(nix::sys::signal::Signal::SIGTERM);
    first.end().expect(0, &[]);
}

#[test]
fn what_is_no_socket_is_not_replaced_by_one() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "precious").unwrap();
    let path = file.path().display();
    let outcome = run(&format!(
        "login --shared --bus emulated --export nbd:unix:{path}"
    ));
    outcome.expect(1, &["not a socket", "left alone"]);
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "precious");
}

#[test]
fn a_second_exclusive_login_is_refused_and_told_who_is_in() {
    let outcome = run("login --exclusive --bus emulated:hosts=2");
    outcome.expect(6, &["access denied", "0x4", "02000000f05b1000", "--shared"]);
    // What was known until then, and no more.
    let lines = outcome.stdout.lines().map(|line| line.split(' ').next());
    let titles: Vec<_> = lines.flatten().filter(|title| !title.is_empty()).collect();
    assert_eq!(titles, ["Disk", "Bridge", "Host", "Login", "Size"]);
}

#[test]
fn a_login_for_which_there_is_no_room_is_refused() {
    let outcome = run("login --shared --bus emulated:hosts=2,logins=1");
    outcome.expect(5, &["resources unavailable", "0x8", "1 of 1 logins"]);
}

#[test]
fn a_device_that_is_not_there_is_told_from_nothing_at_all() {
    run("login --shared abc --bus emulated").expect(3, &["no device abc", "0030e000000001fa"]);
    run("login --shared fw1:7 --bus emulated").expect(3, &["no such logical unit", ":0 (fw1"]);
    run("login --shared fw0 --bus emulated").expect(3, &["has no disk"]);
    run("rom fw9 --bus emulated").expect(3, &["fw9"]);
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().display();
    for line in ["scan", "logins", "login --shared", "rom fw0"] {
        run(&format!("{line} --bus {empty}")).expect(21, &["firewire-ohci", "emulated"]);
    }
    run(&format!("scan --bus {empty}/missing")).expect(1, &["cannot be listed", "os error 2"]);
}

#[test]
fn a_guid_that_fits_two_devices_is_ambiguous() {
    let outcome = run("rom 02 --bus emulated:hosts=2");
    outcome.expect(2, &["2 devices", "02000000f05b1000", "02000000f05b1001"]);
}

#[test]
fn a_rom_that_is_cut_off_is_shown_as_far_as_it_goes_or_refused() {
    let whole = run("rom fw1 --bus emulated --json").json();
    assert_eq!(whole["guid"], "0030e000000001fa");
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/config-roms/sbp2-oxfw911-fw25-partial.txt"
    );
    let text = fs::read(fixture).unwrap();
    for length in (0..text.len()).step_by(37) {
        let outcome = run_with(["rom", "-"], &text[..length]);
        assert!([0, 1].contains(&outcome.code), "{length}");
        assert_eq!(outcome.code == 1, outcome.stdout.is_empty(), "{length}");
        assert_eq!(outcome.code == 1, !outcome.stderr.is_empty(), "{length}");
    }
    run_with(["rom", "-"], b"").expect(1, &["standard input"]);
    run("rom nothing-of-this-name").expect(1, &["no file", "no device"]);
}

#[test]
fn the_path_of_a_node_is_a_device_though_it_is_a_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, node) = (folder.path().display(), folder.path().join("fw0"));
    fs::write(&node, "no ROM").unwrap();
    let outcome = run(&format!("rom {} --bus {folder}", node.display()));
    outcome.expect(1, &["no firewire-cdev node"]);
}

#[test]
fn with_json_a_failure_is_an_object_too() {
    let outcome = run("login --shared --json --bus emulated:image=/nonexistent/disk");
    outcome.expect(1, &["/nonexistent/disk"]);
    let object = outcome.json();
    assert_eq!(object["schema"], 1);
    assert_eq!(object["error"]["exit_code"], 1);
    let message = object["error"]["message"].as_str().unwrap();
    assert!(message.contains("/nonexistent/disk"), "{message}");
}
