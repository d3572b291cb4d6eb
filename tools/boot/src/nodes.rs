//! The files of FireWire nodes, `/dev/fw*`, and who may open them.
//!
//! udev's own rules give nodes to a group by what their units are, cameras and sound cards; disks
//! and controllers are root's alone.

use crate::tool::HEAD;

#[cfg(test)]
mod tests;

/// Where the rule goes: after udev's own (50-udev-default.rules), which may name another group.
pub const RULES: &str = "/etc/udev/rules.d/60-fwshare.rules";

const MEANT: &str = "\
# Nodes that are SBP-2 targets, by specifier and version of their units, and the controllers of
# this host, without which nobody can log in.
";

/// How every such rule begins.
#[must_use]
pub fn head() -> String {
    HEAD.replace("setup-initramfs", "setup-udev")
}

/// The rule that gives a group the nodes of SBP-2 targets and of this host's controllers. The
/// group's name goes into it as it is.
#[must_use]
pub fn rules(group: &str) -> String {
    let head = head();
    format!(
        "{head}{MEANT}\
         ACTION!=\"remove\", SUBSYSTEM==\"firewire\", ATTR{{units}}==\"*0x00609e:0x010483*\", \
         GROUP=\"{group}\", MODE=\"0660\"\n\
         ACTION!=\"remove\", SUBSYSTEM==\"firewire\", ATTR{{is_local}}==\"1\", \
         GROUP=\"{group}\", MODE=\"0660\"\n"
    )
}
