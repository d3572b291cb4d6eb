//! Requests, address ranges and answers.

use super::*;

#[test]
fn a_request_that_the_core_does_not_send_is_refused_at_once() {
    let mut rig = Rig::new();
    let client = rig.open(0, 1, 6);
    for (code, length, expected) in [
        (2, 4, Errno::EINVAL),
        (0x10, 8, Errno::EINVAL),
        (0x18, 8, Errno::EINVAL),
        (tcode::WRITE_QUADLET, 3, Errno::EINVAL),
        (tcode::WRITE_BLOCK, 2049, Errno::EIO),
        (tcode::READ_BLOCK, 4097, Errno::EIO),
    ] {
        let refused = rig.try_request(0, client, code, HIGH, &vec![0; length]);
        assert_eq!(refused, Err(expected), "{code:x} {length}");
    }
    assert_eq!(rig.event(0, client), None);
}

#[test]
fn a_stale_generation_comes_back_as_an_event() {
    let mut rig = Rig::new();
    let client = rig.open(0, 1, 6);
    let request = abi::SendRequest {
        tcode: tcode::READ_QUADLET,
        length: 4,
        closure: 5,
        generation: event::low_byte(rig.hosts[0].generation) ^ 1,
        ..abi::SendRequest::default()
    };
    rig.call(0, client, number::SEND_REQUEST, &request).unwrap();
    assert_eq!(rig.rcode(0, client), Some(0x13));
}

#[test]
fn the_low_4_gib_are_type_errors_and_what_nobody_has_is_an_address_error() {
    let mut rig = Rig::new();
    let client = rig.open(0, 1, 5);
    for (offset, expected) in [
        (0, 6),
        (0xffff_fffc, 6),
        (HIGH, 7),
        (csr::REGISTER_SPACE.get() + 0x10, 7),
        (csr::CONFIG_ROM.get(), 0),
        (csr::BUSY_TIMEOUT.get(), 0),
    ] {
        rig.request(0, client, tcode::READ_QUADLET, offset, &[0; 4]);
        assert_eq!(rig.rcode(0, client), Some(expected), "{offset:x}");
    }
}

#[test]
fn a_range_is_one_programs_and_goes_when_its_file_is_closed() {
    let mut rig = Rig::new();
    let asker = rig.open(0, 1, 6);
    let owner = rig.open(1, 0, 6);
    let other = rig.open(1, 1, 6);
    let range = rig.allocate(1, owner, 64).unwrap();
    assert_eq!(range.offset, HIGH);
    let beside = rig.allocate(1, other, 64).unwrap();
    assert_eq!(beside.offset, HIGH + 64);
    // Across the border: in neither.
    rig.request(0, asker, tcode::READ_BLOCK, HIGH + 32, &[0; 64]);
    assert_eq!(rig.rcode(0, asker), Some(7));
    rig.request(0, asker, tcode::READ_BLOCK, HIGH, &[0; 64]);
    let request = rig.incoming(1, owner);
    assert_eq!((request.closure, request.length), (77, 64));
    let origin = request.origin.unwrap();
    assert_eq!((origin.source.0, origin.destination.0), (0xffc0, 0xffc1));
    assert_eq!(rig.event(1, other), None);
    // Not answered when the file is closed.
    let now = rig.now;
    rig.hosts[1].close(&mut rig.bus, owner, now);
    rig.run();
    assert_eq!(rig.rcode(0, asker), Some(4));
    rig.request(0, asker, tcode::READ_BLOCK, HIGH, &[0; 64]);
    assert_eq!(rig.rcode(0, asker), Some(7));
    let again = rig.allocate(1, other, 64).unwrap();
    assert_eq!(again.offset, HIGH);
    let dealt = rig.call(1, other, number::DEALLOCATE, &again.handle);
    assert!(dealt.is_ok());
    assert_eq!(
        rig.call(1, other, number::DEALLOCATE, &again.handle),
        Err(Errno::EINVAL)
    );
}

#[test]
fn a_program_from_before_version_4_gets_the_place_that_it_names_or_none() {
    let mut rig = Rig::new();
    let client = rig.hosts[0].open(0).unwrap();
    assert_eq!(rig.allocate(0, client, 64).unwrap().offset, HIGH);
    assert_eq!(
        rig.allocate(0, client, 64).map(|range| range.offset),
        Err(Errno::EBUSY)
    );
}

