//! What a disk has to stand in a guest, whoever made it a block device.

use std::path::{Path, PathBuf};

use fwlab::vm::{Guest, GuestSpec};
use fwshare_tests::{Guests, InGuest, judge, pattern};

/// Bytes written and read back.
const LENGTH: usize = 64 << 20;

/// An image of 80 MiB for a bridge.
pub(crate) fn image(folder: &tempfile::TempDir) -> PathBuf {
    let image = folder.path().join("disk.img");
    let file = std::fs::File::create(&image).expect("an image");
    file.set_len(80 << 20).expect("its size");
    image
}

/// A bridge over that image.
pub(crate) fn bridge(profile: &str, image: &Path) -> String {
    format!("profile={profile},image={}", image.display())
}

/// Guests with this kernel, or the usual one, at a bridge over such an image, and where that is.
/// `None`: skip the test, the user has been told.
pub(crate) fn at_a_bridge(kernel: Option<&str>) -> Option<(tempfile::TempDir, PathBuf, Guests)> {
    let folder = tempfile::tempdir().expect("a folder");
    let image = image(&folder);
    let guests = Guests::with_kernel(&[&bridge("oxfw911", &image)], kernel)?;
    Some((folder, image, guests))
}

/// A guest that has what [`judge_disk`] runs.
pub(crate) fn spec(guests: &Guests, number: u8) -> GuestSpec {
    ["mkfs.ext4", "e2fsck", "cmp", "dd"]
        .into_iter()
        .fold(guests.spec(number), |spec, program| spec.program(program))
        .module_at_hand("ext4")
}

/// 64 MiB written, found in the image of the bridge, read back and compared; ext4 made, filled,
/// and checked, by the guest and then on the image.
pub(crate) fn judge_disk(guest: &Guest, device: &str, image: &Path) {
    let data = pattern(LENGTH, 4);
    std::fs::write(guest.folder().join("data"), &data).expect("the data");
    guest.sh(&format!(
        "test -b {device}
         dd if=/host/data of={device} bs=1M oflag=direct conv=fsync"
    ));
    let stored = std::fs::read(image).expect("the image");
    assert!(stored[..LENGTH] == data, "the image has something else");
    guest.sh(&format!(
        "dd if={device} bs=1M count=64 iflag=direct > /tmp/read
         cmp /tmp/read /host/data
         rm /tmp/read"
    ));
    guest.sh(&format!(
        "mkfs.ext4 -q -F {device}
         mkdir -p /mnt
         mount -t ext4 {device} /mnt
         for number in 1 2 3 4 5 6 7 8; do dd if=/host/data of=/mnt/$number bs=1M count=$number; done
         umount /mnt
         mount -t ext4 -o ro {device} /mnt
         for number in 1 2 3 4 5 6 7 8; do
           dd if=/host/data bs=1M count=$number > /tmp/expected
           cmp /tmp/expected /mnt/$number
         done
         umount /mnt
         e2fsck -fn {device}"
    ));
    let errors = guest.sh("dmesg | grep -iE 'I/O error|blk_update_request|Buffer I/O' || true");
    assert_eq!(errors, "", "the kernel's log");
    if let Some(e2fsck) = judge("e2fsck") {
        e2fsck.run([Path::new("-fn"), image]);
    }
}
