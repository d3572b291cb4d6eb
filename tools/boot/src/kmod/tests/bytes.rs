//! Any bytes are configuration, and what modprobe makes of some.

use proptest::prelude::*;

use super::judge::{Kmod, Verdict, WAYS};
use super::system::System;
use crate::Place;
use crate::kmod::{By, CommandLine, SBP2_UNIT, effective, hints};

/// Pieces of which lines are made that mean something.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "options ",
        "options\t",
        "alias ",
        "blacklist ",
        "install ",
        "remove ",
        "weakdep ",
        "sbp2",
        "firewire-sbp2",
        "firewire_sbp2",
        "firewire-*",
        "ieee1394:*",
        "off",
        " ",
        "  ",
        "\t",
        "\n",
        "\n",
        "\n",
        "\r\n",
        "\\\n",
        "\\",
        "#",
        "\"",
        "[",
        "]",
        "exclusive_login=N",
        "exclusive-login=Y",
        " -- ",
        "=",
        "a",
        "/bin/true",
        "?",
        ".",
    ])
}

fn lines() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..40).prop_map(|pieces| {
        let text = pieces.concat();
        // kmod 30 reads a backslash that is a file's last byte as if one more came behind it.
        if text.ends_with('\\') {
            return text + "\n";
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_configuration(one: Vec<u8>, two in lines(), line: Vec<u8>) {
        let files: [(&str, &[u8]); 4] = [
            ("etc/modprobe.d/a.conf", &one),
            ("etc/modprobe.d/b.conf", two.as_bytes()),
            ("etc/modules", &one),
            ("etc/modprobe.conf", two.as_bytes()),
        ];
        let system = System::new(&files);
        let line = CommandLine::parse(&line, &Place::new("/proc/cmdline", 1));
        for config in [system.config(), system.old_config()] {
            for by in [By::Name("sbp2"), By::Modalias(SBP2_UNIT), By::Dependency] {
                let _ = effective(&config, Some(&line), "firewire-sbp2", by);
            }
            let _ = hints(&system.root(), &config);
        }
    }
}

#[test]
fn modprobe_reads_any_lines_the_same() {
    let Some(kmod) = Kmod::new() else { return };
    let config = ProptestConfig {
        // Found cases are fixed in the table, not kept in a file.
        failure_persistence: None,
        ..ProptestConfig::with_cases(200)
    };
    proptest!(config, |(one in lines(), two in lines())| {
        let files: [(&str, &[u8]); 2] = [
            ("etc/modprobe.d/a.conf", one.as_bytes()),
            ("usr/lib/modprobe.d/b.conf", two.as_bytes()),
        ];
        let system = System::new(&files);
        for by in WAYS {
            let (verdict, said) = kmod.verdict(&system, by);
            let outcome = system.config().load("firewire-sbp2", by);
            let ours = Verdict::from(&outcome);
            prop_assert!(ours.agrees(&verdict), "{by:?}: {ours:?}, modprobe: {verdict:?}\n{said}");
        }
    });
}
