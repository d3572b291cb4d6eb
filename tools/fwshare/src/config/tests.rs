use std::path::Path;

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, LoginArgs, Verb};

fn login(line: &str) -> LoginArgs {
    let words = std::iter::once("fwshare").chain(line.split_whitespace());
    match Cli::try_parse_from(words).unwrap().verb {
        Verb::Login(args) => args,
        other => panic!("{other:?}"),
    }
}

fn config(text: &str) -> Config {
    let path = Path::new("f");
    let disks = file::parse(path, text).map_err(Failure::from);
    Config {
        path: path.to_owned(),
        disks: disks.unwrap_or_else(|failure| panic!("{failure}")),
    }
}

const DISK: &str = "[[disk]]\nguid = \"0030e000000001fa\"\nshared = true\n";

#[test]
fn each_mistake_is_told_with_its_line_and_column() {
    for (text, place, what) in [
        (
            "x = 1\n",
            "1:1",
            "unknown key \"x\"; there is defaults, disk",
        ),
        ("[default]\n", "1:2", "unknown key \"default\""),
        ("[defaults]\nexport = []\n", "2:1", "unknown key \"export\""),
        ("[defaults]\nlun = 0\n", "2:1", "unknown key \"lun\""),
        ("defaults = 1\n", "1:12", "must be a table"),
        ("[disk]\n", "1:1", "[[disk]]"),
        ("disk = [1]\n", "1:9", "must be a table"),
        ("disk = 7\n", "1:8", "[[disk]]"),
        ("[[disk]]\nshared = true\n", "1:1", "has no guid"),
        (
            "[[disk]]\nguid = \"0030e000000001fa\"\n",
            "1:1",
            "shared = true, or exclusive = true",
        ),
        (
            "[[disk]]\nguid = \"0030e0\"\nshared = true",
            "2:8",
            "16 hexadecimal digits",
        ),
        (
            "[[disk]]\nguid = \"+030e000000001fa\"\nshared = true",
            "2:8",
            "16 hexadecimal digits",
        ),
        (
            "[[disk]]\nguid = 30\nshared = true",
            "2:8",
            "a text in quotes",
        ),
        (
            "[[disk]]\n  guid = \"é030e000000001fa\"\nshared = true",
            "2:10",
            "16 hexadecimal digits",
        ),
    ] {
        check(text, place, what);
    }
    // Below a disk that is good, whose last line is the third one.
    for (line, column, what) in [
        ("lun = 65536", 7, "from 0 to 65535"),
        ("lun = -1", 7, "from 0 to 65535"),
        ("lun = 0x1", 7, "a decimal number"),
        ("lun = \"0\"", 7, "a decimal number"),
        ("name = \"a b\"", 8, "a name has up to 64"),
        ("name = \"-a\"", 8, "a name has up to 64"),
        ("name = \"\"", 8, "a name has up to 64"),
        ("exports = []", 1, "unknown key \"exports\""),
        ("Guid = \"\"", 1, "unknown key \"Guid\""),
        ("export = \"nbd:unix:/x\"", 10, "a list"),
        ("export = [\"nbd:unix:/x\", 1]", 26, "a text in quotes"),
        (
            "export = [\"nbd:unix:/x\", \"unix:/x\"]",
            26,
            "an export is auto, nbd:unix:PATH",
        ),
        ("export = [\"file:/x,lop\"]", 11, "no option of a file"),
        (
            "export = [\"nbd:unix:/x\", \"nbd:unix:/x\"]",
            26,
            "is there already",
        ),
        ("exclusive = true", 13, "either shared or exclusive"),
        ("exclusive = 1", 13, "true or false"),
        ("read-only = \"yes\"", 13, "true or false"),
        ("read_only = true", 1, "unknown key \"read_only\""),
        ("serialize-io = true", 16, "a text in quotes"),
        ("serialize-io = \"no\"", 16, "\"on\" or \"off\""),
        ("replacement-timeout = 86401", 23, "from 0 to 86400"),
        ("replacement-timeout = -1", 23, "from 0 to 86400"),
        ("replacement-timeout = 1.5", 23, "a decimal number"),
        ("replacement-timeout = \"2m\"", 23, "a decimal number"),
        (
            "replacement-timeout = 99999999999999999999999",
            23,
            "from 0 to 86400",
        ),
        ("wait = \"yes\"", 8, "true, false or a number"),
        ("wait = 86401", 8, "from 0 to 86400"),
        ("guid = \"0030e000000001fa\"", 1, "duplicate key"),
        ("shared = true # twice", 1, "duplicate key"),
        ("name = \"a", 10, "invalid basic string"),
        ("name 1", 6, ""),
        (
            "[[disk]]\nguid = \"0030e000000001fa\"\nlun = 0\nshared = true",
            0,
            "is there already",
        ),
    ] {
        let text = format!("{DISK}{line}\n");
        match column {
            0 => check(&text, "5:8", what),
            _ => check(&text, &format!("4:{column}"), what),
        }
    }
    let twice = format!(
        "{DISK}name = \"a\"\n{}name = \"a\"\n",
        DISK.replace("fa\"", "fb\"")
    );
    check(&twice, "8:8", "is called a already");
    let twice = format!(
        "{DISK}export = [\"file:/x\"]\n{}export = [\"file:/x\"]\n",
        DISK.replace("fa\"", "fb\"")
    );
    check(&twice, "8:11", "is there already");
}

