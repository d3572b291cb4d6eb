//! Machines on a bus that other programs are on.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::process::{Fwlab, Place, fwlab, line, refused, text};
use crate::support::{spec, tell};

/// `fwlab bus`, until it is stopped.
struct Bus {
    files: Place,
    process: Fwlab,
    said: String,
}

impl Bus {
    /// `None`: there is no FUSE here, and the user has been told.
    fn start(arguments: &[&str]) -> Option<Self> {
        if !Path::new("/dev/fuse").exists() {
            assert!(
                std::env::var_os("CI").is_none(),
                "this test needs /dev/fuse"
            );
            tell("skipped: needs /dev/fuse");
            return None;
        }
        let files = Place::new();
        let mut command = fwlab();
        command.current_dir(files.0.path());
        let (process, mut stdout) =
            Fwlab::start(command.args(["bus", "lab", "--json"]).args(arguments));
        let said = line(&mut stdout);
        Some(Self {
            files,
            process,
            said,
        })
    }

    fn stop(&mut self) -> Option<i32> {
        self.process.send(Signal::SIGTERM);
        self.process.end()
    }
}

#[test]
fn two_machines_and_a_bridge_are_on_one_bus_and_on_one_network() {
    if spec().is_none() {
        return;
    }
    let arguments = "--hosts 0 --bridge size=1M --topology star --controller vm0 --controller vm1 \
                     --network net";
    let arguments: Vec<_> = arguments.split(' ').collect();
    let Some(mut bus) = Bus::start(&arguments) else {
        return;
    };
    let expected = "\"controllers\":[\"vm0\",\"vm1\"]";
    assert!(bus.said.contains(expected), "{}", bus.said);
    assert!(bus.said.contains("\"network\":\"net\""), "{}", bus.said);

    let places = [Place::new(), Place::new()];
    let machines = [(1, "vm0", 2), (2, "vm1", 1)];
    let mut machines: Vec<_> = places
        .iter()
        .zip(machines)
        .map(|(place, (number, controller, other))| {
            let mut command = place.vm();
            command
                .args(["--memory", "256", "--number", &number.to_string()])
                .arg("--controller")
                .arg(bus.files.file(controller))
                .arg("--network")
                .arg(bus.files.file("net"))
                .arg("--run")
                .arg(format!(
                    "until [ $(ls /dev | grep -c ^fw) = 3 ]; do sleep 0.1; done; echo three nodes
                     until ping -c 1 -w 1 10.87.0.{other} > /dev/null; do :; done; echo reached
                     until [ -e /host/go ]; do sleep 0.1; done"
                ));
            Fwlab::start(&mut command)
        })
        .collect();
    for (_, said) in &mut machines {
        // Their numbers may be any: in a star a new root moves all cables, and who was not known yet
        // is a new node then.
        assert_eq!(line(said), "three nodes\n");
        assert_eq!(line(said), "reached\n");
    }
    let output = fwlab()
        .arg("ctl")
        .arg(bus.files.file("lab"))
        .arg("show")
        .output();
    let shown = text(&output.expect("fwlab").stdout);
    for node in ["vm0", "vm1", "bridge0"] {
        assert!(shown.contains(node), "{shown}");
    }
    // A third one finds both in use.
    let mut third = Place::new().vm();
    third
        .arg("--controller")
        .arg(bus.files.file("vm1"))
        .args(["--run", "true"]);
    let refused = third.output().expect("fwlab");
    let said = text(&refused.stderr);
    assert!(said.contains("in use by another virtual machine"), "{said}");
    assert_eq!(refused.status.code(), Some(125));

    for (place, (vm, _)) in places.iter().zip(&mut machines) {
        fs::write(place.host().join("go"), "").expect("a file");
        assert_eq!(vm.end(), Some(0));
    }
    assert_eq!(bus.stop(), Some(0));
    assert!(bus.files.is_empty(), "the sockets and the folder are gone");
}

#[test]
fn sockets_that_cannot_be_had_are_named_with_what_to_do() {
    let files = Place::new();
    let path = |name: &str| files.file(name).display().to_string();
    let said = refused(&["bus", &path("lab"), "--hosts", "0"], 2);
    assert!(said.contains("--controller SOCKET"), "{said}");
    fs::write(path("file"), "precious").expect("a file");
    let long = path(&"x".repeat(108));
    for option in ["--controller", "--network"] {
        for (socket, expected) in [
            (path("no/such"), format!("mkdir -p {}", path("no"))),
            (long.clone(), "107 bytes at most".to_owned()),
            (
                path("file"),
                "not a socket, so it was left alone".to_owned(),
            ),
            (path("lab/inside"), "beside that folder".to_owned()),
        ] {
            let said = refused(&["bus", &path("lab"), option, &socket], 1);
            assert!(said.contains(&expected), "{said}");
            assert!(!files.file("lab").exists());
        }
    }
    let twice = [
        "bus",
        &path("lab"),
        "--controller",
        &path("a"),
        "--network",
        &path("a"),
    ];
    let said = refused(&twice, 1);
    assert!(
        said.contains("in use") && !files.file("a").exists(),
        "{said}"
    );
    assert_eq!(
        fs::read_to_string(path("file")).expect("a file"),
        "precious"
    );
}

#[test]
fn sockets_that_a_dead_bus_has_left_are_taken_over() {
    let sockets = ["--controller", "vm0", "--network", "net"];
    let Some(mut dead) = Bus::start(&sockets) else {
        return;
    };
    let folder = dead.files.file("lab");
    dead.process.send(Signal::SIGKILL);
    assert_eq!(dead.process.end(), None);
    assert!(dead.files.file("vm0").exists() && dead.files.file("net").exists());
    let unmounted = Command::new("fusermount3").arg("-u").arg(&folder).status();
    assert!(unmounted.expect("fusermount3").success());
    let mut command = fwlab();
    command.current_dir(dead.files.0.path());
    let (process, mut stdout) = Fwlab::start(command.args(["bus", "lab", "--json"]).args(sockets));
    assert!(line(&mut stdout).contains("\"controllers\":[\"vm0\"]"));
    dead.process = process;
    assert_eq!(dead.stop(), Some(0));
    assert!(!dead.files.file("vm0").exists() && !dead.files.file("net").exists());
}
