//! A host that does what a script says, as soon as it has nothing else to do.
//!
//! ```text
//! # offset and length in bytes; a write repeats the byte
//! write 8192 4096 0xa5
//! flush
//! read 8192 4096
//! reset
//! stop
//! ```

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use ohci_raw::bus::{AddressRange, Eui64, Event, Instant, RequestHandle, Response, Transaction};
use ohci_raw::config_rom::Descriptor;
use ohci_raw::port::{DescriptorHandle, Node, Port, PortCounters, PortError, ResetKind, Waker};
use ohci_raw::trace::Payload;
use serde_json::{Value, json};

/// The most bytes of one request.
const LENGTH_MAX: u64 = 1 << 20;

/// A line of a script.
#[derive(Clone, PartialEq, Debug)]
enum Step {
    Input(Value),
    Reset,
    /// Nothing more, until somebody else asks for the end.
    Hold,
}

/// A script that makes no sense.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScriptError {
    #[error(transparent)]
    Os(#[from] io::Error),
    #[error(
        "line {0}: a step is \"read OFFSET LENGTH\", \"write OFFSET LENGTH BYTE\", \"flush\", \
         \"reset\", \"hold\" or \"stop\""
    )]
    Line(usize),
}

/// A script, which ends with "stop" whether it says so or not.
#[derive(Clone, Debug)]
pub(crate) struct Script(VecDeque<Step>);

impl Script {
    pub(crate) fn read(path: &Path) -> Result<Self, ScriptError> {
        Self::parse(&fs::read_to_string(path)?)
    }

    fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut steps = VecDeque::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<_> = line.split_whitespace().collect();
            if !words.is_empty() {
                steps.push_back(step(&words).ok_or(ScriptError::Line(number))?);
            }
        }
        steps.push_back(Step::Input(json!("stop")));
        Ok(Self(steps))
    }
}

fn step(words: &[&str]) -> Option<Step> {
    Some(match words {
        ["read", offset, length] => {
            let (offset, length) = (number(offset)?, length_of(length)?);
            Step::Input(json!({"read": {"offset": offset, "length": length}}))
        }
        ["write", offset, length, byte] => {
            let (offset, length) = (number(offset)?, length_of(length)?);
            let byte = u8::try_from(number(byte)?).ok()?;
            let data = Payload::of(&vec![byte; usize::try_from(length).ok()?]);
            Step::Input(json!({"write": {"offset": offset, "data": data, "fua": false}}))
        }
        ["flush"] => Step::Input(json!("flush")),
        ["stop"] => Step::Input(json!("stop")),
        ["reset"] => Step::Reset,
        ["hold"] => Step::Hold,
        _ => return None,
    })
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn length_of(text: &str) -> Option<u64> {
    number(text).filter(|length| *length <= LENGTH_MAX)
}

/// A port at which a script is acted out.
pub(super) struct Scripted {
    inner: Box<dyn Port>,
    script: Script,
    /// What is to be done next from outside of the bus.
    due: Option<String>,
}

impl Scripted {
    pub(super) fn new(inner: Box<dyn Port>, script: Script) -> Self {
        Self {
            inner,
            script,
            due: None,
        }
    }
}

impl Port for Scripted {
    fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<Event>, PortError> {
        if timeout.is_none() {
            // Nothing is under way, but perhaps told of.
            if let Some(event) = self.inner.next_event(Some(Duration::ZERO))? {
                return Ok(Some(event));
            }
            match self.script.0.pop_front() {
                Some(Step::Input(input)) => {
                    self.due = Some(input.to_string());
                    return Ok(None);
                }
                Some(Step::Reset) => self.inner.reset_bus(ResetKind::Short)?,
                Some(Step::Hold) => self.script.0.clear(),
                None => {}
            }
        }
        self.inner.next_event(timeout)
    }

    fn is_taped(&self) -> bool {
        true
    }

    fn input(&mut self, live: Option<String>) -> Option<String> {
        live.or_else(|| self.due.take())
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn nodes(&mut self) -> Result<Vec<Node>, PortError> {
        self.inner.nodes()
    }

    fn send(&mut self, transaction: Transaction) -> Result<(), PortError> {
        self.inner.send(transaction)
    }

    fn respond(&mut self, handle: RequestHandle, response: Response) -> Result<(), PortError> {
        self.inner.respond(handle, response)
    }

    fn allocate(&mut self, length: u64) -> Result<AddressRange, PortError> {
        self.inner.allocate(length)
    }

    fn allocate_in(
        &mut self,
        region: AddressRange,
        length: u64,
    ) -> Result<AddressRange, PortError> {
        self.inner.allocate_in(region, length)
    }

    fn add_descriptor(&mut self, descriptor: &Descriptor) -> Result<DescriptorHandle, PortError> {
        self.inner.add_descriptor(descriptor)
    }

    fn remove_descriptor(&mut self, handle: DescriptorHandle) -> Result<(), PortError> {
        self.inner.remove_descriptor(handle)
    }

    fn claim(&mut self, node: Eui64, lun: u16) -> Result<(), PortError> {
        self.inner.claim(node, lun)
    }

    fn deallocate(&mut self, range: AddressRange) -> Result<(), PortError> {
        self.inner.deallocate(range)
    }

    fn reset_bus(&mut self, kind: ResetKind) -> Result<(), PortError> {
        self.inner.reset_bus(kind)
    }

    fn counters(&self) -> PortCounters {
        self.inner.counters()
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_step_is_told_by_its_number() {
        for text in [
            "explode",
            "read 0",
            "read x 1",
            "read 0 99999999",
            "write 0 512",
            "write 0 512 256",
            "flush now",
        ] {
            let error = Script::parse(&format!("# first\n{text}\n")).unwrap_err();
            assert!(matches!(error, ScriptError::Line(2)), "{text}: {error}");
        }
    }

    #[test]
    fn a_script_ends_with_stop() {
        let script = Script::parse("read 0x200 512 # one block\n\nreset\nflush").unwrap();
        let read = json!({"read": {"offset": 512, "length": 512}});
        let expected = [
            Step::Input(read),
            Step::Reset,
            Step::Input(json!("flush")),
            Step::Input(json!("stop")),
        ];
        assert_eq!(script.0, expected);
    }
}
