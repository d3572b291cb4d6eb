//! The nodes that a host knows, and when their files come and go (`core-device.c`).
//!
//! A node is first looked at half a second after the reset that it appeared with, and then has a
//! file. One that leaves keeps its file for two seconds after the last reset; if a node with the
//! same first six quadlets of ROM appears in that time, it takes the file over.

use std::collections::BTreeMap;
use std::time::Duration;

use ohci_raw::bus::{Generation, Instant, NodeId, Speed};
use ohci_raw::sim::{Bus, NodeIndex};

/// From the reset to the first look at a node.
const INITIAL_DELAY: Duration = Duration::from_millis(500);
/// How long a node's file outlives it, from the last reset on.
const SHUTDOWN_DELAY: Duration = Duration::from_secs(2);
/// By how many quadlets of ROM a node is known again.
const SAME_ROM: usize = 6;

/// Names a node of a host for as long as it has its file, and never another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct DeviceId(u64);

/// A node with a file.
#[derive(Clone, Debug)]
pub(super) struct Device {
    /// The number in the file's name.
    pub(super) number: u32,
    pub(super) is_local: bool,
    pub(super) id: NodeId,
    pub(super) generation: Generation,
    pub(super) rom: Vec<u32>,
    pub(super) max_speed: Speed,
    node: NodeIndex,
    gone: bool,
    /// When it is looked at anew, and its clients are told of the reset.
    refresh: Option<Instant>,
}

/// A node that has no file yet.
#[derive(Clone, Copy, Debug)]
struct Newcomer {
    node: NodeIndex,
    look: Instant,
}

#[derive(Debug)]
pub(super) struct Devices {
    host: NodeIndex,
    devices: BTreeMap<DeviceId, Device>,
    newcomers: Vec<Newcomer>,
    next: u64,
    last_reset: Instant,
    generation: Generation,
}

impl Devices {
    pub(super) const fn new(host: NodeIndex) -> Self {
        Self {
            host,
            devices: BTreeMap::new(),
            newcomers: Vec::new(),
            next: 0,
            last_reset: Instant::ZERO,
            generation: Generation(0),
        }
    }

    pub(super) fn get(&self, id: DeviceId) -> Option<&Device> {
        self.devices.get(&id)
    }

    pub(super) fn by_number(&self, number: u32) -> Option<DeviceId> {
        let mut devices = self.devices.iter();
        devices
            .find(|(_, device)| device.number == number)
            .map(|(id, _)| *id)
    }

    /// The numbers in the files' names.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<_> = self.devices.values().map(|device| device.number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Takes in who is on the bus now. Gives the nodes whose clients are told at once.
    ///
    /// The node that has initiated the reset is looked at anew before its clients are told, and
    /// so is one whose ROM has changed. Node ids and generations are new at once for all.
    pub(super) fn bus_reset(
        &mut self,
        bus: &Bus,
        generation: Generation,
        initiator: Option<NodeIndex>,
        now: Instant,
    ) -> Vec<DeviceId> {
        self.last_reset = now;
        self.generation = generation;
        let present = present(bus, self.host);
        let mut told = Vec::new();
        for (id, device) in &mut self.devices {
            if device.gone {
                continue;
            }
            let Some((_, node_id)) = present.iter().find(|(node, _)| *node == device.node) else {
                device.gone = true;
                device.refresh = None;
                continue;
            };
            device.id = *node_id;
            device.generation = generation;
            let config = bus.config(device.node);
            let look = initiator == Some(device.node) || config.rom != device.rom;
            if look && !device.is_local {
                device.refresh = Some(now + INITIAL_DELAY);
            } else {
                device.rom.clone_from(&config.rom);
                told.push(*id);
            }
        }
        self.newcomers
            .retain(|newcomer| present.iter().any(|(node, _)| *node == newcomer.node));
        for (node, _) in present {
            let known = self
                .devices
                .values()
                .any(|one| one.node == node && !one.gone)
                || self.newcomers.iter().any(|newcomer| newcomer.node == node);
            if !known {
                let look = now + INITIAL_DELAY;
                self.newcomers.push(Newcomer { node, look });
            }
        }
        told
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let looks = self.newcomers.iter().map(|newcomer| newcomer.look);
        let refreshes = self.devices.values().filter_map(|device| device.refresh);
        let any_gone = self.devices.values().any(|device| device.gone);
        let shutdown = any_gone.then(|| self.last_reset + SHUTDOWN_DELAY);
        looks.chain(refreshes).chain(shutdown).min()
    }

    /// Does what is due. Gives the nodes whose clients are told of the reset now, and those whose
    /// files are gone for good.
    pub(super) fn handle_timeout(
        &mut self,
        bus: &Bus,
        now: Instant,
    ) -> (Vec<DeviceId>, Vec<DeviceId>) {
        let mut told = Vec::new();
        for (id, device) in &mut self.devices {
            if device.refresh.is_some_and(|at| at <= now) {
                device.refresh = None;
                device.rom.clone_from(&bus.config(device.node).rom);
                told.push(*id);
            }
        }
        told.extend(self.look_at_newcomers(bus, now));
        let mut lost = Vec::new();
        if self.last_reset + SHUTDOWN_DELAY <= now {
            lost = self
                .devices
                .iter()
                .filter(|(_, one)| one.gone)
                .map(|(id, _)| *id)
                .collect();
            self.devices.retain(|_, device| !device.gone);
        }
        (told, lost)
    }

    /// Gives the nodes that were known before.
    fn look_at_newcomers(&mut self, bus: &Bus, now: Instant) -> Vec<DeviceId> {
        let (due, later) = self
            .newcomers
            .iter()
            .partition(|newcomer| newcomer.look <= now);
        self.newcomers = later;
        let present = present(bus, self.host);
        let mut known = Vec::new();
        for Newcomer { node, .. } in due {
            let Some((_, id)) = present.iter().find(|(one, _)| *one == node) else {
                continue;
            };
            let config = bus.config(node);
            let same = |device: &Device| {
                device.gone && !device.is_local && head(&device.rom) == head(&config.rom)
            };
            let before = self.devices.iter_mut().find(|(_, device)| same(device));
            if let Some((before, device)) = before {
                device.gone = false;
                device.node = node;
                device.id = *id;
                device.generation = self.generation;
                device.rom.clone_from(&config.rom);
                known.push(*before);
                continue;
            }
            let taken = self.numbers();
            let device = Device {
                number: (0..)
                    .find(|number| !taken.contains(number))
                    .unwrap_or(u32::MAX),
                is_local: node == self.host,
                id: *id,
                generation: self.generation,
                rom: config.rom.clone(),
                max_speed: config.speed.min(bus.config(self.host).speed),
                node,
                gone: false,
                refresh: None,
            };
            self.devices.insert(DeviceId(self.next), device);
            self.next += 1;
        }
        known
    }
}

fn head(rom: &[u32]) -> &[u32] {
    rom.get(..SAME_ROM).unwrap_or(rom)
}

/// The nodes that a host can see and their ids, the host itself first.
fn present(bus: &Bus, host: NodeIndex) -> Vec<(NodeIndex, NodeId)> {
    if !bus.is_attached(host) {
        return vec![(host, NodeId::local(0))];
    }
    let others = bus.nodes().filter(|node| *node != host);
    std::iter::once(host)
        .chain(others)
        .filter_map(|node| Some((node, bus.id_of(node)?)))
        .collect()
}
