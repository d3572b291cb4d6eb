//! A restart for an upgrade: the process starts itself anew and keeps its id.
//!
//! The login is given back and had again: the exports of the kernel queue meanwhile. Whoever
//! cannot do without is asked first, and then nothing happens.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fwlab::bridge::Storage;
use signal_hook::consts::SIGUSR2;

use super::hosts::Hosts;
use crate::bus::{BusSpec, Taping};
use crate::cli::LoginArgs;
use crate::config::Config;
use crate::error::{Exit, Failure};
use crate::signals::Stop;

/// SIGUSR2.
pub(super) struct Wish(Arc<AtomicBool>);

impl Wish {
    /// From now on the signal is a wish, and no end.
    pub(super) fn on_signal() -> Result<Self, Failure> {
        let wish = Arc::new(AtomicBool::new(false));
        match signal_hook::flag::register(SIGUSR2, Arc::clone(&wish)) {
            Ok(_) => Ok(Self(wish)),
            Err(error) => {
                let message = format!("cannot wait for signals: {error}");
                Err(Failure::new(Exit::Error, message))
            }
        }
    }

    /// Whether it has come since the last time.
    pub(super) fn has_come(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Sees that the next process can go on where this one ends.
pub(super) fn check(args: &LoginArgs, taping: &Taping, hosts: &Hosts) -> Result<(), Failure> {
    let refused = |why: String| {
        let message = format!("not started anew, and nothing has changed: {why}");
        Err(Failure::new(Exit::Held, message))
    };
    let in_the_way = hosts.not_to_be_left();
    if let Some(first) = in_the_way.first() {
        return refused(format!("{first}; end it with SIGTERM instead"));
    }
    if hosts.are_in_doubt() {
        let why = "the login is lost, or what was written may be: flush, or try again later";
        return refused(why.into());
    }
    if args.unbind_kernel {
        let why = "the kernel's driver would take the disk meanwhile (--unbind-kernel)";
        return refused(why.into());
    }
    if taping.is_recording() {
        return refused("the recording would not go on".into());
    }
    if let BusSpec::Emulated(emulation) = &args.bus.bus
        && matches!(emulation.bridge.storage, Storage::Memory(_))
    {
        return refused("the emulated disk is in this process's memory".into());
    }
    if let Some(config) = &args.config {
        Config::read(config).and_then(|config| {
            let target = args.target.as_deref().unwrap_or_default();
            config.disk(target).map(drop)
        })?;
    }
    Ok(())
}

/// Set for a process that is to end as soon as it is ready.
const STOP: &str = "FWSHARE_STOP_WHEN_READY";

/// Becomes the program that is now where this one was started from. Returns only if that fails.
///
/// A signal to end that came meanwhile is handed on: only a process that has the devices can
/// detach them.
pub(super) fn start_anew(stop: &Stop) -> Failure {
    let mut words = env::args_os();
    let program = words.next().unwrap_or_default();
    let mut anew = Command::new(&program);
    anew.args(words);
    if stop.wait(Duration::ZERO) {
        anew.env(STOP, "1");
    } else {
        anew.env_remove(STOP);
    }
    let error = anew.exec();
    failed(&program, &error)
}

/// Whether this process is to end as soon as it is ready.
pub(super) fn is_to_stop() -> bool {
    env::var_os(STOP).is_some()
}

fn failed(program: &OsString, error: &io::Error) -> Failure {
    let message = format!("cannot start {} anew: {error}", program.display());
    Failure::new(Exit::Error, message).advise("the disk was flushed and logged out; start it again")
}
