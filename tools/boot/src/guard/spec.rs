//! Devices as fstab and command lines name them.

use super::live::Live;

/// Whether a name is one that only FireWire disks have, or that of a device on one.
pub(super) fn is_shared(spec: &str, live: Option<&Live>) -> bool {
    let spec = spec.trim_matches(['"', '\'']);
    is_by_name(spec) || live.is_some_and(|live| live.device(spec).is_some())
}

/// Links that udev makes for FireWire disks: `by-id/ieee1394-GUID:…` and
/// `by-path/pci-…-ieee1394-0xGUID:…`.
fn is_by_name(spec: &str) -> bool {
    let id = spec
        .strip_prefix("/dev/disk/by-id/")
        .or_else(|| spec.strip_prefix("ID="));
    let path = spec.strip_prefix("/dev/disk/by-path/");
    id.is_some_and(|id| id.starts_with("ieee1394-") || id.starts_with("firewire-"))
        || path.is_some_and(|path| path.contains("ieee1394-") || path.contains("firewire-"))
}
