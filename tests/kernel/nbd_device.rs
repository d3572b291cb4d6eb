//! `fwshare login --export nbd-device`: the kernel's nbd driver as the judge of the device, of how
//! it is detached, and of what a process that was killed leaves to the next one.

use fwlab::vm::{Guest, GuestSpec};
use fwshare_tests::{Guests, InGuest, fwshare_program, pattern};

use crate::disk;

/// Adds what a login and a device of it need.
fn with_nbd(spec: GuestSpec) -> GuestSpec {
    spec.module("nbd nbds_max=4").program(&fwshare_program())
}

/// Shell functions. `login NAME OPTION…` logs in; what fwshare says is in `/run/NAME.json` and
/// `/run/NAME.err`. `end NAME SIGNAL` ends it. `flags FILE` shows one of the queue's.
const FUNCTIONS: &str = "
login() {
  name=$1
  shift
  fwshare -v login --shared --json \"$@\" > /run/$name.json 2> /run/$name.err &
  echo $! > /run/$name.pid
  is_there() { grep -q exports /run/$name.json || { cat /run/$name.err; kill -0 $(cat /run/$name.pid); false; }; }
  await 60 is_there
}
end() {
  kill -$2 $(cat /run/$1.pid)
  gone() { ! kill -0 $(cat /run/$1.pid); }
  await 60 gone $1
  cat /run/$1.err
}
unlogged() { dmesg | grep -iE 'I/O error|blk_update_request|Buffer I/O|EXT4-fs (error|warning)' || true; }
";

/// Runs a script that has those functions.
fn sh(guest: &Guest, script: &str) -> String {
    guest.sh(&format!("{FUNCTIONS}{script}"))
}

fn start(guests: &Guests) -> Guest {
    let spec = with_nbd(disk::spec(guests, 1)).program("fio");
    let guest = Guest::start(&spec).expect("a guest");
    guest.sh("await 30 test -e /dev/fw1");
    guest
}

/// What the bridges have been told, in commands.
fn commands(guests: &Guests) -> usize {
    let nodes = guests.show().nodes;
    let bridges = nodes.iter().filter_map(|node| node.bridge.as_ref());
    bridges.map(|bridge| bridge.commands).sum()
}

fn a_disk(kernel: &str) {
    let Some((_folder, image, guests)) = disk::at_a_bridge(Some(kernel)) else {
        return;
    };
    let guest = start(&guests);
    sh(&guest, "login one --export nbd-device");
    let said = guest.sh(
        "cd /sys/block/nbd0
         cat backend size ro queue/logical_block_size queue/max_sectors_kb queue/write_cache queue/fua",
    );
    let (identity, rest) = said.split_once('\n').expect("lines");
    assert!(identity.starts_with("fwshare:0030e0"), "{identity}");
    assert_eq!(rest, "163840\n0\n512\n512\nwrite back\n1\n");
    // A flush is one of the disk, and no other command.
    let before = commands(&guests);
    guest.sh("dd if=/dev/null of=/dev/nbd0 count=0 conv=fsync,notrunc");
    assert_eq!(commands(&guests) - before, 1);
    disk::judge_disk(&guest, "/dev/nbd0", &image);
    let said = sh(
        &guest,
        "end one INT
         cat /sys/block/nbd0/size
         test ! -e /sys/block/nbd0/pid",
    );
    assert!(said.contains("logged out"), "{said}");
    assert!(said.ends_with("\n0\n"), "{said}");
    guest.power_off().expect("an end in good order");
}

#[test]
fn a_disk_on_debian_13s_kernel() {
    a_disk("trixie");
}

#[test]
fn a_disk_on_debian_12s_kernel() {
    a_disk("bookworm");
}

