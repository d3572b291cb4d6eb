//! Images that somebody made to do harm, and those that were damaged.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::compression::tests::{PROGRAMS, compressed};

const SMALL: Limits = Limits {
    file: 1 << 20,
    streams: 4,
    entries: 10,
    names: 100,
    unpacked: 1 << 20,
    kept: 1000,
};

fn small(bytes: &[u8]) -> Result<Image, ImageError> {
    Image::read_from(bytes, 0, SMALL, &|_| true)
}

#[test]
fn bombs_are_bounded() {
    let entries = vec![raw("a", FILE, ""); 11];
    let long = "x".repeat(101);
    let big = "x".repeat(1001);
    let mut archives = Vec::new();
    for _ in 0..5 {
        archives.extend(raw_archive(&[]));
    }
    for (bytes, limit) in [
        (raw_archive(&entries), "10 entries"),
        (raw_archive(&[raw(&long, FILE, "")]), "100 bytes of names"),
        (raw_archive(&[raw("a", LINK, &long)]), "100 bytes of names"),
        (
            raw_archive(&[raw("a", FILE, &big)]),
            "1000 bytes of files to be looked into",
        ),
        (archives, "4 archives and streams"),
    ] {
        let said = small(&bytes).unwrap_err().to_string();
        assert!(
            said.contains(&format!("it holds more than {limit}")),
            "{said}"
        );
    }
    let huge = "\0".repeat(2 << 20);
    let bomb = raw_archive(&[raw("a", FILE, &huge)]);
    let large = Image::read_from(&bomb[..], 0, SMALL, &|_| false);
    let said = large.unwrap_err().to_string();
    assert!(said.contains("the file is too large"), "{said}");
    for (package, command, _) in PROGRAMS {
        if let Some(bomb) = compressed(package, command, &bomb) {
            // The file is not too large, and what it holds is not kept.
            let opened = Image::read_from(&bomb[..], 0, SMALL, &|_| false);
            let said = opened.unwrap_err().to_string();
            assert!(said.contains("it holds more than 1048576 bytes"), "{said}");
        }
    }
    assert!(small(&raw_archive(&entries[1..])).is_ok());
}

#[test]
fn headers_that_lie_are_refused() {
    let good = raw_archive(&[raw("a", LINK, "b")]);
    let name = 6 + 11 * 8;
    for (at, digits, said) in [
        (name, "ffffffff", "a name of 4294967295 bytes"),
        (name, "00000000", "a name of 0 bytes"),
        (name, "00000001", "a name without an end"),
        (
            name,
            "+0000002",
            "the header of an entry is no hexadecimal number",
        ),
        (
            6 + 6 * 8,
            "ffffffff",
            "a link to a path of 4294967295 bytes",
        ),
        (1, "60701", "no entry of a cpio archive begins here"),
    ] {
        let mut bytes = good.clone();
        bytes[at..at + digits.len()].copy_from_slice(digits.as_bytes());
        let refusal = refusal(&bytes);
        assert!(refusal.contains(said), "{refusal}");
    }
    // 4 GiB that never come.
    let mut bytes = raw_archive(&[raw("a", FILE, "b")]);
    bytes[6 + 6 * 8..][..8].copy_from_slice(b"ffffffff");
    assert!(refusal(&bytes).contains("it ends in the middle"));
    let mut bytes = vec![0; 2];
    bytes.extend_from_slice(&good);
    assert!(refusal(&bytes).contains("at no multiple of 4 bytes"));
}

#[test]
fn a_checksum_that_is_wrong_is_found() {
    let Some(mut archive) = archive(system().path(), "crc") else {
        return;
    };
    let at = archive
        .windows(7)
        .position(|part| part == b"several")
        .unwrap();
    archive[at] ^= 1;
    assert!(refusal(&archive).contains("the checksum of an entry is wrong"));
}

#[test]
fn links_through_links_end() {
    let links: Vec<_> = (1..=40)
        .map(|at| (format!("l{at}"), format!("l{}", at - 1)))
        .collect();
    let (long, longer) = ("d/../".repeat(400) + "d", "d/../".repeat(600) + "d");
    let mut entries = vec![
        raw("d", FOLDER, ""),
        raw("l0", LINK, "d"),
        raw("long", LINK, &long),
        raw("longer", LINK, &longer),
    ];
    entries.extend(links.iter().map(|(name, target)| raw(name, LINK, target)));
    entries.push(raw("l39/x", FILE, ""));
    entries.push(raw("l40/y", FILE, ""));
    entries.push(raw("long/z", FILE, ""));
    entries.push(raw("longer/z", FILE, ""));
    let image = open(&raw_archive(&entries));
    assert_eq!(image.list(Path::new("/l39")).unwrap(), ["x", "z"]);
    assert!(image.list(Path::new("/l40")).is_err());
    assert!(image.list(Path::new("/longer")).is_err());
    assert!(image.list(Path::new("/long")).is_ok());
    assert!(image.list(Path::new("/long/../long")).is_err());
    assert_eq!(image.segments()[0].lost, 2);
}

#[test]
fn an_image_that_is_cut_off_is_whole_only_between_archives() {
    let first = raw_archive(&[raw("a", FILE, "first")]);
    let mut bytes = first.clone();
    let second = raw_archive(&[raw("b", FILE, "second")]);
    bytes.extend(compressed("gzip", &["gzip"], &second).unwrap_or(second));
    for end in 1..bytes.len() {
        let opened = Image::read(&bytes[..end], &|_| true);
        // The padding behind the last entry's name does not have to be there.
        let whole = end == first.len();
        assert_eq!(opened.is_ok(), whole, "{end} of {}", bytes.len());
    }
    assert_eq!(open(&bytes).segments().len(), 2);
}

/// A small archive, and the same by each of the programs.
static STREAMS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let archive = raw_archive(&[
        raw("lib", LINK, "usr/lib"),
        raw("usr", FOLDER, ""),
        raw("usr/lib", FOLDER, ""),
        raw("lib/a", FILE, "contents"),
        raw("usr/lib/a", FILE, "again"),
        Raw {
            inode: (1, 2),
            ..raw("x", FILE, "several")
        },
        Raw {
            inode: (1, 2),
            ..raw("y", FILE, "")
        },
    ]);
    let streams = PROGRAMS
        .iter()
        .filter_map(|(package, command, _)| compressed(package, command, &archive));
    let mut streams: Vec<_> = streams.collect();
    streams.push(archive);
    streams
});

proptest! {
    #[test]
    fn damage_never_ends_in_a_panic(
        which in any::<usize>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = STREAMS[which % STREAMS.len()].clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + bytes.len() / 2);
        if let Ok(image) = Image::read(&bytes[..], &|_| true) {
            for (path, _) in image.entries() {
                let _ = image.read(&path);
            }
        }
    }
}
