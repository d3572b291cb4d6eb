//! udev's rules, as a system has them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::text;
use crate::tree::{Tree, TreeError};

/// By udev(7): a file hides those of its name in the folders after its own.
const FOLDERS: [&str; 5] = [
    "/etc/udev/rules.d",
    "/run/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
    "/lib/udev/rules.d",
];

/// A line of the rules that are in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    pub(super) file: PathBuf,
    /// From 1.
    pub(super) number: usize,
}

/// The first line in each file that asks for something. A rule that goes on in the next line is
/// looked at line by line.
pub(super) fn find(
    tree: &dyn Tree,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Line>, TreeError> {
    let mut names: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for folder in FOLDERS {
        for name in tree.list(Path::new(folder))? {
            let path = Path::new(folder).join(&name);
            if path.extension().is_some_and(|end| end == "rules") {
                names.entry(name).or_insert(path);
            }
        }
    }
    let mut found = Vec::new();
    for file in names.into_values() {
        // A link to /dev/null hides the file of that name and is none itself.
        let Ok(rules) = text::read(tree, &file) else {
            continue;
        };
        let number = text::lines(&rules).find(|(_, line)| is_wanted(line));
        if let Some((number, _)) = number {
            found.push(Line { file, number });
        }
    }
    Ok(found)
}

/// A rule of ours for disks behind FireWire and their partitions.
///
/// `ATTRS` looks at the device and at its parents, and takes all from one of them, so it stands
/// for partitions too. udev's own rules for `/dev/disk/by-id/ieee1394-*` ask the same.
pub(super) fn ours(and: &str) -> String {
    format!("ACTION!=\"remove\", SUBSYSTEM==\"block\", ATTRS{{ieee1394_id}}==\"?*\", {and}\n")
}

/// Two rules that hide a type from those who assemble by it, and leave it where it can be seen.
pub(super) fn hiding(types: &str) -> String {
    let matches = format!("ENV{{ID_FS_TYPE}}==\"{types}\"");
    let kept = ours(&format!(
        "{matches}, ENV{{{KEPT_TYPE}}}=\"$env{{ID_FS_TYPE}}\""
    ));
    let hidden = ours(&format!("{matches}, ENV{{ID_FS_TYPE}}=\"\""));
    kept + &hidden
}

/// The property that keeps the type which a rule of ours took away.
pub(super) const KEPT_TYPE: &str = "FWSHARE_FS_TYPE";
