//! The NBD server as its owner sees it: sockets, clients that misbehave, and the stop.
//!
//! The clients here are bare sockets, so that they can do what a proper client never does.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::{Duration, Instant};

use fwshare_export::memory::MemoryDisk;
use fwshare_export::nbd::{Endpoint, Export, Limits, ListenError, Server, StopReport};
use fwshare_export::{Completion, Disk, Geometry, Request};

const SIZE: usize = 16 << 20;
/// Far more than anything here takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn memory() -> Arc<MemoryDisk> {
    Arc::new(MemoryDisk::new(SIZE, 512))
}

fn serve(disk: Arc<dyn Disk>, path: &Path) -> Server {
    let endpoint = Endpoint::Unix(path.to_owned());
    Server::start(Export::new(disk).unwrap(), &[endpoint]).unwrap()
}

fn refusal(path: &Path) -> ListenError {
    let endpoint = Endpoint::Unix(path.to_owned());
    Server::start(Export::new(memory()).unwrap(), &[endpoint]).unwrap_err()
}

/// A client past the handshake.
fn client(path: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.read_exact(&mut [0; 18]).unwrap();
    stream.write_all(&3_u32.to_be_bytes()).unwrap();
    stream.write_all(b"IHAVEOPT\0\0\0\x01\0\0\0\0").unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    stream
}

fn request(command: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut bytes = 0x2560_9513_u32.to_be_bytes().to_vec();
    bytes.extend(0_u16.to_be_bytes());
    bytes.extend(command.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

/// Error and cookie of a simple reply.
fn reply(stream: &mut impl Read) -> (u32, u64) {
    let mut bytes = [0; 16];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes[..4], 0x6744_6698_u32.to_be_bytes());
    let error = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
    (error, u64::from_be_bytes(bytes[8..].try_into().unwrap()))
}

/// A disk that keeps its requests until it is told to do them.
struct SlowDisk {
    inner: MemoryDisk,
    kept: Mutex<Vec<(Request, Completion)>>,
    came: Condvar,
}

impl SlowDisk {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryDisk::new(SIZE, 512),
            kept: Mutex::default(),
            came: Condvar::new(),
        })
    }

    /// Waits until it has `count` requests.
    fn wait_for(&self, count: usize) -> Vec<(Request, Completion)> {
        let kept = self.kept.lock().unwrap();
        let (mut kept, result) = self
            .came
            .wait_timeout_while(kept, PATIENCE, |kept| kept.len() < count)
            .unwrap();
        assert!(!result.timed_out(), "{} of {count} requests", kept.len());
        std::mem::take(&mut *kept)
    }

    fn finish(&self, requests: Vec<(Request, Completion)>) {
        for (request, done) in requests {
            self.inner.submit(request, done);
        }
    }
}

impl Disk for SlowDisk {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn submit(&self, request: Request, done: Completion) {
        self.kept.lock().unwrap().push((request, done));
        self.came.notify_all();
    }
}

