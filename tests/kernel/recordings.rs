//! What the kernel says to our bridge and what its target says to `fwshare`, recorded.
//!
//! `fixtures/record --kernel` keeps the recordings as fixtures, which `tests/recordings.rs` replays
//! without a kernel.

use std::path::{Path, PathBuf};
use std::{env, fs};

use fwlab::lab::command::{Command, ResetType};
use fwlab::vm::Guest;
use fwshare_tests::{Guests, InGuest, fwshare, run};

use crate::login::{LOGOUT, with_fwshare};
use crate::sbp_target::host_and_target;

/// If it is set, recordings are kept.
const KEEP: &str = "FWSHARE_KEEP_RECORDINGS";
/// The kernel whose recordings are fixtures.
const KERNEL: &str = "trixie";

/// It replays; and it becomes a fixture, if that is wanted.
fn judge(recording: &Path, fixture: &str) {
    let said = run(fwshare().args(["trace", "replay"]).arg(recording), &[]);
    assert!(said.success(), "{said}");
    if env::var_os(KEEP).is_none() {
        return;
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/recordings");
    let fixture: PathBuf = fixtures.join(fixture);
    fs::create_dir_all(fixture.parent().expect("a folder")).expect("the folder of the fixture");
    let text = fs::read(recording).expect("the recording");
    fs::write(&fixture, text).expect("the fixture");
}

#[test]
fn the_kernels_initiator_is_recorded_and_the_bridge_does_the_same_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let recording = folder.path().join("oxfw911.fwt.jsonl");
    let bridge = format!("profile=oxfw911,size=1M,record={}", recording.display());
    let Some(guests) = Guests::with_kernel(&[&bridge], Some(KERNEL)) else {
        return;
    };
    let spec = ["firewire-sbp2", "sd_mod"]
        .into_iter()
        .fold(guests.spec(1), |spec, module| spec.module(module));
    let guest = Guest::start(&spec.program("dd").program("cmp")).expect("a guest");
    guest.sh("await 30 opens /dev/sda
        dd if=/dev/zero bs=512 count=6 | tr '\\0' '\\245' > /tmp/data
        dd if=/tmp/data of=/dev/sda bs=3072 seek=4 oflag=direct conv=fsync
        dd if=/dev/sda bs=3072 skip=4 count=1 iflag=direct > /tmp/read
        cmp /tmp/data /tmp/read");
    guests.meddle(&Command::Reset {
        kind: ResetType::Short,
    });
    let said = guest.sh("again() { dmesg | grep -q 'reconnected to LUN'; }
        await 30 again
        dd if=/dev/sda bs=512 skip=24 count=1 iflag=direct > /tmp/read
        rmmod firewire-sbp2
        dmesg | grep firewire_sbp2");
    assert!(said.contains("released"), "{said}");
    guest.power_off().expect("an end in good order");
    drop(guests);
    judge(&recording, "firewire-sbp2/oxfw911.fwt.jsonl");
}

/// [`crate::login::LOGIN`], recorded.
const LOGIN: &str = "
fwshare --record /host/io.fwt.jsonl login --shared --export nbd:unix:/run/disk.sock \
    > /run/login.txt 2> /run/login.err &
echo $! > /run/login.pid
is_there() { grep -q /run/disk.sock /run/login.txt || { cat /run/login.err; false; }; }
await 60 is_there
nbd-client -unix /run/disk.sock /dev/nbd0 -b 512 -persist -timeout 0
has_size() { test \"$(cat /sys/block/nbd0/size)\" != 0; }
await 30 has_size
";

#[test]
fn the_kernels_target_is_recorded_and_fwshare_does_the_same_again() {
    let Some(guests) = Guests::with_kernel(&[], Some(KERNEL)) else {
        return;
    };
    let host = guests.spec(1).program("dd").program("cmp");
    let (host, _disk) = host_and_target(&guests, &with_fwshare(host));
    host.sh("found() { fwshare scan | grep -q 02000000f05b2001:0; }; await 60 found");
    host.sh(LOGIN);
    host.sh(
        "dd if=/dev/zero bs=512 count=6 | tr '\\0' '\\245' > /tmp/data
        dd if=/tmp/data of=/dev/nbd0 bs=3072 seek=4 oflag=direct conv=fsync
        dd if=/dev/nbd0 bs=3072 skip=4 count=1 iflag=direct > /tmp/read
        cmp /tmp/data /tmp/read
        dd if=/tmp/data of=/dev/nbd0 bs=512 count=1 seek=163839 oflag=direct conv=fsync
        dd if=/dev/nbd0 bs=512 skip=163839 count=1 iflag=direct > /tmp/read",
    );
    let said = host.sh(LOGOUT);
    assert!(said.contains("logged out"), "{said}");
    let recording = host.folder().join("io.fwt.jsonl");
    judge(&recording, "sbp_target/io.fwt.jsonl");
}
