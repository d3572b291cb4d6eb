//! The virtual bus in real time, shared by threads.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{AllocateError, Bus, NodeConfig, NodeIndex, RespondError, Timing};
use crate::bus::{AddressRange, Event, Instant, Machine, RequestHandle, Response, Transaction};
use crate::config_rom::{BuildError, Descriptor};
use crate::port::{DescriptorHandle, Node, Port, PortError, ResetKind, Waker};

/// A [`Bus`] in real time, for hosts that run in threads of their own. Cheap to clone.
///
/// The bus has no thread: the threads that use its ports do its work, machines included, while
/// they send, respond and wait. The clock starts when the bus is made.
#[derive(Clone)]
pub struct SharedBus(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    clock: Clock,
}

enum Clock {
    Real(std::time::Instant),
    /// In nanoseconds. Jumps to the next thing that a waiting thread waits for.
    Virtual(AtomicU64),
}

struct State {
    bus: Bus,
    sleepers: Vec<Sleeper>,
}

/// A thread inside [`SimPort::next_event`] that waits.
struct Sleeper {
    node: NodeIndex,
    /// When it wakes of itself.
    until: Option<Instant>,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Bell {
    rung: Condvar,
    /// A [`Waker`] woke, and no wait has returned for that yet.
    woken: AtomicBool,
}

impl Shared {
    fn now(&self) -> Instant {
        match &self.clock {
            Clock::Real(start) => Instant::ZERO + start.elapsed(),
            Clock::Virtual(nanos) => Instant::from_nanos(nanos.load(Ordering::Acquire)),
        }
    }

    /// A thread that panicked left the bus between two steps of its agenda at worst, so what it
    /// held is as good as ever.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Wakes every thread that has something to do which it does not know of.
    fn settle(&self) {
        let next = self.bus.poll_timeout();
        for sleeper in &self.sleepers {
            let sooner = next.is_some_and(|next| sleeper.until.is_none_or(|until| next < until));
            if sooner || self.bus.has_event(sleeper.node) {
                sleeper.bell.rung.notify_all();
            }
        }
    }
}

impl SharedBus {
    /// A bus without nodes, whose clock starts now.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self::with_clock(timing, Clock::Real(std::time::Instant::now()))
    }

    /// A bus without nodes and without real time: a thread that waits with a limit makes it that
    /// time. Meant for hosts of which one at a time has something to do.
    #[must_use]
    pub fn in_virtual_time(timing: Timing) -> Self {
        Self::with_clock(timing, Clock::Virtual(AtomicU64::new(0)))
    }

    fn with_clock(timing: Timing, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                bus: Bus::new(timing),
                sleepers: Vec::new(),
            }),
            clock,
        }))
    }

    /// The time by the clock of this bus.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.now()
    }

    /// Does something with the bus, and wakes whom it concerns. The second argument of `act` is
    /// the time.
    ///
    /// The bus is locked meanwhile: calling a port, a waker or this from inside `act` never
    /// returns.
    pub fn with<T>(&self, act: impl FnOnce(&mut Bus, Instant) -> T) -> T {
        let mut state = self.0.lock();
        let now = self.0.now();
        let result = act(&mut state.bus, now);
        state.settle();
        result
    }

    /// Attaches a host; see [`Bus::attach_host`].
    #[must_use]
    pub fn attach_host(&self, config: NodeConfig) -> SimPort {
        let node = self.with(|bus, now| bus.attach_host(config, now));
        SimPort {
            bus: self.clone(),
            node,
            bell: Arc::default(),
            plain_rom: self.with(|bus, _| bus.config(node).rom.clone()),
            descriptors: BTreeMap::new(),
            last_descriptor: 0,
        }
    }

    /// Attaches a machine; see [`Bus::attach_machine`].
    pub fn attach_machine(
        &self,
        config: NodeConfig,
        claims: Vec<AddressRange>,
        machine: Box<dyn Machine + Send>,
    ) -> NodeIndex {
        self.with(|bus, now| bus.attach_machine(config, claims, machine, now))
    }

    /// Resets the bus; see [`Bus::reset`].
    pub fn reset(&self) {
        self.with(Bus::reset);
    }

    /// How many threads wait for events.
    #[cfg(test)]
    pub(super) fn sleepers(&self) -> usize {
        self.0.lock().sleepers.len()
    }
}

