//! What is in an image, as the tools of its system say, and what kmod makes of that.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fwshare_boot::image::{Entry, Image};
use fwshare_boot::tree::Tree as _;
use fwshare_tests::judge;

use crate::observed::MODALIAS;
use crate::setup::OPTIONS;
use crate::system::System;

/// Where an image is unpacked in its system.
const UNPACKED: &str = "/var/tmp/unpacked";

/// Opens the system's image.
pub(crate) fn open(system: &System) -> Image {
    Image::open(&system.image(), &is_compared).unwrap_or_else(|error| panic!("{error}"))
}

/// Which contents are compared: what is configured for modules, and the drivers.
fn is_compared(path: &Path) -> bool {
    let mut folders = path.iter();
    folders.any(|name| name == "modprobe.d" || name == "firewire")
}

/// Every path in an image, as our own reader has it.
pub(crate) fn paths(image: &Image) -> BTreeSet<PathBuf> {
    let entries = image.entries().map(|(path, _)| path);
    entries.filter(|path| path != Path::new("/")).collect()
}

/// Every path in the system's image, as its own tool lists it.
pub(crate) fn listed(system: &System) -> BTreeSet<PathBuf> {
    let image = system.image_name();
    let (command, with_attributes) = match system.has_dracut() {
        true => ("lsinitrd", true),
        false => ("lsinitramfs", false),
    };
    let said = system.sh(&format!("{command} {image}"));
    let paths = said.lines().filter_map(|line| match with_attributes {
        true => path_of(line),
        false => Some(line),
    });
    let paths = paths.filter(|path| *path != ".");
    paths.map(|path| Path::new("/").join(path)).collect()
}

/// The path in a line like that of `ls -l`, of which lsinitrd makes many among others.
fn path_of(line: &str) -> Option<&str> {
    let attributes = line.split(' ').next()?;
    if attributes.len() != 10 || !"-dlcbps".contains(attributes.chars().next()?) {
        return None;
    }
    // Attributes, links, owner, group, size or two numbers of a device, month, day, time or year.
    let fields = if "cb".contains(attributes.chars().next()?) {
        9
    } else {
        8
    };
    let mut rest = line;
    for _ in 0..fields {
        rest = rest.trim_start().split_once(' ')?.1;
    }
    let rest = rest.trim_start();
    Some(rest.split_once(" -> ").map_or(rest, |(path, _)| path))
}

/// Whether an image has the driver.
pub(crate) fn has_driver(paths: &BTreeSet<PathBuf>) -> bool {
    let name = |path: &PathBuf| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    paths
        .iter()
        .any(|path| name(path).starts_with("firewire-sbp2.ko"))
}

/// Our reader sees what the system's tool sees, every file and the contents of those that count;
/// and the image's own modprobe loads the driver, by the modalias of a disk, with these parameters.
pub(crate) fn judge_image(system: &System, parameters: &str) {
    let image = open(system);
    let ours = paths(&image);
    let theirs = listed(system);
    let differences: Vec<_> = ours.symmetric_difference(&theirs).collect();
    assert!(differences.is_empty(), "{differences:?}");
    assert!(has_driver(&ours), "no driver in {ours:?}");

    let name = system.image_name();
    system.sh(&match system.has_dracut() {
        true => format!("mkdir {UNPACKED}; cd {UNPACKED}; lsinitrd --unpack {name}"),
        false => format!("unmkinitramfs {name} {UNPACKED}"),
    });
    let unpacked = system.at(UNPACKED);
    let options = image
        .read(Path::new(OPTIONS))
        .expect("a tree that can be read");
    let outside = fs::read(system.at(OPTIONS)).expect("the options");
    assert_eq!(options.as_deref(), Some(&outside[..]));
    for (path, entry) in image.entries() {
        let there = unpacked.join(path.strip_prefix("/").expect("from the top"));
        let Entry::File { size } = entry else {
            continue;
        };
        assert_eq!(
            fs::symlink_metadata(&there).expect("a file").len(),
            size,
            "{}",
            path.display()
        );
        if is_compared(&path) {
            let content = image.read(&path).expect("a tree that can be read");
            let same = content.as_deref() == Some(&fs::read(&there).expect("a file")[..]);
            assert!(same, "{}", path.display());
        }
    }

    let chroot = judge("chroot").expect("was there a moment ago");
    let said = chroot.run([
        unpacked.as_os_str(),
        "modprobe".as_ref(),
        "--set-version".as_ref(),
        system.kernel.as_ref(),
        "--dry-run".as_ref(),
        "--verbose".as_ref(),
        "--show-depends".as_ref(),
        MODALIAS.as_ref(),
    ]);
    let last = said.stdout.lines().last().unwrap_or_default();
    let (module, found) = last.split_once(".ko").unwrap_or_else(|| panic!("{said}"));
    assert!(module.ends_with("/firewire-sbp2"), "{said}");
    let found = found
        .split_once(' ')
        .map_or("", |(_, parameters)| parameters.trim());
    assert_eq!(found, parameters, "{said}");
    fs::remove_dir_all(unpacked).expect("a folder that goes");
}
