//! `fwshare login` starts itself anew under its block devices, as after an upgrade.

use fwlab::vm::Guest;
use fwshare_tests::{InGuest, fwshare_program};

use crate::disk;

/// `anew`: has it start anew, and waits until it serves again and what writes goes on. A login says
/// what it exports when it can be used, so it says that once more each time.
const TOOLS: &str = "
served() { grep -c exports /run/login.json || true; }
serves_again() { [ $(served) -gt $1 ] || { cat /run/login.err; false; }; }
written() { set -- $(cat /sys/block/nbd0/stat); echo $5; }
writes_on() { [ $(written) -gt $(($1 + 20)) ]; }
anew() {
  before=$(served)
  kill -USR2 $(cat /run/login.pid)
  await 60 serves_again $before
  await 60 writes_on $(written)
}
";

/// fio verifies a mounted file system on an nbd device, and a ublk device on the same disk is read.
#[test]
fn a_process_that_starts_itself_anew_costs_no_request_and_no_device() {
    let Some((_folder, _, guests)) = disk::at_a_bridge(None) else {
        return;
    };
    let spec = disk::spec(&guests, 1)
        .module("nbd nbds_max=2")
        .module("ublk_drv")
        .program(&fwshare_program())
        .program("fio");
    let guest = Guest::start(&spec).expect("a guest");
    let said = guest.sh(&format!(
        "{TOOLS}
         await 30 test -e /dev/fw1
         fwshare -v login --shared --json --export nbd-device --export ublk \\
           > /run/login.json 2> /run/login.err &
         echo $! > /run/login.pid
         await 60 serves_again 0
         mkfs.ext4 -q -F /dev/nbd0
         mkdir -p /mnt
         mount -t ext4 /dev/nbd0 /mnt
         work() {{
           until [ -e /tmp/enough ]; do
             fio --name=job --filename=/mnt/job --size=2M --direct=1 --ioengine=libaio \
               --iodepth=8 --bs=4k --rw=randwrite --fsync=32 --verify=crc32c --do_verify=1 \
               --verify_fatal=1 --verify_state_save=0 > /tmp/fio 2>&1 || {{ echo 1 > /tmp/status; return; }}
           done
           echo 0 > /tmp/status
         }}
         read_on() {{
           while [ ! -e /tmp/enough ]; do
             dd if=/dev/ublkb0 of=/dev/null bs=64k count=16 iflag=direct || echo failed > /tmp/failed
           done 2> /tmp/dd
         }}
         work &
         read_on &
         await 30 writes_on 0
         anew; anew; anew
         touch /tmp/enough
         await 60 test -s /tmp/status
         [ $(cat /tmp/status) = 0 ] || {{ cat /tmp/fio; exit 1; }}
         test ! -e /tmp/failed
         umount /mnt
         e2fsck -fn /dev/nbd0
         ! dmesg | grep -iE 'I/O error|blk_update_request|Buffer I/O|EXT4-fs (error|warning)'
         kill -INT $(cat /run/login.pid)
         gone() {{ ! kill -0 $(cat /run/login.pid); }}
         await 60 gone
         test ! -e /sys/block/nbd0/pid
         test ! -e /dev/ublkb0
         grep -c 'starting anew' /run/login.err
         grep 'logged out' /run/login.err"
    ));
    assert!(
        said.contains("\n3\nfwshare: flushed and logged out"),
        "{said}"
    );
    guest.power_off().expect("an end in good order");
}
