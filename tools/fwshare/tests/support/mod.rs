//! Runs the command as a user does.

// Clippy lets tests unwrap, and does not know that this is part of them.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwshare"));
    command
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
    // It may have failed before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    outcome(
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
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
        Self { child, stdout }
    }

    /// Its next line on standard output.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        if self.stdout.read_line(&mut line).unwrap() == 0 {
            let mut stderr = String::new();
            let pipe = self.child.stderr.as_mut().unwrap();
            pipe.read_to_string(&mut stderr).unwrap();
            panic!("the command has ended:\n{stderr}");
        }
        line
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
        let pipe = self.child.stderr.as_mut().unwrap();
        pipe.read_to_string(&mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        outcome(status.code(), stdout, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
