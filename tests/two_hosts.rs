//! Two hosts share one disk: that is what all of this is for.

use std::time::Duration;

use fwshare_tests::world::{HostIndex, World, host_eui64};
use fwshare_tests::{Random, pattern};
use sbp2::disk::{Failure, Notice, Request};
use sbp2::target::BridgeProfile;
use sbp2::wire::Sbp2Status;

fn two_hosts(profile: BridgeProfile) -> (World, HostIndex, HostIndex) {
    let mut world = World::new(profile);
    let a = world.add_host(|_| {});
    let b = world.add_host(|_| {});
    let (login_a, _) = world.login(a).expect("the first login");
    let (login_b, info) = world.login(b).expect("the second login");
    assert_ne!(login_a.id, login_b.id);
    assert_eq!((info.blocks, info.block_length), (16384, 512));
    (world, a, b)
}

fn refusal(failure: &Failure) -> Option<Sbp2Status> {
    match failure {
        Failure::Login(error) => error.sbp_status(),
        _ => None,
    }
}

#[test]
fn each_sees_at_once_what_the_other_writes() {
    for name in BridgeProfile::NAMES {
        let (mut world, a, b) = two_hosts(BridgeProfile::by_name(name).unwrap());
        let from_a = pattern(64 << 10, 1);
        let from_b = pattern(300 << 10, 2);
        world.write(a, 100, from_a.clone());
        assert_eq!(world.read(b, 100, 128), from_a, "{name}");
        world.write(b, 1000, from_b.clone());
        assert_eq!(world.read(a, 1000, 600), from_b, "{name}");
        // Over the middle of what the other has written.
        world.write(b, 110, vec![0xbb; 512]);
        assert_eq!(world.read(a, 110, 1), [0xbb; 512], "{name}");
    }
}

#[test]
fn query_logins_names_both() {
    let (mut world, a, b) = two_hosts(BridgeProfile::oxfw911());
    let logins = world.query_logins(a).expect("it tells");
    assert_eq!((logins.max, logins.active), (4, 2));
    let mut who: Vec<_> = logins.entries.iter().map(|entry| entry.eui64).collect();
    who.sort();
    assert_eq!(who, [host_eui64(a), host_eui64(b)]);
    world.logout(b).expect("a clean logout");
    assert_eq!(world.query_logins(a).expect("it tells").active, 1);
}

#[test]
fn a_third_host_cannot_have_the_disk_for_itself() {
    let (mut world, a, _) = two_hosts(BridgeProfile::oxfw911());
    let third = world.add_host(|config| config.exclusive = true);
    let failure = world.login(third).expect_err("others are in");
    assert_eq!(refusal(&failure), Some(Sbp2Status::ACCESS_DENIED));
    // The others never notice.
    world.write(a, 0, vec![1; 512]);
}

#[test]
fn nobody_gets_in_beside_an_exclusive_login() {
    let mut world = World::new(BridgeProfile::oxfw911());
    let alone = world.add_host(|config| config.exclusive = true);
    let late = world.add_host(|_| {});
    world.login(alone).expect("an exclusive login");
    let failure = world.login(late).expect_err("it is taken");
    assert_eq!(refusal(&failure), Some(Sbp2Status::ACCESS_DENIED));
    world.logout(alone).expect("a clean logout");
    let again = world.add_host(|_| {});
    world.login(again).expect("it is free again");
}

#[test]
fn a_full_bridge_says_that_it_is_full() {
    let mut profile = BridgeProfile::oxfw911();
    profile.max_logins = 1;
    let mut world = World::new(profile);
    let first = world.add_host(|_| {});
    let second = world.add_host(|_| {});
    world.login(first).expect("the only login");
    let failure = world.login(second).expect_err("there is no room");
    assert_eq!(refusal(&failure), Some(Sbp2Status::RESOURCES_UNAVAILABLE));
}

/// Both hosts write and read back all the time, each in blocks of its own, while the bus is reset
/// at moments that hit every phase of a command. What was reported as written is there.
#[test]
fn bus_resets_in_the_middle_of_both_hosts_writes_lose_nothing() {
    for (depth, seed) in [(1, 11), (8, 12)] {
        let mut world = World::with_medium(
            BridgeProfile::oxfw911(),
            Box::new(sbp2::scsi::MemoryMedium::new(512, 16384).unwrap()),
            ohci_raw::sim::Timing::Wire,
        );
        let hosts = [0, 1].map(|_| world.add_host(|config| config.depth = depth));
        for host in hosts {
            world.login(host).expect("a shared login");
        }
        let mut random = Random::new(seed);
        for round in 0..60 {
            let start = |host: HostIndex| host.0 as u64 * 8192 + round % 7 * 512;
            let data = hosts.map(|host| pattern(200 << 10, round * 2 + host.0 as u64));
            let tags = hosts.map(|host| {
                let data = data[host.0].clone();
                let lba = start(host);
                world.submit(
                    host,
                    Request::Write {
                        lba,
                        data,
                        fua: false,
                    },
                )
            });
            let resets = 1 + random.below(3);
            for _ in 0..resets {
                world.wait(Duration::from_micros(random.below(9000)));
                world.reset();
            }
            for host in hosts {
                let tag = tags[host.0];
                world
                    .finish(host, tag)
                    .unwrap_or_else(|error| panic!("{error}"));
            }
            for host in hosts {
                for reader in hosts {
                    let read = world.read(reader, start(host), 400);
                    assert!(
                        read == data[host.0],
                        "round {round}, {host:?} by {reader:?}"
                    );
                }
            }
        }
        for host in hosts {
            let counters = world.disk(host).counters();
            assert!(counters.bus_resets >= 60, "{counters:?}");
            assert!(counters.reissued > 10, "the resets hit: {counters:?}");
            assert_eq!(counters.logins, 1, "every reset was survived: {counters:?}");
            let lost = |notice: &Notice| matches!(notice, Notice::LoginLost(_));
            assert!(!world.notices(host).iter().any(lost));
        }
    }
}
