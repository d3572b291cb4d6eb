//! Life as a service: what the service manager and the journal are told, waiting for a disk, the
//! configuration, a restart for an upgrade, and the unit.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

mod config;
mod journal;
mod manager;
mod notify;
mod restart;
mod systemd;
mod unit;
mod waiting;

use std::process::{Child, Command, Stdio};

use fwshare_tests::{Ended, Lab, TIME_LIMIT};

const BRIDGE: &str = "profile=oxfw911,size=4M";

/// A process that is not waited for until it says something. Killed when dropped.
struct Running(Option<Child>);

impl Running {
    fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped());
        Self(Some(piped.stderr(Stdio::piped()).spawn().unwrap()))
    }

    fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    fn signal(&self, signal: &str) {
        send(self.id(), signal);
    }

    fn wait(mut self) -> Ended {
        let child = self.0.take().unwrap();
        let id = child.id();
        let (over, is_over) = std::sync::mpsc::channel::<()>();
        let guard = std::thread::spawn(move || {
            if is_over.recv_timeout(TIME_LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                send(id, "KILL");
            }
        });
        let output = child.wait_with_output().unwrap();
        drop(over);
        guard.join().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ended {
            status: output.status,
            stderr: text(&output.stdout) + &text(&output.stderr),
        }
    }

    fn stop(self, signal: &str) -> Ended {
        self.signal(signal);
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn send(id: u32, signal: &str) {
    let sent = Command::new("kill")
        .args(["-s", signal, &id.to_string()])
        .status();
    assert!(sent.unwrap().success(), "kill -s {signal} {id}");
}

/// `fwshare login --shared` on a lab's first host, with an export, to be run.
fn login(lab: &Lab) -> Command {
    let mut command = fwshare_tests::fwshare();
    command.arg("login").args(lab.login_arguments(0));
    command
}
