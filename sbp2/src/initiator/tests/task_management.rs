//! Task management that the owner asks for: what becomes of the commands under way.

use core::time::Duration;

use super::rig::{Rig, good};
use crate::initiator::{Data, ManagementError, Notice};
use crate::wire::{Function, Resp, Sbp2Status};

/// One command is under way, a second one waits, and the function was asked for.
fn asked(function: Function) -> Rig {
    let mut rig = Rig::logged_in(|config| config.depth = 2);
    rig.submit(Data::In(512));
    rig.fetch_orb();
    rig.host.task_management(function, rig.now);
    rig.submit(Data::In(1024));
    rig
}

fn expect_answer(rig: &mut Rig, function: Function, wanted: &Result<(), ManagementError>) {
    let Some(Notice::TaskManagement {
        function: own,
        result,
    }) = rig.notice()
    else {
        panic!("not answered");
    };
    assert_eq!((own, &result), (function, wanted));
}

#[test]
fn commands_that_a_reset_has_ended_are_issued_again_at_once_and_in_their_order() {
    for function in [Function::ABORT_TASK_SET, Function::LOGICAL_UNIT_RESET] {
        let mut rig = asked(function);
        rig.manage(function, Sbp2Status::OK);
        expect_answer(&mut rig, function, &Ok(()));
        rig.accept_agent_reset();
        let (first, orb) = rig.fetch_orb();
        assert_eq!(orb.data_size(), 512);
        rig.status(first, good);
        assert!(matches!(
            rig.notice(),
            Some(Notice::Completed { result: Ok(_), .. })
        ));
        assert_eq!(rig.notice(), None, "each command ends once");
        assert_eq!(rig.host.counters().reissued, 1);
    }
}

#[test]
fn nothing_new_is_issued_until_the_target_has_answered() {
    let mut rig = asked(Function::LOGICAL_UNIT_RESET);
    let (address, orb) = rig.management_orb();
    assert!(rig.sent().is_none(), "the second command waits");
    rig.management_status(address, orb.status_fifo, Sbp2Status::OK);
    rig.accept_agent_reset();
    rig.fetch_orb();
}

#[test]
fn a_status_that_comes_before_the_reset_counts() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::None);
    let (command, _) = rig.fetch_orb();
    rig.host
        .task_management(Function::LOGICAL_UNIT_RESET, rig.now);
    let (address, orb) = rig.management_orb();
    rig.status(command, good);
    assert!(matches!(
        rig.notice(),
        Some(Notice::Completed { result: Ok(_), .. })
    ));
    rig.management_status(address, orb.status_fifo, Sbp2Status::OK);
    expect_answer(&mut rig, Function::LOGICAL_UNIT_RESET, &Ok(()));
    rig.accept_agent_reset();
    assert!(rig.sent().is_none(), "nothing is left to be issued again");
}

#[test]
fn a_target_that_refuses_goes_on_with_what_it_has() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::In(512));
    let (command, _) = rig.fetch_orb();
    rig.submit(Data::In(1024));
    rig.host
        .task_management(Function::LOGICAL_UNIT_RESET, rig.now);
    let unknown = Sbp2Status::REQUEST_TYPE_NOT_SUPPORTED;
    rig.manage(Function::LOGICAL_UNIT_RESET, unknown);
    let Some(Notice::TaskManagement {
        result: Err(error), ..
    }) = rig.notice()
    else {
        panic!("not answered");
    };
    assert_eq!(error.sbp_status(), Some(unknown));
    assert!(rig.sent().is_none());
    rig.status(command, good);
    rig.fetch_orb();
    assert_eq!(rig.host.counters().reissued, 0);
}

#[test]
fn without_an_answer_the_commands_are_aborted_before_they_are_issued_again() {
    let function = Function::LOGICAL_UNIT_RESET;
    let mut rig = asked(function);
    let (_, orb) = rig.management_orb();
    assert_eq!(orb.function(), function);
    rig.wait(Duration::from_secs(2));
    let (after, last) = (Duration::from_secs(2), None);
    let silence = ManagementError::NoAnswer {
        function,
        after,
        last,
    };
    expect_answer(&mut rig, function, &Err(silence));
    rig.manage(Function::ABORT_TASK_SET, Sbp2Status::OK);
    rig.accept_agent_reset();
    let (_, orb) = rig.fetch_orb();
    assert_eq!(orb.data_size(), 512);
}

