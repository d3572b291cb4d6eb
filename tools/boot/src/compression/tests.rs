use std::io::Read as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::judge::{filter, judge};

/// A program that compresses: its Debian package, itself and its arguments, and how that is known.
pub(crate) const PROGRAMS: &[(&str, &[&str], Compression)] = &[
    ("gzip", &["gzip", "-9"], Compression::Gzip),
    ("bzip2", &["bzip2"], Compression::Bzip2),
    ("xz-utils", &["xz", "--format=lzma"], Compression::Lzma),
    ("xz-utils", &["xz", "--check=crc32"], Compression::Xz),
    (
        "xz-utils",
        &["xz", "-T2", "--block-size=65536"],
        Compression::Xz,
    ),
    (
        "xz-utils",
        &["xz", "--x86", "--lzma2", "--check=sha256"],
        Compression::Xz,
    ),
    ("lzop", &["lzop"], Compression::Lzop),
    ("lzop", &["lzop", "-9", "--crc32"], Compression::Lzop),
    ("lz4", &["lz4", "-l"], Compression::Lz4Legacy),
    ("lz4", &["lz4", "-BD", "-BX", "-B4"], Compression::Lz4),
    ("lz4", &["lz4", "-9", "--content-size"], Compression::Lz4),
    ("zstd", &["zstd", "-T2"], Compression::Zstd),
    (
        "zstd",
        &["zstd", "--ultra", "-22", "--long=27"],
        Compression::Zstd,
    ),
];

/// What such a program makes of bytes. `None` if it is not installed.
pub(crate) fn compressed(package: &str, command: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    let (program, arguments) = command.split_first()?;
    let program = judge(program, package)?;
    Some(filter(&program, arguments, Path::new("/"), bytes))
}

/// Some of it can be compressed and some cannot.
fn sample(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let byte = |at: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match (at >> 12) & 3 {
            0 => (state >> 24) as u8,
            1 => b"firewire"[at & 7],
            _ => (state >> 29) as u8,
        }
    };
    (0..length).map(byte).collect()
}

fn unpack(compression: Compression, source: &mut Source<&[u8]>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let take = |piece: &[u8]| {
        all.extend_from_slice(piece);
        Ok(())
    };
    compression.unpack(source, |error| error, take)?;
    Ok(all)
}

#[test]
fn a_stream_is_unpacked_and_what_follows_it_stays() {
    // More than a block of LZ4's legacy frame.
    let (small, large) = (sample(700_000), sample(9 << 20));
    for (package, command, compression) in PROGRAMS {
        let bytes = match compression {
            Compression::Lz4Legacy => &large,
            _ => &small,
        };
        let Some(mut stream) = compressed(package, command, bytes) else {
            continue;
        };
        assert_eq!(Compression::of(&stream), Some(*compression), "{command:?}");
        let length = stream.len() as u64;
        stream.extend_from_slice(b"070701");
        let mut source = Source::new(&stream[..], 0, u64::MAX);
        let unpacked = unpack(*compression, &mut source).unwrap();
        assert!(unpacked == *bytes, "{command:?} is unpacked wrongly");
        assert_eq!(source.position(), length, "{command:?}");
        let mut rest = String::new();
        source.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "070701", "{command:?}");
    }
}

#[test]
fn what_is_cut_off_is_an_error() {
    let bytes = sample(9000);
    for (package, command, compression) in PROGRAMS {
        let Some(stream) = compressed(package, command, &bytes) else {
            continue;
        };
        for end in (4..stream.len()).step_by(5) {
            let mut source = Source::new(&stream[..end], 0, u64::MAX);
            let unpacked = unpack(*compression, &mut source);
            // LZ4's legacy frame has no end, and lz4_flex takes the file's for that of a frame,
            // at least between blocks: what is there is right as far as it goes.
            let is_lz4 = matches!(compression, Compression::Lz4 | Compression::Lz4Legacy);
            match unpacked {
                Ok(unpacked) if is_lz4 => assert!(bytes.starts_with(&unpacked)),
                Ok(_) => panic!("{command:?} is whole at byte {end} of {}", stream.len()),
                Err(_) => {}
            }
        }
    }
}

#[test]
fn damage_is_found_by_the_checksums() {
    let bytes = sample(9000);
    for (package, command, compression) in PROGRAMS {
        let has_none = matches!(compression, Compression::Lzma | Compression::Lz4Legacy);
        let Some(stream) = compressed(package, command, &bytes).filter(|_| !has_none) else {
            continue;
        };
        for at in (0..stream.len()).step_by(5) {
            let mut stream = stream.clone();
            stream[at] ^= 0x10;
            let mut source = Source::new(&stream[..], 0, u64::MAX);
            if let Ok(unpacked) = unpack(*compression, &mut source) {
                // A name or a time in a header may change.
                let is_right = bytes == unpacked;
                assert!(is_right, "{command:?} hides the damage at byte {at}");
            }
        }
    }
}

#[test]
fn small_files_unpack_to_no_more_than_is_asked_for() {
    let bytes = vec![0; 1 << 20];
    let Some(stream) = compressed("zstd", &["zstd"], &bytes) else {
        return;
    };
    assert_eq!(unpacked(&stream, 1 << 20).unwrap(), bytes);
    let error = unpacked(&stream, (1 << 20) - 1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
}

proptest! {
    #[test]
    fn anything_at_all_ends(
        which in 0..PROGRAMS.len(),
        start in proptest::collection::vec(any::<u8>(), 0..64),
        zeros in 0..64_usize,
    ) {
        let magic: &[u8] = match PROGRAMS[which].2 {
            Compression::None => b"",
            Compression::Gzip => b"\x1f\x8b\x08",
            Compression::Bzip2 => b"BZh91AY&SY",
            Compression::Lzma => b"\x5d\0\0\x80\0",
            Compression::Xz => b"\xfd7zXZ\0\0\x04",
            Compression::Lzop => b"\x89LZO\0\r\n\x1a\n\x10\x30\x20\xa0\x09\x40\x01\x05",
            Compression::Lz4Legacy => b"\x02\x21\x4c\x18",
            Compression::Lz4 => b"\x04\x22\x4d\x18",
            Compression::Zstd => b"\x28\xb5\x2f\xfd",
        };
        let mut bytes = magic.to_vec();
        bytes.extend_from_slice(&start);
        bytes.resize(bytes.len() + zeros, 0);
        let _ = unpacked(&bytes, 1 << 20);
    }
}
