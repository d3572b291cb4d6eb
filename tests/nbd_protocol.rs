//! The NBD server over a disk in memory, judged by the clients that people use.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fwshare_export::memory::MemoryDisk;
use fwshare_export::nbd::{Endpoint, Export, Server};
use fwshare_tests::{judge, pattern};
use tempfile::TempDir;

const SIZE: usize = 32 << 20;

/// A disk in memory, served on a Unix socket and on TCP.
struct Served {
    disk: Arc<MemoryDisk>,
    server: Server,
    folder: TempDir,
}

impl Served {
    fn new(disk: MemoryDisk, finish: impl FnOnce(Export) -> Export) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(disk);
        let export = finish(Export::new(disk.clone()).unwrap());
        let endpoints = [
            Endpoint::Unix(folder.path().join("a socket")),
            "tcp:127.0.0.1:0".parse().unwrap(),
        ];
        let server = Server::start(export, &endpoints).unwrap();
        Self {
            disk,
            server,
            folder,
        }
    }

    /// Over the pattern of `seed`, in blocks of 512 bytes.
    fn filled(seed: u64) -> Self {
        Self::new(MemoryDisk::with_contents(pattern(SIZE, seed), 512), |it| it)
    }

    fn empty(block_size: u32) -> Self {
        Self::new(MemoryDisk::new(SIZE, block_size), |it| it)
    }

    fn unix(&self) -> String {
        self.server.uris()[0].clone()
    }

    fn tcp(&self) -> String {
        self.server.uris()[1].clone()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everybody has left, so stopping finds nothing to do.
    fn stop(self) {
        let report = self.server.stop(Duration::from_secs(30));
        assert_eq!(report.cut_off, 0);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn nbdinfo_reads_size_flags_and_block_sizes() {
    let Some(nbdinfo) = judge("nbdinfo") else {
        return;
    };
    for block_size in [512, 2048, 4096] {
        let disk = MemoryDisk::new(SIZE, block_size);
        let served = Served::new(disk, |export| {
            export.named("disk").unwrap().described("a disk").unwrap()
        });
        for uri in [served.unix(), served.tcp()] {
            let said = nbdinfo.run(["--json", &uri]);
            let json: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
            assert_eq!(json["protocol"], "newstyle-fixed", "{said}");
            assert_eq!(json["structured"], true, "{said}");
            let export = &json["exports"][0];
            assert_eq!(export["export-name"], "disk", "{said}");
            assert_eq!(export["description"], "a disk", "{said}");
            assert_eq!(export["export-size"], SIZE, "{said}");
            assert_eq!(export["block_size_minimum"], block_size, "{said}");
            assert_eq!(export["block_size_preferred"], 4096, "{said}");
            assert_eq!(export["block_size_maximum"], 32 << 20, "{said}");
            for (flag, value) in [
                ("is_read_only", false),
                ("can_flush", true),
                ("can_fua", true),
                ("can_zero", true),
                ("can_multi_conn", true),
                ("can_df", true),
                ("can_trim", false),
                ("can_cache", false),
                ("can_fast_zero", false),
            ] {
                assert_eq!(export[flag], value, "{flag}: {said}");
            }
        }
        served.stop();
    }
}

#[test]
fn nbdinfo_sees_a_read_only_export() {
    let Some(nbdinfo) = judge("nbdinfo") else {
        return;
    };
    let served = Served::new(MemoryDisk::new(SIZE, 512), Export::read_only);
    nbdinfo.run(["--is", "readonly", &served.unix()]);
    assert!(!nbdinfo.try_run(["--can", "zero", &served.unix()]).success());
    served.stop();
}

#[test]
fn nbdcopy_takes_the_disk_out_and_puts_one_in() {
    let Some(nbdcopy) = judge("nbdcopy") else {
        return;
    };
    let served = Served::filled(1);
    for (at, uri) in [served.unix(), served.tcp()].iter().enumerate() {
        let copy = served.file("out");
        nbdcopy.run([uri, text(&copy)]);
        assert!(fs::read(&copy).unwrap() == served.disk.contents(), "{uri}");

        let new = pattern(SIZE, 2 + at as u64);
        let source = served.file("in");
        fs::write(&source, &new).unwrap();
        nbdcopy.run(["--flush", text(&source), uri]);
        assert!(served.disk.contents() == new, "{uri}");
    }
    let tally = served.server.export().counters().read();
    assert!(tally.clients_seen > 4, "several connections: {tally:?}");
    assert!(tally.flushes >= 2, "{tally:?}");
    assert_eq!((tally.refused, tally.failed), (0, 0), "{tally:?}");
    served.stop();
}

#[test]
fn nbdsh_finds_every_edge_as_the_protocol_says() {
    let Some(nbdsh) = judge("nbdsh") else {
        return;
    };
    let read_only = Served::new(MemoryDisk::new(SIZE, 512), Export::read_only);
    for block in [512, 4096] {
        // Larger than the largest request, so that one too long is not past the end as well.
        let size = 48 << 20;
        let served = Served::new(MemoryDisk::new(size, block), |export| {
            let export = export.named("disk").unwrap();
            export.described("a test disk").unwrap()
        });
        let setting = format!(
            "URI, RO_URI, SIZE, BLOCK, MAX = {:?}, {:?}, {size}, {block}, {}",
            served.unix(),
            read_only.unix(),
            32 << 20
        );
        let script = include_str!("nbd_protocol/edges.py");
        let said = nbdsh.run(["-c", &setting, "-c", script]);
        assert!(said.stdout.contains("all edges held"), "{said}");
        served.stop();
    }
    read_only.stop();
}

#[test]
fn qemu_io_reads_the_patterns_that_it_wrote() {
    let Some(qemu_io) = judge("qemu-io") else {
        return;
    };
    for block_size in [512, 4096] {
        let served = Served::empty(block_size);
        let said = qemu_io.run([
            "-f",
            "raw",
            "-c",
            "write -P 0xa5 0 64k",
            "-c",
            "write -f -P 0x5a 1M 4k",
            "-c",
            "write -z 8k 8k",
            "-c",
            "aio_write -P 0x11 2M 1M",
            "-c",
            "aio_write -P 0x22 3M 1M",
            "-c",
            "aio_flush",
            "-c",
            "read -P 0xa5 0 8k",
            "-c",
            "read -P 0 8k 8k",
            "-c",
            "read -P 0xa5 16k 48k",
            "-c",
            "read -P 0x5a 1M 4k",
            "-c",
            "read -P 0x11 2M 1M",
            "-c",
            "read -P 0x22 3M 1M",
            &served.unix(),
        ]);
        assert!(!said.stdout.contains("verification failed"), "{said}");
        let contents = served.disk.contents();
        assert_eq!(contents[1 << 20..][..4096], [0x5a; 4096]);
        assert_eq!(contents[8 << 10..][..8 << 10], [0; 8 << 10]);
        served.stop();
    }
}

#[test]
fn qemu_img_finds_no_difference_and_then_finds_one() {
    let Some(qemu_img) = judge("qemu-img") else {
        return;
    };
    let served = Served::filled(3);
    let copy = served.file("copy");
    let mut contents = served.disk.contents();
    fs::write(&copy, &contents).unwrap();
    let compare = |uri: &str| {
        let said = qemu_img.try_run(["compare", "-f", "raw", "-F", "raw", text(&copy), uri]);
        assert!(matches!(said.status.code(), Some(0 | 1)), "{said}");
        said.success()
    };
    assert!(compare(&served.unix()));
    assert!(compare(&served.tcp()));
    contents[SIZE - 1] ^= 1;
    fs::write(&copy, &contents).unwrap();
    assert!(!compare(&served.unix()));
    served.stop();
}

#[test]
fn qemu_img_converts_onto_the_disk() {
    let Some(qemu_img) = judge("qemu-img") else {
        return;
    };
    // Half of it zeroes, which qemu-img writes as such.
    let mut image = pattern(SIZE, 5);
    image[SIZE / 4..][..SIZE / 2].fill(0);
    let served = Served::filled(4);
    let source = served.file("image");
    fs::write(&source, &image).unwrap();
    let uri = served.unix();
    qemu_img.run([
        "convert",
        "-n",
        "-f",
        "raw",
        "-O",
        "raw",
        text(&source),
        &uri,
    ]);
    assert!(served.disk.contents() == image);
    served.stop();
}

#[test]
fn fio_verifies_what_it_wrote_with_sixteen_requests_in_flight() {
    let Some(fio) = judge("fio") else {
        return;
    };
    // Aligned to 512 bytes, writes in flight overlap, and what fio expects to read is what it
    // sent last. NBD promises no such order; it holds here because requests reach the disk in the
    // client's order and this disk does them at once. Elsewhere, add --serialize_overlap=1.
    for (block_size, pattern) in [
        ("4k-4k", "randwrite"),
        ("512-64k", "randrw"),
        ("128k-128k", "write"),
    ] {
        let served = Served::empty(512);
        let said = fio.run([
            "--name=verify",
            "--ioengine=nbd",
            &format!("--uri={}", served.unix()),
            &format!("--rw={pattern}"),
            &format!("--bsrange={block_size}"),
            "--blockalign=512",
            "--size=32M",
            "--iodepth=16",
            "--verify=crc32c",
            "--verify_fatal=1",
            "--do_verify=1",
            "--fsync=64",
            "--randseed=7",
            "--aux-path",
            text(served.folder.path()),
        ]);
        assert!(!said.stderr.contains("verify:"), "{said}");
        let tally = served.server.export().counters().read();
        assert!(tally.writes > 100 && tally.reads > 100, "{tally:?}");
        assert_eq!((tally.refused, tally.failed), (0, 0), "{tally:?}\n{said}");
        served.stop();
    }
}

#[test]
fn several_clients_at_once_do_not_disturb_each_other() {
    let Some(qemu_io) = judge("qemu-io") else {
        return;
    };
    let served = Served::empty(512);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (qemu_io, uri) = (&qemu_io, served.unix());
            scope.spawn(move || {
                let area = format!("{}M 4M", 4 * client);
                let write = format!("write -P {} {area}", client + 1);
                let read = format!("read -P {} {area}", client + 1);
                qemu_io.run(["-f", "raw", "-c", &write, "-c", &read, &uri]);
            });
        }
    });
    let contents = served.disk.contents();
    for client in 0..4_u8 {
        let area = &contents[usize::from(client) << 22..][..4 << 20];
        assert!(area.iter().all(|&byte| byte == client + 1));
    }
    served.stop();
}
