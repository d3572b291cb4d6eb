//! A shell in a guest, at the user's terminal.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use fwlab::vm::{Guest, Running, VmError};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::read;
use signal_hook::consts::SIGHUP;

use super::watch::ended_by;
use super::{code, no_machine};
use crate::failure::Failure;

/// How often it is looked whether the shell has ended, in milliseconds.
const ROUND: u16 = 50;
/// Ctrl-]
const ESCAPE: u8 = 0x1d;
/// How many of them pull the plug.
const ESCAPES: usize = 3;

/// Connects this terminal to a shell in the guest, until that ends, for its exit status.
pub(super) fn shell(guest: &Guest, stop: &Receiver<i32>) -> Result<u8, Failure> {
    let console = guest.terminal().map_err(no_machine)?;
    let nonblocking = console.set_nonblocking(true);
    nonblocking.map_err(|error| failed(&error))?;
    let terminal = Raw::new().map_err(|errno| failed(&errno.into()))?;
    let running = guest.spawn(&script()).map_err(no_machine)?;
    let mut line = Line {
        console,
        typed: Vec::new(),
        escapes: 0,
    };
    let ended = line.relay(&running, stop);
    drop(terminal);
    let _ = io::stdout().write_all(b"\n");
    ended
}

fn failed(error: &io::Error) -> Failure {
    Failure::new(format!("the terminal: {error}"))
}

/// What the guest is to run: a shell that has its console as its terminal.
fn script() -> String {
    let mut script = "exec < /dev/ttyS0 > /dev/ttyS0 2>&1\n".to_owned();
    if let Some((rows, columns)) = size() {
        script.push_str(&format!("stty rows {rows} cols {columns}\n"));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-+._".contains(c);
    let kind = env::var("TERM").unwrap_or_default();
    let kind = Some(kind).filter(|kind| !kind.is_empty() && kind.chars().all(is_plain));
    script.push_str(&format!(
        "export TERM={} PS1='\\h:\\w# '\n",
        kind.as_deref().unwrap_or("linux")
    ));
    // Unlike /usr/bin/sh it lets its user edit lines.
    script.push_str("cd /root\nexec setsid -c busybox sh -l\n");
    script
}

/// Rows and columns, where the terminal knows them.
fn size() -> Option<(NonZeroU16, NonZeroU16)> {
    let mut stty = Command::new("stty");
    let said = stty.arg("size").stdin(Stdio::inherit()).output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (rows, columns) = said.trim().split_once(' ')?;
    Some((rows.parse().ok()?, columns.parse().ok()?))
}

/// Between the user and the guest.
struct Line {
    console: UnixStream,
    /// What the guest has not taken yet.
    typed: Vec<u8>,
    /// How many escapes in a row were typed.
    escapes: usize,
}

impl Line {
    fn relay(&mut self, running: &Running<'_>, stop: &Receiver<i32>) -> Result<u8, Failure> {
        loop {
            let (input, output) = self.wait().map_err(|errno| failed(&errno.into()))?;
            if output {
                self.show()?;
            }
            if input && self.take()? {
                return Err(Failure::new("the virtual machine's plug was pulled"));
            }
            self.send().map_err(|error| failed(&error))?;
            let ended = running.has_ended_within(Duration::ZERO);
            match ended {
                Ok(None) => {}
                Ok(Some(status)) => {
                    self.show()?;
                    return Ok(code(status));
                }
                Err(error) => return Err(self.last_words(error)),
            }
            if let Ok(signal) = stop.try_recv() {
                return Err(ended_by(signal));
            }
        }
    }

    /// Until there is something to do, or to look whether it is over. Whether the user and the
    /// guest have something to say.
    fn wait(&self) -> nix::Result<(bool, bool)> {
        let stdin = io::stdin();
        let (mut from_user, mut of_guest) = (PollFlags::POLLIN, PollFlags::POLLIN);
        if !self.typed.is_empty() {
            // Nothing more until that is gone.
            from_user = PollFlags::empty();
            of_guest |= PollFlags::POLLOUT;
        }
        let mut ends = [
            PollFd::new(stdin.as_fd(), from_user),
            PollFd::new(self.console.as_fd(), of_guest),
        ];
        match poll(&mut ends, PollTimeout::from(ROUND)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let has = |end: &PollFd<'_>, flags| end.revents().is_some_and(|is| is.intersects(flags));
        let input = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        Ok((has(&ends[0], input), has(&ends[1], input)))
    }

    /// Shows what the guest has written.
    fn show(&mut self) -> Result<(), Failure> {
        let mut part = [0; 4096];
        loop {
            match self.console.read(&mut part) {
                // That it is gone shows elsewhere.
                Ok(0) => return Ok(()),
                Ok(length) => {
                    let mut out = io::stdout().lock();
                    let shown = out.write_all(&part[..length]).and_then(|()| out.flush());
                    shown.map_err(|error| failed(&error))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(()),
            }
        }
    }

    /// Takes what was typed. Whether the plug is to be pulled.
    fn take(&mut self) -> Result<bool, Failure> {
        let mut part = [0; 4096];
        let length = match read(io::stdin(), &mut part) {
            // The terminal is gone.
            Ok(0) | Err(Errno::EIO) => return Err(ended_by(SIGHUP)),
            Ok(length) => length,
            Err(Errno::EINTR | Errno::EAGAIN) => 0,
            Err(errno) => return Err(failed(&errno.into())),
        };
        for &byte in &part[..length] {
            self.escapes = if byte == ESCAPE { self.escapes + 1 } else { 0 };
            if self.escapes == ESCAPES {
                return Ok(true);
            }
        }
        self.typed.extend(&part[..length]);
        Ok(false)
    }

    /// Hands on what was typed, as far as the guest takes it.
    fn send(&mut self) -> io::Result<()> {
        if self.typed.is_empty() {
            return Ok(());
        }
        match self.console.write(&self.typed) {
            Ok(sent) => drop(self.typed.drain(..sent)),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.typed.clear(),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Shows what the guest still said before its end.
    fn last_words(&mut self, error: VmError) -> Failure {
        match self.show() {
            Ok(()) => no_machine(error),
            Err(failure) => failure,
        }
    }
}

/// The user's terminal, of which every key goes to the guest. It is as before when this is dropped.
struct Raw {
    before: Termios,
}

impl Raw {
    fn new() -> nix::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before) {
            tracing::debug!(%error, "the terminal is gone");
        }
    }
}
