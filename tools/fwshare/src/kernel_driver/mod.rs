//! The kernel's own SBP-2 driver, where it is in the way.
//!
//! To the bridge, the kernel's driver and fwshare are one initiator, so both cannot be logged in.
//! Which driver has a unit, and what has become of its disk, sysfs tells. There is no
//! `driver_override` on the firewire bus: a unit is taken away from its driver by unbinding it,
//! and given back by binding it.

mod disks;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ohci_raw::bus::Eui64;

use crate::bus::BusSpec;
use crate::error::{Exit, Failure};

/// The driver's names: since Linux 3.x, and before.
const DRIVERS: [&str; 2] = ["firewire_sbp2", "sbp2"];
/// How long the driver may take to let go: it removes the disk and logs out.
const PATIENCE: Duration = Duration::from_secs(30);
const ROUND: Duration = Duration::from_millis(50);

/// Where the kernel tells of its devices.
#[derive(Clone, Debug)]
pub(crate) struct Sysfs(PathBuf);

/// A unit that the kernel's driver has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bound {
    /// `fw1.0`
    pub(crate) unit: String,
    /// `firewire_sbp2`
    pub(crate) driver: String,
    /// Its disks, and who uses them.
    pub(crate) disks: Vec<disks::Disk>,
    device: PathBuf,
    driver_folder: PathBuf,
}

impl Sysfs {
    /// That of the bus's host, if the bus is a real one. `wanted` is another place for it.
    pub(crate) fn of(bus: &BusSpec, wanted: Option<&Path>) -> Option<Self> {
        match (bus, wanted) {
            (BusSpec::Folder(_), Some(wanted)) => Some(Self(wanted.to_owned())),
            (BusSpec::Folder(folder), None) if folder == Path::new("/dev") => {
                Some(Self("/sys".into()))
            }
            _ => None,
        }
    }

    /// That of the system that runs.
    pub(crate) fn running() -> Self {
        Self("/sys".into())
    }

    /// The driver, if it is there: loaded, or built in.
    pub(crate) fn driver(&self) -> Option<Driver> {
        let modules = self.0.join("module");
        let name = DRIVERS
            .into_iter()
            .find(|name| modules.join(name).is_dir())?;
        Some(Driver {
            name,
            folder: modules.join(name),
        })
    }

    /// Every unit that the kernel's driver has.
    pub(crate) fn all_bound(&self) -> Vec<Bound> {
        let entries = fs::read_dir(self.0.join("bus/firewire/devices"));
        let entries = entries.into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut nodes: Vec<_> = names.filter(|name| !name.contains('.')).collect();
        nodes.sort();
        nodes.iter().flat_map(|node| self.bound(node)).collect()
    }

    /// The names of the nodes with this GUID, as sysfs writes it.
    fn nodes(&self, guid: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join("bus/firewire/devices"));
        let entries = entries.into_iter().flatten().flatten();
        let named = entries.filter(|entry| {
            fs::read_to_string(entry.path().join("guid")).is_ok_and(|own| own.trim() == guid)
        });
        named
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    /// The units of a node that the kernel's driver has.
    pub(crate) fn bound(&self, node: &str) -> Vec<Bound> {
        let devices = self.0.join("bus/firewire/devices");
        let Ok(entries) = fs::read_dir(&devices) else {
            return Vec::new();
        };
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let mut units: Vec<_> = names
            .filter(|name| {
                let number = name
                    .strip_prefix(node)
                    .and_then(|rest| rest.strip_prefix('.'));
                number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
            })
            .collect();
        units.sort();
        units
            .into_iter()
            .filter_map(|unit| {
                let device = devices.join(&unit);
                let driver_folder = fs::canonicalize(device.join("driver")).ok()?;
                let driver = driver_folder.file_name()?.to_str()?.to_owned();
                DRIVERS.contains(&driver.as_str()).then(|| Bound {
                    disks: disks::of(&device),
                    unit,
                    driver,
                    device,
                    driver_folder,
                })
            })
            .collect()
    }
}

