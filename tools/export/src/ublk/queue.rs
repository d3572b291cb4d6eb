//! The thread that takes a device's requests from the kernel, hands them to the disk, and hands
//! the disk's answers back.
//!
//! It waits for both at once, with nothing but io_uring: the kernel's requests are commands that
//! end, and a disk's answer is written down by whichever thread has it, and told by an eventfd.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::abi::{self, Descriptor};
use super::control::{character, name, of_ring};
use super::error::{UblkError, failed};
use super::ring::{Descriptors, Ring};
use crate::disk::{Disk, DiskError, Geometry, Request};

/// How many requests can be under way.
pub(super) const DEPTH: u16 = 32;

/// The mark of the eventfd; those of requests are their tags.
const WAKE: u64 = u64::MAX;

/// A queue that is served.
pub(super) struct Queue {
    shared: Arc<Shared>,
}

/// Whether a queue is no longer served. Has no descriptors.
#[derive(Debug, Default)]
pub(super) struct Ended {
    ended: Mutex<bool>,
    told: Condvar,
}

type Outcome = Result<Vec<u8>, DiskError>;

struct Shared {
    answers: Mutex<Vec<(u16, Outcome)>>,
    wake: EventFd,
    /// What is not taken yet is for the next server.
    leaving: AtomicBool,
    under_way: AtomicUsize,
    ended: Arc<Ended>,
}

impl Queue {
    /// Serves the queue of a device. Returns when all its requests are fetched.
    pub(super) fn start(
        disk: Arc<dyn Disk>,
        geometry: Geometry,
        number: u32,
    ) -> Result<Self, UblkError> {
        let path = character(number);
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let shared = Arc::new(Shared {
            answers: Mutex::default(),
            wake: wake.map_err(failed("serve", &path))?,
            leaving: AtomicBool::new(false),
            under_way: AtomicUsize::new(0),
            ended: Arc::default(),
        });
        let (tell, told) = mpsc::channel();
        let own = Arc::clone(&shared);
        thread::Builder::new()
            .name(format!("ublk {number}"))
            .spawn(move || {
                let ended = Arc::clone(&own.ended);
                match Worker::new(disk, geometry, number, own) {
                    Ok(worker) => {
                        // Whoever started it waits for this.
                        let _ = tell.send(Ok(()));
                        if let Err(error) = worker.serve() {
                            tracing::error!("{} is not served any more: {error}", name(number));
                        }
                    }
                    Err(error) => {
                        let _ = tell.send(Err(error));
                    }
                }
                ended.tell();
            })
            .map_err(failed("serve", &path))?;
        told.recv().unwrap_or_else(|_| {
            let error = io::Error::other("its thread has died");
            Err(failed("serve", &path)(error))
        })?;
        Ok(Self { shared })
    }

    /// For those who wait for its end.
    pub(super) fn ended(&self) -> &Arc<Ended> {
        &self.shared.ended
    }

    /// Ends it when the disk has answered all that it was asked. What comes meanwhile is not
    /// taken: the kernel has it for the next server.
    pub(super) fn leave(&self) {
        self.shared.leaving.store(true, Ordering::SeqCst);
        self.shared.wake();
    }

    /// How many requests the disk has not answered.
    pub(super) fn under_way(&self) -> usize {
        self.shared.under_way.load(Ordering::SeqCst)
    }
}

