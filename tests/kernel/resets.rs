//! Bus resets in the middle of two hosts' reads and writes.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use fwlab::lab::command::{Command, ResetType};
use fwlab::vm::{Guest, GuestSpec};
use fwshare_tests::{Guests, InGuest};

use crate::disk;
use crate::firewire_sbp2::with_firewire_sbp2;
use crate::login::{LOGIN, LOGOUT, with_fwshare};

/// How many resets there are in a storm.
const RESETS: u32 = 300;
/// Between two of them, so that commands get through and others are interrupted.
const INTERVAL: Duration = Duration::from_millis(150);

/// Writes and verifies, again and again, 2 MiB from an offset on, until there is `/host/stop`.
/// Prints how many rounds there were and how many of fio's commands failed.
fn work(device: &str, offset: u32, options: &str) -> String {
    format!(
        "rounds=0 errors=0
         until [ -e /host/stop ]; do
           fio --name=job --filename={device} --direct=1 --ioengine=libaio --iodepth=4 \\
             --offset={offset}M --size=2M --bs=4k --rw=randwrite --randseed=$rounds \\
             --verify=crc32c --do_verify=1 --verify_state_save=0 {options} \\
             --output-format=terse --output=/tmp/fio 2> /tmp/fio.err || errors=$((errors + 1))
           rounds=$((rounds + 1))
           [ $errors = 0 ] || {{ cat /tmp/fio.err; tail -n 3 /tmp/fio; break; }}
         done
         echo rounds $rounds errors $errors"
    )
}

/// A guest with fio.
fn spec(guests: &Guests, number: u8) -> GuestSpec {
    disk::spec(guests, number).program("fio")
}

/// The bus is reset again and again while the guests do this work.
fn storm(guests: &Guests, work: &[(&Guest, String)]) -> Vec<String> {
    let (stop, stopped) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let running: Vec<_> = work
            .iter()
            .map(|(guest, script)| scope.spawn(move || guest.sh(script)))
            .collect();
        for _ in 0..RESETS {
            guests.meddle(&Command::Reset {
                kind: ResetType::Short,
            });
            // Nobody says anything there: a pace.
            assert_eq!(
                stopped.recv_timeout(INTERVAL),
                Err(RecvTimeoutError::Timeout)
            );
        }
        drop(stop);
        for (guest, _) in work {
            std::fs::write(guest.folder().join("stop"), "").expect("a file");
        }
        let said = running.into_iter().map(|work| work.join().expect("work"));
        said.collect()
    })
}

#[test]
fn two_hosts_see_nothing_of_300_bus_resets() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = disk::image(&folder);
    let Some(guests) = Guests::new(&[&disk::bridge("oxfw911", &image)]) else {
        return;
    };
    let hosts =
        [1, 2].map(|number| Guest::launch(&with_fwshare(spec(&guests, number))).expect("a guest"));
    for host in &hosts {
        host.wait_until_up().expect("up");
        host.sh(&format!("await 30 test -e /dev/fw1; {LOGIN}"));
    }
    let before = guests.show().bus.resets;
    let start = Instant::now();
    let said = storm(
        &guests,
        &[
            (&hosts[0], work("/dev/nbd0", 0, "--verify_fatal=1")),
            (&hosts[1], work("/dev/nbd0", 32, "--verify_fatal=1")),
        ],
    );
    let resets = guests.show().bus.resets - before;
    println!("{resets} bus resets in {:?}: {said:?}", start.elapsed());
    assert!(resets >= u64::from(RESETS), "{resets}");
    for (host, said) in hosts.iter().zip(&said) {
        assert!(said.contains("errors 0"), "{said}");
        let log = host.sh("dmesg | grep -iE 'I/O error|nbd0: (timeout|error)' || true");
        assert_eq!(log, "", "the kernel's log");
        let said = host.sh(LOGOUT);
        assert!(!said.contains("reconnects=0 "), "{said}");
        let counted = said.lines().find(|line| line.contains("counted"));
        println!("{}", counted.unwrap_or_default());
    }
}

/// For comparison, the driver of the kernel in the same storm. What comes of it is printed, and
/// no more is asked than that its guest and the bridge are there afterwards.
#[test]
fn what_the_kernels_driver_makes_of_bus_resets() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = disk::image(&folder);
    let Some(guests) = Guests::new(&[&disk::bridge("oxfw911", &image)]) else {
        return;
    };
    let kernel = with_firewire_sbp2(spec(&guests, 1), "exclusive_login=0");
    let kernel = Guest::start(&kernel).expect("a guest");
    kernel.sh("await 60 opens /dev/sda");
    let options = "--continue_on_error=all";
    let said = storm(&guests, &[(&kernel, work("/dev/sda", 0, options))]);
    let log = kernel.sh("dmesg | grep -cE 'I/O error' || true");
    println!(
        "firewire-sbp2 in {RESETS} bus resets, {} ms apart: {} I/O errors in the \
         kernel's log; {}",
        INTERVAL.as_millis(),
        log.trim(),
        said.concat()
    );
    let report = guests.show();
    let bridge = report.nodes.iter().find_map(|node| node.bridge.as_ref());
    println!("the bridge: {:?}", bridge.expect("the bridge"));
}
