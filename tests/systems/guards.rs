//! A volume group on a disk that several hosts see.

use std::fs::File;

use crate::observed::Observed;
use crate::setup::{done, from_outside};
use crate::system::System;

/// Makes a group with a volume that is not active.
const MAKE: &str = r#"
lvm pvcreate --yes "/dev/${disk##*/}" &&
  lvm vgcreate --yes shared "/dev/${disk##*/}" &&
  lvm lvcreate --yes --activate n --zero n --wipesignatures n --size 8M --name volume shared &&
  echo made=yes
"#;
/// Waits until udev has done with the disk, and looks for that volume.
const LOOK: &str = r#"
udevadm settle --timeout=60
if within 10 [ -e /dev/mapper/shared-volume ]; then echo volume=active; else echo volume=inactive; fi
lvm lvs --noheadings -o name,vg_name,lv_attr --separator , shared
"#;

#[test]
fn lvm_activates_what_is_on_a_shared_disk_unless_a_guard_is_there() {
    let Some(system) = System::new("bookworm-initramfs-tools") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("disk.img");
    let file = File::create(&image).expect("an image");
    file.set_len(32 << 20).expect("its size");
    let disk = format!("image={}", image.display());
    let Some(made) = Observed::boot(&system, &disk, MAKE) else {
        return;
    };
    assert_eq!(made.fact("made"), Some("yes"), "{made:?}");
    let before = Observed::boot(&system, &disk, LOOK).expect("what was there before");
    assert_eq!(before.fact("volume"), Some("active"), "{before:?}");

    done(&from_outside(&system, &["--guard", "lvm"]));
    let after = Observed::boot(&system, &disk, LOOK).expect("what was there before");
    after.judge(Some("N"));
    assert_eq!(after.fact("volume"), Some("inactive"), "{after:?}");
}