/// The kernel's driver for SBP-2 units, with its parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Driver {
    /// `firewire_sbp2`
    pub(crate) name: &'static str,
    folder: PathBuf,
}

impl Driver {
    fn parameter(&self) -> PathBuf {
        self.folder.join("parameters/exclusive_login")
    }

    /// Whether it will log in exclusively the next time. The old driver says 1 and 0, or Y and N.
    pub(crate) fn is_exclusive(&self) -> Option<bool> {
        match fs::read_to_string(self.parameter()).ok()?.trim() {
            "Y" | "1" => Some(true),
            "N" | "0" => Some(false),
            _ => None,
        }
    }

    /// Says how it is to log in from now on.
    pub(crate) fn set_exclusive(&self, exclusive: bool) -> Result<(), Failure> {
        let value = if exclusive { "1" } else { "0" };
        tell(&self.parameter(), value)
    }

    /// Whether it can be unloaded at all.
    pub(crate) fn is_module(&self) -> bool {
        self.folder.join("initstate").exists()
    }
}

impl Bound {
    /// `the kernel's driver firewire_sbp2 has fw1.0 (disk sdb, mounted on /mnt)`
    pub(crate) fn described(&self) -> String {
        let disks: Vec<_> = self.disks.iter().map(disks::Disk::described).collect();
        let disks = match disks[..] {
            [] => String::new(),
            _ => format!(" ({})", disks.join("; ")),
        };
        format!(
            "the kernel's driver {} has {}{disks}",
            self.driver, self.unit
        )
    }

    /// Sees that nobody uses its disks.
    pub(crate) fn is_idle(&self) -> Result<(), Failure> {
        match self.disks.iter().find(|disk| disk.is_used()) {
            Some(disk) => {
                let message = format!("{}, and it is in use", self.described());
                Err(Failure::new(Exit::Held, message).advise(disk.how_to_stop()))
            }
            None => Ok(()),
        }
    }

    /// Has the driver log out and log in again, with its parameters as they are now.
    pub(crate) fn log_in_again(&self) -> Result<(), Failure> {
        self.release()?;
        tell(&self.driver_folder.join("bind"), &self.unit)
    }

    /// Takes the unit away from the driver.
    fn release(&self) -> Result<(), Failure> {
        self.is_idle()?;
        tell(&self.driver_folder.join("unbind"), &self.unit)?;
        let start = Instant::now();
        while self.device.join("driver").exists() {
            if start.elapsed() > PATIENCE {
                let message = format!("{} and does not let go of it", self.described());
                return Err(Failure::new(Exit::Held, message).advise("see dmesg"));
            }
            thread::sleep(ROUND);
        }
        Ok(())
    }

    /// Gives it back.
    fn give_back(&self) {
        let (unit, driver) = (&self.unit, &self.driver);
        if !self.device.exists() {
            tracing::info!("{unit} is gone: {driver} finds it by itself when it comes back");
            return;
        }
        if self.device.join("driver").exists() {
            return;
        }
        if let Err(failure) = tell(&self.driver_folder.join("bind"), unit) {
            tracing::error!("{unit} was not given back to {driver}: {failure}");
        }
    }
}

/// Writes a unit's name to bind or unbind.
fn tell(file: &Path, unit: &str) -> Result<(), Failure> {
    let opened = fs::OpenOptions::new().write(true).open(file);
    opened
        .and_then(|mut file| file.write_all(unit.as_bytes()))
        .map_err(|error| {
            let message = format!("cannot write {unit} to {}: {error}", file.display());
            match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    Failure::new(Exit::Permission, message).advise("run as root")
                }
                _ => Failure::new(Exit::Error, message),
            }
        })
}

