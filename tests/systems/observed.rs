//! A system's early boot, seen from inside and from the bus.

use std::path::Path;
use std::time::Duration;

use fwshare_tests::{Guests, fwshare, run};

use crate::system::System;

/// How long a start may take. In emulation on two cores it takes a minute.
const LIMIT: Duration = Duration::from_secs(240);
/// No root file system is to be mounted: what is looked at comes before.
const NO_ROOT: &str = "root=LABEL=nowhere rootdelay=600 rd.retry=600";

/// By what udev asks for the driver of the bridge's disk.
pub(crate) const MODALIAS: &str = "ieee1394:ven000030E0mo00000001sp0000609Ever00010483";

/// What the observer looks at: nothing of it is ours. Any shell runs it.
const OBSERVER: &str = r#"
within() {
  left=$1
  shift
  until "$@"; do
    left=$((left - 1))
    [ $left -gt 0 ] || return 1
    sleep 1
  done
}
unit() {
  for unit in /sys/bus/firewire/devices/fw*.*; do
    [ -e "$unit/modalias" ] || continue
    read -r modalias < "$unit/modalias"
    case $modalias in *sp0000609Ever00010483*) return ;; esac
  done
  return 1
}
disk() {
  for disk in /sys/block/sd*; do
    [ ! -e "$disk/device/ieee1394_id" ] || return 0
  done
  return 1
}
parameter=/sys/module/firewire_sbp2/parameters/exclusive_login
loaded() { [ -e $parameter ]; }

within 200 unit || { echo "in vain: a unit on the bus"; exit; }
echo "modalias=$modalias"
udevadm settle --timeout=60
if within 5 loaded; then
  read -r value < $parameter
  echo "exclusive_login=$value"
  if within 60 disk; then echo "disk=${disk##*/}"; fi
fi
"#;

/// How a system's early boot has dealt with a disk on the bus.
#[derive(Debug)]
pub(crate) struct Observed {
    /// What the observer has said.
    said: String,
    /// The LOGINs that the bridge was asked for, in words.
    logins: Vec<String>,
}

impl Observed {
    /// Starts the system with a disk on its bus, until the image has dealt with that. `None` means:
    /// skip the test, the user has been told.
    pub(crate) fn boot(system: &System, disk: &str, more: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let recording = folder.path().join("bridge.fwt.jsonl");
        let bridge = format!("profile=oxfw911,{disk},record={}", recording.display());
        let guests = Guests::new(&[&bridge])?;
        let boot = NO_ROOT.split(' ').fold(
            guests.boot(&system.vmlinuz(), &system.image()),
            |boot, argument| boot.kernel_argument(argument),
        );
        let said = boot
            .observe(&format!("{OBSERVER}{more}"), LIMIT)
            .unwrap_or_else(|error| panic!("{error}"));
        drop(guests);
        Some(Self {
            logins: logins(&recording),
            said,
        })
    }

    /// The driver was found by its modalias and loaded with this value of the parameter, it logged
    /// in accordingly, and there is a disk. `None`: there is no driver, so nobody logged in.
    #[track_caller]
    pub(crate) fn judge(&self, exclusive_login: Option<&str>) {
        assert_eq!(self.fact("modalias"), Some(MODALIAS), "{self:?}");
        assert_eq!(self.fact("exclusive_login"), exclusive_login, "{self:?}");
        let kinds = self
            .logins
            .iter()
            .filter_map(|login| login.rsplit(", ").next());
        let expected = match exclusive_login {
            Some("Y") => vec!["exclusive"],
            Some("N") => vec!["shared"],
            _ => vec![],
        };
        assert_eq!(kinds.collect::<Vec<_>>(), expected, "{self:?}");
        assert_eq!(
            self.fact("disk").is_some(),
            exclusive_login.is_some(),
            "{self:?}"
        );
    }

    /// What the observer has said: `name=value`.
    pub(crate) fn fact(&self, name: &str) -> Option<&str> {
        let mut facts = self.said.lines().filter_map(|line| line.split_once('='));
        facts.find_map(|(found, value)| (found == name).then_some(value))
    }
}

fn logins(recording: &Path) -> Vec<String> {
    let said = run(fwshare().args(["trace", "show"]).arg(recording), &[]);
    assert!(said.success(), "{said}");
    let logins = said
        .stdout
        .lines()
        .filter(|line| line.contains(": LOGIN, LUN"));
    logins.map(str::to_owned).collect()
}
