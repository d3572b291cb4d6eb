//! Tools that make images, as scripts that do what the real ones do, traps included.

use crate::system::System;

/// A system with initramfs-tools, their folder of hooks, a kernel of today, and these files.
pub(crate) fn debian(files: &[&str]) -> System {
    let tool = initramfs_tools();
    let mut all = vec![
        tool.as_str(),
        "/etc/initramfs-tools/hooks/",
        "/etc/modprobe.d/",
    ];
    all.extend(files);
    System::new(&all).today("6.1")
}

/// A program with this script, for `System::new`.
fn program(path: &str, script: &str) -> String {
    format!("{path}*={script}")
}

pub(crate) fn initramfs_tools() -> String {
    program("/usr/sbin/mkinitramfs", include_str!("tools/mkinitramfs"))
}

pub(crate) fn dracut() -> String {
    program("/usr/bin/dracut", include_str!("tools/dracut"))
}

pub(crate) fn mkinitcpio() -> String {
    program("/usr/bin/mkinitcpio", include_str!("tools/mkinitcpio"))
}

pub(crate) fn mkinitrd() -> String {
    program("/sbin/mkinitrd", include_str!("tools/mkinitrd"))
}
