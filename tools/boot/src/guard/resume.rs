//! Resume: a host that wakes up reads its memory from swap space.
//!
//! On a shared disk it may be another host's memory. The images look for it before the root is
//! mounted: initramfs-tools by `RESUME=` or the largest swap space of the host that made the image,
//! dracut by its module `resume`, all by `resume=` on the kernel's command line.

use std::path::{Path, PathBuf};

use super::text;
use super::{Danger, Guard, GuardFile, Live, Means, command_line, spec};
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

fn initramfs_tools_text() -> String {
    format!(
        "{HEAD}# Swap space of this host's own: RESUME=UUID=… in a file whose name comes later.\n\
         RESUME=none\n"
    )
}

fn dracut_text() -> String {
    format!("{HEAD}omit_dracutmodules+=\" resume \"\n")
}

pub(super) fn means(tree: &dyn Tree, live: Option<&Live>) -> Result<Means, TreeError> {
    let mut means = Means::default();
    let configured = configured(tree)?;
    let is_configured = configured
        .as_ref()
        .is_some_and(|found| spec::is_shared(&found.value, live));
    let swap = swap(configured.as_ref(), live);
    let command_lines = command_lines(tree, live)?;
    let tools = tools(tree)?;
    if tools.contains(&Tool::InitramfsTools) && (is_configured || swap.is_some()) {
        let file = GuardFile::new(INITRAMFS_TOOLS, initramfs_tools_text(), false);
        means.files.push(file);
    }
    let has_swap = live.is_some_and(|live| live.with(&["swap", "swsuspend"]).next().is_some());
    if tools.contains(&Tool::Dracut) && (has_swap || !command_lines.is_empty()) {
        means
            .files
            .push(GuardFile::new(DRACUT, dracut_text(), false));
    }
    for found in command_lines.iter().filter(|found| !found.is_refused) {
        means.advice.push(format!(
            "{}: take resume={} out, or add noresume",
            found.place(),
            found.value
        ));
    }
    Ok(means)
}

/// What may make this system's images.
fn tools(tree: &dyn Tree) -> Result<Vec<Tool>, TreeError> {
    Ok(match Ruler::find(tree)? {
        Ruler::Tool(tool) => vec![tool],
        Ruler::Either(one, other) => vec![one, other],
        Ruler::Unsupported(_) | Ruler::Nothing => Vec::new(),
    })
}

pub(super) fn dangers(tree: &dyn Tree, live: Option<&Live>) -> Result<Vec<Danger>, TreeError> {
    let has_ours = text::is_as_written(tree, INITRAMFS_TOOLS, &initramfs_tools_text())?;
    let has_no_module =
        tools(tree)? == [Tool::Dracut] && text::is_as_written(tree, DRACUT, &dracut_text())?;
    let mut dangers = Vec::new();
    let configured = configured(tree)?;
    let swap = swap(configured.as_ref(), live);
    if let Some(found) = configured.filter(|found| spec::is_shared(&found.value, live)) {
        dangers.push(Danger {
            guard: Guard::Resume,
            file: Some(found.file),
            line: Some(found.line),
            text:
                "the image looks on the disk for this host's memory and may wake up with another's"
                    .into(),
            remedy: "RESUME=none, or the guard resume".into(),
            is_stopped: has_ours,
        });
    }
    if let Some(swap) = swap {
        dangers.push(Danger {
            guard: Guard::Resume,
            file: None,
            line: None,
            text: format!(
                "no RESUME= is set, so the image is made to resume from the largest swap space, \
                 {swap}, which other hosts see too"
            ),
            remedy: "the guard resume, and swap space elsewhere".into(),
            is_stopped: has_ours,
        });
    }
    for found in command_lines(tree, live)? {
        dangers.push(Danger {
            guard: Guard::Resume,
            file: Some(found.file),
            line: Some(found.line),
            text:
                "the kernel's command line has the image look on the disk for this host's memory, \
                   which may be another's"
                    .into(),
            remedy: "take resume= out of the command line, or add noresume".into(),
            is_stopped: found.is_refused || has_no_module,
        });
    }
    Ok(dangers)
}

/// Where to resume from, as a file says.
struct Found {
    file: PathBuf,
    line: usize,
    value: String,
    /// `noresume` stands beside it.
    is_refused: bool,
}

impl Found {
    fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.line)
    }
}

/// The last `RESUME=` of others that initramfs-tools reads.
fn configured(tree: &dyn Tree) -> Result<Option<Found>, TreeError> {
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
                    line: number,
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
fn swap<'a>(configured: Option<&Found>, live: Option<&'a Live>) -> Option<&'a str> {
    let value = configured.map_or("", |found| &found.value);
    if !["", "auto"].contains(&value) {
        return None;
    }
    let live = live?;
    let largest = live.largest_swap.as_deref()?;
    live.device(largest).map(|_| largest)
}

/// Each `resume=` with the disk on a command line.
fn command_lines(tree: &dyn Tree, live: Option<&Live>) -> Result<Vec<Found>, TreeError> {
    let mut found = Vec::new();
    for line in command_line::all(tree, live)? {
        let values = line.words().filter_map(|word| word.strip_prefix("resume="));
        for value in values.filter(|value| spec::is_shared(value, live)) {
            found.push(Found {
                file: line.file.clone(),
                line: line.number,
                value: value.to_owned(),
                is_refused: line.has("noresume"),
            });
        }
    }
    Ok(found)
}
