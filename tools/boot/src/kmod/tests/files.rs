//! Files that are odd: what is said of them, and that the rest is read.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::judge::{Kmod, Verdict};
use super::system::{System, notices};
use super::table::words;
use crate::Place;
use crate::kmod::{By, State};
use crate::tree::MAX_FILE;

const OURS: (&str, &[u8]) = (
    "etc/modprobe.d/m.conf",
    b"options firewire-sbp2 exclusive_login=N\n",
);
const BY: By<'_> = By::Name("firewire-sbp2");

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_read() {
    let system = System::new(&[
        OURS,
        ("lib/modprobe.d/fifo.conf", b"options firewire-sbp2 x\n"),
        // A link that leads nowhere does not hide it.
        (
            "lib/modprobe.d/dangling.conf",
            b"options firewire-sbp2 lib\n",
        ),
    ]);
    fs::create_dir_all(system.at("etc/modprobe.d/dir.conf/x.conf")).unwrap();
    system.link("etc/modprobe.d/dangling.conf", "/nowhere");
    system.link("etc/modprobe.d/loop.conf", "loop.conf");
    mkfifo(&system.at("etc/modprobe.d/fifo.conf"), Mode::S_IRWXU).unwrap();
    let name = OsStr::from_bytes(b"\xff.conf");
    fs::write(
        system.at("etc/modprobe.d").join(name),
        "options firewire-sbp2 odd\n",
    )
    .unwrap();
    let large = fs::File::create(system.at("etc/modprobe.d/large.conf")).unwrap();
    large.set_len(MAX_FILE + 1).unwrap();
    let config = system.config();
    assert_eq!(
        words(&config.load("firewire-sbp2", BY)),
        "lib exclusive_login=N odd"
    );
    let said = notices(&config);
    let expected = [
        ("/etc/modprobe.d/dangling.conf", "a link that leads nowhere"),
        ("/etc/modprobe.d/dir.conf", "it is a folder"),
        ("/etc/modprobe.d/fifo.conf", "no regular file"),
        ("/etc/modprobe.d/loop.conf", "symbolic link"),
        ("/etc/modprobe.d/\u{fffd}.conf", "not UTF-8"),
        ("/etc/modprobe.d/large.conf", "cannot read"),
    ];
    for (file, why) in expected {
        let found = said
            .iter()
            .any(|line| line.starts_with(file) && line.contains(why));
        assert!(found, "{file}: {why} in {said:#?}");
    }
    assert_eq!(said.len(), expected.len(), "{said:#?}");
}

#[test]
fn lines_that_are_ignored_are_named() {
    let system = System::new(&[(
        "etc/modprobe.d/a.conf",
        b"\xef\xbb\xbf# mark\n\
          Options firewire-sbp2 x\n\
          options firewire-sbp2\n\
          \x20# no comment\n\
          # comment\n\
          options firewire-sbp2 x \\\n # passed on\n\
          include /etc/modprobe.conf\n\
          blacklist\nalias a\nsoftdep a\ninstall a\nremove a]b c\n",
    )]);
    let config = system.config();
    assert_eq!(
        notices(&config),
        [
            "1: it starts with a byte order mark, so the first line is ignored",
            "2: \"Options\" is no command of modprobe.d, the line is ignored",
            "3: the line is ignored: something is missing or wrong behind \"options\"",
            "4: \"#\" is no command of modprobe.d, the line is ignored",
            "6: \"#\" starts a comment only at the start of a line; here it is passed on",
            "8: \"include\" is not followed by kmod",
            "9: the line is ignored: something is missing or wrong behind \"blacklist\"",
            "10: the line is ignored: something is missing or wrong behind \"alias\"",
            "11: the line is ignored: something is missing or wrong behind \"softdep\"",
            "12: the line is ignored: something is missing or wrong behind \"install\"",
            "13: the line is ignored: something is missing or wrong behind \"remove\"",
        ]
        .map(|line| format!("/etc/modprobe.d/a.conf:{line}"))
    );
    // What it passes on modprobe does not mention, and of "include" not the line.
    let Some(kmod) = Kmod::new() else { return };
    let said = kmod.verdict(&system, BY).1;
    let lines = said
        .split(" line ")
        .filter_map(|rest| rest.split_once(": ignoring"));
    let lines: Vec<&str> = lines.map(|(number, _)| number).collect();
    assert_eq!(
        lines,
        ["1", "2", "3", "4", "9", "10", "11", "12", "13"],
        "{said}"
    );
    assert_eq!(said.matches("deprecated").count(), 1, "{said}");
}

