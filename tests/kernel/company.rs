//! The kernel's driver in one guest and fwshare in the other, at one bridge; and both in one
//! guest.

use fwlab::vm::{Guest, GuestSpec};
use fwshare_tests::{Guests, InGuest, pattern};

use crate::disk;
use crate::firewire_sbp2::with_firewire_sbp2;
use crate::login::{LOGIN, LOGOUT, with_fwshare};

/// Bytes that each writes.
const LENGTH: usize = 8 << 20;

/// Starts a guest with the kernel's driver on a bus where the other guest is already.
///
/// A guest that arrives resets the bus, more than once. The kernel's driver does not notice that a
/// RECONNECT was not sent (`docs/lab.md`), and waits for two seconds for its answer each time.
pub(crate) fn after_another(kernel: &GuestSpec, other: &GuestSpec) -> (Guest, Guest) {
    let other = Guest::start(other).expect("a guest");
    let kernel = Guest::start(kernel).expect("a guest");
    (kernel, other)
}

#[test]
fn the_kernel_and_fwshare_read_what_the_other_has_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = disk::image(&folder);
    let bridge = format!("{},logins=2", disk::bridge("oxfw911", &image));
    let Some(guests) = Guests::new(&[&bridge]) else {
        return;
    };
    let kernel = with_firewire_sbp2(disk::spec(&guests, 1), "exclusive_login=0");
    let (kernel, fwshare) = after_another(&kernel, &with_fwshare(disk::spec(&guests, 2)));
    kernel.sh("await 60 opens /dev/sda");
    fwshare.sh(&format!("await 30 test -e /dev/fw1; {LOGIN}"));
    let logins = fwshare.sh("fwshare logins");
    for guid in ["02000000f05b2000", "02000000f05b2001"] {
        assert!(logins.contains(guid), "{logins}");
    }
    // Each writes its part, at the same time, and reads the other's.
    let write = |guest: &Guest, device: &str, part: usize| {
        let data = pattern(LENGTH, part as u64);
        for guest in [&kernel, &fwshare] {
            std::fs::write(guest.folder().join(format!("part{part}")), &data).expect("a file");
        }
        let seek = part * (LENGTH >> 20);
        guest.sh(&format!(
            "dd if=/host/part{part} of={device} bs=256k seek={seek}M oflag=direct,seek_bytes conv=fsync"
        ));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| write(&kernel, "/dev/sda", 0));
        scope.spawn(|| write(&fwshare, "/dev/nbd0", 1));
    });
    let read = |guest: &Guest, device: &str| {
        guest.sh(&format!(
            "for part in 0 1; do
               dd if={device} bs=1M skip=$((part * 8)) count=8 iflag=direct > /tmp/read
               cmp /tmp/read /host/part$part
             done"
        ));
    };
    read(&kernel, "/dev/sda");
    read(&fwshare, "/dev/nbd0");
    fwshare.sh(LOGOUT);
}

#[test]
fn an_exclusive_login_of_the_kernel_is_named_with_its_remedy() {
    let Some((_folder, _, guests)) = disk::at_a_bridge(None) else {
        return;
    };
    let kernel = with_firewire_sbp2(disk::spec(&guests, 1), "exclusive_login=1");
    let (kernel, fwshare) = after_another(&kernel, &with_fwshare(disk::spec(&guests, 2)));
    // The other's arrival has reset the bus. A driver that is unloaded before it has reconnected
    // cannot log out, and the bridge holds its login for it.
    fwshare.sh("await 30 test -e /dev/fw1");
    kernel.sh("await 60 opens /dev/sda
         await 60 dd if=/dev/sda of=/dev/null bs=512 count=1 iflag=direct");
    let said =
        fwshare.sh("fwshare login --shared --export nbd:unix:/run/disk.sock || echo status $?");
    for expected in ["02000000f05b2000", "exclusive_login=0", "status 6"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // What it advises helps, and needs no start of anything else.
    kernel.sh("rmmod firewire_sbp2
         modprobe firewire-sbp2 exclusive_login=0
         await 60 opens /dev/sda");
    fwshare.sh(LOGIN);
    fwshare.sh(LOGOUT);
}

#[test]
fn a_disk_is_taken_from_the_kernels_driver_and_given_back() {
    let Some((_folder, _, guests)) = disk::at_a_bridge(None) else {
        return;
    };
    let spec = with_fwshare(with_firewire_sbp2(disk::spec(&guests, 1), ""));
    let guest = Guest::start(&spec).expect("a guest");
    let said = guest.sh("await 60 opens /dev/sda
         fwshare scan
         fwshare login --shared --export nbd:unix:/run/disk.sock || echo status $?");
    assert!(said.contains("--unbind-kernel"), "{said}");
    assert!(said.contains("status"), "{said}");
    // Not while it is mounted.
    let said = guest.sh("mkfs.ext4 -q -F /dev/sda
         mkdir -p /mnt
         mount -t ext4 /dev/sda /mnt
         fwshare login --shared --unbind-kernel --export nbd:unix:/run/disk.sock || echo status $?
         test -b /dev/sda
         umount /mnt");
    assert!(said.contains("mounted"), "{said}");
    assert!(said.contains("status"), "{said}");

    let data = pattern(LENGTH, 9);
    std::fs::write(guest.folder().join("data"), data).expect("a file");
    let take = LOGIN.replace("--shared", "--shared --unbind-kernel");
    guest.sh(&take);
    guest.sh("test ! -e /dev/sda; dd if=/host/data of=/dev/nbd0 bs=1M oflag=direct conv=fsync");
    guest.sh(LOGOUT);
    guest.sh("await 60 opens /dev/sda
         dd if=/dev/sda bs=1M count=8 iflag=direct > /tmp/read
         cmp /tmp/read /host/data");
}
