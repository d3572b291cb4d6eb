use super::*;
use crate::scsi::{
    DeviceServer, Execution, Identity, MemoryMedium, Nexus, Sense, Text, UnitAttention, mode_page,
};
use alloc::boxed::Box;
use alloc::vec;
use ohci_raw::bus::Eui64;

/// Drives a bring-up to its end against `device`; returns the end, the commands that were sent
/// and how long it took.
fn drive(
    config: BringUpConfig,
    mut device: impl FnMut(&Cdb) -> CommandOutcome,
) -> (Result<DiskInfo, BringUpError>, Vec<Cdb>, Duration) {
    let mut now = Instant::from_nanos(5);
    let start = now;
    let mut bring_up = BringUp::new(config, now);
    let mut sent = Vec::new();
    for _ in 0..10_000 {
        let step = bring_up.step(now);
        assert_eq!(bring_up.step(now), step, "asking again changes nothing");
        match step {
            Step::Done(info) => return (Ok(info), sent, now - start),
            Step::Failed(error) => return (Err(error), sent, now - start),
            Step::WaitUntil(until) => {
                assert!(until > now);
                now = until;
            }
            Step::Command {
                cdb,
                data_in_length,
            } => {
                sent.push(cdb);
                let mut outcome = device(&cdb);
                if let CommandOutcome::Completed { data, .. } = &mut outcome {
                    // The initiator's buffer has the length asked for.
                    data.resize(data_in_length as usize, 0);
                }
                bring_up.outcome(outcome, now);
            }
        }
    }
    panic!("no end after {sent:?}");
}

fn good(data: Vec<u8>) -> CommandOutcome {
    CommandOutcome::Completed {
        completion: Completion::GOOD,
        data,
    }
}

fn check(key: SenseKey, code: AdditionalSense) -> CommandOutcome {
    CommandOutcome::Completed {
        completion: Completion::check_with(key, code),
        data: Vec::new(),
    }
}

fn device(device_type: DeviceType, block_length: u32, blocks: u64) -> DeviceServer {
    let medium = MemoryMedium::new(block_length, blocks).unwrap();
    let identity = Identity {
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
        luns: vec![0],
    };
    DeviceServer::new(identity, Box::new(medium))
}

fn ask(server: &mut DeviceServer, nexus: &mut Nexus, cdb: &Cdb) -> CommandOutcome {
    match server.execute(nexus, cdb.encode().padded()) {
        Execution::DataIn(data) => good(data),
        Execution::Complete(completion) => CommandOutcome::Completed {
            completion,
            data: Vec::new(),
        },
        transfer => panic!("no command of a bring-up moves blocks: {transfer:?}"),
    }
}

/// A disk that does all it is told to, where `odd` does not say otherwise.
fn with_oddity(
    odd: impl Fn(&Cdb, u32) -> Option<CommandOutcome>,
) -> impl FnMut(&Cdb) -> CommandOutcome {
    let mut server = device(DeviceType::DISK, 512, 1000);
    let mut nexus = Nexus::new();
    let mut count = 0;
    move |cdb| {
        count += 1;
        odd(cdb, count).unwrap_or_else(|| ask(&mut server, &mut nexus, cdb))
    }
}

