//! `fwshare setup-udev`: a group may open the nodes, and disks have their names and guards.

use std::path::{Path, PathBuf};

use fwshare_boot::change::{self, Edit, Owner};
use fwshare_boot::nodes;
use fwshare_boot::plan;
use fwshare_boot::{Root, Tree as _};
use serde::Serialize;

use super::{SetupUdevArgs, not_changed, open, recover, unreadable};
use crate::error::{Exit, Failure};
use crate::output;

/// The rules for block devices of logins, as packages have them too.
const DISKS: [(&str, &str); 2] = [
    (
        "60-zz-fwshare-disks.rules",
        include_str!("../../system/60-zz-fwshare-disks.rules"),
    ),
    (
        "90-fwshare-disks.rules",
        include_str!("../../system/90-fwshare-disks.rules"),
    ),
];

/// Where packages put theirs. One in /etc would hide it, and what a newer package has.
const PACKAGED: &str = "/usr/lib/udev/rules.d";

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    paths: Vec<&'a Path>,
    group: Option<&'a str>,
    diff: &'a str,
    changed: bool,
}

/// Writes the rules, or takes them away.
pub(crate) fn run(args: &SetupUdevArgs) -> Result<(), Failure> {
    let root = open(&args.root)?;
    if !args.remove {
        exists(&root, &args.group)?;
    }
    if !args.dry_run {
        recover(&root)?;
    }
    let edits = rules(args, &root)?;
    let changes = edits.iter().filter(|edit| edit.seen != edit.to);
    let diff: String = changes
        .map(|edit| plan::unified(&edit.path, edit.seen.as_deref(), edit.to.as_deref()))
        .collect();
    let changed = !diff.is_empty();
    if changed && !args.dry_run {
        change::apply(&root, &edits).map_err(|error| not_changed(&error))?;
    }
    if args.json {
        return output::print_json(&Report {
            schema: 1,
            paths: edits.iter().map(|edit| edit.path.as_path()).collect(),
            group: (!args.remove).then_some(args.group.as_str()),
            diff: &diff,
            changed: changed && !args.dry_run,
        });
    }
    let end = match (changed, args.dry_run, root.is_live()) {
        (false, ..) => "nothing to do: all is as wanted",
        (true, true, _) => "--dry-run: nothing was changed",
        (true, false, false) => "done",
        (true, false, true) => {
            "done; for nodes and disks that are there already:\n  \
             udevadm control --reload && \
             udevadm trigger --subsystem-match=firewire --subsystem-match=block"
        }
    };
    output::print(&output::harmless(&format!("{diff}{end}\n")))
}

/// Each rule as it is and as it is to be.
fn rules(args: &SetupUdevArgs, root: &Root) -> Result<Vec<Edit>, Failure> {
    let unreadable = |error| unreadable(&error);
    let mut edits = vec![edit(
        args,
        root,
        nodes::RULES.into(),
        nodes::rules(&args.group),
    )?];
    for (name, text) in DISKS {
        let packaged = Path::new(PACKAGED).join(name);
        let is_packaged = root.is_file(&packaged).map_err(unreadable)?;
        let path = Path::new("/etc/udev/rules.d").join(name);
        if args.remove || !is_packaged {
            edits.push(edit(args, root, path, nodes::head() + text)?);
        }
    }
    Ok(edits)
}

/// What happens to a rule. That of somebody else is not touched.
fn edit(args: &SetupUdevArgs, root: &Root, path: PathBuf, text: String) -> Result<Edit, Failure> {
    let unreadable = |error| unreadable(&error);
    let seen = match root.is_file(&path).map_err(unreadable)? {
        true => root.read(&path).map_err(unreadable)?,
        false => None,
    };
    let is_ours = |seen: &[u8]| seen.starts_with(nodes::head().as_bytes());
    if seen.as_deref().is_some_and(|seen| !is_ours(seen)) {
        let path = path.display();
        return Err(Failure::new(
            Exit::Conflict,
            format!("{path} is somebody else's, and was not changed"),
        )
        .advise("give it another name"));
    }
    Ok(Edit {
        path,
        seen,
        to: (!args.remove).then(|| text.into_bytes()),
        // They have an undo of their own, and are none of setup-initramfs's.
        owner: Owner::Nobody,
        mode: 0o644,
        like: None,
    })
}

/// Sees that the group is one: udev ignores a line with another.
fn exists(root: &Root, group: &str) -> Result<(), Failure> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if group.is_empty() || group.starts_with('-') || !group.chars().all(is_name) {
        return Err(Failure::new(
            Exit::Usage,
            format!("{group:?} is no name of a group"),
        ));
    }
    let groups = root.read(Path::new("/etc/group"));
    let groups = groups
        .map_err(|error| unreadable(&error))?
        .unwrap_or_default();
    let groups = String::from_utf8_lossy(&groups);
    let mut names = groups.lines().filter_map(|line| line.split(':').next());
    match names.any(|name| name == group) {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Usage,
            format!("there is no group {group} in /etc/group"),
        )
        .advise(format!("make it: groupadd --system {group}"))),
    }
}
