use super::lab::{DATA, Lab, orb_at, pattern, read_10, write_10};
use crate::target::BridgeProfile;
use crate::wire::{
    AgentRegister, AgentState, Direction, Pointer, Resp, StatusSource, TransportObject,
};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use ohci_raw::bus::{Address, Operation, RCode};
use zerocopy::IntoBytes;

const TEST_UNIT_READY: [u8; 6] = [0; 6];

#[test]
fn a_list_is_executed_in_order_and_each_orb_is_told_of_once() {
    let mut lab = Lab::logged_in(1);
    let orb = lab.orb(0, &TEST_UNIT_READY, None);
    lab.link(0, &[orb; 40]);
    lab.write_orb_pointer(0, orb_at(0));
    let told: Vec<Address> = lab.hosts[0]
        .status
        .iter()
        .map(|status| status.orb)
        .collect();
    assert_eq!(told, (0..40).map(orb_at).collect::<Vec<_>>());
    let sources: Vec<_> = lab.hosts[0]
        .status
        .iter()
        .map(|status| status.source())
        .collect();
    assert!(
        sources[..39]
            .iter()
            .all(|source| *source == StatusSource::OrbNextNotNull)
    );
    assert_eq!(sources[39], StatusSource::OrbNextNull);
    assert_eq!(lab.agent_state(0), AgentState::Suspended);
}

#[test]
fn one_orb_at_a_time_is_never_more_than_one_outstanding_and_a_list_is_more() {
    let mut lab = Lab::logged_in(2);
    let orb = lab.orb(0, &read_10(0, 64), Some((Direction::FromTarget, 32768)));
    for _ in 0..10 {
        assert_eq!(lab.execute(0, &orb).status, 0);
    }
    let list = [lab.orb(1, &read_10(0, 64), Some((Direction::FromTarget, 32768))); 6];
    lab.link(1, &list);
    lab.write_orb_pointer(1, orb_at(0));
    assert_eq!(lab.hosts[1].status.len(), 6);
    let counters = lab.bridge.counters();
    assert_eq!(counters.max_outstanding_of(lab.login_id(0)), Some(1));
    assert!(counters.max_outstanding_of(lab.login_id(1)).unwrap() > 1);
    assert_eq!(counters.outstanding_of(lab.login_id(1)), Some(0));
}

#[test]
fn no_more_is_fetched_ahead_than_the_profile_says() {
    let mut profile = BridgeProfile::generic();
    profile.fetch_ahead = 3;
    let mut lab = Lab::logged_in_with(1, profile);
    let orb = lab.orb(0, &read_10(0, 1), Some((Direction::FromTarget, 512)));
    lab.link(0, &[orb; 20]);
    lab.hold = Some(Box::new(|sent| sent.address.get() >= DATA));
    lab.write_orb_pointer(0, orb_at(0));
    let fetched = lab
        .sent
        .iter()
        .filter(|sent| sent.address < Address::new(DATA));
    assert_eq!(fetched.count(), 4, "three queued and one executing");
    lab.release();
    assert_eq!(lab.hosts[0].status.len(), 20);
}

#[test]
fn logins_take_turns() {
    let mut lab = Lab::logged_in(2);
    for host in 0..2 {
        let orb = lab.orb(host, &read_10(0, 1), Some((Direction::FromTarget, 512)));
        lab.link(host, &[orb; 3]);
    }
    lab.hold = Some(Box::new(|sent| sent.address.get() >= DATA));
    lab.write_orb_pointer(0, orb_at(0));
    lab.write_orb_pointer(1, orb_at(0));
    lab.sent.clear();
    lab.release();
    let order: Vec<_> = lab
        .sent
        .iter()
        .filter(|sent| matches!(&sent.operation, Operation::WriteBlock { data } if data.len() == 8))
        .map(|sent| sent.destination)
        .collect();
    let [a, b] = [0, 1].map(|host: usize| lab.hosts[host].node);
    assert_eq!(order, [a, b, a, b, a, b]);
}

#[test]
fn a_list_that_grows_is_followed_after_the_doorbell() {
    let mut lab = Lab::logged_in(1);
    let orb = lab.orb(0, &TEST_UNIT_READY, None);
    lab.execute(0, &orb);
    lab.hosts[0].poke(orb_at(1).get(), orb.as_bytes());
    lab.hosts[0].poke(orb_at(0).get(), Pointer::next_orb(orb_at(1)).as_bytes());
    assert_eq!(lab.agent_state(0), AgentState::Suspended);
    assert_eq!(
        lab.write_quadlet(0, AgentRegister::Doorbell),
        RCode::COMPLETE
    );
    assert_eq!(lab.hosts[0].status.pop_front().unwrap().orb, orb_at(1));
    assert_eq!(lab.agent_state(0), AgentState::Suspended);
    // For nothing.
    assert_eq!(
        lab.write_quadlet(0, AgentRegister::Doorbell),
        RCode::COMPLETE
    );
    assert!(lab.hosts[0].status.is_empty());
    assert_eq!(lab.agent_state(0), AgentState::Suspended);
}

