//! A guest's memory.

use std::os::unix::fs::FileExt as _;
use std::thread;

use nix::errno::Errno;

use super::client::piece;
use super::{Bench, memfd};
use crate::vfio::DmaError;
use crate::vfio::wire::DmaUnmap;

const PAGE: u64 = 0x1000;
const BOTH: u32 = 3;

#[test]
fn bytes_go_both_ways() {
    let bench = Bench::new();
    let (mut client, memory, _) = bench.guest();
    let ram = memfd(4 * PAGE);
    let mut part = [0; 3];
    assert_eq!(
        memory.read(0x8000, &mut part),
        Err(DmaError::Unmapped(0x8000))
    );
    client
        .map(piece(0x8000, 2 * PAGE, PAGE, BOTH), Some(&ram))
        .unwrap();

    ram.write_all_at(b"firewire", PAGE + 5).unwrap();
    let mut seen = [0; 8];
    memory.read(0x8005, &mut seen).unwrap();
    assert_eq!(&seen, b"firewire");
    // Every alignment of either end.
    let bytes: Vec<u8> = (1..=40).collect();
    for start in 0..4 {
        for length in 0..20 {
            let at = 0x80 + start;
            ram.write_all_at(&[0xee; 64], PAGE + 0x80).unwrap();
            memory.write(0x8000 + at, &bytes[..length]).unwrap();
            let mut seen = [0; 64];
            ram.read_exact_at(&mut seen, PAGE + 0x80).unwrap();
            let (before, rest) = seen.split_at(start as usize);
            let (written, after) = rest.split_at(length);
            assert_eq!(written, &bytes[..length]);
            assert!(before.iter().chain(after).all(|byte| *byte == 0xee));
            let mut back = vec![0; length];
            memory.read(0x8000 + at, &mut back).unwrap();
            assert_eq!(back, written);
        }
    }
    // The last byte, and one more.
    memory.write(0x9fff, &[7]).unwrap();
    assert_eq!(
        memory.write(0x9fff, &[8, 8]),
        Err(DmaError::Unmapped(0xa000))
    );
    memory.read(0x9fff, &mut part[..1]).unwrap();
    assert_eq!(part[0], 7, "a refused write changed something");
    assert_eq!(
        memory.read(u64::MAX, &mut part),
        Err(DmaError::Unmapped(u64::MAX))
    );
}

#[test]
fn an_access_may_span_pieces_and_not_gaps() {
    let bench = Bench::new();
    let (mut client, memory, _) = bench.guest();
    let ram = memfd(3 * PAGE);
    // The other way round in the file.
    client
        .map(piece(0, PAGE, 2 * PAGE, BOTH), Some(&ram))
        .unwrap();
    client.map(piece(PAGE, PAGE, 0, BOTH), Some(&ram)).unwrap();
    client
        .map(piece(3 * PAGE, PAGE, PAGE, BOTH), Some(&ram))
        .unwrap();
    memory.write(PAGE - 3, b"bridge").unwrap();
    let mut seen = [0; 3];
    ram.read_exact_at(&mut seen, 3 * PAGE - 3).unwrap();
    assert_eq!(&seen, b"bri");
    ram.read_exact_at(&mut seen, 0).unwrap();
    assert_eq!(&seen, b"dge");
    let mut both = [0; 6];
    memory.read(PAGE - 3, &mut both).unwrap();
    assert_eq!(&both, b"bridge");
    let mut all = vec![0; 4 * PAGE as usize];
    assert_eq!(memory.read(0, &mut all), Err(DmaError::Unmapped(2 * PAGE)));

    client.unmap(PAGE, PAGE, 0).unwrap();
    assert_eq!(
        memory.read(PAGE - 3, &mut both),
        Err(DmaError::Unmapped(PAGE))
    );
    client.unmap(0, 0, DmaUnmap::ALL).unwrap();
    assert_eq!(memory.read(0, &mut both), Err(DmaError::Unmapped(0)));
    drop(client);
    bench.expect_gone();
}

#[test]
fn roms_are_accepted_and_not_written() {
    let bench = Bench::new();
    let (mut client, memory, _) = bench.guest();
    client.map(piece(0xc_0000, PAGE, 0, 1), None).unwrap();
    let rom = memfd(PAGE);
    client.map(piece(0xf_0000, PAGE, 0, 1), Some(&rom)).unwrap();
    client.map(piece(0xf_1000, PAGE, 0, 2), Some(&rom)).unwrap();
    let mut byte = [0xff];
    let unshared = Err(DmaError::NotShared(0xc_0000));
    assert_eq!(memory.read(0xc_0000, &mut byte), unshared);
    memory.read(0xf_0000, &mut byte).unwrap();
    assert_eq!(byte, [0]);
    assert_eq!(
        memory.write(0xf_0000, &byte),
        Err(DmaError::Denied(0xf_0000))
    );
    assert_eq!(
        memory.read(0xf_1000, &mut byte),
        Err(DmaError::Denied(0xf_1000))
    );
    memory.write(0xf_1000, &byte).unwrap();
}

