//! What can be asked of a login that runs, and what it does then.

// Clippy lets tests unwrap, and does not know that this is part of them.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::thread;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::nbd::Client;
use crate::support::{Outcome, Running, run};

/// A login with an emulated disk, and its folder.
struct Login {
    folder: TempDir,
    running: Running,
}

impl Login {
    fn new(options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        let mut running = Running::start(&format!(
            "login --shared --json --bus emulated{options} --run-dir {place}/run \
             --export nbd:unix:{place}/disk.sock"
        ));
        running.line();
        Self { folder, running }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("disk.sock")
    }

    /// Runs a verb on it.
    fn verb(&self, line: &str) -> Outcome {
        in_folder(self.folder.path(), line)
    }

    /// How it is.
    fn status(&self) -> Value {
        let outcome = self.verb("status 0030 --json");
        outcome.expect(0, &[]);
        outcome.json()["logins"][0].clone()
    }

    fn end(self) {
        self.verb("logout --all").expect(0, &[]);
        let end = self.running.end();
        end.expect(0, &["flushed and logged out"]);
        // Standard error is no terminal here.
        assert!(!end.stderr.contains('\x1b'), "{:?}", end.stderr);
    }
}

fn in_folder(folder: &Path, line: &str) -> Outcome {
    run(&format!("{line} --run-dir {}/run", folder.display()))
}

#[test]
fn status_tells_what_is_asked_of_the_disk_and_by_how_many() {
    let login = Login::new(":size=1M");
    let clients = |status: &Value| {
        let clients = status["hosts"][0]["clients"].as_object().unwrap();
        clients
            .values()
            .map(|count| count.as_u64().unwrap())
            .sum::<u64>()
    };
    let before = login.status();
    assert_eq!(before["speed"], "S400");
    assert_eq!(before["node"], "fw1");
    assert_eq!(before["max_payload"], 2048);
    assert_eq!(before["quirks"], Value::Array(Vec::new()));
    let host = &before["hosts"][0];
    assert_eq!(host["node_id"], "0xffc0");
    assert!(host["generation"].is_u64(), "{host}");
    assert_eq!(host["last_error"], Value::Null);
    assert_eq!(host["traffic"]["reads"]["latency_us"], Value::Null);
    assert_eq!(clients(&before), 0);

    let mut client = Client::new(&login.socket());
    client.write(4096, &[5; 4096]);
    assert_eq!(client.read(0, 8192)[4096..], [5; 4096]);
    client.flush();
    // The login's thread looks four times a second.
    let after = loop {
        let status = login.status();
        if clients(&status) == 1 {
            break status;
        }
    };
    let traffic = &after["hosts"][0]["traffic"];
    let counts = |kind: &str| {
        (
            traffic[kind]["done"].as_u64(),
            traffic[kind]["bytes"].as_u64(),
        )
    };
    assert_eq!(counts("reads"), (Some(1), Some(8192)));
    assert_eq!(counts("writes"), (Some(1), Some(4096)));
    assert_eq!(counts("flushes"), (Some(1), Some(0)));
    assert_eq!(traffic["in_flight"], 0);
    for kind in ["reads", "writes", "flushes"] {
        let latency = |part: &str| traffic[kind]["latency_us"][part].as_u64().unwrap();
        assert!(
            latency("p50") > 0 && latency("p50") <= latency("p99"),
            "{kind}"
        );
        assert!(latency("p99") <= latency("p99.9"), "{kind}");
    }

    let shown = login.verb("status 0030").stdout;
    for text in [
        "disk.sock, 1 client\n",
        "Reads     1, 8.0 KiB",
        "Error     none yet",
    ] {
        assert!(shown.contains(text), "no {text:?} in:\n{shown}");
    }
    drop(client);
    login.end();
}

