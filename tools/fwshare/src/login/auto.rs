//! `--export auto`: the best way of serving the disk that this machine has.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use fwshare_export::nbd::Endpoint;
use fwshare_export::nbd_device;
use nix::errno::Errno;

use crate::error::{Exit, Failure};
use crate::export_spec::{ExportChoice, ExportSpec};
use crate::output;

/// What a machine has for exports. Of what it has not, why not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Machine {
    /// This user is root.
    is_root: bool,
    /// `/dev/ublk-control`
    #[cfg(feature = "ublk")]
    ublk: Result<(), String>,
    /// The nbd driver.
    nbd: Result<(), String>,
    /// `/dev/fuse`.
    fuse: Result<(), String>,
    /// `/dev/loop-control`.
    loop_control: Result<(), String>,
}

/// A way of serving the disk.
struct Way {
    /// In words.
    name: &'static str,
    /// Why a machine has it not.
    lacks: fn(&Machine) -> Result<(), String>,
    /// It, with files of this name, to which an ending may be added.
    export: fn(PathBuf) -> ExportSpec,
}

/// The best first.
const WAYS: &[Way] = &[
    #[cfg(feature = "ublk")]
    Way {
        name: "a ublk device",
        lacks: |machine| machine.as_root(&machine.ublk),
        export: |_| ExportSpec::Ublk { number: None },
    },
    Way {
        name: "an nbd device",
        lacks: |machine| machine.as_root(&machine.nbd),
        export: |_| ExportSpec::NbdDevice(None),
    },
    Way {
        name: "a loop device",
        lacks: Machine::has_loop_devices,
        export: |path| ExportSpec::File {
            path,
            on_loop: true,
        },
    },
    Way {
        name: "an NBD server",
        lacks: |_| Ok(()),
        export: |path| ExportSpec::Nbd(Endpoint::Unix(path.with_extension("sock"))),
    },
];

impl Machine {
    /// This one. Drivers that are modules are loaded by being looked for.
    pub(super) fn probe() -> Self {
        Self {
            is_root: nix::unistd::geteuid().is_root(),
            #[cfg(feature = "ublk")]
            ublk: can_open("/dev/ublk-control"),
            nbd: nbd_device::probe().map_err(|error| error.to_string()),
            fuse: can_open("/dev/fuse"),
            loop_control: can_open("/dev/loop-control"),
        }
    }

    fn has_loop_devices(&self) -> Result<(), String> {
        self.as_root(&self.fuse)?;
        self.loop_control.clone()
    }

    /// What only root can have.
    fn as_root(&self, has: &Result<(), String>) -> Result<(), String> {
        if self.is_root {
            has.clone()
        } else {
            Err("this user is not root".into())
        }
    }
}

/// What was chosen.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Choice {
    export: ExportSpec,
    /// What would have been better, and why it is not that.
    passed_over: Vec<String>,
}

/// Chooses. Files have this name.
pub(super) fn choose(machine: &Machine, path: &Path) -> Option<Choice> {
    let mut passed_over = Vec::new();
    for way in WAYS {
        match (way.lacks)(machine) {
            Ok(()) => {
                let export = (way.export)(path.to_owned());
                return Some(Choice {
                    export,
                    passed_over,
                });
            }
            Err(why) => passed_over.push(format!("not {}: {why}", way.name)),
        }
    }
    None
}

/// The exports that are wanted, each `auto` with what it is on this machine. That is told, unless
/// nobody wants to know. Their files are in `folder` and begin with `name`.
pub(super) fn resolve(
    wanted: &[ExportChoice],
    folder: Option<&Path>,
    name: &str,
    chatty: bool,
) -> Result<Vec<ExportSpec>, Failure> {
    let mut exports = Vec::new();
    let mut machine = None;
    let mut autos = 0_usize;
    for wish in wanted {
        let ExportChoice::Auto = wish else {
            exports.extend(wish.spec().cloned());
            continue;
        };
        autos += 1;
        let name = match autos {
            1 => name.to_owned(),
            number => format!("{name}-{number}"),
        };
        let machine = machine.get_or_insert_with(Machine::probe);
        let path = folder.map(|folder| folder.join(name));
        let choice = path.and_then(|path| choose(machine, &path));
        let choice = choice.ok_or_else(|| {
            Failure::new(Exit::Error, "--export auto has no folder for its files")
                .advise("name one with --run-dir")
        })?;
        if chatty {
            output::complain(&format!("fwshare: --export auto is {}", choice.export));
            for line in choice.passed_over {
                output::complain(&format!("fwshare: {line}"));
            }
        }
        exports.push(choice.export);
    }
    Ok(exports)
}

