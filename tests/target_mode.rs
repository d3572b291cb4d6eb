//! A host that is a disk for another one: `fwshare serve` and `fwshare login`, each a process of
//! its own, over the real ioctl path.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use fwshare_tests::{Daemon, Judge, Lab, judge, pattern, run, verifying_fio};
use serde_json::Value;

const MIB: usize = 1 << 20;
/// The EUI-64 of the host that logs in: host 1.
const INITIATOR: &str = "02000000f05b1001";
/// Longer than anybody waits for the answer to a write.
const STANDSTILL: Duration = Duration::from_millis(2500);

/// A lab of hosts alone.
fn lab() -> Option<Lab> {
    Lab::start(2, &[])
}

fn image(lab: &Lab, name: &str, length: usize) -> PathBuf {
    let path = lab.path(name);
    let file = File::create(&path).unwrap();
    file.set_len(length as u64).unwrap();
    path
}

fn data(lab: &Lab, length: usize, seed: u64) -> PathBuf {
    let path = lab.path(&format!("data{seed}"));
    fs::write(&path, pattern(length, seed)).unwrap();
    path
}

/// Host 1 logs in to a logical unit of host 0.
fn log_in(lab: &Lab, lun: u16, more: &[&str]) -> Daemon {
    let mut arguments = lab.login_arguments(1);
    arguments.push(format!("fw1:{lun}"));
    arguments.extend(more.iter().map(|more| (*more).to_owned()));
    Daemon::login(arguments)
}

