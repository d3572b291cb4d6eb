use super::*;
use crate::scsi::{
    Capacity10, Cdb, MemoryMedium, ModeData, ModeForm, ModePageSelect, Status, mode_page,
    read_blocks, write_blocks,
};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

const BLOCKS: u64 = 1000;

fn identity(device_type: DeviceType) -> Identity {
    Identity {
        vendor: Text::new("OXFORD").unwrap(),
        product: Text::new("IDE Device").unwrap(),
        revision: Text::new("0037").unwrap(),
        serial: Text::new("WD-1234").unwrap(),
        eui64: Eui64(0x0030_e001_0203_0405),
        device_type,
        version: 4,
        vital_product_data: true,
        fua: true,
        write_cache: true,
        long_commands: true,
        lun: 0,
        luns: [0].into(),
    }
}

fn disk_of(blocks: u64) -> DeviceServer {
    let medium = MemoryMedium::new(512, blocks).unwrap();
    DeviceServer::new(identity(DeviceType::DISK), Box::new(medium))
}

fn disk() -> DeviceServer {
    disk_of(BLOCKS)
}

fn run(disk: &mut DeviceServer, cdb: &Cdb) -> Execution {
    disk.execute(&mut Nexus::new(), cdb.encode().padded())
}

fn good() -> Execution {
    Execution::Complete(Completion::GOOD)
}

/// The key, code and information of what must be a CHECK CONDITION.
fn sense_of(execution: Execution) -> Sense {
    match execution {
        Execution::Complete(Completion {
            status: Status::CHECK_CONDITION,
            sense: Some(sense),
        }) => sense,
        other => panic!("no CHECK CONDITION: {other:?}"),
    }
}

fn data_of(execution: Execution) -> Vec<u8> {
    match execution {
        Execution::DataIn(data) => data,
        other => panic!("no data: {other:?}"),
    }
}

const STOP: Cdb = Cdb::StartStopUnit {
    immediate: false,
    power_condition: 0,
    load_eject: false,
    start: false,
};
const START: Cdb = Cdb::StartStopUnit {
    immediate: false,
    power_condition: 0,
    load_eject: false,
    start: true,
};
const INQUIRY: Cdb = Cdb::Inquiry {
    vital_product_data: false,
    page_code: 0,
    allocation_length: 36,
};
const REQUEST_SENSE: Cdb = Cdb::RequestSense {
    descriptor_format: false,
    allocation_length: 18,
};

#[test]
fn blocks_within_the_medium_are_granted_and_those_past_its_end_are_pointed_at() {
    let mut disk = disk();
    for (lba, blocks) in [(0, 1000), (999, 1), (0, 0), (1000, 0)] {
        let fua = false;
        assert_eq!(
            run(&mut disk, &read_blocks(lba, blocks)),
            Execution::Read { lba, blocks }
        );
        assert_eq!(
            run(&mut disk, &write_blocks(lba, blocks, fua)),
            Execution::Write { lba, blocks, fua }
        );
    }
    for (lba, blocks, first_missing) in [
        (999, 2, 1000),
        (1000, 1, 1000),
        (1001, 0, 1001),
        (u64::MAX, u32::MAX, u64::MAX),
    ] {
        let expected = Sense::new(SenseKey::IllegalRequest, AdditionalSense::LBA_OUT_OF_RANGE)
            .with_information(first_missing);
        for cdb in [read_blocks(lba, blocks), write_blocks(lba, blocks, false)] {
            assert_eq!(sense_of(run(&mut disk, &cdb)), expected, "{cdb:?}");
        }
    }
}

#[test]
fn what_is_written_in_pieces_is_read_back_and_counted() {
    let mut disk = disk();
    disk.write(10, &[1; 1024]).unwrap();
    disk.write(12, &[2; 512]).unwrap();
    let mut buffer = [0; 4 * 512];
    disk.read(9, &mut buffer).unwrap();
    assert_eq!(buffer[..512], [0; 512]);
    assert_eq!(buffer[512..1536], [1; 1024]);
    assert_eq!(buffer[1536..], [2; 512]);
    let counters = disk.counters();
    assert_eq!((counters.blocks_read, counters.blocks_written), (4, 3));
}

#[test]
fn a_write_is_flushed_before_it_is_reported_where_fua_or_a_missing_cache_demand_it() {
    for (write_cache, fua, flushes) in [
        (true, false, 0),
        (true, true, 1),
        (false, false, 1),
        (false, true, 1),
    ] {
        let mut disk = disk();
        disk.identity.write_cache = write_cache;
        disk.finish_write(fua).unwrap();
        assert_eq!(disk.counters().flushes, flushes, "{write_cache} {fua}");
    }
}

