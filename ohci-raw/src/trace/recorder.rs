//! Recording.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::describe::{self, Names};
use super::line::{FailureKind, Header, Line, What};
use crate::bus::{AddressRange, Eui64, Event, Instant, RequestHandle, Response, Transaction};
use crate::config_rom::Descriptor;
use crate::port::{DescriptorHandle, Node, Port, PortCounters, PortError, ResetKind, Waker};

/// The file that is written to.
#[derive(Clone, Debug)]
pub struct Tape(Arc<Mutex<Option<BufWriter<File>>>>);

impl Tape {
    /// Starts a recording in a new file, which is its owner's alone: it has all the data that
    /// went over the bus.
    ///
    /// # Errors
    /// The file is there already, or cannot be made.
    pub fn start(path: &Path, header: &Header) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = BufWriter::new(options.open(path)?);
        let text = serde_json::to_string(header)?;
        writeln!(file, "{text}")?;
        file.flush()?;
        Ok(Self(Arc::new(Mutex::new(Some(file)))))
    }

    /// Writes a line. After a first failure nothing more is written: the command that is recorded
    /// is worth more than its recording.
    pub(super) fn write(&self, line: &Line) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &mut *file else {
            return;
        };
        if let Err(error) = writeln!(open, "{line}").and_then(|()| open.flush()) {
            tracing::error!(%error, "the recording ends here");
            *file = None;
        }
    }
}

/// A port that writes down all that goes over it.
///
/// Its clock stands still but for [`Port::next_event`]: what a program does between two events
/// takes no time, in the recording and in every replay.
pub struct Recorder {
    inner: Box<dyn Port>,
    tape: Tape,
    port: usize,
    clock: Instant,
    names: Names,
}

impl Recorder {
    /// Records `inner` as the header's port with this index.
    #[must_use]
    pub fn new(inner: Box<dyn Port>, tape: Tape, port: usize) -> Self {
        let clock = inner.now();
        Self {
            inner,
            tape,
            port,
            clock,
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

    fn failed<T>(&self, result: Result<T, PortError>) -> Result<T, PortError> {
        if let Err(error) = &result {
            self.write(What::Failed {
                error: error.to_string(),
                kind: match error {
                    PortError::Gone { .. } => FailureKind::Gone,
                    PortError::NoSuchNode { .. } => FailureKind::NoSuchNode,
                    PortError::Claimed { .. } => FailureKind::Claimed,
                    _ => FailureKind::Other,
                },
            });
        }
        result
    }
}

impl Port for Recorder {
    fn now(&self) -> Instant {
        self.clock
    }

    fn nodes(&mut self) -> Result<Vec<Node>, PortError> {
        let result = self.inner.nodes();
        if let Ok(nodes) = &result {
            self.write(describe::nodes(nodes));
        }
        self.failed(result)
    }

    fn send(&mut self, transaction: Transaction) -> Result<(), PortError> {
        let what = self.names.sent(&transaction);
        if let What::Send { id, .. } = what {
            self.names.bind(transaction.token, id);
        }
        self.write(what);
        let result = self.inner.send(transaction);
        self.failed(result)
    }

    fn respond(&mut self, handle: RequestHandle, response: Response) -> Result<(), PortError> {
        let what = self.names.responded(handle, &response);
        self.write(what);
        let result = self.inner.respond(handle, response);
        self.failed(result)
    }

    fn allocate(&mut self, length: u64) -> Result<AddressRange, PortError> {
        let result = self.inner.allocate(length);
        if let Ok(range) = &result {
            let what = self.names.allocated(*range, None);
            self.write(what);
        }
        self.failed(result)
    }

    fn allocate_in(
        &mut self,
        region: AddressRange,
        length: u64,
    ) -> Result<AddressRange, PortError> {
        let result = self.inner.allocate_in(region, length);
        if let Ok(range) = &result {
            let what = self.names.allocated(*range, Some(region));
            self.write(what);
        }
        self.failed(result)
    }

    fn add_descriptor(&mut self, descriptor: &Descriptor) -> Result<DescriptorHandle, PortError> {
        let result = self.inner.add_descriptor(descriptor);
        if let Ok(handle) = &result {
            self.write(describe::added(*handle, descriptor));
        }
        self.failed(result)
    }

    fn remove_descriptor(&mut self, handle: DescriptorHandle) -> Result<(), PortError> {
        self.write(describe::removed(handle));
        let result = self.inner.remove_descriptor(handle);
        self.failed(result)
    }

    fn claim(&mut self, node: Eui64, lun: u16) -> Result<(), PortError> {
        self.write(describe::claimed(node, lun));
        let result = self.inner.claim(node, lun);
        self.failed(result)
    }

    fn deallocate(&mut self, range: AddressRange) -> Result<(), PortError> {
        let what = self.names.deallocated(range);
        self.write(what);
        let result = self.inner.deallocate(range);
        self.failed(result)
    }

    fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<Event>, PortError> {
        // What waits for a time by the clock that stood still waits no longer by the other one.
        let late = self.inner.now().saturating_since(self.clock);
        let result = self
            .inner
            .next_event(timeout.map(|timeout| timeout.saturating_sub(late)));
        // A wait that was over has lasted as long as it was to.
        let least = match (&result, timeout) {
            (Ok(None), Some(timeout)) if timeout > Duration::ZERO => {
                self.clock + Duration::from_nanos(1)
            }
            _ => self.clock,
        };
        self.clock = self.inner.now().max(least);
        match &result {
            Ok(Some(event)) => {
                let what = self.names.event(event);
                self.write(what);
            }
            Ok(None) => self.write(What::Quiet {}),
            Err(_) => {}
        }
        self.failed(result)
    }

    fn reset_bus(&mut self, kind: ResetKind) -> Result<(), PortError> {
        self.write(describe::reset(kind));
        let result = self.inner.reset_bus(kind);
        self.failed(result)
    }

    fn is_taped(&self) -> bool {
        true
    }

    fn input(&mut self, live: Option<String>) -> Option<String> {
        let input = self.inner.input(live)?;
        match serde_json::from_str(&input) {
            Ok(value) => self.write(What::Input(value)),
            Err(_) => self.write(What::Input(input.clone().into())),
        }
        Some(input)
    }

    fn output(&mut self, text: &str) -> Result<(), PortError> {
        let value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
        self.write(What::Output(value));
        self.inner.output(text)
    }

    fn counters(&self) -> PortCounters {
        self.inner.counters()
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }
}
