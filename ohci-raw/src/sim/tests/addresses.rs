use super::*;
use crate::bus::csr;
use crate::sim::AllocateError;

fn read(bus: &mut Bus, from: NodeIndex, to: NodeIndex, offset: u64, length: usize) -> RCode {
    let address = Address::new(MEMORY.get() + offset);
    send(bus, from, to, address, Operation::ReadBlock { length });
    rcode(bus, from)
}

#[test]
fn a_request_must_lie_inside_one_range_as_a_whole() {
    let mut bus = Bus::new(Timing::Immediate);
    let host = bus.attach_host(config(1, Speed::S800), START);
    let second = Address::new(MEMORY.get() + 0x100);
    let memory = bus.attach_machine(
        config(2, Speed::S800),
        vec![range(MEMORY, 0x100), range(second, 0x100)],
        Box::new(Memory::default()),
        START,
    );
    drain(&mut bus, host);
    assert_eq!(read(&mut bus, host, memory, 0, 0x100), RCode::COMPLETE);
    assert_eq!(read(&mut bus, host, memory, 0x100, 0x100), RCode::COMPLETE);
    assert_eq!(read(&mut bus, host, memory, 0x1fc, 4), RCode::COMPLETE);
    assert_eq!(bus.counters().refused, 0);
    for (offset, length) in [(0xfc, 8), (0, 0x104), (0x1fc, 8), (0x200, 4)] {
        let got = read(&mut bus, host, memory, offset, length);
        assert_eq!(got, RCode::ADDRESS_ERROR, "{length} at {offset}");
    }
    assert_eq!(bus.counters().refused, 4);
}

#[test]
fn a_host_refuses_what_it_did_not_allocate() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let allocated = bus.allocate(b, 64).unwrap();
    let behind = Address::new(allocated.end());
    for (address, expected) in [
        (behind, RCode::ADDRESS_ERROR),
        (Address::new(0xffff_0000_0000), RCode::ADDRESS_ERROR),
        (Address::new(0xffff_ffff), RCode::TYPE_ERROR),
        (Address::new(0), RCode::TYPE_ERROR),
    ] {
        send(&mut bus, a, b, address, Operation::ReadQuadlet);
        assert_eq!(rcode(&mut bus, a), expected, "{address}");
    }
    assert_eq!(bus.poll_event(b), None);
    bus.deallocate(b, allocated).unwrap();
    send(&mut bus, a, b, allocated.start(), Operation::ReadQuadlet);
    assert_eq!(rcode(&mut bus, a), RCode::ADDRESS_ERROR);
}

#[test]
fn a_posted_write_is_complete_before_the_host_answers_and_whatever_it_answers() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let range = bus.allocate(b, 64).unwrap();
    for operation in [write(8), Operation::WriteQuadlet { data: [1, 2, 3, 4] }] {
        send(&mut bus, a, b, range.start(), operation.clone());
        assert_eq!(rcode(&mut bus, a), RCode::COMPLETE);
        let request = asked(&mut bus, b);
        assert_eq!(request.operation, operation);
        let refusal = Response::error(RCode::ADDRESS_ERROR);
        assert_eq!(bus.respond(b, request.handle, refusal, START), Ok(()));
        assert_eq!(bus.poll_event(a), None);
    }
    assert_eq!(bus.counters().late_responses, 0);
    assert_eq!(bus.counters().packets, 2);
}

#[test]
fn a_posted_write_to_nobody_is_complete_all_the_same() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    send(&mut bus, a, b, csr::POSTED_WRITES.start(), write(8));
    assert_eq!(rcode(&mut bus, a), RCode::COMPLETE);
    assert_eq!(bus.counters().refused, 1);
    // Above the range in which writes are posted, the writer is told.
    send(
        &mut bus,
        a,
        b,
        Address::new(csr::POSTED_WRITES.end()),
        write(8),
    );
    assert_eq!(rcode(&mut bus, a), RCode::ADDRESS_ERROR);
}

#[test]
fn a_machine_does_not_post_writes() {
    let mut bus = Bus::new(Timing::Immediate);
    let host = bus.attach_host(config(1, Speed::S400), START);
    let machine = attach(&mut bus, 2, Memory::default());
    drain(&mut bus, host);
    send(
        &mut bus,
        host,
        machine,
        csr::POSTED_WRITES.start(),
        write(8),
    );
    assert_eq!(rcode(&mut bus, host), RCode::ADDRESS_ERROR);
}

#[test]
fn every_node_has_its_rom_read_by_quadlets_and_zeros_behind_its_end() {
    let (mut bus, host, memory) = host_and_memory();
    for (offset, expected) in [
        (0, Ok([0x04, 0x04, 0x11, 0x11])),
        (4, Ok(*b"1394")),
        (8, Ok([0x12, 0x34, 0x56, 0x78])),
        (12, Ok([0; 4])),
        (0x3fc, Ok([0; 4])),
        (2, Err(RCode::ADDRESS_ERROR)),
        (0x400, Err(RCode::ADDRESS_ERROR)),
    ] {
        let address = Address::new(csr::CONFIG_ROM.get() + offset);
        send(&mut bus, host, memory, address, Operation::ReadQuadlet);
        let expected = match expected {
            Ok(data) => (RCode::COMPLETE, data.to_vec()),
            Err(rcode) => (rcode, vec![]),
        };
        assert_eq!(ended(&mut bus, host), expected, "{offset:#x}");
    }
    send(&mut bus, host, memory, csr::CONFIG_ROM, write(4));
    assert_eq!(rcode(&mut bus, host), RCode::TYPE_ERROR);
}

