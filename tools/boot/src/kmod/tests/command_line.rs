//! The kernel's command line. For modprobe a file is mounted over this machine's, which needs root.

use super::judge::{Kmod, Verdict, WAYS, find, missing};
use super::system::System;
use super::table::words;
use crate::Place;
use crate::kmod::{Bool, By, CommandLine, Outcome, effective};

fn parse(text: &str) -> CommandLine {
    CommandLine::parse(text.as_bytes(), &Place::new("/proc/cmdline", 1))
}

/// A command line, and what firewire-sbp2 gets when it is asked for by its name and modprobe.d
/// says N.
const CASES: &[(&str, &str)] = &[
    ("quiet", "exclusive_login=N"),
    (
        "firewire_sbp2.exclusive_login=Y",
        "exclusive_login=N exclusive_login=Y",
    ),
    (
        "quiet firewire-sbp2.exclusive_login=Y splash",
        "exclusive_login=N exclusive_login=Y",
    ),
    (
        "firewire_sbp2.exclusive_login",
        "exclusive_login=N exclusive_login",
    ),
    (
        "\"firewire_sbp2.exclusive_login=Y\"",
        "exclusive_login=N exclusive_login=Y",
    ),
    ("firewire_sbp2.x=\"a b\" y", "exclusive_login=N x=a b"),
    ("\"firewire_sbp2.x=a b\" y", "exclusive_login=N x=a b"),
    ("firewire_sbp2.x=\"a b", "exclusive_login=N"),
    ("x=\"firewire_sbp2.exclusive_login=Y\"", "exclusive_login=N"),
    ("x=firewire_sbp2.exclusive_login=Y", "exclusive_login=N"),
    ("firewire_sbp2.a.b=Y", "exclusive_login=N"),
    ("firewire_sbp2.\"exclusive_login\"=Y", "exclusive_login=N"),
    ("\"firewire_sbp2.\"exclusive_login=Y", "exclusive_login=N"),
    (
        "-- firewire_sbp2.exclusive_login=Y",
        "exclusive_login=N exclusive_login=Y",
    ),
    ("sbp2.exclusive_login=Y", "exclusive_login=N"),
    ("modprobe.blacklist=firewire_sbp2", "exclusive_login=N"),
];

/// Lines that blacklist, or seem to, and whether firewire-sbp2 is loaded by modalias.
const BLACKLISTS: &[(&str, bool)] = &[
    ("modprobe.blacklist=firewire_sbp2", false),
    ("modprobe.blacklist=a,firewire_sbp2,b", false),
    ("modprobe.blacklist=firewire-sbp2", true),
    ("modprobe.blacklist=sbp2", true),
    ("modprobe.blacklist=", true),
    ("blacklist=firewire_sbp2", true),
];

fn system() -> System {
    System::new(&[(
        "etc/modprobe.d/a.conf",
        b"options firewire-sbp2 exclusive_login=N\n",
    )])
}

#[test]
fn the_command_line_comes_last() {
    let config = system().config();
    for (text, expected) in CASES {
        let by = By::Name("firewire-sbp2");
        let outcome = effective(&config, Some(&parse(text)), "firewire-sbp2", by);
        assert_eq!(words(&outcome), *expected, "{text}");
    }
    for (text, is_loaded) in BLACKLISTS {
        let outcome = effective(&config, Some(&parse(text)), "firewire-sbp2", WAYS[2]);
        let found = matches!(outcome, Outcome::Loaded { .. });
        assert_eq!(found, *is_loaded, "{text}");
    }
}

#[test]
fn modprobe_reads_it_the_same() {
    let Some(kmod) = Kmod::new() else { return };
    if find("unshare").is_none() || !nix::unistd::geteuid().is_root() {
        missing("root and unshare");
        return;
    }
    let system = system();
    let blacklists = BLACKLISTS.iter().map(|(text, _)| text);
    for text in CASES.iter().map(|(text, _)| text).chain(blacklists) {
        system.write("cmdline", text.as_bytes());
        for by in WAYS {
            let line = system.path().join("cmdline");
            let verdict = kmod.verdict_with(&system, &line, by);
            let outcome = effective(&system.config(), Some(&parse(text)), "firewire-sbp2", by);
            assert_eq!(Verdict::from(&outcome), verdict, "{by:?} {text}");
        }
    }
}

#[test]
fn a_driver_in_the_kernel_is_given_what_the_kernel_reads() {
    for (text, expected) in [
        ("quiet", None),
        ("firewire_sbp2.exclusive_login=N", Some(Bool::Off)),
        ("firewire-sbp2.exclusive-login=N", Some(Bool::Off)),
        ("firewire_sbp2.exclusive_login", Some(Bool::On)),
        ("firewire_sbp2.exclusive_login=", Some(Bool::Invalid)),
        ("firewire_sbp2.exclusive_login=\"N\"", Some(Bool::Off)),
        ("\"firewire_sbp2.exclusive_login=N\"", Some(Bool::Off)),
        (
            "firewire_sbp2.exclusive_login=N firewire_sbp2.exclusive_login=Y",
            Some(Bool::On),
        ),
        ("-- firewire_sbp2.exclusive_login=N", None),
        ("sbp2.exclusive_login=N", None),
        ("x=\"a firewire_sbp2.exclusive_login=N", None),
        ("a\u{b}firewire_sbp2.exclusive_login=N\n", Some(Bool::Off)),
    ] {
        let found = parse(text).sets("firewire-sbp2", "exclusive_login");
        assert_eq!(found.map(|(value, _)| value), expected, "{text}");
    }
}

#[test]
fn the_kernel_refuses_modules_by_its_own_list() {
    let config = system().config();
    for (text, is_refused) in [
        ("module_blacklist=firewire_sbp2", true),
        ("module-blacklist=a,firewire_sbp2", true),
        ("module_blacklist=firewire-sbp2", false),
        ("module_blacklist=firewire_sbp", false),
        ("module_blacklist=firewire_sbp2 module_blacklist=x", false),
    ] {
        let by = By::Name("firewire-sbp2");
        let outcome = effective(&config, Some(&parse(text)), "firewire-sbp2", by);
        assert_eq!(
            matches!(outcome, Outcome::Refused { .. }),
            is_refused,
            "{text}"
        );
    }
}

#[test]
fn one_invalid_value_is_enough() {
    let lines: &[u8] =
        b"options firewire-sbp2 exclusive_login=N exclusive_login=2 exclusive_login=N\n";
    let config = System::new(&[("etc/modprobe.d/a.conf", lines)]).config();
    let outcome = config.load("firewire-sbp2", By::Name("firewire-sbp2"));
    assert_eq!(
        outcome.setting("exclusive_login").unwrap().value,
        Bool::Invalid
    );
    assert!(outcome.setting("workarounds").is_none());
}
