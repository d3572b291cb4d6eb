//! The configuration.

use std::fs;

use fwshare_tests::{Lab, fwshare, run};
use serde_json::Value;

use crate::Running;
use crate::manager::Manager;

/// Two disks, the second of which is not there if `missing`.
fn written(lab: &Lab, missing: bool) -> String {
    let sock = |name: &str| lab.path(name).display().to_string();
    let second = if missing {
        "0030e00000ffffff"
    } else {
        "0030e000000001fb"
    };
    let text = format!(
        "[defaults]\nshared = true\n\
         [[disk]]\nname = \"one\"\nguid = \"0030e000000001fa\"\nexport = [\"nbd:unix:{}\"]\n\
         [[disk]]\nname = \"two\"\nguid = \"{second}\"\nexport = [\"nbd:unix:{}\"]\n",
        sock("one.sock"),
        sock("two.sock"),
    );
    let path = lab.path("fwshare.toml");
    fs::write(&path, text).unwrap();
    format!("--config={}", path.display())
}

fn command(lab: &Lab, config: &str) -> std::process::Command {
    let mut command = fwshare();
    command
        .args(["login", config, "--json", "--bus"])
        .arg(lab.host(0));
    command.arg("--run-dir").arg(lab.run_dir());
    command
}

#[test]
fn all_disks_are_served_until_a_signal_ends_them_in_good_order() {
    let Some(lab) = Lab::start(1, &["size=1M", "size=1M"]) else {
        return;
    };
    let config = written(&lab, false);
    let service = Running::start(&mut command(&lab, &config));
    let logged_in = || {
        let said = run(
            fwshare()
                .args(["status", "--json", "--run-dir"])
                .arg(lab.run_dir()),
            &[],
        );
        let shown: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
        shown["logins"].as_array().map_or(0, Vec::len)
    };
    let start = std::time::Instant::now();
    while logged_in() < 2 {
        assert!(start.elapsed() < fwshare_tests::TIME_LIMIT);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(lab.path("one.sock").exists() && lab.path("two.sock").exists());
    let ended = service.stop("TERM");
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(
        ended.stderr.matches("flushed and logged out").count(),
        2,
        "{ended:?}"
    );
    assert!(!lab.path("one.sock").exists() && !lab.path("two.sock").exists());
}

#[test]
fn a_disk_that_fails_leaves_the_others_alone_and_gives_its_code_in_the_end() {
    let Some(lab) = Lab::start(1, &["size=1M"]) else {
        return;
    };
    let config = written(&lab, true);
    // The processes of the disks have no manager: that of all tells when it has both.
    let service = Running::start(&mut command(&lab, &config));
    let start = std::time::Instant::now();
    while !lab.path("one.sock").exists() {
        assert!(start.elapsed() < fwshare_tests::TIME_LIMIT);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let ended = service.stop("INT");
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    assert_eq!(
        ended.stderr.matches("flushed and logged out").count(),
        1,
        "{ended:?}"
    );
    assert!(ended.stderr.contains("two has ended"), "{ended:?}");
}

#[test]
fn one_disk_is_run_by_its_name_and_a_mistake_is_told_with_its_place() {
    let Some(lab) = Lab::start(1, &["size=1M"]) else {
        return;
    };
    let config = written(&lab, false);
    let manager = Manager::at(&lab.path("notify"));
    let mut one = command(&lab, &config);
    one.arg("one");
    manager.of(&mut one, None);
    let service = Running::start(&mut one);
    manager.wait_for("READY=1");
    assert!(lab.path("one.sock").exists() && !lab.path("two.sock").exists());
    let ended = service.stop("TERM");
    assert!(ended.status.success(), "{ended:?}");

    let said = run(command(&lab, &config).arg("three"), &[]);
    assert_eq!(said.status.code(), Some(2), "{said}");
    assert!(said.stderr.contains("one (0030e000000001fa)"), "{said}");

    let path = lab.path("fwshare.toml");
    fs::write(
        &path,
        "[defaults]\n\n[[disk]]\nguid = \"30\"\nshared = true\n",
    )
    .unwrap();
    let said = run(&mut command(&lab, &config), &[]);
    assert_eq!(said.status.code(), Some(2), "{said}");
    let expected = format!(
        "fwshare: {}:4:8: a GUID has 16 hexadecimal digits\n  4 | guid = \"30\"\n    |        ^^^^\n",
        path.display()
    );
    assert_eq!(said.stderr, expected);
}
