//! What modprobe does with a configuration, by an alias that is typed, by the module's name, and
//! by a device's modalias.

use super::judge::{Kmod, Verdict, WAYS};
use super::system::System;
use crate::kmod::{Outcome, shown};

/// What is written, and what becomes of firewire-sbp2 when it is asked for as `sbp2`, as
/// `firewire-sbp2`, and by modalias: its parameters, or `install: COMMAND`, or `no`.
struct Case {
    files: &'static [(&'static str, &'static [u8])],
    expected: [&'static str; 3],
}

const CASES: &[Case] = &[
    Case {
        files: &[],
        expected: ["", "", ""],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"options sbp2 exclusive_login=0 serialize_io=1\n")],
        expected: ["exclusive_login=0 serialize_io=1", "", ""],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"options firewire-sbp2 exclusive_login=N\n")],
        expected: ["exclusive_login=N", "exclusive_login=N", "exclusive_login=N"],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"options firewire_sbp2 exclusive_login=N\n")],
        expected: ["exclusive_login=N", "exclusive_login=N", "exclusive_login=N"],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"options firewire_sbp2 exclusive_login=N\noptions sbp2 workarounds=0x1\n",
        )],
        expected: [
            "exclusive_login=N workarounds=0x1",
            "exclusive_login=N",
            "exclusive_login=N",
        ],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"options firewire-sbp2 exclusive_login=N\noptions sbp2 exclusive_login=Y\n",
        )],
        expected: [
            "exclusive_login=N exclusive_login=Y",
            "exclusive_login=N",
            "exclusive_login=N",
        ],
    },
    Case {
        files: &[
            ("etc/modprobe.d/zz.conf", b"options firewire-sbp2 exclusive_login=Y\n"),
            ("etc/modprobe.d/aa.conf", b"options firewire-sbp2 exclusive_login=N\n"),
        ],
        expected: [
            "exclusive_login=N exclusive_login=Y",
            "exclusive_login=N exclusive_login=Y",
            "exclusive_login=N exclusive_login=Y",
        ],
    },
    Case {
        files: &[
            ("etc/modprobe.d/sbp2", b"options firewire-sbp2 exclusive_login=1\n"),
            ("etc/modprobe.d/x.conf.bak", b"options firewire-sbp2 exclusive_login=2\n"),
            ("etc/modprobe.d/.x.conf", b"options firewire-sbp2 exclusive_login=3\n"),
            ("etc/modprobe.d/.conf", b"options firewire-sbp2 exclusive_login=4\n"),
            ("etc/modprobe.d/sub/x.conf", b"options firewire-sbp2 exclusive_login=5\n"),
            ("etc/modprobe.d/dir.conf/x.conf", b"options firewire-sbp2 exclusive_login=6\n"),
            ("etc/modprobe.conf", b"options firewire-sbp2 exclusive_login=7\n"),
        ],
        expected: ["", "", ""],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"install firewire-sbp2 /bin/true\n")],
        expected: ["install: /bin/true", "install: /bin/true", "install: /bin/true"],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"install firewire-* /bin/false\ninstall firewire_sbp2 /bin/true\n",
        )],
        expected: ["install: /bin/false", "install: /bin/false", "install: /bin/false"],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"install sbp2 /bin/true\n")],
        expected: ["install: /bin/true", "", ""],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"remove sbp2 /bin/true\n")],
        expected: ["no", "", ""],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"blacklist firewire-sbp2\n")],
        expected: ["no", "", "no"],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"blacklist sbp2\n")],
        expected: ["", "", ""],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"alias sbp2 off\n")],
        expected: ["no", "", ""],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"alias ieee1394:* off\n")],
        expected: ["", "", "no"],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"alias ieee1394:*[0-9] firewire-sbp2\noptions ieee1394:*[0-9] by=pattern\n",
        )],
        expected: ["", "", "by=pattern"],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"alias sbp2 off\nalias sbp2 firewire-sbp2\noptions sbp2 x\n",
        )],
        expected: ["x", "", ""],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"Options firewire-sbp2 a\n options firewire-sbp2 b\noptions firewire-sbp2\n\
              options firewire-sbp2 \noptions\noptions firewire]sbp2 c\n",
        )],
        expected: ["b", "b", "b"],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"\xef\xbb\xbfoptions firewire-sbp2 a\noptions firewire-sbp2 b\n",
        )],
        expected: ["b", "b", "b"],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"options firewire-sbp2 exclusive_login=N # why\n")],
        expected: [
            "exclusive_login=N # why",
            "exclusive_login=N # why",
            "exclusive_login=N # why",
        ],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"# options firewire-sbp2 a\n # options firewire-sbp2 b\n#\\\noptions firewire-sbp2 c\n",
        )],
        expected: ["", "", ""],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"options\tfirewire-sbp2\ta\\\n \\\n b\tc\\d\noptions firewire-sbp2 last",
        )],
        expected: ["a b cd last", "a b cd last", "a b cd last"],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"options firewire-sbp2 a=\"x\n")],
        expected: ["a=x", "a=x", "a=x"],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"options firewire-sbp2 a=\"x\ty\"\n",
        )],
        expected: ["a=x y", "a=x y", "a=x y"],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"options firewire-sbp2 exclusive_login=N\r\noptions firewire-sbp2 b\r\n\r\n",
        )],
        expected: ["exclusive_login=N b", "exclusive_login=N b", "exclusive_login=N b"],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"options firewire-sbp2 a\0 b\noptions firewire-sbp2 c\n",
        )],
        expected: ["a c", "a c", "a c"],
    },
    Case {
        files: &[
            ("lib/modprobe.d/a.conf", b"options firewire-sbp2 a=lib\n"),
            ("usr/lib/modprobe.d/a.conf", b"options firewire-sbp2 a=usr\n"),
            ("usr/lib/modprobe.d/b.conf", b"options firewire-sbp2 b=usr\n"),
            ("usr/local/lib/modprobe.d/b.conf", b"options firewire-sbp2 b=local\n"),
            ("usr/local/lib/modprobe.d/c.conf", b"options firewire-sbp2 c=local\n"),
            ("run/modprobe.d/c.conf", b"options firewire-sbp2 c=run\n"),
            ("run/modprobe.d/d.conf", b"options firewire-sbp2 d=run\n"),
            ("etc/modprobe.d/d.conf", b"options firewire-sbp2 d=etc\n"),
            ("lib/modprobe.d/e.conf", b"options firewire-sbp2 e=lib\n"),
        ],
        expected: [
            "a=usr b=local c=run d=etc e=lib",
            "a=usr b=local c=run d=etc e=lib",
            "a=usr b=local c=run d=etc e=lib",
        ],
    },
    Case {
        files: &[
            ("etc/modprobe.d/a.conf", b""),
            ("lib/modprobe.d/a.conf", b"options firewire-sbp2 a\n"),
        ],
        expected: ["", "", ""],
    },
    Case {
        files: &[("etc/modprobe.d", b"options firewire-sbp2 a\n")],
        expected: ["a", "a", "a"],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"options firewire-sbp2 a=\"x\noptions firewire-sbp2 b=y\" c\n",
        )],
        expected: ["a=x b=y c", "a=x b=y c", "a=x b=y c"],
    },
    Case {
        files: &[("etc/modprobe.d/a.conf", b"options firewire-sbp2 a -- exclusive_login=N\n")],
        expected: ["a", "a", "a"],
    },
    Case {
        files: &[(
            "etc/modprobe.d/a.conf",
            b"include /etc/modprobe.conf\nconfig x\nweakdep firewire-sbp2 sd_mod\n",
        )],
        expected: ["", "", ""],
    },
];

/// An outcome as the table has it.
pub(super) fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Loaded { parameters } => {
            let words = parameters.iter().map(|parameter| match &parameter.value {
                Some(value) => format!("{}={}", parameter.name, shown(value)),
                None => parameter.name.clone(),
            });
            words.collect::<Vec<_>>().join(" ")
        }
        Outcome::Install { command, .. } => format!("install: {command}"),
        _ => "no".to_owned(),
    }
}

#[test]
fn what_becomes_of_the_driver() {
    for case in CASES {
        let config = System::new(case.files).config();
        let found = WAYS.map(|by| words(&config.load("firewire-sbp2", by)));
        assert_eq!(found, case.expected, "{:?}", case.files);
    }
}

#[test]
fn modprobe_does_the_same() {
    let Some(kmod) = Kmod::new() else { return };
    for case in CASES {
        let system = System::new(case.files);
        for (by, expected) in WAYS.into_iter().zip(case.expected) {
            let (verdict, said) = kmod.verdict(&system, by);
            let outcome = system.config().load("firewire-sbp2", by);
            let ours = Verdict::from(&outcome);
            let files = case.files;
            assert_eq!(ours, verdict, "{by:?} {files:?} {expected}\n{said}");
        }
    }
}
