use alloc::string::ToString;
use alloc::vec;
use core::time::Duration;

use super::bench::{Answer, Bench};
use crate::disk::{Notice, Request, RequestError};
use crate::scsi::{AdditionalSense, Cdb, Completion, Sense, SenseKey, Status, UnitAttention};
use crate::wire::Function;

fn says(key: SenseKey, code: AdditionalSense) -> Answer {
    Answer::Instead(Completion::check_with(key, code))
}

#[test]
fn a_unit_attention_is_taken_and_the_command_sent_again() {
    let mut bench = Bench::ready(|_| {});
    bench.nexus.establish_unit_attention(UnitAttention::Reset);
    bench
        .nexus
        .establish_unit_attention(UnitAttention::CommandsCleared);
    bench.write(3, vec![7; 512]).unwrap();
    assert_eq!(bench.on_medium(3, 512), [7; 512]);
    assert_eq!(bench.commands.len(), 3);
}

#[test]
fn a_disk_that_is_becoming_ready_is_waited_for() {
    let mut bench = Bench::ready(|_| {});
    for _ in 0..20 {
        let becoming = AdditionalSense::BECOMING_READY;
        bench.script.push_back(says(SenseKey::NotReady, becoming));
    }
    let before = bench.rig.now;
    bench.write(3, vec![7; 512]).unwrap();
    let waited = bench.rig.now.saturating_since(before);
    assert!(waited >= Duration::from_secs(10), "{waited:?}");
}

#[test]
fn a_disk_that_never_gets_ready_is_an_error_in_the_end() {
    let mut bench = Bench::ready(|_| {});
    for _ in 0..1000 {
        let becoming = AdditionalSense::BECOMING_READY;
        bench.script.push_back(says(SenseKey::NotReady, becoming));
    }
    let error = bench.write(3, vec![7; 512]).unwrap_err().to_string();
    assert!(error.contains("becoming ready"), "{error}");
}

#[test]
fn a_disk_that_somebody_stopped_is_started_and_never_stopped() {
    let mut bench = Bench::ready(|_| {});
    let stop = Cdb::StartStopUnit {
        immediate: false,
        power_condition: 0,
        load_eject: false,
        start: false,
    };
    let mut other_host = crate::scsi::Nexus::new();
    bench
        .device
        .execute(&mut other_host, stop.encode().as_bytes());
    assert!(bench.device.is_stopped());
    bench.write(3, vec![7; 512]).unwrap();
    assert_eq!(bench.on_medium(3, 512), [7; 512]);
    let now = bench.rig.now;
    bench.rig.host.logout(now);
    bench.serve();
    let starts: vec::Vec<_> = bench
        .commands
        .iter()
        .filter_map(|cdb| match cdb {
            Cdb::StartStopUnit { start, .. } => Some(*start),
            _ => None,
        })
        .collect();
    assert_eq!(starts, [true]);
}

#[test]
fn a_busy_disk_is_asked_again_later() {
    for status in [Status::BUSY, Status::TASK_SET_FULL] {
        let mut bench = Bench::ready(|_| {});
        for _ in 0..30 {
            let busy = Answer::Instead(Completion::of(status));
            bench.script.push_back(busy);
        }
        let tag = bench.submit(Request::Read { lba: 0, blocks: 1 });
        assert_eq!(bench.commands.len(), 1, "not at once");
        bench.wait(Duration::from_secs(4));
        assert_eq!(bench.result(tag), Some(Ok(vec![0; 512])));
    }
}

