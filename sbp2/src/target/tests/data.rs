use super::lab::{DATA, Lab, TABLE, completion, pattern, read_10, write_10};
use crate::scsi::{AdditionalSense, Completion, SenseKey, Status};
use crate::target::BridgeProfile;
use crate::wire::{
    AgentRegister, AgentState, CommandOrb, Direction, MaxPayload, PageTableEntry, Pointer, Resp,
    Sbp2Status, SerialBusError, StatusSource, TransportObject,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use ohci_raw::bus::{Address, Machine, NodeId, Operation, RCode, Speed};
use zerocopy::IntoBytes;

use Direction::{FromTarget, ToTarget};

/// An ORB whose buffer is a page table with these segments.
fn table_orb(
    lab: &mut Lab,
    cdb: &[u8],
    direction: Direction,
    segments: &[(u64, u16)],
) -> CommandOrb {
    let table: Vec<_> = segments
        .iter()
        .map(|(base, length)| PageTableEntry::new(Address::new(*base), *length))
        .collect();
    lab.hosts[0].poke(TABLE, table.as_bytes());
    let mut block = [0; 16];
    block[..cdb.len()].copy_from_slice(cdb);
    CommandOrb::new(block).with_data(
        direction,
        Pointer::new(lab.hosts[0].node, Address::new(TABLE)),
        table.len() as u16,
        true,
        Speed::S400,
        MaxPayload::from_code(9),
    )
}

fn invalid_field() -> Completion {
    Completion::check_with(
        SenseKey::IllegalRequest,
        AdditionalSense::INVALID_FIELD_IN_CDB,
    )
}

/// The data packets of the bridge, as (address, bytes).
fn packets(lab: &Lab) -> Vec<(u64, usize)> {
    lab.sent
        .iter()
        .filter(|transaction| transaction.address.get() >= DATA)
        .map(|transaction| (transaction.address.get(), transaction.operation.length()))
        .collect()
}

#[test]
fn a_read_arrives_in_packets_that_keep_to_payload_and_buffer() {
    let mut lab = Lab::logged_in(1);
    lab.hosts[0].poke(DATA, &[0xee; 0x3000]);
    let read = lab.command(0, &read_10(5, 9), Some((FromTarget, 9 * 512)));
    assert!(read.is_good());
    assert_eq!(lab.hosts[0].peek(DATA, 9 * 512), lab.disk.read(5, 9));
    assert_eq!(lab.hosts[0].peek(DATA + 9 * 512, 512), [0xee; 512]);
    assert_eq!(
        packets(&lab),
        [(DATA, 2048), (DATA + 2048, 2048), (DATA + 4096, 512)]
    );
}

#[test]
fn a_packet_is_as_small_as_the_orb_says_and_no_larger_than_the_speed_allows() {
    for (code, speed, largest) in [
        (0, Speed::S400, 4),
        (7, Speed::S400, 512),
        (15, Speed::S100, 512),
        (15, Speed::S800, 4096),
    ] {
        let mut lab = Lab::logged_in(1);
        let mut cdb = [0; 16];
        cdb[..10].copy_from_slice(&read_10(0, 16));
        let orb = CommandOrb::new(cdb).with_data(
            FromTarget,
            Pointer::new(lab.hosts[0].node, Address::new(DATA)),
            16 * 512,
            false,
            speed,
            MaxPayload::from_code(code),
        );
        assert_eq!(lab.execute(0, &orb).status, 0);
        let packets = packets(&lab);
        assert_eq!(
            packets.iter().map(|(_, length)| length).max(),
            Some(&largest)
        );
        assert!(lab.sent.iter().all(|sent| sent.speed <= speed));
        assert_eq!(lab.hosts[0].peek(DATA, 16 * 512), lab.disk.read(0, 16));
    }
}

/// A controller may receive less than what its speed allows.
#[test]
fn a_packet_is_no_larger_than_the_profile_says() {
    let mut profile = BridgeProfile::generic();
    profile.max_payload = 1024;
    let mut lab = Lab::logged_in_with(1, profile);
    let read = lab.command(0, &read_10(5, 9), Some((FromTarget, 9 * 512)));
    assert!(read.is_good());
    assert_eq!(lab.hosts[0].peek(DATA, 9 * 512), lab.disk.read(5, 9));
    let largest = packets(&lab).into_iter().map(|(_, length)| length).max();
    assert_eq!(largest, Some(1024));
}

#[test]
fn a_write_reaches_the_medium_before_its_status() {
    let mut lab = Lab::logged_in(1);
    let data = pattern(1, 8 * 512);
    lab.hosts[0].poke(DATA, &data);
    assert!(
        lab.command(0, &write_10(100, 8), Some((ToTarget, 8 * 512)))
            .is_good()
    );
    assert_eq!(lab.disk.read(100, 8), data);
    assert_eq!(lab.disk.0.lock().unwrap().flushes, 0);
    let mut fua = write_10(100, 1);
    fua[1] = 8;
    assert!(lab.command(0, &fua, Some((ToTarget, 512))).is_good());
    assert_eq!(lab.disk.0.lock().unwrap().flushes, 1, "FUA is flushed");
    let mut profile = BridgeProfile::generic();
    profile.identity.write_cache = false;
    let mut lab = Lab::logged_in_with(1, profile);
    lab.command(0, &write_10(0, 1), Some((ToTarget, 512)));
    assert_eq!(
        lab.disk.0.lock().unwrap().flushes,
        1,
        "and so is all without a cache"
    );
}

#[test]
fn a_page_table_gathers_and_scatters_over_odd_and_empty_segments() {
    let segments = [
        (DATA, 700),
        (DATA + 0x8000, 0),
        (DATA + 0x3001, 1),
        (DATA + 0x4000, 3000),
        (DATA + 0x6000, 395),
    ];
    let mut lab = Lab::logged_in(1);
    let orb = table_orb(&mut lab, &read_10(7, 8), FromTarget, &segments);
    assert_eq!(lab.execute(0, &orb).status, 0);
    let gather = |lab: &Lab| -> Vec<u8> {
        let parts = segments.map(|(base, length)| lab.hosts[0].peek(base, length.into()));
        parts.concat()
    };
    assert_eq!(gather(&lab), lab.disk.read(7, 8));
    for (base, length) in packets(&lab) {
        let inside = |(start, room): &(u64, u16)| {
            base >= *start && base + length as u64 <= start + u64::from(*room)
        };
        assert!(segments.iter().any(inside), "{base:x} {length}");
    }
    for (index, (base, length)) in segments.into_iter().enumerate() {
        let bytes = pattern(index as u8, length.into());
        lab.hosts[0].poke(base, &bytes);
    }
    let orb = table_orb(&mut lab, &write_10(300, 8), ToTarget, &segments);
    assert_eq!(lab.execute(0, &orb).status, 0);
    assert_eq!(lab.disk.read(300, 8), gather(&lab));
}

#[test]
fn long_tables_and_long_transfers_go_through_in_portions() {
    let mut lab = Lab::logged_in(1);
    // 400 KiB in segments of 1000 bytes: a table of 410 entries, and seven chunks.
    let segments: Vec<(u64, u16)> = (0..410).map(|index| (DATA + index * 0x800, 1000)).collect();
    let data = pattern(9, 800 * 512);
    for ((base, length), part) in segments.iter().zip(data.chunks(1000)) {
        assert!(part.len() <= usize::from(*length));
        lab.hosts[0].poke(*base, part);
    }
    let orb = table_orb(&mut lab, &write_10(0, 800), ToTarget, &segments);
    assert_eq!(lab.execute(0, &orb).status, 0);
    assert_eq!(lab.disk.read(0, 800), data);
    assert_eq!(lab.disk.writes(), 7);
    let table = lab.sent.iter().filter(|sent| {
        (TABLE..DATA).contains(&sent.address.get()) && sent.operation.length() <= 512
    });
    assert_eq!(table.count(), 410_usize.div_ceil(64));
}

#[test]
fn data_made_by_the_device_is_cut_to_the_buffer() {
    let mut lab = Lab::logged_in(1);
    lab.hosts[0].poke(DATA, &[0xee; 64]);
    let inquiry = [0x12, 0, 0, 0, 36, 0];
    assert!(lab.command(0, &inquiry, Some((FromTarget, 10))).is_good());
    assert_ne!(lab.hosts[0].peek(DATA, 10)[4], 0xee);
    assert_eq!(lab.hosts[0].peek(DATA + 10, 54), [0xee; 54]);
    let orb = table_orb(&mut lab, &inquiry, FromTarget, &[(DATA + 0x1000, 5)]);
    assert_eq!(lab.execute(0, &orb).status, 0);
    assert!(lab.command(0, &inquiry, None).is_good());
}

#[test]
fn blocks_that_find_no_room_in_the_buffer_are_not_moved() {
    let mut lab = Lab::logged_in(1);
    let (before, short) = (lab.disk.read(0, 16), 8 * 512 - 1);
    for (cdb, direction) in [(read_10(0, 8), FromTarget), (write_10(0, 8), ToTarget)] {
        lab.sent.clear();
        assert_eq!(
            lab.command(0, &cdb, Some((direction, short))),
            invalid_field()
        );
        assert_eq!(lab.command(0, &cdb, None), invalid_field());
        let orb = table_orb(&mut lab, &cdb, direction, &[(DATA, 4000), (DATA, 95)]);
        assert_eq!(completion(&lab.execute(0, &orb)), invalid_field());
        assert!(packets(&lab).is_empty());
    }
    assert_eq!(lab.disk.read(0, 16), before);
    assert_eq!(lab.agent_state(0), AgentState::Suspended);
}

#[test]
fn a_long_table_that_proves_too_short_leaves_whole_chunks_that_had_arrived() {
    let mut lab = Lab::logged_in(1);
    lab.hosts[0].poke(DATA, &[0x5a; 0x8000]);
    let before = lab.disk.read(128, 72);
    // 130 entries of 512 bytes for 200 blocks; the table's end is seen with the third part.
    let segments = [(DATA, 512); 130];
    let orb = table_orb(&mut lab, &write_10(0, 200), ToTarget, &segments);
    let status = lab.execute(0, &orb);
    assert_eq!(completion(&status), invalid_field());
    assert_eq!(lab.disk.writes(), 1);
    assert_eq!(lab.disk.read(0, 128), [0x5a; 65536]);
    assert_eq!(lab.disk.read(128, 72), before);
}

#[test]
fn data_that_goes_the_other_way_is_illegal_and_moves_nothing() {
    let mut lab = Lab::logged_in(1);
    for (cdb, direction) in [(read_10(0, 1), ToTarget), (write_10(0, 1), FromTarget)] {
        let orb = lab.orb(0, &cdb, Some((direction, 512)));
        assert_eq!(lab.execute(0, &orb).resp(), Resp::IllegalRequest);
    }
    assert_eq!(lab.disk.writes(), 0);
    assert!(packets(&lab).is_empty());
}

#[test]
fn a_buffer_that_is_not_there_kills_the_agent_and_says_why() {
    let failed = |object, error| Some((object, error));
    let cases: [(u64, bool, _); 3] = [
        (
            0x5000,
            false,
            failed(TransportObject::DataBuffer, SerialBusError::ADDRESS_ERROR),
        ),
        (
            0x5000,
            true,
            failed(TransportObject::PageTable, SerialBusError::ADDRESS_ERROR),
        ),
        (
            TABLE,
            true,
            failed(TransportObject::DataBuffer, SerialBusError::ADDRESS_ERROR),
        ),
    ];
    for (address, page_table, expected) in cases {
        for (cdb, direction) in [(read_10(0, 1), FromTarget), (write_10(0, 1), ToTarget)] {
            let mut lab = Lab::logged_in(1);
            let entry = PageTableEntry::new(Address::new(0x5000), 512);
            lab.hosts[0].poke(TABLE, entry.as_bytes());
            let mut block = [0; 16];
            block[..10].copy_from_slice(&cdb);
            let orb = CommandOrb::new(block).with_data(
                direction,
                Pointer::new(lab.hosts[0].node, Address::new(address)),
                if page_table { 1 } else { 512 },
                page_table,
                Speed::S400,
                MaxPayload::from_code(9),
            );
            let status = lab.execute(0, &orb);
            assert_eq!(status.resp(), Resp::TransportFailure);
            assert!(status.dead());
            assert_eq!(status.serial_bus_error(), expected);
            assert_eq!(lab.agent_state(0), AgentState::Dead);
            assert_eq!(lab.disk.writes(), 0);
        }
    }
}

#[test]
fn a_node_that_is_not_there_and_everybody_at_once_are_no_place_for_data() {
    let mut lab = Lab::logged_in(1);
    let orb_for = |node| {
        let mut block = [0; 16];
        block[..10].copy_from_slice(&read_10(0, 1));
        let data = Pointer::new(node, Address::new(DATA));
        let payload = MaxPayload::from_code(9);
        CommandOrb::new(block).with_data(FromTarget, data, 512, false, Speed::S400, payload)
    };
    let status = lab.execute(0, &orb_for(NodeId::local(63)));
    assert_eq!(status.resp(), Resp::IllegalRequest);
    let status = lab.execute(0, &orb_for(NodeId::local(50)));
    assert_eq!(
        status.serial_bus_error(),
        Some((
            TransportObject::DataBuffer,
            SerialBusError::MISSING_ACKNOWLEDGE
        ))
    );
}

#[test]
fn a_busy_host_is_asked_again_and_the_data_is_whole() {
    let mut lab = Lab::logged_in(1);
    let mut count = 0;
    lab.judge = Some(Box::new(move |_| {
        count += 1;
        (count % 3 != 0).then_some(RCode::BUSY)
    }));
    let data = pattern(3, 40 * 512);
    lab.hosts[0].poke(DATA, &data);
    let orb = lab.orb(0, &write_10(9, 40), Some((ToTarget, 40 * 512)));
    lab.submit(0, 0, &orb);
    lab.advance_to(lab.now + core::time::Duration::from_secs(1));
    let status = lab.hosts[0].status.pop_front().unwrap();
    assert_eq!((status.resp(), status.status), (Resp::RequestComplete, 0));
    assert_eq!(lab.disk.read(9, 40), data);
    assert!(lab.hosts[0].status.is_empty(), "told once");
}

#[test]
fn data_that_met_a_busy_host_is_not_sent_again_once_the_command_was_taken_away() {
    let mut lab = Lab::logged_in(1);
    lab.judge = Some(Box::new(|sent| {
        (sent.address.get() >= DATA).then_some(RCode::BUSY)
    }));
    let orb = lab.orb(0, &read_10(0, 1), Some((FromTarget, 512)));
    lab.submit(0, 0, &orb);
    lab.write_quadlet(0, AgentRegister::AgentReset);
    lab.judge = None;
    lab.hosts[0].poke(DATA, &[0xee; 512]);
    lab.advance_to(lab.now + core::time::Duration::from_secs(1));
    assert_eq!(
        lab.hosts[0].peek(DATA, 512),
        [0xee; 512],
        "it is somebody else's by now"
    );
    assert_eq!(lab.bridge.poll_timeout(), None);
}

#[test]
fn what_an_orb_asks_of_the_bridge_and_it_cannot_is_told() {
    let mut lab = Lab::logged_in_with(1, BridgeProfile::oxfw911());
    let read = lab.orb(0, &read_10(0, 1), Some((FromTarget, 512)));
    let with_control = |change: fn(u32) -> u32| {
        let mut orb = read;
        let bytes = &mut orb.as_mut_bytes()[16..20];
        let control = u32::from_be_bytes(bytes.try_into().unwrap());
        bytes.copy_from_slice(&change(control).to_be_bytes());
        orb
    };
    for (orb, expected) in [
        (
            with_control(|q| q | 1 << 29),
            Sbp2Status::REQUEST_TYPE_NOT_SUPPORTED,
        ),
        (
            with_control(|q| q | 2 << 29),
            Sbp2Status::REQUEST_TYPE_NOT_SUPPORTED,
        ),
        (
            with_control(|q| q | 3 << 29),
            Sbp2Status::DUMMY_ORB_COMPLETED,
        ),
        (
            with_control(|q| q & !(7 << 24) | 3 << 24),
            Sbp2Status::SPEED_NOT_SUPPORTED,
        ),
        (
            with_control(|q| q | 7 << 24),
            Sbp2Status::SPEED_NOT_SUPPORTED,
        ),
        (
            with_control(|q| q | 1 << 19 | 1 << 16),
            Sbp2Status::PAGE_SIZE_NOT_SUPPORTED,
        ),
    ] {
        let status = lab.execute(0, &orb);
        assert_eq!(status.resp(), Resp::RequestComplete);
        assert_eq!(status.sbp_status(), expected);
        assert!(!status.dead());
        let is_dummy = expected == Sbp2Status::DUMMY_ORB_COMPLETED;
        assert_eq!(completion(&status).is_good(), is_dummy);
    }
    assert!(packets(&lab).is_empty());
}

#[test]
fn a_broken_medium_is_told_with_sense_and_the_list_goes_on() {
    let mut lab = Lab::logged_in(1);
    lab.disk.0.lock().unwrap().broken = true;
    let orb = lab.orb(0, &read_10(3, 1), Some((FromTarget, 512)));
    let status = lab.execute(0, &orb);
    assert_eq!(status.source(), StatusSource::OrbNextNull);
    let completion = completion(&status);
    assert_eq!(completion.status, Status::CHECK_CONDITION);
    assert_eq!(completion.sense.unwrap().key, SenseKey::MediumError);
    assert_eq!(lab.agent_state(0), AgentState::Suspended);
}

#[test]
fn a_bounded_number_of_packets_and_bytes_is_under_way() {
    let mut lab = Lab::logged_in(1);
    let window = lab.bridge.profile().data_window;
    lab.hold = Some(Box::new(|sent| sent.address.get() >= DATA));
    let orb = lab.orb(0, &write_10(0, 100), Some((ToTarget, 51200)));
    lab.submit(0, 0, &orb);
    assert_eq!(lab.held.len(), window);
    // Responses need not come in the order of the requests.
    let data = pattern(4, 51200);
    lab.hosts[0].poke(DATA, &data);
    lab.held.reverse();
    lab.release();
    assert_eq!(lab.disk.read(0, 100), data);
}

#[test]
fn a_16_byte_command_passes_through_a_32_byte_orb() {
    let mut profile = BridgeProfile::generic();
    profile.orb_size = 8;
    let mut lab = Lab::logged_in_with(1, profile);
    let mut cdb = [0; 16];
    cdb[0] = 0x88;
    cdb[9] = 33;
    cdb[13] = 2;
    assert!(lab.command(0, &cdb, Some((FromTarget, 1024))).is_good());
    assert_eq!(lab.hosts[0].peek(DATA, 1024), lab.disk.read(33, 2));
    let fetches = lab
        .sent
        .iter()
        .filter(|sent| matches!(sent.operation, Operation::ReadBlock { length: 32 | 4 }));
    assert_eq!(fetches.count(), 2);
}
