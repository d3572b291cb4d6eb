use alloc::vec;
use core::time::Duration;

use ohci_raw::bus::{Address, Operation, RCode};

use super::rig::{Rig, good};
use crate::initiator::{CommandError, Data, Notice, Refusal};
use crate::wire::{
    AgentRegister, CommandFlags, Direction, Function, RequestFormat, Resp, Sbp2Status, StatusSource,
};

#[test]
fn one_payload_goes_direct_and_more_by_page_table() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::In(2048));
    let (address, orb) = rig.fetch_orb();
    assert_eq!(orb.data_size(), 2048);
    assert!(!orb.flags().contains(CommandFlags::PAGE_TABLE));
    assert_eq!(orb.direction(), Direction::FromTarget);
    assert_eq!(orb.data_descriptor.node(), rig.local);
    assert_eq!(orb.max_payload().bytes(), 2048);
    rig.status(address, good);

    rig.submit(Data::Out(vec![7; 128 << 10]));
    let (_, orb) = rig.fetch_orb();
    assert!(orb.flags().contains(CommandFlags::PAGE_TABLE));
    assert_eq!((orb.data_size(), orb.page_size()), (3, 0));
    let table = rig.read(orb.data_descriptor.address(), 24);
    assert_eq!(table[..2], [0xf0, 0]);
    assert_eq!(u16::from_be_bytes([table[16], table[17]]), 0x2000);
    assert_eq!(orb.direction(), Direction::ToTarget);
}

#[test]
fn data_arrives_and_what_did_not_arrive_is_told() {
    let mut rig = Rig::logged_in(|_| {});
    let tag = rig.submit(Data::In(1024));
    let (address, orb) = rig.fetch_orb();
    let data = orb.data_descriptor.address();
    assert_eq!(rig.write(data, &[1; 512]), RCode::COMPLETE);
    rig.status(address, good);
    let Some(Notice::Completed { tag: own, result }) = rig.notice() else {
        panic!("not completed");
    };
    let completion = result.unwrap();
    assert_eq!((own, completion.received), (tag, 512));
    assert_eq!(completion.data[..512], [1; 512]);
    assert_eq!(completion.data[512..], [0; 512]);
}

#[test]
fn the_data_of_a_write_is_served() {
    let mut rig = Rig::logged_in(|_| {});
    let bytes: vec::Vec<u8> = (0..=255).cycle().take(512).collect();
    rig.submit(Data::Out(bytes.clone()));
    let (_, orb) = rig.fetch_orb();
    let data = orb.data_descriptor.address();
    assert_eq!(rig.read(data, 512), bytes);
    let middle = rig.request(data.checked_add(4).unwrap(), Operation::ReadQuadlet);
    assert_eq!(middle.data, [4, 5, 6, 7]);
}

#[test]
fn an_orb_reads_as_zeros_past_its_end() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::None);
    let (address, _) = rig.fetch_orb();
    assert_eq!(rig.read(address, 0x3fc)[36..], [0; 0x3fc - 36]);
}

#[test]
fn serialised_operation_has_one_orb_outstanding_and_no_doorbell() {
    let mut rig = Rig::logged_in(|_| {});
    for _ in 0..3 {
        rig.submit(Data::In(512));
    }
    for left in (0..3).rev() {
        let (address, orb) = rig.fetch_orb();
        assert!(orb.next_orb.is_null());
        assert_eq!(rig.host.outstanding(), 1);
        assert!(rig.sent().is_none(), "one at a time");
        rig.status(address, good);
        assert_eq!(rig.host.waiting(), if left == 0 { 0 } else { left - 1 });
    }
    assert!(rig.sent().is_none());
}

#[test]
fn a_chain_is_linked_by_next_orb_and_doorbell() {
    let mut rig = Rig::logged_in(|config| config.depth = 4);
    for _ in 0..6 {
        rig.submit(Data::In(512));
    }
    let (first, orb) = rig.fetch_orb();
    assert_eq!(rig.host.outstanding(), 4);
    for _ in 0..3 {
        let bell = rig.agent_write(AgentRegister::Doorbell);
        // Active anyway, says a strict target.
        rig.answer(&bell, RCode::CONFLICT_ERROR);
    }
    assert!(rig.sent().is_none());
    let second = orb.next_orb.address();
    assert!(!orb.next_orb.is_null());
    assert!(!rig.orb_at(second).next_orb.is_null());
    rig.status(first, |status| status.source = StatusSource::OrbNextNotNull);
    let bell = rig.agent_write(AgentRegister::Doorbell);
    rig.answer(&bell, RCode::COMPLETE);
    assert_eq!(rig.host.outstanding(), 4);
}

