use alloc::vec;
use alloc::vec::Vec;

use super::bench::{Answer, Bench, identity};
use crate::disk::{MAX_REQUEST, Request, RequestError};
use crate::scsi::{AdditionalSense, Cdb, Completion, MemoryMedium, SenseKey};

/// Bytes in which every block is another one.
fn blocks(block_length: usize, count: usize) -> Vec<u8> {
    let block = |index: usize| (0..block_length).map(move |byte| (index * 7 + byte) as u8);
    (0..count).flat_map(block).collect()
}

/// First block and number of blocks of each READ or WRITE.
fn transfers(bench: &Bench) -> Vec<(u64, u32)> {
    let transfer = |cdb: &Cdb| cdb.transfer().map(|it| (it.lba, it.blocks));
    bench.commands.iter().filter_map(transfer).collect()
}

fn synchronizes(bench: &Bench) -> usize {
    let is = |cdb: &&Cdb| {
        matches!(
            cdb,
            Cdb::SynchronizeCache10 {
                immediate: false,
                ..
            }
        )
    };
    bench.commands.iter().filter(is).count()
}

#[test]
fn a_request_is_cut_at_the_transfer_limit_and_put_together_again() {
    for (block_length, pieces) in [
        (512, vec![(100, 256), (356, 256), (612, 88)]),
        (2048, vec![(100, 64); 9]),
        (4096, vec![(100, 32); 18]),
    ] {
        for depth in [1, 4] {
            let medium = MemoryMedium::new(block_length, 8192).unwrap();
            let mut bench = Bench::ready_with(identity(), medium, |config| config.depth = depth);
            let data = blocks(block_length as usize, 600);
            bench.write(100, data.clone()).unwrap();
            let cut = transfers(&bench);
            assert_eq!(
                cut.len(),
                if block_length == 512 {
                    3
                } else {
                    600_usize.div_ceil(cut[0].1 as usize)
                }
            );
            let mut at = 100;
            for (lba, blocks) in &cut {
                assert_eq!(*lba, at);
                assert!(blocks * block_length <= 128 << 10);
                at += u64::from(*blocks);
            }
            assert_eq!(at, 700);
            if block_length == 512 {
                assert_eq!(cut, pieces);
            }
            assert_eq!(bench.on_medium(100, data.len()), data);
            bench.commands.clear();
            assert_eq!(bench.read(100, 600).unwrap(), data);
            assert_eq!(transfers(&bench), cut);
        }
    }
}

#[test]
fn blocks_above_two_tebibytes_are_reached_by_the_long_commands() {
    let count = (3 << 40) / 512;
    let medium = MemoryMedium::new(512, count).unwrap();
    let mut bench = Bench::ready_with(identity(), medium, |_| {});
    let boundary = 1 << 32;
    // Up to the boundary, across it, and to the very end.
    for lba in [boundary - 300, boundary, count - 300] {
        let data = blocks(512, 300);
        bench.commands.clear();
        bench.write(lba, data.clone()).unwrap();
        assert_eq!(bench.read(lba, 300).unwrap(), data);
        for command in &bench.commands {
            let long = matches!(command, Cdb::Read16 { .. } | Cdb::Write16 { .. });
            let transfer = command.transfer().unwrap();
            assert_eq!(long, transfer.lba >= boundary, "{command:?}");
        }
    }
}

#[test]
fn a_flush_ends_when_synchronize_cache_has() {
    let mut bench = Bench::ready(|_| {});
    bench.hold = true;
    let flush = bench.submit(Request::Flush);
    assert_eq!(bench.result(flush), None);
    bench.hold = false;
    bench.serve();
    assert_eq!(bench.result(flush), Some(Ok(vec![])));
    assert_eq!(synchronizes(&bench), 1);
    assert_eq!(bench.device.counters().flushes, 1);
}

#[test]
fn a_flush_that_fails_is_told() {
    let mut bench = Bench::ready(|_| {});
    let error = Completion::check_with(SenseKey::MediumError, AdditionalSense::WRITE_ERROR);
    bench
        .script
        .extend((0..4).map(|_| Answer::Instead(error.clone())));
    assert!(matches!(bench.flush(), Err(RequestError::Scsi { .. })));
    assert_eq!(bench.flush(), Ok(vec![]));
}

#[test]
fn fua_is_the_disks_own_where_it_has_it_and_a_flush_where_not() {
    for fua_known in [true, false] {
        let mut identity = identity();
        identity.fua = fua_known;
        let medium = MemoryMedium::new(512, 8192).unwrap();
        let mut bench = Bench::ready_with(identity, medium, |_| {});
        let data = blocks(512, 300);
        for request in [
            Request::Write {
                lba: 8,
                data: data.clone(),
                fua: true,
            },
            Request::WriteZeroes {
                lba: 8,
                blocks: 300,
                fua: true,
            },
        ] {
            bench.commands.clear();
            assert_eq!(bench.perform(request), Ok(vec![]));
            let with_fua = |cdb: &&Cdb| cdb.transfer().is_some_and(|it| it.force_unit_access);
            let with_fua = bench.commands.iter().filter(with_fua).count();
            assert_eq!(with_fua, if fua_known { 2 } else { 0 });
            // The flush comes after the last piece.
            let last = matches!(bench.commands[2..], [Cdb::SynchronizeCache10 { .. }]);
            assert_eq!(last, !fua_known);
        }
        bench.commands.clear();
        bench.write(8, data).unwrap();
        assert_eq!((bench.commands.len(), synchronizes(&bench)), (2, 0));
    }
}

