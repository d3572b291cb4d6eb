//! `serialize_io`: the target counts how many ORBs each login has outstanding.

use fwshare_tests::pattern;
use fwshare_tests::world::World;
use sbp2::disk::Request;
use sbp2::target::BridgeProfile;

fn most_outstanding(depth: u8) -> usize {
    let mut world = World::new(BridgeProfile::oxfw911());
    let host = world.add_host(|config| config.depth = depth);
    world.login(host).expect("a login");
    let mut tags = Vec::new();
    for index in 0..16 {
        let data = pattern(256 << 10, index);
        let lba = index * 512;
        tags.push(world.submit(
            host,
            Request::Write {
                lba,
                data,
                fua: false,
            },
        ));
        tags.push(world.submit(host, Request::Read { lba, blocks: 512 }));
        tags.push(world.submit(host, Request::Flush));
    }
    for tag in tags {
        world.finish(host, tag).expect("it ends well");
    }
    world.counters.max_outstanding()
}

#[test]
fn serialised_operation_has_never_more_than_one_orb_outstanding() {
    assert_eq!(most_outstanding(1), 1);
}

#[test]
fn otherwise_there_are_more_up_to_the_depth() {
    let most = most_outstanding(8);
    assert!((2..=8).contains(&most), "{most}");
}
