//! The signals that end a verb.

use std::sync::mpsc::{self, Receiver};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// From now on these signals do not end this process, but come here, by number.
pub(crate) fn signals() -> Result<Receiver<i32>, Failure> {
    let failed = |error| Failure::new(format!("cannot wait for signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    let (stop, stopped) = mpsc::channel();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                // It may be over already.
                let _ = stop.send(signal);
            }
        })
        .map_err(failed)?;
    Ok(stopped)
}
