//! Lies of a bridge, one by one: each changes nothing, is answered with an error where there is
//! an answer, is counted by its kind, and is told once.

use alloc::vec;
use alloc::vec::Vec;

use ohci_raw::bus::{Address, Generation, LockKind, NodeId, Operation, RCode};

use super::rig::{Rig, good};
use crate::initiator::{Data, Notice, Refusal};
use crate::wire::{CommandOrb, Resp, StatusBlock, StatusSource};

const FIFO: Address = Address::new(0x1_0000_0000);

fn write(length: usize) -> Operation {
    Operation::WriteBlock {
        data: vec![9; length],
    }
}

fn read(length: usize) -> Operation {
    Operation::ReadBlock { length }
}

fn beside(address: Address, offset: u64) -> Address {
    address.checked_add(offset).unwrap()
}

/// Expects that this lie has been counted so often and nothing else has, and that it was told
/// of once.
fn expect(rig: &mut Rig, refusal: Refusal, count: u64) {
    let refusals = rig.host.counters().refusals;
    assert_eq!(
        (refusals.of(refusal), refusals.total()),
        (count, count),
        "{refusal:?}"
    );
    assert_eq!(rig.notice(), Some(Notice::Refused(refusal)));
    assert_eq!(rig.notice(), None);
}

/// The command under way ends as if nothing had been: with what it was sent before.
fn expect_data(rig: &mut Rig, orb: Address, expected: &[u8]) {
    rig.status(orb, good);
    let Some(Notice::Completed { result, .. }) = rig.notice() else {
        panic!("not completed");
    };
    assert_eq!(result.unwrap().data, expected);
}

/// A read of 512 bytes is under way, and half of them have come.
fn half_read() -> (Rig, Address, CommandOrb, Vec<u8>) {
    let mut rig = Rig::logged_in(|_| {});
    rig.submit(Data::In(512));
    let (address, orb) = rig.fetch_orb();
    let data = orb.data_descriptor.address();
    assert_eq!(rig.write(data, &[1; 256]), RCode::COMPLETE);
    let expected = [[1; 256], [0; 256]].concat();
    (rig, address, orb, expected)
}

#[test]
fn a_request_of_another_node() {
    let (mut rig, address, orb, expected) = half_read();
    let (node, generation) = (NodeId::local(9), rig.generation);
    let data = orb.data_descriptor.address();
    for (place, operation) in [
        (data, write(8)),
        (address, read(32)),
        (FIFO, write(8)),
        (Address::new(0x2_0000_0000), read(4)),
    ] {
        let response = rig.request_from(node, generation, place, operation);
        assert_eq!(response.rcode, RCode::ADDRESS_ERROR);
        assert!(response.data.is_empty());
    }
    expect(&mut rig, Refusal::WrongNode, 4);
    expect_data(&mut rig, address, &expected);
}

#[test]
fn a_request_of_an_old_generation() {
    let (mut rig, address, orb, expected) = half_read();
    let data = orb.data_descriptor.address();
    let target = rig.target;
    for operation in [write(8), Operation::WriteQuadlet { data: [9; 4] }] {
        let response = rig.request_from(target, Generation(77), data, operation);
        assert_eq!(response.rcode, RCode::ADDRESS_ERROR);
    }
    expect(&mut rig, Refusal::OldGeneration, 2);
    expect_data(&mut rig, address, &expected);
}

#[test]
fn addresses_at_which_nothing_is() {
    let (mut rig, address, orb, expected) = half_read();
    let data = orb.data_descriptor.address();
    let slot = data.get() - address.get();
    for (place, operation) in [
        // Another command's slot, the space between, inside the status FIFO, no management ORB.
        (beside(data, 0x10_0000), write(8)),
        (beside(address, 0x10_0000), read(32)),
        (beside(FIFO, 0x20), write(8)),
        (beside(FIFO, 4), write(8)),
        (beside(FIFO, 0x1c00), read(32)),
        (beside(FIFO, 0x1c40), write(16)),
        (Address::new(FIFO.get() - 4), read(4)),
        (Address::MAX, read(4)),
    ] {
        let rcode = rig.request(place, operation).rcode;
        assert_eq!(rcode, RCode::ADDRESS_ERROR, "{place}, {slot:x}");
    }
    expect(&mut rig, Refusal::NothingThere, 8);
    expect_data(&mut rig, address, &expected);
    // The command is over, and so is the target's right to its buffer.
    assert_eq!(rig.write(data, &[9; 8]), RCode::ADDRESS_ERROR);
    assert_eq!(rig.host.counters().refusals.of(Refusal::NothingThere), 9);
}

