//! The node files as programs meet them, through the kernel's FUSE.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ohci_raw::bus::csr;
use ohci_raw::cdev::abi::{self, tcode};
use ohci_raw::cdev::event::{self, CdevEvent};
use tempfile::TempDir;

/// Longer than anything takes here that ends at all.
const SOON: Duration = Duration::from_secs(20);

struct Bus {
    folder: TempDir,
    process: Child,
}

impl Bus {
    /// `None`: there is no FUSE here, and the user has been told.
    fn start(arguments: &[&str]) -> Option<Self> {
        if !Path::new("/dev/fuse").exists() {
            assert!(
                std::env::var_os("CI").is_none(),
                "this test needs /dev/fuse"
            );
            // Past the harness's capture.
            let told = io::stderr().write_all(b"skipped: needs /dev/fuse\n");
            told.unwrap();
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_fwlab"))
            .arg("bus")
            .arg(folder.path().join("bus"))
            .arg("--json")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut ready).unwrap();
        assert!(ready.contains("\"hosts\""), "{ready}");
        Some(Self { folder, process })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    fn open(&self, node: &str, flags: OFlag) -> File {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(flags.bits());
        options.open(self.path().join(node)).unwrap()
    }

    fn ctl(&self, line: &str) -> String {
        let mut control = self.open("ctl", OFlag::empty());
        control.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        control.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stop(&mut self) -> bool {
        kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM).unwrap();
        self.process.wait().unwrap().success()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            self.stop();
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap())
}

fn ready(file: &File, timeout: u16) -> PollFlags {
    let mut files = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut files, PollTimeout::from(timeout)).unwrap();
    files[0].revents().unwrap()
}

fn read_event(file: &mut File) -> CdevEvent {
    let mut buffer = vec![0; event::BUFFER_LENGTH];
    let length = file.read(&mut buffer).unwrap();
    event::parse(&buffer[..length], abi::VERSION).unwrap()
}

fn read_rom(file: &File, generation: u32) {
    let request = abi::SendRequest {
        tcode: tcode::READ_QUADLET,
        length: 4,
        offset: csr::CONFIG_ROM.get() + 4,
        closure: 42,
        generation,
        ..abi::SendRequest::default()
    };
    abi::send_request(file.as_fd(), request, &[]).unwrap();
}