fn copy(nbdcopy: &Judge, from: &str, to: &str) {
    nbdcopy.run(["--flush", from, to]);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn event(line: &Value) -> &str {
    line["event"].as_str().unwrap()
}

fn stop_well(daemon: Daemon) {
    let ended = daemon.stop("INT");
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn what_a_host_writes_is_in_the_image_and_is_read_back_after_a_new_start() {
    let (Some(nbdcopy), Some(qemu_io)) = (judge("nbdcopy"), judge("qemu-io")) else {
        return;
    };
    let Some(lab) = lab() else {
        return;
    };
    let images = [image(&lab, "a.img", 4 * MIB), image(&lab, "b.img", 2 * MIB)];
    let images = [&*images[0], &*images[1]];
    let written = [data(&lab, 4 * MIB, 1), data(&lab, 2 * MIB, 2)];

    let serve = lab.serve(0, &images, &[]);
    assert_eq!(event(serve.shown()), "serving");
    assert_eq!(serve.shown()["units"][1]["size"], 2 * MIB);
    lab.wait_for_units(1, 2);
    for (lun, file) in (0..).zip(&written) {
        let login = log_in(&lab, lun, &[]);
        let came = serve.next();
        assert_eq!(event(&came), "login");
        assert_eq!(
            (&came["initiator"], &came["lun"]),
            (&INITIATOR.into(), &lun.into())
        );
        copy(&nbdcopy, text(file), &login.uri(0));
        stop_well(login);
        assert_eq!(event(&serve.next()), "logout");
        assert!(fs::read(images[usize::from(lun)]).unwrap() == fs::read(file).unwrap());
    }
    serve.signal("TERM");
    let end = serve.next();
    assert_eq!((event(&end), &end["logins"]), ("end", &2.into()), "{end}");
    assert_eq!(end["blocks_written"], 6 * MIB / 512);
    drop(serve);
    lab.wait_for_units(1, 0);

    let serve = lab.serve(0, &images, &["--read-only", "--profile", "oxuf922"]);
    lab.wait_for_units(1, 2);
    let login = log_in(&lab, 1, &[]);
    let back = lab.path("back");
    nbdcopy.run([&login.uri(0), text(&back)]);
    assert!(fs::read(&back).unwrap() == fs::read(&written[1]).unwrap());
    let refused = qemu_io.try_run(["-f", "raw", "-c", "write 0 4k", &login.uri(0)]);
    assert!(!refused.success(), "{refused}");
    assert!(fs::read(images[1]).unwrap() == fs::read(&written[1]).unwrap());
    stop_well(login);
    stop_well(serve);
}

#[test]
fn bus_resets_in_the_middle_of_writes_lose_nothing() {
    let Some(fio) = judge("fio") else {
        return;
    };
    let Some(lab) = lab() else {
        return;
    };
    let image = image(&lab, "a.img", 16 * MIB);
    let serve = lab.serve(0, &[&image], &[]);
    lab.wait_for_units(1, 1);
    let login = log_in(&lab, 0, &[]);
    let mut resets = lab.meddler(&["reset", "--count", "60", "--interval", "60"]);
    let mut resets = resets.spawn().unwrap();
    // The resets are to hit the work, so there is work as long as there are resets.
    let mut rounds = 0;
    while resets.try_wait().unwrap().is_none() {
        let seed = format!("--randseed={rounds}");
        let options = ["--bs=16k", "--size=8M", &seed];
        let said = run(&mut verifying_fio(&fio, &login.uri(0), &options), &[]);
        assert!(said.success(), "{said}");
        rounds += 1;
    }
    assert!(resets.wait().unwrap().success());
    stop_well(login);
    assert_eq!(event(&serve.next()), "login");
    assert_eq!(event(&serve.next()), "logout", "every reset was survived");
    serve.signal("INT");
    let end = serve.next();
    assert_eq!(end["logins"], 1, "{end}");
    assert!(end["bus_resets"].as_u64().unwrap() >= 60, "{end}");
}

#[test]
fn a_stop_in_good_order_keeps_what_was_written_and_the_host_is_told() {
    let (Some(nbdcopy), Some(qemu_io)) = (judge("nbdcopy"), judge("qemu-io")) else {
        return;
    };
    let Some(lab) = lab() else {
        return;
    };
    let image = image(&lab, "a.img", 2 * MIB);
    let serve = lab.serve(0, &[&image], &[]);
    lab.wait_for_units(1, 1);
    let login = log_in(&lab, 0, &["--replacement-timeout", "1"]);
    let written = data(&lab, 2 * MIB, 3);
    // Written and not flushed: that is the stop's business.
    nbdcopy.run([text(&written), &login.uri(0)]);
    let ended = serve.stop("INT");
    assert!(ended.status.success(), "{ended:?}");
    assert!(fs::read(&image).unwrap() == fs::read(&written).unwrap());
    lab.wait_for_units(1, 0);
    let failed = qemu_io.try_run(["-f", "raw", "-c", "read 0 4k", &login.uri(0)]);
    assert!(!failed.success(), "{failed}");
    // What was written was not flushed by the host, so it cannot know.
    let ended = login.stop("INT");
    assert!(!ended.status.success(), "{ended:?}");
}

/// The kernel takes away what belongs to a file that is closed, whoever closes it.
#[test]
fn a_killed_server_leaves_nothing_on_the_bus_and_the_host_goes_on_with_the_next_one() {
    let Some(fio) = judge("fio") else {
        return;
    };
    let Some(lab) = lab() else {
        return;
    };
    let image = image(&lab, "a.img", 16 * MIB);
    let serve = lab.serve(0, &[&image], &[]);
    lab.wait_for_units(1, 1);
    let login = log_in(&lab, 0, &[]);
    let options = ["--rw=randwrite", "--iodepth=1", "--size=8M", "--loops=2"];
    let mut work = verifying_fio(&fio, &login.uri(0), &options);
    work.stdout(Stdio::null());
    let mut work = work.spawn().unwrap();
    assert_eq!(event(&serve.next()), "login");
    assert!(!serve.stop("KILL").status.success());
    lab.wait_for_units(1, 0);
    let serve = lab.serve(0, &[&image], &[]);
    assert_eq!(event(&serve.next()), "login");
    assert!(work.wait().unwrap().success(), "no request failed");
    stop_well(serve);
}

/// The host has its memory back by then.
#[test]
fn a_login_that_was_asked_for_while_the_server_stood_still_is_not_answered_and_the_next_one_is() {
    let Some(lab) = lab() else {
        return;
    };
    let image = image(&lab, "a.img", MIB);
    let serve = lab.serve(0, &[&image], &[]);
    lab.wait_for_units(1, 1);
    serve.signal("STOP");
    let mut arguments = lab.login_arguments(1);
    arguments.push("fw1".to_owned());
    let asking = thread::spawn(move || Daemon::login(arguments));
    thread::sleep(STANDSTILL);
    serve.signal("CONT");
    let login = asking.join().expect("a login in the end");
    assert_eq!(event(&serve.next()), "login");
    stop_well(login);
    assert_eq!(event(&serve.next()), "logout");
    serve.signal("INT");
    let end = serve.next();
    assert_eq!(end["logins_refused"], 1, "{end}");
    assert_eq!(end["logins"], 1, "{end}");
}

#[test]
fn an_exclusive_login_keeps_others_out_and_so_do_all_logins_that_there_are() {
    let Some(lab) = Lab::start(3, &[]) else {
        return;
    };
    let image = image(&lab, "a.img", MIB);
    let serve = lab.serve(0, &[&image], &["--logins", "1"]);
    for host in [1, 2] {
        lab.wait_for_units(host, 1);
    }
    let second = |kind: &str| {
        let mut command = fwshare_tests::fwshare();
        command
            .args(["login", kind, "fw1", "--bus"])
            .arg(lab.host(2));
        command.arg("--run-dir").arg(lab.run_dir());
        run(&mut command, &[])
    };
    let mut arguments = lab.login_arguments(1);
    arguments[0] = "--exclusive".to_owned();
    arguments.push("fw1".to_owned());
    let login = Daemon::login(arguments);
    let came = serve.next();
    assert_eq!((event(&came), &came["exclusive"]), ("login", &true.into()));
    let said = second("--shared");
    assert_eq!(said.status.code(), Some(6), "{said}");
    stop_well(login);
    assert_eq!(event(&serve.next()), "logout");

    let login = log_in(&lab, 0, &[]);
    let said = second("--shared");
    assert_eq!(said.status.code(), Some(5), "{said}");
    assert!(said.stderr.contains(INITIATOR), "{said}");
    stop_well(login);
    stop_well(serve);
}

fn refused(command: &mut Command, code: i32, words: &[&str]) {
    let said = run(command, &[]);
    assert_eq!(said.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.stderr.contains(word), "{word}: {said}");
    }
}

#[test]
fn what_cannot_be_served_is_told_with_a_remedy_and_changes_nothing() {
    let Some(lab) = lab() else {
        return;
    };
    let [first, second] = ["a.img", "b.img"].map(|name| image(&lab, name, MIB));
    let server = |images: &[&Path], more: &[&str]| {
        let mut command = lab.server(0, images);
        command.args(more);
        command
    };
    let wrong = |host: &str| server(&[&first], &["--host", host]);
    refused(
        &mut wrong("fw1"),
        3,
        &["another node", "02000000f05b1000 (fw0)"],
    );
    refused(
        &mut wrong("ff"),
        3,
        &["no controller ff", "02000000f05b1000 (fw0)"],
    );
    lab.wait_for_units(1, 0);

    let serve = lab.serve(0, &[&first], &["--host", "02000000f05b1000"]);
    lab.wait_for_units(1, 1);
    refused(
        &mut server(&[&first], &[]),
        1,
        &["is in use", "stop the other one"],
    );
    refused(
        &mut server(&[&second], &[]),
        6,
        &["fffff0010000", "sbp_target", "--image FILE"],
    );
    // A host does not take its own disk for one that it could use.
    let mut login = fwshare_tests::fwshare();
    login.args(["login", "--shared", "--bus"]).arg(lab.host(0));
    refused(&mut login, 21, &["no SBP-2 logical unit"]);
    lab.wait_for_units(1, 1);
    stop_well(serve);
}
