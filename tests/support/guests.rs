use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fwlab::lab::Lab;
use fwlab::lab::command::{Answer, Command, Report};
use fwlab::seat::Seat;
use fwlab::vm::{Boot, Guest, GuestSpec, Hub, Kernel, Qemu};
use fwlab::world::{Timekeeper, World};
use tempfile::TempDir;

use crate::daemon::fwshare;
use crate::judge::{judge, skipped};

/// What guests are given by this machine, and what unpacks their modules.
const PROGRAMS: [&str; 9] = [
    "busybox",
    "cmp",
    "dd",
    "e2fsck",
    "fio",
    "mkfs.ext4",
    "nbd-client",
    "sg_inq",
    "xz",
];
/// How long one step in a guest may take. Two guests without KVM on two cores are slow.
const STEP: Duration = Duration::from_secs(240);

/// A bus in this process, with bridges on it and virtual machines.
///
/// There is one at a time: guests that share the cores with those of other tests are slow enough
/// for their kernels to give up on commands.
pub struct Guests {
    world: Arc<World>,
    seats: Vec<Seat>,
    hub: Hub,
    qemu: Qemu,
    kernel: Kernel,
    folder: TempDir,
    _clock: Timekeeper,
    _alone: MutexGuard<'static, ()>,
}

impl Guests {
    /// A bus with these bridges and room for two guests, who have Debian 13's kernel. `None`
    /// means: skip the test, the user has been told.
    ///
    /// # Panics
    ///
    /// In CI, if there is no QEMU, no kernel, or a program for guests is missing.
    #[must_use]
    pub fn new(bridges: &[&str]) -> Option<Self> {
        Self::with_kernel(bridges, None)
    }

    /// The same with another kernel, by the name that `fwlab vm` has for it.
    ///
    /// # Panics
    ///
    /// In CI, if there is no QEMU, no such kernel, or a program for guests is missing.
    #[must_use]
    pub fn with_kernel(bridges: &[&str], kernel: Option<&str>) -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        for program in PROGRAMS {
            judge(program)?;
        }
        let found = Qemu::find(None).and_then(|qemu| Ok((qemu, Kernel::find(kernel)?)));
        let (qemu, kernel) = match found {
            Ok(found) => found,
            Err(error) => {
                let remedy = "tools/fwlab/vm/prepare fetches what is needed";
                assert!(std::env::var_os("CI").is_none(), "{error}; {remedy}");
                skipped(&format!("{error}; {remedy}"));
                return None;
            }
        };
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bridges: Vec<_> = bridges
            .iter()
            .map(|bridge| bridge.parse().expect("a bridge"))
            .collect();
        let world = Arc::new(World::new(Lab::new(0, &bridges).expect("a bus")));
        let seat = |number: usize| {
            let socket = folder.path().join(format!("seat{number}"));
            Seat::open(&world, &socket).expect("a seat")
        };
        let seats = (0..2).map(seat).collect();
        let hub = Hub::open(&folder.path().join("hub")).expect("a hub");
        let clock = Timekeeper::new(&world).expect("a thread");
        Some(Self {
            world,
            seats,
            hub,
            qemu,
            kernel,
            folder,
            _clock: clock,
            _alone: alone,
        })
    }

    /// A guest to be: 1 or 2, on the bus and on the network.
    #[must_use]
    pub fn spec(&self, number: u8) -> GuestSpec {
        let seat = &self.seats[usize::from(number) - 1];
        GuestSpec::new(self.qemu.clone(), self.kernel.clone())
            .number(number)
            .controller(seat.path())
            .network(self.hub.path())
            .kernel_argument("printk.devkmsg=on")
    }

    /// The start of a system that has a controller on this bus, with its own kernel and image.
    #[must_use]
    pub fn boot(&self, kernel: &Path, image: &Path) -> Boot {
        Boot::new(self.qemu.clone(), kernel, image).controller(self.seats[0].path())
    }

    /// Does something to the bus.
    ///
    /// # Panics
    ///
    /// If that is refused.
    pub fn meddle(&self, command: &Command) {
        let answer = self.world.with(|lab, now| lab.execute(command, now));
        assert!(!matches!(answer, Answer::Refused(_)), "{answer:?}");
    }

    /// Who is on the bus, and what has happened.
    ///
    /// # Panics
    ///
    /// If it does not tell.
    #[must_use]
    pub fn show(&self) -> Report {
        let answer = self.world.with(|lab, now| lab.execute(&Command::Show, now));
        let Answer::Report(report) = answer else {
            panic!("{answer:?}");
        };
        report
    }

    /// A place for what a test needs.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What tests do with a guest.
pub trait InGuest {
    /// Runs commands of the shell, of which none may fail, and returns what they say.
    ///
    /// There is `await SECONDS COMMAND…` for what takes a while: the command is repeated until it
    /// succeeds.
    fn sh(&self, script: &str) -> String;
}

/// What scripts in guests can use. A disk's node is there a moment before it can be opened (ENXIO):
/// `await 30 opens /dev/sda`.
pub const PRELUDE: &str = r#"set -eu
await() {
  local left=$(($1 * 10))
  shift
  until "$@" > /tmp/awaited 2>&1; do
    left=$((left - 1))
    [ $left -gt 0 ] || { echo "in vain: $*"; cat /tmp/awaited; dmesg | tail -n 40; exit 99; }
    sleep 0.1
  done
}
opens() { true < "$1"; }
"#;

impl InGuest for Guest {
    #[track_caller]
    fn sh(&self, script: &str) -> String {
        let running = self.spawn(&format!("{PRELUDE}{script}"));
        let running = running.unwrap_or_else(|error| panic!("{error}"));
        let output = running
            .wait(STEP)
            .unwrap_or_else(|error| panic!("{error}\nin {script}\nwhich said {}", running.text()));
        if output.status != 0 {
            let kernel = self.run("dmesg | tail -n 60").map(|output| output.text);
            panic!(
                "{}: {script}\nended with {}, and said\n{}\nits kernel:\n{}",
                self.name(),
                output.status,
                output.text,
                kernel.unwrap_or_else(|error| error.to_string())
            );
        }
        output.text
    }
}

/// The `fwshare` command, for [`GuestSpec::program`].
///
/// # Panics
///
/// If it cannot be built.
#[must_use]
pub fn fwshare_program() -> String {
    let command = fwshare();
    let path = Path::new(command.get_program());
    path.to_str().expect("a path").to_owned()
}
