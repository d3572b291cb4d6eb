//! kmod itself: `modprobe` on a system with a module that gcc makes.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::system::System;
use crate::kmod::arguments::split;
use crate::kmod::{By, Outcome, SBP2_UNIT, shown};

/// The three ways in which firewire-sbp2 is asked for.
pub(super) const WAYS: [By<'static>; 3] = [
    By::Name("sbp2"),
    By::Name("firewire-sbp2"),
    By::Modalias(SBP2_UNIT),
];

/// What becomes of a module, in words that both sides have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Loaded(Vec<(String, Option<Vec<u8>>)>),
    Install(String),
    NotLoaded,
}

impl Verdict {
    /// Whether this is what modprobe shows. Behind a command it shows what the module would get.
    pub(super) fn agrees(&self, modprobe: &Self) -> bool {
        match (self, modprobe) {
            (Self::Install(ours), Self::Install(shown)) => shown.starts_with(ours.as_str()),
            (ours, shown) => ours == shown,
        }
    }
}

impl From<&Outcome> for Verdict {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Loaded { parameters } => {
                let parts = parameters.iter().cloned();
                Self::Loaded(parts.map(|part| (part.name, part.value)).collect())
            }
            Outcome::Install { command, .. } => Self::Install(command.clone()),
            _ => Self::NotLoaded,
        }
    }
}

/// A kernel's modules, to be put into a system.
pub(super) struct Kmod {
    modules: tempfile::TempDir,
}

const VERSION: &str = "6.1.0-1-test";

/// Every folder that kmod reads, in its order.
const FOLDERS: [&str; 5] = ["etc", "run", "usr/local/lib", "usr/lib", "lib"];

const MODULE: &str = r#"
#define INFO(name, text) static const char name[] __attribute__((section(".modinfo"), used)) = text
INFO(license, "license=GPL");
INFO(alias1, "alias=sbp2");
INFO(alias2, "alias=ieee1394:ven*mo*sp0000609Ever00010483*");
"#;

impl Kmod {
    /// `None`: skip the test, the user has been told.
    pub(super) fn new() -> Option<Self> {
        for program in ["modprobe", "depmod", "gcc"] {
            if find(program).is_none() {
                missing(program);
                return None;
            }
        }
        let modules = tempfile::tempdir().unwrap();
        let folder = modules
            .path()
            .join("lib/modules")
            .join(VERSION)
            .join("kernel");
        fs::create_dir_all(&folder).unwrap();
        let source = modules.path().join("module.c");
        for (name, text) in [
            ("firewire-sbp2", MODULE),
            (
                "sd_mod",
                "char x[] __attribute__((section(\".modinfo\"))) = \"license=GPL\";",
            ),
        ] {
            fs::write(&source, text).unwrap();
            let object = folder.join(format!("{name}.ko"));
            run(Command::new(find("gcc").unwrap())
                .arg("-c")
                .arg(&source)
                .arg("-o")
                .arg(object));
        }
        run(Command::new(find("depmod").unwrap())
            .arg("-b")
            .arg(modules.path())
            .arg(VERSION));
        Some(Self { modules })
    }

    /// What modprobe would do, with the configuration of a system, and what it says of it.
    pub(super) fn verdict(&self, system: &System, by: By<'_>) -> (Verdict, String) {
        let mut command = Command::new(find("modprobe").unwrap());
        self.arguments(&mut command, system, by);
        judged(&command.output().unwrap())
    }

    /// The same on a machine whose kernel has this command line. Needs root.
    pub(super) fn verdict_with(&self, system: &System, line: &Path, by: By<'_>) -> Verdict {
        let mut command = Command::new(find("unshare").unwrap());
        let script = "mount --bind \"$0\" /proc/cmdline && exec \"$@\"";
        command.args(["-m", "sh", "-c", script]).arg(line);
        command.arg(find("modprobe").unwrap());
        self.arguments(&mut command, system, by);
        judged(&command.output().unwrap()).0
    }

    fn arguments(&self, command: &mut Command, system: &System, by: By<'_>) {
        command
            .arg("-d")
            .arg(self.modules.path())
            .args(["-S", VERSION]);
        for folder in FOLDERS {
            command
                .arg("-C")
                .arg(system.path().join(folder).join("modprobe.d"));
        }
        let (By::Name(name) | By::Modalias(name)) = by else {
            panic!("modprobe is not asked for dependencies");
        };
        command.args(["-n", "-v", "--show-depends", name]);
    }
}

fn judged(output: &Output) -> (Verdict, String) {
    let said = shown(&output.stderr);
    // An option may have a newline of its own, never a line that starts so.
    let text = output.stdout.as_slice();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let insmod = text.windows(7).rposition(|start| start == b"insmod ");
    let is_sbp2 = b"firewire-sbp2.ko ";
    let options = insmod.and_then(|at| {
        let path = text
            .windows(is_sbp2.len())
            .position(|part| part == is_sbp2)?;
        (path > at).then(|| &text[path + is_sbp2.len()..])
    });
    let verdict = match (options, text.strip_prefix(b"install ")) {
        (_, Some(command)) => Verdict::Install(shown(without_more(command))),
        (Some(options), _) => {
            let parts = split(without_more(options)).into_iter();
            Verdict::Loaded(parts.map(|part| (shown(&part.name), part.value)).collect())
        }
        _ => Verdict::NotLoaded,
    };
    (verdict, said)
}

/// Behind a blank modprobe shows what it was given for the module by hand, which is nothing.
fn without_more(text: &[u8]) -> &[u8] {
    text.strip_suffix(b" ").unwrap_or(text)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .into_iter()
        .map(PathBuf::from)
        .chain(env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Tells the user, past the test harness's capture, why a test is skipped.
///
/// # Panics
///
/// In CI, where everything is installed.
pub(super) fn missing(what: &str) {
    assert!(env::var_os("CI").is_none(), "{what} is missing");
    let thread = std::thread::current();
    let line = format!(
        "skipped {}: needs {what}\n",
        thread.name().unwrap_or("a test")
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
}