/// A host's place on a [`SharedBus`]. Dropping it detaches the host.
pub struct SimPort {
    bus: SharedBus,
    node: NodeIndex,
    bell: Arc<Bell>,
    /// The host's ROM without descriptors.
    plain_rom: Vec<u32>,
    descriptors: BTreeMap<u32, Descriptor>,
    last_descriptor: u32,
}

impl SimPort {
    /// The host's index on the bus.
    #[must_use]
    pub const fn index(&self) -> NodeIndex {
        self.node
    }

    /// The bus that the host is attached to.
    #[must_use]
    pub const fn bus(&self) -> &SharedBus {
        &self.bus
    }

    fn refused(&self, what: &'static str, kind: io::ErrorKind, why: &dyn ToString) -> PortError {
        PortError::Os {
            what,
            device: self.name(),
            source: io::Error::new(kind, why.to_string()),
        }
    }

    /// Shows a ROM with these descriptors to the bus.
    fn show(&mut self, descriptors: BTreeMap<u32, Descriptor>) -> Result<(), BuildError> {
        let mut rom = self.plain_rom.clone();
        for descriptor in descriptors.values() {
            rom = descriptor.added_to(&rom)?;
        }
        self.descriptors = descriptors;
        self.bus.with(|bus, now| {
            bus.set_rom(self.node, rom);
            bus.reset_from(self.node, now);
        });
        Ok(())
    }

    fn name(&self) -> String {
        self.bus.with(|bus, _| bus.config(self.node).name.clone())
    }
}

impl Port for SimPort {
    fn now(&self) -> Instant {
        self.bus.now()
    }

    fn nodes(&mut self) -> Result<Vec<Node>, PortError> {
        let local = self.node;
        Ok(self.bus.with(|bus, _| bus.seen_from(local)))
    }

    fn send(&mut self, transaction: Transaction) -> Result<(), PortError> {
        self.bus
            .with(|bus, now| bus.send(self.node, transaction, now));
        Ok(())
    }

    fn respond(&mut self, handle: RequestHandle, response: Response) -> Result<(), PortError> {
        self.bus
            .with(|bus, now| bus.respond(self.node, handle, response, now))
            .map_err(|error| match error {
                RespondError::Length { expected, got } => {
                    PortError::ResponseLength { expected, got }
                }
                RespondError::NotOnWire(_) | RespondError::NoSuchRequest(_) => {
                    self.refused("respond", io::ErrorKind::InvalidInput, &error)
                }
            })
    }

    fn allocate(&mut self, length: u64) -> Result<AddressRange, PortError> {
        self.bus
            .with(|bus, _| bus.allocate(self.node, length))
            .map_err(|error| match error {
                AllocateError::BadLength(length) => PortError::BadLength { length },
                AllocateError::NoSpace(length) => PortError::NoSpace { length },
                AllocateError::NotAllocated(_) | AllocateError::Overlap(_) => {
                    self.refused("allocate", io::ErrorKind::InvalidInput, &error)
                }
            })
    }

    fn allocate_in(
        &mut self,
        region: AddressRange,
        length: u64,
    ) -> Result<AddressRange, PortError> {
        self.bus
            .with(|bus, _| bus.allocate_in(self.node, region, length))
            .map_err(|error| match error {
                AllocateError::BadLength(length) => PortError::BadLength { length },
                AllocateError::NoSpace(length) => PortError::Taken { region, length },
                AllocateError::NotAllocated(_) | AllocateError::Overlap(_) => {
                    self.refused("allocate", io::ErrorKind::InvalidInput, &error)
                }
            })
    }

    /// The bus is reset at once.
    fn add_descriptor(&mut self, descriptor: &Descriptor) -> Result<DescriptorHandle, PortError> {
        let handle = self.last_descriptor + 1;
        let mut descriptors = self.descriptors.clone();
        descriptors.insert(handle, descriptor.clone());
        let full = |_| PortError::RomFull {
            quadlets: descriptor.quadlets(),
        };
        self.show(descriptors).map_err(full)?;
        self.last_descriptor = handle;
        Ok(DescriptorHandle(handle))
    }

