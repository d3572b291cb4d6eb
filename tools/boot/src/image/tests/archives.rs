//! Archives in a row, as cpio and the programs that compress write them.

use super::*;
use crate::compression::tests::{PROGRAMS, compressed};

fn check_system(image: &Image) {
    let mut expected = SYSTEM.to_vec();
    expected.push("/var/third 13");
    assert_eq!(shown(image), expected);
    for path in ["/etc/first", "/etc/second", "/var/third"] {
        assert_eq!(
            read(image, path).as_deref(),
            Some("several names"),
            "{path}"
        );
    }
    let options = read(image, "/etc/modprobe.d/fwshare.conf").unwrap();
    assert_eq!(options, "options firewire-sbp2 exclusive_login=N\n");
}

#[test]
fn every_compression_is_read() {
    let folder = system();
    for format in ["newc", "crc"] {
        let Some(archive) = archive(folder.path(), format) else {
            return;
        };
        check_system(&open(&archive));
        for (package, command, compression) in PROGRAMS {
            let Some(stream) = compressed(package, command, &archive) else {
                continue;
            };
            let image = open(&stream);
            check_system(&image);
            let segment = Segment {
                offset: 0,
                compression: *compression,
                entries: 20,
                lost: 0,
                unpacked: archive.len() as u64,
            };
            assert_eq!(image.segments(), [segment], "{command:?}");
            assert_eq!(image.size(), stream.len() as u64, "{command:?}");
        }
    }
}

#[test]
fn archives_follow_one_another_with_zeros_between() {
    let early = raw_archive(&[
        raw("kernel", FOLDER, ""),
        raw("kernel/x86", FOLDER, ""),
        raw("kernel/x86/GenuineIntel.bin", FILE, "microcode"),
        raw("early_cpio", FILE, "1\n"),
    ]);
    let system = system();
    let Some(archive) = archive(system.path(), "newc") else {
        return;
    };
    let mut image = early.clone();
    image.resize(image.len().next_multiple_of(512), 0);
    let mut offsets = vec![(0, Compression::None), (image.len(), Compression::None)];
    image.extend_from_slice(&raw_archive(&[raw("kernel/x86/AMD.bin", FILE, "x")]));
    for (package, command, compression) in PROGRAMS {
        let Some(stream) = compressed(package, command, &archive) else {
            continue;
        };
        offsets.push((image.len(), *compression));
        image.extend_from_slice(&stream);
        // Some builders fill up, others do not; a stream can begin anywhere.
        image.resize(image.len() + offsets.len() % 3, 0);
    }
    let image = open(&image);
    let found = image.segments().iter();
    let found: Vec<_> = found
        .map(|segment| (segment.offset as usize, segment.compression))
        .collect();
    assert_eq!(found, offsets);
    assert_eq!(read(&image, "/kernel/x86/AMD.bin").as_deref(), Some("x"));
    assert_eq!(
        read(&image, "/lib/../../etc/first").as_deref(),
        Some("several names")
    );
}

#[test]
fn a_stream_goes_on_in_the_next_of_its_kind() {
    let system = system();
    let Some(archive) = archive(system.path(), "newc") else {
        return;
    };
    for (package, command, compression) in PROGRAMS {
        let mut streams = Vec::new();
        for part in archive.chunks(4000) {
            streams.extend(compressed(package, command, part).unwrap_or_default());
        }
        if streams.is_empty() {
            continue;
        }
        let image = open(&streams);
        check_system(&image);
        // The zeros at the end can be in streams of their own.
        let segments = image.segments().iter();
        let entries: Vec<_> = segments.map(|segment| segment.entries).collect();
        let (first, rest) = entries.split_first().unwrap();
        assert_eq!(*first, 20, "{compression}");
        assert!(rest.iter().all(|&entries| entries == 0), "{compression}");
    }
}

#[test]
fn a_later_archive_is_unpacked_over_an_earlier_one() {
    let first = raw_archive(&[
        raw("etc", FOLDER, ""),
        raw("etc/a", FILE, "old, and longer"),
        raw("etc/b", FILE, "stays"),
        raw("etc/c", LINK, "a"),
    ]);
    let mut second = raw_archive(&[
        raw("etc", FOLDER, ""),
        raw("etc/a", FILE, "new"),
        raw("etc/c", FILE, "a file now"),
    ]);
    second.splice(..0, first);
    let image = open(&second);
    assert_eq!(
        shown(&image),
        ["/etc/", "/etc/a 3", "/etc/b 5", "/etc/c 10"]
    );
    assert_eq!(read(&image, "/etc/a").as_deref(), Some("new"));
    assert_eq!(read(&image, "/etc/c").as_deref(), Some("a file now"));
}

#[test]
fn what_cpio_lists_is_what_is_there() {
    let folder = system();
    let Some(archive) = archive(folder.path(), "newc") else {
        return;
    };
    let listed = cpio(folder.path(), &["-t", "--quiet"], &archive).unwrap();
    let mut listed: Vec<&[u8]> = listed.split(|&byte| byte == b'\n').collect();
    listed.retain(|name| !name.is_empty() && *name != b".");
    listed.sort_unstable();
    let image = open(&archive);
    let names = image.entries().skip(1).map(|(path, _)| path);
    let mut names: Vec<_> = names
        .map(|path| path.as_os_str().as_bytes()[1..].to_vec())
        .collect();
    names.sort_unstable();
    assert_eq!(names, listed);
}
