//! `fwshare serve` on a controller's own `/dev/fw0`, with the kernel's driver as its initiator.

use std::process::Command;
use std::thread;
use std::time::Duration;

use fwlab::vm::{Guest, Output};
use fwshare_tests::{Guests, InGuest, PRELUDE, fwshare_program, pattern};

use crate::disk;
use crate::firewire_sbp2::with_firewire_sbp2;

/// Longer than the kernel waits for an answer: its split timeout is two seconds.
const STANDSTILL: Duration = Duration::from_secs(3);
/// How many commands lie between one standstill and the next.
const COMMANDS: usize = 300;
const STANDSTILLS: usize = 5;

/// A guest with the kernel's driver, and one that is its disk, of 80 MiB.
fn host_and_disk(guests: &Guests) -> (Guest, Guest) {
    let host = with_firewire_sbp2(disk::spec(guests, 1), "").program("sg_inq");
    let host = Guest::launch(&host).expect("a guest");
    let served = guests.spec(2).program(&fwshare_program());
    let served = Guest::launch(&served).expect("a guest");
    host.wait_until_up().expect("up");
    served.wait_until_up().expect("up");
    served.sh("await 30 test -e /dev/fw0
         truncate -s 80M /tmp/disk
         fwshare serve --image /tmp/disk --json > /run/serve.json 2> /run/serve.err &
         echo $! > /run/serve.pid
         is_there() { test -s /run/serve.json || { cat /run/serve.err; false; }; }
         await 30 is_there
         cat /run/serve.json");
    host.sh("await 60 opens /dev/sda");
    (host, served)
}

#[test]
fn a_host_is_a_disk_for_the_kernel_of_another() {
    let Some(guests) = Guests::new(&[]) else {
        return;
    };
    let (host, served) = host_and_disk(&guests);
    let said = host.sh("cat /sys/block/sda/size
         sg_inq /dev/sda");
    assert!(said.starts_with("163840\n"), "{said}");
    let data = pattern(16 << 20, 3);
    std::fs::write(host.folder().join("data"), &data).expect("a file");
    host.sh("dd if=/host/data of=/dev/sda bs=1M oflag=direct conv=fsync
         dd if=/dev/sda bs=1M count=16 iflag=direct > /tmp/read
         cmp /tmp/read /host/data
         mkdir -p /mnt");
    served.sh("cp /tmp/disk /host/disk");
    let stored = std::fs::read(served.folder().join("disk")).expect("the image");
    assert!(stored[..data.len()] == data, "the image has something else");
    host.sh("mkfs.ext4 -q -F /dev/sda
         mount -t ext4 /dev/sda /mnt
         dd if=/host/data of=/mnt/data bs=1M
         umount /mnt
         e2fsck -fn /dev/sda
         echo fw1.0 > /sys/bus/firewire/drivers/firewire_sbp2/unbind
         rmmod firewire_sbp2");
    // Its end in good order, and the disk is gone from the bus.
    let said = served.sh("kill -INT $(cat /run/serve.pid)
         gone() { ! kill -0 $(cat /run/serve.pid); }
         await 30 gone
         cat /run/serve.json /run/serve.err");
    assert!(said.contains("02000000f05b2000"), "{said}");
    host.sh("no_unit() { ! test -e /sys/bus/firewire/devices/fw1.0; }; await 30 no_unit");
}

/// A program waits for a processor at times, and a machine in software does. The kernel's driver
/// has the memory of a command back when it believes that it was not taken.
#[test]
fn what_was_given_to_a_disk_that_stands_still_is_written_as_it_was_given() {
    let Some(guests) = Guests::new(&[]) else {
        return;
    };
    let (host, served) = host_and_disk(&guests);
    let data = pattern((STANDSTILLS + 1) * COMMANDS * 4096, 5);
    std::fs::write(host.folder().join("data"), &data).expect("a file");
    let writing = host
        .spawn(&format!(
            "{PRELUDE}
             dd if=/host/data of=/dev/sda bs=4k oflag=direct conv=fsync"
        ))
        .expect("a command");
    for number in 1..=STANDSTILLS {
        let written = COMMANDS * number;
        host.sh(&format!(
            "written() {{ set -- $(cat /sys/block/sda/stat); test $5 -ge {written}; }}
             await 120 written"
        ));
        stand_still(&served);
    }
    let Output { status, text } = writing.wait(Guest::BOOT).expect("an end");
    assert_eq!(status, 0, "{text}{}", host.sh("dmesg | tail -n 40"));
    served.sh("cp /tmp/disk /host/disk");
    let stored = std::fs::read(served.folder().join("disk")).expect("the image");
    assert!(stored[..data.len()] == data, "the image has something else");
    let said = host.sh("dmesg | grep firewire_sbp2");
    assert!(!said.contains("unknown ORB"), "{said}");
}

/// Stops a guest's processor for a while.
fn stand_still(guest: &Guest) {
    let process = guest.process().to_string();
    let signal = |name| {
        let sent = Command::new("kill").args(["-s", name, &process]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {process}");
    };
    signal("STOP");
    thread::sleep(STANDSTILL);
    signal("CONT");
}