#[test]
fn a_pointer_while_active_or_dead_is_a_conflict_and_a_reset_cures() {
    let mut lab = Lab::logged_in(1);
    assert_eq!(lab.agent_state(0), AgentState::Suspended);
    let orb = lab.orb(0, &TEST_UNIT_READY, None);
    lab.hosts[0].poke(orb_at(0).get(), orb.as_bytes());
    lab.hold = Some(Box::new(|_| true));
    assert_eq!(lab.write_orb_pointer(0, orb_at(0)), RCode::COMPLETE);
    assert_eq!(lab.agent_state(0), AgentState::Active);
    assert_eq!(lab.write_orb_pointer(0, orb_at(0)), RCode::CONFLICT_ERROR);
    lab.release();
    assert_eq!(lab.hosts[0].status.len(), 1);
    lab.hosts[0].status.clear();

    // Nothing is at this address.
    assert_eq!(
        lab.write_orb_pointer(0, Address::new(0x4000)),
        RCode::COMPLETE
    );
    let status = lab.hosts[0].status.pop_front().unwrap();
    assert_eq!(status.resp(), Resp::TransportFailure);
    assert_eq!(status.serial_bus_error().unwrap().0, TransportObject::Orb);
    assert!(status.dead());
    assert_eq!(lab.agent_state(0), AgentState::Dead);
    assert_eq!(lab.write_orb_pointer(0, orb_at(0)), RCode::CONFLICT_ERROR);
    assert_eq!(
        lab.write_quadlet(0, AgentRegister::Doorbell),
        RCode::COMPLETE
    );
    assert_eq!(lab.agent_state(0), AgentState::Dead);
    assert_eq!(
        lab.write_quadlet(0, AgentRegister::AgentReset),
        RCode::COMPLETE
    );
    assert_eq!(lab.agent_state(0), AgentState::Reset);
    assert_eq!(lab.execute(0, &orb).status, 0);
}

#[test]
fn the_orbs_behind_one_that_killed_the_agent_are_not_executed() {
    let mut lab = Lab::logged_in(1);
    let mut bad = lab.orb(0, &write_10(0, 1), Some((Direction::ToTarget, 512)));
    bad.data_descriptor = Pointer::new(lab.hosts[0].node, Address::new(0x4000));
    let good = lab.orb(0, &write_10(8, 1), Some((Direction::ToTarget, 512)));
    lab.link(0, &[bad, good, good]);
    lab.write_orb_pointer(0, orb_at(0));
    assert_eq!(lab.hosts[0].status.len(), 1);
    assert!(lab.hosts[0].status[0].dead());
    assert_eq!(lab.disk.writes(), 0);
    assert_eq!(lab.agent_state(0), AgentState::Dead);
}

#[test]
fn an_agent_reset_takes_away_the_command_under_way_and_what_comes_late_is_ignored() {
    let mut lab = Lab::logged_in(1);
    let before = lab.disk.read(0, 128);
    lab.hosts[0].poke(DATA, &pattern(8, 0x8000));
    let orb = lab.orb(0, &write_10(0, 64), Some((Direction::ToTarget, 0x8000)));
    lab.hold = Some(Box::new(|sent| sent.address.get() >= DATA));
    lab.link(0, &[orb, orb]);
    lab.write_orb_pointer(0, orb_at(0));
    assert!(!lab.held.is_empty());
    assert_eq!(
        lab.write_quadlet(0, AgentRegister::AgentReset),
        RCode::COMPLETE
    );
    lab.release();
    assert!(lab.hosts[0].status.is_empty());
    assert_eq!(lab.disk.read(0, 128), before);
    assert_eq!(lab.bridge.counters().aborted_orbs(), 2);
    assert_eq!(lab.agent_state(0), AgentState::Reset);
}