/// Units that are kept from the kernel's driver as long as this lives.
///
/// A node that leaves and comes back gets new units, which the driver takes at once: there is no
/// `driver_override`. So it is looked for them again and again.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// Where to look, and for the node with which EUI-64, unless the driver may have it.
    watch: Option<(Sysfs, String)>,
    released: Vec<Bound>,
}

impl Aside {
    /// Makes sure that the kernel's driver has no unit of the node: takes them away where `unbind`
    /// says so, and says who has them otherwise.
    ///
    /// # Errors
    /// It has one, and is not to lose it, or does not let go of it.
    pub(crate) fn step(
        sysfs: Option<Sysfs>,
        node: &str,
        guid: Eui64,
        unbind: bool,
    ) -> Result<Self, Failure> {
        let bound = sysfs
            .as_ref()
            .map(|sysfs| sysfs.bound(node))
            .unwrap_or_default();
        if let Some(first) = bound.first().filter(|_| !unbind) {
            return Err(Failure::new(Exit::Held, first.described())
                .advise(
                    "use the disk as it is there, or take it away from the kernel: \
                     --unbind-kernel",
                )
                .advise(
                    "the kernel's driver shares, too, if it is told to before it logs in:\n\
                     options firewire-sbp2 exclusive_login=0 in /etc/modprobe.d",
                ));
        }
        let watch = sysfs
            .filter(|_| unbind)
            .map(|sysfs| (sysfs, format!("0x{guid}")));
        let mut aside = Self {
            watch,
            released: Vec::new(),
        };
        for bound in bound {
            bound.release()?;
            aside.released.push(bound);
        }
        Ok(aside)
    }

