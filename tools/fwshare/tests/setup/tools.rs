//! Tools that make images, as scripts that do what the real ones do, traps included.

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
