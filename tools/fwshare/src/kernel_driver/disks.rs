//! The block devices behind a unit, and what they are used for.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use fwshare_boot::mounts::mounted;
use nix::errno::Errno;
use nix::fcntl::OFlag;

/// A disk that the kernel has made of a logical unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Disk {
    /// `sdb`
    pub(crate) name: String,
    /// Where it or its partitions are mounted.
    pub(crate) mounts: Vec<String>,
    /// What is built on it or its partitions: `dm-0`, `md1`.
    pub(crate) holders: Vec<String>,
    /// Somebody has it or a partition for himself: swap, or a mount that cannot be seen.
    pub(crate) busy: bool,
}

impl Disk {
    pub(super) fn described(&self) -> String {
        let mut text = format!("disk {}", self.name);
        if !self.mounts.is_empty() {
            text.push_str(&format!(", mounted on {}", self.mounts.join(", ")));
        }
        if !self.holders.is_empty() {
            text.push_str(&format!(", used by {}", self.holders.join(", ")));
        }
        if self.busy && !self.is_explained() {
            text.push_str(", in use");
        }
        text
    }

    const fn is_explained(&self) -> bool {
        !self.mounts.is_empty() || !self.holders.is_empty()
    }

    pub(super) const fn is_used(&self) -> bool {
        self.busy || self.is_explained()
    }

    pub(super) fn how_to_stop(&self) -> String {
        match self.mounts.first() {
            Some(mount) => format!("unmount it first: umount {mount}"),
            None => format!("stop what is built on it first: lsblk /dev/{}", self.name),
        }
    }
}

/// The disks of a unit: `fw1.0/host3/target3:0:0/3:0:0:0/block/sdb`.
pub(super) fn of(unit: &Path) -> Vec<Disk> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hosts = children(unit, |name| name.starts_with("host"));
    let targets = hosts
        .iter()
        .flat_map(|host| children(host, |name| name.starts_with("target")));
    let logical_units = targets.flat_map(|target| children(&target, |name| name.contains(':')));
    let blocks = logical_units.flat_map(|unit| children(&unit.join("block"), |_| true));
    blocks.map(|block| disk(&block, &mounts)).collect()
}

fn disk(block: &Path, mountinfo: &str) -> Disk {
    let name = name_of(block);
    // Partitions are folders of the disk's.
    let partitions = children(block, |child| child.starts_with(&name));
    let all: Vec<_> = std::iter::once(block.to_owned())
        .chain(partitions)
        .collect();
    let busy = all
        .iter()
        .any(|part| is_busy(&Path::new("/dev").join(name_of(part))));
    let mut mounts = Vec::new();
    let mut holders = Vec::new();
    for part in &all {
        if let Ok(number) = fs::read_to_string(part.join("dev")) {
            mounts.extend(mounted(mountinfo, number.trim()));
        }
        holders.extend(
            children(&part.join("holders"), |_| true)
                .iter()
                .map(|path| name_of(path)),
        );
    }
    Disk {
        name,
        mounts,
        holders,
        busy,
    }
}

/// Whether somebody has a block device for himself: whoever mounts it, swaps to it or builds on
/// it, wherever that can be seen.
fn is_busy(device: &Path) -> bool {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_EXCL.bits())
        .open(device);
    opened.is_err_and(|error| error.raw_os_error() == Some(Errno::EBUSY as i32))
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn children(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| wanted(&name_of(path)));
    paths.sort();
    paths
}
