//! `fwshare setup-initramfs --now`, on a kernel that runs and has a disk.

use fwlab::vm::Guest;
use fwshare_tests::{Guests, InGuest, fwshare_program};

use crate::company::after_another;
use crate::disk;
use crate::firewire_sbp2::with_firewire_sbp2;

const PARAMETER: &str = "/sys/module/firewire_sbp2/parameters/exclusive_login";
/// There is no tool for images in a guest, and none is wanted.
const NOW: &str = "fwshare setup-initramfs --no-rebuild --now";

/// What another guest is told about the login of this one.
#[track_caller]
fn another_may_log_in(other: &Guest, may: bool) {
    let said = other.sh("await 30 test -e /dev/fw1
         fwshare login --shared --export nbd:unix:/run/disk.sock > /tmp/login 2>&1 &
         login=$!
         ended() { ! kill -0 $login 2> /dev/null; }
         await 60 sh -c \"grep -q 'nbd+unix' /tmp/login || ! kill -0 $login\"
         if ended; then echo refused; else kill $login; wait $login; echo in; fi
         cat /tmp/login");
    assert_eq!(said.starts_with("in"), may, "{said}");
}

#[test]
fn a_driver_that_has_a_disk_shares_it_from_now_on() {
    let Some(guests) = Guests::new(&["profile=oxfw911,size=16M"]) else {
        return;
    };
    let first = with_firewire_sbp2(disk::spec(&guests, 1), "")
        .program(&fwshare_program())
        .program("modprobe")
        .program("depmod");
    let other = disk::spec(&guests, 2).program(&fwshare_program());
    let (first, other) = after_another(&first, &other);
    first.sh(&format!(
        "await 60 opens /dev/sda; grep Y {PARAMETER}; depmod"
    ));
    another_may_log_in(&other, false);

    // Not under a file system.
    let said = first.sh(&format!(
        "mkfs.ext4 -q -F /dev/sda
         mkdir -p /mnt
         mount -t ext4 /dev/sda /mnt
         {NOW} 2>&1 || echo status $?
         umount /mnt
         grep Y {PARAMETER}
         test ! -e /etc/modprobe.d/fwshare.conf"
    ));
    assert!(
        said.contains("mounted on /mnt), and it is in use"),
        "{said}"
    );
    assert!(said.contains("status 6"), "{said}");

    let said = first.sh(&format!("{NOW}; await 60 opens /dev/sda"));
    assert!(said.contains("Y before, N now"), "{said}");
    assert!(
        said.contains("the driver was unloaded and loaded again"),
        "{said}"
    );
    another_may_log_in(&other, true);
    let said = first.sh("fwshare setup-initramfs --check --tool none");
    assert!(said.contains("shared"), "{said}");

    // Where the driver cannot be unloaded it is told, and logs in again.
    let said = first.sh(&format!(
        "mv /usr/sbin/modprobe /usr/sbin/none
         {NOW} --exclusive
         await 60 opens /dev/sda"
    ));
    assert!(said.contains("N before, Y now"), "{said}");
    assert!(said.contains("has logged in to its disks again"), "{said}");
    another_may_log_in(&other, false);
}
