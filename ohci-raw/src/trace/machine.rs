//! Machines that are recorded, and replayed.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use super::describe::Names;
use super::line::{Line, What};
use super::reader::Recording;
use super::recorder::Tape;
use super::verdict::{Mode, State};
use crate::bus::{Action, Event, Instant, Machine};

/// A machine of which all is written down that it is told and does.
///
/// What is done to the machine itself, behind the recorder, is not in the recording.
pub struct MachineRecorder {
    machine: Box<dyn Machine + Send>,
    tape: Tape,
    port: usize,
    clock: Instant,
    names: Names,
}

impl MachineRecorder {
    /// Records `machine` as the header's port with this index.
    #[must_use]
    pub fn new(machine: Box<dyn Machine + Send>, tape: Tape, port: usize) -> Self {
        Self {
            machine,
            tape,
            port,
            clock: Instant::ZERO,
            names: Names::default(),
        }
    }

    fn write(&self, what: What) {
        self.tape.write(&Line {
            port: self.port,
            at: self.clock.as_nanos(),
            what,
        });
    }
}

impl Machine for MachineRecorder {
    fn handle(&mut self, event: Event, now: Instant) {
        self.clock = now;
        let what = self.names.event(&event);
        self.write(what);
        self.machine.handle(event, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.clock = now;
        // A call too early does nothing.
        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            self.write(What::Quiet {});
        }
        self.machine.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    fn poll_action(&mut self) -> Option<Action> {
        let action = self.machine.poll_action()?;
        let what = self.names.action(&action);
        if let (Action::Send(transaction), What::Send { id, .. }) = (&action, &what) {
            self.names.bind(transaction.token, *id);
        }
        self.write(what);
        Some(action)
    }
}

/// Tells `machine` what was recorded at the header's port with this index, at the recorded times,
/// and compares what it does with what was done then. How many lines these were.
///
/// The machine that was recorded was called as soon as its time had come, as the virtual bus
/// does: a machine whose time comes earlier, later or not at all deviates.
///
/// # Errors
/// The first thing that it did otherwise, with the line of the recording.
pub fn replay_machine(
    recording: &Recording,
    port: usize,
    mode: Mode,
    machine: &mut dyn Machine,
) -> Result<usize, String> {
    let mut state = State::new(recording, port, mode);
    let mut names = Names::default();
    loop {
        while let Some(action) = machine.poll_action() {
            let what = names.action(&action);
            let recorded = state.deed(&what).map_err(|error| error.to_string())?;
            if let (Action::Send(transaction), What::Send { id, .. }) = (&action, recorded) {
                names.bind(transaction.token, id);
            }
        }
        let (Some(now), Some(next)) = (state.next_at(), state.peek().cloned()) else {
            return Ok(state.next);
        };
        let due = machine.poll_timeout();
        let event = names.read_event(&next);
        let strays = match &next {
            next if next.is_deed() => Some("nothing: it waits to be told something".to_string()),
            What::Quiet {} if due.is_none_or(|due| due > now) => Some(wait(due)),
            What::Quiet {} => None,
            _ if event.is_none() => Some("no event can be made of the line".to_string()),
            _ if due.is_some_and(|due| due < now) => Some(wait(due)),
            _ => None,
        };
        if let Some(got) = strays {
            return Err(state.deviate(&got).to_string());
        }
        let at = state.next;
        state.take(at);
        match event {
            Some(event) => machine.handle(event, now),
            None => machine.handle_timeout(now),
        }
    }
}

/// When a machine wants to be called, in words.
fn wait(due: Option<Instant>) -> String {
    due.map_or_else(
        || "it waits for no time".to_string(),
        |due| format!("it waits until {}", due.as_nanos()),
    )
}

#[cfg(test)]
mod tests;