#[test]
fn lengths_beyond_the_buffer() {
    let (mut rig, address, orb, expected) = half_read();
    let data = orb.data_descriptor.address();
    for (place, operation) in [
        (beside(data, 508), write(8)),
        (data, write(516)),
        (beside(data, 512), write(4)),
        (beside(address, 0x3fc), read(8)),
        (address, read(0x404)),
    ] {
        let rcode = rig.request(place, operation).rcode;
        assert_eq!(rcode, RCode::ADDRESS_ERROR, "{place}");
    }
    expect(&mut rig, Refusal::BeyondEnd, 5);
    expect_data(&mut rig, address, &expected);
}

#[test]
fn reads_of_a_buffer_that_is_to_be_filled_and_writes_to_an_orb() {
    let (mut rig, address, orb, expected) = half_read();
    let data = orb.data_descriptor.address();
    let lock = Operation::Lock {
        kind: LockKind::CompareSwap,
        data: vec![0; 8],
    };
    for (place, operation) in [
        (data, read(8)),
        (data, Operation::ReadQuadlet),
        (data, lock),
        (address, write(8)),
        (address, Operation::WriteQuadlet { data: [9; 4] }),
    ] {
        let response = rig.request(place, operation);
        assert_eq!(response.rcode, RCode::ADDRESS_ERROR, "{place}");
    }
    expect(&mut rig, Refusal::WrongDirection, 5);
    let before = rig.orb_at(address);
    assert_eq!(before.data_descriptor.address(), data);
    expect_data(&mut rig, address, &expected);
}

#[test]
fn writes_into_a_buffer_that_is_to_be_read() {
    let mut rig = Rig::logged_in(|_| {});
    let bytes: Vec<u8> = (0..=255).cycle().take(512).collect();
    rig.submit(Data::Out(bytes.clone()));
    let (_, orb) = rig.fetch_orb();
    let data = orb.data_descriptor.address();
    assert_eq!(rig.write(data, &[9; 512]), RCode::ADDRESS_ERROR);
    let quadlet = Operation::WriteQuadlet { data: [9; 4] };
    assert_eq!(rig.request(data, quadlet).rcode, RCode::ADDRESS_ERROR);
    expect(&mut rig, Refusal::WrongDirection, 2);
    assert_eq!(rig.read(data, 512), bytes);
}

#[test]
fn writes_to_a_page_table_and_reads_of_it_without_end() {
    let mut rig = Rig::logged_in(|_| {});
    let length = 128 << 10;
    rig.submit(Data::In(length));
    let (address, orb) = rig.fetch_orb();
    let table = orb.data_descriptor.address();
    let bytes = usize::from(orb.data_size()) * 8;
    let first = rig.read(table, bytes);
    assert_eq!(rig.write(table, &[9; 8]), RCode::ADDRESS_ERROR);
    expect(&mut rig, Refusal::WrongDirection, 1);
    let mut served = 0;
    let refused = loop {
        let response = rig.request(table, read(bytes));
        if !response.rcode.is_complete() {
            break response;
        }
        assert_eq!(response.data, first, "it stays as it is");
        served += 1;
        assert!(served < 1000, "without end");
    };
    assert!(served >= 8, "a target may read it again");
    assert_eq!(refused.rcode, RCode::ADDRESS_ERROR);
    for _ in 0..1000 {
        rig.request(table, read(8));
    }
    let refusals = rig.host.counters().refusals;
    assert_eq!(refusals.of(Refusal::EndlessReading), 1001);
    let told = Notice::Refused(Refusal::EndlessReading);
    assert_eq!((rig.notice(), rig.notice()), (Some(told), None), "once");
    expect_data(&mut rig, address, &vec![0; length as usize]);
}

#[test]
fn a_status_that_makes_no_sense() {
    let (mut rig, address, _, expected) = half_read();
    for operation in [
        write(4),
        write(33),
        Operation::WriteQuadlet { data: [0; 4] },
        read(8),
    ] {
        let text = alloc::format!("{operation:?}");
        let rcode = rig.request(FIFO, operation).rcode;
        assert_eq!(rcode, RCode::TYPE_ERROR, "{text}");
    }
    expect(&mut rig, Refusal::MalformedStatus, 4);
    expect_data(&mut rig, address, &expected);
}

#[test]
fn a_status_for_an_orb_that_is_not_ours() {
    let (mut rig, address, orb, expected) = half_read();
    let data = orb.data_descriptor.address();
    for stranger in [
        Address::new(0),
        Address::new(0x1000_0000),
        Address::new(0xffff_ffff_fffc),
        data,
        beside(address, 4),
        FIFO,
    ] {
        let source = StatusSource::OrbNextNull;
        let complete = Resp::RequestComplete;
        let block = StatusBlock::new(source, complete, false, 0, stranger, &[]);
        rig.write(FIFO, &block.to_bytes());
        assert_eq!(rig.host.outstanding(), 1, "{stranger}");
    }
    expect(&mut rig, Refusal::ForeignStatus, 6);
    expect_data(&mut rig, address, &expected);
    // Late, but once ours: no lie, and no second end of the command.
    rig.status(address, good);
    assert_eq!(rig.notice(), None);
    assert_eq!(rig.host.counters().stale_status, 1);
}
