//! Whether and how a command is recorded, or replayed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ohci_raw::port::Port;
use ohci_raw::trace::{
    Header, Mode, PortHeader, Recorder, Recording, Replay, SCHEMA, Tape, TraceError, Verdict,
};

use super::Bus;
use crate::error::{Exit, Failure};

/// The name of an emulated bus in a recording.
const EMULATED: &str = "emulated";

/// What is to be done with all that goes over the ports of one command.
#[derive(Debug, Default)]
pub(crate) struct Taping {
    /// Where to record, and the command line.
    record: Option<(PathBuf, Vec<String>)>,
    /// How the replays stand.
    verdicts: Mutex<Vec<Verdict>>,
}

impl Taping {
    /// Records into a new file.
    pub(crate) fn record(path: PathBuf, command: Vec<String>) -> Self {
        Self {
            record: Some((path, command)),
            verdicts: Mutex::default(),
        }
    }

    /// Whether all is recorded.
    pub(crate) const fn is_recording(&self) -> bool {
        self.record.is_some()
    }

    /// Puts a recorder before each port, if it is to be recorded.
    pub(super) fn tape(&self, buses: Vec<Bus>) -> Result<Vec<Bus>, Failure> {
        let Some((path, command)) = &self.record else {
            return Ok(buses);
        };
        let ports = buses.iter().enumerate().flat_map(|(index, bus)| {
            let name = bus
                .folder
                .as_deref()
                .map_or(EMULATED.into(), Path::to_string_lossy);
            let header = PortHeader {
                bus: index,
                name: name.into_owned(),
                machine: None,
            };
            std::iter::repeat_n(header, 1 + bus.others.len())
        });
        let header = Header {
            schema: SCHEMA,
            tool: concat!("fwshare ", env!("CARGO_PKG_VERSION")).to_owned(),
            command: command.clone(),
            ports: ports.collect(),
            scrubbed: false,
        };
        let tape = Tape::start(path, &header).map_err(|error| {
            let message = format!("cannot record into {}: {error}", path.display());
            let failure = Failure::new(Exit::Error, message);
            match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    failure.advise("name a new file: a recording is never overwritten")
                }
                _ => failure,
            }
        })?;
        let mut next = 0..;
        let mut recorded = |port| -> Box<dyn Port> {
            let index = next.next().unwrap_or_default();
            Box::new(Recorder::new(port, tape.clone(), index))
        };
        let buses = buses.into_iter().map(|bus| Bus {
            folder: bus.folder,
            port: recorded(bus.port),
            others: bus.others.into_iter().map(&mut recorded).collect(),
        });
        Ok(buses.collect())
    }

    /// The buses of a recording.
    pub(super) fn replay(&self, path: &Path, mode: Mode) -> Result<Vec<Bus>, Failure> {
        let recording = Recording::read(path).map_err(no_recording)?;
        if let Some(port) = recording
            .header
            .ports
            .iter()
            .find(|port| port.machine.is_some())
        {
            let message = format!(
                "{} was recorded at {}, which is no host: no command can be run on it",
                path.display(),
                port.name
            );
            return Err(Failure::new(Exit::Error, message)
                .advise("fwshare trace replay shows whether a bridge does the same today"));
        }
        let mut buses: Vec<(usize, Bus)> = Vec::new();
        for (index, header) in recording.header.ports.iter().enumerate() {
            let replay = Replay::new(&recording, index, mode);
            self.verdicts().push(replay.verdict());
            let port = Box::new(replay);
            match buses.last_mut() {
                Some((number, bus)) if *number == header.bus => bus.others.push(port),
                _ => {
                    let folder = (header.name != EMULATED).then(|| header.name.clone().into());
                    let others = Vec::new();
                    let bus = Bus {
                        folder,
                        port,
                        others,
                    };
                    buses.push((header.bus, bus));
                }
            }
        }
        Ok(buses.into_iter().map(|(_, bus)| bus).collect())
    }

    fn verdicts(&self) -> std::sync::MutexGuard<'_, Vec<Verdict>> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lines were replayed, once the command is over; `None` if none were to be.
    ///
    /// # Errors
    /// What came otherwise than recorded.
    pub(crate) fn verdict(&self) -> Result<Option<usize>, Failure> {
        let verdicts = self.verdicts();
        if verdicts.is_empty() {
            return Ok(None);
        }
        let mut lines = 0;
        for verdict in &*verdicts {
            lines += verdict.get().map_err(|deviation| {
                Failure::new(Exit::Error, format!("the replay deviates: {deviation}"))
            })?;
        }
        Ok(Some(lines))
    }
}

/// A recording that cannot be read.
pub(crate) fn no_recording(error: TraceError) -> Failure {
    let failure = Failure::new(Exit::Error, format!("no recording: {error}"));
    match error {
        TraceError::Schema { .. } => failure.advise("a newer fwshare has made it"),
        _ => failure,
    }
}
