use super::lab::{Lab, RESPONSE};
use crate::target::{Bridge, BridgeError, BridgeProfile, SameInitiator};
use crate::wire::{
    Function, LoginEntry, LoginResponse, ManagementOrb, Pointer, QueryLoginsHeader, Resp,
    Sbp2Status,
};
use alloc::vec;
use alloc::vec::Vec;
use ohci_raw::bus::{Address, Generation, NodeId, Operation, RCode};
use zerocopy::{FromBytes, IntoBytes};

fn status(lab: &mut Lab, host: usize, exclusive: bool) -> Sbp2Status {
    let block = lab.log_in(host, exclusive);
    assert_eq!(block.resp(), Resp::RequestComplete);
    block.sbp_status()
}

fn profile(max_logins: usize) -> BridgeProfile {
    let mut profile = BridgeProfile::generic();
    profile.max_logins = max_logins;
    profile
}

#[test]
fn two_hosts_share_a_logical_unit_and_each_has_its_own_agent() {
    let mut lab = Lab::new(2);
    assert_eq!(status(&mut lab, 0, false), Sbp2Status::OK);
    assert_eq!(status(&mut lab, 1, false), Sbp2Status::OK);
    let [a, b] = [0, 1].map(|host: usize| lab.hosts[host].login.unwrap());
    assert_ne!(a.login_id(), b.login_id());
    assert_eq!(
        b.command_block_agent().get() - a.command_block_agent().get(),
        32
    );
    assert_eq!(a.reconnect_hold(), Some(3), "4 seconds less one");
    assert_eq!(lab.bridge.counters().logins(), 2);
    let claims = lab.bridge.claims();
    for agent in [a, b].map(|login| login.command_block_agent()) {
        assert!(
            claims
                .iter()
                .any(|claim| claim.offset_of(agent, 32).is_some())
        );
    }
}

#[test]
fn an_exclusive_login_is_refused_while_others_are_in_and_keeps_others_out() {
    let mut lab = Lab::new(3);
    assert_eq!(status(&mut lab, 0, false), Sbp2Status::OK);
    assert_eq!(status(&mut lab, 1, true), Sbp2Status::ACCESS_DENIED);
    assert_eq!(lab.for_own_login(0, Function::LOGOUT).status, 0);
    assert_eq!(status(&mut lab, 1, true), Sbp2Status::OK);
    assert_eq!(status(&mut lab, 0, false), Sbp2Status::ACCESS_DENIED);
    assert_eq!(status(&mut lab, 2, true), Sbp2Status::ACCESS_DENIED);
    assert_eq!(lab.bridge.counters().logins_refused(), 3);
}

#[test]
fn a_full_bridge_says_resources_unavailable() {
    let mut lab = Lab::with(3, profile(2));
    for host in 0..2 {
        assert_eq!(status(&mut lab, host, false), Sbp2Status::OK);
    }
    assert_eq!(
        status(&mut lab, 2, false),
        Sbp2Status::RESOURCES_UNAVAILABLE
    );
    lab.for_own_login(0, Function::LOGOUT);
    assert_eq!(status(&mut lab, 2, false), Sbp2Status::OK);
}

#[test]
fn an_unknown_logical_unit_and_a_second_login_are_refused() {
    let mut lab = Lab::new(1);
    let response = Pointer::new(lab.hosts[0].node, Address::new(RESPONSE));
    let orb = ManagementOrb::login(1, false, 0, response, 16, lab.fifo(0));
    let refused = lab.manage(0, &orb).sbp_status();
    assert_eq!(refused, Sbp2Status::LOGICAL_UNIT_NOT_SUPPORTED);
    assert_eq!(status(&mut lab, 0, false), Sbp2Status::OK);
    assert_eq!(status(&mut lab, 0, false), Sbp2Status::ACCESS_DENIED);
}

#[test]
fn a_bridge_that_replaces_gives_a_host_that_crashed_a_new_login() {
    let mut kind = profile(1);
    kind.same_initiator = SameInitiator::Replace;
    let mut lab = Lab::with(1, kind);
    assert_eq!(status(&mut lab, 0, false), Sbp2Status::OK);
    let old = lab.login_id(0);
    assert_eq!(status(&mut lab, 0, false), Sbp2Status::OK);
    assert_ne!(lab.login_id(0), old);
    let logout = ManagementOrb::for_login(Function::LOGOUT, old, lab.fifo(0));
    let refused = lab.manage(0, &logout).sbp_status();
    assert_eq!(refused, Sbp2Status::LOGIN_ID_NOT_RECOGNIZED);
}

