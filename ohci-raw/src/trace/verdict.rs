//! How a replay stands: what was recorded, how far it is done, and the first deviation.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::line::{FailureKind, Line, Op, What};
use super::reader::Recording;
use crate::bus::{Generation, Instant, NodeId};
use crate::port::PortError;

/// How closely a program must do what the recording has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// The same, byte by byte and in the same order.
    #[default]
    Strict,
    /// Node ids, generations and speeds may be others, and deeds that stand together may come in
    /// another order.
    Relaxed,
}

/// How the replay at a port stands; the port itself is elsewhere.
#[derive(Clone, Debug)]
pub struct Verdict(Arc<Mutex<State>>);

/// The lines of one port, and how far they are done.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    mode: Mode,
    /// The lines of this port.
    lines: Vec<(usize, Line)>,
    /// Which of them are done, from the first on; in relaxed mode with holes.
    done: Vec<bool>,
    pub(super) next: usize,
    pub(super) clock: Instant,
    deviation: Option<String>,
}

impl Verdict {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lines were replayed.
    ///
    /// # Errors
    /// What was done and is not in the recording, or what is left in it.
    pub fn get(&self) -> Result<usize, String> {
        let state = self.lock();
        if let Some(deviation) = &state.deviation {
            return Err(deviation.clone());
        }
        match state.lines.get(state.next) {
            Some((number, line)) => Err(format!(
                "{}:{number}: the program ended; the recording goes on with\n  {line}",
                state.path.display()
            )),
            None => Ok(state.lines.len()),
        }
    }
}

impl State {
    /// The beginning of what was recorded at the port with this index.
    pub(super) fn new(recording: &Recording, port: usize, mode: Mode) -> Self {
        let lines: Vec<_> = recording
            .lines
            .iter()
            .filter(|(_, line)| line.port == port)
            .cloned()
            .collect();
        Self {
            path: recording.path.clone(),
            mode,
            done: alloc::vec![false; lines.len()],
            clock: lines
                .first()
                .map_or(Instant::ZERO, |(_, line)| Instant::from_nanos(line.at)),
            lines,
            next: 0,
            deviation: None,
        }
    }

    /// When the next line happened.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let (_, line) = self.lines.get(self.next)?;
        Some(Instant::from_nanos(line.at))
    }

    pub(super) fn deviate(&mut self, got: &str) -> PortError {
        let deviation = match self.lines.get(self.next) {
            Some((number, line)) => format!(
                "{}:{number}: the recording has\n  {line}\nand this came\n  {got}",
                self.path.display()
            ),
            None => format!("{}: after its end this came\n  {got}", self.path.display()),
        };
        // The first one is what matters: the others follow from it.
        PortError::Deviation(self.deviation.get_or_insert(deviation).clone())
    }

    /// The next line, unless the program has strayed.
    pub(super) fn peek(&self) -> Option<&What> {
        if self.deviation.is_some() {
            return None;
        }
        self.lines.get(self.next).map(|(_, line)| &line.what)
    }

    /// Takes the line at `at`.
    pub(super) fn take(&mut self, at: usize) -> What {
        self.done[at] = true;
        let (_, line) = &self.lines[at];
        let what = line.what.clone();
        self.clock = self.clock.max(Instant::from_nanos(line.at));
        while self.done.get(self.next).is_some_and(|done| *done) {
            self.next += 1;
        }
        what
    }

    /// Compares what the program did with the next line, or, relaxed, with the deeds that stand
    /// there together.
    pub(super) fn deed(&mut self, deed: &What) -> Result<What, PortError> {
        let window = match self.mode {
            Mode::Strict => 1,
            Mode::Relaxed => self.lines[self.next.min(self.lines.len())..]
                .iter()
                .take_while(|(_, line)| line.what.is_deed())
                .count(),
        };
        let candidates = self.next..(self.next + window).min(self.lines.len());
        let found = candidates
            .into_iter()
            .find(|at| !self.done[*at] && agrees(&self.lines[*at].1.what, deed, self.mode));
        match found.filter(|_| self.deviation.is_none()) {
            Some(at) => {
                let recorded = self.take(at);
                self.failure().map(|()| recorded)
            }
            None => {
                let got = Line {
                    port: self.lines.first().map_or(0, |(_, line)| line.port),
                    at: self.clock.as_nanos(),
                    what: deed.clone(),
                };
                Err(self.deviate(&got.to_string()))
            }
        }
    }

    /// Whether the recording says that what was just done has failed.
    pub(super) fn failure(&mut self) -> Result<(), PortError> {
        let Some(What::Failed { .. }) = self.peek() else {
            return Ok(());
        };
        match self.take(self.next) {
            What::Failed { error, kind } => Err(failed(error, kind)),
            _ => Ok(()),
        }
    }
}

/// The failure that was recorded, as far as what follows depends on it.
fn failed(error: String, kind: FailureKind) -> PortError {
    match kind {
        FailureKind::Gone => PortError::Gone { device: error },
        FailureKind::NoSuchNode => PortError::NoSuchNode {
            node: NodeId(0xffff),
            generation: Generation(0),
        },
        FailureKind::Claimed => PortError::Claimed {
            device: "the recording".to_string(),
            lun: 0,
        },
        FailureKind::Other => PortError::Os {
            what: "replay",
            device: "the recording".to_string(),
            source: std::io::Error::other(error),
        },
    }
}

/// Whether what the program did is what the recording has.
fn agrees(recorded: &What, did: &What, mode: Mode) -> bool {
    let op = |a: &Op, b: &Op| {
        a.tcode == b.tcode && a.addr == b.addr && a.len == b.len && a.data.agrees(&b.data)
    };
    match (recorded, did) {
        (
            What::Send {
                id,
                dest,
                generation,
                speed,
                op: recorded,
            },
            What::Send {
                id: own,
                dest: to,
                generation: current,
                speed: fast,
                op: did,
            },
        ) => {
            op(recorded, did)
                && (mode == Mode::Relaxed
                    || (id, dest, generation, speed) == (own, to, current, fast))
        }
        (
            What::Respond { id, rcode, data },
            What::Respond {
                id: own,
                rcode: code,
                data: bytes,
            },
        ) => (id, rcode) == (own, code) && data.agrees(bytes),
        // What was read from a disk whose data was taken out has another hash.
        (What::Output(recorded), What::Output(did)) => {
            recorded == did || (is_scrubbed(recorded) && but_digest(recorded) == but_digest(did))
        }
        (recorded, did) => recorded == did,
    }
}

fn is_scrubbed(output: &Value) -> bool {
    output.get("scrubbed").is_some()
}

/// An output without what says which bytes came.
fn but_digest(output: &Value) -> Value {
    let mut output = output.clone();
    if let Some(fields) = output.as_object_mut() {
        fields.remove("scrubbed");
        fields.remove("sha256");
    }
    output
}