#[test]
fn two_disks_at_once_with_their_own_blocks_and_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = disk::image(&folder);
    let bridges = [
        disk::bridge("oxfw911", &image),
        "profile=oxuf922,sector=4096,size=16M".to_owned(),
    ];
    let Some(guests) = Guests::new(&bridges.each_ref().map(String::as_str)) else {
        return;
    };
    let guest = start(&guests);
    let guids: Vec<_> = guests
        .show()
        .nodes
        .into_iter()
        .filter(|node| node.bridge.is_some())
        .map(|node| node.guid)
        .collect();
    let said = sh(
        &guest,
        &format!(
            "await 30 test -e /dev/fw2
             fwshare login --shared {} --export nbd-device --export nbd-device:/dev/nbd1 2>&1 || true
             login one {} --export nbd-device:/dev/nbd2
             fwshare login --shared {} --export nbd-device:/dev/nbd2 2>&1 || echo status $?
             login two {} --read-only --export nbd-device
             cat /sys/block/nbd2/queue/logical_block_size /sys/block/nbd0/queue/logical_block_size
             cat /sys/block/nbd2/ro /sys/block/nbd0/ro
             dd if=/dev/nbd0 of=/dev/null bs=1M iflag=direct
             dd if=/dev/nbd0 of=/dev/null bs=512 count=1 iflag=direct && exit 1
             dd if=/dev/zero of=/dev/nbd0 bs=4096 count=1 && exit 1
             dd if=/dev/zero of=/dev/nbd2 bs=512 count=1 oflag=direct
             echo pid $(cat /run/one.pid)",
            guids[0], guids[0], guids[1], guids[1]
        ),
    );
    assert!(said.contains("512\n4096\n0\n1\n"), "{said}");
    assert!(said.contains("16777216 bytes"), "{said}");
    let pid = said.lines().last().expect("a line");
    let owner = format!("/dev/nbd2 is in use by fwshare ({pid})");
    assert!(said.contains(&owner), "{owner}: {said}");
    assert!(said.contains("status 6"), "{said}");
    sh(
        &guest,
        "end one INT; end two INT; ! grep -q . /sys/block/nbd*/pid",
    );
    guest.power_off().expect("an end in good order");
}

#[test]
fn a_mounted_device_is_served_until_it_is_unmounted() {
    let Some((_folder, _, guests)) = disk::at_a_bridge(None) else {
        return;
    };
    let guest = start(&guests);
    std::fs::write(guest.folder().join("data"), pattern(8 << 20, 5)).expect("the data");
    let said = sh(
        &guest,
        "login one --export nbd-device
         mkfs.ext4 -q -F /dev/nbd0
         mkdir -p /mnt
         mount -t ext4 /dev/nbd0 /mnt
         kill -TERM $(cat /run/one.pid)
         await 30 grep -q 'it is served until it is not' /run/one.err
         cp /host/data /mnt/data
         sync
         echo 3 > /proc/sys/vm/drop_caches
         cmp /host/data /mnt/data
         kill -0 $(cat /run/one.pid)
         umount /mnt
         gone() { ! kill -0 $(cat /run/one.pid); }
         await 30 gone
         cat /run/one.err
         test ! -e /sys/block/nbd0/pid
         unlogged
         login two --export nbd-device
         e2fsck -fn /dev/nbd0
         mount -t ext4 -o ro /dev/nbd0 /mnt
         cmp /host/data /mnt/data
         umount /mnt
         end two INT",
    );
    assert!(said.contains("/dev/nbd0 is mounted on /mnt"), "{said}");
    assert!(said.contains("flushed and logged out"), "{said}");
    assert!(!said.to_lowercase().contains("i/o error"), "{said}");
    guest.power_off().expect("an end in good order");
}

/// fio writes a file of a mounted file system, past the page cache, and verifies it.
const WORK: &str = "
login one --export nbd-device
mkfs.ext4 -q -F /dev/nbd0
mkdir -p /mnt
mount -t ext4 /dev/nbd0 /mnt
work() {
  fio --name=job --filename=/mnt/job --size=4M --direct=1 --ioengine=libaio --iodepth=8 --bs=4k \\
    --rw=randwrite --fsync=64 --verify=crc32c --do_verify=1 --verify_fatal=1 \\
    --verify_state_save=0 > /tmp/fio 2>&1
  echo $? > /tmp/status
}
work &
written() { set -- $(cat /sys/block/nbd0/stat); echo $5; }
writes_on() { [ $(written) -gt $(($1 + 50)) ]; }
now() { cut -d ' ' -f 1 /proc/uptime; }
";

