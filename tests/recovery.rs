//! What goes wrong on a bus, and what becomes of the data: packets that are lost, late or doubled,
//! bus resets, cables pulled out, power lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fwshare_tests::world::{HostIndex, World};
use fwshare_tests::{CachedMedium, Random, Workers, pattern, seeds};
use ohci_raw::sim::{RandomFaults, Timing};
use sbp2::disk::{Notice, Request, RequestError};
use sbp2::initiator::CommandError;
use sbp2::scsi::MemoryMedium;
use sbp2::target::BridgeProfile;

/// Longer than the replacement timeout and any number of tries.
const PATIENCE: Duration = Duration::from_secs(600);
const LOST: RequestError = RequestError::WritesMayBeLost { deferred: false };

/// Lets workers write and read while packets meet these faults, and afterwards. One step in
/// `resets` is a bus reset.
fn sweep(faults: &RandomFaults, resets: Option<u64>) {
    for profile in [BridgeProfile::oxfw911(), BridgeProfile::generic()] {
        for depth in [1, 8] {
            for seed in seeds(3) {
                println!("{}, depth {depth}, seed {seed}", profile.name);
                let (mut world, hosts) = World::of_two_hosts(profile.clone(), depth);
                let mut workers = Workers::new(&hosts, 8, seed);
                let mut random = Random::new(seed);
                world.bus.set_fault(Some(Box::new(RandomFaults {
                    seed,
                    ..faults.clone()
                })));
                workers.work(&mut world, 200, PATIENCE, |world| {
                    if resets.is_some_and(|resets| random.below(resets) == 0) {
                        world.reset();
                    }
                });
                println!("{:?}", workers.tally());
                assert!(world.bus.counters().faults > 10, "the faults hit");
                world.bus.set_fault(None);
                // A login that was lost comes back.
                world.wait(Duration::from_secs(120));
                let failed = workers.tally().failed.len();
                workers.work(&mut world, 40, PATIENCE, |_| {});
                let late = &workers.tally().failed[failed..];
                assert!(late.is_empty(), "after the faults have stopped: {late:?}");
                // The bridge counts an ORB twice if it fails to look at its next_ORB again.
                let again = usize::from(depth > 1);
                assert!(world.counters.max_outstanding() <= usize::from(depth) + again);
            }
        }
    }
}

#[test]
fn lost_packets_cost_time_and_no_byte() {
    let faults = RandomFaults {
        lose: 3000,
        lose_ack: 3000,
        ignore: 3000,
        ..RandomFaults::default()
    };
    sweep(&faults, None);
}

#[test]
fn late_and_doubled_packets_cost_time_and_no_byte() {
    let faults = RandomFaults {
        delay: 20_000,
        longest_delay: Duration::from_millis(50),
        duplicate: 20_000,
        busy: 20_000,
        ..RandomFaults::default()
    };
    sweep(&faults, None);
}

#[test]
fn faults_in_the_middle_of_bus_resets_cost_time_and_no_byte() {
    let faults = RandomFaults {
        lose: 1000,
        lose_ack: 1000,
        ignore: 1000,
        busy: 2000,
        duplicate: 2000,
        delay: 2000,
        longest_delay: Duration::from_millis(50),
        ..RandomFaults::default()
    };
    sweep(&faults, Some(1000));
}

fn was_told(world: &mut World, host: HostIndex, wanted: impl Fn(&Notice) -> bool) -> bool {
    world.notices(host).iter().any(wanted)
}

fn write(lba: u64, seed: u64, fua: bool) -> Request {
    let data = pattern(100 << 10, seed);
    Request::Write { lba, data, fua }
}

#[test]
fn a_bridge_that_is_plugged_in_again_in_time_is_not_missed() {
    let (mut world, hosts) = World::of_two_hosts(BridgeProfile::oxfw911(), 1);
    let tags = hosts.map(|host| world.submit(host, write(host.0 as u64 * 1000, 1, false)));
    world.wait(Duration::from_micros(500));
    world.bus.detach(world.bridge, world.now);
    world.wait(Duration::from_secs(2));
    world.bus.reattach(world.bridge, world.now);
    for host in hosts {
        assert_eq!(world.finish(host, tags[host.0]), Ok(vec![]));
        let read = world.read(host, host.0 as u64 * 1000, 200);
        assert_eq!(read, pattern(100 << 10, 1));
        assert_eq!(world.perform(host, Request::Flush), Ok(vec![]));
        assert_eq!(world.disk(host).counters().logins, 1);
    }
}

