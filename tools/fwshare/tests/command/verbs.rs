//! The verbs on an emulated bus.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Running, run};
use nix::sys::signal::Signal;
use serde_json::Value;

/// The first thing that a server says.
fn greeting(socket: &Path) -> io::Result<[u8; 16]> {
    let mut greeting = [0; 16];
    UnixStream::connect(socket)?.read_exact(&mut greeting)?;
    Ok(greeting)
}

#[test]
fn scan_lists_the_hosts_the_bridge_and_how_many_are_logged_in() {
    let outcome = run("scan --json --bus emulated:hosts=3,profile=generic,speed=S200,logins=7");
    outcome.expect(0, &[]);
    let scan = outcome.json();
    assert_eq!(scan["schema"], 1);
    let nodes = scan["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 4);
    let (bridge, hosts): (Vec<_>, Vec<_>) = nodes
        .iter()
        .partition(|node| node["logical_units"] != Value::Array(Vec::new()));
    assert_eq!(hosts.len(), 3);
    assert_eq!(
        hosts
            .iter()
            .filter(|node| node["this_host"] == true)
            .count(),
        1
    );
    let bridge = bridge[0];
    assert_eq!(bridge["guid"], "02000000f05b0002");
    assert_eq!(bridge["speed"], "S200");
    let unit = &bridge["logical_units"][0];
    assert_eq!(unit["target"], "02000000f05b0002:0");
    assert_eq!(unit["device_type"], 0);
    assert_eq!(unit["firmware_revision"], "0x000001");
    assert_eq!(unit["logins"]["active"], 2);
    assert_eq!(unit["logins"]["max"], 7);

    let unasked = run("scan --json --no-query --bus emulated:hosts=3").json();
    let nodes = unasked["nodes"].as_array().unwrap();
    let units = nodes
        .iter()
        .flat_map(|node| node["logical_units"].as_array().unwrap());
    assert!(units.map(|unit| &unit["logins"]).eq([&Value::Null]));
}

#[test]
fn the_tables_of_scan_and_logins_fit_80_columns() {
    for line in [
        "scan --bus emulated:hosts=3",
        "logins --bus emulated:hosts=3",
    ] {
        let outcome = run(line);
        outcome.expect(0, &[]);
        assert!(
            outcome.stdout.contains("0030e000000001fa:0"),
            "{}",
            outcome.stdout
        );
        for line in outcome.stdout.lines() {
            assert!(line.len() <= 80, "{line}");
        }
    }
}

#[test]
fn logins_names_every_host_that_is_in() {
    let outcome = run("logins 0030 --json --bus emulated:hosts=3");
    outcome.expect(0, &[]);
    let logins = outcome.json();
    assert_eq!(logins["target"], "0030e000000001fa:0");
    assert_eq!((&logins["active"], &logins["max"]), (&2.into(), &4.into()));
    let names = logins["logins"].as_array().unwrap();
    let names: Vec<_> = names.iter().map(|login| &login["guid"]).collect();
    assert_eq!(names, ["02000000f05b1001", "02000000f05b1002"]);
    let empty = run("logins --json --bus emulated").json();
    assert_eq!(empty["active"], 0);
}

#[test]
fn rom_shows_the_same_whether_the_node_is_named_by_its_guid_or_its_file() {
    let by_guid = run("rom --json eui.0030e000000001fa --bus emulated");
    by_guid.expect(0, &[]);
    assert_eq!(by_guid.json()["guid"], "0030e000000001fa");
    assert_eq!(run("rom --json fw1 --bus emulated").stdout, by_guid.stdout);
}

#[test]
fn login_serves_each_host_and_every_signal_ends_it_in_good_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let folder = tempfile::tempdir().unwrap();
        let sockets = ["a", "b", "c"].map(|name| folder.path().join(name));
        let [a, b, c] = sockets.each_ref().map(|socket| socket.display());
        let mut login = Running::start(&format!(
            "login --shared --json --bus emulated:hosts=2,size=1M \
             --export nbd:unix:{a} --export nbd:unix:{b} --export nbd:unix:{c}"
        ));
        let shown: Value = serde_json::from_str(&login.line()).unwrap();
        assert_eq!(shown["schema"], 1);
        assert_eq!(shown["target"], "0030e000000001fa:0");
        assert_eq!(shown["disk"]["size"], 1 << 20);
        let hosts = shown["hosts"].as_array().unwrap();
        assert_ne!(hosts[0]["login_id"], hosts[1]["login_id"]);
        assert_eq!(hosts[1]["logins"]["active"], 2);
        let exports = |host: usize| hosts[host]["exports"].as_array().unwrap().len();
        assert_eq!((exports(0), exports(1)), (2, 1));
        for socket in &sockets {
            assert_eq!(greeting(socket).unwrap(), *b"NBDMAGICIHAVEOPT");
            let mode = fs::metadata(socket).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }

        login.signal(signal);
        let end = login.end();
        end.expect(0, &["flushed and logged out"]);
        assert_eq!(end.stdout, "");
        for socket in sockets {
            assert!(!socket.exists());
        }
    }
}

/// The transmission flags of the default export: those of NBD_OPT_EXPORT_NAME's answer.
fn transmission_flags(socket: &Path) -> io::Result<u16> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(&3_u32.to_be_bytes())?;
    stream.write_all(b"IHAVEOPT\0\0\0\x01\0\0\0\0")?;
    let mut answer = [0; 18 + 10];
    stream.read_exact(&mut answer)?;
    Ok(u16::from_be_bytes([answer[26], answer[27]]))
}