#[test]
fn a_missed_doorbell_is_rung_again() {
    let mut rig = Rig::logged_in(|config| config.depth = 2);
    rig.submit(Data::None);
    let (first, orb) = rig.fetch_orb();
    assert!(orb.next_orb.is_null(), "the agent has seen the end");
    rig.submit(Data::None);
    let bell = rig.agent_write(AgentRegister::Doorbell);
    rig.answer(&bell, RCode::CANCELLED);
    rig.wait(Duration::from_millis(10));
    let bell = rig.agent_write(AgentRegister::Doorbell);
    rig.answer(&bell, RCode::COMPLETE);
    rig.status(first, |status| status.source = StatusSource::OrbNextNull);
    // The agent says that it stopped before the second was linked.
    rig.agent_write(AgentRegister::Doorbell);
    // The first ORB's command has ended, but its next_ORB is what the agent looks at.
    let again = rig.orb_at(first);
    assert!(!again.next_orb.is_null());
}

#[test]
fn a_late_response_to_the_pointer_fails_nothing() {
    let mut rig = Rig::logged_in(|_| {});
    let tag = rig.submit(Data::None);
    let write = rig.agent_write(AgentRegister::OrbPointer);
    rig.answer(&write, RCode::CANCELLED);
    assert!(rig.sent().is_none(), "the pointer is not written twice");
    rig.status(super::rig::pointer(&write).address(), good);
    assert!(
        matches!(rig.notice(), Some(Notice::Completed { tag: own, result: Ok(_) }) if own == tag)
    );
}

/// Without an acknowledgement the target may have it, and may be about to write.
#[test]
fn a_command_whose_pointer_was_not_acknowledged_is_aborted_before_it_is_issued_again() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::Out(vec![1; 512]));
    let write = rig.agent_write(AgentRegister::OrbPointer);
    let orb = rig.orb_at(super::rig::pointer(&write).address());
    rig.answer(&write, RCode::NO_ACK);
    let abort = rig.manage(Function::ABORT_TASK, Sbp2Status::OK);
    assert_eq!(abort.orb_to_abort(), super::rig::pointer(&write).address());
    let data = orb.data_descriptor.address();
    let read = rig.request(data, Operation::ReadBlock { length: 512 });
    assert_eq!(read.rcode, RCode::ADDRESS_ERROR);
    rig.accept_agent_reset();
    rig.fetch_orb();
}

#[test]
fn a_busy_doorbell_does_not_make_it_forget_a_busy_pointer() {
    let mut rig = Rig::logged_in(|config| config.depth = 2);
    rig.submit(Data::None);
    let pointer = rig.agent_write(AgentRegister::OrbPointer);
    rig.answer(&pointer, RCode::BUSY);
    rig.submit(Data::None);
    let bell = rig.agent_write(AgentRegister::Doorbell);
    rig.answer(&bell, RCode::BUSY);
    rig.wait(Duration::from_millis(10));
    let (_, orb) = rig.fetch_orb();
    assert!(!orb.next_orb.is_null());
}

#[test]
fn an_abort_with_others_outstanding_leaves_none_of_them_with_the_target() {
    let mut rig = Rig::logged_in(|config| config.depth = 2);
    let tag = rig.submit(Data::Out(vec![1; 512]));
    rig.submit(Data::Out(vec![2; 512]));
    rig.fetch_orb();
    rig.agent_write(AgentRegister::Doorbell);
    rig.host.abort(tag, rig.now);
    rig.manage(Function::ABORT_TASK_SET, Sbp2Status::OK);
    rig.accept_agent_reset();
    let result = Err(CommandError::Aborted);
    assert_eq!(rig.notice(), Some(Notice::Completed { tag, result }));
    let (_, orb) = rig.fetch_orb();
    assert_eq!(rig.read(orb.data_descriptor.address(), 4), [2; 4]);
}