#[test]
fn what_cannot_be_mapped_is_refused() {
    let bench = Bench::new();
    let (mut client, memory, _) = bench.guest();
    let ram = memfd(4 * PAGE);
    let whole = |address| piece(address, 4 * PAGE, 0, BOTH);
    client.map(whole(0x1_0000), Some(&ram)).unwrap();
    for (piece, errno) in [
        // Overlaps, from either side, within, around.
        (whole(0x1_0000), Errno::EEXIST),
        (whole(0x1_3000), Errno::EEXIST),
        (whole(0xd000), Errno::EEXIST),
        (piece(0x1_1000, PAGE, 0, BOTH), Errno::EEXIST),
        // No length, beyond the end of addresses, of the file.
        (piece(0, 0, 0, BOTH), Errno::EINVAL),
        (piece(u64::MAX - 10, PAGE, 0, BOTH), Errno::EINVAL),
        (piece(0, 4 * PAGE, PAGE, BOTH), Errno::EINVAL),
        (piece(0, PAGE, 4 * PAGE, BOTH), Errno::EINVAL),
        (piece(0, PAGE, u64::MAX, BOTH), Errno::EINVAL),
        (piece(0, PAGE, u64::MAX - PAGE + 1, BOTH), Errno::EINVAL),
        // Not on a page, flags that there are not.
        (piece(0, PAGE, 12, BOTH), Errno::EINVAL),
        (piece(0, PAGE, 0, 4), Errno::EINVAL),
    ] {
        assert_eq!(client.map(piece, Some(&ram)), Err(errno), "{piece:?}");
    }
    assert_eq!(client.unmap(0x1_0000, PAGE, 0), Err(Errno::ENOENT));
    assert_eq!(client.unmap(0x1_1000, 4 * PAGE, 0), Err(Errno::ENOENT));
    assert_eq!(client.unmap(0x1_0000, 4 * PAGE, 4), Err(Errno::EINVAL));
    // Next to it there is room.
    client.map(whole(0x1_4000), Some(&ram)).unwrap();
    client.map(whole(0xc000), Some(&ram)).unwrap();
    memory.write(0xc000, &[1; 0xc000]).unwrap();
}

#[test]
fn a_file_that_could_shrink_is_refused_and_a_memfd_no_longer_can() {
    let bench = Bench::new();
    let (mut client, memory, _) = bench.guest();
    let plain = tempfile::tempfile().unwrap();
    plain.set_len(PAGE).unwrap();
    let refused = client.map(piece(0, PAGE, 0, BOTH), Some(&plain));
    assert_eq!(refused, Err(Errno::EPERM));
    let ram = memfd(PAGE);
    client.map(piece(0, PAGE, 0, BOTH), Some(&ram)).unwrap();
    assert!(ram.set_len(0).is_err());
    memory.write(0, &[1; 0x1000]).unwrap();
}

#[test]
fn other_threads_are_at_it_while_the_guest_maps() {
    let bench = Bench::new();
    let (mut client, memory, _) = bench.guest();
    let ram = memfd(2 * PAGE);
    let fixed = piece(0, PAGE, 0, BOTH);
    client.map(fixed, Some(&ram)).unwrap();
    thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut reached = 0;
            let mut bytes = [0; 64];
            for round in 0..20_000_u32 {
                memory.write(0, &round.to_le_bytes()).unwrap();
                memory.read(0, &mut bytes[..4]).unwrap();
                assert_eq!(bytes[..4], round.to_le_bytes());
                reached += u32::from(memory.read(PAGE - 32, &mut bytes).is_ok());
            }
            reached
        });
        while !busy.is_finished() {
            client
                .map(piece(PAGE, PAGE, PAGE, BOTH), Some(&ram))
                .unwrap();
            client.unmap(PAGE, PAGE, 0).unwrap();
        }
        let _ = busy.join().unwrap();
    });
}

#[test]
fn a_guest_that_has_gone_has_no_memory() {
    let bench = Bench::new();
    let (mut client, memory, _) = bench.guest();
    let ram = memfd(PAGE);
    client.map(piece(0, PAGE, 0, BOTH), Some(&ram)).unwrap();
    memory.write(0, &[1]).unwrap();
    drop(client);
    bench.expect_gone();
    assert_eq!(memory.write(0, &[1]), Err(DmaError::Unmapped(0)));
}
