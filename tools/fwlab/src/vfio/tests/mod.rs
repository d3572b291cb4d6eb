mod client;
mod dma;
mod guest;
mod hostile;
mod interrupts;
mod registers;
mod server;

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use tempfile::TempDir;

use super::{BAR0_SIZE, Function, GuestMemory, Interrupts, Server};
use client::Client;

/// What takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a function was told.
enum Call {
    Connected(Arc<GuestMemory>, Arc<Interrupts>),
    Write(u32, u32),
    Reset,
    Gone,
}

/// A function of plain registers that tells what it is told.
struct Recorder {
    registers: Mutex<Vec<u32>>,
    calls: Mutex<Sender<Call>>,
}

impl Recorder {
    fn tell(&self, call: Call) {
        // The test may have seen enough.
        let _ = self.calls.lock().unwrap().send(call);
    }
}

impl Function for Recorder {
    fn connected(&self, memory: Arc<GuestMemory>, interrupts: Arc<Interrupts>) {
        self.tell(Call::Connected(memory, interrupts));
    }

    fn read(&self, offset: u32) -> u32 {
        assert!(offset.is_multiple_of(4) && offset < BAR0_SIZE);
        self.registers.lock().unwrap()[offset as usize / 4]
    }

    fn write(&self, offset: u32, value: u32) {
        assert!(offset.is_multiple_of(4) && offset < BAR0_SIZE);
        self.registers.lock().unwrap()[offset as usize / 4] = value;
        self.tell(Call::Write(offset, value));
    }

    fn reset(&self) {
        self.tell(Call::Reset);
    }

    fn gone(&self) {
        self.tell(Call::Gone);
    }
}

/// A server with its function.
struct Bench {
    server: Server,
    calls: Receiver<Call>,
    path: PathBuf,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("function");
        let (calls, told) = channel();
        // Each register holds its own offset.
        let function = Recorder {
            registers: Mutex::new((0..BAR0_SIZE).step_by(4).collect()),
            calls: Mutex::new(calls),
        };
        Self {
            server: Server::bind(&path, Arc::new(function)).unwrap(),
            calls: told,
            path,
            _folder: folder,
        }
    }

    fn next(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).expect("a call")
    }

    /// A client past the negotiation, and what the function has of it.
    fn guest(&self) -> (Client, Arc<GuestMemory>, Arc<Interrupts>) {
        let mut client = Client::connect(&self.path);
        client.negotiate();
        let Call::Connected(memory, interrupts) = self.next() else {
            panic!("not connected");
        };
        (client, memory, interrupts)
    }

    fn expect_gone(&self) {
        assert!(matches!(self.next(), Call::Gone));
    }

    fn expect_silence(&self) {
        assert!(self.calls.try_recv().is_err());
    }
}

fn memfd(size: u64) -> File {
    let file: File = memfd_create("guest", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
        .unwrap()
        .into();
    file.set_len(size).unwrap();
    file
}

/// An eventfd, and its other end.
fn eventfd() -> (File, OwnedFd) {
    let flags = nix::sys::eventfd::EfdFlags::EFD_CLOEXEC;
    let event = nix::sys::eventfd::EventFd::from_flags(flags).unwrap();
    let event = OwnedFd::from(event);
    (event.try_clone().unwrap().into(), event)
}

/// How often an eventfd was triggered since it was last asked.
fn triggers(event: &File) -> u64 {
    let mut ready = [PollFd::new(event.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ready, PollTimeout::ZERO).unwrap() == 0 {
        return 0;
    }
    let mut count = [0; 8];
    (&mut &*event).read_exact(&mut count).unwrap();
    u64::from_ne_bytes(count)
}