#[test]
fn a_device_without_fua_refuses_it_and_says_so_in_mode_data() {
    let mut disk = disk();
    let all = Cdb::ModeSense6 {
        pages: ModePageSelect {
            page: mode_page::ALL,
            ..ModePageSelect::default()
        },
        allocation_length: 255,
    };
    let write = write_blocks(0, 1, true);
    for fua in [true, false] {
        disk.identity.fua = fua;
        let data = data_of(run(&mut disk, &all));
        assert_eq!(ModeData::parse(ModeForm::Six, &data).unwrap().dpo_fua, fua);
        match run(&mut disk, &write) {
            Execution::Write { fua: true, .. } => assert!(fua),
            refused => {
                assert!(!fua);
                assert_eq!(sense_of(refused).field_pointer(), Some(1));
            }
        }
    }
}

#[test]
fn synchronize_cache_flushes_before_good_and_a_failed_flush_is_no_good() {
    struct Failing(Arc<AtomicBool>);
    impl Medium for Failing {
        fn block_length(&self) -> u32 {
            512
        }
        fn blocks(&self) -> u64 {
            BLOCKS
        }
        fn read(&mut self, _: u64, _: &mut [u8]) -> Result<(), MediumError> {
            Err(MediumError::Failed)
        }
        fn write(&mut self, _: u64, _: &[u8]) -> Result<(), MediumError> {
            Err(MediumError::NoSpace)
        }
        fn flush(&mut self) -> Result<(), MediumError> {
            match self.0.load(Ordering::Relaxed) {
                true => Err(MediumError::Failed),
                false => Ok(()),
            }
        }
    }
    let fails = Arc::new(AtomicBool::new(false));
    let mut disk = DeviceServer::new(identity(DeviceType::DISK), Box::new(Failing(fails.clone())));
    let (immediate, lba, blocks) = (false, 0, 0);
    let synchronize = [
        Cdb::SynchronizeCache10 {
            immediate,
            lba,
            blocks,
        },
        Cdb::SynchronizeCache16 {
            immediate,
            lba: lba.into(),
            blocks: blocks.into(),
        },
    ];
    for (cdb, flushes) in synchronize.iter().zip(1..) {
        assert_eq!(run(&mut disk, cdb), good());
        assert_eq!(disk.counters().flushes, flushes);
    }
    fails.store(true, Ordering::Relaxed);
    for cdb in synchronize.iter().chain([&STOP]) {
        let sense = sense_of(run(&mut disk, cdb));
        assert_eq!(sense.key, SenseKey::MediumError);
        assert_eq!(sense.code, AdditionalSense::WRITE_ERROR);
    }
    assert!(!disk.is_stopped(), "what may be lost must not be stopped");

    let Err(Completion {
        sense: Some(read), ..
    }) = disk.read(5, &mut [0; 512])
    else {
        panic!("the medium fails");
    };
    assert_eq!(read.code, AdditionalSense::UNRECOVERED_READ_ERROR);
    assert_eq!(read.information, Some(5));
    let Err(Completion {
        sense: Some(write), ..
    }) = disk.write(6, &[0; 512])
    else {
        panic!("the medium fails");
    };
    assert_eq!(write.key, SenseKey::DataProtect);
    assert_eq!(write.code, AdditionalSense::SPACE_ALLOCATION_FAILED);
    let verify = Cdb::Verify10 {
        lba: 7,
        blocks: 1,
        byte_check: 0,
    };
    assert_eq!(sense_of(run(&mut disk, &verify)).information, Some(7));
}

