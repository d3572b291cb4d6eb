//! `fwshare setup-initramfs` over small trees of systems: each is compared whole, before and
//! after, and again when everything was taken back.

// Clippy lets tests unwrap, and does not know that this is part of them.
#![allow(clippy::unwrap_used)]

mod conflicts;
mod elf;
mod files;
mod images;
mod kernels;
mod odd;
mod others;
mod removal;
mod system;
mod tools;

use system::{Said, System, changes};

const OPTIONS: &str = "/etc/modprobe.d/fwshare.conf";
const STATE: [&str; 3] = [
    "+/var/lib/fwshare",
    "+/var/lib/fwshare/setup",
    "+/var/lib/fwshare/setup/state.json",
];

/// Runs the command, sees that it changes just these paths (of [`changes`]; what it keeps for
/// the undo is added), that a second run changes nothing, and that `--remove` brings back all.
#[track_caller]
fn case(system: &System, arguments: &[&str], code: i32, said: &[&str], changed: &[&str]) -> Said {
    let before = system.snapshot();
    let outcome = system.run(arguments).expect(code, said);
    let after = system.snapshot();
    let mut expected: Vec<_> = changed.iter().map(|path| (*path).to_owned()).collect();
    if !changed.is_empty() {
        expected.extend(STATE.map(str::to_owned));
    }
    let mut found = changes(&before, &after);
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "{}{}", outcome.stdout, outcome.stderr);
    if changed.is_empty() {
        assert_eq!(before, after, "a time has changed");
        return outcome;
    }
    let again: Vec<_> = arguments
        .iter()
        .copied()
        .filter(|word| *word != "--force")
        .collect();
    let second = system.run(&again);
    let twice = system.snapshot();
    assert_eq!(
        changes(&after, &twice),
        Vec::<String>::new(),
        "{}",
        second.stdout
    );
    if code == 0 {
        assert_eq!(after, twice, "a time has changed: {}", second.stdout);
    }
    let removal = system.run(&["--remove", "--no-rebuild"]);
    let rest = changes(&before, &system.snapshot());
    let images_only = rest.iter().all(|path| path.contains("/boot/"));
    assert!(
        images_only,
        "{rest:?}\n{}{}",
        removal.stdout, removal.stderr
    );
    outcome
}
