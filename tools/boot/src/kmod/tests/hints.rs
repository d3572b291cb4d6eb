use super::system::System;
use crate::kmod::{Why, hints};

#[test]
fn what_is_left_of_the_old_recipe_is_found() {
    let system = System::new(&[
        (
            "etc/modules",
            b"# sbp2 exclusive_login=0\nloop\nieee1394\n sbp2 exclusive_login=0 serialize_io=1\r\n\
              sbp2\nfirewire_sbp2\next4 x\nfirewire-sbp2-extra x\n",
        ),
        ("etc/modules-load.d/a.conf", b"firewire_sbp2 exclusive_login=N\n"),
        ("etc/modules-load.d/readme", b"sbp2 x\n"),
        ("etc/modprobe.d/sbp2", b"\n# text\noptions sbp2 exclusive_login=0\n"),
        ("etc/modprobe.d/other", b"options snd x\n"),
        (
            "etc/modprobe.d/old.conf",
            b"options sbp2 exclusive_login=0\noptions firewire-sbp2 exclusive_login=N serialize-io=1\n\
              options firewire-sbp2 exclusive_login=N\n",
        ),
    ]);
    // Debian has this link.
    system.link("etc/modules-load.d/modules.conf", "../modules");
    let found: Vec<(String, String, Why)> = hints(&system.root(), &system.config())
        .into_iter()
        .map(|hint| (hint.place.to_string(), hint.text, hint.why))
        .collect();
    let expected = [
        ("/etc/modules:3", "ieee1394", Why::NoModule),
        (
            "/etc/modules:4",
            "sbp2 exclusive_login=0 serialize_io=1",
            Why::Arguments,
        ),
        (
            "/etc/modules-load.d/a.conf:1",
            "firewire_sbp2 exclusive_login=N",
            Why::Arguments,
        ),
        (
            "/etc/modprobe.d/sbp2:3",
            "options sbp2 exclusive_login=0",
            Why::NoSuffix,
        ),
        (
            "/etc/modprobe.d/old.conf:1",
            "options sbp2 exclusive_login=0",
            Why::Alias,
        ),
        (
            "/etc/modprobe.d/old.conf:2",
            "options firewire_sbp2 exclusive_login=N serialize-io=1",
            Why::SerializeIo,
        ),
    ];
    let expected = expected.map(|(place, text, why)| (place.to_owned(), text.to_owned(), why));
    assert_eq!(found, expected);
}

#[test]
fn a_system_without_it_has_none() {
    let system = System::new(&[("etc/modules", b"sbp2\nfirewire-ohci\n")]);
    assert_eq!(hints(&system.root(), &system.config()), []);
}