#[test]
fn the_answer_keeps_to_the_room_for_it() {
    let mut lab = Lab::new(3);
    let response = Pointer::new(NodeId(0), Address::new(RESPONSE));
    for (host, room, written) in [(0, 12, 12), (1, 15, 12), (2, 100, 16)] {
        lab.hosts[host].poke(RESPONSE, &[0xee; 32]);
        let orb = ManagementOrb::login(0, false, 0, response, room, lab.fifo(host));
        assert_eq!(lab.manage(host, &orb).status, 0);
        let bytes = lab.hosts[host].peek(RESPONSE, 32);
        let answer = LoginResponse::read_from_bytes(&bytes[..16]).unwrap();
        assert_eq!(answer.length(), written);
        assert!(bytes[written..].iter().all(|byte| *byte == 0xee));
    }
    let mut lab = Lab::new(1);
    let orb = ManagementOrb::login(0, false, 0, response, 11, lab.fifo(0));
    assert_eq!(
        lab.manage(0, &orb).sbp_status(),
        Sbp2Status::FUNCTION_REJECTED
    );
    assert_eq!(
        status(&mut lab, 0, false),
        Sbp2Status::OK,
        "nothing is left behind"
    );
}

#[test]
fn a_login_whose_answer_cannot_be_written_does_not_stay() {
    let mut lab = Lab::with(1, profile(1));
    let nowhere = Pointer::new(NodeId(0), Address::new(0x5000));
    let orb = ManagementOrb::login(0, true, 0, nowhere, 16, lab.fifo(0));
    assert_eq!(lab.manage(0, &orb).resp(), Resp::TransportFailure);
    assert_eq!(status(&mut lab, 0, true), Sbp2Status::OK);
    let mut lab = Lab::with(1, profile(1));
    let orb = ManagementOrb::login(0, true, 0, lab.fifo(0), 16, nowhere);
    assert_eq!(lab.start_management(0, &orb), RCode::COMPLETE);
    lab.hosts[0].status.clear();
    assert_eq!(status(&mut lab, 0, true), Sbp2Status::OK);
}

#[test]
fn who_cannot_be_identified_is_not_let_in() {
    let mut lab = Lab::new(1);
    lab.judge = Some(alloc::boxed::Box::new(|transaction| {
        matches!(transaction.operation, Operation::ReadQuadlet).then_some(RCode::TYPE_ERROR)
    }));
    let block = lab.log_in(0, false);
    assert_eq!((block.resp(), block.status), (Resp::TransportFailure, 0xff));
    lab.judge = None;
    assert_eq!(status(&mut lab, 0, false), Sbp2Status::OK);
}

#[test]
fn logout_is_for_the_owner_alone() {
    let mut lab = Lab::logged_in(2);
    let stranger = ManagementOrb::for_login(Function::LOGOUT, lab.login_id(0), lab.fifo(1));
    let refused = lab.manage(1, &stranger).sbp_status();
    assert_eq!(refused, Sbp2Status::ACCESS_DENIED);
    let unknown = ManagementOrb::for_login(Function::LOGOUT, 0x7777, lab.fifo(0));
    let refused = lab.manage(0, &unknown).sbp_status();
    assert_eq!(refused, Sbp2Status::LOGIN_ID_NOT_RECOGNIZED);
    assert_eq!(lab.for_own_login(0, Function::LOGOUT).status, 0);
    let agent = lab.register(0, crate::wire::AgentRegister::AgentState);
    let gone = lab.request(0, agent, Operation::ReadQuadlet);
    assert_eq!(gone.rcode, RCode::ADDRESS_ERROR);
}

#[test]
fn query_logins_tells_everybody_and_is_cut_to_the_room() {
    let mut lab = Lab::logged_in(2);
    let response = Pointer::new(NodeId(0), Address::new(RESPONSE));
    let query = |lab: &mut Lab, room| {
        lab.hosts[0].poke(RESPONSE, &[0xee; 64]);
        let orb = ManagementOrb::query_logins(0, response, room, lab.fifo(0));
        let status = lab.manage(0, &orb).sbp_status();
        (status, lab.hosts[0].peek(RESPONSE, 64).to_vec())
    };
    let (status, bytes) = query(&mut lab, 64);
    assert_eq!(status, Sbp2Status::OK);
    let (header, rest) = QueryLoginsHeader::read_from_prefix(&bytes).unwrap();
    assert_eq!((header.active(), header.max_logins()), (2, 32));
    for (host, entry) in lab.hosts.iter().zip(rest.chunks_exact(12)) {
        let entry = LoginEntry::read_from_bytes(entry).unwrap();
        assert_eq!(entry.eui64(), host.eui64);
        assert_eq!(entry.node(), host.node);
        assert_eq!(entry.login_id(), host.login.unwrap().login_id());
    }
    assert!(bytes[28..].iter().all(|byte| *byte == 0xee));
    let (_, cut) = query(&mut lab, 18);
    assert_eq!(cut[..16], bytes[..16]);
    assert!(cut[16..].iter().all(|byte| *byte == 0xee));
    assert_eq!(query(&mut lab, 0).0, Sbp2Status::FUNCTION_REJECTED);
}

