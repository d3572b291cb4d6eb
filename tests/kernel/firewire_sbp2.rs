//! The kernel's own initiator, with its default parameters, at our bridge.

use fwlab::vm::{Guest, GuestSpec};
use fwshare_tests::{Guests, InGuest};

use crate::disk;

/// Adds the kernel's driver, with these parameters.
pub(crate) fn with_firewire_sbp2(spec: GuestSpec, parameters: &str) -> GuestSpec {
    spec.module("sd_mod")
        .module("sg")
        .module(&format!("firewire-sbp2 {parameters}"))
}

fn a_disk_of_the_kernels_own(kernel: &str) {
    let Some((_folder, image, guests)) = disk::at_a_bridge(Some(kernel)) else {
        return;
    };
    let spec = with_firewire_sbp2(disk::spec(&guests, 1), "").program("sg_inq");
    let guest = Guest::start(&spec).expect("a guest");
    let said = guest.sh("await 30 opens /dev/sda
         cat /sys/block/sda/size
         sg_inq /dev/sda
         dmesg | grep firewire_sbp2");
    assert!(said.starts_with("163840\n"), "{said}");
    for expected in [
        "Vendor identification: OXFORD",
        "Product identification: IDE DISK",
        "logged in to LUN 0000 (0 retries)",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    disk::judge_disk(&guest, "/dev/sda", &image);
    guest.power_off().expect("an end in good order");
    let shown = guests.show();
    let bridge = shown.nodes.iter().find_map(|node| node.bridge.as_ref());
    let bridge = bridge.expect("the bridge");
    assert_eq!((bridge.logins, bridge.logins_refused), (1, 0), "{bridge:?}");
    assert_eq!(bridge.transport_errors, 0, "{bridge:?}");
}

#[test]
fn a_disk_of_debian_13s_kernel() {
    a_disk_of_the_kernels_own("trixie");
}

#[test]
fn a_disk_of_debian_12s_kernel() {
    a_disk_of_the_kernels_own("bookworm");
}

#[test]
fn a_disk_of_the_backported_kernel() {
    a_disk_of_the_kernels_own("backports");
}

/// Message-signalled interrupts are what the driver takes if it may; the other rows have those.
#[test]
fn a_disk_by_a_line_interrupt() {
    let Some(guests) = Guests::new(&["profile=oxfw911,size=16M"]) else {
        return;
    };
    // QUIRK_NO_MSI in drivers/firewire/ohci.c.
    let spec = with_firewire_sbp2(disk::spec(&guests, 1), "");
    let spec = spec.kernel_argument("firewire_ohci.quirks=0x10");
    let guest = Guest::start(&spec).expect("a guest");
    let said = guest.sh("await 30 opens /dev/sda
         dd if=/dev/urandom of=/tmp/data bs=1M count=4
         dd if=/tmp/data of=/dev/sda bs=1M oflag=direct
         dd if=/dev/sda bs=1M count=4 iflag=direct > /tmp/read
         cmp /tmp/read /tmp/data
         grep firewire_ohci /proc/interrupts");
    assert!(said.contains("IO-APIC"), "{said}");
    assert!(!said.contains("MSI"), "{said}");
}
