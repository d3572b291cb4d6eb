//! Runs the command as a user does.

// Clippy lets tests unwrap, and does not know that this is part of them.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// No command of these tests takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills a process that takes too long. Its exit code is missed then, and the test fails.
struct Watchdog(Option<(Sender<()>, JoinHandle<()>)>);

impl Watchdog {
    fn over(child: &Child) -> Self {
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let (rest, over) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            if over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = kill(id, Signal::SIGKILL);
            }
        });
        Self(Some((rest, thread)))
    }

    /// To be called before the process is waited for: its id is free after that.
    fn rest(&mut self) {
        if let Some((rest, thread)) = self.0.take() {
            drop(rest);
            let _ = thread.join();
        }
    }
}

pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Fails unless the command ended with this code and said all of this on standard error.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, code, "{}", self.stderr);
        for text in said {
            assert!(
                self.stderr.contains(text),
                "no {text:?} in:\n{}",
                self.stderr
            );
        }
    }

    /// The one object on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).expect("one JSON object")
    }
}

fn command(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    // Whoever started the tests with nohup did not mean what they test.
    let mut command = Command::new("env");
    command
        .arg("--default-signal=HUP")
        .arg(env!("CARGO_BIN_EXE_fwshare"))
        .args(arguments)
        .env_remove("FWSHARE_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the command with these words, to its end.
pub(crate) fn run(line: &str) -> Outcome {
    run_with(line.split_whitespace(), &[])
}

/// Runs the command with these arguments and this on standard input.
pub(crate) fn run_with(
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    input: &[u8],
) -> Outcome {
    let mut child = command(arguments).spawn().unwrap();
    let mut watchdog = Watchdog::over(&child);
    // It may have failed before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    let (mut stdout, mut stderr) = (String::new(), String::new());
    // No command of these tests says so much on one that the other would block it.
    let [out, err]: [&mut dyn Read; 2] = [
        child.stdout.as_mut().unwrap(),
        child.stderr.as_mut().unwrap(),
    ];
    out.read_to_string(&mut stdout).unwrap();
    err.read_to_string(&mut stderr).unwrap();
    watchdog.rest();
    outcome(child.wait().unwrap().code(), stdout, stderr)
}

#[track_caller]
fn outcome(code: Option<i32>, stdout: String, stderr: String) -> Outcome {
    assert!(!stderr.contains("panicked at"), "{stderr}");
    Outcome {
        code: code.expect("an exit code, not a signal"),
        stdout,
        stderr,
    }
}

/// A command that runs until it is told to stop.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    watchdog: Watchdog,
}

impl Running {
    /// Runs the command with these words.
    pub(crate) fn start(line: &str) -> Self {
        Self::start_with(line.split_whitespace())
    }

    /// Runs the command with these arguments.
    pub(crate) fn start_with(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut child = command(arguments).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self {
            watchdog: Watchdog::over(&child),
            child,
            stdout,
            stderr,
        }
    }

    /// Its next line on standard output.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        if self.stdout.read_line(&mut line).unwrap() == 0 {
            let mut stderr = String::new();
            self.stderr.read_to_string(&mut stderr).unwrap();
            panic!("the command has ended:\n{stderr}");
        }
        line
    }

    /// Waits until a line on standard error has this in it.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            let length = self.stderr.read_line(&mut line).unwrap();
            assert!(length > 0, "the command has ended and never said {text:?}");
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Outcome {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.stderr.read_to_string(&mut stderr).unwrap();
        self.watchdog.rest();
        let status = self.child.wait().unwrap();
        outcome(status.code(), stdout, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.watchdog.rest();
        // It has ended already, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
