use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("fwshare").chain(line.split_whitespace()))
}

fn kind(line: &str) -> ErrorKind {
    parse(line).unwrap_err().kind()
}

#[test]
fn clap_finds_no_fault_with_the_definition() {
    Cli::command().debug_assert();
}

#[test]
fn a_login_is_either_shared_or_exclusive() {
    assert_eq!(kind("login"), ErrorKind::MissingRequiredArgument);
    assert_eq!(
        kind("login --shared --exclusive"),
        ErrorKind::ArgumentConflict
    );
    assert!(parse("login --exclusive").is_ok());
}

#[test]
fn bad_values_are_refused_on_the_command_line() {
    for line in [
        "login --shared --export unix:/x",
        "login --shared --export nbd:/x",
        "login --shared --export nbd:unix:",
        "login --shared --export file:",
        "login --shared --export file:,loop",
        "login --shared --export file:/x,lop",
        "login --shared --export file:/x,",
        "login --shared --export file:/x,loop,loop",
        "login --shared --export nbd:tcp:host",
        "login --shared --export nbd-device:/dev/nbd0p1",
        "login --shared --replacement-timeout -1",
        "login --shared --replacement-timeout +1",
        "login --shared --replacement-timeout 86401",
        "login --shared --replacement-timeout 1.5",
        "login --shared --bus emulated:hosts=0",
        "login --shared --wait=-1",
        "login --shared --wait=1.5",
        "logins fw1:x",
        "status --watch=0",
        "status --watch=3601",
        "status --watch=+1",
        "serve --image x --sector 513",
        "serve --image x --logins 0",
        "serve --image x --logins 43",
        "serve --image x --logins +1",
        "serve --image x --host xyz",
    ] {
        assert_eq!(kind(line), ErrorKind::ValueValidation, "{line}");
    }
    for line in [
        "login --shared --serialize-io=1",
        "serve --image x --profile oxfw912",
    ] {
        assert_eq!(kind(line), ErrorKind::InvalidValue, "{line}");
    }
    assert_eq!(kind("serve"), ErrorKind::MissingRequiredArgument);
}

#[test]
fn a_reset_is_of_one_thing() {
    assert_eq!(kind("reset 0030"), ErrorKind::MissingRequiredArgument);
    assert_eq!(kind("reset --lun"), ErrorKind::MissingRequiredArgument);
    assert_eq!(
        kind("reset 0030 --lun --target"),
        ErrorKind::ArgumentConflict
    );
    let reset = |line| match parse(line).unwrap().verb {
        Verb::Reset(args) => (args.what(), args.bus.is_some_and(|bus| bus.is_some())),
        other => panic!("{other:?}"),
    };
    assert_eq!(reset("reset 0030 --lun"), (Reset::LogicalUnit, false));
    assert_eq!(reset("reset 0030 --target"), (Reset::Target, false));
    assert_eq!(reset("reset --bus 0030"), (Reset::Bus, false));
    assert_eq!(reset("reset 0030 --bus=lab/host0"), (Reset::Bus, true));
}

#[test]
fn a_configuration_stands_for_all_options_that_it_has() {
    for line in [
        "login --config --shared",
        "login --config --export nbd:unix:/x",
        "login --config --serialize-io on",
        "login --config --replacement-timeout 120",
        "login --config --assemble",
    ] {
        assert_eq!(kind(line), ErrorKind::ArgumentConflict, "{line}");
    }
    let Verb::Login(args) = parse("login --config=/x --wait disk").unwrap().verb else {
        panic!("a login");
    };
    assert_eq!(args.config.as_deref(), Some(std::path::Path::new("/x")));
    assert_eq!(args.target.as_deref(), Some("disk"));
    assert_eq!(args.wait, Some(Wait::Forever));
}

#[test]
fn a_login_is_serialised_and_waits_two_minutes_unless_told_otherwise() {
    let login = |line| match parse(line).unwrap().verb {
        Verb::Login(args) => args,
        other => panic!("{other:?}"),
    };
    let plain = login("login --shared");
    assert_eq!(plain.serialize_io, OnOff::On);
    assert_eq!(plain.replacement_timeout, Duration::from_secs(120));
    let told = login("login --shared --serialize-io=off --replacement-timeout 0");
    assert_eq!(told.serialize_io, OnOff::Off);
    assert_eq!(told.replacement_timeout, Duration::ZERO);
}
