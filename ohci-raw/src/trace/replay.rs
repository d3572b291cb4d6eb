//! Replay.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::describe::{self, Names};
use super::line::{FailureKind, Line, Op, What};
use super::reader::Recording;
use crate::bus::{
    AddressRange, Eui64, Event, Generation, Instant, NodeId, RequestHandle, Response, Transaction,
};
use crate::config_rom::Descriptor;
use crate::port::{DescriptorHandle, Node, Port, PortError, ResetKind, Waker};

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

#[derive(Debug)]
struct State {
    path: PathBuf,
    mode: Mode,
    /// The lines of this port.
    lines: Vec<(usize, Line)>,
    /// Which of them are done, from the first on; in relaxed mode with holes.
    done: Vec<bool>,
    next: usize,
    clock: Instant,
    deviation: Option<String>,
}

impl Verdict {
    fn lock(&self) -> MutexGuard<'_, State> {
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
    fn deviate(&mut self, got: &str) -> PortError {
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
    fn peek(&self) -> Option<&What> {
        if self.deviation.is_some() {
            return None;
        }
        self.lines.get(self.next).map(|(_, line)| &line.what)
    }

    /// Takes the line at `at`.
    fn take(&mut self, at: usize) -> What {
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
    fn deed(&mut self, deed: &What) -> Result<What, PortError> {
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
    fn failure(&mut self) -> Result<(), PortError> {
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

/// A port that plays what was recorded at one.
pub struct Replay {
    verdict: Verdict,
    names: Names,
}

impl Replay {
    /// The recording's port with this index.
    #[must_use]
    pub fn new(recording: &Recording, port: usize, mode: Mode) -> Self {
        let lines: Vec<_> = recording
            .lines
            .iter()
            .filter(|(_, line)| line.port == port)
            .cloned()
            .collect();
        let state = State {
            path: recording.path.clone(),
            mode,
            done: alloc::vec![false; lines.len()],
            clock: lines
                .first()
                .map_or(Instant::ZERO, |(_, line)| Instant::from_nanos(line.at)),
            lines,
            next: 0,
            deviation: None,
        };
        Self {
            verdict: Verdict(Arc::new(Mutex::new(state))),
            names: Names::default(),
        }
    }

    /// How it stands, also after the port is gone.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    fn deed(&mut self, deed: &What) -> Result<(), PortError> {
        self.verdict.lock().deed(deed).map(|_| ())
    }

    fn allocated(
        &mut self,
        wanted: u64,
        region: Option<[String; 2]>,
    ) -> Result<AddressRange, PortError> {
        let mut state = self.verdict.lock();
        state.failure()?;
        let same = |what: &&What| match what {
            What::Allocate { length, within, .. } => *length == wanted && *within == region,
            _ => false,
        };
        let line = state.peek().filter(same);
        let Some(range) = line.and_then(|line| self.names.read_range(line)) else {
            return Err(state.deviate(&format!("an allocation of {wanted} bytes")));
        };
        let at = state.next;
        state.take(at);
        Ok(range)
    }
}

impl Port for Replay {
    fn now(&self) -> Instant {
        self.verdict.lock().clock
    }

    fn nodes(&mut self) -> Result<Vec<Node>, PortError> {
        let mut state = self.verdict.lock();
        state.failure()?;
        let Some(What::Nodes(lines)) = state.peek() else {
            return Err(state.deviate("a list of the nodes"));
        };
        let Some(nodes) = lines.iter().map(describe::read_node).collect() else {
            return Err(state.deviate("a list of the nodes, which the line does not give"));
        };
        let at = state.next;
        state.take(at);
        Ok(nodes)
    }

    fn send(&mut self, transaction: Transaction) -> Result<(), PortError> {
        let what = self.names.sent(&transaction);
        let recorded = self.verdict.lock().deed(&what)?;
        // Relaxed, it may be another one's turn: its response comes under its own number.
        if let What::Send { id, .. } = recorded {
            self.names.bind(transaction.token, id);
        }
        Ok(())
    }

    fn respond(&mut self, handle: RequestHandle, response: Response) -> Result<(), PortError> {
        let what = self.names.responded(handle, &response);
        self.deed(&what)
    }

    fn allocate(&mut self, length: u64) -> Result<AddressRange, PortError> {
        self.allocated(length, None)
    }

    fn allocate_in(
        &mut self,
        region: AddressRange,
        length: u64,
    ) -> Result<AddressRange, PortError> {
        self.allocated(length, Some(describe::ends(region)))
    }

    fn add_descriptor(&mut self, descriptor: &Descriptor) -> Result<DescriptorHandle, PortError> {
        let mut state = self.verdict.lock();
        state.failure()?;
        let handle = match state.peek() {
            Some(What::AddDescriptor { handle, .. }) => DescriptorHandle(*handle),
            _ => DescriptorHandle(0),
        };
        let added = describe::added(handle, descriptor);
        if state.peek() != Some(&added) {
            return Err(state.deviate("a descriptor for the configuration ROM"));
        }
        let at = state.next;
        state.take(at);
        Ok(handle)
    }

    fn remove_descriptor(&mut self, handle: DescriptorHandle) -> Result<(), PortError> {
        self.deed(&describe::removed(handle))
    }

    fn claim(&mut self, node: Eui64, lun: u16) -> Result<(), PortError> {
        self.deed(&describe::claimed(node, lun))
    }

    fn deallocate(&mut self, range: AddressRange) -> Result<(), PortError> {
        let what = self.names.deallocated(range);
        self.deed(&what)
    }

    fn next_event(&mut self, _: Option<Duration>) -> Result<Option<Event>, PortError> {
        let mut state = self.verdict.lock();
        state.failure()?;
        let event = match state.peek() {
            Some(What::Quiet {}) => None,
            Some(what) => match self.names.read_event(what) {
                Some(event) => Some(event),
                None => return Err(state.deviate("it waits for something to happen")),
            },
            None => return Err(state.deviate("it waits for something to happen")),
        };
        let at = state.next;
        state.take(at);
        Ok(event)
    }

    fn reset_bus(&mut self, kind: ResetKind) -> Result<(), PortError> {
        self.deed(&describe::reset(kind))
    }

    fn is_taped(&self) -> bool {
        true
    }

    fn input(&mut self, _: Option<String>) -> Option<String> {
        let mut state = self.verdict.lock();
        let Some(What::Input(value)) = state.peek() else {
            return None;
        };
        let text = value.to_string();
        let at = state.next;
        state.take(at);
        Some(text)
    }

    fn output(&mut self, text: &str) -> Result<(), PortError> {
        let value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
        self.deed(&What::Output(value))
    }

    fn waker(&self) -> Waker {
        // It never waits.
        Waker::new(|| {})
    }
}