#[test]
fn disks_of_both_command_sets_and_all_sizes_are_brought_up() {
    for device_type in [DeviceType::DISK, DeviceType::SIMPLIFIED_DISK] {
        for (block_length, blocks) in [
            (512, 1),
            (2048, 0xffff_ffff),
            (512, (1 << 32) + 1),
            (4096, 1 << 33),
        ] {
            let mut server = device(device_type, block_length, blocks);
            let mut nexus = Nexus::new();
            nexus.establish_unit_attention(UnitAttention::PowerOn);
            nexus.establish_unit_attention(UnitAttention::Reset);
            let (info, sent, took) = drive(BringUpConfig::default(), |cdb| {
                ask(&mut server, &mut nexus, cdb)
            });
            let info = info.unwrap();
            assert_eq!((info.block_length, info.blocks), (block_length, blocks));
            assert_eq!(info.device_type, device_type);
            assert_eq!(info.serial.as_deref(), Some("WD-1234"));
            assert!(
                info.designators
                    .contains(&Designator::eui64(0x0030_e001_0203_0405))
            );
            assert_eq!(info.write_cache, Some(true));
            assert!(info.fua && !info.write_protected);
            assert_eq!(took, Duration::ZERO);
            let asked_long = sent
                .iter()
                .any(|cdb| matches!(cdb, Cdb::ReadCapacity16 { .. }));
            assert_eq!(asked_long, blocks > 0xffff_ffff);
        }
    }
}

#[test]
fn a_stopped_disk_is_started_once_and_waited_for_and_nothing_is_ever_stopped() {
    for power_condition in [false, true] {
        let mut server = device(DeviceType::DISK, 512, 8);
        let mut nexus = Nexus::new();
        let stop = Cdb::StartStopUnit {
            immediate: false,
            power_condition: 0,
            load_eject: false,
            start: false,
        };
        ask(&mut server, &mut nexus, &stop);
        let config = BringUpConfig {
            power_condition,
            ..BringUpConfig::default()
        };
        let mut spinning_up = 0;
        let (info, sent, took) = drive(config, |cdb| {
            if matches!(cdb, Cdb::StartStopUnit { .. }) {
                spinning_up = 5;
            } else if *cdb == Cdb::TestUnitReady && spinning_up > 0 {
                spinning_up -= 1;
                return check(SenseKey::NotReady, AdditionalSense::BECOMING_READY);
            }
            ask(&mut server, &mut nexus, cdb)
        });
        info.unwrap();
        let starts: Vec<_> = sent
            .iter()
            .filter(|cdb| matches!(cdb, Cdb::StartStopUnit { .. }))
            .collect();
        let start = Cdb::StartStopUnit {
            immediate: true,
            power_condition: power_condition.into(),
            load_eject: false,
            start: true,
        };
        assert_eq!(starts, [&start]);
        assert_eq!(took, Duration::from_millis(2500));
    }
}

#[test]
fn a_disk_that_never_becomes_ready_fails_after_its_time() {
    for code in [
        AdditionalSense::BECOMING_READY,
        AdditionalSense::INITIALIZING_COMMAND_REQUIRED,
    ] {
        let (result, sent, took) = drive(
            BringUpConfig::default(),
            with_oddity(move |cdb, _| {
                (*cdb == Cdb::TestUnitReady).then(|| check(SenseKey::NotReady, code))
            }),
        );
        assert!(matches!(result, Err(BringUpError::NotReady { .. })));
        assert_eq!(took, BringUpConfig::default().ready_timeout);
        let starts = sent
            .iter()
            .filter(|cdb| matches!(cdb, Cdb::StartStopUnit { .. }))
            .count();
        assert!(starts <= 1);
    }
}

#[test]
fn endless_unit_attentions_silence_and_refusals_end_in_an_error() {
    let odd = |outcome: CommandOutcome| {
        drive(
            BringUpConfig::default(),
            with_oddity(move |cdb, _| (*cdb == Cdb::TestUnitReady).then(|| outcome.clone())),
        )
        .0
    };
    let attention = check(SenseKey::UnitAttention, AdditionalSense::POWER_ON);
    assert!(matches!(
        odd(attention),
        Err(BringUpError::Command {
            command: "TEST UNIT READY",
            ..
        })
    ));
    assert_eq!(
        odd(CommandOutcome::NoAnswer),
        Err(BringUpError::NoAnswer {
            command: "TEST UNIT READY",
            attempts: 3
        })
    );
    let empty = check(SenseKey::NotReady, AdditionalSense::new(0x3a, 2));
    assert!(matches!(odd(empty), Err(BringUpError::NoMedium(_))));
    let conflict = CommandOutcome::Completed {
        completion: Completion::of(Status::RESERVATION_CONFLICT),
        data: Vec::new(),
    };
    assert!(matches!(odd(conflict), Err(BringUpError::Command { .. })));
    let busy = CommandOutcome::Completed {
        completion: Completion::of(Status::BUSY),
        data: Vec::new(),
    };
    assert!(matches!(odd(busy), Err(BringUpError::NotReady { .. })));
}

