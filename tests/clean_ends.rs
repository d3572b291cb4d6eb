//! `fwshare login` is told to end, and things are not as they should be.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use fwshare_tests::{Daemon, Lab, TIME_LIMIT, fwshare, judge, run};

const BRIDGE: &str = "profile=oxfw911,size=64M";

/// What the end is not to take, when the disk is gone: the time for which requests would wait for
/// it is twice that.
const SOON: Duration = Duration::from_secs(60);

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < TIME_LIMIT, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Unplugs the bridge, and waits until the login is lost.
fn lose(lab: &Lab) {
    lab.ctl(&["unplug", "bridge0"]);
    let lost = || {
        let mut status = fwshare();
        status
            .args(["status", "--json", "--run-dir"])
            .arg(lab.run_dir());
        let shown = run(&mut status, &[]).stdout;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        shown["logins"][0]["hosts"][0]["login_id"].is_null()
    };
    wait_until("the login is lost", lost);
}

/// Writes a block through the daemon's socket, with or without a flush.
fn write(daemon: &Daemon, flush: &str) -> bool {
    let Some(nbdsh) = judge("nbdsh") else {
        return false;
    };
    let write = format!("h.pwrite(b'x' * 512, 0); {flush}; h.shutdown()");
    nbdsh.run(["-u", &daemon.uri(0), "-c", &write]);
    true
}

#[test]
fn a_disk_that_is_gone_is_not_waited_for_when_all_was_flushed() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let daemon = lab.login(0);
    if !write(&daemon, "h.flush()") {
        return;
    }
    lose(&lab);
    let start = Instant::now();
    let ended = daemon.stop("TERM");
    assert!(ended.status.success(), "{ended:?}");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn what_was_not_flushed_before_the_disk_was_gone_is_told() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let daemon = lab.login(0);
    if !write(&daemon, "0") {
        return;
    }
    lose(&lab);
    let start = Instant::now();
    let ended = daemon.stop("TERM");
    assert_eq!(ended.status.code(), Some(8), "{ended:?}");
    assert!(ended.stderr.contains("check the file system"), "{ended:?}");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

/// The client hears how its flush ended before it is hung up on.
#[test]
fn a_flush_in_flight_is_finished_and_answered() {
    let Some(nbdsh) = judge("nbdsh") else {
        return;
    };
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let daemon = lab.login(0);
    // The bridge hears of the flush a second later.
    let late = [
        "packets", "delay", "--by", "1000", "--count", "1", "--to", "bridge0",
    ];
    lab.ctl(&late);
    let script = "\
h.aio_flush()
print('sent', flush=True)
while h.aio_in_flight():
    h.poll(-1)
print('answered', h.aio_peek_command_completed() and h.aio_command_completed(1))";
    let mut client = nbdsh.command();
    client.args(["-u", &daemon.uri(0), "-c", script]);
    let mut client = client.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "sent");
    daemon.signal("TERM");
    assert_eq!(said.next().unwrap().unwrap(), "answered True");
    client.wait().unwrap();
    let mut daemon = daemon;
    let ended = daemon.wait();
    assert!(ended.status.success(), "{ended:?}");
}

/// What it cannot say keeps it from nothing.
#[test]
fn a_log_that_is_full_costs_no_data() {
    let Some(nbdsh) = judge("nbdsh") else {
        return;
    };
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let socket = lab.path("host0.sock");
    let mut login = fwshare();
    login.args(["-vvv", "login"]).args(lab.login_arguments(0));
    let mut login = login.stdout(Stdio::null()).stderr(full()).spawn().unwrap();
    wait_until("it serves", || socket.exists());
    let uri = format!("nbd+unix:///?socket={}", socket.display());
    let write = "h.pwrite(b'x' * 512, 0); h.flush(); assert h.pread(512, 0) == b'x' * 512";
    nbdsh.run(["-u", &uri, "-c", write]);
    let id = login.id().to_string();
    run(std::process::Command::new("kill").args(["-TERM", &id]), &[]);
    let status = login.wait().unwrap();
    assert!(status.success(), "{status}");
    let bus = lab.host(0).display().to_string();
    let logins = run(fwshare().args(["logins", "--bus", &bus, "--json"]), &[]).stdout;
    let logins: serde_json::Value = serde_json::from_str(&logins).unwrap();
    assert_eq!(logins["active"], 0, "{logins}");
    assert!(fs::metadata(&socket).is_err());
}
