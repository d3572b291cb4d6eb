mod archives;
mod contents;
mod hostile;
mod refused;
mod unified;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::*;
use crate::judge::{filter, judge};

/// An archive of everything in a folder, by GNU cpio. `None` if that is not installed.
fn archive(folder: &Path, format: &str) -> Option<Vec<u8>> {
    let mut names = Vec::new();
    list(folder, Path::new("."), &mut names);
    cpio(folder, &["-o", "-0", "--quiet", "-H", format], &names)
}

fn cpio(folder: &Path, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    Some(filter(&judge("cpio", "cpio")?, arguments, folder, input))
}

fn list(folder: &Path, path: &Path, names: &mut Vec<u8>) {
    names.extend_from_slice(path.as_os_str().as_bytes());
    names.push(0);
    let here = folder.join(path);
    if fs::symlink_metadata(&here).unwrap().is_dir() {
        let entries = fs::read_dir(here).unwrap();
        let mut inside: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        inside.sort();
        for name in inside {
            list(folder, &path.join(name), names);
        }
    }
}

fn open(bytes: &[u8]) -> Image {
    Image::read(bytes, &|_| true).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    Image::read(bytes, &|_| true).unwrap_err().to_string()
}

fn read(image: &Image, path: &str) -> Option<String> {
    let bytes = image.read(Path::new(path)).unwrap()?;
    Some(String::from_utf8(bytes).unwrap())
}

/// Everything in an image, in words.
fn shown(image: &Image) -> Vec<String> {
    let shown = |(path, entry): (PathBuf, Entry<'_>)| match entry {
        Entry::Folder => format!("{}/", path.display()),
        Entry::File { size } => format!("{} {size}", path.display()),
        Entry::Link { target } => format!("{} -> {}", path.display(), target.display()),
        Entry::Other => format!("{} ?", path.display()),
    };
    image.entries().skip(1).map(shown).collect()
}

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_777;
const DEVICE: u32 = 0o020_600;

/// One entry by hand, for what no program writes.
#[derive(Clone, Copy)]
struct Raw<'a> {
    name: &'a [u8],
    mode: u32,
    body: &'a [u8],
    /// Inode and number of names.
    inode: (u32, u32),
}

const fn raw<'a>(name: &'a str, mode: u32, body: &'a str) -> Raw<'a> {
    Raw {
        name: name.as_bytes(),
        mode,
        body: body.as_bytes(),
        inode: (0, 1),
    }
}

fn raw_archive(entries: &[Raw<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let end = raw("TRAILER!!!", 0, "");
    for entry in entries.iter().chain([&end]) {
        let (inode, links) = entry.inode;
        let (size, name) = (entry.body.len(), entry.name.len() + 1);
        let header = format!(
            "070701{inode:08x}{:08x}{:016x}{links:08x}{:08x}{size:08x}{:032x}{name:08X}{:08x}",
            entry.mode, 0, 0, 0, 0
        );
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(entry.name);
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(entry.body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// A system as an image holds it.
fn system() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let modules = "usr/lib/modules/6.1.0/kernel/drivers/firewire";
    for path in ["etc/modprobe.d", modules, "var/empty"] {
        fs::create_dir_all(at(path)).unwrap();
    }
    std::os::unix::fs::symlink("usr/lib", at("lib")).unwrap();
    std::os::unix::fs::symlink("/lib/modules", at("etc/modules")).unwrap();
    let options = "options firewire-sbp2 exclusive_login=N\n";
    fs::write(at("etc/modprobe.d/fwshare.conf"), options).unwrap();
    fs::write(at(modules).join("firewire-sbp2.ko"), [0x7f; 5001]).unwrap();
    fs::write(at("etc/first"), "several names").unwrap();
    fs::hard_link(at("etc/first"), at("etc/second")).unwrap();
    fs::hard_link(at("etc/first"), at("var/third")).unwrap();
    fs::write(
        at("etc/modprobe.d").join(OsStr::from_bytes(b"\xff.conf")),
        "",
    )
    .unwrap();
    folder
}

const SYSTEM: [&str; 18] = [
    "/etc/",
    "/etc/first 13",
    "/etc/modprobe.d/",
    "/etc/modprobe.d/fwshare.conf 40",
    "/etc/modprobe.d/\u{fffd}.conf 0",
    "/etc/modules -> /lib/modules",
    "/etc/second 13",
    "/lib -> usr/lib",
    "/usr/",
    "/usr/lib/",
    "/usr/lib/modules/",
    "/usr/lib/modules/6.1.0/",
    "/usr/lib/modules/6.1.0/kernel/",
    "/usr/lib/modules/6.1.0/kernel/drivers/",
    "/usr/lib/modules/6.1.0/kernel/drivers/firewire/",
    "/usr/lib/modules/6.1.0/kernel/drivers/firewire/firewire-sbp2.ko 5001",
    "/var/",
    "/var/empty/",
];
