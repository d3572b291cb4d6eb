//! `fwshare setup-udev`: a group may open the nodes.

use std::path::Path;

use fwshare_boot::change::{self, Edit, Owner};
use fwshare_boot::nodes::{self, RULES};
use fwshare_boot::plan;
use fwshare_boot::{Root, Tree as _};
use serde::Serialize;

use super::{SetupUdevArgs, not_changed, open, recover, unreadable};
use crate::error::{Exit, Failure};
use crate::output;

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    path: &'a Path,
    group: Option<&'a str>,
    diff: &'a str,
    changed: bool,
}

/// Writes the rule, or takes it away.
pub(crate) fn run(args: &SetupUdevArgs) -> Result<(), Failure> {
    let root = open(&args.root)?;
    let path = Path::new(RULES);
    if !args.remove {
        exists(&root, &args.group)?;
    }
    if !args.dry_run {
        recover(&root)?;
    }
    let seen = match root.is_file(path).map_err(|error| unreadable(&error))? {
        true => root.read(path).map_err(|error| unreadable(&error))?,
        false => None,
    };
    let is_ours = |seen: &[u8]| seen.starts_with(nodes::head().as_bytes());
    if seen.as_deref().is_some_and(|seen| !is_ours(seen)) {
        return Err(Failure::new(
            Exit::Conflict,
            format!("{RULES} is somebody else's, and was not changed"),
        )
        .advise("give it another name"));
    }
    let to = (!args.remove).then(|| nodes::rules(&args.group).into_bytes());
    let changed = seen != to;
    let diff = match changed {
        true => plan::unified(path, seen.as_deref(), to.as_deref()),
        false => String::new(),
    };
    if changed && !args.dry_run {
        let edit = Edit {
            path: path.to_owned(),
            seen,
            to,
            // It has an undo of its own, and is none of setup-initramfs's.
            owner: Owner::Nobody,
            mode: 0o644,
            like: None,
        };
        change::apply(&root, &[edit]).map_err(|error| not_changed(&error))?;
    }
    if args.json {
        return output::print_json(&Report {
            schema: 1,
            path,
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
            "done; for nodes that are there already:\n  \
             udevadm control --reload && udevadm trigger --subsystem-match=firewire"
        }
    };
    output::print(&output::harmless(&format!("{diff}{end}\n")))
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
