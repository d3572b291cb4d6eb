//! A bridge that is a program on a host, and does not run for longer than others wait for an answer.

use core::time::Duration;

use ohci_raw::bus::{Machine, RCode};
use ohci_raw::sim::{Bus, SPLIT_TIMEOUT, Timing};
use zerocopy::IntoBytes;

use super::virtual_bus::{Host, ORB, beside, do_actions, orb_pointer};
use crate::target::{Bridge, BridgeProfile};
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

/// Asks for a login while the program stands still until it is too late, and lets it go on; whether
/// it is told so first.
fn log_in_and_stand_still(host: &mut Host, is_told: bool) {
    host.run();
    let program = host.program.take();
    host.ask_for_login();
    host.run_until(host.now + LATE);
    assert_eq!(host.responses.pop(), Some(RCode::CANCELLED));
    host.program = program;
    let bridge = host.program.as_mut().unwrap();
    if is_told {
        bridge.stood_still();
    }
    host.run();
    host.program.as_mut().unwrap().caught_up();
}

#[test]
fn a_login_that_was_given_up_is_not_answered() {
    let mut host = served(true);
    let memory = host.login_response();
    log_in_and_stand_still(&mut host, true);
    assert_eq!(host.login_response(), memory);
    assert!(host.status.is_empty());
    assert_eq!(host.counters.logins_refused(), 1);
    assert!(host.program.as_ref().unwrap().logins().is_empty());
    // The next one is.
    let agent = orb_pointer(&host.log_in());
    host.carry_out(agent, CommandOrb::new([0; 16]).as_bytes());
}

/// What [`Bridge::stood_still`](crate::target::Bridge::stood_still) is for.
#[test]
fn untold_the_bridge_writes_to_memory_that_may_be_somebody_elses() {
    let mut host = served(true);
    let memory = host.login_response();
    log_in_and_stand_still(&mut host, false);
    assert_ne!(host.login_response(), memory);
}

/// Hands in so many events. What the last one leads to is not done.
fn hand_in(host: &mut Host, bridge: &mut Bridge, events: usize) {
    for left in (0..events).rev() {
        let event = host.next_for_program().expect("the next step");
        bridge.handle(event, host.now);
        if left > 0 {
            do_actions(&mut host.bus, host.bridge, bridge, host.now);
        }
    }
}

/// However far a LOGIN has got: the bridge knows what comes next, and has not done it yet.
#[test]
fn of_a_login_under_way_no_more_is_done_than_has_left_the_bridge() {
    // The write of the management agent, the ORB, both halves of the EUI-64.
    const BEFORE_THE_ANSWER: usize = 4;
    for done in 0..=BEFORE_THE_ANSWER {
        let mut host = served(true);
        host.run();
        let memory = host.login_response();
        let mut bridge = host.program.take().unwrap();
        host.ask_for_login();
        hand_in(&mut host, &mut bridge, done + 1);
        bridge.stood_still();
        host.program = Some(bridge);
        // It goes on by what it wanted to do.
        let (bus, now) = (&mut host.bus, host.now);
        do_actions(bus, host.bridge, host.program.as_mut().unwrap(), now);
        host.run();
        let is_answered = host.login_response() != memory;
        assert_eq!(is_answered, done == BEFORE_THE_ANSWER, "after {done}");
        assert!(host.status.is_empty(), "after {done}");
        assert!(host.program.as_ref().unwrap().logins().is_empty());
    }
}

/// The medium was slow; meanwhile the host has given its command up, and put another in its place.
#[test]
fn the_status_of_an_orb_that_was_given_up_is_not_written() {
    let mut host = served(true);
    host.run();
    let agent = orb_pointer(&host.log_in());
    host.carry_out(agent, CommandOrb::new([0; 16]).as_bytes());
    let mut bridge = host.program.take().unwrap();
    host.poke(ORB, CommandOrb::new([0; 16]).as_bytes());
    let to = host.at(ORB);
    host.write_pointer(agent, to);
    // The pointer, and the ORB: now it has been carried out.
    hand_in(&mut host, &mut bridge, 2);
    assert_eq!(host.counters.commands(), 2);
    host.reset_agent(agent);
    hand_in(&mut host, &mut bridge, 1);
    host.program = Some(bridge);
    host.run();
    assert!(host.status.is_empty());
    host.carry_out(agent, CommandOrb::new([0; 16]).as_bytes());
}
