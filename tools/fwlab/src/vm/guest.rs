//! A virtual machine that runs.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::agent::{Agent, Wait};
use super::console::last_lines;
use super::error::VmError;
use super::initramfs;
use super::qemu::{Machine, comma};
use super::scratch::Scratch;
use super::spec::GuestSpec;

/// How long a command may take, unless something else is said.
const COMMAND: Duration = Duration::from_secs(300);
/// How long the guest's end may take.
const POWER_OFF: Duration = Duration::from_secs(60);

/// A guest. It is killed when this is dropped, and when this process is. Dropped by a panic it shows
/// the end of its console on standard error.
pub struct Guest {
    name: String,
    qemu: Child,
    agent: Agent,
    folder: Scratch,
    next: AtomicU64,
}

/// A command's end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Its exit status, as the shell has it.
    pub status: i32,
    /// What it wrote, to standard output and standard error.
    pub text: String,
}

/// A command that runs in a guest.
#[derive(Clone)]
pub struct Running<'a> {
    guest: &'a Guest,
    number: u64,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest")
            .field("name", &self.name)
            .field("qemu", &self.qemu.id())
            .finish_non_exhaustive()
    }
}

impl Guest {
    /// How long a guest may take to be up. It takes six seconds on a machine that is not busy.
    pub const BOOT: Duration = Duration::from_secs(180);

    /// Starts a guest, and waits until it is up.
    ///
    /// # Errors
    /// [`VmError`]; with the end of the console if the guest does not come up.
    pub fn start(spec: &GuestSpec) -> Result<Self, VmError> {
        let guest = Self::launch(spec)?;
        guest.wait_until_up()?;
        Ok(guest)
    }

    /// Starts a guest and does not wait: several can come up at the same time.
    ///
    /// # Errors
    /// [`VmError`].
    pub fn launch(spec: &GuestSpec) -> Result<Self, VmError> {
        spec.check()?;
        let folder = Scratch::new()?;
        let path = |name: &str| folder.path().join(name);
        let (shared, run) = (path("host"), path("host/run"));
        fs::create_dir_all(&run).map_err(VmError::os(run.display().to_string()))?;
        initramfs::write(spec, &path("initramfs"))?;
        let log = path("qemu");
        let log = File::create(&log).map_err(VmError::os(log.display().to_string()))?;
        let mut command = command(spec, &shared, &path("initramfs"));
        command
            .arg("-chardev")
            .arg(format!(
                "socket,id=console,server=on,wait=off,path={},logfile={}",
                comma(&path("terminal")),
                comma(&path("console")),
            ))
            .args(["-serial", "chardev:console"])
            .args(["-chardev", "stdio,id=channel,signal=off"])
            .args(["-device", "virtio-serial-pci"])
            .args(["-device", "virtserialport,chardev=channel,name=fwlab"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Who interrupts this process decides himself what becomes of the guest.
            .process_group(0);
        let program = spec.qemu.program().display().to_string();
        let mut qemu = command.spawn().map_err(VmError::os(program))?;
        folder.also_ends(&qemu);
        let (Some(input), Some(output)) = (qemu.stdin.take(), qemu.stdout.take()) else {
            unreachable!("both are pipes");
        };
        let agent = Agent::new(input, output).map_err(VmError::os("a thread"))?;
        Ok(Self {
            name: spec.name(),
            qemu,
            agent,
            folder,
            next: AtomicU64::new(1),
        })
    }

    /// Waits until the guest can be told to do something.
    ///
    /// # Errors
    /// [`VmError::Ended`], [`VmError::TimedOut`].
    pub fn wait_until_up(&self) -> Result<(), VmError> {
        self.came(self.agent.ready(Self::BOOT), Self::BOOT, "its start")
    }

    /// Waits for that no longer than this: whether it is up.
    ///
    /// # Errors
    /// [`VmError::Ended`].
    pub fn is_up_within(&self, limit: Duration) -> Result<bool, VmError> {
        Ok(self.if_in_time(self.agent.ready(limit))?.is_some())
    }

    /// Its name: guest1, guest2, …
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id of its QEMU.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.qemu.id()
    }

    /// The folder of this machine that the guest has as `/host`.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    /// Runs commands of the shell, and waits for their end, for five minutes at most.
    ///
    /// # Errors
    /// [`VmError`] if the guest does not get to their end. That they fail is none.
    pub fn run(&self, script: &str) -> Result<Output, VmError> {
        self.spawn(script)?.wait(COMMAND)
    }

    /// Runs commands of the shell in the background.
    ///
    /// # Errors
    /// [`VmError`] if the guest cannot be told.
    pub fn spawn(&self, script: &str) -> Result<Running<'_>, VmError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.command_file(number, "sh");
        fs::write(&path, script).map_err(VmError::os(path.display().to_string()))?;
        self.agent.say(&number.to_string());
        Ok(Running {
            guest: self,
            number,
        })
    }

