//! A node file without a kernel.

use std::collections::VecDeque;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use nix::errno::Errno;

use crate::bus::{Address, AddressRange, Eui64, Generation, NodeId, Operation, RCode, Speed};
use crate::cdev::device::{Allocation, NodeFile, NodeInfo, OutgoingRequest};
use crate::cdev::discovery::FoundNode;
use crate::cdev::error::DeviceError;
use crate::cdev::event::{BusState, CdevEvent, EventError};
use crate::config_rom::Descriptor;
use crate::port::ResetKind;

pub(super) const CARD: u32 = 1;
pub(super) const HOST: NodeId = NodeId(0xffc1);

/// What the test sees and sets of a file.
pub(super) struct State {
    pub(super) info: NodeInfo,
    pub(super) sent: Vec<(u64, Generation, Address, Operation)>,
    pub(super) responses: Vec<(u32, RCode, Vec<u8>)>,
    pub(super) regions: Vec<AddressRange>,
    /// How many ALLOCATEs find no room.
    pub(super) full: usize,
    pub(super) freed: Vec<u32>,
    pub(super) descriptors: Vec<Descriptor>,
    /// ADD_DESCRIPTOR finds no room.
    pub(super) rom_full: bool,
    pub(super) resets: Vec<ResetKind>,
    events: VecDeque<Result<CdevEvent, EventError>>,
    gone: bool,
    /// One byte in the pipe for each event makes the file readable; no writer hangs it up.
    ready: Option<PipeWriter>,
}

/// The test's end of a file.
#[derive(Clone)]
pub(super) struct Remote(Arc<Mutex<State>>);

impl Remote {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Lets the kernel have seen a bus reset, without a notice of it.
    pub(super) fn now_at(&self, node: NodeId, generation: u32) {
        self.state().info.state = state(node, generation);
    }

    pub(super) fn post(&self, event: CdevEvent) {
        self.push(Ok(event));
    }

    pub(super) fn post_garbage(&self) {
        self.push(Err(EventError::Length { length: u32::MAX }));
    }

    /// Posts the notice of a bus reset. What it says is what GET_INFO says.
    pub(super) fn post_bus_reset(&self) {
        let state = self.state().info.state;
        self.post(CdevEvent::BusReset(state));
    }

    /// Posts the end of the latest request that was sent.
    pub(super) fn post_response(&self, rcode: RCode, data: &[u8]) {
        let closure = self.state().sent.last().unwrap().0;
        let data = data.to_vec();
        self.post(CdevEvent::Response {
            closure,
            rcode,
            data,
        });
    }

    /// Hangs up, and leaves every ioctl working.
    pub(super) fn hang_up(&self) {
        self.state().ready = None;
    }

    pub(super) fn vanish(&self) {
        let mut state = self.state();
        state.gone = true;
        state.ready = None;
    }

    fn push(&self, event: Result<CdevEvent, EventError>) {
        let mut state = self.state();
        state.events.push_back(event);
        state.ready.as_mut().unwrap().write_all(&[0]).unwrap();
    }
}

pub(super) struct FakeNode {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    ready: PipeReader,
}

fn state(node: NodeId, generation: u32) -> BusState {
    BusState {
        node,
        local: HOST,
        generation: Generation(generation),
    }
}

/// A node in generation 1. Its EUI-64 ends in the number of its file.
pub(super) fn node(number: u8, id: NodeId) -> (FoundNode<FakeNode>, Remote) {
    let (reader, writer) = std::io::pipe().unwrap();
    let info = NodeInfo {
        version: 6,
        card: CARD,
        state: state(id, 1),
        rom: vec![0x0404_0000, 0x3133_3934, 0, 0x0010_1003, u32::from(number)],
    };
    let remote = Remote(Arc::new(Mutex::new(State {
        info: info.clone(),
        sent: Vec::new(),
        responses: Vec::new(),
        regions: Vec::new(),
        full: 0,
        freed: Vec::new(),
        descriptors: Vec::new(),
        rom_full: false,
        resets: Vec::new(),
        events: VecDeque::new(),
        gone: false,
        ready: Some(writer),
    })));
    let file = FakeNode {
        path: PathBuf::from(format!("/fake/fw{number}")),
        state: Arc::clone(&remote.0),
        ready: reader,
    };
    (FoundNode { file, info }, remote)
}

