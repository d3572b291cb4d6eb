//! The start of a system that is not ours, with its own kernel and its own image for early boot.
//!
//! The image is started as it is, byte for byte. Behind it, as a second archive, comes a program
//! that the kernel runs in place of the image's `/init`: it leaves an observer behind and becomes
//! that `/init`. The observer says what it sees on a serial port of its own, and ends the machine.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use cpio::newc::{Builder, trailer};

use super::console::last_lines;
use super::error::VmError;
use super::qemu::{Machine, Qemu, comma};
use super::scratch::Scratch;
use crate::vfio::probe;

const NAME: &str = "boot";
/// The observer's last word.
const END: &str = "fwlab: the observer has ended";
/// Where the second archive may begin.
const ALIGNMENT: u64 = 4;

/// A machine that starts a system. It is gone when [`Self::observe`] returns, and when this
/// process does.
#[derive(Clone, Debug)]
pub struct Boot {
    qemu: Qemu,
    kernel: PathBuf,
    image: PathBuf,
    memory: u32,
    controllers: Vec<PathBuf>,
    kernel_arguments: Vec<String>,
}

impl Boot {
    /// A machine with 1 GiB of memory that starts this kernel with this image, and has no FireWire
    /// controller yet.
    #[must_use]
    pub fn new(qemu: Qemu, kernel: &Path, image: &Path) -> Self {
        Self {
            qemu,
            kernel: kernel.to_owned(),
            image: image.to_owned(),
            memory: 1024,
            controllers: Vec::new(),
            kernel_arguments: Vec::new(),
        }
    }

    /// A FireWire controller: the socket of a [`Seat`](crate::seat::Seat). It can be called again.
    #[must_use]
    pub fn controller(mut self, socket: &Path) -> Self {
        self.controllers.push(socket.to_owned());
        self
    }

    /// More for the kernel's command line. The console is there already.
    #[must_use]
    pub fn kernel_argument(mut self, argument: &str) -> Self {
        self.kernel_arguments.push(argument.to_owned());
        self
    }

    /// Starts the system, has a script watch it, and returns what that has said to its end. Then
    /// the plug is pulled.
    ///
    /// The script is run by the image's own `/bin/sh`, as root, beside its `/init`, from the moment
    /// at which `/proc`, `/sys` and `/dev` are there. `/init` is not to get so far as to leave the
    /// image: the kernel's arguments should name a root file system that does not exist.
    ///
    /// # Errors
    /// [`VmError::TimedOut`] if the script has not ended within this time; [`VmError::Ended`] if
    /// the machine does so before. Both come with the end of the console.
    pub fn observe(&self, script: &str, limit: Duration) -> Result<String, VmError> {
        for controller in &self.controllers {
            probe(controller)?;
        }
        let folder = Scratch::new()?;
        let mut machine = self.start(&folder, script)?;
        let said = machine.said.recv_timeout(limit);
        machine.pull_the_plug();
        let in_time = said.is_ok();
        // The port is closed now.
        let said = said.or_else(|_| machine.said.recv()).unwrap_or_default();
        if let Some((said, _)) = said.split_once(END) {
            return Ok(said.to_owned());
        }
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap_or_default();
        let console = [read("console"), said.into_bytes(), read("qemu")].concat();
        let console = last_lines(&String::from_utf8_lossy(&console).replace('\r', ""));
        let name = NAME.to_owned();
        Err(match in_time {
            true => VmError::Ended { name, console },
            false => VmError::TimedOut {
                name,
                what: "the end of its observer".to_owned(),
                after: limit,
                console,
            },
        })
    }

    fn start(&self, folder: &Scratch, script: &str) -> Result<Running, VmError> {
        let path = |name: &str| folder.path().join(name);
        let initramfs = path("initramfs");
        let image = File::open(&self.image);
        let image = image.map_err(VmError::os(self.image.display().to_string()))?;
        write(image, &initramfs, script).map_err(VmError::os(initramfs.display().to_string()))?;
        let log = path("qemu");
        let log = File::create(&log).map_err(VmError::os(log.display().to_string()))?;
        let mut append = "console=ttyS0 loglevel=4 rdinit=/fwlab/init".to_owned();
        for argument in &self.kernel_arguments {
            append.push(' ');
            append.push_str(argument);
        }
        let mut command = self.qemu.command(&Machine {
            name: NAME,
            kernel: &self.kernel,
            initramfs: &initramfs,
            append: &append,
            memory: self.memory,
            controllers: &self.controllers,
        });
        command
            .arg("-chardev")
            .arg(format!("file,id=console,path={}", comma(&path("console"))))
            .args(["-serial", "chardev:console"])
            .args(["-chardev", "stdio,id=observer,signal=off"])
            .args(["-serial", "chardev:observer"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let program = self.qemu.program().display().to_string();
        let mut qemu = command.spawn().map_err(VmError::os(program))?;
        folder.also_ends(&qemu);
        let (tell, said) = mpsc::channel();
        if let Some(output) = qemu.stdout.take() {
            thread::spawn(move || tell.send(until_the_end(output)));
        }
        Ok(Running { qemu, said })
    }
}

/// The image, and behind it the observer.
fn write(mut image: File, to: &Path, script: &str) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(to)?);
    let length = io::copy(&mut image, &mut out)?;
    let padding = length.next_multiple_of(ALIGNMENT) - length;
    io::copy(&mut io::repeat(0).take(padding), &mut out)?;
    let folder = |name| Builder::new(name).mode(0o040_755);
    add(folder("dev"), &mut out, "")?;
    // A shell opens it for what it runs in the background, before anybody has mounted /dev.
    let null = Builder::new("dev/null").mode(0o020_666);
    add(null.rdev_major(1).rdev_minor(3), &mut out, "")?;
    add(folder("fwlab"), &mut out, "")?;
    let init = Builder::new("fwlab/init").mode(0o100_755);
    add(init, &mut out, include_str!("observer.sh"))?;
    let observer = Builder::new("fwlab/script").mode(0o100_644);
    add(observer, &mut out, script)?;
    trailer(&mut out)?;
    out.flush()
}

fn add(entry: Builder, out: impl Write, content: &str) -> io::Result<()> {
    let size = u32::try_from(content.len()).map_err(io::Error::other)?;
    let mut file = entry.write(out, size);
    file.write_all(content.as_bytes())?;
    file.finish().map(drop)
}

/// What comes from the serial port, until the observer has ended or the machine has.
fn until_the_end(mut output: impl io::Read) -> String {
    let (mut said, mut part) = (Vec::new(), [0; 256]);
    while let Ok(length @ 1..) = output.read(&mut part) {
        said.extend_from_slice(part.get(..length).unwrap_or_default());
        let last = said.len().saturating_sub(length + END.len());
        let mut places = said.get(last..).unwrap_or_default().windows(END.len());
        if places.any(|place| place == END.as_bytes()) {
            break;
        }
    }
    String::from_utf8_lossy(&said).replace('\r', "")
}

/// A QEMU; it is killed when this is dropped.
struct Running {
    qemu: Child,
    /// All that the observer has said, once that is over.
    said: Receiver<String>,
}

impl Running {
    fn pull_the_plug(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.pull_the_plug();
    }
}
