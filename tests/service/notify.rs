//! What the service manager is told.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use fwshare_tests::{Lab, fwshare};

use crate::manager::Manager;
use crate::{BRIDGE, Running, login};

fn emulated(folder: &std::path::Path) -> Command {
    let mut command = fwshare();
    let export = format!("nbd:unix:{}", folder.join("sock").display());
    command.args([
        "login", "--shared", "--bus", "emulated", "--export", &export,
    ]);
    command.arg("--run-dir").arg(folder.join("run"));
    command
}

#[test]
fn ready_is_told_when_the_export_is_there_and_the_end_before_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let abstract_name = format!("fwshare-test-{}", std::process::id());
    for manager in [
        Manager::at(&folder.path().join("notify")),
        Manager::abstract_named(&abstract_name),
    ] {
        let mut command = emulated(folder.path());
        manager.of(&mut command, None);
        let service = Running::start(&mut command);
        let told = manager.next(fwshare_tests::TIME_LIMIT).unwrap();
        assert_eq!(told[0], "READY=1", "{told:?}");
        UnixStream::connect(folder.path().join("sock")).unwrap();
        assert!(
            told[1].starts_with("STATUS=") && told[1].contains("sock"),
            "{told:?}"
        );
        service.signal("TERM");
        manager.wait_for("STOPPING=1");
        let ended = service.wait();
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(manager.drain(), Vec::<String>::new());
    }
}

#[test]
fn who_does_not_come_up_is_never_ready() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::at(&folder.path().join("notify"));
    std::fs::write(folder.path().join("sock"), "in the way").unwrap();
    let mut command = emulated(folder.path());
    manager.of(&mut command, None);
    let ended = Running::start(&mut command).wait();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let told = manager.drain();
    assert!(!told.contains(&"READY=1".to_owned()), "{told:?}");
}

/// Has a stopped process go on, also when the test fails.
struct Stopped(u32);

impl Drop for Stopped {
    fn drop(&mut self) {
        crate::send(self.0, "CONT");
    }
}

#[test]
fn signs_of_life_come_while_the_sessions_thread_turns_and_stop_when_it_is_stuck() {
    let Some(lab) = Lab::start(1, &[BRIDGE]) else {
        return;
    };
    let manager = Manager::at(&lab.path("notify"));
    let patience = Duration::from_millis(600);
    let mut command = login(&lab);
    manager.of(&mut command, Some(patience));
    let service = Running::start(&mut command);
    manager.wait_for("READY=1");
    for _ in 0..4 {
        manager.wait_for("WATCHDOG=1");
    }
    {
        // A call into the kernel that does not return: nobody answers on the other side.
        crate::send(lab.bus_process(), "STOP");
        let _stopped = Stopped(lab.bus_process());
        // What was on its way still comes, and one for the turn before.
        let mut silent = 0;
        for _ in 0..40 {
            silent = match manager.next(patience) {
                Some(_) => 0,
                None => silent + 1,
            };
            if silent == 4 {
                break;
            }
        }
        assert_eq!(silent, 4, "signs of life of a thread that is stuck");
    }
    manager.wait_for("WATCHDOG=1");
    let ended = service.stop("TERM");
    assert!(ended.status.success(), "{ended:?}");
}
