//! Replay at a port.

use alloc::format;
use alloc::string::{String, ToString};
use std::time::Duration;

use super::describe::{self, Names};
use super::line::What;
use super::reader::Recording;
use super::verdict::{Mode, State, Verdict};
use crate::bus::{AddressRange, Eui64, Event, Instant, RequestHandle, Response, Transaction};
use crate::config_rom::Descriptor;
use crate::port::{DescriptorHandle, Node, Port, PortError, ResetKind, Waker};

/// A port that plays what was recorded at one.
pub struct Replay {
    verdict: Verdict,
    names: Names,
}

impl Replay {
    /// The recording's port with this index.
    #[must_use]
    pub fn new(recording: &Recording, port: usize, mode: Mode) -> Self {
        Self {
            verdict: Verdict::new(State::new(recording, port, mode)),
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