#[test]
fn a_file_of_nothing_but_mistakes_is_not_listed_line_by_line() {
    let system = System::new(&[("etc/modprobe.d/a.conf", "x\n".repeat(5000).as_bytes())]);
    let config = system.config();
    assert_eq!(config.notices().len(), 1001);
    let last = notices(&config).pop().unwrap();
    assert_eq!(last, "/etc/modprobe.d/a.conf:1001: there is more like this");
}

#[test]
fn a_parameter_is_known_by_its_line() {
    let system = System::new(&[
        (
            "etc/modprobe.d/a.conf",
            b"\n\noptions firewire-sbp2 a \\\n  b\noptions firewire-sbp2 c\n",
        ),
        (
            "run/modprobe.d/b.conf",
            b"options firewire-sbp2 exclusive_login=Y",
        ),
        OURS,
    ]);
    let config = system.config();
    let outcome = config.load("firewire-sbp2", BY);
    let places: Vec<String> = outcome
        .parameters()
        .iter()
        .map(|parameter| format!("{} {}", parameter.name, parameter.place))
        .collect();
    assert_eq!(
        places,
        [
            "a /etc/modprobe.d/a.conf:3",
            "b /etc/modprobe.d/a.conf:3",
            "c /etc/modprobe.d/a.conf:5",
            "exclusive_login /run/modprobe.d/b.conf:1",
            "exclusive_login /etc/modprobe.d/m.conf:1",
        ]
    );
    let setting = outcome.setting("exclusive-login").unwrap();
    assert_eq!(
        setting.parameter.place,
        Place::new("/etc/modprobe.d/m.conf", 1)
    );
    let lines: Vec<u32> = config
        .options("firewire_sbp2")
        .map(|line| line.place.last_line)
        .collect();
    assert_eq!(lines, [4, 5, 1, 1]);
}

#[test]
fn dev_null_masks_a_name_also_where_there_is_no_dev_null() {
    for target in [
        "/dev/null",
        "../../dev/null",
        "../modprobe.d/./../../dev/null",
    ] {
        let system = System::new(&[
            OURS,
            ("lib/modprobe.d/x.conf", b"options firewire-sbp2 x\n"),
        ]);
        let with = words(&system.config().load("firewire-sbp2", BY));
        assert_eq!(with, "exclusive_login=N x");
        system.link("etc/modprobe.d/x.conf", target);
        let config = system.config();
        assert_eq!(
            words(&config.load("firewire-sbp2", BY)),
            "exclusive_login=N",
            "{target}"
        );
        assert!(
            notices(&config).is_empty(),
            "{target}: {:?}",
            notices(&config)
        );
        let states: Vec<&State> = config
            .sources()
            .iter()
            .map(|source| &source.state)
            .collect();
        let hidden = State::Hidden {
            by: "/etc/modprobe.d/x.conf".into(),
        };
        assert_eq!(states, [&State::Read, &State::Masked, &hidden], "{target}");
    }
    // modprobe, for whom the link leads to this machine's.
    let Some(kmod) = Kmod::new() else { return };
    let system = System::new(&[
        OURS,
        ("lib/modprobe.d/x.conf", b"options firewire-sbp2 x\n"),
    ]);
    system.link("etc/modprobe.d/x.conf", "/dev/null");
    let ours = Verdict::from(&system.config().load("firewire-sbp2", BY));
    assert_eq!(ours, kmod.verdict(&system, BY).0);
}

#[test]
fn a_merged_usr_is_read_once() {
    let system = System::new(&[("usr/lib/modprobe.d/x.conf", b"options firewire-sbp2 x\n")]);
    system.link("lib", "usr/lib");
    let config = system.config();
    assert_eq!(words(&config.load("firewire-sbp2", BY)), "x");
    assert_eq!(config.sources().len(), 1);
}

#[test]
fn what_is_loaded_before_saves_a_module_from_its_command() {
    let lines: &[u8] = b"install firewire-sbp2 /bin/false\nsoftdep firewire-sbp2 pre: sd_mod\n";
    let system = System::new(&[("etc/modprobe.d/a.conf", lines)]);
    let config = system.config();
    let crate::kmod::Outcome::Install { softdep, place, .. } = config.load("firewire-sbp2", BY)
    else {
        panic!("no command");
    };
    assert_eq!(place.line, 1);
    assert_eq!(softdep, Some(Place::new("/etc/modprobe.d/a.conf", 2)));
    let Some(kmod) = Kmod::new() else { return };
    assert_eq!(kmod.verdict(&system, BY).0, Verdict::Loaded(Vec::new()));
}