#[test]
fn a_late_response_to_an_old_command_is_not_taken_for_one_to_a_new_command() {
    let mut lab = Lab::logged_in(1);
    lab.hosts[0].poke(DATA, &[0xaa; 512]);
    lab.hosts[0].poke(DATA + 512, &[0xbb; 512]);
    lab.hold = Some(Box::new(|sent| sent.address.get() >= DATA));
    let old = lab.orb(0, &write_10(0, 1), Some((Direction::ToTarget, 512)));
    lab.submit(0, 0, &old);
    lab.write_quadlet(0, AgentRegister::AgentReset);
    let mut new = lab.orb(0, &write_10(0, 1), Some((Direction::ToTarget, 512)));
    new.data_descriptor = Pointer::new(lab.hosts[0].node, Address::new(DATA + 512));
    lab.submit(0, 1, &new);
    assert_eq!(lab.held.len(), 2);
    lab.release();
    assert_eq!(lab.disk.read(0, 1), [0xbb; 512]);
    assert_eq!(lab.hosts[0].status.len(), 1);
}

#[test]
fn a_status_block_that_met_a_busy_host_is_not_repeated_after_an_agent_reset() {
    let mut lab = Lab::logged_in(1);
    let fifo = lab.fifo(0).address();
    let orb = lab.orb(0, &TEST_UNIT_READY, None);
    for reset in [false, true] {
        lab.judge = Some(Box::new(move |sent| {
            (sent.address == fifo).then_some(RCode::BUSY)
        }));
        lab.submit(0, 0, &orb);
        if reset {
            lab.write_quadlet(0, AgentRegister::AgentReset);
        }
        lab.judge = None;
        lab.advance_to(lab.now + Duration::from_secs(1));
        let told = core::mem::take(&mut lab.hosts[0].status);
        assert_eq!(told.len(), usize::from(!reset));
    }
}

#[test]
fn a_late_orb_of_before_an_agent_reset_is_not_executed() {
    let mut lab = Lab::logged_in(1);
    let old = lab.orb(0, &write_10(0, 1), Some((Direction::ToTarget, 512)));
    let new = lab.orb(0, &TEST_UNIT_READY, None);
    lab.hold = Some(Box::new(|_| true));
    lab.submit(0, 0, &old);
    lab.write_quadlet(0, AgentRegister::AgentReset);
    lab.submit(0, 1, &new);
    assert_eq!(lab.held.len(), 2);
    lab.release();
    assert_eq!(lab.disk.writes(), 0);
    assert_eq!(lab.hosts[0].status.len(), 1);
    assert_eq!(lab.hosts[0].status[0].orb, orb_at(1));
}

#[test]
fn nobody_but_the_owner_touches_the_registers_and_only_as_they_are_made() {
    let mut lab = Lab::logged_in(2);
    let block = |length| Operation::WriteBlock {
        data: vec![0; length],
    };
    let quadlet = Operation::WriteQuadlet { data: [0; 4] };
    let read = Operation::ReadBlock { length: 8 };
    let state = lab.register(0, AgentRegister::AgentState);
    for (offset, operation) in [
        (0x00, Operation::ReadQuadlet),
        (0x04, quadlet.clone()),
        (0x08, block(8)),
        (0x10, quadlet.clone()),
        (0x14, quadlet.clone()),
    ] {
        let address = Address::new(state.get() + offset);
        let refused = lab.request(1, address, operation.clone()).rcode;
        assert_eq!(refused, RCode::TYPE_ERROR, "{offset:#x}");
        let taken = lab.request(0, address, operation).rcode;
        assert_eq!(taken, RCode::COMPLETE, "{offset:#x}");
    }
    lab.write_quadlet(0, AgentRegister::AgentReset);
    for (offset, operation, expected) in [
        (0x00, quadlet.clone(), RCode::COMPLETE),
        (0x00, read.clone(), RCode::TYPE_ERROR),
        (0x04, Operation::ReadQuadlet, RCode::TYPE_ERROR),
        (0x08, read, RCode::COMPLETE),
        (0x08, quadlet.clone(), RCode::TYPE_ERROR),
        (0x08, block(4), RCode::ADDRESS_ERROR),
        (0x08, block(12), RCode::ADDRESS_ERROR),
        (0x0c, quadlet.clone(), RCode::ADDRESS_ERROR),
        (0x10, Operation::ReadQuadlet, RCode::TYPE_ERROR),
        (0x18, quadlet.clone(), RCode::ADDRESS_ERROR),
        (0x1c, Operation::ReadQuadlet, RCode::ADDRESS_ERROR),
        (0x1000, quadlet.clone(), RCode::ADDRESS_ERROR),
    ] {
        let address = Address::new(state.get() + offset);
        let rcode = lab.request(0, address, operation.clone()).rcode;
        assert_eq!(rcode, expected, "{offset:#x} {operation:?}");
    }
    assert_eq!(lab.agent_state(0), AgentState::Reset);
}
