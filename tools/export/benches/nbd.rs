//! The NBD server over a disk that takes no time: what is left is the server's own cost.
//!
//! `state machine` is the connection alone, one request at a time. `unix socket` is the whole
//! server with a client that keeps 16 requests in flight.

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fwshare_export::Disk;
use fwshare_export::memory::NullDisk;
use fwshare_export::nbd::wire::{Command, REQUEST_MAGIC, RequestHeader, SimpleReply};
use fwshare_export::nbd::{Connection, Endpoint, Export, Server};
use zerocopy::IntoBytes;

const SIZE: u64 = 1 << 30;
const IN_FLIGHT: u64 = 16;
/// Client flags, and `NBD_OPT_EXPORT_NAME` of the default export.
const HANDSHAKE: &[u8] = b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\0";
/// Greeting, and the answer to that option.
const HANDSHAKE_REPLY: usize = 18 + 10;

const CASES: [(&str, Command, u32); 4] = [
    ("read 4 KiB", Command::Read, 4 << 10),
    ("write 4 KiB", Command::Write, 4 << 10),
    ("read 128 KiB", Command::Read, 128 << 10),
    ("write 128 KiB", Command::Write, 128 << 10),
];

fn request(command: Command, length: u32) -> Vec<u8> {
    let header = RequestHeader {
        magic: REQUEST_MAGIC.into(),
        flags: 0.into(),
        command: u16::from(command).into(),
        cookie: 1.into(),
        offset: 0.into(),
        length: length.into(),
    };
    let mut bytes = header.as_bytes().to_vec();
    if command == Command::Write {
        bytes.resize(bytes.len() + length as usize, 0xa5);
    }
    bytes
}

fn reply_length(command: Command, length: u32) -> usize {
    let data = if command == Command::Read { length } else { 0 };
    size_of::<SimpleReply>() + data as usize
}

fn export() -> Export {
    Export::new(Arc::new(NullDisk::new(SIZE, 512))).expect("a sound disk")
}

fn state_machine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nbd/state machine");
    for (name, command, length) in CASES {
        let disk = NullDisk::new(SIZE, 512);
        let mut connection = Connection::new(Arc::new(export()));
        assert_eq!(connection.receive(HANDSHAKE), HANDSHAKE.len());
        let bytes = request(command, length);
        group.throughput(Throughput::Bytes(length.into()));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                assert_eq!(connection.receive(&bytes), bytes.len());
                while let Some((ticket, request)) = connection.poll_request() {
                    let (tell, told) = std::sync::mpsc::sync_channel(1);
                    disk.submit(request, Box::new(move |result| drop(tell.send(result))));
                    let result = told.recv().expect("the disk answers at once");
                    connection.complete(ticket, result);
                }
                while let Some(outgoing) = connection.poll_output() {
                    connection.sent(black_box(outgoing).len());
                }
            });
        });
    }
    group.finish();
}

fn unix_socket(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("disk");
    let server = Server::start(export(), &[Endpoint::Unix(path.clone())]).expect("a server");
    let mut group = criterion.benchmark_group("nbd/unix socket");
    for (name, command, length) in CASES {
        let mut client = UnixStream::connect(&path).expect("a client");
        client.write_all(HANDSHAKE).expect("a handshake");
        client
            .read_exact(&mut [0; HANDSHAKE_REPLY])
            .expect("its answer");
        let bytes = request(command, length);
        let mut reply = vec![0; reply_length(command, length)];
        group.throughput(Throughput::Bytes(length.into()));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|count| {
                let start = std::time::Instant::now();
                let ahead = IN_FLIGHT.min(count);
                for _ in 0..ahead {
                    client.write_all(&bytes).expect("a request");
                }
                for done in 0..count {
                    client.read_exact(&mut reply).expect("a reply");
                    if done + ahead < count {
                        client.write_all(&bytes).expect("a request");
                    }
                }
                start.elapsed()
            });
        });
    }
    group.finish();
    drop(server);
}

criterion_group!(benches, state_machine, unix_socket);
criterion_main!(benches);
