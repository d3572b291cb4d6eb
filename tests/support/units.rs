//! The shipped unit and a configuration, for tests that have a service manager of their own.

use std::fs;
use std::path::{Path, PathBuf};

/// The manager. It takes its units from `SYSTEMD_UNIT_PATH`, and should start with `test.target`.
pub const MANAGER: &str = "/usr/lib/systemd/systemd";
/// The journal, which runs beside it.
pub const JOURNAL: &str = "/usr/lib/systemd/systemd-journald";

/// Where Debian has systemd's units.
const SYSTEM: &str = "/usr/lib/systemd/system";
/// What the dependencies of units name, and what the manager is to start with.
const TARGETS: [&str; 5] = ["sysinit", "basic", "shutdown", "multi-user", "test"];
const JOURNAL_UNITS: [&str; 3] = [
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-journald-dev-log.socket",
];

/// Writes all the units that there are to be: the shipped one, the journal's, and empty ones in
/// place of a system's.
///
/// # Panics
///
/// If that fails, as without systemd.
pub fn write(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a unit");
    let unit = fs::read_to_string(shipped()).expect("the unit");
    write("fwshare@.service", &unit);
    for target in TARGETS {
        let wants = match target {
            "test" => JOURNAL_UNITS.join(" "),
            _ => String::new(),
        };
        let text = format!("[Unit]\nDefaultDependencies=no\nWants={wants}\n");
        write(&format!("{target}.target"), &text);
    }
    for name in JOURNAL_UNITS {
        let from = Path::new(SYSTEM).join(name);
        fs::copy(from, folder.join(name)).expect("a unit of systemd's");
    }
    let nothing = "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=true\n";
    write("modprobe@.service", nothing);
}

/// Where the shipped unit is.
#[must_use]
pub fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/fwshare/system/fwshare@.service")
}

/// A `fwshare.toml` with a disk that is called `archive`, which is that of a bridge that has been
/// given no GUID.
#[must_use]
pub fn configuration(export: &str) -> String {
    format!(
        "[[disk]]\nname = \"archive\"\nguid = \"0030e000000001fa\"\nshared = true\n\
         export = [\"{export}\"]\n"
    )
}