/// Its end.
const JUDGE: &str = "
await 100 test -s /tmp/status
[ $(cat /tmp/status) = 0 ] || { cat /tmp/fio; dmesg | tail -n 40; exit 1; }
umount /mnt
e2fsck -fn /dev/nbd0
unlogged
";

fn a_killed_process(kernel: &str) {
    let Some((_folder, _, guests)) = disk::at_a_bridge(Some(kernel)) else {
        return;
    };
    let guest = start(&guests);
    let said = sh(
        &guest,
        &format!(
            "{WORK}
             await 30 writes_on 100
             kill -9 $(cat /run/one.pid)
             echo killed at $(now)
             login two --export nbd-device
             echo back at $(now)
             await 60 writes_on $(written)
             echo writing at $(now)
             {JUDGE}
             test ! -e /sys/block/nbd1/pid
             end two INT
             test ! -e /sys/block/nbd0/pid
             dmesg | grep nbd0"
        ),
    );
    println!("{said}");
    assert!(
        said.contains("/dev/nbd0 of an earlier process goes on"),
        "{said}"
    );
    assert!(!said.contains("I/O error"), "{said}");
    guest.power_off().expect("an end in good order");
}

#[test]
fn a_killed_process_is_taken_over_on_debian_13s_kernel() {
    a_killed_process("trixie");
}

#[test]
fn a_killed_process_is_taken_over_on_debian_12s_kernel() {
    a_killed_process("bookworm");
}

#[test]
fn what_a_killed_process_has_left_is_cleared_if_it_can_be_and_nobody_uses_it() {
    let Some((_folder, _, guests)) = disk::at_a_bridge(None) else {
        return;
    };
    let guest = start(&guests);
    let said = sh(
        &guest,
        "login one --export nbd-device
         kill -9 $(cat /run/one.pid)
         login two --read-only --export nbd-device
         echo read-only: $(cat /sys/block/nbd0/ro)
         kill -9 $(cat /run/two.pid)
         login three --export nbd-device:/dev/nbd1
         test ! -e /sys/block/nbd0/pid
         mkfs.ext4 -q -F /dev/nbd1
         mkdir -p /mnt
         mount -t ext4 /dev/nbd1 /mnt
         kill -9 $(cat /run/three.pid)
         fwshare login --shared --read-only --export nbd-device 2>&1 || echo other shape $?
         fwshare login --shared --export nbd-device:/dev/nbd0 2>&1 || echo elsewhere $?
         login four --export nbd-device:/dev/nbd1
         umount /mnt
         e2fsck -fn /dev/nbd1
         end four INT
         test ! -e /sys/block/nbd1/pid
         unlogged",
    );
    println!("{said}");
    for expected in [
        "read-only: 1",
        "/dev/nbd1 of a dead process is mounted on /mnt",
        "umount /mnt",
        "other shape 6",
        "--export nbd-device:/dev/nbd1",
        "elsewhere 6",
        "/dev/nbd1 of an earlier process goes on",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains("I/O error"), "{said}");
    guest.power_off().expect("an end in good order");
}

#[test]
fn a_process_that_stands_still_for_longer_than_the_driver_waits_goes_on() {
    let Some((_folder, _, guests)) = disk::at_a_bridge(None) else {
        return;
    };
    let guest = start(&guests);
    let said = sh(
        &guest,
        &format!(
            "{WORK}
             await 30 writes_on 100
             kill -STOP $(cat /run/one.pid)
             timed_out() {{ dmesg | grep -q 'nbd0: Connection timed out'; }}
             await 30 timed_out
             kill -CONT $(cat /run/one.pid)
             await 60 grep -q 'waited too long for a request' /run/one.err
             {JUDGE}
             await 10 grep -q 10000 /sys/block/nbd0/queue/io_timeout
             end one INT
             dmesg | grep nbd0"
        ),
    );
    println!("{said}");
    let again = said.matches("waited too long for a request").count();
    assert_eq!(again, 1, "{said}");
    assert!(!said.contains("I/O error"), "{said}");
    guest.power_off().expect("an end in good order");
}