impl Ended {
    fn tell(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    /// Waits for it, at most so long. Whether it is so.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .told
            .wait_timeout_while(ended, patience, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Shared {
    fn answer(&self, tag: u16, outcome: Outcome) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push((tag, outcome));
        drop(answers);
        self.wake();
    }

    fn wake(&self) {
        // A counter that is full wakes as well.
        let _ = self.wake.write(1);
    }

    fn answers(&self) -> Vec<(u16, Outcome)> {
        mem::take(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The disk's duty to answer.
struct Answer {
    tag: u16,
    shared: Option<Arc<Shared>>,
}

impl Answer {
    fn give(mut self, outcome: Outcome) {
        if let Some(shared) = self.shared.take() {
            shared.answer(self.tag, outcome);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            let error = DiskError::Io("the disk did not answer".into());
            shared.answer(self.tag, Err(error));
        }
    }
}

struct Worker {
    name: String,
    disk: Arc<dyn Disk>,
    geometry: Geometry,
    ring: Ring,
    descriptors: Descriptors,
    device: File,
    shared: Arc<Shared>,
    /// How many requests the kernel may still fill.
    fetching: usize,
    /// How many the disk has.
    taken: usize,
}

impl Worker {
    /// Fetches all requests.
    fn new(
        disk: Arc<dyn Disk>,
        geometry: Geometry,
        number: u32,
        shared: Arc<Shared>,
    ) -> Result<Self, UblkError> {
        let path = character(number);
        if let Err(error) = super::ring::writes_back() {
            tracing::debug!("the thread for {} is as any other: {error}", path.display());
        }
        let failed = |what| failed(what, &path);
        let device = OpenOptions::new().read(true).write(true).open(&path);
        let device = device.map_err(failed("open"))?;
        let descriptors = Descriptors::new(&device, DEPTH).map_err(failed("map"))?;
        let ring = Ring::new(u32::from(DEPTH) * 2).map_err(of_ring)?;
        let mut worker = Self {
            name: name(number),
            disk,
            geometry,
            ring,
            descriptors,
            device,
            shared,
            fetching: 0,
            taken: 0,
        };
        worker.fetch().map_err(failed("fetch requests of"))?;
        Ok(worker)
    }

    fn fetch(&mut self) -> io::Result<()> {
        for tag in 0..DEPTH {
            self.ring.answer(&self.device, abi::FETCH_REQ, tag, 0)?;
            self.fetching += 1;
        }
        self.ring.watch(self.shared.wake.as_fd(), WAKE)?;
        self.ring.submit()?;
        // Nothing can come before the device is started: what ends now has failed.
        match self.ring.next() {
            None => Ok(()),
            Some((_, result)) => super::ring::ended(result)
                .and_then(|()| Err(io::Error::other("a request came too early"))),
        }
    }

    /// Ends when the device is stopped, or when the queue is left.
    fn serve(mut self) -> io::Result<()> {
        loop {
            let leaving = self.shared.leaving.load(Ordering::SeqCst);
            if self.taken == 0 && (leaving || self.fetching == 0) {
                // The last answers are still in line: unheard, their requests would be done again.
                return self.ring.submit();
            }
            match self.ring.wait(None) {
                Ok(_) => {}
                // Memory is short, or there is much to be taken from the ring.
                Err(error) if is_for_now(&error) => thread::sleep(Duration::from_millis(1)),
                Err(error) => return Err(error),
            }
            while let Some((mark, result)) = self.ring.next() {
                if mark == WAKE {
                    // What was told since is told again.
                    let _ = self.shared.wake.read();
                    self.ring.watch(self.shared.wake.as_fd(), WAKE)?;
                } else if let Ok(tag) = u16::try_from(mark) {
                    self.fetched(tag, result);
                }
            }
            for (tag, outcome) in self.shared.answers() {
                self.answer(tag, outcome)?;
            }
        }
    }

    /// Something has come for a tag.
    fn fetched(&mut self, tag: u16, result: i32) {
        self.fetching = self.fetching.saturating_sub(1);
        match result {
            abi::RES_OK => {}
            abi::RES_ABORT => return,
            other => {
                let error = io::Error::from_raw_os_error(other.saturating_neg());
                tracing::warn!("{}: request {tag} was not to be had: {error}", self.name);
                return;
            }
        }
        if self.shared.leaving.load(Ordering::SeqCst) {
            return;
        }
        self.taken += 1;
        self.shared.under_way.store(self.taken, Ordering::SeqCst);
        let answer = Answer {
            tag,
            shared: Some(Arc::clone(&self.shared)),
        };
        match self.request(tag) {
            Ok(request) => {
                let done = Box::new(move |outcome| answer.give(outcome));
                self.disk.submit(request, done);
            }
            Err(error) => answer.give(Err(error)),
        }
    }

    /// The request with this tag.
    fn request(&self, tag: u16) -> Result<Request, DiskError> {
        let descriptor = self.descriptors.get(tag);
        let descriptor =
            descriptor.ok_or_else(|| DiskError::Invalid(format!("no request {tag}")))?;
        let request = parse(&descriptor, &self.geometry)?;
        let Request::Write {
            offset,
            mut data,
            fua,
        } = request
        else {
            return Ok(request);
        };
        let read = self.device.read_exact_at(&mut data, abi::position(tag));
        read.map_err(|error| DiskError::Io(format!("the bytes to be written: {error}")))?;
        Ok(Request::Write { offset, data, fua })
    }

    /// Tells the kernel how a request has ended, and that the next may come.
    fn answer(&mut self, tag: u16, outcome: Outcome) -> io::Result<()> {
        self.taken = self.taken.saturating_sub(1);
        self.shared.under_way.store(self.taken, Ordering::SeqCst);
        let ended = outcome.and_then(|data| self.done(tag, &data));
        let result = ended.unwrap_or_else(|error| {
            tracing::debug!("{}: request {tag}: {error}", self.name);
            -(code(&error) as i32)
        });
        self.fetching += 1;
        self.ring
            .answer(&self.device, abi::COMMIT_AND_FETCH_REQ, tag, result)
    }

    /// How many bytes of a request are done, after those that were read are where they belong.
    fn done(&self, tag: u16, data: &[u8]) -> Result<i32, DiskError> {
        let descriptor = self.descriptors.get(tag).unwrap_or_default();
        let length = u64::from(descriptor.sectors) * abi::SECTOR;
        if descriptor.operation as u8 == abi::OP_READ {
            if data.len() as u64 != length {
                let given = data.len();
                let text = format!("the disk gave {given} bytes for {length}");
                return Err(DiskError::Io(text));
            }
            let written = self.device.write_all_at(data, abi::position(tag));
            written.map_err(|error| DiskError::Io(format!("the bytes read: {error}")))?;
        }
        i32::try_from(length).map_err(|_| DiskError::Invalid("it is too long".into()))
    }
}

/// The request that a descriptor tells of. Those that write have zeroes still.
fn parse(descriptor: &Descriptor, geometry: &Geometry) -> Result<Request, DiskError> {
    let invalid = |why: &str| DiskError::Invalid(format!("{why}: {descriptor:?}"));
    // The lowest byte; the rest are flags.
    let operation = descriptor.operation as u8;
    if operation == abi::OP_FLUSH {
        return Ok(Request::Flush);
    }
    let block = u64::from(geometry.block_size);
    let length = u64::from(descriptor.sectors) * abi::SECTOR;
    let offset = descriptor.start.checked_mul(abi::SECTOR);
    let offset = offset.ok_or_else(|| invalid("not on the disk"))?;
    let inside = offset
        .checked_add(length)
        .is_some_and(|end| end <= geometry.size);
    let whole = offset.is_multiple_of(block) && length.is_multiple_of(block);
    let length = u32::try_from(length).ok();
    let length = length.filter(|length| (1..=geometry.max_request).contains(length));
    let (true, true, Some(length)) = (inside, whole, length) else {
        return Err(invalid("not blocks of the disk"));
    };
    let fua = descriptor.operation & abi::IO_FUA != 0;
    match operation {
        abi::OP_READ => Ok(Request::Read { offset, length }),
        abi::OP_WRITE => Ok(Request::Write {
            offset,
            data: vec![0; length as usize],
            fua,
        }),
        abi::OP_WRITE_ZEROES => Ok(Request::WriteZeroes {
            offset,
            length,
            fua,
        }),
        _ => Err(invalid("no such operation")),
    }
}

fn code(error: &DiskError) -> Errno {
    match error {
        DiskError::NoSpace => Errno::ENOSPC,
        DiskError::Invalid(_) => Errno::EOPNOTSUPP,
        DiskError::Io(_) | DiskError::ReadOnly | DiskError::ShuttingDown(_) => Errno::EIO,
    }
}

fn is_for_now(error: &io::Error) -> bool {
    matches!(
        super::control::errno(error),
        Errno::EAGAIN | Errno::EBUSY | Errno::ENOMEM
    )
}

#[cfg(test)]
mod tests;
