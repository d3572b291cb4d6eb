//! An opener of a node's file, and what it holds.

use std::collections::{BTreeMap, VecDeque};

use ohci_raw::bus::RequestHandle;

use super::addresses::Span;
use super::devices::DeviceId;

/// Names an opener of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub(super) u64);

/// What a handle of a client stands for (`struct client_resource`). All kinds share one space of
/// numbers, in which the lowest free one is given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource {
    /// A request on its way.
    Outbound,
    /// A request that waits for the client's answer, and how long that must be.
    Inbound(Inbound),
    /// An address range.
    Range { span: Span, closure: u64 },
    /// A descriptor, by the ROM's handle.
    Descriptor(u32),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Inbound {
    Request {
        handle: RequestHandle,
        expected: usize,
    },
    /// The core has answered it: the client's answer is taken and goes nowhere.
    Fcp,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) device: DeviceId,
    /// What GET_INFO said it is written for.
    pub(super) version: u32,
    /// The closure of bus-reset events, since GET_INFO.
    pub(super) bus_resets: Option<u64>,
    pub(super) events: VecDeque<Vec<u8>>,
    resources: BTreeMap<u32, Resource>,
}

impl Client {
    pub(super) const fn new(device: DeviceId) -> Self {
        Self {
            device,
            version: 0,
            bus_resets: None,
            events: VecDeque::new(),
            resources: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, resource: Resource) -> u32 {
        let handle = (0..u32::MAX)
            .find(|handle| !self.resources.contains_key(handle))
            .unwrap_or(u32::MAX);
        self.resources.insert(handle, resource);
        handle
    }

    pub(super) fn get(&self, handle: u32) -> Option<Resource> {
        self.resources.get(&handle).copied()
    }

    pub(super) fn remove(&mut self, handle: u32) -> Option<Resource> {
        self.resources.remove(&handle)
    }

    pub(super) fn into_resources(self) -> impl Iterator<Item = Resource> {
        self.resources.into_values()
    }

    /// The closure of the address range that a request lies in.
    pub(super) fn closure_of(&self, start: u64, length: u64) -> u64 {
        let closure = self.resources.values().find_map(|resource| match resource {
            Resource::Range { span, closure } if span.encloses(start, length) => Some(*closure),
            _ => None,
        });
        closure.unwrap_or_default()
    }
}