#[test]
fn clients_of_a_read_only_login_are_told_that_they_cannot_write() {
    const READ_ONLY: u16 = 1 << 1;
    for (option, expected) in [("", 0), ("--read-only", READ_ONLY)] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("disk.sock");
        let mut login = Running::start(&format!(
            "login --shared {option} --json --bus emulated --export nbd:unix:{}",
            socket.display()
        ));
        login.line();
        let flags = transmission_flags(&socket).unwrap();
        assert_eq!(flags & READ_ONLY, expected, "{option}");
        login.signal(Signal::SIGTERM);
        login.end().expect(0, &[]);
    }
}

/// A client that asks for more than fits into a socket, and reads none of it.
fn deaf_client(socket: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    // Client flags, then NBD_OPT_EXPORT_NAME with an empty name.
    stream.write_all(&3_u32.to_be_bytes())?;
    stream.write_all(b"IHAVEOPT\0\0\0\x01\0\0\0\0")?;
    for cookie in 0..16_u64 {
        // NBD_CMD_READ without flags, 1 MiB from offset 0.
        stream.write_all(&[0x25, 0x60, 0x95, 0x13, 0, 0, 0, 0])?;
        stream.write_all(&cookie.to_be_bytes())?;
        stream.write_all(&0_u64.to_be_bytes())?;
        stream.write_all(&(1_u32 << 20).to_be_bytes())?;
    }
    // The greeting and the answer to the option: now it is a client.
    stream.read_exact(&mut [0; 18 + 10])?;
    Ok(stream)
}

#[test]
fn a_second_signal_ends_a_login_that_waits_for_its_clients() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("disk.sock");
    let mut login = Running::start(&format!(
        "login --shared --json --bus emulated --export nbd:unix:{}",
        socket.display()
    ));
    login.line();
    let client = deaf_client(&socket).unwrap();
    login.signal(Signal::SIGTERM);
    login.wait_for("stopping");
    login.signal(Signal::SIGTERM);
    login.end().expect(1, &["without logging out"]);
    drop(client);
}

#[test]
fn login_tells_what_it_found_and_how_to_try_it() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("disk sock");
    let mut arguments = vec![
        "login",
        "--shared",
        "--read-only",
        "--bus",
        "emulated:size=3G",
    ];
    let export = format!("nbd:unix:{}", socket.display());
    arguments.extend(["--export", &export]);
    let mut login = Running::start_with(&arguments);
    let mut said = String::new();
    while !said.contains("try:") {
        said.push_str(&login.line());
    }
    login.signal(Signal::SIGINT);
    login.end().expect(0, &["ready"]);
    for text in [
        "0030e000000001fa:0",
        "Oxford Semiconductor Ltd.",
        "3.0 GiB: 6291456 blocks of 512 bytes, read-only",
        "ID 0, shared, 1 of 4 logins taken",
        "try: nbdinfo 'nbd+unix:///?socket=",
        "disk%20sock'",
    ] {
        assert!(said.contains(text), "no {text:?} in:\n{said}");
    }
}

#[test]
fn a_disk_of_three_tebibytes_wants_another_bridge_or_larger_sectors() {
    let small = run("login --shared --bus emulated:size=3T");
    small.expect(1, &["6442450944 blocks", "oxfw911", "profile=generic"]);
    for options in ["profile=generic", "sector=4096"] {
        let line = format!("login --shared --json --bus emulated:size=3T,{options}");
        let mut login = Running::start(&line);
        let shown: Value = serde_json::from_str(&login.line()).unwrap();
        assert_eq!(shown["disk"]["size"], 3_u64 << 40);
        login.signal(Signal::SIGINT);
        login.end().expect(0, &[]);
    }
}

#[test]
fn a_login_without_export_is_held_and_says_so() {
    let mut login = Running::start("login --exclusive 0030:0 --bus emulated");
    let mut said = String::new();
    while !said.contains("Export") {
        said.push_str(&login.line());
    }
    assert!(said.contains("none; with --export"), "{said}");
    login.signal(Signal::SIGTERM);
    login.end().expect(0, &[]);
}

#[test]
fn a_reader_that_closes_its_end_is_no_error() {
    for line in ["scan --bus emulated", "rom fw1 --bus emulated", "man"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fwshare"))
            .args(line.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        assert_eq!(output.stderr, b"", "{line}");
    }
}

#[test]
fn the_manual_lists_verbs_exit_codes_and_environment() {
    let folder = tempfile::tempdir().unwrap();
    run(&format!("man {}", folder.path().display())).expect(0, &[]);
    let page = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    for text in [
        "EXIT STATUS",
        "ENVIRONMENT",
        "FWSHARE_LOG",
        "fwshare\\-login",
    ] {
        assert!(page("fwshare.1").contains(text), "{text}");
    }
    assert!(
        page("fwshare-status.1").contains("bytes_per_s"),
        "what --json has"
    );
    for verb in ["scan", "login", "logins", "rom"] {
        assert!(page(&format!("fwshare-{verb}.1")).contains("EXIT STATUS"));
    }
    assert!(!folder.path().join("fwshare-man.1").exists());
    run("man /nonexistent/folder").expect(1, &["cannot write the manual"]);
}

#[test]
fn completions_know_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let outcome = run(&format!("completions {shell}"));
        outcome.expect(0, &[]);
        assert!(outcome.stdout.contains("serialize-io"), "{shell}");
    }
}