#[track_caller]
fn check(text: &str, place: &str, what: &str) {
    let failure = match file::parse(Path::new("f"), text) {
        Ok(disks) => panic!("{text}: {disks:?}"),
        Err(error) => Failure::from(error),
    };
    assert_eq!(failure.code(), 2);
    let message = failure.message();
    assert!(
        message.starts_with(&format!("f:{place}: ")),
        "{text}: {message}"
    );
    assert!(message.contains(what), "{text}: {message}");
    let (line, _) = place.split_once(':').unwrap();
    let number: usize = line.parse().unwrap();
    let expected = text.lines().nth(number - 1).unwrap();
    let shown = failure.advice().concat();
    assert!(
        shown.starts_with(&format!("{line} | {expected}\n")),
        "{shown}"
    );
    assert!(shown.ends_with('^'), "{shown}");
}

#[test]
fn a_disk_says_what_a_command_line_says_and_defaults_are_for_what_it_leaves_out() {
    let text = "
        [defaults]
        exclusive = true
        read-only = true
        replacement-timeout = 5
        wait = 60
        [[disk]]
        guid = \"eui.0030E000000001FA\"
        [[disk]]
        name = \"b\"
        guid = \"0030e000000001fb\"
        lun = 3
        shared = true
        read-only = false
        serialize-io = \"off\"
        replacement-timeout = 1_0
        unbind-kernel = true
        assemble = true
        wait = false
        export = [\"nbd:tcp:localhost:0\", \"file:/x,loop\"]
        ";
    let config = config(text);
    let told = |name| {
        let command = login("login --config=f --bus /y --json");
        let args = config.disk(name).unwrap().login(&command);
        format!("{args:?}")
    };
    let same = |line: &str| {
        let args = LoginArgs {
            config: Some("f".into()),
            ..login(line)
        };
        format!("{args:?}")
    };
    assert_eq!(
        told("0030e000000001fa"),
        same(
            "login 0030e000000001fa --exclusive --read-only --replacement-timeout 5 --wait=60 \
             --bus /y --json"
        )
    );
    assert_eq!(
        told("b"),
        same(
            "login 0030e000000001fb:3 --shared --serialize-io off --replacement-timeout 10 \
             --unbind-kernel --assemble --export nbd:tcp:localhost:0 --export file:/x,loop \
             --bus /y --json"
        )
    );
    let waits = config
        .disk("b")
        .unwrap()
        .login(&login("login --config --wait"));
    assert_eq!(waits.wait, Some(crate::cli::Wait::Forever));
}

#[test]
fn a_disk_is_found_by_its_name_and_by_the_first_digits_of_its_guid() {
    let config = config(&format!(
        "{DISK}lun = 1\nname = \"0030e000000001fb\"\n{}",
        DISK.replace("fa\"", "fb\"")
    ));
    let found = |wanted: &str| config.disk(wanted).map(Disk::target);
    assert_eq!(
        found("0030e000000001fb").unwrap(),
        "0030e000000001fa:1",
        "a name comes first"
    );
    assert_eq!(found("0x0030E000000001fa").unwrap(), "0030e000000001fa:1");
    assert_eq!(found("0030e000000001fa:1").unwrap(), "0030e000000001fa:1");
    assert_eq!(found("0030e000000001fb:0").unwrap(), "0030e000000001fb");
    for (wanted, said) in [
        ("0030", "means 2 disks"),
        ("0030e000000001fa:0", "has no disk"),
        ("archive", "has no disk"),
        ("", "has no disk"),
    ] {
        let failure = found(wanted).unwrap_err();
        assert_eq!(failure.code(), 2);
        assert!(failure.to_string().contains(said), "{failure}");
        assert!(
            failure
                .to_string()
                .contains("0030e000000001fb (0030e000000001fa:1)")
        );
    }
}

#[test]
fn the_example_makes_sense_also_where_it_is_a_comment() {
    assert_eq!(config(EXAMPLE).disks().len(), 1);
    let all: String = EXAMPLE
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|line| !line.starts_with(' '))
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(config(&all).disks().len(), 2);
}

#[test]
fn what_is_no_configuration_is_refused_without_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let failure = || Config::read(&path).unwrap_err();
    let missing = failure();
    assert_eq!(missing.code(), 2);
    assert!(missing.to_string().contains("cannot read"), "{missing}");
    std::fs::write(&path, "# nothing\n").unwrap();
    assert!(failure().to_string().contains("has no disks"));
    std::fs::write(&path, b"# \xff\n").unwrap();
    assert!(
        failure()
            .to_string()
            .contains("no text in UTF-8 (from byte 2 on)")
    );
    std::fs::write(&path, vec![b'#'; 2 << 20]).unwrap();
    assert!(failure().to_string().contains("longer than"));
    assert_eq!(Config::read(folder.path()).unwrap_err().code(), 2);
}
