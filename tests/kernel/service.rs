//! `fwshare@.service` as it is shipped, under systemd, on a kernel's own `/dev/fw*` and nbd.
//!
//! The guest has no system of its own, and systemd is not its first process: it runs in a process
//! namespace, and knows this unit and the journal.

use std::path::Path;

use fwlab::vm::Guest;
use fwshare_tests::{Guests, InGuest, PRELUDE, fwshare_program, judge, units};

use crate::disk;

/// Shell functions.
const TOOLS: &str = "
unit=fwshare@archive.service
export SYSTEMD_PAGER=
shows() { systemctl show --property $1 --value $unit; }
is() { [ \"$(shows $1)\" = $2 ] || { systemctl status $unit; journalctl -n 40; false; }; }
said() { journalctl --unit $unit --output cat | grep \"$1\"; }
";

fn start(guests: &Guests) -> Guest {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let configuration = file(
        "fwshare.toml",
        &units::configuration("nbd-device:/dev/nbd1"),
    );
    let machine = file("machine-id", "0123456789abcdef0123456789abcdef\n");
    let programs = [
        units::MANAGER,
        units::JOURNAL,
        "systemctl",
        "journalctl",
        "unshare",
        "kill",
    ];
    let spec = disk::spec(guests, 1)
        .module("nbd nbds_max=2")
        .program(&fwshare_program())
        .file(&configuration, Path::new("/etc/fwshare/fwshare.toml"))
        .file(&machine, Path::new("/etc/machine-id"));
    let spec = programs
        .into_iter()
        .fold(spec, |spec, program| spec.program(program));
    let guest = Guest::start(&spec).expect("a guest");
    units::write(&guest.folder().join("units"));
    guest.sh(&format!(
        "await 30 test -e /dev/fw1
         mount -t cgroup2 none /sys/fs/cgroup
         SYSTEMD_UNIT_PATH=/host/units container=test unshare --fork --pid --mount-proc {} \\
           --system --unit=test.target --log-target=journal-or-kmsg < /dev/null > /run/systemd.out 2>&1 &
         await 30 test -S /run/systemd/private",
        units::MANAGER
    ));
    sh(
        &guest,
        "await 30 systemctl is-active systemd-journald.service",
    );
    guest
}

/// Runs a script that has those functions, where systemd is.
fn sh(guest: &Guest, script: &str) -> String {
    let text = format!("{PRELUDE}{TOOLS}{script}");
    std::fs::write(guest.folder().join("script"), text).expect("a script");
    guest.sh("nsenter -t $(pidof systemd) -p -m sh /host/script")
}

#[test]
fn the_unit_serves_a_device_that_outlives_an_upgrade_and_a_crash() {
    for program in ["kill", "systemctl", "journalctl", "unshare"] {
        if judge(program).is_none() {
            return;
        }
    }
    let Some((_folder, _, guests)) = disk::at_a_bridge(None) else {
        return;
    };
    let guest = start(&guests);
    let said = sh(
        &guest,
        "systemctl start $unit
         echo status: $(shows StatusText)
         grep -E '^(CapEff|Seccomp):' /proc/$(pidof fwshare)/status
         mkfs.ext4 -q -F /dev/nbd1
         mkdir -p /mnt
         mount -t ext4 /dev/nbd1 /mnt
         work() {
           until [ -e /tmp/enough ]; do
             date > /mnt/date && sync -f /mnt || { echo 1 > /tmp/status; return; }
             echo >> /tmp/rounds
           done
           echo 0 > /tmp/status
         }
         work &
         rounds() { cat /tmp/rounds 2> /dev/null | wc -l; }
         goes_on() { [ $(rounds) -gt $(($1 + 5)) ]; }
         await 30 goes_on 0

         before=$(shows MainPID)
         systemctl reload $unit
         await 60 said 'starting anew'
         served_again() { [ $(said '^Export' | wc -l) -ge 2 ]; }
         await 60 served_again
         await 30 goes_on $(rounds)
         [ $(shows MainPID) = $before ]
         echo reloaded: $(shows SubState) $(shows NRestarts)

         systemctl kill --signal KILL $unit
         await 30 is NRestarts 1
         await 60 is SubState running
         await 60 goes_on $(rounds)
         touch /tmp/enough
         await 30 test -s /tmp/status
         echo worker: $(cat /tmp/status)

         systemctl stop --no-block $unit
         await 30 said 'is mounted on /mnt'
         umount /mnt
         await 60 is ActiveState inactive
         echo stopped: $(shows Result)
         test ! -e /sys/block/nbd1/pid
         ! dmesg | grep -iE 'I/O error|blk_update_request|Buffer I/O|EXT4-fs (error|warning)'",
    );
    for line in [
        "status: 0030e000000001fa:0: served at /dev/nbd1",
        "CapEff:\t0000000000200000",
        "Seccomp:\t2",
        "reloaded: running 0",
        "worker: 0",
        "stopped: success",
    ] {
        assert!(said.lines().any(|found| found == line), "{line}: {said}");
    }
    guest.power_off().expect("an end in good order");
}
