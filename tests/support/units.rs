use std::fs;
use std::path::{Path, PathBuf};

/// Where Debian has systemd's programs.
const SYSTEMD: &str = "/usr/lib/systemd";
/// What the dependencies of units name; the last one is what a manager is to start with.
const TARGETS: [&str; 5] = ["sysinit", "basic", "shutdown", "multi-user", "test"];
const JOURNAL: [&str; 3] = [
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-journald-dev-log.socket",
];

/// The service manager and its journal, for tests that have one of their own.
#[derive(Clone, Copy, Debug)]
pub struct Systemd;

impl Systemd {
    /// The manager. It takes its units from `SYSTEMD_UNIT_PATH`, and should start with `test.target`.
    pub const MANAGER: &'static str = "/usr/lib/systemd/systemd";
    /// What runs beside it.
    pub const JOURNAL: &'static str = "/usr/lib/systemd/systemd-journald";

    /// Writes all the units that there are to be: the shipped one, the journal's, and empty ones in
    /// place of a system's.
    ///
    /// # Panics
    ///
    /// If that fails, as without systemd.
    pub fn write_units(folder: &Path) {
        fs::create_dir_all(folder).expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a unit");
        let unit = fs::read_to_string(shipped_unit()).expect("the unit");
        write("fwshare@.service", &unit);
        for target in TARGETS {
            let wants = match target {
                "test" => JOURNAL.join(" "),
                _ => String::new(),
            };
            let text = format!("[Unit]\nDefaultDependencies=no\nWants={wants}\n");
            write(&format!("{target}.target"), &text);
        }
        for name in JOURNAL {
            let from = Path::new(SYSTEMD).join("system").join(name);
            fs::copy(from, folder.join(name)).expect("a unit of systemd's");
        }
        let nothing = "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=true\n";
        write("modprobe@.service", nothing);
    }
}

/// Where the shipped unit is.
#[must_use]
pub fn shipped_unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/fwshare/system/fwshare@.service")
}
