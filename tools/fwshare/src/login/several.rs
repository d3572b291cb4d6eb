//! All disks of a configuration, a process for each.

use std::env;
use std::process::{Child, Command, ExitStatus};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt as _;

use super::ROUND;
use super::upgrade::Wish;
use crate::config::Config;
use crate::error::{Exit, Failure};
use crate::output;
use crate::signals::Stop;

/// The process of a disk, until it has ended.
struct One {
    name: String,
    child: Child,
}

/// Runs all, until all have ended. The first failure is the one that is told at the end; the
/// other disks are served on.
pub(super) fn run(config: &Config, chatty: bool) -> Result<(), Failure> {
    let stop = Stop::on_signals("waiting for the processes of the disks")?;
    let anew = Wish::on_signal()?;
    let mut running = Vec::new();
    let mut first = None;
    for disk in config.disks() {
        match start(disk.name()) {
            Ok(one) => running.push(one),
            Err(failure) => keep(&mut first, failure),
        }
    }
    while !running.is_empty() {
        running.retain_mut(|one| match one.child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                if let Some(failure) = failure(&one.name, status) {
                    keep(&mut first, failure);
                }
                false
            }
            Err(error) => {
                let message = format!("{} cannot be waited for: {error}", one.name);
                keep(&mut first, Failure::new(Exit::Error, message));
                false
            }
        });
        if running.is_empty() {
            break;
        }
        if stop.wait(ROUND) {
            if chatty {
                output::complain("fwshare: all disks are being flushed and given back");
            }
            tell(&running, Signal::SIGTERM);
        }
        if anew.has_come() {
            tell(&running, Signal::SIGUSR2);
        }
    }
    first.map_or(Ok(()), Err)
}

/// The same command for one disk. It is in a process group of its own, so that a terminal's
/// Ctrl-C reaches it once, and through here.
fn start(name: String) -> Result<One, Failure> {
    let mut words = env::args_os();
    let program = words.next().unwrap_or_default();
    let child = Command::new(&program)
        .args(words)
        .arg(&name)
        .process_group(0)
        // The manager's line is this process's.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .spawn();
    match child {
        Ok(child) => Ok(One { name, child }),
        Err(error) => {
            let message = format!("{name}: cannot start {}: {error}", program.display());
            Err(Failure::new(Exit::Error, message))
        }
    }
}

/// None of these has been waited for, so their ids are theirs.
fn tell(running: &[One], signal: Signal) {
    for one in running {
        let told = i32::try_from(one.child.id())
            .map_err(|_| nix::errno::Errno::ESRCH)
            .and_then(|id| kill(Pid::from_raw(id), signal));
        if let Err(error) = told {
            tracing::warn!("{} was not told {signal}: {error}", one.name);
        }
    }
}

/// How a process ended, unless it ended well. It has said why itself.
fn failure(name: &str, status: ExitStatus) -> Option<Failure> {
    if status.success() {
        return None;
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let message = format!("{name} has ended: {status}");
    Some(Failure::with_code(
        code.unwrap_or(Exit::Error as u8),
        message,
    ))
}

fn keep(first: &mut Option<Failure>, failure: Failure) {
    output::complain(&format!("fwshare: {}", failure.message()));
    first.get_or_insert(failure);
}