#[test]
fn what_can_be_done_without_may_fail_in_any_way() {
    let optional = |cdb: &Cdb| {
        matches!(
            cdb,
            Cdb::ModeSense6 { .. }
                | Cdb::ModeSense10 { .. }
                | Cdb::Inquiry {
                    vital_product_data: true,
                    ..
                }
        )
    };
    let refused = check(
        SenseKey::IllegalRequest,
        AdditionalSense::INVALID_OPERATION_CODE,
    );
    let hardware = check(
        SenseKey::HardwareError,
        AdditionalSense::INTERNAL_TARGET_FAILURE,
    );
    for outcome in [
        refused,
        hardware,
        CommandOutcome::NoAnswer,
        good(Vec::new()),
        good(vec![0xff; 252]),
    ] {
        let (info, ..) = drive(
            BringUpConfig::default(),
            with_oddity(|cdb, _| optional(cdb).then(|| outcome.clone())),
        );
        let info = info.unwrap();
        assert_eq!((info.serial, info.designators), (None, Vec::new()));
        assert_eq!(info.blocks, 1000);
        if outcome != good(vec![0xff; 252]) {
            assert_eq!((info.write_cache, info.fua), (None, false));
        }
    }
}

#[test]
fn mode_sense_is_asked_in_the_other_form_when_one_is_refused() {
    let (info, sent, _) = drive(
        BringUpConfig::default(),
        with_oddity(|cdb, _| {
            matches!(cdb, Cdb::ModeSense6 { .. }).then(|| {
                check(
                    SenseKey::IllegalRequest,
                    AdditionalSense::INVALID_OPERATION_CODE,
                )
            })
        }),
    );
    assert_eq!(info.unwrap().write_cache, Some(true));
    assert!(matches!(sent.last(), Some(Cdb::ModeSense10 { .. })));
}

#[test]
fn quirks_leave_out_what_the_bridge_does_not_survive() {
    let config = BringUpConfig {
        inquiry_36: true,
        skip_caching_page: true,
        fix_capacity: true,
        initial_delay: Duration::from_secs(12),
        ..BringUpConfig::default()
    };
    let (info, sent, took) = drive(config, with_oddity(|_, _| None));
    let info = info.unwrap();
    assert_eq!((info.blocks, info.write_cache), (999, None));
    assert_eq!(took, Duration::from_secs(12));
    for cdb in &sent {
        match cdb {
            Cdb::Inquiry {
                vital_product_data,
                allocation_length,
                ..
            } => assert!(!vital_product_data && *allocation_length == 36),
            Cdb::ModeSense6 {
                pages,
                allocation_length,
            } => assert_eq!((pages.page, *allocation_length), (mode_page::ALL, 4)),
            _ => {}
        }
    }
}

#[test]
fn a_device_from_before_spc_2_is_not_asked_for_vital_product_data() {
    let mut server = device(DeviceType::DISK, 512, 8);
    let (info, sent, _) = drive(BringUpConfig::default(), |cdb| {
        let mut outcome = ask(&mut server, &mut Nexus::new(), cdb);
        if let (Cdb::Inquiry { .. }, CommandOutcome::Completed { data, .. }) = (cdb, &mut outcome) {
            data[2] = 3;
        }
        outcome
    });
    assert_eq!(info.unwrap().serial, None);
    assert_eq!(
        sent.iter()
            .filter(|cdb| matches!(cdb, Cdb::Inquiry { .. }))
            .count(),
        1
    );
}

