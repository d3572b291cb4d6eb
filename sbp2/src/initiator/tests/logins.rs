use core::time::Duration;

use ohci_raw::bus::{Eui64, Generation, NodeId, Operation, RCode};
use zerocopy::IntoBytes;

use super::rig::{AGENT, LOGIN_ID, MANAGEMENT_AGENT, Rig};
use crate::initiator::{Command, CommandError, Data, ManagementError, Notice, Remnant};
use crate::wire::{Function, LoginEntry, LoginResponse, QueryLoginsHeader, Sbp2Status};

#[test]
fn a_login_is_shared_unless_asked_otherwise() {
    let mut rig = Rig::new(|_| {});
    rig.host.login(rig.now);
    let orb = rig.grant_login();
    assert!(!orb.exclusive());
    assert_eq!(orb.reconnect_hold(), 2);
    rig.accept_agent_reset();
    let Some(Notice::LoggedIn(login)) = rig.notice() else {
        panic!("no login");
    };
    assert_eq!((login.id, login.agent), (LOGIN_ID, AGENT));
    assert_eq!((login.reconnect_hold, login.again), (3, false));

    let mut rig = Rig::new(|config| config.exclusive = true);
    rig.host.login(rig.now);
    assert!(rig.grant_login().exclusive());
}

#[test]
fn a_refused_login_is_final_and_tells_the_status() {
    for status in [Sbp2Status::ACCESS_DENIED, Sbp2Status::RESOURCES_UNAVAILABLE] {
        let mut rig = Rig::new(|_| {});
        rig.host.login(rig.now);
        rig.manage(Function::LOGIN, status);
        let Some(Notice::LoginFailed(error)) = rig.notice() else {
            panic!("no failure");
        };
        assert_eq!(error.sbp_status(), Some(status));
        rig.wait(Duration::from_secs(60));
        assert!(rig.sent().is_none(), "it does not ask again");
    }
}

#[test]
fn a_busy_management_agent_is_asked_again() {
    let mut rig = Rig::new(|_| {});
    rig.host.login(rig.now);
    for rcode in [RCode::CONFLICT_ERROR, RCode::BUSY, RCode::NO_ACK] {
        let write = rig.sent().unwrap();
        assert_eq!(write.address, MANAGEMENT_AGENT);
        rig.answer(&write, rcode);
        assert!(rig.sent().is_none(), "not at once");
        rig.wait(Duration::from_millis(100));
    }
    rig.grant_login();
    rig.accept_agent_reset();
    assert!(matches!(rig.notice(), Some(Notice::LoggedIn(_))));
}

#[test]
fn the_status_may_come_before_the_response_to_the_pointer() {
    let mut rig = Rig::new(|_| {});
    rig.host.login(rig.now);
    let write = rig.sent().unwrap();
    let address = super::rig::pointer(&write).address();
    let bytes = rig.read(address, 32);
    let orb: crate::wire::ManagementOrb = zerocopy::FromBytes::read_from_bytes(&bytes).unwrap();
    let response = LoginResponse::new(LOGIN_ID, AGENT, 3);
    rig.write(orb.response.address(), response.as_bytes());
    rig.management_status(address, orb.status_fifo, Sbp2Status::OK);
    rig.answer(&write, RCode::CANCELLED);
    assert!(matches!(rig.notice(), Some(Notice::LoggedIn(_))));
}

#[test]
fn a_login_without_answer_is_tried_three_times() {
    let mut rig = Rig::new(|_| {});
    rig.host.login(rig.now);
    for attempt in 1..=3 {
        assert_eq!(rig.management_orb().1.function(), Function::LOGIN);
        rig.wait(Duration::from_secs(21));
        if attempt < 3 {
            let find_own = rig.management_orb().1;
            assert_eq!(find_own.function(), Function::QUERY_LOGINS);
            rig.wait(Duration::from_secs(2));
        }
    }
    let Some(Notice::LoginFailed(error)) = rig.notice() else {
        panic!("no failure");
    };
    assert!(matches!(error, ManagementError::NoAnswer { .. }), "{error}");
    assert!(rig.sent().is_none());
}

#[test]
fn our_own_lost_login_does_not_shut_us_out() {
    let mut rig = Rig::new(|config| config.login_timeout = Duration::from_secs(2));
    rig.host.login(rig.now);
    rig.management_orb();
    rig.wait(Duration::from_secs(3));
    rig.manage(Function::QUERY_LOGINS, Sbp2Status::FUNCTION_REJECTED);
    // The target has it as logged in, though its status was lost.
    rig.manage(Function::LOGIN, Sbp2Status::ACCESS_DENIED);
    assert_eq!(rig.notice(), None);
    rig.wait(Duration::from_secs(1));
    rig.grant_login();
    assert!(matches!(rig.notice(), Some(Notice::LoggedIn(_))));
}

