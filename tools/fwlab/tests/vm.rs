//! Guests: what goes in, what comes out, and how they end.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use fwlab::vm::{Guest, GuestSpec, Hub, Kernel, Qemu, VmError};

/// A guest to be, or the word that there is none to be had.
fn spec() -> Option<GuestSpec> {
    let found = Qemu::find(None).and_then(|qemu| Ok((qemu, Kernel::find(None)?)));
    match found {
        Ok((qemu, kernel)) => Some(GuestSpec::new(qemu, kernel)),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error}");
            // Past the harness's capture.
            let line = format!("skipped: {error}; tools/fwlab/vm/prepare fetches both\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            None
        }
    }
}

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
    let said = run("cat /sys/module/loop/parameters/max_loop; modprobe ext4 && grep -c ext4 /proc/filesystems");
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
    let error = |spec: GuestSpec| Guest::launch(&spec).expect_err("nothing to start").to_string();
    let said = error(spec.clone().module("no-such-module"));
    assert!(said.contains("has no module no-such-module"), "{said}");
    let said = error(spec.clone().program("no-such-program"));
    assert_eq!(said, "no program no-such-program on this machine");
    let said = error(spec.clone().file(Path::new("/no/such"), Path::new("/x")));
    assert!(said.starts_with("/no/such: No such file"), "{said}");
    let said = error(spec.clone().file(Path::new("/etc/hostname"), Path::new("x")));
    assert_eq!(said, "x: not an absolute path");
    let said = error(spec.number(0));
    assert!(said.contains("from 1 to 254"), "{said}");
    let said = Kernel::find(Some("no-such")).expect_err("no kernel").to_string();
    assert!(said.starts_with("no kernel no-such: "), "{said}");
}
