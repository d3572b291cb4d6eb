//! Who uses a block device.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// What keeps a device from being detached. Displays as what is to be said of the device: "mounted
/// on /mnt".
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Users {
    /// Where it or its partitions are mounted.
    pub mounts: Vec<String>,
    /// What is built on it or its partitions: `dm-0`, `md1`.
    pub holders: Vec<String>,
}

impl Users {
    /// Those of the disk at `path`, as `/dev/loop0`, as far as this process sees its mounts.
    #[must_use]
    pub fn of_device(path: &Path) -> Self {
        let name = path.file_name().and_then(|name| name.to_str());
        name.map_or_else(Self::default, Self::of)
    }

    /// Those of the disk `name`, as `loop0`, by what is found in `/sys` and `/proc`.
    pub(crate) fn of(name: &str) -> Self {
        let disk = PathBuf::from(format!("/sys/block/{name}"));
        let partition = format!("{name}p");
        let mut folders = entries(&disk, |name| name.starts_with(&partition));
        folders.push(disk);
        let devices: Vec<String> = folders
            .iter()
            .filter_map(|folder| fs::read_to_string(folder.join("dev")).ok())
            .map(|device| device.trim().to_owned())
            .collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self {
            mounts: mounted(&mounts, &devices, &format!("/dev/{name}")),
            holders: folders
                .iter()
                .flat_map(|folder| entries(&folder.join("holders"), |_| true))
                .filter_map(|holder| Some(holder.file_name()?.to_string_lossy().into_owned()))
                .collect(),
        }
    }
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.mounts[..], &self.holders[..]) {
            ([], []) => f.write_str("open in another program"),
            ([], holders) => write!(f, "used by {}", holders.join(", ")),
            (mounts, []) => write!(f, "mounted on {}", mounts.join(", ")),
            (mounts, holders) => write!(
                f,
                "mounted on {} and used by {}",
                mounts.join(", "),
                holders.join(", ")
            ),
        }
    }
}

fn entries(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_name().to_str().is_some_and(&wanted));
    entries.map(|entry| entry.path()).collect()
}

/// The places of `mountinfo` where one of the devices is mounted. Some file systems, as btrfs,
/// show no device number of their own there, but the device's path.
fn mounted(mountinfo: &str, devices: &[String], node: &str) -> Vec<String> {
    let is_ours = |source: &str| {
        source.strip_prefix(node).is_some_and(|rest| {
            let partition = rest.strip_prefix('p').unwrap_or_default();
            rest.is_empty() || partition.parse::<u32>().is_ok()
        })
    };
    let places = mountinfo.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(2);
        let (device, place) = (mount.next()?, mount.nth(1)?);
        let source = file_system.split(' ').nth(1)?;
        let found = devices.iter().any(|one| one == device) || is_ours(source);
        found.then(|| place.to_owned())
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_known_by_its_number_or_its_source() {
        let mountinfo = "\
29 1 7:3 / /mnt rw,relatime shared:1 - ext4 /dev/disk/by-id/x rw\n\
30 1 259:1 / /part rw - xfs /dev/root rw\n\
31 1 0:40 / /btr rw - btrfs /dev/loop3p2 rw\n\
32 1 7:30 / /other rw - ext4 /dev/loop30 rw\n\
33 1 0:41 / /file rw - tmpfs /dev/loop3px rw\n\
34 broken\n";
        let devices = ["7:3".to_owned(), "259:1".to_owned()];
        let found = mounted(mountinfo, &devices, "/dev/loop3");
        assert_eq!(found, ["/mnt", "/part", "/btr"]);
    }

    #[test]
    fn users_are_told_in_words() {
        let users = |mounts: &[&str], holders: &[&str]| {
            let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let (mounts, holders) = (own(mounts), own(holders));
            Users { mounts, holders }.to_string()
        };
        assert_eq!(users(&[], &[]), "open in another program");
        assert_eq!(users(&["/a", "/b"], &[]), "mounted on /a, /b");
        assert_eq!(users(&["/a"], &["dm-0"]), "mounted on /a and used by dm-0");
    }
}