    /// The guest's console, `/dev/ttyS0`, in both directions. One can have it at a time; what was
    /// written to it before is in [`Self::console_file`] alone.
    ///
    /// # Errors
    /// [`VmError::Os`].
    pub fn terminal(&self) -> Result<UnixStream, VmError> {
        let path = self.folder.path().join("terminal");
        UnixStream::connect(&path).map_err(VmError::os(path.display().to_string()))
    }

    /// The file that grows with what is written to the console.
    #[must_use]
    pub fn console_file(&self) -> PathBuf {
        self.folder.path().join("console")
    }

    /// What the kernel and others wrote to the console so far, and what QEMU said.
    #[must_use]
    pub fn console(&self) -> String {
        let read = |name: &str| fs::read(self.folder.path().join(name)).unwrap_or_default();
        let console = [read("console"), read("qemu")].concat();
        String::from_utf8_lossy(&console).replace('\r', "")
    }

    /// Has the guest end in good order.
    ///
    /// # Errors
    /// [`VmError::TimedOut`].
    pub fn power_off(mut self) -> Result<(), VmError> {
        self.agent.say("off");
        if !self.agent.ended(POWER_OFF) {
            return Err(self.timed_out("its end", POWER_OFF));
        }
        self.qemu.wait().map_err(VmError::os("QEMU")).map(drop)
    }

    /// Pulls the plug.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits until the guest is gone, by itself: whether it is.
    #[must_use]
    pub fn has_ended_within(&self, limit: Duration) -> bool {
        self.agent.ended(limit)
    }

    fn command_file(&self, number: u64, kind: &str) -> PathBuf {
        self.folder().join("run").join(format!("{number}.{kind}"))
    }

    fn came<T>(&self, wait: Wait<T>, after: Duration, what: &str) -> Result<T, VmError> {
        let came = self.if_in_time(wait)?;
        came.ok_or_else(|| self.timed_out(what, after))
    }

    fn if_in_time<T>(&self, wait: Wait<T>) -> Result<Option<T>, VmError> {
        match wait {
            Wait::Came(came) => Ok(Some(came)),
            Wait::TimedOut => Ok(None),
            Wait::Ended => Err(VmError::Ended {
                name: self.name.clone(),
                console: last_lines(&self.console()),
            }),
        }
    }

    /// The error of somebody who has waited for `what` for long enough.
    #[must_use]
    pub fn timed_out(&self, what: &str, after: Duration) -> VmError {
        VmError::TimedOut {
            name: self.name.clone(),
            what: what.to_owned(),
            after,
            console: last_lines(&self.console()),
        }
    }
}

/// The command that runs a guest, but for its standard input and output, and the console.
fn command(spec: &GuestSpec, folder: &Path, initramfs: &Path) -> Command {
    let mut append = "console=ttyS0 panic=-1 loglevel=5".to_owned();
    for argument in &spec.kernel_arguments {
        append.push(' ');
        append.push_str(argument);
    }
    let mut command = spec.qemu.command(&Machine {
        name: &spec.name(),
        kernel: &spec.kernel.image,
        initramfs,
        append: &append,
        memory: spec.memory,
        controllers: &spec.controllers,
    });
    command
        .arg("-fsdev")
        .arg(format!(
            "local,id=host,security_model=none,multidevs=remap,path={}",
            comma(folder)
        ))
        .args(["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]);
    if let Some(hub) = &spec.network {
        let own = folder.join("network");
        command
            .arg("-netdev")
            .arg(format!(
                "dgram,id=net,local.type=unix,local.path={},remote.type=unix,remote.path={}",
                comma(&own),
                comma(hub)
            ))
            .arg("-device")
            .arg(format!(
                "virtio-net-pci,netdev=net,romfile=,mac=52:54:00:f0:5b:{:02x}",
                spec.number
            ));
    }
    command
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Of two guests it need not be the one that failed that has the reason.
        if std::thread::panicking() {
            let (name, console) = (self.name(), last_lines(&self.console()));
            eprintln!("guest {name}: its console ended with\n{console}");
        }
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Running<'_> {
    /// Waits for its end.
    ///
    /// # Errors
    /// [`VmError::Ended`], [`VmError::TimedOut`].
    pub fn wait(&self, limit: Duration) -> Result<Output, VmError> {
        let done = self.guest.agent.done(self.number, limit);
        if done == Wait::TimedOut {
            tracing::warn!(guest = self.guest.name, output = self.text(), "too long");
        }
        let status = self.guest.came(done, limit, "the end of a command")?;
        let text = self.text();
        Ok(Output { status, text })
    }

    /// Waits for its end no longer than this: its exit status, if it has ended.
    ///
    /// # Errors
    /// [`VmError::Ended`].
    pub fn has_ended_within(&self, limit: Duration) -> Result<Option<i32>, VmError> {
        let done = self.guest.agent.done(self.number, limit);
        self.guest.if_in_time(done)
    }

    /// The file that grows with what it writes.
    #[must_use]
    pub fn output_file(&self) -> PathBuf {
        self.guest.command_file(self.number, "out")
    }

    /// What it has written so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.output_file()).unwrap_or_default()).into_owned()
    }
}
