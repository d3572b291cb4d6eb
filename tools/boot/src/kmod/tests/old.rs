//! module-init-tools, as RHEL 4 and 5 have it.

use super::system::{System, notices};
use super::table::words;
use crate::kmod::{By, Config};

fn sbp2(config: &Config) -> String {
    words(&config.load("sbp2", By::Name("sbp2")))
}

#[test]
fn names_need_no_suffix_and_the_first_line_wins() {
    let system = System::new(&[
        (
            "etc/modprobe.d/sbp2",
            b"options sbp2 exclusive_login=0 serialize_io=1\n",
        ),
        (
            "etc/modprobe.d/zz.conf",
            b" # comment\noptions sbp2 exclusive_login=1\n",
        ),
    ]);
    let config = system.old_config();
    // What comes last on the module's line counts, and that is what was read first.
    assert_eq!(
        sbp2(&config),
        "exclusive_login=1 exclusive_login=0 serialize_io=1"
    );
    assert!(notices(&config).is_empty(), "{:?}", notices(&config));
    assert_eq!(sbp2(&system.config()), "exclusive_login=1");
}

#[test]
fn modprobe_conf_is_read_alone_but_for_what_it_includes() {
    let system = System::new(&[
        ("etc/modprobe.conf", b"options sbp2 a\n"),
        ("etc/modprobe.d/x", b"options sbp2 b\n"),
    ]);
    assert_eq!(sbp2(&system.old_config()), "a");
    system.write(
        "etc/modprobe.conf",
        b"options sbp2 a\ninclude /etc/modprobe.d\noptions sbp2 c\n",
    );
    let config = system.old_config();
    assert_eq!(sbp2(&config), "c b a");
    assert_eq!(config.sources().len(), 2);
}

#[test]
fn includes_that_go_in_circles_end() {
    let system = System::new(&[(
        "etc/modprobe.conf",
        b"options sbp2 a\ninclude /etc/modprobe.conf\ninclude /etc/modprobe.conf\ninclude /etc/x\n",
    )]);
    let config = system.old_config();
    assert!(config.sources().len() < 1000, "{}", config.sources().len());
    let said = notices(&config);
    assert!(
        said.iter().any(|line| line.contains("leads too deep")),
        "{said:?}"
    );
    let missing = "/etc/modprobe.conf:4: the line is ignored: something is missing or wrong behind \"include\"";
    assert!(said.iter().any(|line| line == missing), "{said:?}");
}

#[test]
fn the_last_command_counts_and_own_aliases_are_not_blacklisted() {
    let system = System::new(&[(
        "etc/modprobe.conf",
        b"install sbp2 /bin/a\ninstall sbp2 /bin/b\nalias disk ohci1394\nblacklist ohci1394\n",
    )]);
    let config = system.old_config();
    assert_eq!(sbp2(&config), "install: /bin/b");
    assert_eq!(words(&config.load("ohci1394", By::Name("disk"))), "");
    assert_eq!(words(&config.load("ohci1394", By::Modalias("pci:x"))), "no");
}
