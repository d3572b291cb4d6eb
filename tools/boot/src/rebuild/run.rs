//! The tool's program, run where the system is.

use std::io::{self, PipeReader, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::RebuildError;
use super::inside::Inside;
use crate::root::Root;
use crate::tree::Tree as _;

/// Asks whether to stop: a user may have interrupted.
pub type Stopped<'a> = &'a dyn Fn() -> bool;

/// How much of what a tool says is kept: its end, in bytes.
const KEPT: usize = 16 << 10;
/// How often it is asked whether to stop.
const ROUND: Duration = Duration::from_millis(100);
/// How long the last words of a tool that has ended may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Where programs are looked for. What the caller has is not asked: with `su` it lacks /usr/sbin.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a command in a system, and returns the end of what it said.
pub(super) fn run(
    root: &Root,
    command: &[String],
    stopped: Stopped<'_>,
) -> Result<String, RebuildError> {
    let shown = command.join(" ");
    let Some((program, arguments)) = command.split_first() else {
        return Ok(String::new());
    };
    let failed = |source| RebuildError::Run {
        program: match root.is_live() {
            true => program.clone(),
            false => format!("{program} in {}", root.path().display()),
        },
        source,
    };
    let (reader, writer) = io::pipe().map_err(failed)?;
    let mut process = Command::new(found(root, program));
    process
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer)
        // It is ended with all that it has started.
        .process_group(0);
    if !root.is_live() {
        Inside::of(root).map_err(failed)?.enter(&mut process);
    }
    let child = process.spawn().map_err(failed)?;
    // Its ends of the pipe, or the reader waits for ever.
    drop(process);
    let (status, said) = watch(child, reader, stopped).map_err(failed)?;
    match status {
        None => Err(RebuildError::Interrupted),
        Some(status) if status.success() => Ok(said),
        Some(status) => Err(RebuildError::Failed {
            command: shown,
            how: how(status),
            said,
        }),
    }
}

/// Waits for the end of the child. No status means: it was stopped.
fn watch(
    mut child: Child,
    mut reader: PipeReader,
    stopped: Stopped<'_>,
) -> io::Result<(Option<ExitStatus>, String)> {
    let group = Pid::from_raw(child.id().try_into().unwrap_or(i32::MAX));
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeping = Arc::clone(&kept);
    let (silent, all_said) = mpsc::channel::<()>();
    thread::spawn(move || {
        let _silent = silent;
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            let mut kept = keeping.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(&buffer[..count]);
            if kept.len() > 2 * KEPT {
                let start = kept.len() - KEPT;
                kept.drain(..start);
            }
        }
    });
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait()));
    let status = loop {
        match ended.recv_timeout(ROUND) {
            Ok(status) => break Some(status?),
            Err(RecvTimeoutError::Timeout) if stopped() => break None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("nobody waits for it"));
            }
        }
    };
    // What it left running would keep the pipe open, and might write to the image.
    let _ = killpg(group, Signal::SIGKILL);
    // A daemon may have left the group, with the pipe in its hands: it is not waited for.
    let _ = all_said.recv_timeout(PATIENCE);
    let said = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((status, readable(&said)))
}

/// The program's path, so that an error names what is missing.
fn found(root: &Root, program: &str) -> String {
    let folders = PATH.split(':');
    let mut paths = folders.map(|folder| format!("{folder}/{program}"));
    paths
        .find(|path| root.is_file(Path::new(path)).unwrap_or(false))
        .unwrap_or_else(|| program.to_owned())
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (_, Some(signal)) => format!("was killed by signal {signal}"),
        _ => format!("{status}"),
    }
}

/// The last lines, without what a terminal would obey.
fn readable(said: &[u8]) -> String {
    let start = said.len().saturating_sub(KEPT);
    let text = String::from_utf8_lossy(&said[start..]).replace('\r', "\n");
    let mut shown = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            // A sequence that colours: up to its last letter.
            '\u{1b}' if letters.peek() == Some(&'[') => {
                letters.next();
                while letters
                    .next_if(|letter| !letter.is_ascii_alphabetic())
                    .is_some()
                {}
                letters.next();
            }
            '\n' | '\t' => shown.push(letter),
            _ if letter.is_control() => {}
            _ => shown.push(letter),
        }
    }
    shown.trim().to_owned()
}
