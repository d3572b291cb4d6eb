//! `fwshare status` and `fwshare reset` for a login on a controller's own `/dev/fw*`.

use fwlab::vm::Guest;
use fwshare_tests::{Guests, InGuest, pattern};

use crate::disk;
use crate::login::{LOGIN, LOGOUT, with_fwshare};
use crate::sbp_target::host_and_target;

/// Writes and reads back, again and again, while the script `meanwhile` runs.
fn busy(host: &Guest, meanwhile: &str) -> String {
    std::fs::write(host.folder().join("data"), pattern(4 << 20, 7)).expect("the data");
    host.sh(&format!(
        "work() {{
           while ! test -e /tmp/enough; do
             dd if=/host/data of=/dev/nbd0 bs=1M oflag=direct conv=fsync
             dd if=/dev/nbd0 bs=1M count=4 iflag=direct > /tmp/read
             cmp /tmp/read /host/data
             echo round >> /tmp/rounds
           done
         }}
         work > /tmp/work 2>&1 &
         works() {{ grep -q round /tmp/rounds; }}
         await 60 works
         code() {{ status=0; \"$@\" || status=$?; echo \"code $status\"; }}
         {meanwhile}
         more() {{ test $(wc -l < /tmp/rounds) -gt $rounds; }}
         rounds=$(($(wc -l < /tmp/rounds) + 1))
         await 60 more
         touch /tmp/enough
         wait %1 || {{ cat /tmp/work; exit 1; }}
         fwshare status"
    ))
}

#[test]
fn a_logical_unit_and_a_bus_that_are_reset_lose_nothing() {
    let Some((_folder, _, guests)) = disk::at_a_bridge(None) else {
        return;
    };
    let host = Guest::start(&with_fwshare(disk::spec(&guests, 1))).expect("a guest");
    host.sh(&format!("await 30 test -e /dev/fw1; {LOGIN}"));
    let said = busy(
        &host,
        "code fwshare reset 0030 --lun
         code fwshare reset 0030 --bus
         code fwshare reset 0030 --lun",
    );
    assert_eq!(said.matches("code 0").count(), 3, "{said}");
    assert!(said.contains("disk.sock, 1 client"), "{said}");
    let said = host.sh(LOGOUT);
    assert!(said.contains("logged out"), "{said}");
}

/// Linux's target knows no resets. It says so, and the disk is used as before.
#[test]
fn a_target_that_knows_no_reset_goes_on() {
    let Some(guests) = Guests::new(&[]) else {
        return;
    };
    let host = with_fwshare(disk::spec(&guests, 1));
    let (host, _target) = host_and_target(&guests, &host);
    host.sh("found() { fwshare scan | grep -q 02000000f05b2001:0; }; await 60 found");
    host.sh(LOGIN);
    let said = busy(
        &host,
        "code fwshare reset 02000000f05b2001 --lun
         code fwshare reset 02000000f05b2001 --target",
    );
    assert_eq!(said.matches("code 5").count(), 2, "{said}");
    assert!(said.contains("not supported"), "{said}");
    let said = host.sh(LOGOUT);
    assert!(said.contains("logged out"), "{said}");
    assert!(said.contains("reissued=0"), "{said}");
}
