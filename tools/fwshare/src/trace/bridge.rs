//! Recordings of bridges.

use fwlab::bridge::{self, AssemblyError, BridgeSpec, BridgeSpecError, Storage};
use ohci_raw::trace::{Mode, Recording, replay_machine};

use crate::error::{Exit, Failure};

/// Tells new bridges what was recorded at others. How many lines that were.
pub(super) fn replay(recording: &Recording, mode: Mode) -> Result<usize, Failure> {
    let failed = |message| Failure::new(Exit::Error, message);
    let mut lines = 0;
    for (index, port) in recording.header.ports.iter().enumerate() {
        let path = recording.path.display();
        let Some(machine) = &port.machine else {
            let message = format!("{path}: hosts and bridges cannot be replayed together");
            return Err(failed(message));
        };
        let spec: BridgeSpec = machine.parse().map_err(|error: BridgeSpecError| {
            failed(format!("{path}: the bridge \"{machine}\": {error}"))
        })?;
        // A recording comes from anybody: no file that it names is opened or made.
        if matches!(spec.storage, Storage::Image(_)) || spec.record.is_some() {
            let message = format!("{path}: the bridge \"{machine}\" names a file");
            return Err(failed(message));
        }
        let (_, mut bridge) = bridge::assemble(&spec)
            .map_err(|error: AssemblyError| failed(format!("{path}: {error}")))?;
        lines += replay_machine(recording, index, mode, &mut bridge)
            .map_err(|deviation| failed(format!("the replay deviates: {deviation}")))?;
    }
    Ok(lines)
}
