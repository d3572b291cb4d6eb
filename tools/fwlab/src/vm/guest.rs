//! A virtual machine that runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::agent::{Agent, Wait};
use super::error::VmError;
use super::initramfs;
use super::spec::GuestSpec;

/// How long a guest may take to be up. It takes six seconds on a machine that is not busy.
const BOOT: Duration = Duration::from_secs(180);
/// How long a command may take, unless something else is said.
const COMMAND: Duration = Duration::from_secs(300);
/// How long the guest's end may take.
const POWER_OFF: Duration = Duration::from_secs(60);
/// How much of a console an error shows.
const LINES: usize = 30;

/// A guest. It is killed when this is dropped.
pub struct Guest {
    name: String,
    qemu: Child,
    agent: Agent,
    folder: TempDir,
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
        let folder = tempfile::Builder::new().prefix("fwlab-").tempdir();
        let folder = folder.map_err(VmError::os("a temporary folder"))?;
        let (shared, initramfs) = prepare(spec, false, folder.path())?;
        let mut command = spec.qemu.command(spec, &shared, &initramfs);
        let log = folder.path().join("qemu");
        let log = File::create(&log).map_err(VmError::os(log.display().to_string()))?;
        command
            .arg("-serial")
            .arg(format!("file:{}", folder.path().join("console").display()))
            .args(["-chardev", "stdio,id=channel,signal=off"])
            .args(["-device", "virtio-serial-pci"])
            .args(["-device", "virtserialport,chardev=channel,name=fwlab"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let program = spec.qemu.program().display().to_string();
        let mut qemu = command.spawn().map_err(VmError::os(program))?;
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
        self.came(self.agent.ready(BOOT), BOOT, "its start")
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
            return self.came(Wait::TimedOut, POWER_OFF, "its end");
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
        let name = self.name.clone();
        match wait {
            Wait::Came(came) => Ok(came),
            Wait::Ended => Err(VmError::Ended {
                name,
                console: last_lines(&self.console()),
            }),
            Wait::TimedOut => Err(VmError::TimedOut {
                name,
                what: what.to_owned(),
                after,
                console: last_lines(&self.console()),
            }),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
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

    /// What it has written so far.
    #[must_use]
    pub fn text(&self) -> String {
        let path = self.guest.command_file(self.number, "out");
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }
}

/// Makes the folder that the guest shares, and its file system.
pub(super) fn prepare(
    spec: &GuestSpec,
    shell: bool,
    folder: &Path,
) -> Result<(PathBuf, PathBuf), VmError> {
    let shared = folder.join("host");
    let run = shared.join("run");
    fs::create_dir_all(&run).map_err(VmError::os(run.display().to_string()))?;
    let file = folder.join("initramfs");
    initramfs::write(spec, shell, &file)?;
    Ok((shared, file))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
