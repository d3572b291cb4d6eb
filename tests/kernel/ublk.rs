//! `fwshare login --export ublk`: the disk as `/dev/ublkb0`, and what becomes of it when the
//! process ends, well or not.

use std::fs;
use std::path::Path;

use fwlab::vm::{Guest, GuestSpec};
use fwshare_tests::{Guests, InGuest, fwshare_program, judge, pattern};

use crate::disk;

/// Bytes that are written and compared.
const LENGTH: usize = 8 << 20;

/// What the scripts here use. `log_in OPTIONS…`: in the background; what it says is in
/// `/run/login.json` and `/run/login.err`.
const TOOLS: &str = "
log_in() {
  : > /run/login.json
  fwshare -v login --shared --json \"$@\" > /run/login.json 2>> /run/login.err &
  echo $! > /run/login.pid
  await 60 is_there
}
is_there() { grep -q exports /run/login.json || { cat /run/login.err; false; }; }
ended() { ! [ -e /proc/$(cat /run/login.pid)/exe ]; }
is() { test \"$(cat /sys/block/ublkb0/$1)\" = \"$2\" || { echo $1: $(cat /sys/block/ublkb0/$1); false; }; }
no_errors() { ! dmesg | grep -iE 'I/O error|blk_update_request|Buffer I/O|EXT4-fs error'; }
";

fn spec(guests: &Guests) -> GuestSpec {
    disk::spec(guests, 1)
        .module("ublk_drv")
        .program(&fwshare_program())
}

/// A guest with one of our bridges.
fn start(guests: &Guests) -> Guest {
    let guest = Guest::start(&spec(guests)).expect("a guest");
    guest.sh("await 30 test -e /dev/fw1");
    guest
}

trait TryOut {
    fn try_out(&self, script: &str) -> String;
}

impl TryOut for Guest {
    #[track_caller]
    fn try_out(&self, script: &str) -> String {
        self.sh(&format!("{TOOLS}{script}"))
    }
}

/// What a kernel shows of the disk, what is in the image, a file system on it, and the end.
fn a_disk(kernel: &str) {
    let Some((_folder, image, guests)) = disk::at_a_bridge(Some(kernel)) else {
        return;
    };
    let guest = start(&guests);
    guest.try_out(
        "log_in --export ublk
         grep -q '\"/dev/ublkb0\"' /run/login.json
         is ro 0
         is size 163840
         is queue/logical_block_size 512
         is queue/physical_block_size 512
         is queue/max_hw_sectors_kb 1024
         is queue/write_cache 'write back'
         is queue/fua 1
         is queue/discard_max_bytes 0",
    );
    let data = pattern(LENGTH, 4);
    fs::write(guest.folder().join("data"), &data).expect("the data");
    guest.try_out("dd if=/host/data of=/dev/ublkb0 bs=1M oflag=direct conv=fsync");
    let stored = fs::read(&image).expect("the image");
    assert!(stored[..LENGTH] == data, "the image has something else");
    guest.try_out(
        "dd if=/dev/ublkb0 bs=1M count=8 iflag=direct > /tmp/read
         cmp /tmp/read /host/data
         mkfs.ext4 -q -F /dev/ublkb0
         mkdir -p /mnt
         mount -t ext4 /dev/ublkb0 /mnt
         cp /host/data /mnt/data
         umount /mnt
         mount -t ext4 -o ro /dev/ublkb0 /mnt
         cmp /mnt/data /host/data
         umount /mnt
         e2fsck -fn /dev/ublkb0
         no_errors
         kill -INT $(cat /run/login.pid)
         await 30 ended
         grep -q 'logged out' /run/login.err
         test ! -e /dev/ublkb0
         test ! -e /dev/ublkc0",
    );
    guest.power_off().expect("an end in good order");
    drop(guests);
    check(&image);
}

#[test]
fn a_disk_on_debian_13s_kernel() {
    a_disk("trixie");
}

#[test]
fn a_disk_on_the_backported_kernel() {
    a_disk("backports");
}

/// Three times in the middle of writes, of which as many are under way as there can be.
fn kills(kernel: &str) {
    let Some((_folder, image, guests)) = disk::at_a_bridge(Some(kernel)) else {
        return;
    };
    let guest = start(&guests);
    fs::write(guest.folder().join("data"), pattern(LENGTH, 5)).expect("the data");
    guest.try_out(
        "log_in --export ublk
         mkfs.ext4 -q -F /dev/ublkb0
         mkdir -p /mnt
         mount -t ext4 /dev/ublkb0 /mnt
         echo 64 > /sys/block/ublkb0/queue/max_sectors_kb
         for number in 1 2 3 4 5; do
           dd if=/host/data of=/mnt/$number bs=1M conv=fsync
           echo $number > /run/written
         done > /run/writer 2>&1 &
         writer=$!
         echo 0 > /run/written
         has_written() { test $(cat /run/written) -ge $1; }
         is_writing() { set -- $(cat /sys/block/ublkb0/inflight); test $2 -ge 32; }
         for number in 1 2 3; do
           await 60 has_written $number
           await 60 is_writing
           kill -KILL $(cat /run/login.pid)
           await 30 ended
           log_in --export ublk
           grep -q '\"/dev/ublkb0\"' /run/login.json
         done
         wait $writer || { cat /run/writer; exit 1; }
         has_written 5
         test $(grep -c 'ublkb0 of a dead process goes on' /run/login.err) = 3
         for number in 1 2 3 4 5; do cmp /mnt/$number /host/data; done
         umount /mnt
         mount -t ext4 -o ro /dev/ublkb0 /mnt
         for number in 1 2 3 4 5; do cmp /mnt/$number /host/data; done
         umount /mnt
         e2fsck -fn /dev/ublkb0
         no_errors
         kill -INT $(cat /run/login.pid)
         await 30 ended
         test ! -e /dev/ublkb0",
    );
    guest.power_off().expect("an end in good order");
    drop(guests);
    check(&image);
}

#[test]
fn a_killed_daemons_device_goes_on_with_the_next_on_debian_13s_kernel() {
    kills("trixie");
}

#[test]
fn a_killed_daemons_device_goes_on_with_the_next_on_the_backported_kernel() {
    kills("backports");
}

/// With a bus that is emulated in the guest.
fn ends(kernel: &str) {
    let Some(guests) = Guests::with_kernel(&[], Some(kernel)) else {
        return;
    };
    let guest = Guest::start(&spec(&guests)).expect("a guest");
    fs::write(guest.folder().join("data"), pattern(LENGTH, 6)).expect("the data");
    // SIGTERM waits for the file system, and loses nothing of it.
    guest.try_out(
        "truncate -s 64M /tmp/image
         log_in --bus emulated:image=/tmp/image --export ublk:7
         mkfs.ext4 -q -F /dev/ublkb7
         mkdir -p /mnt
         mount -t ext4 /dev/ublkb7 /mnt
         kill -TERM $(cat /run/login.pid)
         await 30 grep -q 'ublkb7 is mounted on /mnt' /run/login.err
         cp /host/data /mnt/data
         ! ended
         umount /mnt
         await 30 ended
         grep -q 'logged out' /run/login.err
         test ! -e /dev/ublkb7
         e2fsck -fn /tmp/image",
    );
    // So does it for a program that has it open, and is no file system.
    guest.try_out(
        "log_in --bus emulated:image=/tmp/image --export ublk:7
         exec 5< /dev/ublkb7
         kill -TERM $(cat /run/login.pid)
         await 30 grep -q 'ublkb7 is open in another program' /run/login.err
         dd bs=1M count=1 iflag=direct <&5 > /tmp/read
         ! ended
         exec 5<&-
         await 30 ended
         test ! -e /dev/ublkb7
         dd if=/tmp/image bs=1M count=1 | cmp - /tmp/read",
    );
    // What a dead one has left under a number that is not wanted any more.
    guest.try_out(
        "log_in --bus emulated:image=/tmp/image --export ublk:7
         mount -t ext4 /dev/ublkb7 /mnt
         kill -KILL $(cat /run/login.pid)
         await 30 ended
         status=0
         fwshare login --shared --bus emulated:image=/tmp/image --export ublk:8 2> /run/said || status=$?
         test $status = 6
         grep -q 'ublkb7 of a dead process has another number, and is mounted on /mnt' /run/said
         grep -q 'umount /mnt' /run/said
         log_in --bus emulated:image=/tmp/image --export ublk
         cmp /mnt/data /host/data
         umount /mnt
         kill -KILL $(cat /run/login.pid)
         await 30 ended
         log_in --bus emulated:image=/tmp/image --export ublk:8
         test ! -e /dev/ublkb7
         kill -TERM $(cat /run/login.pid)
         await 30 ended
         test ! -e /dev/ublkb8",
    );
    guest.power_off().expect("an end in good order");
}

#[test]
fn a_device_in_use_is_served_until_it_is_not_on_debian_13s_kernel() {
    ends("trixie");
}

#[test]
fn a_device_in_use_is_served_until_it_is_not_on_the_backported_kernel() {
    ends("backports");
}

#[test]
fn flushes_large_blocks_protection_and_what_is_refused() {
    let Some(guests) = Guests::new(&[]) else {
        return;
    };
    let guest = Guest::start(&spec(&guests)).expect("a guest");
    // One flush is that of the end.
    guest.try_out(
        "log_in --bus emulated:size=8M,record=/tmp/tape --export ublk
         for number in 1 2 3 4; do
           dd if=/dev/zero of=/dev/ublkb0 bs=4096 count=1 oflag=direct conv=fsync
         done
         kill $(cat /run/login.pid)
         await 30 ended
         fwshare trace show /tmp/tape > /tmp/told
         test $(grep -c 'SYNCHRONIZE CACHE' /tmp/told) -ge 5",
    );
    guest.try_out(
        "truncate -s 3072G /tmp/large
         log_in --bus emulated:image=/tmp/large,profile=generic,sector=4096 --export ublk:0
         is size 6442450944
         is queue/logical_block_size 4096
         dd if=/dev/zero bs=4096 count=1 | tr '\\0' '\\245' > /tmp/data
         dd if=/tmp/data of=/dev/ublkb0 bs=4096 seek=805306367 oflag=direct
         dd if=/tmp/large bs=4096 skip=805306367 | cmp - /tmp/data
         mv /run/login.pid /run/first.pid
         log_in --read-only --bus emulated:profile=generic,sector=2048 --export ublk:1
         test \"$(cat /sys/block/ublkb1/ro) $(cat /sys/block/ublkb1/queue/logical_block_size)\" = '1 2048'
         ! dd if=/tmp/data of=/dev/ublkb1 oflag=direct 2> /run/said
         grep -q 'not permitted' /run/said
         dd if=/dev/ublkb1 of=/dev/null bs=1M count=1 iflag=direct",
    );
    let said = guest.try_out(
        "refused() { status=0; fwshare login --shared --bus emulated \"$@\" 2>&1 || status=$?; echo status $status; }
         refused --export ublk:0
         echo 2 > /proc/sys/kernel/io_uring_disabled
         refused --export ublk
         echo 0 > /proc/sys/kernel/io_uring_disabled
         kill $(cat /run/first.pid) $(cat /run/login.pid)
         await 30 ended
         gone() { ! [ -e /proc/$(cat /run/first.pid)/exe ]; }
         await 30 gone
         rmmod ublk_drv
         refused --export ublk",
    );
    for expected in [
        "/dev/ublkb0 is there already, served by process",
        "(fwshare)",
        "name another number",
        "kernel.io_uring_disabled=0",
        "modprobe ublk_drv",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    for (status, times) in [("status 1", 2), ("status 4", 1)] {
        assert_eq!(said.matches(status).count(), times, "{status}: {said}");
    }
    guest.power_off().expect("an end in good order");
}

fn check(image: &Path) {
    if let Some(e2fsck) = judge("e2fsck") {
        e2fsck.run([Path::new("-fn"), image]);
    }
}
