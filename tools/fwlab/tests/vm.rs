//! Guests: what goes in, what comes out, and how they end.

mod support;

use std::path::Path;
use std::time::Duration;

use fwlab::vm::{Guest, GuestSpec, Hub, Kernel, VmError};

use support::spec;

#[test]
fn commands_go_in_and_results_come_out() {
    let Some(spec) = spec() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let note = folder.path().join("note");
    std::fs::write(&note, "from outside").expect("a file");
    let spec = spec
        .module("loop max_loop=3")
        .module_at_hand("ext4")
        .program("sha256sum")
        .file(&note, Path::new("/root/note"));
    let guest = Guest::start(&spec).expect("a guest");
    let run = |script: &str| guest.run(script).expect("an end");

    let said = run("echo out; echo err >&2; exit 3");
    assert_eq!((said.status, said.text.as_str()), (3, "out\nerr\n"));
    assert_eq!(run("cat /root/note").text, "from outside");
    let said = run(
        "cat /sys/module/loop/parameters/max_loop; modprobe ext4 && grep -c ext4 /proc/filesystems",
    );
    assert_eq!(said.text, "3\n1\n");
    // A program of this machine with its libraries, and not busybox's.
    let said = run("sha256sum --version | head -n 1");
    assert!(said.text.contains("GNU coreutils"), "{}", said.text);
    // Files, both ways, and a command that goes on beside another.
    std::fs::write(guest.folder().join("in"), vec![7; 100_000]).expect("a file");
    let waiting = guest.spawn("until [ -e /host/go ]; do sleep 0.1; done; wc -c < /host/in");
    let waiting = waiting.expect("a command");
    assert_eq!(run("cp /host/in /host/out; touch /host/go").status, 0);
    let said = waiting.wait(Duration::from_secs(60)).expect("an end");
    assert_eq!(said.text.trim(), "100000");
    let out = std::fs::read(guest.folder().join("out")).expect("a file");
    assert_eq!(out, vec![7; 100_000]);
    guest.power_off().expect("an end in good order");
}

#[test]
fn a_guest_that_is_gone_is_an_error_with_its_last_words() {
    let Some(spec) = spec() else { return };
    let guest = Guest::start(&spec).expect("a guest");
    let error = guest.run("echo c > /proc/sysrq-trigger; sleep 1000");
    let error = error.expect_err("a kernel that has crashed");
    assert!(matches!(&error, VmError::Ended { name, .. } if name == "guest1"));
    assert!(error.to_string().contains("sysrq"), "{error}");
}

#[test]
fn guests_reach_each_other_and_nobody_else() {
    let Some(spec) = spec() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::open(&folder.path().join("hub")).expect("a hub");
    let spec = spec.network(hub.path()).memory(256);
    let first = Guest::launch(&spec.clone().number(1)).expect("a guest");
    let second = Guest::launch(&spec.number(2)).expect("a guest");
    first.wait_until_up().expect("up");
    second.wait_until_up().expect("up");
    let ping = first.run("ping -c 1 -w 20 10.87.0.2").expect("an end");
    assert_eq!(ping.status, 0, "{}", ping.text);
    let routes = second.run("ip route").expect("an end").text;
    assert!(!routes.contains("default"), "{routes}");
}

#[test]
fn what_cannot_be_had_is_named_before_anything_starts() {
    let Some(spec) = spec() else { return };
    let error = |spec: GuestSpec| {
        Guest::launch(&spec)
            .expect_err("nothing to start")
            .to_string()
    };
    let said = error(spec.clone().module("no-such-module"));
    assert!(said.contains("has no module no-such-module"), "{said}");
    let said = error(spec.clone().program("no-such-program"));
    assert_eq!(said, "no program no-such-program on this machine");
    let said = error(spec.clone().file(Path::new("/no/such"), Path::new("/x")));
    assert!(said.starts_with("/no/such: No such file"), "{said}");
    let said = error(
        spec.clone()
            .file(Path::new("/etc/hostname"), Path::new("x")),
    );
    assert_eq!(said, "x: not an absolute path");
    let said = error(spec.clone().controller(Path::new("/no/such")));
    assert!(said.starts_with("no controller at /no/such: "), "{said}");
    let said = error(spec.clone().network(Path::new("/no/such")));
    assert!(said.starts_with("no network at /no/such: "), "{said}");
    let said = error(spec.number(0));
    assert!(said.contains("from 1 to 254"), "{said}");
    let said = Kernel::find(Some("no-such"))
        .expect_err("no kernel")
        .to_string();
    assert!(said.starts_with("no kernel no-such: "), "{said}");
}
