//! A system's early boot, seen from inside and from the bus.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fwshare_tests::{Guests, fwshare, run};

use crate::system::System;

/// How long a start may take. In emulation on two cores it takes a minute.
const LIMIT: Duration = Duration::from_secs(240);
/// No root file system is to be mounted: what is looked at comes before.
const NO_ROOT: &str = "root=LABEL=nowhere rootdelay=600 rd.retry=600";

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
    pub(crate) said: String,
    facts: BTreeMap<String, String>,
    /// The recording of the bridge, in words.
    trace: String,
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
        let facts = said.lines().filter_map(|line| line.split_once('='));
        let facts = facts.map(|(name, value)| (name.to_owned(), value.to_owned()));
        drop(guests);
        Some(Self {
            facts: facts.collect(),
            trace: shown(&recording),
            said,
        })
    }

    /// The parameter with which the driver was loaded: Y or N. `None`: it was not loaded.
    pub(crate) fn exclusive_login(&self) -> Option<&str> {
        self.facts.get("exclusive_login").map(String::as_str)
    }

    /// By what the driver is found.
    pub(crate) fn modalias(&self) -> &str {
        self.facts.get("modalias").map_or("", String::as_str)
    }

    /// The kernel's name of the disk, if there is one.
    pub(crate) fn disk(&self) -> Option<&str> {
        self.facts.get("disk").map(String::as_str)
    }

    /// What the bridge was asked for, by each LOGIN: whether it was exclusive.
    pub(crate) fn logins(&self) -> Vec<bool> {
        let logins = self.trace.lines().filter_map(|line| {
            let (_, login) = line.split_once("LOGIN, LUN 0")?;
            Some(login.starts_with(", exclusive"))
        });
        logins.collect()
    }
}

fn shown(recording: &Path) -> String {
    let said = run(fwshare().args(["trace", "show"]).arg(recording), &[]);
    assert!(said.success(), "{said}");
    said.stdout
}