#[test]
fn a_refused_pointer_resets_the_agent_and_is_not_tried_for_ever() {
    let mut rig = Rig::logged_in(|_| {});
    let tag = rig.submit(Data::None);
    for _ in 0..3 {
        let write = rig.agent_write(AgentRegister::OrbPointer);
        rig.answer(&write, RCode::CONFLICT_ERROR);
        rig.accept_agent_reset();
    }
    let result = Err(CommandError::Refused(RCode::CONFLICT_ERROR));
    assert_eq!(rig.notice(), Some(Notice::Completed { tag, result }));
}

#[test]
fn sense_comes_with_the_status_also_from_an_oxford_911() {
    let sense = [2, 5, 0x20, 0, 0, 0, 0, 0];
    for status in [Sbp2Status::OK, Sbp2Status::FUNCTION_REJECTED] {
        let mut rig = Rig::logged_in(|_| {});
        rig.submit(Data::None);
        let (address, _) = rig.fetch_orb();
        rig.status(address, |block| {
            block.status = status.0;
            block.scsi = sense.to_vec();
        });
        let Some(Notice::Completed { result, .. }) = rig.notice() else {
            panic!("not completed");
        };
        assert_eq!(result.unwrap().scsi, sense);
    }
}

#[test]
fn a_dead_agent_is_reset_before_the_next_orb() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::None);
    rig.submit(Data::None);
    let (address, _) = rig.fetch_orb();
    rig.status(address, |block| {
        block.dead = true;
        block.scsi = vec![2, 3, 0x11, 0];
    });
    assert!(matches!(
        rig.notice(),
        Some(Notice::Completed { result: Ok(_), .. })
    ));
    rig.accept_agent_reset();
    rig.fetch_orb();
}

#[test]
fn a_transport_failure_is_tried_again_three_times_in_all() {
    let mut rig = Rig::logged_in(|_| {});
    let tag = rig.submit(Data::In(512));
    for _ in 0..3 {
        assert_eq!(rig.notice(), None);
        let (address, _) = rig.fetch_orb();
        rig.status(address, |block| {
            block.resp = Resp::TransportFailure;
            block.status = 0x42;
        });
    }
    let Some(Notice::Completed { tag: own, result }) = rig.notice() else {
        panic!("not completed");
    };
    assert_eq!(own, tag);
    let text = alloc::format!("{}", result.unwrap_err());
    assert!(text.contains("time-out"), "{text}");
}

#[test]
fn a_dead_agent_with_others_outstanding_has_their_tasks_aborted_first() {
    let mut rig = Rig::logged_in(|config| config.depth = 2);
    rig.submit(Data::Out(vec![1; 512]));
    rig.submit(Data::Out(vec![2; 512]));
    let (address, _) = rig.fetch_orb();
    rig.agent_write(AgentRegister::Doorbell);
    rig.status(address, |block| block.dead = true);
    assert!(matches!(
        rig.notice(),
        Some(Notice::Completed { result: Ok(_), .. })
    ));
    rig.manage(Function::ABORT_TASK_SET, Sbp2Status::OK);
    rig.accept_agent_reset();
    let (_, orb) = rig.fetch_orb();
    assert_eq!(rig.read(orb.data_descriptor.address(), 4), [2; 4]);
    assert_eq!(rig.host.counters().reissued, 1);
}

#[test]
fn a_command_without_status_is_aborted_and_tried_again() {
    let mut rig = Rig::logged_in(|_| {});
    let tag = rig.submit(Data::In(512));
    for _ in 0..3 {
        let (address, orb) = rig.fetch_orb();
        rig.wait(Duration::from_secs(30));
        let abort = rig.manage(Function::ABORT_TASK, Sbp2Status::OK);
        assert_eq!(abort.orb_to_abort(), address);
        rig.accept_agent_reset();
        // Whatever the target says or sends now is not for the next try.
        let data = orb.data_descriptor.address();
        assert_eq!(rig.write(data, &[9; 8]), RCode::ADDRESS_ERROR);
        rig.status(address, good);
    }
    let refused = Notice::Refused(Refusal::NothingThere);
    assert_eq!(rig.notice(), Some(refused));
    let Some(Notice::Completed { tag: own, result }) = rig.notice() else {
        panic!("not completed");
    };
    let limit = Duration::from_secs(30);
    assert_eq!((own, result), (tag, Err(CommandError::TimedOut(limit))));
    assert_eq!(rig.host.counters().stale_status, 3);
}

