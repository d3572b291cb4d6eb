//! A bridge that is recorded.

use ohci_raw::bus::Machine;
use ohci_raw::sim::NodeConfig;
use ohci_raw::trace::{Header, MachineRecorder, PortHeader, SCHEMA, Tape};
use sbp2::scsi::DeviceServer;
use sbp2::target::Bridge;

use super::{AssemblyError, BridgeSpec, Storage};

/// Starts the recording of the bridge that was assembled to `spec` and is attached as `config`
/// says, if there is to be one.
///
/// It names a bridge with a disk in memory: what an image held before is not in a recording.
///
/// # Errors
/// [`AssemblyError::Record`].
pub fn tape(
    spec: &BridgeSpec,
    config: &NodeConfig,
    bridge: &Bridge,
) -> Result<Option<Tape>, AssemblyError> {
    let Some(path) = &spec.record else {
        return Ok(None);
    };
    let medium = bridge.device(0).map(DeviceServer::medium);
    let size = medium.map(|medium| medium.blocks() * u64::from(medium.block_length()));
    let anew = BridgeSpec {
        storage: Storage::Memory(size.unwrap_or_default()),
        guid: Some(config.eui64),
        record: None,
        ..spec.clone()
    };
    let port = PortHeader {
        bus: 0,
        name: config.name.clone(),
        machine: Some(anew.to_string()),
    };
    let header = Header {
        schema: SCHEMA,
        tool: concat!("fwlab ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: Vec::new(),
        ports: vec![port],
        scrubbed: false,
    };
    let tape = Tape::start(path, &header).map_err(|error| AssemblyError::Record {
        path: path.clone(),
        error,
    })?;
    Ok(Some(tape))
}

/// Puts a recorder before a machine, if there is a tape for it.
#[must_use]
pub fn recorded(machine: Box<dyn Machine + Send>, tape: Option<Tape>) -> Box<dyn Machine + Send> {
    match tape {
        Some(tape) => Box::new(MachineRecorder::new(machine, tape, 0)),
        None => machine,
    }
}
