//! `fwlab` as a process, and what is to be seen of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// The longest that anything takes here that ends at all, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(120);

pub(crate) fn fwlab() -> Command {
    Command::new(env!("CARGO_BIN_EXE_fwlab"))
}

pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < SOON, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A command with a folder for its temporary files, in which nothing else is.
pub(crate) struct Place(pub(crate) TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn vm(&self) -> Command {
        let mut command = fwlab();
        command.arg("vm").env("TMPDIR", self.0.path());
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What the guest has as /host.
    pub(crate) fn host(&self) -> PathBuf {
        let mut entries = fs::read_dir(self.0.path()).expect("a folder");
        let found = entries.find_map(|entry| {
            let host = entry.expect("an entry").path().join("host");
            host.is_dir().then_some(host)
        });
        found.expect("a guest's folder")
    }

    pub(crate) fn is_empty(&self) -> bool {
        let mut entries = fs::read_dir(self.0.path()).expect("a folder");
        entries.next().is_none()
    }

    /// The QEMU that was told of this folder, if it runs.
    pub(crate) fn machine(&self) -> Option<Pid> {
        let place = self.0.path().to_string_lossy().into_owned();
        let mut processes = fs::read_dir("/proc").expect("/proc").flatten();
        processes.find_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let line = text(&fs::read(entry.path().join("cmdline")).ok()?);
            let is_it = line.contains("vfio-user-pci") && line.contains(&place);
            is_it.then(|| Pid::from_raw(process))
        })
    }

    pub(crate) fn has_machine(&self) -> bool {
        self.machine().is_some()
    }
}

/// Waits until there is something to read, which has to come.
pub(crate) fn expect_input(from: impl AsFd, what: &str) {
    let mut ends = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(SOON).expect("a time");
    assert!(
        poll(&mut ends, patience).expect("a descriptor") > 0,
        "{what}"
    );
}

/// The next line, which comes in one piece.
pub(crate) fn line(from: &mut BufReader<ChildStdout>) -> String {
    if from.buffer().is_empty() {
        expect_input(from.get_ref(), "a line");
    }
    let mut line = String::new();
    from.read_line(&mut line).expect("a line");
    line
}

/// `fwlab`, which does not outlive a test that fails.
pub(crate) struct Fwlab(pub(crate) Child);

impl Fwlab {
    pub(crate) fn start(command: &mut Command) -> (Self, BufReader<ChildStdout>) {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("fwlab");
        let stdout = child.stdout.take().expect("a pipe");
        (Self(child), BufReader::new(stdout))
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).expect("a process");
    }

    /// Waits for its end: its exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.0.wait().expect("an end").code()
    }
}

impl Drop for Fwlab {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.send(Signal::SIGTERM);
            let _ = self.0.wait();
        }
    }
}

/// What fwlab says of what cannot be.
pub(crate) fn refused(arguments: &[&str], code: i32) -> String {
    let mut command = fwlab();
    let Output { status, stderr, .. } = command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("fwlab");
    let said = text(&stderr);
    assert_eq!(status.code(), Some(code), "{arguments:?}: {said}");
    said
}