#[test]
fn a_unit_attention_is_told_once_in_order_and_does_not_hold_up_inquiry() {
    let mut disk = disk();
    let mut nexus = Nexus::new();
    for attention in [
        UnitAttention::PowerOn,
        UnitAttention::Reset,
        UnitAttention::PowerOn,
    ] {
        nexus.establish_unit_attention(attention);
    }
    let mut other = Nexus::new();
    let mut execute = |nexus: &mut Nexus, cdb: Cdb| disk.execute(nexus, cdb.encode().padded());
    let luns = Cdb::ReportLuns {
        select_report: 0,
        allocation_length: 16,
    };
    data_of(execute(&mut nexus, INQUIRY));
    data_of(execute(&mut nexus, luns));
    assert_eq!(execute(&mut other, Cdb::TestUnitReady), good());
    assert_eq!(
        sense_of(execute(&mut nexus, read_blocks(0, 1))),
        Sense::new(SenseKey::UnitAttention, AdditionalSense::POWER_ON_OR_RESET)
    );
    assert_eq!(nexus.pending_unit_attention(), Some(UnitAttention::Reset));
    // REQUEST SENSE tells it as data, and that counts.
    let data = data_of(execute(&mut nexus, REQUEST_SENSE));
    assert_eq!(
        Sense::parse(&data),
        Ok(Sense::new(
            SenseKey::UnitAttention,
            AdditionalSense::BUS_DEVICE_RESET
        ))
    );
    assert_eq!(execute(&mut nexus, Cdb::TestUnitReady), good());
}

#[test]
fn a_unit_that_one_initiator_stops_is_stopped_for_all_until_it_is_started() {
    let mut disk = disk();
    assert_eq!(run(&mut disk, &STOP), good());
    assert_eq!(disk.counters().flushes, 1);
    let not_ready = Sense::new(
        SenseKey::NotReady,
        AdditionalSense::INITIALIZING_COMMAND_REQUIRED,
    );
    for cdb in [
        Cdb::TestUnitReady,
        read_blocks(0, 1),
        write_blocks(0, 1, false),
        Cdb::SynchronizeCache10 {
            immediate: false,
            lba: 0,
            blocks: 0,
        },
    ] {
        assert_eq!(sense_of(run(&mut disk, &cdb)), not_ready, "{cdb:?}");
    }
    let data = data_of(run(&mut disk, &REQUEST_SENSE));
    assert_eq!(Sense::parse(&data), Ok(not_ready));
    data_of(run(&mut disk, &INQUIRY));
    assert_eq!(run(&mut disk, &START), good());
    assert_eq!(run(&mut disk, &Cdb::TestUnitReady), good());
    run(&mut disk, &STOP);
    disk.reset();
    assert_eq!(run(&mut disk, &Cdb::TestUnitReady), good());
}

#[test]
fn a_write_protected_disk_refuses_writes_and_says_so_in_mode_data() {
    let medium = MemoryMedium::new(512, 8).unwrap().with_read_only(true);
    let mut disk = DeviceServer::new(identity(DeviceType::SIMPLIFIED_DISK), Box::new(medium));
    let refused = Sense::new(SenseKey::DataProtect, AdditionalSense::WRITE_PROTECTED);
    assert_eq!(
        sense_of(run(&mut disk, &write_blocks(0, 1, false))),
        refused
    );
    assert_eq!(
        run(&mut disk, &read_blocks(0, 1)),
        Execution::Read { lba: 0, blocks: 1 }
    );
    let all = Cdb::ModeSense10 {
        pages: ModePageSelect {
            page: mode_page::ALL,
            ..ModePageSelect::default()
        },
        long_lba_accepted: false,
        allocation_length: 255,
    };
    let data = ModeData::parse(ModeForm::Ten, &data_of(run(&mut disk, &all))).unwrap();
    assert!(data.write_protected);
    assert_eq!(data.block_descriptor, None, "RBC has none");
    assert_eq!(data.write_cache(), Some(true));
    assert_eq!(data.page(mode_page::CACHING), None);
}

#[test]
fn mode_data_has_the_pages_asked_for() {
    let mut disk = disk();
    let mut sense = |page, control, subpage| {
        let pages = ModePageSelect {
            page,
            control,
            subpage,
            ..ModePageSelect::default()
        };
        run(
            &mut disk,
            &Cdb::ModeSense6 {
                pages,
                allocation_length: 255,
            },
        )
    };
    let mut parse =
        |page, control| ModeData::parse(ModeForm::Six, &data_of(sense(page, control, 0))).unwrap();
    let all = parse(mode_page::ALL, 0);
    assert_eq!(all.pages.len(), 2);
    assert_eq!(all.block_descriptor, Some((BLOCKS, 512)));
    assert_eq!(all.write_cache(), Some(true));
    let caching = parse(mode_page::CACHING, 0);
    assert_eq!(caching.pages, all.pages[..1]);
    assert_eq!(
        parse(mode_page::CACHING, 1).write_cache(),
        Some(false),
        "nothing can be changed"
    );
    let code = |execution| sense_of(execution).code;
    assert_eq!(
        code(sense(mode_page::CACHING, 3, 0)),
        AdditionalSense::SAVING_PARAMETERS_NOT_SUPPORTED
    );
    assert_eq!(sense_of(sense(0x1c, 0, 0)).field_pointer(), Some(2));
    assert_eq!(
        sense_of(sense(mode_page::ALL, 0, 1)).field_pointer(),
        Some(3)
    );
}