#[test]
fn a_bridge_that_is_plugged_in_again_late_is_logged_in_to_anew() {
    let (mut world, hosts) = World::of_two_hosts(BridgeProfile::oxfw911(), 1);
    world.write(hosts[0], 0, pattern(512, 1));
    let tags = hosts.map(|host| world.submit(host, write(100 + host.0 as u64 * 1000, 1, false)));
    world.wait(Duration::from_micros(500));
    world.bus.detach(world.bridge, world.now);
    world.wait(Duration::from_secs(60));
    for host in hosts {
        assert!(was_told(&mut world, host, |it| matches!(
            it,
            Notice::LoginLost(_)
        )));
    }
    world.bus.reattach(world.bridge, world.now);
    for host in hosts {
        assert_eq!(world.finish(host, tags[host.0]), Ok(vec![]));
        assert_eq!(world.disk(host).counters().logins, 2);
    }
    assert_eq!(world.perform(hosts[0], Request::Flush), Err(LOST));
    for host in hosts {
        assert_eq!(world.perform(host, Request::Flush), Ok(vec![]));
    }
}

/// A host that was shut out must not wake up and write.
#[test]
fn a_host_that_is_cut_off_loses_its_login_and_what_it_had_queued() {
    let (mut world, [cut_off, other]) = World::of_two_hosts(BridgeProfile::oxfw911(), 1);
    let tags = [0, 1, 2].map(|index| world.submit(cut_off, write(index * 1000, 1, false)));
    world.wait(Duration::from_micros(500));
    let node = world.node(cut_off);
    world.bus.detach(node, world.now);
    world.wait(Duration::from_secs(10));
    assert_eq!(world.query_logins(other).expect("it tells").active, 1);
    for index in 0..3 {
        world.write(other, index * 1000, pattern(100 << 10, 2));
    }
    for tag in tags {
        let Err(RequestError::Command { error, .. }) = world.finish(cut_off, tag) else {
            panic!("it cannot have been written");
        };
        assert!(matches!(error, CommandError::LoginLost(_)), "{error}");
    }
    world.bus.reattach(node, world.now);
    world.wait_for(cut_off, |notice| {
        matches!(notice, Notice::Ready { login, .. } if login.again).then_some(())
    });
    world.wait(Duration::from_secs(60));
    for index in 0..3 {
        let read = world.read(cut_off, index * 1000, 200);
        assert_eq!(read, pattern(100 << 10, 2));
    }
    assert_eq!(world.query_logins(other).expect("it tells").active, 2);
}

/// A bridge, and a disk behind it whose cache does not survive a loss of power.
fn with_cache(profile: &BridgeProfile) -> (World, HostIndex, Arc<Mutex<MemoryMedium>>) {
    let medium = MemoryMedium::new(512, 16384).expect("a medium of 8 MiB");
    let stable = Arc::new(Mutex::new(medium));
    let medium = Box::new(CachedMedium::new(&stable));
    let mut world = World::with_medium(profile.clone(), medium, Timing::Wire);
    let host = world.add_host(|_| {});
    world.login(host).expect("a shared login");
    (world, host, stable)
}

fn power_cycle(world: &mut World, profile: &BridgeProfile, stable: &Arc<Mutex<MemoryMedium>>) {
    let medium = Box::new(CachedMedium::new(stable));
    world.replace_bridge(profile.clone(), medium);
}

#[test]
fn what_a_loss_of_power_has_taken_fails_the_next_flush() {
    let profile = BridgeProfile::oxfw911();
    let (mut world, host, stable) = with_cache(&profile);
    world.write(host, 0, pattern(512, 1));
    assert_eq!(world.perform(host, Request::Flush), Ok(vec![]));
    world.write(host, 0, pattern(512, 2));
    power_cycle(&mut world, &profile, &stable);
    assert_eq!(
        world.read(host, 0, 1),
        pattern(512, 1),
        "it was in the cache"
    );
    assert_eq!(world.perform(host, Request::Flush), Err(LOST));
    world.write(host, 0, pattern(512, 2));
    assert_eq!(world.perform(host, Request::Flush), Ok(vec![]));
    power_cycle(&mut world, &profile, &stable);
    assert_eq!(world.read(host, 0, 1), pattern(512, 2));
    assert_eq!(world.perform(host, Request::Flush), Ok(vec![]));
}

/// The power goes at any moment of a write. If it is reported as done with FUA, it is there.
#[test]
fn what_was_forced_to_the_medium_survives_a_loss_of_power() {
    for profile in [BridgeProfile::oxfw911(), BridgeProfile::generic()] {
        let (mut done, mut doubted) = (0, 0);
        for step in 0..60 {
            let (mut world, host, stable) = with_cache(&profile);
            let tag = world.submit(host, write(100, step, true));
            world.wait(Duration::from_micros(step * 60));
            power_cycle(&mut world, &profile, &stable);
            match world.finish(host, tag) {
                Ok(_) => {
                    done += 1;
                    power_cycle(&mut world, &profile, &stable);
                    let read = world.read(host, 100, 200);
                    assert!(read == pattern(100 << 10, step), "step {step}");
                }
                Err(error) => {
                    assert_eq!(error, LOST, "step {step}");
                    doubted += 1;
                }
            }
        }
        println!("{}: {done} done, {doubted} doubted", profile.name);
        assert!(done > 0);
    }
}
