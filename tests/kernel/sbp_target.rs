//! `fwshare login --shared` at the kernel's own target, which another guest has.

use std::time::Duration;

use fwlab::vm::{Guest, GuestSpec};
use fwshare_tests::{Guests, InGuest, pattern};

use crate::disk;
use crate::firewire_sbp2::with_firewire_sbp2;
use crate::login::{LOGIN, LOGOUT, with_fwshare};

/// A disk of 80 MiB in the guest's memory, as an SBP-2 unit of its node.
const TARGET: &str = "
truncate -s 80M /tmp/disk
cd /sys/kernel/config/target
mkdir -p core/fileio_0/disk0
echo fd_dev_name=/tmp/disk,fd_dev_size=83886080 > core/fileio_0/disk0/control
echo 1 > core/fileio_0/disk0/enable
await 30 test -e /sys/bus/firewire/devices/fw0/guid
guid=$(cat /sys/bus/firewire/devices/fw0/guid)
mkdir -p sbp/${guid#0x}/tpgt_1/lun/lun_0
ln -s /sys/kernel/config/target/core/fileio_0/disk0 sbp/${guid#0x}/tpgt_1/lun/lun_0/disk0
echo 1 > sbp/${guid#0x}/tpgt_1/enable
";

/// A guest that can be a target.
fn target(spec: GuestSpec) -> GuestSpec {
    spec.module("target_core_file").module("sbp_target")
}

/// This guest, and one whose kernel has a disk for it.
pub(crate) fn host_and_target(guests: &Guests, host: &GuestSpec) -> (Guest, Guest) {
    let host = Guest::launch(host).expect("a guest");
    let disk = Guest::launch(&target(guests.spec(2))).expect("a guest");
    host.wait_until_up().expect("up");
    disk.wait_until_up().expect("up");
    disk.sh(TARGET);
    (host, disk)
}

/// How often it is tried: it takes I/O at the right moment.
const ATTEMPTS: usize = 3;
/// A response that is put off is tried again within seconds.
const PANIC: Duration = Duration::from_secs(45);

fn a_disk_of_the_kernels_target(kernel: &str) {
    let Some(guests) = Guests::with_kernel(&[], Some(kernel)) else {
        return;
    };
    let host = with_fwshare(disk::spec(&guests, 1));
    let (host, disk) = host_and_target(&guests, &host);
    let image = disk.folder().join("disk");
    host.sh("found() { fwshare scan | tee /tmp/scan | grep -q 02000000f05b2001:0; }; await 60 found; cat /tmp/scan");
    for round in 0..2 {
        host.sh(LOGIN);
        // Linux's target does not implement QUERY LOGINS.
        let said = host.sh("fwshare logins || true");
        let told = "does not tell who is logged in";
        assert!(said.contains(told), "{said}");
        if round == 0 {
            let data = pattern(16 << 20, 7);
            std::fs::write(host.folder().join("data"), data).expect("the data");
            host.sh("dd if=/host/data of=/dev/nbd0 bs=1M oflag=direct conv=fsync");
        }
        host.sh(
            "dd if=/dev/nbd0 bs=1M count=16 iflag=direct > /tmp/read; cmp /tmp/read /host/data",
        );
        let said = host.sh(LOGOUT);
        assert!(said.contains("logged out"), "{said}");
    }
    disk.sh("cp /tmp/disk /host/disk");
    let stored = std::fs::read(image).expect("what the target has");
    let data = std::fs::read(host.folder().join("data")).expect("the data");
    assert!(
        stored[..data.len()] == data,
        "the target has something else"
    );
}

/// A defect of Linux's target, as of 6.12 and 7.3: it puts a response off, and uses the session
/// that has gone in the meantime (`sbp_run_request_transaction` takes `sess->lock` of a session
/// that is `NULL`).
#[test]
fn an_initiator_that_dies_takes_the_kernels_target_with_it() {
    let Some(guests) = Guests::new(&[]) else {
        return;
    };
    for _ in 0..ATTEMPTS {
        let host = with_firewire_sbp2(disk::spec(&guests, 1), "");
        let (host, disk) = host_and_target(&guests, &host);
        host.sh("await 60 opens /dev/sda");
        let writing = "while dd if=/dev/zero of=/dev/sda bs=1M count=64 oflag=direct; do :; done";
        let _running = host.spawn(writing).expect("a command");
        host.sh("busy() { read -r _ _ _ _ _ _ sectors _ < /sys/block/sda/stat; test $sectors -gt 4096; }; await 60 busy");
        host.kill();
        if disk.has_ended_within(PANIC) {
            let console = disk.console();
            assert!(console.contains("sbp_run_request_transaction"), "{console}");
            return;
        }
    }
    panic!("sbp_target lives on: this kernel is mended, and docs/lab.md is to say so");
}

#[test]
fn a_disk_of_debian_13s_target() {
    a_disk_of_the_kernels_target("trixie");
}

#[test]
fn a_disk_of_debian_12s_target() {
    a_disk_of_the_kernels_target("bookworm");
}

#[test]
fn a_disk_of_the_backported_target() {
    a_disk_of_the_kernels_target("backports");
}

/// Linux 7.3 at both ends was seen to stall for 30 s, until its SCSI layer aborted a command, on a
/// controller that answered sooner than any bus could. How often it does is printed.
#[test]
fn the_backported_kernel_at_both_ends() {
    let Some(guests) = Guests::with_kernel(&[], Some("backports")) else {
        return;
    };
    let host = with_firewire_sbp2(disk::spec(&guests, 1), "");
    let (host, _disk) = host_and_target(&guests, &host);
    std::fs::write(host.folder().join("data"), pattern(16 << 20, 8)).expect("the data");
    let said = host.sh("await 90 opens /dev/sda
         dd if=/host/data of=/dev/sda bs=1M oflag=direct conv=fsync
         dd if=/dev/sda bs=1M count=32 iflag=direct of=/dev/null
         dd if=/dev/sda bs=1M count=16 iflag=direct > /tmp/read
         cmp /tmp/read /host/data
         echo aborts: $(dmesg | grep -c sbp2_scsi_abort)");
    println!("{said}");
}
