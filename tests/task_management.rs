//! LOGICAL UNIT RESET and TARGET RESET while hosts write: what they abort is done again, and
//! nothing is reported as done that was not.

use std::time::Duration;

use fwshare_tests::world::{HostIndex, World};
use fwshare_tests::{Random, Workers, pattern, seeds};
use sbp2::disk::{Notice, Request, RequestError};
use sbp2::initiator::ManagementError;
use sbp2::target::BridgeProfile;
use sbp2::wire::Function;

const PATIENCE: Duration = Duration::from_secs(600);

fn answer(world: &mut World, host: HostIndex, function: Function) -> Result<(), ManagementError> {
    let now = world.now;
    world.disk(host).task_management(function, now);
    world.wait_for(host, |notice| match notice {
        Notice::TaskManagement { result, .. } => Some(result.clone()),
        _ => None,
    })
}

/// Hosts write and read back while one of them, now and then, resets the logical unit. Gives the
/// requests that failed, and how many resets the bridge has carried out.
fn work_through(function: Function, depth: u8, seed: u64) -> (Vec<RequestError>, usize) {
    let (mut world, hosts) = World::of_two_hosts(BridgeProfile::oxfw911(), depth);
    let mut workers = Workers::new(&hosts, 8, seed);
    let mut random = Random::new(seed);
    let mut asked = 0;
    workers.work(&mut world, 200, PATIENCE, |world| {
        if asked < 20 && random.below(2000) == 0 {
            asked += 1;
            let host = hosts[random.below(2) as usize];
            let now = world.now;
            world.disk(host).task_management(function, now);
        }
    });
    assert!(asked >= 5, "{asked}");
    let tally = workers.tally();
    let carried_out = |notice: &&Notice| matches!(notice, Notice::TaskManagement { result: Ok(()), function: own } if *own == function);
    let done = tally.notices.iter().filter(carried_out).count();
    (tally.failed.clone(), done)
}

#[test]
fn a_logical_unit_reset_amid_writes_of_two_hosts_fails_and_loses_nothing() {
    for depth in [1, 8] {
        for seed in seeds(3) {
            let (failed, done) = work_through(Function::LOGICAL_UNIT_RESET, depth, seed);
            assert_eq!(failed, [], "depth {depth}, seed {seed}");
            assert!(done >= 5, "{done}");
        }
    }
}

/// A write that had to be on the medium may have been in a cache that went with the login.
#[test]
fn a_target_reset_amid_writes_of_two_hosts_loses_no_byte() {
    for depth in [1, 8] {
        for seed in seeds(3) {
            let (failed, done) = work_through(Function::TARGET_RESET, depth, seed);
            let lost = RequestError::WritesMayBeLost { deferred: false };
            let others: Vec<_> = failed.iter().filter(|error| **error != lost).collect();
            assert!(others.is_empty(), "depth {depth}, seed {seed}: {others:?}");
            assert!(done >= 1, "{done}");
        }
    }
}

#[test]
fn a_target_reset_ends_all_logins_and_both_hosts_come_back() {
    let (mut world, [a, b]) = World::of_two_hosts(BridgeProfile::oxfw911(), 1);
    world.write(a, 0, pattern(4096, 1));
    world.perform(a, Request::Flush).expect("a flush");
    assert_eq!(answer(&mut world, a, Function::TARGET_RESET), Ok(()));
    assert_eq!(world.read(a, 0, 8), pattern(4096, 1));
    assert_eq!(world.read(b, 0, 8), pattern(4096, 1));
    for host in [a, b] {
        let again = |notice: &Notice| matches!(notice, Notice::Ready { login, .. } if login.again);
        assert!(world.notices(host).iter().any(again), "{host:?}");
        world
            .perform(host, Request::Flush)
            .expect("nothing is open");
    }
}

#[test]
fn writes_that_were_not_flushed_before_a_target_reset_are_told_of() {
    let (mut world, [a, _]) = World::of_two_hosts(BridgeProfile::oxfw911(), 1);
    world.write(a, 0, pattern(4096, 1));
    assert_eq!(answer(&mut world, a, Function::TARGET_RESET), Ok(()));
    let lost = RequestError::WritesMayBeLost { deferred: false };
    assert_eq!(world.perform(a, Request::Flush), Err(lost));
    assert_eq!(world.perform(a, Request::Flush), Ok(Vec::new()));
}