#[test]
fn functions_that_are_not_there_are_said_not_to_be() {
    let mut lab = Lab::logged_in(1);
    for function in [2, 4, 5, 6, 8, 9, 0xa, 0xd].map(Function) {
        let refused = lab.for_own_login(0, function).sbp_status();
        assert_eq!(
            refused,
            Sbp2Status::REQUEST_TYPE_NOT_SUPPORTED,
            "{function}"
        );
    }
}

#[test]
fn the_management_agent_takes_one_orb_at_a_time_and_only_as_a_block_of_8() {
    let mut lab = Lab::new(2);
    let agent = lab.management_agent();
    lab.hold = Some(alloc::boxed::Box::new(|_| true));
    let orb = lab.login_orb(0, false);
    assert_eq!(lab.start_management(0, &orb), RCode::COMPLETE);
    let orb = lab.login_orb(1, false);
    assert_eq!(lab.start_management(1, &orb), RCode::CONFLICT_ERROR);
    lab.release();
    assert_eq!(lab.hosts[0].status.len(), 1);
    assert_eq!(lab.start_management(1, &orb), RCode::COMPLETE);

    let read = lab.request(0, agent, Operation::ReadBlock { length: 8 });
    assert_eq!(read.rcode, RCode::COMPLETE);
    assert_eq!(read.data[4..], [0, 0, 0, 0]);
    let block = |length| Operation::WriteBlock {
        data: vec![0; length],
    };
    let quadlet = Operation::WriteQuadlet { data: [0; 4] };
    for operation in [Operation::ReadQuadlet, quadlet, block(4), block(12)] {
        let refused = lab.request(0, agent, operation.clone()).rcode;
        assert_eq!(refused, RCode::TYPE_ERROR, "{operation:?}");
    }
    let inside = Address::new(agent.get() + 8);
    let refused = lab.request(0, inside, block(8)).rcode;
    assert_eq!(refused, RCode::ADDRESS_ERROR);
}

#[test]
fn an_orb_without_notify_or_of_another_format_is_dropped_without_a_word() {
    let mut lab = Lab::new(1);
    for control in [0x0020_0000_u32, 0xa020_0000, 0xe020_0000] {
        let mut orb = lab.login_orb(0, false);
        orb.as_mut_bytes()[16..20].copy_from_slice(&control.to_be_bytes());
        assert_eq!(lab.start_management(0, &orb), RCode::COMPLETE);
        assert!(lab.hosts[0].status.is_empty());
    }
    assert_eq!(status(&mut lab, 0, false), Sbp2Status::OK);
}

#[test]
fn a_request_from_before_the_bus_reset_is_refused() {
    let mut lab = Lab::new(1);
    let (node, agent) = (lab.hosts[0].node, lab.management_agent());
    let data = vec![0; 8];
    let refused = lab.request_from(node, Generation(77), agent, Operation::WriteBlock { data });
    assert_eq!(refused.rcode, RCode::TYPE_ERROR);
    assert!(lab.sent.is_empty());
}

#[test]
fn a_profile_out_of_range_is_an_error() {
    let make = |change: fn(&mut BridgeProfile), units: usize| {
        let mut profile = BridgeProfile::generic();
        change(&mut profile);
        let media = (0..units).map(|_| {
            let disk = crate::scsi::MemoryMedium::new(512, 8).unwrap();
            alloc::boxed::Box::new(disk) as alloc::boxed::Box<dyn crate::scsi::Medium>
        });
        Bridge::new(profile, media.collect::<Vec<_>>()).map(drop)
    };
    assert_eq!(make(|_| {}, 1), Ok(()));
    assert_eq!(make(|_| {}, 0), Err(BridgeError::Units(0)));
    assert_eq!(make(|_| {}, 9), Err(BridgeError::Units(9)));
    for change in [
        (|p: &mut BridgeProfile| p.max_logins = 0) as fn(&mut BridgeProfile),
        |p| p.max_logins = 43,
        |p| p.management_agent_offset = 0x1ff,
        |p| p.orb_size = 7,
        |p| p.max_reconnect_hold = 0,
        |p| p.fetch_ahead = 0,
        |p| p.data_window = 0,
    ] {
        assert!(matches!(make(change, 1), Err(BridgeError::Field { .. })));
    }
    let text = make(|p| p.vendor.1 = "\u{e9}".into(), 1);
    assert!(matches!(text, Err(BridgeError::Rom(_))));
}