#[test]
fn the_files_are_their_owners_alone_and_control_refuses_nonsense() {
    let Some(bus) = Bus::start(&["--bridge", "size=1M"]) else {
        return;
    };
    let mode = |path: &str| {
        let metadata = fs::metadata(bus.path().join(path)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!([mode(""), mode("host0")], [0o700; 2]);
    assert_eq!(
        [mode("ctl"), mode("host0/fw0"), mode("host0/fw1")],
        [0o600; 3]
    );
    assert!(!bus.path().join("host1").exists() && !bus.path().join("host0/fw2").exists());
    for line in [
        "",
        "x",
        "{\"do\":\"explode\"}",
        "{\"do\":\"unplug\",\"node\":\"nobody\"}",
    ] {
        let answer = bus.ctl(line);
        assert!(answer.contains("refused"), "{line}: {answer}");
    }
    // A line without an end is not kept for ever.
    let mut control = bus.open("ctl", OFlag::empty());
    let refused = control.write_all(&vec![b'x'; 1 << 18]).unwrap_err();
    assert_eq!(errno(&refused), Errno::EMSGSIZE);
    let mut node = bus.open("host0/fw0", OFlag::empty());
    assert_eq!(errno(&node.write(b"x").unwrap_err()), Errno::EINVAL);
}

#[test]
fn a_read_waits_for_an_event_even_if_it_is_not_to() {
    let Some(bus) = Bus::start(&["--bridge", "size=1M"]) else {
        return;
    };
    let other = bus.open("host0/fw1", OFlag::empty());
    // Linux's firewire-cdev takes no notice of O_NONBLOCK.
    for flags in [OFlag::empty(), OFlag::O_NONBLOCK] {
        let mut file = bus.open("host0/fw1", flags);
        assert_eq!(ready(&file, 0), PollFlags::empty());
        let (info, state) = abi::get_info(file.as_fd(), abi::VERSION, 7, &mut []).unwrap();
        assert_eq!(info.version, 6);
        let mut reader = file.try_clone().unwrap();
        let number = reader.as_raw_fd();
        let (task, is_task) = mpsc::channel();
        let waiting = thread::spawn(move || {
            task.send(nix::unistd::gettid()).unwrap();
            read_event(&mut reader)
        });
        let task = PathBuf::from(format!("/proc/self/task/{}", is_task.recv().unwrap()));
        wait_until_reading(&task, number);
        read_rom(&file, state.generation.get());
        match waiting.join().unwrap() {
            CdevEvent::Response {
                closure: 42, data, ..
            } => assert_eq!(data, b"1394"),
            other => panic!("{other:?}"),
        }
        // The other opener of the same file has nothing to do with it.
        assert_eq!(ready(&other, 0), PollFlags::empty());

        // A bus reset is told to who has asked for it, and wakes a poll.
        let polling = file.try_clone().unwrap();
        let waiting = thread::spawn(move || ready(&polling, u16::MAX));
        bus.ctl("{\"do\":\"reset\",\"kind\":\"short\"}");
        assert!(waiting.join().unwrap().contains(PollFlags::POLLIN));
        assert!(matches!(read_event(&mut file), CdevEvent::BusReset(_)));
    }
}

/// Waits until a process or thread, by its folder in `/proc`, is in a read of this file.
fn wait_until_reading(task: &Path, fd: i32) {
    let start = Instant::now();
    let read = format!("{} {fd:#x} ", nix::libc::SYS_read);
    let is_reading = || {
        let call = fs::read_to_string(task.join("syscall")).unwrap_or_default();
        call.starts_with(&read)
    };
    while !is_reading() {
        assert!(start.elapsed() < SOON);
        thread::yield_now();
    }
}

#[test]
fn a_reader_that_waits_can_be_killed() {
    let Some(bus) = Bus::start(&[]) else {
        return;
    };
    let node = bus.path().join("host0/fw0");
    let mut reader = Command::new("cat")
        .arg(&node)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    // Until it is in the read of this very file.
    let process = PathBuf::from(format!("/proc/{}", reader.id()));
    while fs::read_link(process.join("fd/3")).ok().as_ref() != Some(&node) {
        assert!(start.elapsed() < SOON);
        thread::yield_now();
    }
    wait_until_reading(&process, 3);
    kill(Pid::from_raw(reader.id() as i32), Signal::SIGTERM).unwrap();
    assert!(!reader.wait().unwrap().success());
    assert!(start.elapsed() < SOON);
}

#[test]
fn a_node_that_is_gone_hangs_up() {
    let Some(bus) = Bus::start(&["--bridge", "size=1M"]) else {
        return;
    };
    let file = bus.open("host0/fw1", OFlag::O_NONBLOCK);
    let waiting = bus.open("host0/fw1", OFlag::empty());
    let reader = thread::spawn(move || (&waiting).read(&mut [0; 64]).unwrap_err());
    bus.ctl("{\"do\":\"unplug\",\"node\":\"bridge0\"}");
    let flags = ready(&file, u16::MAX);
    assert!(
        flags.contains(PollFlags::POLLHUP | PollFlags::POLLERR),
        "{flags:?}"
    );
    assert_eq!(errno(&reader.join().unwrap()), Errno::ENODEV);
    assert_eq!(
        errno(&(&file).read(&mut [0; 64]).unwrap_err()),
        Errno::ENODEV
    );
    let info = abi::get_info(file.as_fd(), 6, 0, &mut []).unwrap_err();
    assert_eq!(errno(&info), Errno::ENODEV);
    assert!(!bus.path().join("host0/fw1").exists());
}

#[test]
fn what_points_nowhere_is_efault_and_what_is_no_node_enotty() {
    let Some(bus) = Bus::start(&["--bridge", "size=1M"]) else {
        return;
    };
    let file = bus.open("host0/fw1", OFlag::O_NONBLOCK);
    let control = bus.open("ctl", OFlag::empty());
    let refused = abi::get_speed(control.as_fd()).unwrap_err();
    assert_eq!(errno(&refused), Errno::ENOTTY);
    assert_eq!(abi::get_speed(file.as_fd()).unwrap(), 2);
    // ENOSYS for the model; FUSE knows no such answer.
    let mut argument = [0_u8; 8];
    let (fd, number) = (file.as_fd().as_raw_fd(), 0x4008_2316_u32);
    // SAFETY: the argument has the 8 bytes that the number says, and outlives the call.
    let result = unsafe { nix::libc::ioctl(fd, number.into(), argument.as_mut_ptr()) };
    assert_eq!((result, Errno::last()), (-1, Errno::ENOTTY));
    // A wrong length, and a handle that is used up by it.
    let refused = abi::send_response(file.as_fd(), 0, 0, &[]).unwrap_err();
    assert_eq!(errno(&refused), Errno::EINVAL);
    let low = abi::Allocate {
        offset: 0x1000,
        length: 4,
        region_end: 0x2000,
        ..abi::Allocate::default()
    };
    abi::get_info(file.as_fd(), 6, 0, &mut []).unwrap();
    assert_eq!(
        errno(&abi::allocate(file.as_fd(), low).unwrap_err()),
        Errno::EBUSY
    );
}

#[test]
fn the_bus_ends_cleanly_with_clients_in_it() {
    let Some(mut bus) = Bus::start(&["--hosts", "2", "--bridge", "size=1M"]) else {
        return;
    };
    let open = bus.open("host0/fw1", OFlag::O_NONBLOCK);
    let waiting = bus.open("host1/fw0", OFlag::empty());
    let reader = thread::spawn(move || (&waiting).read(&mut [0; 64]).is_err());
    assert!(bus.stop(), "exit code 0");
    assert!(reader.join().unwrap());
    assert!(!bus.path().exists(), "the folder that it has made is gone");
    let refused = abi::get_speed(open.as_fd()).unwrap_err();
    assert!(
        matches!(errno(&refused), Errno::ENOTCONN | Errno::ECONNABORTED),
        "{refused}"
    );
    assert!(ready(&open, u16::MAX).contains(PollFlags::POLLERR));
}