pub(super) fn eui64(number: u8) -> Eui64 {
    Eui64(0x0010_1003_0000_0000 + u64::from(number))
}

impl FakeNode {
    /// The state, unless the node is gone.
    fn alive(&self, operation: &'static str) -> Result<MutexGuard<'_, State>, DeviceError> {
        let state = self.state.lock().unwrap();
        if state.gone {
            return Err(DeviceError::os(&self.path, operation, Errno::ENODEV));
        }
        Ok(state)
    }
}

impl AsFd for FakeNode {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

impl NodeFile for FakeNode {
    fn path(&self) -> &Path {
        &self.path
    }

    fn info(&self) -> Result<NodeInfo, DeviceError> {
        Ok(self.alive("GET_INFO")?.info.clone())
    }

    fn speed(&self) -> Result<Speed, DeviceError> {
        self.alive("GET_SPEED").map(|_| Speed::S400)
    }

    fn send_request(&self, request: OutgoingRequest<'_>) -> Result<(), DeviceError> {
        self.alive("SEND_REQUEST")?.sent.push((
            request.closure,
            request.generation,
            request.address,
            request.operation.clone(),
        ));
        Ok(())
    }

    fn send_response(&self, handle: u32, rcode: RCode, data: &[u8]) -> Result<(), DeviceError> {
        let mut state = self.alive("SEND_RESPONSE")?;
        state.responses.push((handle, rcode, data.to_vec()));
        Ok(())
    }

    fn allocate(
        &self,
        region: AddressRange,
        length: u32,
        closure: u64,
    ) -> Result<Allocation, DeviceError> {
        let mut state = self.alive("ALLOCATE")?;
        state.regions.push(region);
        if state.full > 0 {
            state.full -= 1;
            return Err(DeviceError::os(&self.path, "ALLOCATE", Errno::EBUSY));
        }
        let range = AddressRange::new(region.start(), u64::from(length)).unwrap();
        let handle = u32::try_from(closure).unwrap() + 100;
        Ok(Allocation { range, handle })
    }

    fn deallocate(&self, handle: u32) -> Result<(), DeviceError> {
        self.alive("DEALLOCATE")?.freed.push(handle);
        Ok(())
    }

    fn add_descriptor(&self, descriptor: &Descriptor) -> Result<u32, DeviceError> {
        let mut state = self.alive("ADD_DESCRIPTOR")?;
        if state.rom_full {
            return Err(DeviceError::os(&self.path, "ADD_DESCRIPTOR", Errno::EBUSY));
        }
        state.descriptors.push(descriptor.clone());
        Ok(u32::try_from(state.descriptors.len()).unwrap())
    }

    fn remove_descriptor(&self, handle: u32) -> Result<(), DeviceError> {
        let mut state = self.alive("REMOVE_DESCRIPTOR")?;
        let index = usize::try_from(handle).unwrap() - 1;
        state.descriptors.remove(index);
        Ok(())
    }

    fn reset(&self, kind: ResetKind) -> Result<(), DeviceError> {
        self.alive("INITIATE_BUS_RESET")?.resets.push(kind);
        Ok(())
    }

    fn read_event(&self, _buffer: &mut [u8]) -> Result<Option<CdevEvent>, DeviceError> {
        let mut state = self.state.lock().unwrap();
        match state.events.pop_front() {
            Some(event) => {
                (&self.ready).read_exact(&mut [0]).unwrap();
                event.map(Some).map_err(|source| DeviceError::Event {
                    path: self.path.clone(),
                    source,
                })
            }
            None if state.gone => Err(DeviceError::os(&self.path, "read", Errno::ENODEV)),
            None => Ok(None),
        }
    }
}