#[test]
fn a_target_reset_is_followed_by_a_new_login() {
    let mut rig = asked(Function::TARGET_RESET);
    rig.manage(Function::TARGET_RESET, Sbp2Status::OK);
    expect_answer(&mut rig, Function::TARGET_RESET, &Ok(()));
    let lost = Notice::LoginLost(ManagementError::TargetReset);
    assert_eq!(rig.notice(), Some(lost));
    assert!(rig.sent().is_none(), "others may log in first");
    rig.wait(Duration::from_secs(1));
    // In case that this target keeps it.
    let unknown = Sbp2Status::LOGIN_ID_NOT_RECOGNIZED;
    rig.manage(Function::LOGOUT, unknown);
    rig.grant_login();
    rig.accept_agent_reset();
    assert!(matches!(rig.notice(), Some(Notice::LoggedIn(login)) if login.again));
    assert!(rig.sent().is_none(), "the gate is closed");
    rig.host.open_gate(rig.now);
    let (_, orb) = rig.fetch_orb();
    assert_eq!(orb.data_size(), 512);
}

#[test]
fn a_bus_reset_in_between_holds_nothing_back() {
    let function = Function::LOGICAL_UNIT_RESET;
    let mut rig = asked(function);
    rig.management_orb();
    rig.bus_reset(true);
    rig.manage(Function::RECONNECT, Sbp2Status::OK);
    expect_answer(
        &mut rig,
        function,
        &Err(ManagementError::BusReset { function }),
    );
    rig.accept_agent_reset();
    let (_, orb) = rig.fetch_orb();
    assert_eq!(orb.data_size(), 512);
}

#[test]
fn without_a_login_nothing_can_be_reset() {
    let function = Function::TARGET_RESET;
    let mut rig = Rig::new(|_| {});
    rig.host.task_management(function, rig.now);
    expect_answer(
        &mut rig,
        function,
        &Err(ManagementError::NotLoggedIn { function }),
    );
    assert!(rig.sent().is_none());
    // Nothing is held back afterwards.
    rig.host.login(rig.now);
    rig.grant_login();
    rig.accept_agent_reset();
    rig.notice();
    rig.host.open_gate(rig.now);
    rig.submit(Data::In(512));
    rig.fetch_orb();
}

#[test]
fn a_command_that_times_out_meanwhile_is_aborted_and_issued_again_once() {
    let mut rig = Rig::logged_in(|config| {
        config.command_timeout = Duration::from_secs(1);
    });
    rig.submit(Data::In(512));
    rig.fetch_orb();
    rig.host
        .task_management(Function::LOGICAL_UNIT_RESET, rig.now);
    let (address, orb) = rig.management_orb();
    rig.wait(Duration::from_millis(1500));
    rig.management_status(address, orb.status_fifo, Sbp2Status::OK);
    expect_answer(&mut rig, Function::LOGICAL_UNIT_RESET, &Ok(()));
    rig.manage(Function::ABORT_TASK, Sbp2Status::OK);
    rig.accept_agent_reset();
    rig.fetch_orb();
    assert_eq!(rig.host.counters().reissued, 1);
}

#[test]
fn an_agent_that_dies_of_the_reset_is_reset() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::In(512));
    let (command, _) = rig.fetch_orb();
    rig.host
        .task_management(Function::LOGICAL_UNIT_RESET, rig.now);
    let (address, orb) = rig.management_orb();
    rig.status(command, |block| {
        block.resp = Resp::RequestComplete;
        block.status = Sbp2Status::REQUEST_ABORTED.0;
        block.dead = true;
    });
    rig.accept_agent_reset();
    assert!(rig.sent().is_none(), "the answer is still to come");
    rig.management_status(address, orb.status_fifo, Sbp2Status::OK);
    rig.accept_agent_reset();
    rig.fetch_orb();
}
