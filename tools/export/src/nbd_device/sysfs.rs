//! What `/sys` tells of the devices, and what is set there.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Geometry;

/// Where a device is.
pub(super) fn node(index: u32) -> PathBuf {
    PathBuf::from(format!("/dev/{}", name(index)))
}

/// Its name.
pub(super) fn name(index: u32) -> String {
    format!("nbd{index}")
}

fn folder(index: u32) -> PathBuf {
    Path::new("/sys/block").join(name(index))
}

fn text(index: u32, file: &str) -> Option<String> {
    let text = fs::read_to_string(folder(index).join(file)).ok()?;
    Some(text.trim_end_matches('\n').to_owned())
}

fn number(index: u32, file: &str) -> Option<u64> {
    text(index, file)?.parse().ok()
}

/// The identity that a device was made with, if it is attached and has one.
pub(super) fn identity(index: u32) -> Option<String> {
    text(index, "backend")
}

/// Whether a device is attached, by whomever.
pub(super) fn is_attached(index: u32) -> bool {
    text(index, "pid").is_some()
}

/// The numbers of the devices that there are.
fn all() -> Vec<u32> {
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let indices = disks.filter_map(|disk| {
        let name = disk.file_name();
        name.to_str()?.strip_prefix("nbd")?.parse().ok()
    });
    let mut indices: Vec<u32> = indices.collect();
    indices.sort_unstable();
    indices
}

/// The device that has this identity.
pub(super) fn find(identity: &str) -> Option<u32> {
    let mut indices = all().into_iter();
    indices.find(|index| self::identity(*index).as_deref() == Some(identity))
}

/// Those that nobody has attached, and the number of one to be made.
pub(super) fn free() -> Vec<u32> {
    let all = all();
    let new = all.last().map_or(0, |last| last.saturating_add(1));
    let free = all.into_iter().filter(|index| !is_attached(*index));
    free.chain([new]).collect()
}

/// What a device cannot change while it is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Bytes.
    pub size: u64,
    /// Bytes in a logical block.
    pub block_size: u64,
    /// Whether writes are refused.
    pub read_only: bool,
}

impl From<Geometry> for Shape {
    fn from(geometry: Geometry) -> Self {
        Self {
            size: geometry.size,
            block_size: geometry.block_size.into(),
            read_only: geometry.read_only,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let only = if self.read_only { ", read-only" } else { "" };
        write!(
            f,
            "{} bytes in blocks of {}{only}",
            self.size, self.block_size
        )
    }
}

/// A device's, if it is attached.
pub(super) fn shape(index: u32) -> Option<Shape> {
    Some(Shape {
        size: number(index, "size")?.checked_mul(512)?,
        block_size: number(index, "queue/logical_block_size")?,
        read_only: number(index, "ro")? != 0,
    })
}

/// Who has made a device, as far as it can be told: `nbd-client (pid 7)`.
pub(super) fn owner(index: u32) -> String {
    let Some(pid) = text(index, "pid") else {
        return "a program that has it open".to_owned();
    };
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    match (name.trim(), identity(index).as_deref()) {
        ("", None | Some("")) => format!("process {pid}, which has ended"),
        ("", Some(identity)) => format!("{identity}, made by process {pid}, which has ended"),
        (name, _) => format!("{name} (pid {pid})"),
    }
}

/// Sets one of a device's limits.
pub(super) fn set(index: u32, file: &str, value: u32) -> io::Result<()> {
    fs::write(folder(index).join("queue").join(file), value.to_string())
}