    fn remove_descriptor(&mut self, handle: DescriptorHandle) -> Result<(), PortError> {
        let mut descriptors = self.descriptors.clone();
        let removed = descriptors.remove(&handle.0);
        let what = "remove a descriptor that was not added";
        let refused = |why: &dyn ToString| self.refused(what, io::ErrorKind::InvalidInput, why);
        removed.ok_or_else(|| refused(&"no such handle"))?;
        self.show(descriptors).map_err(|error| PortError::Os {
            what: "remove a descriptor",
            device: self.name(),
            source: io::Error::other(error),
        })
    }

    fn deallocate(&mut self, range: AddressRange) -> Result<(), PortError> {
        self.bus
            .with(|bus, _| bus.deallocate(self.node, range))
            .map_err(|error| self.refused("deallocate", io::ErrorKind::InvalidInput, &error))
    }

    fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<Event>, PortError> {
        let shared = &*self.bus.0;
        let deadline = timeout.map(|timeout| shared.now() + timeout);
        let mut state = shared.lock();
        loop {
            let now = shared.now();
            if state.bus.poll_timeout().is_some_and(|due| due <= now) {
                state.bus.handle_timeout(now);
                state.settle();
            }
            if let Some(event) = state.bus.poll_event(self.node) {
                return Ok(Some(event));
            }
            let over = deadline.is_some_and(|deadline| deadline <= now);
            if self.bell.woken.swap(false, Ordering::AcqRel) || over {
                return Ok(None);
            }
            let due = state.bus.poll_timeout();
            let until = [deadline, due].into_iter().flatten().min();
            // Who waits without limit does not make time pass: others may be at work, and time
            // would run out for them.
            if let (Clock::Virtual(nanos), Some(until), Some(_)) = (&shared.clock, until, deadline)
            {
                nanos.fetch_max(until.as_nanos(), Ordering::AcqRel);
                continue;
            }
            state.sleepers.push(Sleeper {
                node: self.node,
                until,
                bell: Arc::clone(&self.bell),
            });
            let is_real = matches!(shared.clock, Clock::Real(_));
            state = match until.filter(|_| is_real) {
                Some(until) => {
                    let rung = self.bell.rung.wait_timeout(state, until - now);
                    rung.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let rung = self.bell.rung.wait(state);
                    rung.unwrap_or_else(PoisonError::into_inner)
                }
            };
            let me = self.node;
            state.sleepers.retain(|sleeper| sleeper.node != me);
        }
    }

    fn reset_bus(&mut self, _: ResetKind) -> Result<(), PortError> {
        self.bus.with(|bus, now| bus.reset_from(self.node, now));
        Ok(())
    }

    fn waker(&self) -> Waker {
        let (shared, bell) = (Arc::clone(&self.bus.0), Arc::clone(&self.bell));
        Waker::new(move || {
            // Under the lock, or it could fall between the waiter's last look and its sleep.
            let _state = shared.lock();
            bell.woken.store(true, Ordering::Release);
            bell.rung.notify_all();
        })
    }
}

impl Drop for SimPort {
    fn drop(&mut self) {
        self.bus.with(|bus, now| bus.detach(self.node, now));
    }
}

impl Bus {
    /// Every node that `local` sees, itself first, named as Linux would name them.
    fn seen_from(&self, local: NodeIndex) -> Vec<Node> {
        let Some(view) = self.nodes[local.0].view else {
            return Vec::new();
        };
        let others = self
            .by_phy
            .iter()
            .copied()
            .filter(|index| *index != local.0);
        let others = others.filter(|_| self.is_attached(local));
        core::iter::once(local.0)
            .chain(others)
            .enumerate()
            .filter_map(|(number, index)| {
                let node = &self.nodes[index];
                Some(Node {
                    name: format!("fw{number}"),
                    id: node.view?.id,
                    generation: view.generation,
                    eui64: node.config.eui64,
                    speed: node.config.speed.min(self.config(local).speed),
                    is_local: index == local.0,
                    rom: node.config.rom.clone(),
                })
            })
            .collect()
    }
}
