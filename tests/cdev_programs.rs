//! FireWire programs that nobody here wrote, on a bus in software.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use fwshare_tests::{Lab, judge, needs_root, python_with, run};

/// Between two hosts, and with a bridge.
#[test]
fn libhinawa_reads_writes_and_locks() {
    let module = "import gi; gi.require_version('Hinawa', '3.0')";
    let Some(python) = python_with(module, "gir1.2-hinawa-3.0 python3-gi") else {
        return;
    };
    let Some(lab) = Lab::start(2, &["profile=oxfw911,size=1M"]) else {
        return;
    };
    let shown = lab.show();
    let nodes = shown["nodes"].as_array().unwrap();
    let bridge = nodes.iter().find(|node| node["name"] == "bridge0").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/judges/hinawa.py");
    let mut command = python.command();
    command.arg(script).args([lab.host(0), lab.host(1)]);
    command.arg(bridge["guid"].as_str().unwrap());
    let said = run(&mut command, &[]);
    assert!(said.success() && said.stdout.trim() == "ok", "{said}");
}

/// It looks in /dev, so it gets one in which the nodes are.
#[test]
fn testlibraw_lists_the_bus_and_completes_its_transactions() {
    let (Some(unshare), Some(_)) = (judge("unshare"), judge("testlibraw")) else {
        return;
    };
    if !needs_root() {
        return;
    }
    let Some(lab) = Lab::start(2, &["profile=oxfw911,size=1M"]) else {
        return;
    };
    let script = r#"
        set -e
        mount -t tmpfs none /mnt
        for device in null zero urandom fuse; do
            touch /mnt/$device
            mount --bind /dev/$device /mnt/$device
        done
        for node in "$1"/fw*; do
            touch "/mnt/${node##*/}"
            mount --bind "$node" "/mnt/${node##*/}"
        done
        mount --rbind /mnt /dev
        exec testlibraw
    "#;
    let mut command = unshare.command();
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(lab.host(0));
    let said = run(&mut command, &[]);
    assert!(said.success(), "{said}");
    let first = "read from node 0... completed with value 0x970f2a04";
    for expected in [
        "1 card found",
        "3 nodes on bus, local ID is 1, IRM is 2",
        "node 0: S400",
        "node 1: S800 (local node)",
        first,
        "got fcp command from node 1 of 8 bytes: 01 23 45 67 89 ab cd ef",
        "got fcp response from node 1 of 8 bytes: 01 23 45 67 89 ab cd ef",
        "topology map: 3 nodes, 3 self ids",
        "get_config_rom returned 0, romsize 88",
        "added unit '0x58595a:0x616263'",
        "unit '0x58595a:0x616263' removed",
        "local time from CLOCK_MONOTONIC_RAW",
        "raw1394_loop_iterate() returned 0xdeadbeef",
    ] {
        assert!(said.stdout.contains(expected), "{expected}\n{said}");
    }
    assert_eq!(
        said.stdout.matches("completed with value").count(),
        6,
        "{said}"
    );
    assert!(!said.stdout.contains("failed with rcode"), "{said}");
}
