//! A restart for an upgrade.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;

use fwshare_tests::{Lab, fwshare};

use crate::manager::Manager;
use crate::{BRIDGE, Running, login};

#[test]
fn a_process_starts_the_new_program_anew_and_keeps_its_id_and_its_sockets() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let manager = Manager::at(&lab.path("notify"));
    let installed = lab.path("fwshare");
    fs::copy(fwshare().get_program(), &installed).unwrap();
    let mut command = Command::new(&installed);
    command.args(login(&lab).get_args());
    manager.of(&mut command, None);
    let service = Running::start(&mut command);
    manager.wait_for("READY=1");
    // As a package manager does it.
    let new = lab.path("fwshare.new");
    fs::copy(fwshare().get_program(), &new).unwrap();
    fs::rename(&new, &installed).unwrap();
    let program = format!("/proc/{}/exe", service.id());
    let running = || fs::read_link(&program).unwrap().display().to_string();
    assert!(running().ends_with("(deleted)"), "{}", running());
    for round in 1..=2 {
        service.signal("USR2");
        let told = manager.wait_for("READY=1");
        assert_eq!(told[0], "RELOADING=1", "{told:?}");
        assert!(told[1].starts_with("MONOTONIC_USEC="), "{told:?}");
        assert!(!told.contains(&"STOPPING=1".to_owned()), "{told:?}");
        assert_eq!(running(), installed.display().to_string());
        UnixStream::connect(lab.path("host0.sock")).unwrap();
        assert_eq!(lab.bridge_counter("bridge0", "logins"), 1 + round);
    }
    let ended = service.stop("TERM");
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn with_an_export_that_cannot_be_left_nothing_happens() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let manager = Manager::at(&lab.path("notify"));
    let mut command = login(&lab);
    let file = lab.path("disk");
    command.args(["--export", &format!("file:{}", file.display())]);
    manager.of(&mut command, None);
    let service = Running::start(&mut command);
    manager.wait_for("READY=1");
    service.signal("USR2");
    let mut told = manager.wait_for("STATUS=not started anew, and nothing has changed");
    // And it goes on as before.
    told.extend(manager.wait_for("STATUS=0030e000000001fa:0: served at"));
    assert!(
        told.iter().all(|line| !line.starts_with("RELOADING")),
        "{told:?}"
    );
    assert_eq!(fs::metadata(&file).unwrap().len(), 4 << 20);
    let ended = service.stop("TERM");
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("ends with this process"), "{ended:?}");
}
