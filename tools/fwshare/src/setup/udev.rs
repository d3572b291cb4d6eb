//! `fwshare setup-udev`: a group may open the nodes.

use std::path::Path;

use fwshare_boot::change::{self, Edit, Owner};
use fwshare_boot::plan;
use fwshare_boot::tool::HEAD;
use fwshare_boot::{Root, Tree as _};
use serde::Serialize;

use super::{SetupUdevArgs, not_changed, open, recover, unreadable};
use crate::error::{Exit, Failure};
use crate::output;

/// After udev's own rules for the nodes (50-udev-default.rules), which give some of them to other
/// groups.
const RULES: &str = "/etc/udev/rules.d/60-fwshare.rules";
const MEANT: &str = "\
# Nodes that are SBP-2 targets, by specifier and version of their units, and the controllers of
# this host, without which nobody can log in.
";

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    path: &'a Path,
    group: Option<&'a str>,
    diff: &'a str,
    changed: bool,
}

fn rules(group: &str) -> String {
    let head = HEAD.replace("setup-initramfs", "setup-udev");
    format!(
        "{head}{MEANT}\
         ACTION!=\"remove\", SUBSYSTEM==\"firewire\", ATTR{{units}}==\"*0x00609e:0x010483*\", \
         GROUP=\"{group}\", MODE=\"0660\"\n\
         ACTION!=\"remove\", SUBSYSTEM==\"firewire\", ATTR{{is_local}}==\"1\", \
         GROUP=\"{group}\", MODE=\"0660\"\n"
    )
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
    let head = HEAD.replace("setup-initramfs", "setup-udev");
    if seen
        .as_ref()
        .is_some_and(|seen| !seen.starts_with(head.as_bytes()))
    {
        return Err(Failure::new(
            Exit::Conflict,
            format!("{RULES} is somebody else's, and was not changed"),
        )
        .advise("give it another name"));
    }
    let to = (!args.remove).then(|| rules(&args.group).into_bytes());
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
