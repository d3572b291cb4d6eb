//! multipath: a disk becomes a path of a device of its own.
//!
//! multipath-tools has a word for FireWire, `protocol "scsi:sbp"`, and never finds that a disk
//! speaks it: what it does not recognise is `scsi:unspec`, FireWire with it, and so are virtual
//! disks. So the disk gets a property by udev, and the blacklist names the property; this every
//! version since 0.5.0 understands. Properties are looked at in the order of their names, and
//! `ID_WWN` and `SCSI_IDENT_*` are exceptions to the blacklist, so ours sorts before them.

use std::path::{Path, PathBuf};

use super::text;
use super::{Danger, Guard, GuardFile, Means, rules};
use crate::tool::HEAD;
use crate::tree::{Tree, TreeError};

/// Before `*-multipath.rules`, whose number differs between distributions.
pub(super) const RULES: &str = "/etc/udev/rules.d/10-fwshare-multipath.rules";
pub(super) const BLACKLIST: &str = "/etc/multipath/conf.d/fwshare.conf";

const PROPERTY: &str = "FWSHARE_SHARED";

const PROGRAMS: [&str; 4] = [
    "/usr/sbin/multipathd",
    "/usr/bin/multipathd",
    "/sbin/multipathd",
    "/bin/multipathd",
];

/// Expressions that people write for every SCSI disk.
const ALL_DISKS: [&str; 8] = [
    "*",
    ".*",
    "^.*",
    ".*$",
    "^sd",
    "^sd.*",
    "^sd[a-z]",
    "^sd[a-z].*",
];

fn rules_text() -> String {
    format!(
        "{HEAD}# For the blacklist in {BLACKLIST}.\n{}",
        rules::ours(&format!("ENV{{{PROPERTY}}}=\"1\""))
    )
}

fn blacklist_text() -> String {
    format!("{HEAD}blacklist {{\n\tproperty \"^{PROPERTY}$\"\n}}\n")
}

pub(super) fn means() -> Means {
    Means {
        files: vec![
            GuardFile::new(RULES, rules_text(), true),
            GuardFile::new(BLACKLIST, blacklist_text(), true),
        ],
        advice: Vec::new(),
    }
}

pub(super) fn dangers(tree: &dyn Tree) -> Result<Vec<Danger>, TreeError> {
    let Some(program) = text::first_file(tree, &PROGRAMS)? else {
        return Ok(Vec::new());
    };
    let entries = entries(tree)?;
    let has_ours = text::is_as_written(tree, RULES, &rules_text())?
        && text::is_as_written(tree, BLACKLIST, &blacklist_text())?;
    let listed = |entry: &Entry| {
        let value = entry.value.as_str();
        match (entry.section.as_str(), entry.key.as_str()) {
            ("blacklist", "devnode") => ALL_DISKS.contains(&value),
            ("blacklist", "protocol") => value.contains("unspec") || ALL_DISKS.contains(&value),
            _ => false,
        }
    };
    let is_stopped = has_ours || entries.iter().any(listed);
    let greedy = entries
        .iter()
        .rfind(|entry| entry.section == "defaults" && entry.key == "find_multipaths")
        .filter(|entry| ["no", "off", "greedy"].contains(&entry.value.as_str()));
    let danger = |text: &str| Danger {
        guard: Guard::Multipath,
        file: Some(program.to_owned()),
        line: None,
        text: text.into(),
        remedy: "the guard multipath".into(),
        is_stopped,
    };
    let mut dangers = vec![match greedy {
        Some(entry) => Danger {
            file: Some(entry.file.clone()),
            line: Some(entry.line),
            ..danger(
                "multipathd takes every disk, this one as well, so that its partitions are used \
                 under another name and nothing else can have it",
            )
        },
        None => danger(
            "multipathd takes the disk if it sees it over two paths or has ever taken it, so that \
             its partitions are used under another name and nothing else can have it",
        ),
    }];
    let mistaken = entries.iter().find(|entry| {
        entry.section == "blacklist" && entry.key == "protocol" && entry.value.contains("sbp")
    });
    if let Some(entry) = mistaken.filter(|_| !is_stopped) {
        dangers.push(Danger {
            file: Some(entry.file.clone()),
            line: Some(entry.line),
            ..danger(
                "this blacklist does not keep the disk out, because multipathd takes FireWire's \
                 protocol for scsi:unspec and never for scsi:sbp",
            )
        });
    }
    Ok(dangers)
}

/// A setting in multipath.conf.
struct Entry {
    file: PathBuf,
    line: usize,
    /// The outermost section: `blacklist`.
    section: String,
    key: String,
    value: String,
}

/// The settings right in a section, by multipath.conf(5): a keyword and a value on each line.
fn entries(tree: &dyn Tree) -> Result<Vec<Entry>, TreeError> {
    let main = Path::new("/etc/multipath.conf");
    let mut files = vec![(main.to_owned(), text::read(tree, main)?)];
    files.extend(text::read_all(
        tree,
        Path::new("/etc/multipath/conf.d"),
        ".conf",
    )?);
    let mut entries = Vec::new();
    for (file, text) in files {
        let mut section = String::new();
        let mut depth = 0_usize;
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.starts_with('!') {
                continue;
            }
            let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let value = value.trim().trim_matches('"');
            if line.ends_with('{') {
                if depth == 0 {
                    section = key.trim_end_matches('{').to_owned();
                }
                depth += 1;
            } else if line == "}" {
                depth = depth.saturating_sub(1);
            } else if depth == 1 && !key.is_empty() {
                entries.push(Entry {
                    file: file.clone(),
                    line: index + 1,
                    section: section.clone(),
                    key: key.to_owned(),
                    value: value.to_owned(),
                });
            }
        }
    }
    Ok(entries)
}
