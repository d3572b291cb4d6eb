//! A command in a machine.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixDatagram;

use nix::sys::signal::{Signal, kill};

use crate::process::{Fwlab, Place, line, refused, text, until};
use crate::support::spec;

#[test]
fn a_command_has_its_files_is_heard_while_it_runs_and_its_status_is_passed_on() {
    if spec().is_none() {
        return;
    }
    let (place, files) = (Place::new(), Place::new());
    fs::write(files.file("note"), "from outside\n").expect("a file");
    let mut command = place.vm();
    command
        .arg("--file")
        .arg(files.file("note"))
        .args(["--module", "sd_mod", "--module", "firewire-sbp2"])
        .arg("--fetch")
        .arg(format!("/root/out:{}", files.file("fetched").display()))
        .args(["--with", "sha256sum"])
        .arg("--run")
        .arg(
            "cat /root/note; until [ -e /host/go ]; do sleep 0.1; done
             mkdir -p /root/out/deep && echo result > /root/out/deep/file
             sha256sum --version | head -n 1 >&2
             until { true < /dev/sda; } 2> /dev/null; do sleep 0.1; done; cat /sys/block/sda/size; exit 7",
        );
    let (mut vm, mut said) = Fwlab::start(&mut command);
    // It goes on when this has been heard.
    assert_eq!(line(&mut said), "from outside\n");
    fs::write(place.host().join("go"), "").expect("a file");
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("its output");
    assert!(rest.contains("GNU coreutils"), "{rest}");
    // A bridge was there without being asked for: 64 MiB.
    assert!(rest.ends_with("\n131072\n"), "{rest}");
    assert_eq!(vm.end(), Some(7));
    let fetched = fs::read_to_string(files.file("fetched/deep/file"));
    assert_eq!(fetched.expect("a file"), "result\n");
    assert!(place.is_empty() && !place.has_machine());
}

#[test]
fn a_command_that_takes_too_long_is_left_and_what_it_has_is_fetched() {
    if spec().is_none() {
        return;
    }
    let (place, files) = (Place::new(), Place::new());
    let output = place
        .vm()
        .current_dir(files.0.path())
        .args(["--console", "--memory", "256", "--timeout", "3"])
        .args(["--kernel-argument", "loglevel=7"])
        .args(["--fetch", "/root/part", "--fetch", "/root/none"])
        .args(["--run", "echo part > /root/part; sleep 1000"])
        .output()
        .expect("fwlab");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(124), "{said}");
    assert!(said.contains("Linux version"), "{said}");
    assert!(said.contains("nothing after 3 s"), "{said}");
    assert!(
        said.contains("cannot fetch: ") && said.contains("/root/none"),
        "{said}"
    );
    let part = fs::read_to_string(files.file("part"));
    assert_eq!(part.expect("a file"), "part\n");
    assert!(place.is_empty() && !place.has_machine());
}

#[test]
fn a_kernel_that_crashes_is_told_from_a_command_that_fails() {
    if spec().is_none() {
        return;
    }
    let place = Place::new();
    let output = place
        .vm()
        .args(["--memory", "256", "--bridge", "size=1M"])
        .args(["--run", "echo c > /proc/sysrq-trigger; sleep 1000"])
        .output()
        .expect("fwlab");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(
        said.contains("guest1 has ended") && said.contains("not syncing: sysrq"),
        "{said}"
    );
    assert!(place.is_empty() && !place.has_machine());
}

#[test]
fn a_killed_command_leaves_nothing_behind() {
    if spec().is_none() {
        return;
    }
    for (signal, code) in [(Signal::SIGKILL, None), (Signal::SIGTERM, Some(143))] {
        let place = Place::new();
        let mut command = place.vm();
        command.args(["--memory", "256", "--run", "echo up; sleep 1000"]);
        let (mut vm, mut said) = Fwlab::start(&mut command);
        assert_eq!(line(&mut said), "up\n");
        // It cannot end by itself, as it would on hearing that its host is gone.
        kill(place.machine().expect("QEMU"), Signal::SIGSTOP).expect("a process");
        vm.send(signal);
        assert_eq!(vm.end(), code);
        if code.is_none() {
            // Somebody else has to tidy up.
            until("QEMU ends", || !place.has_machine());
            until("the files go", || place.is_empty());
        }
        assert!(place.is_empty() && !place.has_machine());
    }
}

#[test]
fn a_machine_that_cannot_be_had_is_refused_with_what_to_do() {
    let said = refused(&["vm"], 2);
    assert!(said.contains("--run COMMAND"), "{said}");
    let said = refused(&["vm", "--shell"], 2);
    assert!(said.contains("standard input is no terminal"), "{said}");
    refused(&["vm", "--shell", "--run", "true"], 2);
    refused(&["vm", "--controller", "a", "--bridge", "size=1M"], 2);
    refused(&["vm", "--run", "true", "--fetch", "relative"], 2);
    let said = refused(&["vm", "--run", "true", "--qemu", "/bin/true"], 125);
    assert!(
        said.contains("no QEMU") && said.contains("vm/prepare"),
        "{said}"
    );
    if spec().is_none() {
        return;
    }
    let said = refused(&["vm", "--run", "true", "--kernel", "no-such"], 125);
    assert!(said.contains("no kernel no-such"), "{said}");
    let files = Place::new();
    let path = |name: &str| files.file(name).display().to_string();
    let socket = path("vm0");
    let said = refused(&["vm", "--run", "true", "--controller", &socket], 125);
    assert!(
        said.contains(&format!("fwlab bus DIR --controller {socket}")),
        "{said}"
    );
    // Something that is no controller.
    let _other = UnixDatagram::bind(path("net")).expect("a socket");
    let said = refused(&["vm", "--run", "true", "--controller", &path("net")], 125);
    assert!(said.contains("no controller at"), "{said}");
    let missing = path("nothing");
    let said = refused(&["vm", "--run", "true", "--network", &missing], 125);
    assert!(said.contains(&format!("--network {missing}")), "{said}");
}
