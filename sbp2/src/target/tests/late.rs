//! A bridge that is a program on a host, and does not run for longer than others wait for an answer.

use core::time::Duration;

use ohci_raw::bus::RCode;
use ohci_raw::sim::{Bus, SPLIT_TIMEOUT, Timing};
use zerocopy::IntoBytes;

use super::virtual_bus::{Host, ORB, beside, orb_pointer};
use crate::target::BridgeProfile;
use crate::wire::CommandOrb;

const LATE: Duration = SPLIT_TIMEOUT.saturating_add(Duration::from_secs(1));

/// A bridge as a program, with its command block agents where writes are posted, or else behind
/// the management agent.
fn served(posted: bool) -> Host {
    let bus = Bus::new(Timing::Immediate);
    beside(bus, BridgeProfile::generic(), |bus, config, mut bridge| {
        let node = bus.attach_host(config, bus.now());
        if posted {
            let management = bridge.management_agent().unwrap();
            bus.claim(node, management).unwrap();
            let agents = bus.allocate(node, bridge.agents_length()).unwrap();
            bridge.place_agents(agents).unwrap();
        } else {
            let first = bridge.management_agent().unwrap();
            let claims = bridge.claims();
            for claim in claims.iter().filter(|claim| claim.start() >= first.start()) {
                bus.claim(node, *claim).unwrap();
            }
        }
        (node, Some(bridge))
    })
}

/// Writes ORB_POINTER while the program stands still, and lets it go on when it is too late.
/// What the host has heard by then.
fn write_and_stand_still(host: &mut Host) -> Option<RCode> {
    host.run();
    let agent = orb_pointer(&host.log_in());
    host.carry_out(agent, CommandOrb::new([0; 16]).as_bytes());
    let program = host.program.take();
    host.poke(ORB, CommandOrb::new([0; 16]).as_bytes());
    let to = host.at(ORB);
    host.write_pointer(agent, to);
    host.run_until(host.now + LATE);
    let heard = host.responses.pop();
    assert!(host.status.is_empty());
    host.program = program;
    host.run();
    heard
}

#[test]
fn the_host_has_no_doubt_of_an_orb_when_the_bridge_is_late() {
    let mut host = served(true);
    assert_eq!(write_and_stand_still(&mut host), Some(RCode::COMPLETE));
    assert_eq!(host.status.len(), 1);
    assert_eq!(host.counters.commands(), 2);
    assert_eq!(host.bus.counters().split_timeouts, 0);
}

/// What [`Bridge::place_agents`](crate::target::Bridge::place_agents) is for.
#[test]
fn elsewhere_an_orb_is_carried_out_that_the_host_believes_never_began() {
    let mut host = served(false);
    assert_eq!(write_and_stand_still(&mut host), Some(RCode::CANCELLED));
    assert_eq!(host.status.len(), 1);
}
