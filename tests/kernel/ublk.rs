//! `fwshare login --export ublk`: the disk as `/dev/ublkb0`, and what becomes of it when the
//! process ends, well or not.

use std::path::Path;

use fwlab::vm::{Guest, GuestSpec};
use fwshare_tests::{Guests, InGuest, fwshare, fwshare_program, judge, pattern, run};

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

fn a_disk(kernel: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let image = disk::image(&folder);
    let recording = folder.path().join("bridge.fwt.jsonl");
    let bridge = disk::bridge("oxfw911", &image);
    let bridge = format!("{bridge},record={}", recording.display());
    let Some(guests) = Guests::with_kernel(&[&bridge], Some(kernel)) else {
        return;
    };
    let guest = start(&guests);
    guest.try_out(
        "log_in --export ublk
         grep -q '/dev/ublkb0' /run/login.json
         is size 163840
         is ro 0
         is queue/logical_block_size 512
         is queue/physical_block_size 512
         is queue/max_hw_sectors_kb 1024
         is queue/write_cache 'write back'
         is queue/fua 1
         is queue/discard_max_bytes 0",
    );
    disk::judge_disk(&guest, "/dev/ublkb0", &image);
    guest.try_out(
        "kill -INT $(cat /run/login.pid)
         await 30 ended
         grep -q 'logged out' /run/login.err
         test ! -e /dev/ublkb0
         test ! -e /dev/ublkc0",
    );
    guest.power_off().expect("an end in good order");
    let said = run(fwshare().args(["trace", "show"]).arg(&recording), &[]);
    assert!(said.stdout.contains("SYNCHRONIZE CACHE"), "{said}");
}

#[test]
fn a_disk_on_debian_13s_kernel() {
    a_disk("trixie");
}

#[test]
fn a_disk_on_the_backported_kernel() {
    a_disk("backports");
}