/// Waits until the server has noticed that all its clients have gone.
fn wait_until_alone(server: &Server) {
    let start = Instant::now();
    while server.export().counters().read().clients > 0 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

#[test]
fn clients_are_counted_where_they_came() {
    let folder = folder();
    let paths = ["a", "b"].map(|name| folder.path().join(name));
    let endpoints = paths.clone().map(Endpoint::Unix);
    let server = Server::start(Export::new(memory()).unwrap(), &endpoints).unwrap();
    assert_eq!(server.clients(), [0, 0]);
    let first = client(&paths[1]);
    let second = [client(&paths[0]), client(&paths[1])];
    assert_eq!(server.clients(), [1, 2]);
    drop(first);
    let start = Instant::now();
    while server.clients() != [1, 1] {
        assert!(start.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    drop(second);
    assert_eq!(server.stop(PATIENCE), StopReport::default());
}

#[test]
fn the_socket_is_for_its_user_alone_and_goes_with_the_server() {
    let folder = folder();
    let path = folder.path().join("disk");
    let server = serve(memory(), &path);
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    server.stop(PATIENCE);
    assert!(!path.exists());
}

#[test]
fn a_dropped_server_goes_too() {
    let folder = folder();
    let path = folder.path().join("disk");
    let server = serve(memory(), &path);
    let mut client = client(&path);
    drop(server);
    assert!(!path.exists());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_stale_socket_is_replaced() {
    let folder = folder();
    let path = folder.path().join("disk");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = serve(memory(), &path);
    client(&path);
    server.stop(PATIENCE);
}

#[test]
fn a_socket_in_use_is_left_to_its_owner() {
    let folder = folder();
    let path = folder.path().join("disk");
    let server = serve(memory(), &path);
    let error = refusal(&path);
    assert!(matches!(error, ListenError::InUse(_)));
    assert!(
        error
            .to_string()
            .contains("already in use by another process")
    );
    client(&path);
    server.stop(PATIENCE);

    // Neither does one whose queue of clients is full hold us up.
    let _busy = UnixListener::bind(&path).unwrap();
    assert!(matches!(refusal(&path), ListenError::InUse(_)));
}

#[test]
fn what_is_no_socket_is_never_touched() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "precious").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link, &folder.path().to_path_buf()] {
        assert!(matches!(refusal(path), ListenError::NotASocket(_)));
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    assert!(link.is_symlink());
}

#[test]
fn a_path_that_cannot_be_a_socket_is_told_so() {
    let folder = folder();
    for path in [
        folder.path().join("no such folder/disk"),
        folder.path().join("x".repeat(200)),
        PathBuf::from("/proc/disk"),
    ] {
        let error = refusal(&path);
        assert!(matches!(error, ListenError::Unix { .. }), "{error}");
        assert!(error.to_string().starts_with(path.to_str().unwrap()));
    }
}

#[test]
fn of_two_endpoints_none_is_left_when_the_second_fails() {
    let folder = folder();
    let (good, bad) = (folder.path().join("good"), folder.path().join("no/bad"));
    let endpoints = [Endpoint::Unix(good.clone()), Endpoint::Unix(bad)];
    assert!(Server::start(Export::new(memory()).unwrap(), &endpoints).is_err());
    assert!(!good.exists());
}

#[test]
fn a_socket_that_somebody_else_has_put_there_since_is_not_removed() {
    let folder = folder();
    let path = folder.path().join("disk");
    let server = serve(memory(), &path);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    server.stop(PATIENCE);
    assert!(path.exists());
}

#[test]
fn of_many_servers_that_find_a_stale_socket_one_gets_it() {
    let folder = folder();
    let path = folder.path().join("disk");
    let together = &Barrier::new(8);
    for _ in 0..100 {
        drop(UnixListener::bind(&path).unwrap());
        let servers: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    let endpoints = [Endpoint::Unix(path.clone())];
                    let export = Export::new(memory()).unwrap();
                    scope.spawn(move || {
                        together.wait();
                        Server::start(export, &endpoints)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let (good, bad): (Vec<_>, Vec<_>) = servers.into_iter().partition(Result::is_ok);
        assert_eq!(good.len(), 1);
        for error in bad {
            assert!(matches!(error, Err(ListenError::InUse(_))));
        }
        client(&path);
        drop(good);
        assert!(!path.exists());
    }
}

#[test]
fn a_tcp_port_that_the_system_chose_is_in_the_uri() {
    let export = Export::new(memory()).unwrap().named("a disk").unwrap();
    let endpoint: Endpoint = "tcp:127.0.0.1:0".parse().unwrap();
    let server = Server::start(export, &[endpoint]).unwrap();
    let [Endpoint::Tcp { port, .. }] = server.endpoints() else {
        panic!("{:?}", server.endpoints());
    };
    let port = *port;
    assert_ne!(port, 0);
    assert_eq!(server.uris(), [format!("nbd://127.0.0.1:{port}/a%20disk")]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.read_exact(&mut [0; 18]).unwrap();
    let taken: Endpoint = format!("tcp:127.0.0.1:{port}").parse().unwrap();
    let error = Server::start(Export::new(memory()).unwrap(), &[taken]).unwrap_err();
    assert!(matches!(error, ListenError::Tcp { .. }));
    server.stop(PATIENCE);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn idle_clients_do_not_hold_up_the_stop() {
    let folder = folder();
    let path = folder.path().join("disk");
    let server = serve(memory(), &path);
    let mut idle = client(&path);
    let mut silent = UnixStream::connect(&path).unwrap();
    silent.read_exact(&mut [0; 18]).unwrap();
    let start = Instant::now();
    assert_eq!(server.stop(PATIENCE), StopReport::default());
    assert!(start.elapsed() < PATIENCE / 2);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
}

#[test]
fn the_stop_waits_for_requests_under_way_and_refuses_others() {
    let folder = folder();
    let path = folder.path().join("disk");
    let disk = SlowDisk::new();
    let server = serve(disk.clone(), &path);
    let mut stream = client(&path);
    stream.write_all(&request(1, 1, 0, 512)).unwrap();
    stream.write_all(&[7; 512]).unwrap();
    let requests = disk.wait_for(1);
    let stopping = std::thread::spawn(move || server.stop(PATIENCE));

    // The socket's removal shows that it is stopping; soon after, requests are refused.
    let start = Instant::now();
    let mut cookie = 2;
    loop {
        stream.write_all(&request(3, cookie, 0, 0)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let mut bytes = [0; 16];
        match stream.read_exact(&mut bytes) {
            Ok(()) => {
                assert_eq!(bytes[4..8], 108_u32.to_be_bytes());
                break;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        cookie += 1;
        assert!(start.elapsed() < PATIENCE);
    }
    assert!(!path.exists());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    disk.finish(requests);
    disk.finish(std::mem::take(&mut *disk.kept.lock().unwrap()));
    let mut answered = Vec::new();
    let mut bytes = [0; 16];
    while stream.read_exact(&mut bytes).is_ok() {
        if bytes[4..8] == [0; 4] {
            answered.push(u64::from_be_bytes(bytes[8..].try_into().unwrap()));
        }
    }
    assert!(answered.contains(&1), "the write under way: {answered:?}");
    assert_eq!(stopping.join().unwrap(), StopReport::default());
    assert_eq!(disk.inner.contents()[..512], [7; 512]);
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let folder = folder();
    let path = folder.path().join("disk");
    let server = serve(memory(), &path);
    let mut deaf = client(&path);
    for cookie in 0..4 {
        deaf.write_all(&request(0, cookie, 0, 8 << 20)).unwrap();
    }
    // The first byte shows that the server is writing more than the socket holds.
    deaf.read_exact(&mut [0]).unwrap();
    let report = server.stop(Duration::from_millis(200));
    assert_eq!(report.cut_off, 1);
    assert_eq!(report.unanswered, 0);
}

#[test]
fn a_disk_that_does_not_answer_does_not_hold_up_the_stop_for_ever() {
    let folder = folder();
    let path = folder.path().join("disk");
    let disk = SlowDisk::new();
    let server = serve(disk.clone(), &path);
    let mut stream = client(&path);
    stream.write_all(&request(3, 1, 0, 0)).unwrap();
    let requests = disk.wait_for(1);
    let report = server.stop(Duration::from_millis(50));
    assert_eq!(
        report,
        StopReport {
            cut_off: 1,
            unanswered: 1
        }
    );
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "no reply was made up");
    // Late completions find nobody, and harm nobody.
    disk.finish(requests);
}

#[test]
fn a_client_that_vanishes_harms_nobody() {
    let folder = folder();
    let path = folder.path().join("disk");
    let disk = SlowDisk::new();
    let server = serve(disk.clone(), &path);

    let mut half = client(&path);
    half.write_all(&request(1, 1, 0, 4096)).unwrap();
    half.write_all(&[9; 4000]).unwrap();
    let mut waiting = client(&path);
    for cookie in 0..10 {
        waiting.write_all(&request(0, cookie, 0, 1 << 20)).unwrap();
    }
    let orphans = disk.wait_for(10);
    drop((half, waiting));

    let mut other = client(&path);
    other.write_all(&request(3, 77, 0, 0)).unwrap();
    let requests = disk.wait_for(1);
    assert_eq!(requests[0].0, Request::Flush, "and not half a write");
    disk.finish(requests);
    assert_eq!(reply(&mut other), (0, 77));
    disk.finish(orphans);
    drop(other);
    wait_until_alone(&server);
    assert_eq!(server.export().counters().read().clients_seen, 3);
    assert_eq!(server.stop(PATIENCE), StopReport::default());
    assert_eq!(disk.inner.contents()[..4096], [0; 4096]);
}

#[test]
fn a_request_that_the_disk_forgets_is_an_io_error() {
    let folder = folder();
    let path = folder.path().join("disk");
    let disk = SlowDisk::new();
    let server = serve(disk.clone(), &path);
    let mut stream = client(&path);
    stream.write_all(&request(3, 5, 0, 0)).unwrap();
    drop(disk.wait_for(1));
    assert_eq!(reply(&mut stream), (5, 5));
    server.stop(PATIENCE);
}

#[test]
fn requests_of_one_client_are_with_the_disk_together_and_answered_in_any_order() {
    let folder = folder();
    let path = folder.path().join("disk");
    let disk = SlowDisk::new();
    let server = serve(disk.clone(), &path);
    let mut stream = client(&path);
    for cookie in 0..64 {
        stream.write_all(&request(3, cookie, 0, 0)).unwrap();
    }
    let mut requests = disk.wait_for(64);
    requests.reverse();
    disk.finish(requests);
    for cookie in (0..64).rev() {
        assert_eq!(reply(&mut stream), (0, cookie));
    }
    server.stop(PATIENCE);
}

/// A disk that remembers where it was read, in order, and dwells on the first request so that
/// another can overtake it if anything lets it.
struct Diary {
    inner: MemoryDisk,
    offsets: Mutex<Vec<u64>>,
    overtaken: Condvar,
}

impl Disk for Diary {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn submit(&self, request: Request, done: Completion) {
        if let Request::Read { offset, .. } = request {
            let mut offsets = self.offsets.lock().unwrap();
            if offset == 0 {
                let dwell = Duration::from_millis(300);
                (offsets, _) = self
                    .overtaken
                    .wait_timeout_while(offsets, dwell, |offsets| offsets.is_empty())
                    .unwrap();
            }
            offsets.push(offset);
            self.overtaken.notify_all();
        }
        self.inner.submit(request, done);
    }
}

#[test]
fn requests_of_one_client_reach_the_disk_in_the_order_in_which_they_were_sent() {
    let folder = folder();
    let path = folder.path().join("disk");
    let disk = Arc::new(Diary {
        inner: MemoryDisk::new(SIZE, 512),
        offsets: Mutex::default(),
        overtaken: Condvar::new(),
    });
    let server = serve(disk.clone(), &path);
    let mut stream = client(&path);
    let expected: Vec<u64> = (0..16).map(|at| at * 512).collect();
    let requests: Vec<u8> = expected
        .iter()
        .flat_map(|&offset| request(0, offset, offset, 512))
        .collect();
    stream.write_all(&requests).unwrap();
    for _ in &expected {
        stream.read_exact(&mut [0; 16 + 512]).unwrap();
    }
    assert_eq!(*disk.offsets.lock().unwrap(), expected);
    server.stop(PATIENCE);
}

#[test]
fn a_flush_waits_for_no_other_client_and_is_answered_after_the_disk() {
    let folder = folder();
    let path = folder.path().join("disk");
    let disk = SlowDisk::new();
    let server = serve(disk.clone(), &path);
    let (mut writer, mut flusher) = (client(&path), client(&path));
    writer.write_all(&request(1, 1, 512, 512)).unwrap();
    writer.write_all(&[3; 512]).unwrap();
    disk.finish(disk.wait_for(1));
    assert_eq!(reply(&mut writer), (0, 1));
    flusher.write_all(&request(3, 2, 0, 0)).unwrap();
    let flush = disk.wait_for(1);
    assert_eq!(flush[0].0, Request::Flush);
    flusher
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let early = flusher.read(&mut [0]).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::WouldBlock);
    flusher.set_read_timeout(Some(PATIENCE)).unwrap();
    disk.finish(flush);
    assert_eq!(reply(&mut flusher), (0, 2));
    server.stop(PATIENCE);
}

#[test]
fn one_client_too_many_is_hung_up_on() {
    let folder = folder();
    let path = folder.path().join("disk");
    let export = Export::new(memory()).unwrap().limited(Limits {
        clients: 2,
        ..Limits::default()
    });
    let server = Server::start(export, &[Endpoint::Unix(path.clone())]).unwrap();
    let (one, _two) = (client(&path), client(&path));
    let greets = || {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.read(&mut [0]).unwrap() == 1
    };
    assert!(!greets());
    drop(one);
    let start = Instant::now();
    while !greets() {
        assert!(start.elapsed() < PATIENCE, "the place is not given up");
    }
    server.stop(PATIENCE);
}
