use alloc::vec;
use core::time::Duration;

use ohci_raw::bus::{NodeId, RCode};

use super::rig::{AGENT, LOGIN_ID, MANAGEMENT_AGENT, Rig, good};
use crate::initiator::{Command, CommandError, Data, Notice};
use crate::wire::{AgentRegister, Function, Sbp2Status};

#[test]
fn a_bus_reset_is_survived_and_its_victims_are_issued_again_in_order() {
    let mut rig = Rig::logged_in(|config| config.depth = 2);
    let first = rig.submit(Data::Out(vec![1; 512]));
    rig.submit(Data::Out(vec![2; 512]));
    rig.submit(Data::Out(vec![3; 512]));
    let (old, _) = rig.fetch_orb();
    rig.agent_write(AgentRegister::Doorbell);
    rig.local = NodeId::local(2);
    rig.target = NodeId::local(0);
    rig.bus_reset(true);
    rig.manage(Function::RECONNECT, Sbp2Status::OK);
    assert_eq!(rig.notice(), Some(Notice::Reconnected));
    rig.accept_agent_reset();
    let (address, orb) = rig.fetch_orb();
    assert_ne!(address, old, "a late status of the first try is told apart");
    assert_eq!(orb.data_descriptor.node(), NodeId::local(2));
    assert_eq!(rig.read(orb.data_descriptor.address(), 4), [1; 4]);
    rig.status(old, good);
    assert_eq!(rig.notice(), None);
    rig.status(address, good);
    assert!(matches!(rig.notice(), Some(Notice::Completed { tag, result: Ok(_) }) if tag == first));
    let counters = rig.host.counters();
    assert_eq!((counters.bus_resets, counters.reconnects), (1, 1));
    assert_eq!((counters.reissued, counters.stale_status), (2, 1));
}

#[test]
fn what_a_read_had_received_before_the_reset_does_not_count() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::In(512));
    let (_, orb) = rig.fetch_orb();
    rig.write(orb.data_descriptor.address(), &[1; 512]);
    rig.bus_reset(true);
    rig.manage(Function::RECONNECT, Sbp2Status::OK);
    rig.accept_agent_reset();
    let (address, _) = rig.fetch_orb();
    rig.status(address, good);
    assert_eq!(rig.notice(), Some(Notice::Reconnected));
    let Some(Notice::Completed { result, .. }) = rig.notice() else {
        panic!("not completed");
    };
    assert_eq!(result.unwrap().received, 0);
}

#[test]
fn a_storm_of_resets_ends_in_one_reconnect() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::In(512));
    rig.fetch_orb();
    for _ in 0..50 {
        rig.bus_reset(true);
        rig.wait(Duration::from_millis(20));
        rig.management_orb();
    }
    rig.bus_reset(true);
    rig.manage(Function::RECONNECT, Sbp2Status::OK);
    rig.accept_agent_reset();
    let (address, _) = rig.fetch_orb();
    rig.status(address, good);
    assert_eq!(rig.notice(), Some(Notice::Reconnected));
    assert!(matches!(
        rig.notice(),
        Some(Notice::Completed { result: Ok(_), .. })
    ));
}

#[test]
fn reconnect_is_tried_again_while_all_hosts_want_it_at_once() {
    let mut rig = Rig::logged_in(|_| {});
    rig.bus_reset(true);
    for _ in 0..5 {
        let write = rig.sent().unwrap();
        assert_eq!(write.address, MANAGEMENT_AGENT);
        rig.answer(&write, RCode::CONFLICT_ERROR);
        rig.wait(Duration::from_millis(100));
    }
    rig.manage(Function::RECONNECT, Sbp2Status::UNSPECIFIED_ERROR);
    rig.wait(Duration::from_millis(100));
    rig.manage(Function::RECONNECT, Sbp2Status::OK);
    assert_eq!(rig.notice(), Some(Notice::Reconnected));
}

#[test]
fn a_target_that_is_seen_late_is_reconnected_when_it_is_seen() {
    let mut rig = Rig::logged_in(|_| {});
    rig.bus_reset(false);
    assert!(rig.sent().is_none());
    rig.wait(Duration::from_secs(2));
    rig.tell_bus_reset(true);
    rig.manage(Function::RECONNECT, Sbp2Status::OK);
    assert_eq!(rig.notice(), Some(Notice::Reconnected));
    // The same generation told once more changes nothing.
    rig.accept_agent_reset();
    rig.tell_bus_reset(true);
    assert!(rig.sent().is_none());
    assert_eq!(rig.host.counters().bus_resets, 1);
}

#[test]
fn a_refused_reconnect_leads_to_a_new_login_behind_the_gate() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::Out(vec![1; 512]));
    rig.fetch_orb();
    rig.bus_reset(true);
    rig.manage(Function::RECONNECT, Sbp2Status::ACCESS_DENIED);
    assert!(matches!(rig.notice(), Some(Notice::LoginLost(_))));
    assert!(rig.sent().is_none(), "others may reconnect first");
    rig.wait(Duration::from_secs(1));
    rig.grant_login();
    rig.accept_agent_reset();
    let Some(Notice::LoggedIn(login)) = rig.notice() else {
        panic!("no login");
    };
    assert!(login.again);
    assert!(rig.sent().is_none(), "the write waits for the owner's word");
    rig.host.open_gate(rig.now);
    rig.fetch_orb();
}