#[test]
fn an_answer_of_the_wrong_length_costs_the_request() {
    for (code, length, right) in [
        (tcode::READ_QUADLET, 4, 4),
        (tcode::READ_BLOCK, 16, 16),
        (tcode::LOCK_MASK_SWAP + 1, 8, 4),
        (tcode::LOCK_FETCH_ADD, 4, 4),
    ] {
        for rcode in [0, 5] {
            let mut rig = Rig::new();
            let asker = rig.open(0, 1, 6);
            let owner = rig.open(1, 0, 6);
            rig.allocate(1, owner, 64).unwrap();
            rig.request(0, asker, code, HIGH, &vec![0; length]);
            let handle = rig.incoming(1, owner).handle;
            let wrong = rig.answer(1, owner, handle, rcode, &vec![0; right + 4]);
            assert_eq!(wrong, Err(Errno::EINVAL), "{code:x}");
            let again = rig.answer(1, owner, handle, rcode, &vec![0; right]);
            assert_eq!(again, Err(Errno::EINVAL), "the handle is used up");
            assert_eq!(rig.rcode(0, asker), None);
            rig.pass(Duration::from_secs(2));
            assert_eq!(rig.rcode(0, asker), Some(0x11), "the peer's time-out");

            rig.request(0, asker, code, HIGH, &vec![0; length]);
            let handle = rig.incoming(1, owner).handle;
            assert!(rig.answer(1, owner, handle, rcode, &vec![0; right]).is_ok());
            assert_eq!(rig.rcode(0, asker), Some(rcode));
        }
    }
}

#[test]
fn a_posted_write_is_over_before_its_answer_which_still_is_due() {
    let mut rig = Rig::new();
    let asker = rig.open(0, 1, 6);
    let owner = rig.open(1, 0, 6);
    rig.allocate(1, owner, 64).unwrap();
    rig.request(0, asker, tcode::WRITE_BLOCK, HIGH, &[7; 8]);
    assert_eq!(rig.rcode(0, asker), Some(0));
    let request = rig.incoming(1, owner);
    assert_eq!(request.data, [7; 8]);
    assert!(rig.answer(1, owner, request.handle, 7, &[]).is_ok());
    assert_eq!(
        rig.answer(1, owner, request.handle, 7, &[]),
        Err(Errno::EINVAL)
    );
}

#[test]
fn fcp_frames_reach_everybody_and_are_answered_by_the_core() {
    let mut rig = Rig::new();
    let asker = rig.open(0, 1, 6);
    let owners = [rig.open(1, 0, 6), rig.open(1, 1, 4)];
    let fcp = csr::REGISTER_SPACE.get() + 0xd00;
    for owner in owners {
        let wish = abi::Allocate {
            offset: fcp,
            length: 0x200,
            region_end: fcp + 0x200,
            ..abi::Allocate::default()
        };
        assert!(rig.call(1, owner, number::ALLOCATE, &wish).is_ok());
    }
    rig.request(0, asker, tcode::WRITE_BLOCK, fcp, &[1; 8]);
    assert_eq!(rig.rcode(0, asker), Some(0));
    for owner in owners {
        let handle = rig.incoming(1, owner).handle;
        // Whatever it says.
        assert!(rig.answer(1, owner, handle, 5, &[0; 3]).is_ok());
    }
    rig.request(0, asker, tcode::READ_QUADLET, fcp, &[0; 4]);
    assert_eq!(rig.rcode(0, asker), Some(6));
    rig.request(0, asker, tcode::WRITE_QUADLET, fcp + 4, &[0; 4]);
    assert_eq!(rig.rcode(0, asker), Some(7));
}

#[test]
fn a_broadcast_is_for_units_only() {
    let mut rig = Rig::new();
    let client = rig.open(0, 0, 6);
    let broadcast = |code, offset| abi::SendRequest {
        tcode: code,
        length: 4,
        offset,
        closure: 5,
        generation: 2,
        ..abi::SendRequest::default()
    };
    let command = number::SEND_BROADCAST_REQUEST;
    let units = csr::REGISTER_SPACE.get() + 0x1_0000;
    let read = broadcast(tcode::READ_QUADLET, units);
    assert_eq!(rig.call(0, client, command, &read), Err(Errno::EINVAL));
    let core = broadcast(tcode::WRITE_QUADLET, csr::BUSY_TIMEOUT.get());
    assert_eq!(rig.call(0, client, command, &core), Err(Errno::EACCES));
    let write = broadcast(tcode::WRITE_QUADLET, units);
    assert!(rig.call(0, client, command, &write).is_ok());
    assert_eq!(rig.rcode(0, client), Some(0));
}