/// The answer to QUERY LOGINS: one login, by the node given.
fn one_login(node: NodeId, login_id: u16) -> [u8; 16] {
    let mut response = [0; 16];
    response[1] = 16;
    response[3] = 1;
    response[4..6].copy_from_slice(&node.0.to_be_bytes());
    response[6..8].copy_from_slice(&login_id.to_be_bytes());
    response
}

#[test]
fn what_a_dead_process_of_this_host_has_left_behind_is_given_back() {
    for status in [Sbp2Status::ACCESS_DENIED, Sbp2Status::RESOURCES_UNAVAILABLE] {
        let mut rig = Rig::new(|config| config.reclaim = true);
        rig.host.login(rig.now);
        rig.manage(Function::LOGIN, status);
        let (address, orb) = rig.management_orb();
        assert_eq!(orb.function(), Function::QUERY_LOGINS);
        let own = one_login(rig.local, LOGIN_ID);
        rig.write(orb.response.address(), &own);
        rig.management_status(address, orb.status_fifo, Sbp2Status::OK);
        rig.manage(Function::LOGOUT, Sbp2Status::OK);
        rig.grant_login();
        assert!(matches!(rig.notice(), Some(Notice::LoggedIn(_))));
    }
}

#[test]
fn where_the_target_does_not_tell_a_noted_login_is_given_back_in_its_generation() {
    for (noted, believed) in [(1, true), (2, false)] {
        let mut rig = Rig::new(|config| {
            config.reclaim = true;
            config.remnant = Some(Remnant {
                login_id: LOGIN_ID,
                generation: Generation(noted),
            });
        });
        rig.host.login(rig.now);
        rig.manage(Function::LOGIN, Sbp2Status::ACCESS_DENIED);
        let (address, orb) = rig.management_orb();
        assert_eq!(orb.function(), Function::QUERY_LOGINS);
        rig.management_status(
            address,
            orb.status_fifo,
            Sbp2Status::REQUEST_TYPE_NOT_SUPPORTED,
        );
        if believed {
            rig.manage(Function::LOGOUT, Sbp2Status::OK);
            rig.grant_login();
            assert!(matches!(rig.notice(), Some(Notice::LoggedIn(_))));
        } else {
            rig.manage(Function::LOGIN, Sbp2Status::ACCESS_DENIED);
            assert!(matches!(rig.notice(), Some(Notice::LoginFailed(_))));
        }
    }
}

#[test]
fn the_logins_of_others_are_left_alone() {
    let mut rig = Rig::new(|config| config.reclaim = true);
    rig.host.login(rig.now);
    rig.manage(Function::LOGIN, Sbp2Status::ACCESS_DENIED);
    let (address, orb) = rig.management_orb();
    let other = one_login(NodeId::local(9), LOGIN_ID);
    rig.write(orb.response.address(), &other);
    rig.management_status(address, orb.status_fifo, Sbp2Status::OK);
    rig.manage(Function::LOGIN, Sbp2Status::ACCESS_DENIED);
    assert!(matches!(rig.notice(), Some(Notice::LoginFailed(_))));
    assert!(rig.sent().is_none());
}

#[test]
fn a_login_response_that_makes_no_sense_is_no_login() {
    let mut rig = Rig::new(|_| {});
    rig.host.login(rig.now);
    let (address, orb) = rig.management_orb();
    let half = &LoginResponse::new(LOGIN_ID, AGENT, 3).as_bytes()[..8].to_vec();
    assert_eq!(rig.write(orb.response.address(), half), RCode::COMPLETE);
    rig.management_status(address, orb.status_fifo, Sbp2Status::OK);
    let Some(Notice::LoginFailed(error)) = rig.notice() else {
        panic!("no failure");
    };
    assert!(
        matches!(error, ManagementError::BadResponse { .. }),
        "{error}"
    );
}

#[test]
fn a_response_cannot_be_written_past_its_room() {
    let mut rig = Rig::new(|_| {});
    rig.host.login(rig.now);
    let (_, orb) = rig.management_orb();
    assert_eq!(
        rig.write(orb.response.address(), &[0; 20]),
        RCode::ADDRESS_ERROR
    );
    let refused = rig.request(orb.response.address(), Operation::ReadBlock { length: 16 });
    assert_eq!(refused.rcode, RCode::ADDRESS_ERROR);
}