#[test]
fn zeros_are_written_where_asked_and_nowhere_else() {
    let mut bench = Bench::ready(|_| {});
    bench.write(0, vec![0xee; 512 * 700]).unwrap();
    let zeros = Request::WriteZeroes {
        lba: 50,
        blocks: 600,
        fua: false,
    };
    assert_eq!(bench.perform(zeros), Ok(vec![]));
    assert_eq!(bench.on_medium(0, 512 * 50), vec![0xee; 512 * 50]);
    assert_eq!(bench.on_medium(50, 512 * 600), vec![0; 512 * 600]);
    assert_eq!(bench.on_medium(650, 512 * 50), vec![0xee; 512 * 50]);
}

#[test]
fn a_request_for_no_blocks_is_done_at_once() {
    let mut bench = Bench::ready(|_| {});
    assert_eq!(bench.read(8192, 0), Ok(vec![]));
    assert_eq!(bench.write(8192, vec![]), Ok(vec![]));
    assert!(bench.commands.is_empty());
}

#[test]
fn what_cannot_be_done_is_refused_and_never_reaches_the_disk() {
    let mut bench = Bench::ready(|_| {});
    let out_of_range = |lba, blocks| RequestError::OutOfRange {
        lba,
        blocks,
        capacity: 8192,
    };
    assert_eq!(bench.read(8191, 2), Err(out_of_range(8191, 2)));
    assert_eq!(bench.read(u64::MAX, 1), Err(out_of_range(u64::MAX, 1)));
    assert_eq!(bench.write(8192, vec![1; 512]), Err(out_of_range(8192, 1)));
    let zeros = Request::WriteZeroes {
        lba: 8000,
        blocks: 193,
        fua: false,
    };
    assert_eq!(bench.perform(zeros), Err(out_of_range(8000, 193)));
    let uneven = RequestError::NotWholeBlocks {
        length: 513,
        block_length: 512,
    };
    assert_eq!(bench.write(0, vec![1; 513]), Err(uneven));
    let too_long = RequestError::TooLong {
        length: 512 * u64::from(u32::MAX),
        limit: MAX_REQUEST,
    };
    assert_eq!(bench.read(0, u32::MAX), Err(too_long));
    assert!(bench.commands.is_empty());
}

#[test]
fn a_write_protected_disk_is_read_and_not_written() {
    let medium = MemoryMedium::new(512, 64).unwrap().with_read_only(true);
    let mut bench = Bench::ready_with(identity(), medium, |_| {});
    let zeros = Request::WriteZeroes {
        lba: 0,
        blocks: 1,
        fua: false,
    };
    let protected = Err(RequestError::WriteProtected);
    assert_eq!(bench.write(0, vec![1; 512]), protected);
    assert_eq!(bench.perform(zeros), protected);
    assert_eq!(bench.read(0, 1), Ok(vec![0; 512]));
    assert_eq!(transfers(&bench), [(0, 1)]);
}

#[test]
fn before_the_disk_is_ready_and_after_it_was_given_back_requests_fail() {
    let medium = MemoryMedium::new(512, 64).unwrap();
    let mut bench = Bench::new(identity(), medium, |_| {});
    assert_eq!(bench.read(0, 1), Err(RequestError::NotReady));
    bench.login();
    assert_eq!(bench.read(0, 1), Ok(vec![0; 512]));
    let now = bench.rig.now;
    bench.rig.host.logout(now);
    bench.serve();
    assert_eq!(bench.read(0, 1), Err(RequestError::NotReady));
}

#[test]
fn a_write_cache_that_nobody_mentions_and_cannot_be_flushed_is_taken_for_none() {
    let unknown = Completion::check_with(
        SenseKey::IllegalRequest,
        AdditionalSense::INVALID_OPERATION_CODE,
    );
    let mut bench = Bench::ready(|_| {});
    let cached = bench.rig.host.info().unwrap().write_cache;
    assert_eq!(cached, Some(true));
    bench.script.push_back(Answer::Instead(unknown.clone()));
    assert!(bench.flush().is_err(), "this one says that it has a cache");
    let mut identity = identity();
    identity.write_cache = false;
    let medium = MemoryMedium::new(512, 64).unwrap();
    let mut bench = Bench::ready_with(identity, medium, |_| {});
    bench.script.push_back(Answer::Instead(unknown));
    assert_eq!(bench.flush(), Ok(vec![]));
}
