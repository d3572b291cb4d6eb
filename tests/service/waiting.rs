//! Waiting for a disk.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;

use fwshare_tests::{Lab, fwshare};

use crate::manager::Manager;
use crate::{BRIDGE, Running, login};

#[test]
fn a_disk_that_is_plugged_in_later_is_waited_for_and_so_is_the_whole_bus() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let manager = Manager::at(&lab.path("notify"));
    lab.ctl(&["unplug", "bridge0"]);
    lab.wait_for_units(0, 0);
    let mut command = fwshare();
    command.args(["login", "--shared", "--wait", "--bus"]);
    command.arg(lab.path("late/host0"));
    command.arg("--run-dir").arg(lab.run_dir());
    let export = format!("nbd:unix:{}", lab.path("sock").display());
    command.args(["--export", &export]);
    manager.of(&mut command, Some(std::time::Duration::from_secs(1)));
    let service = Running::start(&mut command);
    let told = manager.wait_for("STATUS=waiting for the disk");
    assert!(
        told.iter().any(|line| line.contains("late/host0")),
        "{told:?}"
    );
    // Whoever waits is alive.
    manager.wait_for("WATCHDOG=1");
    symlink(lab.bus(), lab.path("late")).unwrap();
    let mut told = manager.wait_for("STATUS=waiting for the disk: no SBP-2 logical unit");
    lab.ctl(&["replug", "bridge0"]);
    told.extend(manager.wait_for("READY=1"));
    let readies = told.iter().filter(|line| *line == "READY=1").count();
    assert_eq!(readies, 1, "{told:?}");
    UnixStream::connect(lab.path("sock")).unwrap();
    let ended = service.stop("TERM");
    assert!(ended.status.success(), "{ended:?}");
    let lines = ended.stderr.matches("waiting for the disk").count();
    assert_eq!(lines, 2, "once for each reason: {ended:?}");
}

#[test]
fn who_waits_ends_when_asked_to_and_when_the_time_is_over() {
    let Some(lab) = Lab::start(1, &[]) else {
        return;
    };
    let manager = Manager::at(&lab.path("notify"));
    let mut command = login(&lab);
    command.arg("--wait");
    manager.of(&mut command, None);
    let service = Running::start(&mut command);
    manager.wait_for("STATUS=waiting");
    let ended = service.stop("TERM");
    assert!(ended.status.success(), "{ended:?}");

    let ended = Running::start(login(&lab).arg("--wait=1")).wait();
    assert_eq!(ended.status.code(), Some(21), "{ended:?}");
    assert!(ended.stderr.contains("no SBP-2 logical unit"), "{ended:?}");
}

/// A disk that has been served once is waited for by the session itself.
#[test]
fn a_disk_that_is_unplugged_is_served_again_by_the_same_process() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let manager = Manager::at(&lab.path("notify"));
    let mut command = login(&lab);
    command.args(["--wait", "--replacement-timeout", "1"]);
    manager.of(&mut command, None);
    let service = Running::start(&mut command);
    manager.wait_for("READY=1");
    lab.ctl(&["unplug", "bridge0"]);
    manager.wait_for("STATUS=0030e000000001fa:0: not logged in now");
    lab.ctl(&["replug", "bridge0"]);
    manager.wait_for("STATUS=0030e000000001fa:0: served at");
    let ended = service.stop("TERM");
    assert!(ended.status.success(), "{ended:?}");
}
