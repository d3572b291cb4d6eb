//! SIGINT, SIGTERM and SIGHUP.

use std::fs;
use std::process;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{Exit, Failure};
use crate::output;

/// The first signal asks for a good end, the second ends the process.
pub(crate) struct Stop {
    wished: Receiver<()>,
    wish: Sender<()>,
}

impl Stop {
    /// From now on, signals do not end the process by themselves. `left_undone` is what a second
    /// one keeps it from.
    pub(crate) fn on_signals(left_undone: &'static str) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Error, format!("cannot wait for signals: {error}"))
        };
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
        // A terminal that is closed must not leave a login behind.
        if !hangups_are_ignored() {
            signals.add_signal(SIGHUP).map_err(failed)?;
        }
        let (wish, wished) = mpsc::channel();
        let stop = wish.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                let mut signals = signals.forever();
                signals.next();
                // Nobody may be listening any more.
                let _ = stop.send(());
                signals.next();
                output::complain(&format!(
                    "fwshare: second signal: ended without {left_undone}"
                ));
                process::exit(1);
            })
            .map_err(failed)?;
        Ok(Self { wished, wish })
    }

    /// Asks for a good end in the place of a signal.
    pub(crate) fn wish(&self) -> Sender<()> {
        self.wish.clone()
    }

    /// Waits for the first signal, at most this long. Whether it has come.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        match self.wished.recv_timeout(patience) {
            Ok(()) => true,
            // We hold a sender ourselves.
            Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }
}

/// Whether this process was started to outlive its terminal, as by nohup.
fn hangups_are_ignored() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, SIGHUP))
}

/// Whether `signal` is in the mask of ignored signals of proc(5).
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_count_from_the_lowest_bit_on() {
        let status = "Name:\tx\nSigBlk:\tffff\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, SIGHUP));
        assert!(!ignores(status, SIGINT));
        assert!(!ignores("SigIgn:\tx\n", SIGHUP));
        assert!(!ignores("", SIGHUP));
    }
}
