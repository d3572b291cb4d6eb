//! Resume: a host that wakes up reads its memory from swap space.
//!
//! On a shared disk it may be another host's memory. The images look for it before the root is
//! mounted: initramfs-tools by `RESUME=` or the largest swap space of the host that made the image,
//! dracut by its module `resume`, all by `resume=` on the kernel's command line.

use std::path::{Path, PathBuf};

use super::text;
use super::{Danger, Guard, GuardFile, Live, Means, spec};
use crate::tool::{HEAD, Ruler, Tool};
use crate::tree::{Tree, TreeError};

/// The files of the folder are read in the order of their names, and the installer's is `resume`.
pub(super) const INITRAMFS_TOOLS: &str = "/etc/initramfs-tools/conf.d/zz-fwshare-resume";
pub(super) const DRACUT: &str = "/etc/dracut.conf.d/91-fwshare-resume.conf";

const TOOLS_FILE: &str = "/etc/initramfs-tools/initramfs.conf";
const TOOLS_FOLDERS: [&str; 2] = [
    "/usr/share/initramfs-tools/conf.d",
    "/etc/initramfs-tools/conf.d",
];

pub(super) fn means(tree: &dyn Tree, live: Option<&Live>) -> Result<Means, TreeError> {
    let mut means = Means::default();
    let in_force = in_force(tree)?;
    let swap = swap(&in_force, live);
    let by_file = in_force
        .as_ref()
        .is_some_and(|found| spec::is_shared(&found.value, live));
    let command_lines = command_lines(tree, live)?;
    for found in &command_lines {
        means.advice.push(format!(
            "{}: take resume={} out, or add noresume",
            found.place(),
            found.value
        ));
    }
    let tools = match Ruler::find(tree)? {
        Ruler::Tool(tool) => vec![tool],
        Ruler::Either(one, other) => vec![one, other],
        Ruler::Unsupported(_) | Ruler::Nothing => Vec::new(),
    };
    if tools.contains(&Tool::InitramfsTools) && (by_file || swap.is_some()) {
        let text = format!(
            "{HEAD}# Swap space of this host's own: RESUME=UUID=… in a file whose name comes later.\n\
             RESUME=none\n"
        );
        means
            .files
            .push(GuardFile::new(INITRAMFS_TOOLS, text, false));
    }
    let has_swap = live.is_some_and(|live| live.with(&["swap", "swsuspend"]).next().is_some());
    if tools.contains(&Tool::Dracut) && (has_swap || !command_lines.is_empty()) {
        let text = format!("{HEAD}omit_dracutmodules+=\" resume \"\n");
        means.files.push(GuardFile::new(DRACUT, text, false));
    }
    Ok(means)
}

pub(super) fn dangers(tree: &dyn Tree, live: Option<&Live>) -> Result<Vec<Danger>, TreeError> {
    let danger = |found: Option<&Found>, text: String, remedy: &str, is_stopped| Danger {
        guard: Guard::Resume,
        file: found.map(|found| found.file.clone()),
        line: found.and_then(|found| found.line),
        text,
        remedy: remedy.into(),
        is_stopped,
    };
    let mut dangers = Vec::new();
    let in_force = in_force(tree)?;
    if let Some(found) = in_force
        .as_ref()
        .filter(|found| spec::is_shared(&found.value, live))
    {
        dangers.push(danger(
            Some(found),
            "the image looks on the disk for this host's memory and may wake up with another's"
                .into(),
            "RESUME=none, or the guard resume",
            false,
        ));
    }
    if let Some(swap) = swap(&in_force, live) {
        dangers.push(danger(
            None,
            format!(
                "no RESUME= is set, so the image is made to resume from the largest swap space, \
                 {swap}, which other hosts see too"
            ),
            "the guard resume, and swap space elsewhere",
            false,
        ));
    }
    for found in command_lines(tree, live)? {
        dangers.push(danger(
            Some(&found),
            "the kernel's command line has the image look on the disk for this host's memory"
                .into(),
            "take resume= out of the command line, or add noresume",
            found.is_refused,
        ));
    }
    Ok(dangers)
}

/// Where to resume from, as a file says.
struct Found {
    file: PathBuf,
    line: Option<usize>,
    value: String,
    is_refused: bool,
}

impl Found {
    fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file.display()),
            None => self.file.display().to_string(),
        }
    }
}

/// The last `RESUME=` of others that initramfs-tools reads.
fn in_force(tree: &dyn Tree) -> Result<Option<Found>, TreeError> {
    let main = PathBuf::from(TOOLS_FILE);
    let mut files = vec![(main.clone(), text::read(tree, &main)?)];
    let [packaged, own] = TOOLS_FOLDERS.map(Path::new);
    for (path, text) in text::read_all(tree, packaged, "")? {
        let masking = own.join(path.file_name().unwrap_or_default());
        if tree.kind(&masking)?.is_none() {
            files.push((path, text));
        }
    }
    files.extend(text::read_all(tree, own, "")?);
    let mut found = None;
    for (file, text) in files {
        if file == Path::new(INITRAMFS_TOOLS) || !is_read(&file) {
            continue;
        }
        for (number, line) in text::lines(&text) {
            let line = line.strip_prefix("export ").unwrap_or(line);
            if let Some(value) = line.strip_prefix("RESUME=") {
                found = Some(Found {
                    file: file.clone(),
                    line: Some(number),
                    value: value.trim().trim_matches(['"', '\'']).to_owned(),
                    is_refused: false,
                });
            }
        }
    }
    Ok(found)
}

/// mkinitramfs passes over what package managers and editors leave behind.
fn is_read(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(is_plain)
        && !name.contains(".dpkg-")
}

/// The swap space on a FireWire disk that initramfs-tools would choose by itself.
fn swap<'a>(in_force: &Option<Found>, live: Option<&'a Live>) -> Option<&'a str> {
    let value = in_force.as_ref().map_or("", |found| &found.value);
    if !["", "auto"].contains(&value) {
        return None;
    }
    let live = live?;
    let largest = live.largest_swap.as_deref()?;
    live.device(largest).map(|_| largest)
}

/// Each `resume=` with the disk on a command line: what the boot loader passes on, what images
/// carry, and the one that runs.
fn command_lines(tree: &dyn Tree, live: Option<&Live>) -> Result<Vec<Found>, TreeError> {
    let mut files = Vec::new();
    for path in [
        "/etc/default/grub",
        "/etc/kernel/cmdline",
        "/etc/cmdline",
        "/etc/dracut.conf",
    ] {
        files.push((PathBuf::from(path), text::read(tree, Path::new(path))?));
    }
    for (folder, end) in [
        ("/etc/default/grub.d", ".cfg"),
        ("/etc/cmdline.d", ".conf"),
        ("/etc/dracut.conf.d", ".conf"),
        ("/boot/loader/entries", ".conf"),
        ("/efi/loader/entries", ".conf"),
        ("/boot/efi/loader/entries", ".conf"),
    ] {
        files.extend(text::read_all(tree, Path::new(folder), end)?);
    }
    if let Some(live) = live {
        files.push(("/proc/cmdline".into(), live.command_line.clone()));
    }
    let mut found = Vec::new();
    for (file, text) in files {
        for (number, line) in text::lines(&text) {
            let words = || line.split([' ', '\t', '"', '\'']);
            for value in words().filter_map(|word| word.strip_prefix("resume=")) {
                if spec::is_shared(value, live) {
                    found.push(Found {
                        file: file.clone(),
                        line: Some(number),
                        value: value.to_owned(),
                        is_refused: words().any(|word| word == "noresume"),
                    });
                }
            }
        }
    }
    Ok(found)
}
