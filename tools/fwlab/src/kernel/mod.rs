//! Linux's FireWire core as the programs of one host see it: a model of
//! `drivers/firewire/core-cdev.c` and of what it rests on, over the virtual bus.
//!
//! [`Kernel`] does no I/O. Whoever presents it, as files or in a test, hands in what programs do
//! (open, ioctl, read, poll, close) and the time, and takes from it who has to be woken. Bytes in
//! a program's memory are reached through a [`Caller`].
//!
//! # What is modelled
//! - Node files: their numbers, how they come, go, and outlive a short absence (`devices`).
//! - ABI versions 0 to 6: each client gets the events of the version that it asks for (`event`).
//! - Address ranges: placement, exclusiveness, the core's own (`addresses`).
//! - Every rule of answers: their length is checked, and a wrong one costs the request.
//! - Bus resets of programs, two seconds apart; descriptors; the registers (`registers`).
//!
//! # What is not
//! Isochronous traffic: contexts cannot be had and resources are sought in vain, as on a
//! controller that has none left. A broadcast names the host as its destination, not everybody.
//! PHY packets go out and reach nobody. The election of a bus
//! manager: there is none until a program makes itself one. `close` does not wait for requests
//! under way. The split timeout that a program writes is kept and not obeyed.

mod addresses;
mod client;
mod devices;
mod event;
mod inbound;
mod ioctl;
mod registers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nix::errno::Errno;
use ohci_raw::bus::{Address, AddressRange, Event, Generation, Instant, NodeId, RCode, Response};
use ohci_raw::sim::{AllocateError, Bus, NodeIndex};

use self::addresses::{Addresses, FCP, REGISTERS, Span, TOPOLOGY_MAP};
pub use self::client::ClientId;
use self::client::{Client, Inbound, Resource};
use self::devices::{Device, DeviceId, Devices};
use self::event::BusState;
use self::registers::{Registers, Standing};
use crate::host::HostRom;

/// A host has one card.
const CARD: u32 = 0;
/// From a program's wish to the reset.
const RESET_DELAY: Duration = Duration::from_millis(10);
/// What the core keeps between the last reset and one of its own (IEEE 1394 8.2.1).
const RESET_DISTANCE: Duration = Duration::from_secs(2);

/// The process that is in an ioctl.
pub trait Caller {
    /// Copies from its memory.
    ///
    /// # Errors
    /// `EFAULT`.
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno>;

    /// Copies into its memory.
    ///
    /// # Errors
    /// `EFAULT`.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno>;

    /// A clock of its system: seconds and nanoseconds.
    ///
    /// # Errors
    /// `EINVAL`: no such clock.
    fn clock(&mut self, id: i32) -> Result<(i64, i32), Errno>;
}

/// What an ioctl gives back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The call's own value.
    pub value: i32,
    /// What the argument becomes; empty for ioctls that only take.
    pub argument: Vec<u8>,
}

/// What poll(2) tells of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Readiness {
    /// `POLLIN`: an event can be read.
    pub readable: bool,
    /// `POLLHUP` and `POLLERR`: the node is gone.
    pub hung_up: bool,
}

/// A request of a program, under way.
#[derive(Clone, Copy, Debug)]
struct Outbound {
    client: ClientId,
    handle: u32,
    closure: u64,
    /// How much of the response is wanted.
    length: usize,
    sent: u32,
}

/// A host's FireWire core. See the [module](self).
#[derive(Debug)]
pub struct Kernel {
    node: NodeIndex,
    id: NodeId,
    generation: Generation,
    rom: HostRom,
    registers: Registers,
    devices: Devices,
    clients: BTreeMap<ClientId, Client>,
    next_client: u64,
    addresses: Addresses<ClientId>,
    outbound: BTreeMap<u64, Outbound>,
    next_token: u64,
    last_reset: Option<Instant>,
    reset_due: Option<Instant>,
    woken: BTreeSet<ClientId>,
}

