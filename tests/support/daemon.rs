use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::run::TIME_LIMIT;

/// The `fwshare` command of this tree with all that it can have, built if it is not there yet.
///
/// # Panics
///
/// If it cannot be built.
#[must_use]
pub fn fwshare() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    Command::new(BINARY.get_or_init(|| built("fwshare")))
}

/// The `fwlab` command of this tree, likewise.
///
/// # Panics
///
/// If it cannot be built.
#[must_use]
pub fn fwlab() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    Command::new(BINARY.get_or_init(|| built("fwlab")))
}

fn built(package: &str) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--all-features", "--package", package])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo to run");
    assert!(built.status.success(), "{package} cannot be built");
    String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
        .expect("cargo to name the executable")
}

/// A `fwshare login` that has its disk ready, or another program that says in a line of JSON
/// that it is ready. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    shown: Value,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

/// How a daemon ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it said on standard error.
    pub stderr: String,
}

impl Daemon {
    /// Runs `fwshare login --json` with these arguments, until its disk can be used.
    ///
    /// # Panics
    ///
    /// If it ends instead; with what it said.
    pub fn login<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self::start(fwshare().args(["login", "--json"]).args(arguments))
    }

    /// Runs a program until it has printed a line of JSON.
    ///
    /// # Panics
    ///
    /// If it ends instead; with what it said.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a program that runs");
        let mut pipe = child.stderr.take().expect("a pipe");
        let stderr = thread::spawn(move || {
            let mut said = String::new();
            let _ = pipe.read_to_string(&mut said);
            said
        });
        let stdout = child.stdout.take().expect("a pipe");
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // Most tests look at the first one only.
            lines.for_each(|line| drop(tell.send(line)));
        });
        let mut daemon = Self {
            child,
            shown: Value::Null,
            lines,
            stderr: Some(stderr),
        };
        let line = daemon.lines.recv().unwrap_or_default();
        match serde_json::from_str(&line) {
            Ok(shown) => daemon.shown = shown,
            Err(error) => panic!("{error} in {line:?}: {:?}", daemon.wait()),
        }
        daemon
    }

    /// The next line of JSON that it prints.
    ///
    /// # Panics
    ///
    /// If none comes.
    pub fn next(&self) -> Value {
        let line = self.lines.recv_timeout(TIME_LIMIT).expect("a line of JSON");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    /// What it printed.
    #[must_use]
    pub fn shown(&self) -> &Value {
        &self.shown
    }

    /// The URI of a host's first export.
    ///
    /// # Panics
    ///
    /// If it has none.
    #[must_use]
    pub fn uri(&self, host: usize) -> String {
        let uri = &self.shown["hosts"][host]["exports"][0];
        uri.as_str().expect("an export").to_owned()
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, by name, and waits for its end.
    pub fn stop(mut self, signal: &str) -> Ended {
        self.signal(signal);
        self.wait()
    }

    /// Sends it a signal, by name.
    ///
    /// # Panics
    ///
    /// If it is gone.
    pub fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {id}");
    }

    /// Waits for its end, which something else brings about.
    ///
    /// # Panics
    ///
    /// If it does not end in time.
    pub fn wait(&mut self) -> Ended {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child to wait for") {
                break status;
            }
            assert!(start.elapsed() < TIME_LIMIT, "it does not end");
            thread::sleep(Duration::from_millis(10));
        };
        let said = self.stderr.take().map(JoinHandle::join);
        Ended {
            status,
            stderr: said.and_then(Result::ok).unwrap_or_default(),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