#[test]
fn query_logins_needs_no_login_and_tells_who_is_in() {
    let mut rig = Rig::new(|_| {});
    rig.host.query_logins(rig.now);
    let (address, orb) = rig.management_orb();
    assert_eq!(orb.function(), Function::QUERY_LOGINS);
    let response = [
        0, 16, 0, 4, 0xff, 0xc2, 0, 7, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
    ];
    rig.write(orb.response.address(), &response);
    rig.management_status(address, orb.status_fifo, Sbp2Status::OK);
    let Some(Notice::Logins(Ok(logins))) = rig.notice() else {
        panic!("no answer");
    };
    assert_eq!((logins.max, logins.active), (4, 1));
    assert_eq!(logins.entries[0].login_id, 7);
    assert_eq!(logins.entries[0].eui64.0, 0x0011_2233_4455_6677);
}

#[test]
fn a_target_that_knows_no_query_logins_says_so() {
    let mut rig = Rig::new(|_| {});
    rig.host.query_logins(rig.now);
    let (address, orb) = rig.management_orb();
    let unknown = Sbp2Status::REQUEST_TYPE_NOT_SUPPORTED;
    rig.management_status(address, orb.status_fifo, unknown);
    let Some(Notice::Logins(Err(error))) = rig.notice() else {
        panic!("no answer");
    };
    assert_eq!(error.sbp_status(), Some(unknown));
}

#[test]
fn logout_ends_the_login_and_every_command() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::In(512));
    rig.fetch_orb();
    rig.host.logout(rig.now);
    rig.manage(Function::LOGOUT, Sbp2Status::OK);
    let mut notices = [rig.notice(), rig.notice()];
    notices.sort_by_key(|notice| !matches!(notice, Some(Notice::LoggedOut(_))));
    assert_eq!(notices[0], Some(Notice::LoggedOut(Ok(()))));
    let Some(Notice::Completed { result, .. }) = &notices[1] else {
        panic!("{notices:?}");
    };
    assert_eq!(*result, Err(CommandError::NotLoggedIn));
    let tag = rig.submit(Data::None);
    let result = Err(CommandError::NotLoggedIn);
    assert_eq!(rig.notice(), Some(Notice::Completed { tag, result }));
}

#[test]
fn commands_wait_at_the_gate_and_urgent_ones_pass() {
    let mut rig = Rig::new(|_| {});
    rig.host.login(rig.now);
    rig.grant_login();
    rig.accept_agent_reset();
    rig.submit(Data::In(512));
    assert!(rig.sent().is_none());
    let urgent = Command {
        cdb: [0x12; 16],
        data: Data::In(36),
        timeout: None,
        urgent: true,
    };
    rig.host.submit(urgent, rig.now);
    let (address, orb) = rig.fetch_orb();
    assert_eq!(orb.command_block[0], 0x12);
    rig.status(address, super::rig::good);
    assert!(rig.sent().is_none());
    rig.host.open_gate(rig.now);
    assert_eq!(rig.fetch_orb().1.command_block[0], 0x28);
}

/// Its response tells the login's id though its status was lost; or QUERY LOGINS does.
#[test]
fn a_login_that_we_were_not_told_of_is_given_back_before_the_next_one() {
    for told in [true, false] {
        let mut rig = Rig::new(|config| config.login_timeout = Duration::from_secs(2));
        rig.host.login(rig.now);
        let (_, orb) = rig.management_orb();
        if told {
            let response = LoginResponse::new(LOGIN_ID, AGENT, 3);
            rig.write(orb.response.address(), response.as_bytes());
        }
        rig.wait(Duration::from_secs(3));
        if !told {
            let (address, orb) = rig.management_orb();
            assert_eq!(orb.function(), Function::QUERY_LOGINS);
            let stranger = LoginEntry::new(NodeId::local(7), 6, Eui64(7));
            let own = LoginEntry::new(rig.local, LOGIN_ID, Eui64(8));
            let header = QueryLoginsHeader::new(2, 4);
            let answer = [header.as_bytes(), stranger.as_bytes(), own.as_bytes()].concat();
            rig.write(orb.response.address(), &answer);
            rig.management_status(address, orb.status_fifo, Sbp2Status::OK);
        }
        rig.manage(Function::LOGOUT, Sbp2Status::OK);
        rig.grant_login();
    }
}