#[test]
fn a_watched_status_comes_again_and_again_until_a_signal() {
    let login = Login::new("");
    let run_dir = login.folder.path().join("run");
    let watch = |options: &str| {
        Running::start(&format!(
            "status --watch=1 {options} --run-dir {}",
            run_dir.display()
        ))
    };
    let mut lines = watch("--json");
    for _ in 0..2 {
        let line: Value = serde_json::from_str(&lines.line()).unwrap();
        assert_eq!(line["logins"][0]["target"], "0030e000000001fa:0");
    }
    lines.signal(Signal::SIGINT);
    lines.end().expect(0, &[]);

    let mut blocks = watch("");
    for _ in 0..2 {
        let title = blocks.line();
        assert!(
            title.starts_with("TARGET"),
            "no escape sequences: {title:?}"
        );
        while !blocks.line().trim().is_empty() {}
    }
    login.verb("logout --all").expect(0, &[]);
    login.running.end().expect(0, &[]);
    while blocks.line() != "no login runs\n" {}
    blocks.signal(Signal::SIGTERM);
    blocks.end().expect(0, &[]);
}

#[test]
fn resets_are_carried_out_by_the_login_while_clients_write_and_nothing_is_lost() {
    let login = Login::new(":size=1M");
    let socket = login.socket();
    let blocks = || 0..400_u64;
    let content = |block: u64| [u8::try_from(block % 251).unwrap() + 1; 512];
    let writer = thread::spawn(move || {
        let mut client = Client::new(&socket);
        for block in blocks() {
            client.write(block * 512, &content(block));
        }
        client
    });
    for (option, done, warned) in [
        (
            "--lun",
            "the logical unit was reset",
            "aborts the commands of all hosts",
        ),
        ("--bus", "the bus was reset", "every node on the bus"),
        ("--target", "the target was reset", "ends all their logins"),
        ("--lun", "the logical unit was reset", "aborts the commands"),
    ] {
        // The login is taken anew a second after a target reset.
        let outcome = loop {
            let outcome = login.verb(&format!("reset 0030 {option}"));
            if outcome.code != 7 {
                break outcome;
            }
        };
        outcome.expect(0, &[warned]);
        assert!(outcome.stdout.contains(done), "{}", outcome.stdout);
    }
    let mut client = writer.join().unwrap();
    for block in blocks() {
        assert_eq!(
            client.read(block * 512, 512),
            content(block),
            "block {block}"
        );
    }
    let status = login.status();
    let host = &status["hosts"][0];
    assert_eq!(
        (&host["bus_resets"], &host["logins"]),
        (&1.into(), &2.into())
    );
    assert_eq!(host["traffic"]["writes"]["failed"], 0);
    let error = host["last_error"]["message"].as_str().unwrap();
    assert!(error.contains("TARGET RESET"), "{error}");
    drop(client);
    login.verb("logout --all");
    // Whether something was left to flush is chance.
    let end = login.running.end();
    assert!([0, 8].contains(&end.code), "{}", end.stderr);
}

#[test]
fn without_a_login_only_the_bus_can_be_reset() {
    let folder = tempfile::tempdir().unwrap();
    let lun = in_folder(folder.path(), "reset 0030 --lun");
    lun.expect(21, &["no login to 0030 runs", "fwshare login"]);
    let bus = in_folder(folder.path(), "reset 0030 --bus=emulated");
    bus.expect(0, &["every node on the bus"]);
    assert_eq!(bus.stdout, "0030e000000001fa:0: the bus was reset\n");
    let quiet = in_folder(folder.path(), "reset 0030 --bus=emulated --quiet --json");
    quiet.expect(0, &[]);
    assert_eq!(quiet.stderr, "");
    let shown = quiet.json();
    assert_eq!(
        (&shown["schema"], &shown["reset"]),
        (&1.into(), &"bus".into())
    );
    assert_eq!(shown["resets"][0]["exit_code"], 0);
    let none = in_folder(folder.path(), "reset 0031 --bus=emulated");
    none.expect(3, &["0031"]);
    let nonsense = in_folder(folder.path(), "reset xyz --bus=emulated");
    nonsense.expect(2, &["xyz"]);
}