    /// Takes away what the driver has taken in the meantime.
    pub(crate) fn look(&mut self) {
        let Some((sysfs, guid)) = &self.watch else {
            return;
        };
        for bound in sysfs.nodes(guid).iter().flat_map(|node| sysfs.bound(node)) {
            tracing::info!("{}; it is taken away again", bound.described());
            match bound.release() {
                // It is given back once, however often it was taken.
                Ok(()) if self.released.iter().any(|old| old.unit == bound.unit) => {}
                Ok(()) => self.released.push(bound),
                Err(failure) => tracing::error!("{failure}"),
            }
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        for bound in &self.released {
            bound.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    const GUID: Eui64 = Eui64(0x0030_e000_0000_01fa);

    /// A tree in which fw1.0 belongs to `driver`, and somebody who does as the kernel does.
    fn tree(driver: &str) -> (tempfile::TempDir, Sysfs) {
        let folder = tempfile::tempdir().unwrap();
        let bus = folder.path().join("bus/firewire");
        let driver_folder = bus.join("drivers").join(driver);
        let unit = bus.join("devices/fw1.0");
        fs::create_dir_all(&driver_folder).unwrap();
        fs::create_dir_all(unit.join("host3/target3:0:0/3:0:0:0/block/sdz/sdz1")).unwrap();
        fs::create_dir_all(bus.join("devices/fw10.0")).unwrap();
        fs::create_dir_all(bus.join("devices/fw1")).unwrap();
        symlink(&driver_folder, unit.join("driver")).unwrap();
        for name in ["bind", "unbind"] {
            mkfifo(&driver_folder.join(name), Mode::S_IRWXU).unwrap();
        }
        let sysfs = Sysfs(folder.path().to_owned());
        (folder, sysfs)
    }

    /// Waits for a name at a file, and does something then.
    fn kernel(file: PathBuf, act: impl FnOnce() + Send + 'static) -> thread::JoinHandle<String> {
        thread::spawn(move || {
            let name = fs::read_to_string(file).unwrap();
            act();
            name
        })
    }

    #[test]
    fn a_unit_of_another_driver_or_of_another_node_is_nobodys() {
        let (_folder, sysfs) = tree("firewire_net");
        assert!(sysfs.bound("fw1").is_empty());
        let (_folder, sysfs) = tree("firewire_sbp2");
        assert!(sysfs.bound("fw10").is_empty());
        assert!(sysfs.bound("fw").is_empty());
        assert!(Sysfs("/nowhere".into()).bound("fw1").is_empty());
    }

    #[test]
    fn who_has_the_unit_is_the_reason_of_the_refusal() {
        for driver in DRIVERS {
            let (_folder, sysfs) = tree(driver);
            let refusal = Aside::step(Some(sysfs), "fw1", GUID, false).unwrap_err();
            assert_eq!(refusal.code(), 6);
            let text = refusal.to_string();
            assert!(
                text.contains(&format!("{driver} has fw1.0 (disk sdz)")),
                "{text}"
            );
            assert!(text.contains("--unbind-kernel"), "{text}");
        }
        assert!(Aside::step(None, "fw1", GUID, false).is_ok());
    }

    #[test]
    fn a_unit_is_unbound_and_bound_again_at_the_end() {
        let (folder, sysfs) = tree("firewire_sbp2");
        let bus = folder.path().join("bus/firewire");
        let (link, drivers) = (
            bus.join("devices/fw1.0/driver"),
            bus.join("drivers/firewire_sbp2"),
        );
        let gone = link.clone();
        let unbinds = kernel(drivers.join("unbind"), move || {
            fs::remove_file(gone).unwrap()
        });
        let aside = Aside::step(Some(sysfs.clone()), "fw1", GUID, true).unwrap();
        assert_eq!(unbinds.join().unwrap(), "fw1.0");
        assert!(sysfs.bound("fw1").is_empty());
        let binds = kernel(drivers.join("bind"), || {});
        drop(aside);
        assert_eq!(binds.join().unwrap(), "fw1.0");
    }

    #[test]
    fn a_unit_that_the_driver_takes_again_is_taken_away_again() {
        let (folder, sysfs) = tree("firewire_sbp2");
        let bus = folder.path().join("bus/firewire");
        fs::write(bus.join("devices/fw1/guid"), "0x0030e000000001fa\n").unwrap();
        let (link, drivers) = (
            bus.join("devices/fw1.0/driver"),
            bus.join("drivers/firewire_sbp2"),
        );
        let lets_go = |link: PathBuf| {
            kernel(drivers.join("unbind"), move || {
                fs::remove_file(link).unwrap()
            })
        };
        let first = lets_go(link.clone());
        let mut aside = Aside::step(Some(sysfs), "fw1", GUID, true).unwrap();
        first.join().unwrap();
        aside.look();
        symlink(&drivers, &link).unwrap();
        let second = lets_go(link.clone());
        aside.look();
        assert_eq!(second.join().unwrap(), "fw1.0");
        assert!(!link.exists());
        // Given back once, whatever happened in between.
        let binds = kernel(drivers.join("bind"), || {});
        drop(aside);
        assert_eq!(binds.join().unwrap(), "fw1.0");
    }

    #[test]
    fn a_disk_that_something_is_built_on_is_not_taken_away() {
        let (folder, sysfs) = tree("firewire_sbp2");
        let block = "bus/firewire/devices/fw1.0/host3/target3:0:0/3:0:0:0/block/sdz";
        fs::create_dir_all(folder.path().join(block).join("sdz1/holders/dm-0")).unwrap();
        let refusal = Aside::step(Some(sysfs.clone()), "fw1", GUID, true).unwrap_err();
        assert_eq!(refusal.code(), 6);
        let text = refusal.to_string();
        assert!(text.contains("dm-0") && text.contains("in use"), "{text}");
        assert_eq!(sysfs.bound("fw1").len(), 1, "it still has it");
    }

    #[test]
    fn only_real_buses_have_a_kernel_behind_them() {
        let sysfs = |bus: &str| Sysfs::of(&bus.parse().unwrap(), None).is_some();
        assert!(sysfs("/dev"));
        assert!(!sysfs("/tmp/bus") && !sysfs("emulated") && !sysfs("replay:x"));
    }
}