#[test]
fn what_is_no_disk_or_has_no_sensible_size_is_refused_by_name() {
    let inquiry = |first: u8| {
        drive(
            BringUpConfig::default(),
            with_oddity(move |cdb, _| {
                matches!(cdb, Cdb::Inquiry { .. }).then(|| good(vec![first]))
            }),
        )
        .0
    };
    assert_eq!(
        inquiry(0x05),
        Err(BringUpError::NotADisk(DeviceType::CD_DVD))
    );
    assert_eq!(
        inquiry(0x7f),
        Err(BringUpError::NoLogicalUnit { qualifier: 3 })
    );
    let capacity = |last_lba: u64, block_length: u32, fix_capacity: bool| {
        let config = BringUpConfig {
            fix_capacity,
            ..BringUpConfig::default()
        };
        let long = Capacity16 {
            last_lba,
            block_length,
        };
        drive(
            config,
            with_oddity(move |cdb, _| match cdb {
                Cdb::ReadCapacity10 => Some(good(long.to_10().to_bytes().to_vec())),
                Cdb::ReadCapacity16 { .. } => Some(good(long.to_bytes().to_vec())),
                _ => None,
            }),
        )
        .0
    };
    for block_length in [0, 1, 256, 513, 520, 131_072] {
        assert_eq!(
            capacity(99, block_length, false),
            Err(BringUpError::BlockLength {
                command: "READ CAPACITY(10)",
                block_length
            })
        );
    }
    assert!(capacity(0, 512, false).is_ok());
    for (last_lba, fix_capacity) in [(0, true), (u64::MAX, false), ((1 << 54) - 1, false)] {
        let result = capacity(last_lba, 512, fix_capacity);
        assert!(
            matches!(result, Err(BringUpError::Capacity { .. })),
            "{last_lba:#x}: {result:?}"
        );
    }
}

#[test]
fn a_recovered_error_and_a_deferred_one_do_not_stop_it() {
    let recovered = |cdb: &Cdb, _| {
        (*cdb == Cdb::ReadCapacity10).then(|| CommandOutcome::Completed {
            completion: Completion::check_with(SenseKey::RecoveredError, AdditionalSense::NONE),
            data: vec![0, 0, 0, 9, 0, 0, 2, 0],
        })
    };
    let (info, ..) = drive(BringUpConfig::default(), with_oddity(recovered));
    assert_eq!(info.unwrap().blocks, 10);
    // The first command reports that a write failed which another had been told was done.
    let deferred = |_: &Cdb, count| {
        (count == 1).then(|| CommandOutcome::Completed {
            completion: Completion::check(Sense {
                deferred: true,
                ..Sense::new(SenseKey::MediumError, AdditionalSense::WRITE_ERROR)
            }),
            data: Vec::new(),
        })
    };
    drive(BringUpConfig::default(), with_oddity(deferred))
        .0
        .unwrap();
}

#[test]
fn random_answers_end_in_a_disk_of_sensible_size_or_an_error() {
    let mut state = 0x1394_u64;
    let mut random = move || {
        // Knuth's MMIX generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for _ in 0..2000 {
        let mut server = device(DeviceType::DISK, 512, 1000);
        let (result, ..) = drive(BringUpConfig::default(), |cdb| match random() % 8 {
            0 => CommandOutcome::NoAnswer,
            1 => match Completion::from_status_block(&[2, random(), random() % 64, 0]) {
                Ok(completion) => CommandOutcome::Completed {
                    completion,
                    data: Vec::new(),
                },
                Err(_) => CommandOutcome::NoAnswer,
            },
            2 => good((0..252).map(|_| random()).collect()),
            _ => ask(&mut server, &mut Nexus::new(), cdb),
        });
        if let Ok(info) = result {
            assert!(info.blocks >= 1 && info.block_length.is_power_of_two());
            assert!(info.blocks.checked_mul(info.block_length.into()) < Some(1 << 63));
        }
    }
}