impl Kernel {
    /// The core of the host that is `node` on the bus.
    ///
    /// # Errors
    /// [`AllocateError`] where something else serves the core's own addresses already.
    pub fn new(bus: &mut Bus, node: NodeIndex) -> Result<Self, AllocateError> {
        for span in [REGISTERS, TOPOLOGY_MAP, FCP] {
            bus.claim(node, range(span)?)?;
        }
        let config = bus.config(node);
        let rom = HostRom::new(config.eui64, config.speed);
        Ok(Self {
            node,
            id: NodeId::local(0),
            generation: Generation(0),
            rom,
            registers: Registers::new(),
            devices: Devices::new(node),
            clients: BTreeMap::new(),
            next_client: 0,
            addresses: Addresses::new(),
            outbound: BTreeMap::new(),
            next_token: 0,
            last_reset: None,
            reset_due: None,
            woken: BTreeSet::new(),
        })
    }

    /// The numbers of the node files that there are.
    #[must_use]
    pub fn files(&self) -> Vec<u32> {
        self.devices.numbers()
    }

    /// Opens a node's file.
    ///
    /// # Errors
    /// `ENODEV`: there is none with this number.
    pub fn open(&mut self, number: u32) -> Result<ClientId, Errno> {
        let device = self.devices.by_number(number).ok_or(Errno::ENODEV)?;
        let id = ClientId(self.next_client);
        self.next_client += 1;
        self.clients.insert(id, Client::new(device));
        Ok(id)
    }

