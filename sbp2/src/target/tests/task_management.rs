use super::lab::{DATA, Lab, completion, orb_at, read_10, write_10};
use crate::scsi::{AdditionalSense, SenseKey};
use crate::wire::{
    AgentRegister, AgentState, Direction, Function, ManagementOrb, Pointer, Resp, Sbp2Status,
    StatusSource,
};
use alloc::boxed::Box;
use ohci_raw::bus::{Address, Operation, RCode};

/// A lab in which every host has a list of three reads under way, and their data does not arrive.
fn busy(hosts: usize) -> Lab {
    let mut lab = Lab::logged_in(hosts);
    lab.hold = Some(Box::new(|sent| sent.address.get() >= DATA));
    for host in 0..hosts {
        let orb = lab.orb(host, &read_10(0, 64), Some((Direction::FromTarget, 32768)));
        lab.link(host, &[orb; 3]);
        lab.write_orb_pointer(host, orb_at(0));
    }
    lab
}

fn abort(lab: &Lab, host: usize, orb: Address) -> ManagementOrb {
    let orb = Pointer::next_orb(orb);
    ManagementOrb::abort_task(lab.login_id(host), orb, lab.fifo(host))
}

#[test]
fn abort_task_takes_one_orb_away_wherever_it_is_and_tells_it_as_aborted() {
    for (victim, left) in [(0, [1, 2]), (1, [0, 2])] {
        let mut lab = busy(1);
        let orb = abort(&lab, 0, orb_at(victim));
        assert_eq!(lab.manage(0, &orb).status, 0);
        let told = lab.hosts[0].status.pop_front().unwrap();
        assert_eq!(told.orb, orb_at(victim));
        assert_eq!(told.sbp_status(), Sbp2Status::REQUEST_ABORTED);
        let sense = completion(&told).sense.unwrap();
        assert_eq!(sense.key, SenseKey::AbortedCommand);
        lab.release();
        let rest = [0, 1].map(|index: usize| lab.hosts[0].status[index].orb);
        assert_eq!(rest, left.map(orb_at));
        assert_eq!(lab.hosts[0].status.len(), 2);
    }
}

#[test]
fn abort_task_of_an_orb_that_is_not_there_is_no_error() {
    let mut lab = busy(1);
    let orb = abort(&lab, 0, orb_at(7));
    assert_eq!(lab.manage(0, &orb).status, 0);
    lab.release();
    assert_eq!(lab.hosts[0].status.len(), 3);
}

#[test]
fn abort_task_set_takes_all_orbs_of_the_login_and_none_of_others() {
    let mut lab = busy(2);
    assert_eq!(lab.for_own_login(0, Function::ABORT_TASK_SET).status, 0);
    assert_eq!(lab.agent_state(0), AgentState::Reset);
    lab.release();
    assert!(lab.hosts[0].status.is_empty());
    assert_eq!(lab.hosts[1].status.len(), 3);
}

#[test]
fn a_logical_unit_reset_aborts_everybody_and_tells_the_others() {
    let mut lab = busy(3);
    // The third host has nothing under way.
    lab.write_quadlet(2, AgentRegister::AgentReset);
    lab.hold = Some(Box::new(|sent| sent.address.get() >= DATA));
    lab.write_quadlet(1, AgentRegister::UnsolicitedStatusEnable);
    assert_eq!(lab.for_own_login(0, Function::LOGICAL_UNIT_RESET).status, 0);
    lab.release();

    assert!(lab.hosts[0].status.is_empty(), "it knows");
    assert_eq!(lab.agent_state(0), AgentState::Reset);
    let mut told = core::mem::take(&mut lab.hosts[1].status);
    let unsolicited = told.pop_back().unwrap();
    assert_eq!(unsolicited.source(), StatusSource::Unsolicited);
    assert_eq!(told.len(), 3);
    for status in &told {
        assert_eq!(status.resp(), Resp::RequestComplete);
        assert_eq!(status.sbp_status(), Sbp2Status::REQUEST_ABORTED);
        assert!(status.dead());
    }
    assert_eq!(lab.agent_state(1), AgentState::Dead);
    assert_eq!(lab.agent_state(2), AgentState::Reset);
    lab.write_quadlet(1, AgentRegister::AgentReset);

    for (host, code) in [
        (1, Some(AdditionalSense::BUS_DEVICE_RESET)),
        (2, Some(AdditionalSense::BUS_DEVICE_RESET)),
        (0, None),
    ] {
        let first = lab.command(host, &[0; 6], None);
        assert_eq!(first.sense.map(|sense| sense.code), code, "host {host}");
        assert!(lab.command(host, &[0; 6], None).is_good());
    }
    assert_eq!(lab.for_own_login(0, Function::LOGICAL_UNIT_RESET).status, 0);
    assert!(
        lab.hosts[1].status.is_empty(),
        "unsolicited status is one-shot"
    );
}

#[test]
fn a_target_reset_ends_all_logins() {
    let mut lab = busy(2);
    assert_eq!(lab.for_own_login(0, Function::TARGET_RESET).status, 0);
    lab.release();
    assert!(lab.hosts[0].status.is_empty());
    let told = core::mem::take(&mut lab.hosts[1].status);
    assert_eq!(told.len(), 3, "nobody waits for ever");
    for host in 0..2 {
        let agent = lab.register(host, AgentRegister::AgentState);
        let rcode = lab.request(host, agent, Operation::ReadQuadlet).rcode;
        assert_eq!(rcode, RCode::ADDRESS_ERROR);
    }
    assert_eq!(lab.log_in(1, true).status, 0);
}

#[test]
fn task_management_is_for_the_owner_of_the_login() {
    let mut lab = busy(2);
    let orb = abort(&lab, 0, orb_at(0));
    let foreign = ManagementOrb::for_login(Function::ABORT_TASK_SET, orb.login_id(), lab.fifo(1));
    assert_eq!(
        lab.manage(1, &foreign).sbp_status(),
        Sbp2Status::ACCESS_DENIED
    );
    lab.release();
    assert_eq!(lab.hosts[0].status.len(), 3);
    for function in [
        Function::ABORT_TASK,
        Function::ABORT_TASK_SET,
        Function::LOGICAL_UNIT_RESET,
        Function::TARGET_RESET,
    ] {
        let orb = ManagementOrb::for_login(function, 0x7777, lab.fifo(0));
        assert_eq!(
            lab.manage(0, &orb).sbp_status(),
            Sbp2Status::LOGIN_ID_NOT_RECOGNIZED
        );
    }
}

#[test]
fn a_logout_amid_a_write_takes_the_write_away() {
    let mut lab = Lab::logged_in(1);
    let before = lab.disk.read(0, 64);
    lab.hold = Some(Box::new(|sent| sent.address.get() >= DATA));
    let orb = lab.orb(0, &write_10(0, 64), Some((Direction::ToTarget, 32768)));
    lab.submit(0, 0, &orb);
    assert_eq!(lab.for_own_login(0, Function::LOGOUT).status, 0);
    lab.release();
    assert!(lab.hosts[0].status.is_empty());
    assert_eq!(lab.disk.read(0, 64), before);
}