/// Whether a device can be opened. If not, why not.
fn can_open(path: &str) -> Result<(), String> {
    let Err(error) = OpenOptions::new().read(true).write(true).open(path) else {
        return Ok(());
    };
    Err(why_not(path, &error))
}

fn why_not(path: &str, error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        // The file is there before its driver is.
        Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => {
            format!("this kernel has no {path}")
        }
        Some(Errno::EACCES | Errno::EPERM) => format!("this user may not open {path}"),
        _ => format!("cannot open {path}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_chosen_and_what_is_better_is_told() {
        let all = Machine {
            is_root: true,
            #[cfg(feature = "ublk")]
            ublk: Err("no ublk".into()),
            nbd: Ok(()),
            fuse: Ok(()),
            loop_control: Ok(()),
        };
        let no = |what: &str| Err(format!("no {what}"));
        let without_nbd = Machine {
            nbd: no("nbd"),
            ..all.clone()
        };
        let nobody = Machine {
            is_root: false,
            ..all.clone()
        };
        let without_fuse = Machine {
            fuse: no("fuse"),
            loop_control: no("loop"),
            ..without_nbd.clone()
        };
        let without_loop = Machine {
            loop_control: no("loop"),
            ..without_nbd.clone()
        };
        let not = |nbd: &'static str, device: &'static str| {
            vec![
                format!("not an nbd device: {nbd}"),
                format!("not a loop device: {device}"),
            ]
        };
        let root = "this user is not root";
        let socket = "nbd:unix:/run/x/disk-1-0.sock";
        for (machine, export, passed_over) in [
            (all, "nbd-device", vec![]),
            (
                without_nbd,
                "file:/run/x/disk-1-0,loop",
                vec!["not an nbd device: no nbd".to_owned()],
            ),
            (nobody, socket, not(root, root)),
            (without_fuse, socket, not("no nbd", "no fuse")),
            (without_loop, socket, not("no nbd", "no loop")),
        ] {
            let choice = choose(&machine, Path::new("/run/x/disk-1-0")).unwrap();
            assert_eq!(choice.export.to_string(), export);
            let ublk = |why: &String| why.starts_with("not a ublk device");
            let others: Vec<_> = choice
                .passed_over
                .into_iter()
                .filter(|why| !ublk(why))
                .collect();
            assert_eq!(others, passed_over);
        }
    }

    #[test]
    fn what_is_asked_for_by_name_is_taken_as_it_is_and_each_auto_has_a_file_of_its_own() {
        let wanted = ["nbd:unix:/a", "auto", "auto"].map(|text| text.parse().unwrap());
        let exports = resolve(&wanted, Some(Path::new("/run/x")), "disk-1-0", false).unwrap();
        assert_eq!(exports[0].to_string(), "nbd:unix:/a");
        assert_eq!(exports.len(), 3);
        for (export, name) in exports[1..].iter().zip(["disk-1-0", "disk-1-0-2"]) {
            let text = export.to_string();
            let is_named = [
                format!("file:/run/x/{name},loop"),
                format!("nbd:unix:/run/x/{name}.sock"),
                "nbd-device".to_owned(),
                "ublk".to_owned(),
            ];
            assert!(is_named.contains(&text), "{text}");
        }
        assert!(resolve(&wanted, None, "disk-1-0", false).is_err());
        assert_eq!(resolve(&wanted[..1], None, "x", false).unwrap().len(), 1);
    }

    #[test]
    fn why_a_device_cannot_be_opened_is_told_in_words() {
        let why = |errno: Errno| why_not("/dev/x", &errno.into());
        assert_eq!(why(Errno::ENODEV), "this kernel has no /dev/x");
        assert_eq!(why(Errno::EACCES), "this user may not open /dev/x");
        assert!(why(Errno::EBUSY).starts_with("cannot open /dev/x: "));
        assert_eq!(can_open("/dev/null"), Ok(()));
        assert!(can_open("/nonexistent/x").is_err());
    }
}
