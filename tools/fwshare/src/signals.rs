//! SIGINT and SIGTERM.

use std::process;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{Exit, Failure};
use crate::output;

/// The first signal asks for a good end, the second ends the process.
pub(crate) struct Stop(Receiver<()>);

impl Stop {
    /// From now on, signals do not end the process by themselves.
    pub(crate) fn on_signals() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Error, format!("cannot wait for signals: {error}"))
        };
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
        let (stop, stopped) = mpsc::channel();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                let mut signals = signals.forever();
                signals.next();
                // Nobody may be listening any more.
                let _ = stop.send(());
                signals.next();
                output::complain("fwshare: second signal: ended without logging out");
                process::exit(1);
            })
            .map_err(failed)?;
        Ok(Self(stopped))
    }

    /// Waits for the first signal, at most this long. Whether it has come.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        match self.0.recv_timeout(patience) {
            Ok(()) => true,
            // The thread never ends without having sent.
            Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }
}
