use std::io::Read as _;
use std::net::Shutdown;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use zerocopy::{FromBytes as _, IntoBytes as _};

use super::*;
use crate::disk::{Completion, Disk, Geometry, Request};
use crate::memory::MemoryDisk;
use crate::nbd::wire::{Command, REQUEST_MAGIC, RequestHeader, SIMPLE_REPLY_MAGIC, SimpleReply};

/// No event takes that long.
const PATIENCE: Duration = Duration::from_secs(30);
/// What does not happen has not happened after this.
const NOTHING: Duration = Duration::from_millis(200);

/// A disk whose requests end when the test says so.
struct Held {
    disk: MemoryDisk,
    requests: Mutex<Sender<(Request, Completion)>>,
}

impl Held {
    fn end(&self, (request, done): (Request, Completion)) {
        self.disk.submit(request, done);
    }
}

impl Disk for Held {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn submit(&self, request: Request, done: Completion) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.send((request, done)).unwrap();
    }
}

/// A session, and what is at its ends.
struct Rig {
    session: KernelSession,
    driver: UnixStream,
    disk: Arc<Held>,
    requests: Receiver<(Request, Completion)>,
    ended: Receiver<Farewell>,
}

fn rig() -> Rig {
    let (requests, submitted) = mpsc::channel();
    let disk = Arc::new(Held {
        disk: MemoryDisk::new(1 << 20, 512),
        requests: Mutex::new(requests),
    });
    let export = Arc::new(Export::new(disk.clone()).unwrap());
    let (ours, driver) = UnixStream::pair().unwrap();
    driver.set_read_timeout(Some(PATIENCE)).unwrap();
    let (end, ended) = mpsc::channel();
    let at_end = move |farewell| end.send(farewell).unwrap();
    Rig {
        session: KernelSession::start(&export, ours, at_end).unwrap(),
        driver,
        disk,
        requests: submitted,
        ended,
    }
}

impl Rig {
    fn say(&self, bytes: &[u8]) {
        (&self.driver).write_all(bytes).unwrap();
    }

    fn next(&self) -> (Request, Completion) {
        self.requests.recv_timeout(PATIENCE).unwrap()
    }

    fn hear(&self) -> (u64, u32) {
        let mut reply = [0; size_of::<SimpleReply>()];
        (&self.driver).read_exact(&mut reply).unwrap();
        let reply = SimpleReply::read_from_bytes(&reply).unwrap();
        assert_eq!(reply.magic.get(), SIMPLE_REPLY_MAGIC);
        (reply.cookie.get(), reply.error.get())
    }
}

fn request(command: Command, cookie: u64, length: u32) -> Vec<u8> {
    let header = RequestHeader {
        magic: REQUEST_MAGIC.into(),
        flags: 0.into(),
        command: u16::from(command).into(),
        cookie: cookie.into(),
        offset: 0.into(),
        length: length.into(),
    };
    header.as_bytes().to_vec()
}

fn write(cookie: u64, byte: u8) -> Vec<u8> {
    let mut bytes = request(Command::Write, cookie, 512);
    bytes.extend([byte; 512]);
    bytes
}

#[test]
fn the_first_word_is_a_request_and_the_replies_are_simple() {
    let rig = rig();
    rig.say(&request(Command::Read, 7, 512));
    rig.disk.end(rig.next());
    assert_eq!(rig.hear(), (7, 0));
    let mut data = [1; 512];
    (&rig.driver).read_exact(&mut data).unwrap();
    assert_eq!(data, [0; 512]);
    rig.say(&request(Command::Disconnect, 0, 0));
    assert_eq!(rig.ended.recv_timeout(PATIENCE), Ok(Farewell::Goodbye));
}

/// What keeps a stale write from landing after the driver's next attempt: the driver is given
/// another socket at the end, and not before.
#[test]
fn it_is_not_over_before_the_disk_has_ended_what_came_by_it() {
    let rig = rig();
    rig.say(&write(1, 1));
    let stale = rig.next();
    // As the driver does when it has waited too long.
    rig.driver.shutdown(Shutdown::Both).unwrap();
    assert_eq!(
        rig.ended.recv_timeout(NOTHING),
        Err(RecvTimeoutError::Timeout)
    );
    rig.disk.end(stale);
    assert_eq!(rig.ended.recv_timeout(PATIENCE), Ok(Farewell::HungUp));
    assert_eq!(rig.disk.disk.contents()[..512], [1; 512]);
}

#[test]
fn one_that_hangs_up_waits_for_the_disk_too() {
    let rig = rig();
    rig.say(&write(1, 1));
    let stale = rig.next();
    assert_eq!(rig.session.abort(), 1);
    assert_eq!(
        rig.ended.recv_timeout(NOTHING),
        Err(RecvTimeoutError::Timeout)
    );
    drop(stale);
    assert_eq!(rig.ended.recv_timeout(PATIENCE), Ok(Farewell::HungUp));
}

#[test]
fn it_departs_between_two_requests_with_all_of_them_answered() {
    let rig = rig();
    let second = write(2, 2);
    rig.say(&write(1, 1));
    let first = rig.next();
    rig.say(&second[..100]);
    rig.session.depart();
    assert_eq!(
        rig.ended.recv_timeout(NOTHING),
        Err(RecvTimeoutError::Timeout)
    );
    rig.say(&second[100..]);
    rig.disk.end(rig.next());
    assert_eq!(rig.hear(), (2, 0));
    rig.disk.end(first);
    assert_eq!(rig.hear(), (1, 0));
    assert_eq!((&rig.driver).read(&mut [0]).unwrap(), 0);
    assert_eq!(rig.ended.recv_timeout(PATIENCE), Ok(Farewell::HungUp));
}
