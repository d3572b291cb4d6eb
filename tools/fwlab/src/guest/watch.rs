//! Waiting for a guest, while what it writes is shown, until a signal ends that.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use fwlab::vm::VmError;

use super::no_machine;
use crate::failure::Failure;

/// How often it is looked for something new to show.
const ROUND: Duration = Duration::from_millis(50);

/// A file that grows, and where that is shown.
pub(super) struct Tail {
    path: PathBuf,
    shown: u64,
    /// Nowhere, if nobody reads there any more.
    to: Option<Box<dyn Write>>,
}

impl Tail {
    pub(super) fn new(path: PathBuf, to: Box<dyn Write>) -> Self {
        Self {
            path,
            shown: 0,
            to: Some(to),
        }
    }

    /// Shows what is new.
    fn show(&mut self) {
        let Some(to) = &mut self.to else { return };
        // Not there yet: nothing was written.
        let Ok(mut file) = File::open(&self.path) else {
            return;
        };
        let mut new = Vec::new();
        let sought = file.seek(SeekFrom::Start(self.shown));
        if let Err(error) = sought.and_then(|_| file.read_to_end(&mut new)) {
            tracing::debug!(%error, path = %self.path.display(), "cannot be shown");
            return;
        }
        self.shown += new.len() as u64;
        if to.write_all(&new).and_then(|()| to.flush()).is_err() {
            self.to = None;
        }
    }
}

/// Somebody who waits.
pub(super) struct Watch<'a> {
    stop: &'a Receiver<i32>,
    tails: Vec<Tail>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(stop: &'a Receiver<i32>) -> Self {
        let tails = Vec::new();
        Self { stop, tails }
    }

    /// Shows how this file grows, from now on.
    pub(super) fn follow(&mut self, tail: Tail) {
        self.tails.push(tail);
    }

    /// Asks `came` again and again, which may take as long as it is told to. `None`: it was too
    /// long.
    pub(super) fn until<T>(
        &mut self,
        limit: Option<Duration>,
        mut came: impl FnMut(Duration) -> Result<Option<T>, VmError>,
    ) -> Result<Option<T>, Failure> {
        let start = Instant::now();
        loop {
            let now = came(ROUND);
            for tail in &mut self.tails {
                tail.show();
            }
            if let Some(came) = now.map_err(no_machine)? {
                return Ok(Some(came));
            }
            if let Ok(signal) = self.stop.try_recv() {
                return Err(ended_by(signal));
            }
            if limit.is_some_and(|limit| start.elapsed() >= limit) {
                return Ok(None);
            }
        }
    }
}

/// As a shell says it of a program that does not catch the signal.
pub(super) fn ended_by(signal: i32) -> Failure {
    let code = u8::try_from(128 + signal).unwrap_or(u8::MAX);
    Failure::new(format!("signal {signal}: the virtual machine was ended")).or_code(code)
}