#[test]
fn block_reads_of_the_rom_are_served_or_not_as_the_node_says() {
    let mut bus = Bus::new(Timing::Immediate);
    let host = bus.attach_host(config(1, Speed::S400), START);
    let mut oxford = config(2, Speed::S400);
    oxford.rom_block_reads = false;
    let oxford = bus.attach_host(oxford, START);
    drain(&mut bus, host);
    let near_end = Address::new(csr::CONFIG_ROM.get() + 0x3f8);
    for (node, address, length, expected) in [
        (host, csr::CONFIG_ROM, 10, RCode::COMPLETE),
        (host, near_end, 8, RCode::COMPLETE),
        (host, near_end, 12, RCode::ADDRESS_ERROR),
        (oxford, csr::CONFIG_ROM, 8, RCode::TYPE_ERROR),
    ] {
        send(
            &mut bus,
            host,
            node,
            address,
            Operation::ReadBlock { length },
        );
        let (rcode, data) = ended(&mut bus, host);
        assert_eq!(rcode, expected, "{length} at {address}");
        if rcode.is_complete() {
            assert_eq!(data.len(), length);
        }
    }
}

#[test]
fn ranges_of_a_host_do_not_overlap_and_gaps_are_used_again() {
    let (mut bus, host, other) = two_hosts(Timing::Immediate);
    let ranges = [0x100, 0x40, 0x100].map(|length| bus.allocate(host, length).unwrap());
    for (number, a) in ranges.iter().enumerate() {
        assert!(
            csr::POSTED_WRITES
                .offset_of(a.start(), a.length())
                .is_some()
        );
        assert!(ranges[number + 1..].iter().all(|b| !a.overlaps(*b)));
    }
    let gap = ranges[1];
    bus.deallocate(host, gap).unwrap();
    assert_eq!(
        bus.deallocate(host, gap),
        Err(AllocateError::NotAllocated(gap))
    );
    assert!(!bus.allocate(host, 0x44).unwrap().overlaps(gap));
    assert_eq!(bus.allocate(host, 0x40), Ok(gap));
    assert_eq!(bus.allocate(other, 0x100), Ok(ranges[0]));
}

#[test]
fn a_range_that_cannot_be_had_is_refused() {
    let (mut bus, host, _) = two_hosts(Timing::Immediate);
    for length in [0, 2, 1 << 32, u64::MAX - 3] {
        let refused = bus.allocate(host, length);
        assert_eq!(refused, Err(AllocateError::BadLength(length)));
    }
    let all = csr::POSTED_WRITES;
    let all_but_two_gaps = range(Address::new(all.start().get() + 8), all.length() - 16);
    let claims = &mut bus.nodes[host.0].claims;
    claims.insert(all_but_two_gaps.start().get(), all_but_two_gaps);
    assert_eq!(bus.allocate(host, 12), Err(AllocateError::NoSpace(12)));
    assert_eq!(bus.allocate(host, 8), Ok(range(all.start(), 8)));
    let last = range(Address::new(all_but_two_gaps.end()), 8);
    assert_eq!(bus.allocate(host, 8), Ok(last));
    assert_eq!(bus.allocate(host, 4), Err(AllocateError::NoSpace(4)));
}

#[test]
fn a_range_can_be_claimed_where_nothing_else_is() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let registers = range(csr::REGISTER_SPACE, 0x400);
    bus.claim(b, registers).unwrap();
    send(&mut bus, a, b, csr::BUSY_TIMEOUT, Operation::ReadQuadlet);
    assert!(matches!(bus.poll_event(b), Some(Event::Request(_))));
    for taken in [
        registers,
        range(Address::new(csr::CONFIG_ROM.get() + 0x3fc), 8),
    ] {
        assert_eq!(bus.claim(b, taken), Err(AllocateError::Overlap(taken)));
    }
    let empty = range(Address::new(0x1_0000_0000), 0);
    assert_eq!(bus.claim(b, empty), Err(AllocateError::BadLength(0)));
    bus.deallocate(b, registers).unwrap();
    bus.claim(b, registers).unwrap();
}

#[test]
fn a_changed_rom_is_what_the_bus_serves() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    bus.set_rom(b, vec![0xdead_beef]);
    send(&mut bus, a, b, csr::CONFIG_ROM, Operation::ReadQuadlet);
    assert!(matches!(
        bus.poll_event(a),
        Some(Event::Response { data, .. }) if data == [0xde, 0xad, 0xbe, 0xef]
    ));
    assert_eq!(bus.config(b).rom, [0xdead_beef]);
}
