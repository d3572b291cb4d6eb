//! The login at a terminal, judged by what tmux shows of it.

// Clippy lets tests unwrap, and does not know that this is part of them.
#![allow(clippy::unwrap_used)]

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::nbd::Client;
use crate::support::{Running, run};

/// Longer than anything takes that ends at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of 100 columns with the command in it.
struct Tmux {
    folder: TempDir,
}

/// `fwshare` with these arguments. `None`: tmux is not installed, and the user has been told.
fn tmux(arguments: &str) -> Option<Tmux> {
    Tmux::with(&format!("{} {arguments}", env!("CARGO_BIN_EXE_fwshare")))
}

/// Whether there is a tmux; if not, the user has been told.
fn is_there() -> bool {
    if Command::new("tmux").arg("-V").output().is_ok() {
        return true;
    }
    assert!(env::var_os("CI").is_none(), "apt-get install tmux");
    // Past the harness's capture.
    let told = io::stderr().write_all(b"skipped: needs tmux (Debian package tmux)\n");
    told.unwrap();
    false
}

impl Tmux {
    /// Runs a command, in which FOLDER is the folder.
    fn with(command: &str) -> Option<Self> {
        if !is_there() {
            return None;
        }
        let tmux = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(tmux.path("conf"), "set -g remain-on-exit on\n").unwrap();
        let command = command.replace("FOLDER", &tmux.folder.path().display().to_string());
        let conf = tmux.path("conf").display().to_string();
        let session = ["-f", &conf, "new-session", "-d", "-x", "100", "-y", "40"];
        let started = tmux.call(&[&session[..], &[&command]].concat());
        assert!(started.status.success(), "{started:?}");
        Some(tmux)
    }

    /// The live line would be drawn by when a client is counted.
    fn wait_for_a_client_to_be_counted(&self) {
        let _client = Client::new(&self.path("disk"));
        let start = Instant::now();
        let counted = || {
            let line = format!("status --run-dir {}", self.path("run").display());
            run(&line).stdout.contains("1 client")
        };
        while !counted() {
            assert!(start.elapsed() < PATIENCE);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn call(&self, arguments: &[&str]) -> Output {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(self.path("tmux")).args(arguments);
        tmux.env_remove("TMUX").output().unwrap()
    }

    /// The lines on the screen, without empty ones and what tmux says at the end.
    fn screen(&self) -> Vec<String> {
        let shown = self.call(&["capture-pane", "-p"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let lines = shown.lines().map(str::trim_end);
        let own = lines.filter(|line| !line.is_empty() && !line.starts_with("Pane is dead"));
        own.map(str::to_owned).collect()
    }

    /// Waits until all of this is on the screen.
    fn wait_for(&self, texts: &[&str]) -> Vec<String> {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            let shown = screen.join("\n");
            if texts.iter().all(|text| shown.contains(text)) {
                return screen;
            }
            assert!(start.elapsed() < PATIENCE, "{texts:?} never came:\n{shown}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn verb(&self, line: &str) {
        let run_dir = self.path("run");
        run(&format!("{line} --run-dir {}", run_dir.display())).expect(0, &[]);
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.call(&["kill-server"]);
    }
}

const LOGIN: &str =
    "login --shared --bus emulated --run-dir FOLDER/run --export nbd:unix:FOLDER/disk";

#[test]
fn a_live_line_is_below_all_others_and_tears_none() {
    let Some(tmux) = tmux(&format!("-v {LOGIN}")) else {
        return;
    };
    let screen = tmux.wait_for(&["in flight"]);
    let titles = ["Disk ", "Bridge ", "Login ", "Size ", "Export "];
    let places = titles.map(|title| screen.iter().position(|line| line.starts_with(title)));
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{screen:#?}"
    );

    tmux.verb("reset 0030 --bus");
    let screen = tmux.wait_for(&["reconnected after a bus reset", "1 bus reset"]);
    let live: Vec<_> = screen
        .iter()
        .filter(|line| line.contains("in flight"))
        .collect();
    assert_eq!(live, [screen.last().unwrap()], "{screen:#?}");
    assert_eq!(live[0], "reads 0/s, writes 0/s, 0 in flight, 1 bus reset");
    let logged = [
        " WARN somebody wants a reset reset=Bus",
        " INFO reconnected after a bus reset",
    ];
    for line in logged {
        assert!(
            screen.iter().any(|shown| shown == line),
            "{line} in {screen:#?}"
        );
    }

    tmux.verb("logout --all");
    let screen = tmux.wait_for(&["flushed and logged out"]);
    assert!(!screen.join("\n").contains("in flight"), "{screen:#?}");
    assert_eq!(screen.last().unwrap(), "fwshare: flushed and logged out");
}

#[test]
fn there_is_no_live_line_for_who_wants_none() {
    let Some(tmux) = tmux(&format!("{LOGIN} --quiet")) else {
        return;
    };
    tmux.wait_for(&["try: nbdinfo"]);
    tmux.wait_for_a_client_to_be_counted();
    assert!(!tmux.screen().join("\n").contains("in flight"));
    tmux.verb("logout --all");
}

#[test]
fn a_login_in_the_background_leaves_the_shells_line_alone() {
    let Some(tmux) = Tmux::with(&format!(
        "bash --norc -im -c '{} {LOGIN} & cat'",
        env!("CARGO_BIN_EXE_fwshare")
    )) else {
        return;
    };
    tmux.wait_for(&["fwshare: ready"]);
    tmux.wait_for_a_client_to_be_counted();
    assert!(!tmux.screen().join("\n").contains("in flight"));
    tmux.verb("logout --all");
}

#[test]
fn a_watched_status_is_drawn_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display().to_string();
    let line = LOGIN
        .replace("FOLDER", &place)
        .replace("login", "login --json");
    let mut login = Running::start(&line);
    login.line();
    // The shell is there to tell how it ended: tmux forgets it now and again.
    let watch = format!(
        "trap : INT; {} status 0030 --watch --run-dir {place}/run; echo ended $?",
        env!("CARGO_BIN_EXE_fwshare")
    );
    let Some(tmux) = Tmux::with(&watch) else {
        return;
    };
    let since = |screen: &[String]| {
        let process = screen.iter().find(|line| line.starts_with("Process"));
        process.cloned()
    };
    let first = since(&tmux.wait_for(&["Process"]));
    let start = Instant::now();
    loop {
        let screen = tmux.screen();
        let processes = screen
            .iter()
            .filter(|line| line.starts_with("Process"))
            .count();
        assert!(processes <= 1, "{screen:#?}");
        if processes == 1 && since(&screen) != first {
            break;
        }
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
    tmux.call(&["send-keys", "C-c"]);
    tmux.wait_for(&["ended 0"]);
    login.signal(nix::sys::signal::Signal::SIGTERM);
    login.end().expect(0, &[]);
}
