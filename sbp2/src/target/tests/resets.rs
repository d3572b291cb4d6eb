use super::lab::{DATA, Lab, orb_at, read_10, write_10};
use crate::target::BridgeProfile;
use crate::wire::{
    AgentRegister, AgentState, CommandOrb, Direction, Function, ManagementOrb, Sbp2Status,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use ohci_raw::bus::{BusReset, Event, Machine, Operation, RCode, csr};

fn reconnect(lab: &mut Lab, host: usize) -> Sbp2Status {
    lab.for_own_login(host, Function::RECONNECT).sbp_status()
}

#[test]
fn a_bus_reset_takes_every_orb_away_without_a_word_and_the_login_waits() {
    let mut lab = Lab::logged_in(2);
    let before = lab.disk.read(0, 64);
    lab.hold = Some(Box::new(|sent| sent.address.get() >= DATA));
    for host in 0..2 {
        let orb = lab.orb(host, &write_10(0, 64), Some((Direction::ToTarget, 32768)));
        lab.submit(host, 0, &orb);
    }
    lab.reset_bus();
    lab.hold = None;
    assert_eq!(lab.bridge.counters().aborted_orbs(), 2);
    for host in 0..2 {
        assert_eq!(
            lab.write_orb_pointer(host, orb_at(0)),
            RCode::TYPE_ERROR,
            "not before it has reconnected"
        );
        assert_eq!(reconnect(&mut lab, host), Sbp2Status::OK);
        assert_eq!(lab.agent_state(host), AgentState::Reset);
        let orb = lab.orb(host, &read_10(0, 1), Some((Direction::FromTarget, 512)));
        assert_eq!(lab.execute(host, &orb).status, 0);
    }
    assert_eq!(lab.disk.read(0, 64), before);
}

#[test]
fn a_reconnect_in_time_keeps_the_place_and_a_late_one_finds_it_gone() {
    let mut lab = Lab::logged_in(2);
    let reset = lab.now;
    lab.reset_bus();
    let just_before = reset + Duration::from_millis(4_999);
    lab.advance_to(just_before);
    assert_eq!(reconnect(&mut lab, 0), Sbp2Status::OK);
    lab.advance_to(reset + Duration::from_secs(5));
    assert_eq!(reconnect(&mut lab, 1), Sbp2Status::ACCESS_DENIED);
    assert_eq!(lab.bridge.counters().logins_expired(), 1);
    assert_eq!(lab.log_in(1, false).status, 0);
}

#[test]
fn another_reset_starts_the_time_anew() {
    let mut lab = Lab::logged_in(1);
    lab.reset_bus();
    lab.advance_to(lab.now + Duration::from_secs(4));
    lab.reset_bus();
    lab.advance_to(lab.now + Duration::from_secs(4));
    assert_eq!(reconnect(&mut lab, 0), Sbp2Status::OK);
}

#[test]
fn nobody_reconnects_to_the_login_of_another() {
    let mut lab = Lab::logged_in(2);
    lab.reset_bus();
    let orb = ManagementOrb::for_login(Function::RECONNECT, lab.login_id(0), lab.fifo(1));
    assert_eq!(lab.manage(1, &orb).sbp_status(), Sbp2Status::ACCESS_DENIED);
    assert_eq!(reconnect(&mut lab, 0), Sbp2Status::OK);
    let status = lab.for_own_login(0, Function::LOGOUT).sbp_status();
    assert_eq!(status, Sbp2Status::OK);
}

#[test]
fn a_held_login_keeps_exclusive_newcomers_out_and_counts_against_the_room() {
    let mut profile = BridgeProfile::generic();
    profile.max_logins = 2;
    let mut lab = Lab::with(3, profile);
    lab.log_in(0, false);
    lab.log_in(1, false);
    lab.reset_bus();
    let refused = lab.log_in(2, true).sbp_status();
    assert_eq!(refused, Sbp2Status::ACCESS_DENIED);
    let refused = lab.log_in(2, false).sbp_status();
    assert_eq!(refused, Sbp2Status::RESOURCES_UNAVAILABLE);
    lab.advance_to(lab.now + Duration::from_secs(5));
    assert_eq!(lab.log_in(2, true).sbp_status(), Sbp2Status::OK);
}

#[test]
fn logout_needs_a_reconnect_first() {
    let mut lab = Lab::logged_in(1);
    lab.reset_bus();
    let status = lab.for_own_login(0, Function::LOGOUT).sbp_status();
    assert_eq!(status, Sbp2Status::ACCESS_DENIED);
}

#[test]
fn a_reset_amid_a_login_leaves_nothing_behind_at_whatever_step_it_comes() {
    let mut profile = BridgeProfile::generic();
    profile.max_logins = 1;
    for step in 0..5 {
        let mut lab = Lab::with(1, profile.clone());
        let mut count = 0;
        lab.hold = Some(Box::new(move |_| {
            count += 1;
            count > step
        }));
        let orb = lab.login_orb(0, true);
        lab.start_management(0, &orb);
        assert_eq!(lab.held.len(), 1, "step {step}");
        lab.reset_bus();
        lab.hold = None;
        lab.hosts[0].status.clear();
        assert_eq!(
            lab.log_in(0, true).sbp_status(),
            Sbp2Status::OK,
            "step {step}"
        );
    }
}

#[test]
fn the_same_generation_told_again_changes_nothing() {
    let mut lab = Lab::logged_in(1);
    let reset = BusReset {
        generation: lab.generation,
        local: ohci_raw::bus::NodeId::local(0),
        peers: Vec::new(),
    };
    lab.bridge.handle(Event::BusReset(reset), lab.now);
    let orb = CommandOrb::new([0; 16]);
    assert_eq!(lab.execute(0, &orb).status, 0);
    assert_eq!(lab.bridge.counters().bus_resets(), 1);
}

#[test]
fn a_response_of_an_old_generation_changes_nothing() {
    let mut lab = Lab::logged_in(1);
    lab.hold = Some(Box::new(|_| true));
    let orb = CommandOrb::new([0; 16]);
    lab.submit(0, 0, &orb);
    let token = lab.held[0].token;
    lab.sent.clear();
    for rcode in [RCode::GENERATION, RCode::COMPLETE] {
        let data = Vec::new();
        lab.bridge
            .handle(Event::Response { token, rcode, data }, lab.now);
        lab.run();
        assert!(
            lab.sent.is_empty(),
            "nothing is sent into the old generation"
        );
    }
    lab.reset_bus();
    lab.hold = None;
    assert_eq!(reconnect(&mut lab, 0), Sbp2Status::OK);
    assert_eq!(lab.execute(0, &orb).status, 0);
}

#[test]
fn reset_start_ends_all_logins_and_a_management_orb_under_way() {
    let mut lab = Lab::logged_in(2);
    lab.hold = Some(Box::new(|_| true));
    let orb = lab.login_orb(0, false);
    lab.start_management(0, &orb);
    assert_eq!(lab.start_management(1, &orb), RCode::CONFLICT_ERROR);
    let data = [0, 0, 0, 0xf];
    let written = lab.request(1, csr::RESET_START, Operation::WriteQuadlet { data });
    assert_eq!(written.rcode, RCode::COMPLETE);
    lab.release();
    assert!(lab.hosts[0].status.is_empty());
    let agent = lab.register(1, AgentRegister::AgentState);
    let gone = lab.request(1, agent, Operation::ReadQuadlet).rcode;
    assert_eq!(gone, RCode::ADDRESS_ERROR);
    assert_eq!(lab.log_in(1, true).sbp_status(), Sbp2Status::OK);
}

#[test]
fn busy_and_split_timeout_keep_what_is_written() {
    let mut lab = Lab::logged_in(1);
    let data = [0, 0x0c, 0x80, 0x0f];
    let low = ohci_raw::bus::Address::new(csr::SPLIT_TIMEOUT.get() + 4);
    for address in [csr::BUSY_TIMEOUT, csr::SPLIT_TIMEOUT, low] {
        let written = lab.request(0, address, Operation::WriteQuadlet { data });
        assert_eq!(written.rcode, RCode::COMPLETE);
        assert_eq!(lab.request(0, address, Operation::ReadQuadlet).data, data);
    }
    let refused = lab.request(0, csr::RESET_START, Operation::ReadQuadlet);
    assert_eq!(refused.rcode, RCode::TYPE_ERROR);
}

#[test]
fn a_reconnect_is_heard_of_a_host_that_opens_its_memory_a_moment_later() {
    let mut lab = Lab::logged_in(1);
    lab.reset_bus();
    let mut refusals = 3;
    lab.judge = Some(Box::new(move |transaction| {
        let is_orb = matches!(transaction.operation, Operation::ReadBlock { length: 32 });
        let is_refused = is_orb && refusals > 0;
        refusals -= i32::from(is_refused);
        is_refused.then_some(RCode::TYPE_ERROR)
    }));
    let orb = ManagementOrb::for_login(Function::RECONNECT, lab.login_id(0), lab.fifo(0));
    assert_eq!(lab.start_management(0, &orb), RCode::COMPLETE);
    lab.advance_to(lab.now + Duration::from_millis(10));
    assert!(lab.bridge.logins()[0].connected);
}