#[test]
fn a_target_without_task_management_has_its_agent_reset() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::In(512));
    rig.fetch_orb();
    rig.wait(Duration::from_secs(30));
    let unknown = Sbp2Status::REQUEST_TYPE_NOT_SUPPORTED;
    rig.manage(Function::ABORT_TASK, unknown);
    rig.manage(Function::ABORT_TASK_SET, unknown);
    // No LOGICAL UNIT RESET: it would hit the other hosts.
    rig.accept_agent_reset();
    rig.fetch_orb();
}

#[test]
fn a_target_that_answers_nothing_loses_its_login() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::In(512));
    rig.fetch_orb();
    rig.wait(Duration::from_secs(30));
    for function in [
        Function::ABORT_TASK,
        Function::ABORT_TASK_SET,
        Function::LOGICAL_UNIT_RESET,
    ] {
        let (_, orb) = rig.management_orb();
        assert_eq!(orb.function(), function);
        rig.wait(Duration::from_secs(2));
    }
    assert!(matches!(rig.notice(), Some(Notice::LoginLost(_))));
    rig.wait(Duration::from_secs(1));
    // Its tasks end with the old login, before their commands are issued again; and a strict
    // target would refuse a second login beside it.
    rig.manage(Function::LOGOUT, Sbp2Status::OK);
    rig.grant_login();
}

#[test]
fn an_abort_on_request_is_final() {
    let mut rig = Rig::logged_in(|_| {});
    let tag = rig.submit(Data::In(512));
    let queued = rig.submit(Data::In(512));
    let (address, _) = rig.fetch_orb();
    rig.host.abort(queued, rig.now);
    let result = Err(CommandError::Aborted);
    assert_eq!(
        rig.notice(),
        Some(Notice::Completed {
            tag: queued,
            result
        })
    );
    rig.host.abort(tag, rig.now);
    assert_eq!(rig.orb_at(address).request_format(), RequestFormat::DUMMY);
    rig.manage(Function::ABORT_TASK, Sbp2Status::OK);
    rig.accept_agent_reset();
    let result = Err(CommandError::Aborted);
    assert_eq!(rig.notice(), Some(Notice::Completed { tag, result }));
    assert!(rig.sent().is_none());
}

#[test]
fn more_data_than_a_command_may_move_is_refused() {
    let mut rig = Rig::logged_in(|config| config.max_transfer = 4096);
    let tag = rig.submit(Data::In(4097));
    let result = Err(CommandError::TooLarge {
        length: 4097,
        limit: 4096,
    });
    assert_eq!(rig.notice(), Some(Notice::Completed { tag, result }));
    assert!(rig.sent().is_none());
}

#[test]
fn hostile_status_blocks_harm_nothing() {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::In(512));
    let (address, _) = rig.fetch_orb();
    let fifo = Address::new(0x1_0000_0000);
    for length in [0, 4, 7, 9, 36, 64] {
        assert_eq!(rig.write(fifo, &vec![0; length]), RCode::TYPE_ERROR);
    }
    let quadlet = Operation::WriteQuadlet { data: [0; 4] };
    assert_eq!(rig.request(fifo, quadlet).rcode, RCode::TYPE_ERROR);
    for orb in [0, u64::MAX, address.get() + 8, address.get() + 0x1000] {
        rig.status(Address::new(orb), good);
    }
    rig.status(address, |block| block.source = StatusSource::Unsolicited);
    for refusal in [Refusal::MalformedStatus, Refusal::ForeignStatus] {
        assert_eq!(rig.notice(), Some(Notice::Refused(refusal)));
    }
    assert_eq!(rig.notice(), None);
    assert_eq!(rig.host.outstanding(), 1);
    rig.status(address, good);
    rig.status(address, good);
    assert!(matches!(
        rig.notice(),
        Some(Notice::Completed { result: Ok(_), .. })
    ));
    assert_eq!(rig.notice(), None, "it completes once");
}

#[test]
fn an_agent_that_dies_after_its_last_orb_is_reset_at_once() {
    let mut rig = Rig::logged_in(|config| config.depth = 2);
    rig.submit(Data::None);
    let (address, _) = rig.fetch_orb();
    rig.status(address, good);
    rig.status(address, |block| {
        block.resp = Resp::TransportFailure;
        block.dead = true;
    });
    rig.accept_agent_reset();
    rig.submit(Data::None);
    rig.fetch_orb();
}
