//! `fwshare login --shared` on a controller's own `/dev/fw*`, at our bridge, as the guest's
//! `/dev/nbd0`.

use fwlab::vm::{Guest, GuestSpec};
use fwshare_tests::{InGuest, fwshare_program};

use crate::disk;

/// Adds what a login and a block device of it need.
pub(crate) fn with_fwshare(spec: GuestSpec) -> GuestSpec {
    spec.module("nbd nbds_max=2")
        .program(&fwshare_program())
        .program("nbd-client")
}

/// Logs in, and makes the disk `/dev/nbd0`. What `fwshare` says is in `/run/login.json` and
/// `/run/login.err`.
pub(crate) const LOGIN: &str = "
fwshare -v login --shared --json --export nbd:unix:/run/disk.sock > /run/login.json 2> /run/login.err &
echo $! > /run/login.pid
is_there() { grep -q exports /run/login.json || { cat /run/login.err; false; }; }
await 60 is_there
nbd-client -unix /run/disk.sock /dev/nbd0 -b 512 -persist -timeout 0
has_size() { test \"$(cat /sys/block/nbd0/size)\" != 0; }
await 30 has_size
";

/// Gives it back.
pub(crate) const LOGOUT: &str = "
nbd-client -d /dev/nbd0
kill -INT $(cat /run/login.pid)
gone() { ! kill -0 $(cat /run/login.pid); }
await 30 gone
cat /run/login.err
";

fn a_disk_of_fwshares(kernel: &str) {
    let Some((_folder, image, guests)) = disk::at_a_bridge(Some(kernel)) else {
        return;
    };
    let spec = with_fwshare(disk::spec(&guests, 1));
    let guest = Guest::start(&spec).expect("a guest");
    let said = guest.sh("await 30 test -e /dev/fw1; fwshare scan");
    assert!(said.contains("OXFORD IDE Device LUN 0"), "{said}");
    guest.sh(LOGIN);
    assert_eq!(guest.sh("cat /sys/block/nbd0/size"), "163840\n");
    disk::judge_disk(&guest, "/dev/nbd0", &image);
    let said = guest.sh(LOGOUT);
    assert!(said.contains("logged out"), "{said}");
    guest.power_off().expect("an end in good order");
}

#[test]
fn a_disk_on_debian_13s_kernel() {
    a_disk_of_fwshares("trixie");
}

#[test]
fn a_disk_on_debian_12s_kernel() {
    a_disk_of_fwshares("bookworm");
}

#[test]
fn a_disk_on_the_backported_kernel() {
    a_disk_of_fwshares("backports");
}
