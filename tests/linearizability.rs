//! Two hosts read and write the same few blocks at the same time. What they see has to be what one
//! register for each block could have shown them.

use std::time::Duration;

use fwshare_tests::history::{Seen, check};
use fwshare_tests::world::World;
use fwshare_tests::{Random, seeds};
use ohci_raw::sim::{RandomFaults, Timing};
use sbp2::disk::{Notice, Request, RequestTag};
use sbp2::scsi::MemoryMedium;
use sbp2::target::BridgeProfile;

const BLOCKS: u64 = 3;

/// One history for each block.
fn histories(depth: u8, seed: u64, faults: Option<RandomFaults>, resets: bool) -> Vec<Vec<Seen>> {
    let medium = MemoryMedium::new(512, 64).expect("a medium");
    let profile = match seed % 3 {
        0 => BridgeProfile::generic(),
        _ => BridgeProfile::oxfw911(),
    };
    let mut world = World::with_medium(profile, Box::new(medium), Timing::Wire);
    let hosts = [0, 1].map(|_| world.add_host(|config| config.depth = depth));
    for host in hosts {
        world.login(host).expect("a shared login");
    }
    if let Some(faults) = faults {
        world.bus.set_fault(Some(Box::new(faults)));
    }
    let mut random = Random::new(seed);
    let mut histories = vec![Vec::new(); BLOCKS as usize];
    let mut under_way: [Vec<(RequestTag, usize, usize, bool)>; 2] = Default::default();
    let end = world.now + Duration::from_secs(3000);
    let mut begun = 0;
    while begun < 60 || under_way.iter().any(|it| !it.is_empty()) {
        for host in hosts {
            while begun < 60 && under_way[host.0].len() < 3 {
                begun += 1;
                let block = random.below(BLOCKS) as usize;
                let is_write = random.below(2) == 0;
                let lba = block as u64;
                let request = if is_write {
                    let value = begun as u64;
                    histories[block].push(Seen::Write(begun, value));
                    let data = value.to_le_bytes().repeat(64);
                    let fua = false;
                    Request::Write { lba, data, fua }
                } else {
                    histories[block].push(Seen::Read(begun));
                    Request::Read { lba, blocks: 1 }
                };
                let tag = world.submit(host, request);
                under_way[host.0].push((tag, begun, block, is_write));
            }
        }
        assert!(world.step(end), "seed {seed}: a request does not end");
        world.run_quiet();
        if resets && random.below(40) == 0 {
            world.reset();
        }
        for host in hosts {
            for notice in world.notices(host) {
                let Notice::Completed { tag, result } = notice else {
                    continue;
                };
                let list = &mut under_way[host.0];
                let index = list.iter().position(|it| it.0 == tag);
                let (_, id, block, is_write) = list.swap_remove(index.expect("it ends once"));
                histories[block].extend(match result {
                    Ok(_) if is_write => Some(Seen::Written(id)),
                    Err(_) if is_write => Some(Seen::Failed(id)),
                    Ok(data) => {
                        let value: [u8; 8] = data[..8].try_into().expect("a block");
                        assert_eq!(data, value.repeat(64), "seed {seed}: a torn block");
                        Some(Seen::Got(id, u64::from_le_bytes(value)))
                    }
                    Err(_) => None,
                });
            }
        }
    }
    histories
}

fn judge(depth: u8, seed: u64, faults: Option<RandomFaults>, resets: bool, repeated: bool) {
    for (block, history) in histories(depth, seed, faults, resets).iter().enumerate() {
        if let Err(events) = check(history, repeated) {
            panic!(
                "depth {depth}, seed {seed}, block {block}: impossible after {:?}",
                &history[..events]
            );
        }
    }
}

#[test]
fn on_a_sound_bus_every_block_is_a_register() {
    for seed in seeds(40) {
        for depth in [1, 8] {
            judge(depth, seed, None, false, false);
        }
    }
}

/// A command that was interrupted is issued again, so a write may take effect twice. It never does
/// so after it has ended.
#[test]
fn bus_resets_bring_no_old_data_back() {
    for seed in seeds(60) {
        for depth in [1, 8] {
            judge(depth, seed, None, true, true);
        }
    }
}

#[test]
fn faults_bring_no_old_data_back() {
    for seed in seeds(60) {
        for depth in [1, 8] {
            let faults = RandomFaults {
                seed,
                lose: 5000,
                lose_ack: 10_000,
                ignore: 5000,
                busy: 10_000,
                duplicate: 30_000,
                delay: 30_000,
                longest_delay: Duration::from_millis(500),
            };
            judge(depth, seed, Some(faults), seed % 2 == 0, true);
        }
    }
}