    /// Closes an opener's file: its address ranges and descriptors go, and what it has not
    /// answered is answered with [`RCode::CONFLICT_ERROR`].
    pub fn close(&mut self, bus: &mut Bus, id: ClientId, now: Instant) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        self.woken.remove(&id);
        self.outbound.retain(|_, outbound| outbound.client != id);
        for resource in client.into_resources() {
            self.release(bus, id, resource, now);
        }
        self.run(bus, None, now);
    }

    fn release(&mut self, bus: &mut Bus, owner: ClientId, resource: Resource, now: Instant) {
        match resource {
            Resource::Outbound | Resource::Inbound(Inbound::Fcp) => {}
            Resource::Inbound(Inbound::Request { handle, .. }) => {
                self.respond(bus, handle, Response::error(RCode::CONFLICT_ERROR), now);
            }
            Resource::Range { span, .. } => self.withdraw(bus, owner, span),
            Resource::Descriptor(descriptor) => {
                if self.rom.remove(descriptor) {
                    self.publish_rom(bus, now);
                }
            }
        }
    }

    fn withdraw(&mut self, bus: &mut Bus, owner: ClientId, span: Span) {
        self.addresses.remove(owner, span);
        // FCP stays the core's.
        if !FCP.encloses(span.start, span.length)
            && let Ok(range) = range(span)
        {
            let withdrawn = bus.deallocate(self.node, range);
            debug_assert_eq!(withdrawn, Ok(()));
        }
    }

    fn publish_rom(&mut self, bus: &mut Bus, now: Instant) {
        bus.set_rom(self.node, self.rom.quadlets());
        self.schedule_reset(now);
    }

    fn schedule_reset(&mut self, now: Instant) {
        self.reset_due.get_or_insert(now + RESET_DELAY);
    }

    /// The next event of an opener, as read(2) gives it. `None`: none yet.
    ///
    /// # Errors
    /// `ENODEV`: the node is gone, and what was queued has been read.
    pub fn read(&mut self, id: ClientId) -> Result<Option<Vec<u8>>, Errno> {
        let client = self.clients.get_mut(&id).ok_or(Errno::ENODEV)?;
        match client.events.pop_front() {
            Some(event) => Ok(Some(event)),
            None if self.devices.get(client.device).is_none() => Err(Errno::ENODEV),
            None => Ok(None),
        }
    }

    /// What poll(2) tells an opener.
    #[must_use]
    pub fn poll(&self, id: ClientId) -> Readiness {
        let client = self.clients.get(&id);
        Readiness {
            readable: client.is_some_and(|client| !client.events.is_empty()),
            hung_up: client.is_none_or(|client| self.devices.get(client.device).is_none()),
        }
    }

    /// The openers for whom something is new since the last call.
    pub fn take_woken(&mut self) -> impl Iterator<Item = ClientId> + use<> {
        std::mem::take(&mut self.woken).into_iter()
    }

    /// Takes in what the bus tells. To be called after everything that is done on the bus;
    /// `initiator` is who has reset it, where that is known.
    pub fn run(&mut self, bus: &mut Bus, initiator: Option<NodeIndex>, now: Instant) {
        while let Some(event) = bus.poll_event(self.node) {
            match event {
                Event::BusReset(reset) => {
                    self.id = reset.local;
                    self.generation = reset.generation;
                    self.bus_reset(bus, initiator, now);
                }
                Event::Response { token, rcode, data } => self.ended(token.0, rcode, &data, now),
                Event::Request(request) => self.request(bus, request, now),
            }
        }
    }

    fn bus_reset(&mut self, bus: &Bus, initiator: Option<NodeIndex>, now: Instant) {
        self.last_reset = Some(now);
        self.registers.bus_reset();
        let told = self.devices.bus_reset(bus, self.generation, initiator, now);
        self.tell_reset(bus, &told);
    }

    /// Makes the nodes that are known by now appear, as if the host had been on for a while.
    pub fn settle(&mut self, bus: &mut Bus, now: Instant) {
        self.run(bus, None, now);
        while let Some(at) = self.devices.poll_timeout() {
            self.look(bus, at);
        }
    }

    fn look(&mut self, bus: &Bus, now: Instant) {
        let (told, lost) = self.devices.handle_timeout(bus, now);
        self.tell_reset(bus, &told);
        let clients = self.clients.iter();
        let hung_up = clients.filter(|(_, client)| lost.contains(&client.device));
        self.woken.extend(hung_up.map(|(id, _)| *id));
    }

    fn tell_reset(&mut self, bus: &Bus, devices: &[DeviceId]) {
        for (id, client) in &mut self.clients {
            let Some(closure) = client
                .bus_resets
                .filter(|_| devices.contains(&client.device))
            else {
                continue;
            };
            let Some(device) = self.devices.get(client.device) else {
                continue;
            };
            let state = bus_state(bus, self.node, self.id, &self.registers, device);
            client
                .events
                .push_back(event::bus_reset_event(closure, state));
            self.woken.insert(*id);
        }
    }

    fn standing(&self, bus: &Bus) -> Standing {
        Standing {
            id: self.id,
            generation: self.generation.0,
            nodes: node_count(bus, self.node),
            speed: bus.config(self.node).speed,
        }
    }

    fn tell(&mut self, id: ClientId, event: Vec<u8>) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.events.push_back(event);
            self.woken.insert(id);
        }
    }

    /// When [`Self::handle_timeout`] is to be called, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.reset_due
            .into_iter()
            .chain(self.devices.poll_timeout())
            .min()
    }

    /// Does what is due. Whether the host has reset the bus: the others are to be told who it
    /// was.
    pub fn handle_timeout(&mut self, bus: &mut Bus, now: Instant) -> bool {
        self.look(bus, now);
        if self.reset_due.is_none_or(|due| due > now) {
            return false;
        }
        let too_early = |last: &Instant| *last + RESET_DISTANCE > now;
        if self.last_reset.as_ref().is_some_and(too_early) {
            self.reset_due = Some(now + RESET_DISTANCE);
            return false;
        }
        self.reset_due = None;
        bus.reset_from(self.node, now);
        true
    }
}

/// Who is who on the bus, as the file of `device` tells it.
fn bus_state(
    bus: &Bus,
    host: NodeIndex,
    local: NodeId,
    registers: &Registers,
    device: &Device,
) -> BusState {
    BusState {
        node: device.id,
        local,
        manager: registers.manager(),
        root: NodeId::local(node_count(bus, host).saturating_sub(1)),
        generation: device.generation,
    }
}

fn range(span: Span) -> Result<AddressRange, AllocateError> {
    AddressRange::new(Address::new(span.start), span.length)
        .map_err(|_| AllocateError::BadLength(span.length))
}

/// How many nodes the bus has that the host sees.
fn node_count(bus: &Bus, host: NodeIndex) -> u8 {
    if !bus.is_attached(host) {
        return 1;
    }
    let nodes = bus
        .nodes()
        .filter(|node| bus.id_of(*node).is_some())
        .count();
    u8::try_from(nodes).unwrap_or(u8::MAX)
}
