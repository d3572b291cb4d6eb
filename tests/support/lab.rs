use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Daemon, Ended, fwlab, fwshare};
use crate::judge::needs_fuse;
use crate::run::{Said, TIME_LIMIT, run};

/// A `fwlab bus`: hosts and bridges as files, and a folder for what a test needs beside them.
/// Gone when dropped.
#[derive(Debug)]
pub struct Lab {
    folder: TempDir,
    bus: Option<Daemon>,
}

impl Lab {
    /// A bus in a folder of its own, with these bridges. `None` means: skip the test, the user
    /// has been told.
    ///
    /// # Panics
    ///
    /// If there is FUSE and the bus does not come up.
    #[must_use]
    pub fn start(hosts: usize, bridges: &[&str]) -> Option<Self> {
        if !needs_fuse() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut lab = Self { folder, bus: None };
        let mut command = fwlab();
        command.arg("bus").arg(lab.bus()).arg("--json");
        command.args(["--hosts", &hosts.to_string()]);
        for bridge in bridges {
            command.args(["--bridge", bridge]);
        }
        lab.bus = Some(Daemon::start(&mut command));
        Some(lab)
    }

    /// Where the bus is.
    #[must_use]
    pub fn bus(&self) -> PathBuf {
        self.path("bus")
    }

    /// Where a host's nodes are.
    #[must_use]
    pub fn host(&self, host: usize) -> PathBuf {
        self.bus().join(format!("host{host}"))
    }

    /// A place beside the bus.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Logs a host in, with an export of its own.
    #[must_use]
    pub fn login(&self, host: usize) -> Daemon {
        Daemon::login(self.login_arguments(host))
    }

    /// What `fwshare login` is to be told for that.
    #[must_use]
    pub fn login_arguments(&self, host: usize) -> Vec<String> {
        let bus = self.host(host).display().to_string();
        let socket = self.path(&format!("host{host}.sock"));
        let export = format!("nbd:unix:{}", socket.display());
        let run = self.run_dir().display().to_string();
        let arguments = [
            "--shared",
            "--bus",
            &bus,
            "--export",
            &export,
            "--run-dir",
            &run,
        ];
        arguments.map(str::to_owned).to_vec()
    }

    /// Makes a host a disk with these images, and waits until the others can have seen it.
    ///
    /// # Panics
    ///
    /// If that fails.
    #[must_use]
    pub fn serve(&self, host: usize, images: &[&Path], arguments: &[&str]) -> Daemon {
        Daemon::start(self.server(host, images).arg("--json").args(arguments))
    }

    /// `fwshare serve` with these images, to be run.
    #[must_use]
    pub fn server(&self, host: usize, images: &[&Path]) -> Command {
        let mut command = fwshare();
        command.arg("serve").arg("--bus").arg(self.host(host));
        for image in images {
            command.arg("--image").arg(image);
        }
        command
    }

    /// Waits until a host's nodes have, or have no longer, as many logical units as said.
    ///
    /// # Panics
    ///
    /// If that does not come about.
    pub fn wait_for_units(&self, host: usize, units: usize) {
        let start = Instant::now();
        loop {
            let bus = self.host(host);
            let said = run(
                fwshare()
                    .args(["scan", "--no-query", "--json", "--bus"])
                    .arg(bus),
                &[],
            );
            let shown: Value = serde_json::from_str(&said.stdout)
                .unwrap_or_else(|error| panic!("{error}: {said}"));
            let nodes = shown["nodes"].as_array().into_iter().flatten();
            let found: usize = nodes
                .filter_map(|node| Some(node["logical_units"].as_array()?.len()))
                .sum();
            if found == units {
                return;
            }
            assert!(start.elapsed() < TIME_LIMIT, "{units} units: {said}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where the hosts' running logins can be reached.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.path("run")
    }

    /// `fwlab ctl` with these arguments, to be run.
    #[must_use]
    pub fn meddler(&self, arguments: &[&str]) -> Command {
        let mut command = fwlab();
        command.arg("ctl").arg(self.bus()).args(arguments);
        command
    }

    /// Meddles with the bus.
    ///
    /// # Panics
    ///
    /// If that is refused.
    pub fn ctl(&self, arguments: &[&str]) -> Said {
        let said = run(&mut self.meddler(arguments), &[]);
        assert!(said.success(), "{said}");
        said
    }

    /// Who is on the bus and what has happened.
    ///
    /// # Panics
    ///
    /// If it does not tell.
    #[must_use]
    pub fn show(&self) -> Value {
        let said = self.ctl(&["show", "--json"]);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// What a bridge has counted.
    ///
    /// # Panics
    ///
    /// If there is no such bridge, or no such counter.
    #[must_use]
    pub fn bridge_counter(&self, bridge: &str, counter: &str) -> u64 {
        let shown = self.show();
        let nodes = shown["nodes"].as_array().expect("nodes");
        let node = nodes.iter().find(|node| node["name"] == bridge);
        let counters = &node.expect("the bridge")["bridge"];
        counters[counter].as_u64().expect("a counter")
    }

    /// The bus's process.
    ///
    /// # Panics
    ///
    /// If it has ended.
    #[must_use]
    pub fn bus_process(&self) -> u32 {
        self.bus.as_ref().expect("a bus").id()
    }

    /// Sends the bus's process a signal, by name, and waits for its end.
    ///
    /// # Panics
    ///
    /// If it has ended before.
    pub fn stop(&mut self, signal: &str) -> Ended {
        self.bus.take().expect("a bus").stop(signal)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(bus) = self.bus.take() {
            // Unmounts, which a kill would not do.
            let _ = bus.stop("TERM");
        }
    }
}