#[test]
fn capacity_above_two_tebibytes_is_told_in_64_bits_where_the_device_has_them() {
    let blocks = (3 << 40) / 512;
    let mut disk = disk_of(blocks);
    let ten = Capacity10::parse(&data_of(run(&mut disk, &Cdb::ReadCapacity10)));
    assert_eq!(ten.last_lba, Capacity10::TOO_LARGE);
    let sixteen = Cdb::ReadCapacity16 {
        allocation_length: 32,
    };
    let capacity = Capacity16::parse(&data_of(run(&mut disk, &sixteen)));
    assert_eq!(
        (capacity.last_lba, capacity.block_length),
        (blocks - 1, 512)
    );
    disk.identity.long_commands = false;
    assert_eq!(
        sense_of(run(&mut disk, &sixteen)).code,
        AdditionalSense::INVALID_OPERATION_CODE
    );
}

#[test]
fn parameter_data_is_cut_to_the_allocation_length() {
    let mut disk = disk();
    for allocation_length in [0_u16, 1, 5, 36, 255] {
        let inquiry = Cdb::Inquiry {
            vital_product_data: false,
            page_code: 0,
            allocation_length,
        };
        assert_eq!(
            data_of(run(&mut disk, &inquiry)).len(),
            usize::from(allocation_length.min(36))
        );
    }
}

#[test]
fn unknown_commands_and_fields_are_refused_by_name() {
    let mut disk = disk();
    let mut execute = |bytes: &[u8]| sense_of(disk.execute(&mut Nexus::new(), bytes));
    for bytes in [&[][..], &[0xc1, 0, 0, 0, 0, 0], &[0x9e, 0x1f, 0, 0]] {
        assert_eq!(execute(bytes).code, AdditionalSense::INVALID_OPERATION_CODE);
    }
    // RELADR; INQUIRY with a page code but no EVPD; VPD page B0; VERIFY with BYTCHK; eject; a
    // REPORT LUNS without room; READ(16) in an ORB with room for 12 bytes.
    for (bytes, field) in [
        (&[0x28, 1, 0, 0, 0, 0, 0, 0, 1, 0][..], Some(1)),
        (&[0x12, 0, 0x80, 0, 36, 0], Some(2)),
        (&[0x12, 1, 0xb0, 0, 36, 0], Some(2)),
        (&[0x2f, 2, 0, 0, 0, 0, 0, 0, 1, 0], Some(1)),
        (&[0x1b, 0, 0, 0, 2, 0], Some(4)),
        (&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0], Some(6)),
        (&[0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
    ] {
        let sense = execute(bytes);
        assert_eq!(sense.code, AdditionalSense::INVALID_FIELD_IN_CDB);
        assert_eq!(sense.field_pointer(), field, "{bytes:02x?}");
    }
}

#[test]
fn no_command_however_hostile_panics_or_reaches_past_the_end() {
    let mut state = 0x1394_u64;
    let mut random = move || {
        // Knuth's MMIX generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for device_type in [DeviceType::DISK, DeviceType::SIMPLIFIED_DISK] {
        let medium = MemoryMedium::new(512, BLOCKS).unwrap();
        let mut disk = DeviceServer::new(identity(device_type), Box::new(medium));
        let mut nexus = Nexus::new();
        for opcode in 0..=255 {
            for round in 0..400 {
                let mut cdb: [u8; 20] = core::array::from_fn(|_| random());
                cdb[0] = opcode;
                if round % 2 == 0 {
                    // Few bits, so that many commands pass the check of reserved ones.
                    cdb[1..].iter_mut().for_each(|byte| {
                        *byte &= random() & random() & random() & random();
                    });
                }
                let length = usize::from(random()) % 21;
                let given = &cdb[..length];
                match disk.execute(&mut nexus, given) {
                    Execution::Read { lba, blocks } | Execution::Write { lba, blocks, .. } => {
                        assert!(lba + u64::from(blocks) <= BLOCKS, "{given:02x?}");
                    }
                    Execution::DataIn(data) => {
                        let room = Cdb::parse(given).unwrap().allocation_length();
                        assert!(data.len() as u64 <= room.into(), "{given:02x?}");
                    }
                    Execution::Complete(_) => {}
                }
            }
        }
    }
}