#[test]
fn a_login_that_cannot_be_reconnected_in_time_is_lost() {
    let mut rig = Rig::logged_in(|_| {});
    rig.bus_reset(false);
    rig.wait(Duration::from_millis(4999));
    assert_eq!(rig.notice(), None);
    rig.wait(Duration::from_millis(1));
    assert!(matches!(rig.notice(), Some(Notice::LoginLost(_))));
}

/// A host that was shut out must not wake up and write.
#[test]
fn commands_fail_when_a_lost_login_does_not_come_back_in_time() {
    let mut rig = Rig::logged_in(|_| {});
    let outstanding = rig.submit(Data::Out(vec![1; 512]));
    let queued = rig.submit(Data::Out(vec![2; 512]));
    rig.fetch_orb();
    rig.bus_reset(false);
    rig.wait(Duration::from_secs(5));
    assert!(matches!(rig.notice(), Some(Notice::LoginLost(_))));
    rig.wait(Duration::from_secs(119));
    assert_eq!(rig.notice(), None);
    rig.wait(Duration::from_secs(1));
    let error = CommandError::LoginLost(Duration::from_secs(120));
    for tag in [outstanding, queued] {
        let result = Err(error.clone());
        assert_eq!(rig.notice(), Some(Notice::Completed { tag, result }));
    }
    // From now on they fail at once, until there is a login again.
    let tag = rig.submit(Data::None);
    let result = Err(error);
    assert_eq!(rig.notice(), Some(Notice::Completed { tag, result }));
    rig.bus_reset(true);
    rig.wait(Duration::from_secs(1));
    rig.grant_login();
    rig.accept_agent_reset();
    rig.host.open_gate(rig.now);
    assert!(rig.sent().is_none(), "what has failed is not written later");
    rig.submit(Data::None);
    rig.fetch_orb();
}

/// It was stopped, perhaps as a virtual machine, and nobody called it while the time went by.
#[test]
fn a_host_that_sleeps_through_its_exclusion_does_not_write_when_it_wakes() {
    let mut rig = Rig::logged_in(|_| {});
    let tag = rig.submit(Data::Out(vec![1; 512]));
    rig.fetch_orb();
    rig.now += Duration::from_secs(300);
    rig.bus_reset(true);
    rig.manage(Function::RECONNECT, Sbp2Status::LOGIN_ID_NOT_RECOGNIZED);
    assert!(matches!(rig.notice(), Some(Notice::LoginLost(_))));
    let result = Err(CommandError::LoginLost(Duration::from_secs(120)));
    assert_eq!(rig.notice(), Some(Notice::Completed { tag, result }));
    rig.wait(Duration::from_secs(1));
    rig.grant_login();
    rig.accept_agent_reset();
    rig.host.open_gate(rig.now);
    assert!(rig.sent().is_none());
}

#[test]
fn a_logout_that_the_loss_of_the_login_overtakes_is_told_all_the_same() {
    let mut rig = Rig::logged_in(|_| {});
    rig.host.query_logins(rig.now);
    rig.host.logout(rig.now);
    rig.management_orb();
    rig.bus_reset(false);
    rig.wait(Duration::from_secs(5));
    let mut told = [false; 2];
    while let Some(notice) = rig.notice() {
        told[0] |= matches!(notice, Notice::Logins(Err(_)));
        told[1] |= matches!(notice, Notice::LoggedOut(_));
    }
    assert_eq!(told, [true; 2]);
    rig.bus_reset(true);
    rig.wait(Duration::from_secs(5));
    assert!(rig.sent().is_none(), "nobody wants a login any more");
}

/// A login alone is not the disk: until the owner has opened the gate, the time goes on.
#[test]
fn commands_fail_in_time_also_behind_the_gate_of_a_new_login() {
    let mut rig = Rig::logged_in(|_| {});
    let tag = rig.submit(Data::Out(vec![1; 512]));
    rig.fetch_orb();
    for _ in 0..2 {
        rig.bus_reset(true);
        let reconnect = Function::RECONNECT;
        rig.manage(reconnect, Sbp2Status::LOGIN_ID_NOT_RECOGNIZED);
        assert!(matches!(rig.notice(), Some(Notice::LoginLost(_))));
        rig.wait(Duration::from_secs(1));
        rig.grant_login();
        rig.accept_agent_reset();
        assert!(matches!(rig.notice(), Some(Notice::LoggedIn(_))));
        rig.wait(Duration::from_secs(50));
        assert_eq!(rig.notice(), None);
    }
    rig.wait(Duration::from_secs(20));
    let result = Err(CommandError::LoginLost(Duration::from_secs(120)));
    assert_eq!(rig.notice(), Some(Notice::Completed { tag, result }));
    // The owner is still about to look at the disk.
    let urgent = Command {
        cdb: [0; 16],
        data: Data::None,
        timeout: None,
        urgent: true,
    };
    rig.host.submit(urgent, rig.now);
    let (address, _) = rig.fetch_orb();
    rig.status(address, good);
    assert!(matches!(
        rig.notice(),
        Some(Notice::Completed { result: Ok(_), .. })
    ));
    rig.submit(Data::None);
    assert!(matches!(
        rig.notice(),
        Some(Notice::Completed { result: Err(_), .. })
    ));
    rig.host.open_gate(rig.now);
    rig.submit(Data::None);
    rig.fetch_orb();
}