#[test]
fn a_medium_error_is_tried_a_few_times_and_then_told_in_words() {
    let mut bench = Bench::ready(|_| {});
    let unread = AdditionalSense::UNRECOVERED_READ_ERROR;
    for _ in 0..4 {
        bench.script.push_back(says(SenseKey::MediumError, unread));
    }
    let error = bench.read(77, 5).unwrap_err().to_string();
    for part in ["READ", "5 blocks at 77", "MEDIUM ERROR", "unrecovered read"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(bench.commands.len(), 4);
    assert_eq!(bench.read(77, 5), Ok(vec![0; 512 * 5]));
}

#[test]
fn bytes_that_have_not_arrived_are_never_returned() {
    let mut bench = Bench::ready(|_| {});
    bench.write(0, vec![7; 512 * 8]).unwrap();
    for bytes in [0, 512, 512 * 8 - 4] {
        bench.script.push_back(Answer::Short(bytes));
    }
    assert_eq!(bench.read(0, 8), Ok(vec![7; 512 * 8]), "it tries again");
    for _ in 0..4 {
        bench.script.push_back(Answer::Short(100));
    }
    let short = RequestError::Short {
        lba: 0,
        expected: 512 * 8,
        received: 100,
    };
    assert_eq!(bench.read(0, 8), Err(short));
}

#[test]
fn what_the_disk_refuses_is_not_tried_again() {
    let mut bench = Bench::ready(|_| {});
    for (key, code) in [
        (SenseKey::IllegalRequest, AdditionalSense::LBA_OUT_OF_RANGE),
        (SenseKey::DataProtect, AdditionalSense::WRITE_PROTECTED),
    ] {
        bench.commands.clear();
        bench.script.push_back(says(key, code));
        let error = bench.write(0, vec![1; 512]).unwrap_err();
        assert!(matches!(error, RequestError::Scsi { .. }), "{error}");
        assert_eq!(bench.commands.len(), 1);
    }
}

#[test]
fn a_deferred_error_fails_the_next_flush_and_not_the_command_that_brought_it() {
    let mut bench = Bench::ready(|_| {});
    bench.write(0, vec![1; 512]).unwrap();
    bench.flush().unwrap();
    let mut sense = Sense::new(SenseKey::MediumError, AdditionalSense::WRITE_ERROR);
    sense.deferred = true;
    bench
        .script
        .push_back(Answer::Instead(Completion::check(sense)));
    assert_eq!(bench.read(0, 1), Ok(vec![1; 512]));
    let lost = Err(RequestError::WritesMayBeLost { deferred: true });
    assert_eq!(bench.flush(), lost);
    assert_eq!(bench.flush(), Ok(vec![]), "it is told once");
}

#[test]
fn a_recovered_error_is_none() {
    let mut bench = Bench::ready(|_| {});
    let recovered = Completion::check_with(SenseKey::RecoveredError, AdditionalSense::NONE);
    bench.script.push_back(Answer::ButSays(recovered));
    assert_eq!(bench.write(0, vec![1; 512]), Ok(vec![]));
    assert_eq!(bench.commands.len(), 1);
}

#[test]
fn a_request_whose_piece_fails_ends_once_and_after_all_pieces_under_way() {
    for failing in 0..4 {
        for depth in [1, 3] {
            let mut bench = Bench::ready(|config| config.depth = depth);
            for _ in 0..failing {
                bench.script.push_back(Answer::Well);
            }
            let refused = AdditionalSense::WRITE_PROTECTED;
            bench.script.push_back(says(SenseKey::DataProtect, refused));
            bench.hold = true;
            let tag = bench.submit(Request::Write {
                lba: 0,
                data: vec![1; 512 * 1024],
                fua: true,
            });
            bench.hold = false;
            bench.serve();
            let result = bench.result(tag).expect("it ends");
            let Err(RequestError::Scsi { lba, .. }) = result else {
                panic!("{result:?}");
            };
            assert_eq!(lba, failing * 256);
            assert_eq!(bench.rig.host.under_way(), 0);
            let sent = bench.commands.len();
            assert!(sent as u64 > failing && sent <= (failing as usize + usize::from(depth)));
            // And the disk goes on.
            bench.write(0, vec![2; 512]).unwrap();
        }
    }
}

#[test]
fn a_transport_failure_is_tried_again_and_told_in_the_end() {
    let mut bench = Bench::ready(|_| {});
    bench.script.push_back(Answer::TransportFailure);
    bench.write(0, vec![1; 512]).unwrap();
    for _ in 0..3 {
        bench.script.push_back(Answer::TransportFailure);
    }
    let error = bench.write(0, vec![1; 512]).unwrap_err();
    assert!(matches!(error, RequestError::Command { .. }), "{error}");
}

#[test]
fn a_silent_disk_has_its_task_aborted_and_is_asked_again() {
    let mut bench = Bench::ready(|_| {});
    bench.script.push_back(Answer::Silence);
    bench.write(0, vec![1; 512]).unwrap();
    assert!(bench.management.contains(&Function::ABORT_TASK));
}

/// The bridge has kept the login while the disk behind it lost its power.
#[test]
fn a_disk_that_was_switched_off_is_looked_at_again_and_the_next_flush_fails() {
    for code in [
        AdditionalSense::POWER_ON_OR_RESET,
        AdditionalSense::POWER_ON,
        AdditionalSense::MEDIUM_MAY_HAVE_CHANGED,
    ] {
        let mut bench = Bench::ready(|_| {});
        bench.write(0, vec![1; 512]).unwrap();
        bench.script.push_back(says(SenseKey::UnitAttention, code));
        bench.write(1, vec![2; 512]).unwrap();
        assert!(bench.was_told(|notice| matches!(notice, Notice::Ready { .. })));
        let lost = Err(RequestError::WritesMayBeLost { deferred: false });
        assert_eq!(bench.flush(), lost);
        assert_eq!(bench.flush(), Ok(vec![]));
    }
}

#[test]
fn another_disk_in_the_place_of_one_that_was_switched_off_is_not_written_to() {
    let mut bench = Bench::ready(|_| {});
    bench.replace_device(super::bench::identity(), 9000);
    let code = AdditionalSense::MEDIUM_MAY_HAVE_CHANGED;
    bench.script.push_back(says(SenseKey::UnitAttention, code));
    bench.hold = true;
    let tags = [5, 6].map(|lba| {
        bench.submit(Request::Write {
            lba,
            data: vec![2; 512],
            fua: false,
        })
    });
    bench.hold = false;
    bench.serve();
    for tag in tags {
        let result = bench.result(tag);
        assert!(
            matches!(result, Some(Err(RequestError::GivenUp(_)))),
            "{result:?}"
        );
    }
    assert_eq!(bench.on_medium(0, 512 * 16), vec![0; 512 * 16]);
}
