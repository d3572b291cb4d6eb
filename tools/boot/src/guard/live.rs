//! The FireWire disks of the system that runs.

use std::path::{Path, PathBuf};

use super::rules::KEPT_TYPE;
use super::text;
use crate::mounts::mounted;
use crate::tree::{Tree, TreeError};

/// How deep things are built on one another: a volume on an array on partitions is three.
const MAX_DEPTH: usize = 16;

/// The FireWire disks of the system that runs, and what is known about them without opening one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Live {
    /// Disks, their partitions, and what is built on them.
    pub devices: Vec<Device>,
    /// The kernel's command line.
    pub command_line: String,
    /// Where the system swaps to most: the kernel's name of the device.
    pub largest_swap: Option<String>,
}

/// A disk, a partition, or what is built on one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Device {
    /// The kernel's name: `sdb1`, `dm-0`.
    pub name: String,
    /// Further names, below `/dev`.
    pub links: Vec<String>,
    /// What udev knows: `ID_FS_TYPE` and its like.
    pub properties: Vec<(String, String)>,
    /// What is built on it: `dm-0`, `md1`.
    pub holders: Vec<String>,
    /// Where it is mounted.
    pub mounts: Vec<String>,
}

impl Device {
    /// A property by its name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        let found = self.properties.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// What is on it, also if a rule of ours hides it: `LVM2_member`.
    #[must_use]
    pub fn file_system(&self) -> Option<&str> {
        self.property(KEPT_TYPE)
            .or_else(|| self.property("ID_FS_TYPE"))
    }

    /// Whether a rule of ours hides what is on it.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.property(KEPT_TYPE).is_some() && self.property("ID_FS_TYPE").is_none()
    }

    /// Whether a name as in fstab is its.
    fn is_named(&self, spec: &str) -> bool {
        let has = |key: &str, value: &str| {
            self.property(key)
                .is_some_and(|found| found.eq_ignore_ascii_case(value))
        };
        let links = |folder: &str, value: &str| {
            let link = format!("disk/{folder}/{value}");
            self.links.contains(&link)
        };
        match spec.split_once('=') {
            Some(("UUID", id)) => has("ID_FS_UUID", id) || links("by-uuid", id),
            Some(("PARTUUID", id)) => has("ID_PART_ENTRY_UUID", id) || links("by-partuuid", id),
            Some(("LABEL", label)) => {
                has("ID_FS_LABEL", label)
                    || has("ID_FS_LABEL_ENC", &encoded(label))
                    || links("by-label", &encoded(label))
            }
            Some(("PARTLABEL", label)) => {
                has("ID_PART_ENTRY_NAME", &encoded(label)) || links("by-partlabel", &encoded(label))
            }
            Some(("ID", id)) => links("by-id", id),
            _ => {
                let name = spec.strip_prefix("/dev/").unwrap_or(spec);
                name == self.name || self.links.iter().any(|link| link == name)
            }
        }
    }
}

/// How udev writes a label: letters, digits and few others as they are, the rest as `\x20`.
fn encoded(label: &str) -> String {
    let mut text = String::new();
    for letter in label.chars() {
        let is_plain = letter.is_ascii_alphanumeric() || "#+-.:=@_".contains(letter);
        match is_plain || !letter.is_ascii() {
            true => text.push(letter),
            false => text.push_str(&format!("\\x{:02x}", letter as u32)),
        }
    }
    text
}

impl Live {
    /// Looks at `/sys`, `/proc` and udev's database in `/run`.
    ///
    /// # Errors
    /// [`TreeError`] if they cannot be read.
    pub fn read(tree: &dyn Tree) -> Result<Self, TreeError> {
        let mounts = text::read(tree, Path::new("/proc/self/mountinfo"))?;
        let mut devices = Vec::new();
        for name in tree.list(Path::new("/sys/block"))? {
            let disk = Path::new("/sys/block").join(&name);
            if !tree.is_file(&disk.join("device/ieee1394_id"))? {
                continue;
            }
            add(tree, &disk, &mounts, &mut devices, MAX_DEPTH)?;
        }
        let swaps = text::read(tree, Path::new("/proc/swaps"))?;
        Ok(Self {
            devices,
            command_line: text::read(tree, Path::new("/proc/cmdline"))?,
            largest_swap: largest_swap(&swaps),
        })
    }

    /// The device on a FireWire disk that is named so: `/dev/sdb1`, `/dev/disk/by-label/x`,
    /// `UUID=…`.
    #[must_use]
    pub fn device(&self, spec: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.is_named(spec))
    }

    /// Those with one of these on them.
    pub(super) fn with<'a>(&'a self, types: &'a [&str]) -> impl Iterator<Item = &'a Device> {
        self.devices.iter().filter(|device| {
            let on_it = device.file_system().unwrap_or_default();
            types.contains(&on_it)
        })
    }
}

/// Adds a device, its partitions, and all that is built on them.
fn add(
    tree: &dyn Tree,
    folder: &Path,
    mountinfo: &str,
    devices: &mut Vec<Device>,
    depth: usize,
) -> Result<(), TreeError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    if depth == 0 || devices.iter().any(|device| device.name == name) {
        return Ok(());
    }
    let number = text::read(tree, &folder.join("dev"))?;
    let number = number.trim();
    let mut device = Device {
        name: name.into_owned(),
        mounts: mounted(mountinfo, number),
        ..Device::default()
    };
    let known = text::read(tree, &PathBuf::from(format!("/run/udev/data/b{number}")))?;
    for line in known.lines() {
        if let Some(link) = line.strip_prefix("S:") {
            device.links.push(link.to_owned());
        } else if let Some((key, value)) = line
            .strip_prefix("E:")
            .and_then(|line| line.split_once('='))
        {
            device.properties.push((key.to_owned(), value.to_owned()));
        }
    }
    let mapped = text::read(tree, &folder.join("dm/name"))?;
    if !mapped.is_empty() {
        device.links.push(format!("mapper/{}", mapped.trim()));
    }
    let holders = tree.list(&folder.join("holders"))?;
    for holder in &holders {
        device.holders.push(holder.to_string_lossy().into_owned());
    }
    devices.push(device);
    for part in tree.list(folder)? {
        let part = folder.join(part);
        if tree.is_file(&part.join("partition"))? {
            add(tree, &part, mountinfo, devices, depth - 1)?;
        }
    }
    for holder in holders {
        let holder = Path::new("/sys/block").join(holder);
        add(tree, &holder, mountinfo, devices, depth - 1)?;
    }
    Ok(())
}

/// By proc(5): `/dev/sdb2 partition 4194300 0 -2`.
fn largest_swap(swaps: &str) -> Option<String> {
    let swaps = swaps.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let name = fields.next()?.strip_prefix("/dev/")?;
        let size: u64 = fields.nth(1)?.parse().ok()?;
        Some((size, name.to_owned()))
    });
    swaps.max().map(|(_, name)| name)
}