#[test]
fn a_logout_that_waits_is_not_forgotten_when_the_login_is_lost() {
    let mut rig = Rig::logged_in(|_| {});
    rig.bus_reset(true);
    let (address, orb) = rig.management_orb();
    // Asked for while RECONNECT is under way, it waits.
    rig.host.query_logins(rig.now);
    rig.management_status(address, orb.status_fifo, Sbp2Status::OK);
    rig.host.logout(rig.now);
    for _ in 0..10 {
        while let Some(write) = rig.sent() {
            rig.answer(&write, RCode::BUSY);
        }
        rig.wait(Duration::from_millis(10));
    }
    while let Some(notice) = rig.notice() {
        if matches!(notice, Notice::LoggedOut(_)) {
            return;
        }
    }
    panic!("nobody was told");
}

#[test]
fn a_replacement_timeout_of_zero_fails_at_once() {
    let mut rig = Rig::logged_in(|config| config.replacement_timeout = Duration::ZERO);
    let tag = rig.submit(Data::None);
    rig.bus_reset(true);
    assert_eq!(rig.notice(), None, "a bus reset alone fails nothing");
    rig.manage(Function::RECONNECT, Sbp2Status::LOGIN_ID_NOT_RECOGNIZED);
    assert!(matches!(rig.notice(), Some(Notice::LoginLost(_))));
    let result = Err(CommandError::LoginLost(Duration::ZERO));
    assert_eq!(rig.notice(), Some(Notice::Completed { tag, result }));
}

#[test]
fn an_owner_in_a_hurry_waits_less_for_a_login_that_is_lost_already() {
    let mut rig = Rig::logged_in(|_| {});
    let tag = rig.submit(Data::None);
    rig.bus_reset(true);
    rig.manage(Function::RECONNECT, Sbp2Status::LOGIN_ID_NOT_RECOGNIZED);
    assert!(matches!(rig.notice(), Some(Notice::LoginLost(_))));
    let patience = Duration::from_secs(2);
    rig.host.hurry(patience, rig.now);
    // A longer time is no hurry.
    rig.host.hurry(patience * 9, rig.now);
    assert_eq!(rig.notice(), None);
    rig.wait(patience);
    let mut notices = core::iter::from_fn(|| rig.notice());
    let result = Err(CommandError::LoginLost(patience));
    assert!(notices.any(|notice| notice
        == Notice::Completed {
            tag,
            result: result.clone()
        }));
}

#[test]
fn a_lost_login_is_tried_again_while_it_is_refused() {
    let mut rig = Rig::logged_in(|_| {});
    rig.bus_reset(true);
    rig.manage(Function::RECONNECT, Sbp2Status::ACCESS_DENIED);
    rig.notice();
    for _ in 0..5 {
        rig.wait(Duration::from_secs(1));
        rig.manage(Function::LOGIN, Sbp2Status::RESOURCES_UNAVAILABLE);
        assert!(matches!(rig.notice(), Some(Notice::LoginRetry(_))));
    }
    rig.wait(Duration::from_secs(1));
    rig.grant_login();
}

#[test]
fn an_agent_reset_that_fails_is_repeated_and_in_the_end_costs_the_login() {
    let mut rig = Rig::logged_in(|_| {});
    rig.bus_reset(true);
    rig.manage(Function::RECONNECT, Sbp2Status::OK);
    assert_eq!(rig.notice(), Some(Notice::Reconnected));
    for _ in 0..10 {
        let write = rig.agent_write(AgentRegister::AgentReset);
        rig.answer(&write, RCode::BUSY);
        rig.wait(Duration::from_millis(10));
    }
    assert!(matches!(rig.notice(), Some(Notice::LoginLost(_))));
}

#[test]
fn a_reset_in_the_middle_of_a_login_starts_it_again() {
    let mut rig = Rig::new(|_| {});
    rig.host.login(rig.now);
    rig.management_orb();
    rig.bus_reset(true);
    assert!(rig.sent().is_none());
    rig.wait(Duration::from_secs(1));
    rig.grant_login();
    rig.accept_agent_reset();
    let login = rig.host.current_login().unwrap();
    assert_eq!((login.id, login.agent), (LOGIN_ID, AGENT));
}
