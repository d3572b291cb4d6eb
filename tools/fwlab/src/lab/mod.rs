//! A bus with hosts and bridges on it, and somebody who meddles with it.
//!
//! [`Lab`] does no I/O but that of the disks' images, and has no clock: whoever runs it hands in
//! the time. Programs reach it through the hosts' [`Kernel`]s, the meddler through
//! [`Lab::execute`].

pub mod command;
mod machine;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use nix::errno::Errno;
use ohci_raw::bus::{Eui64, Instant, Speed};
use ohci_raw::sim::{AllocateError, Bus, NodeIndex, Timing, Topology};
use sbp2::target::Bridge;

use self::command::{
    Answer, BridgeCounters, BusCounters, Command, NodeReport, PacketRule, Report, SCHEMA,
};
pub use self::machine::{Corruptor, Shared};
pub use self::rules::{Direction, Fate, Kind};
use self::rules::{Rule, Rules};
use crate::bridge::{self, AssemblyError, BridgeSpec};
use crate::controller::{Controller, Memory};
use crate::host;
use crate::kernel::{Caller, ClientId, Kernel, Readiness, Reply};

/// The most nodes of a bus.
pub const MAX_NODES: usize = 63;

/// Why there is no bus.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A bridge cannot be made.
    #[error("bridge{number}: {error}")]
    Bridge {
        /// Which one, from 0 on.
        number: usize,
        /// What is wrong with it.
        error: AssemblyError,
    },
    /// A bus has ids for 63 nodes.
    #[error("{hosts} hosts and {bridges} bridges: a bus has room for {MAX_NODES} nodes")]
    TooMany {
        /// How many hosts.
        hosts: usize,
        /// How many bridges.
        bridges: usize,
    },
    /// Two bridges were given the same EUI-64.
    #[error("bridge{0} has the EUI-64 of another bridge")]
    SameGuid(usize),
    /// The model of a host cannot be set up on the bus.
    #[error("host{number}: {error}")]
    Host {
        /// Which one, from 0 on.
        number: usize,
        /// What is in the way.
        error: AllocateError,
    },
}

struct OnBus {
    node: NodeIndex,
    profile: &'static str,
    machine: Shared<Corruptor<Bridge>>,
}

/// A place for a controller: a virtual machine may be behind it, or not at the moment.
struct Seat {
    node: NodeIndex,
    controller: Option<Controller>,
}

/// A bus, the hosts, the bridges, and the controllers on it.
pub struct Lab {
    bus: Bus,
    hosts: Vec<Kernel>,
    nodes: Vec<NodeIndex>,
    bridges: Vec<OnBus>,
    seats: Vec<Seat>,
    rules: Rules,
}

impl Lab {
    /// A bus that has been up for a while: every node has its file.
    ///
    /// A second bridge of a kind gets an EUI-64 of its own, unless its own is named.
    ///
    /// # Errors
    /// [`LabError`].
    pub fn new(hosts: usize, bridges: &[BridgeSpec]) -> Result<Self, LabError> {
        if hosts + bridges.len() > MAX_NODES {
            let bridges = bridges.len();
            return Err(LabError::TooMany { hosts, bridges });
        }
        let now = Instant::ZERO;
        let rules = Rules::default();
        let mut bus = Bus::new(Timing::Immediate);
        bus.set_fault(Some(Box::new(rules.clone())));
        let mut lab = Self {
            bus,
            hosts: Vec::new(),
            nodes: Vec::new(),
            bridges: Vec::new(),
            seats: Vec::new(),
            rules,
        };
        let mut guids = BTreeSet::new();
        for (number, spec) in bridges.iter().enumerate() {
            lab.add_bridge(number, spec, &mut guids)?;
        }
        for number in 0..hosts {
            let node = lab.bus.attach_host(host::config(number, Speed::S800), now);
            let kernel = Kernel::new(&mut lab.bus, node)
                .map_err(|error| LabError::Host { number, error })?;
            lab.hosts.push(kernel);
            lab.nodes.push(node);
        }
        for host in &mut lab.hosts {
            host.settle(&mut lab.bus, now);
        }
        Ok(lab)
    }

    fn add_bridge(
        &mut self,
        number: usize,
        spec: &BridgeSpec,
        guids: &mut BTreeSet<u64>,
    ) -> Result<(), LabError> {
        let assemble = |spec: &BridgeSpec| {
            bridge::assemble(spec).map_err(|error| LabError::Bridge { number, error })
        };
        let (mut config, mut bridge) = assemble(spec)?;
        if guids.contains(&config.eui64.0) {
            if spec.guid.is_some() {
                return Err(LabError::SameGuid(number));
            }
            let next = (config.eui64.0 + 1..).find(|guid| !guids.contains(guid));
            let guid = next.map(Eui64);
            // Its image is locked by the first one.
            drop(bridge);
            (config, bridge) = assemble(&BridgeSpec {
                guid,
                ..spec.clone()
            })?;
        }
        guids.insert(config.eui64.0);
        let profile = bridge.profile().name;
        let claims = bridge.claims();
        config.name = format!("bridge{number}");
        let tape = bridge::tape(spec, &config, &bridge)
            .map_err(|error| LabError::Bridge { number, error })?;
        let machine = Shared::new(Corruptor::new(bridge));
        let boxed = bridge::recorded(Box::new(machine.clone()), tape);
        let node = self
            .bus
            .attach_machine(config, claims, boxed, Instant::ZERO);
        self.bridges.push(OnBus {
            node,
            profile,
            machine,
        });
        Ok(())
    }

    /// Cables the nodes in another way than in a chain, by a reset.
    pub fn set_topology(&mut self, topology: Topology, now: Instant) {
        self.bus.set_topology(topology);
        self.bus.reset(now);
        self.run(None, now);
    }

    /// Makes a place for a controller, whose number is given back; they count from 0 on. Nobody
    /// is on the bus for it until somebody is seated there and has switched its link on.
    ///
    /// # Errors
    /// [`LabError::TooMany`].
    pub fn add_seat(&mut self, now: Instant) -> Result<usize, LabError> {
        let number = self.seats.len();
        let (hosts, bridges) = (self.hosts.len() + number + 1, self.bridges.len());
        if hosts + bridges > MAX_NODES {
            return Err(LabError::TooMany { hosts, bridges });
        }
        let config = host::controller(number, Speed::S400);
        let node = self.bus.add_controller(config, now);
        self.seats.push(Seat {
            node,
            controller: None,
        });
        Ok(number)
    }

    /// A virtual machine with this memory has come; what was there before is gone.
    pub fn seat(&mut self, seat: usize, memory: Arc<dyn Memory>, now: Instant) {
        self.unseat(seat, now);
        if let Some(at) = self.seats.get_mut(seat) {
            at.controller = Some(Controller::new(&self.bus, at.node, memory));
        }
    }

    /// The virtual machine is gone, as if its plug had been pulled.
    pub fn unseat(&mut self, seat: usize, now: Instant) {
        if let Some(at) = self.seats.get_mut(seat)
            && let Some(mut controller) = at.controller.take()
        {
            controller.power_off(&mut self.bus, now);
        }
        self.run(None, now);
    }

    /// The controller is reset by its machine.
    pub fn reset_controller(&mut self, seat: usize, now: Instant) {
        if let Some(controller) = self.controller(seat) {
            let (controller, bus) = controller;
            controller.power_off(bus, now);
        }
        self.run(None, now);
    }

    fn controller(&mut self, seat: usize) -> Option<(&mut Controller, &mut Bus)> {
        let controller = self.seats.get_mut(seat)?.controller.as_mut()?;
        Some((controller, &mut self.bus))
    }

    /// [`Controller::read`]; all ones where there is none.
    pub fn read_register(&mut self, seat: usize, offset: u32, now: Instant) -> u32 {
        let value = self.controller(seat).map_or(u32::MAX, |(controller, bus)| {
            controller.read(offset, bus, now)
        });
        self.run(None, now);
        value
    }

    /// [`Controller::write`].
    pub fn write_register(&mut self, seat: usize, offset: u32, value: u32, now: Instant) {
        // What is due comes before what happens now.
        self.bus.handle_timeout(now);
        self.run(None, now);
        if let Some((controller, bus)) = self.controller(seat) {
            controller.write(offset, value, bus, now);
        }
        self.run(None, now);
    }

    /// [`Controller::pending`]; none where there is no controller.
    #[must_use]
    pub fn pending_interrupts(&self, seat: usize) -> u32 {
        let seat = self.seats.get(seat);
        let controller = seat.and_then(|seat| seat.controller.as_ref());
        controller.map_or(0, Controller::pending)
    }

    /// How many hosts there are.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// The numbers of a host's node files.
    #[must_use]
    pub fn files(&self, host: usize) -> Vec<u32> {
        self.hosts.get(host).map(Kernel::files).unwrap_or_default()
    }

    /// [`Kernel::open`] on a host.
    ///
    /// # Errors
    /// `ENODEV`.
    pub fn open(&mut self, host: usize, number: u32) -> Result<ClientId, Errno> {
        self.hosts.get_mut(host).ok_or(Errno::ENODEV)?.open(number)
    }

    /// [`Kernel::close`] on a host.
    pub fn close(&mut self, host: usize, client: ClientId, now: Instant) {
        if let Some(kernel) = self.hosts.get_mut(host) {
            kernel.close(&mut self.bus, client, now);
        }
        self.run(None, now);
    }

    /// [`Kernel::ioctl`] on a host.
    ///
    /// # Errors
    /// As there.
    pub fn ioctl(
        &mut self,
        (host, client): (usize, ClientId),
        command: u32,
        argument: &[u8],
        caller: &mut dyn Caller,
        now: Instant,
    ) -> Result<Reply, Errno> {
        let kernel = self.hosts.get_mut(host).ok_or(Errno::ENODEV)?;
        let reply = kernel.ioctl(&mut self.bus, client, command, argument, caller, now);
        self.run(None, now);
        reply
    }

    /// [`Kernel::read`] on a host.
    ///
    /// # Errors
    /// `ENODEV`.
    pub fn read(&mut self, host: usize, client: ClientId) -> Result<Option<Vec<u8>>, Errno> {
        self.hosts.get_mut(host).ok_or(Errno::ENODEV)?.read(client)
    }

    /// [`Kernel::poll`] on a host.
    #[must_use]
    pub fn poll(&self, host: usize, client: ClientId) -> Readiness {
        let kernel = self.hosts.get(host);
        kernel.map_or(
            Readiness {
                readable: false,
                hung_up: true,
            },
            |kernel| kernel.poll(client),
        )
    }

    /// The openers for whom something is new since the last call, by host.
    pub fn take_woken(&mut self) -> Vec<(usize, ClientId)> {
        let hosts = self.hosts.iter_mut().enumerate();
        hosts
            .flat_map(|(host, kernel)| kernel.take_woken().map(move |client| (host, client)))
            .collect()
    }

    /// When [`Self::handle_timeout`] is to be called, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let hosts = self.hosts.iter().filter_map(Kernel::poll_timeout);
        let seats = self
            .seats
            .iter()
            .filter_map(|seat| seat.controller.as_ref());
        let controllers = seats.filter_map(Controller::poll_timeout);
        hosts
            .chain(controllers)
            .chain(self.bus.poll_timeout())
            .min()
    }

    /// Does everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.bus.handle_timeout(now);
        self.run(None, now);
        for seat in &mut self.seats {
            if let Some(controller) = &mut seat.controller {
                controller.handle_timeout(&mut self.bus, now);
            }
        }
        for at in 0..self.hosts.len() {
            if self.hosts[at].handle_timeout(&mut self.bus, now) {
                self.run(Some(self.nodes[at]), now);
            }
        }
        self.run(None, now);
    }

    /// Until nobody has anything to hear.
    fn run(&mut self, initiator: Option<NodeIndex>, now: Instant) {
        let seats = self.seats.iter().map(|seat| seat.node);
        let nodes: Vec<_> = self.nodes.iter().copied().chain(seats).collect();
        while nodes.iter().any(|node| self.bus.has_event(*node)) {
            for host in &mut self.hosts {
                host.run(&mut self.bus, initiator, now);
            }
            for seat in &mut self.seats {
                match &mut seat.controller {
                    Some(controller) => controller.run(&mut self.bus, now),
                    // A cable was pulled that led nowhere.
                    None => self.bus.forget_events(seat.node),
                }
            }
        }
    }

    /// Does what the meddler wants.
    pub fn execute(&mut self, command: &Command, now: Instant) -> Answer {
        // What is older comes first.
        self.handle_timeout(now);
        let answer = match self.carry_out(command, now) {
            Ok(answer) => answer,
            Err(why) => Answer::Refused(why),
        };
        self.run(None, now);
        answer
    }

    fn carry_out(&mut self, command: &Command, now: Instant) -> Result<Answer, String> {
        match command {
            Command::Reset { .. } => self.bus.reset(now),
            Command::Unplug { node } => {
                let node = self.node(node)?;
                if !self.bus.is_attached(node) {
                    return Err("its cable is out already".to_owned());
                }
                self.bus.detach(node, now);
            }
            Command::Replug { node } => {
                let node = self.node(node)?;
                if self.bus.is_attached(node) {
                    return Err("its cable is in already".to_owned());
                }
                self.bus.reattach(node, now);
                // The others look at it before they tell their programs.
                self.run(Some(node), now);
            }
            Command::Renumber { node, phy } => self.renumber(node, *phy, now)?,
            Command::Packets(rule) => {
                let rule = self.rule(rule)?;
                self.rules.with(|rules| rules.push(rule));
            }
            Command::Mute { node } => {
                let rule = Rule::mute(self.node(node)?);
                self.rules.with(|rules| {
                    rules.retain(|other| *other != rule);
                    rules.insert(0, rule);
                });
            }
            Command::Unmute { node } => {
                let rule = Rule::mute(self.node(node)?);
                self.rules
                    .with(|rules| rules.retain(|other| *other != rule));
            }
            Command::Clear => self.rules.with(Vec::clear),
            Command::CorruptStatus { bridge, count } => {
                let bridge = self.bridge(bridge)?;
                self.bridges[bridge].machine.lock().corrupt_status(*count);
            }
            Command::PowerCycle { bridge } => {
                let OnBus { node, machine, .. } = &self.bridges[self.bridge(bridge)?];
                let (node, machine) = (*node, machine.clone());
                let was_attached = self.bus.is_attached(node);
                self.bus.detach(node, now);
                machine.lock().machine().forget();
                self.bus.wake_machine(node, now);
                // The hosts see it go, and come back.
                self.run(None, now);
                if was_attached {
                    self.bus.reattach(node, now);
                    self.run(Some(node), now);
                }
            }
            Command::Show => return Ok(Answer::Report(self.report())),
        }
        Ok(Answer::Done)
    }

    fn renumber(&mut self, name: &str, phy: Option<u8>, now: Instant) -> Result<(), String> {
        let node = self.node(name)?;
        let Some(before) = self.bus.id_of(node) else {
            return Err(format!("{name} has no id: its cable is out"));
        };
        let mut order: Vec<_> = self.bus.nodes().collect();
        order.retain(|other| *other != node && self.bus.is_attached(*other));
        order.sort_by_key(|other| self.bus.id_of(*other).map(|id| id.phy()));
        let count = order.len() + 1;
        let phy = phy.map_or((usize::from(before.phy()) + 1) % count, usize::from);
        if phy >= count {
            return Err(format!(
                "physical id {phy}: the bus has the ids 0 to {}",
                count - 1
            ));
        }
        order.insert(phy, node);
        self.bus.set_phy_order(&order);
        self.bus.reset(now);
        Ok(())
    }

    fn rule(&self, rule: &PacketRule) -> Result<Rule, String> {
        let node = |name: &Option<String>| name.as_ref().map(|name| self.node(name)).transpose();
        if rule.count == Some(0) {
            return Err("a rule for no packets".to_owned());
        }
        Ok(Rule {
            fate: rule.fate,
            left: rule.count,
            from: node(&rule.from)?,
            to: node(&rule.to)?,
            direction: rule.direction,
            kind: rule.kind,
            addresses: rule.addresses,
            mutes: None,
        })
    }

    fn names(&self) -> impl Iterator<Item = (String, NodeIndex)> + '_ {
        let all = self.nodes.iter().copied();
        let all = all.chain(self.bridges.iter().map(|bridge| bridge.node));
        let all = all.chain(self.seats.iter().map(|seat| seat.node));
        all.map(|node| (self.bus.config(node).name.clone(), node))
    }

    /// The node with this name or EUI-64.
    fn node(&self, text: &str) -> Result<NodeIndex, String> {
        let guid = text.parse::<Eui64>().ok();
        let mut names = self.names();
        let found = names.find(|(name, node)| {
            name == text || guid.is_some_and(|guid| self.bus.config(*node).eui64 == guid)
        });
        found.map(|(_, node)| node).ok_or_else(|| {
            let names: Vec<_> = self.names().map(|(name, _)| name).collect();
            format!(
                "there is no node \"{text}\"; there are {}",
                names.join(", ")
            )
        })
    }

    fn bridge(&self, text: &str) -> Result<usize, String> {
        let node = self.node(text)?;
        let mut bridges = self.bridges.iter();
        bridges
            .position(|bridge| bridge.node == node)
            .ok_or_else(|| format!("{text} is no bridge"))
    }

    fn report(&self) -> Report {
        let counters = self.bus.counters();
        let nodes = self.names().map(|(name, node)| {
            let config = self.bus.config(node);
            let bridge = self.bridges.iter().find(|bridge| bridge.node == node);
            let mute = Rule::mute(node);
            let is_seat = self.seats.iter().any(|seat| seat.node == node);
            let kind = if is_seat { "controller" } else { "host" };
            NodeReport {
                name,
                guid: config.eui64.to_string(),
                profile: bridge.map_or(kind, |bridge| bridge.profile).to_owned(),
                phy: self.bus.id_of(node).map(|id| id.phy()),
                speed: config.speed.to_string(),
                muted: self.rules.with(|rules| rules.contains(&mute)),
                bridge: bridge.map(|bridge| bridge_counters(&bridge.machine)),
            }
        });
        Report {
            schema: SCHEMA,
            generation: self.bus.generation().0,
            nodes: nodes.collect(),
            bus: BusCounters {
                packets: counters.packets,
                bytes: counters.bytes,
                resets: counters.resets,
                refused: counters.refused,
                late_responses: counters.late_responses,
                split_timeouts: counters.split_timeouts,
                bad_responses: counters.bad_responses,
                faults: counters.faults,
            },
            rules: self.rules.with(|rules| rules.len()),
        }
    }
}

fn bridge_counters(machine: &Shared<Corruptor<Bridge>>) -> BridgeCounters {
    let counters = machine.lock().machine().counters();
    BridgeCounters {
        commands: counters.commands(),
        status_blocks: counters.status_blocks(),
        logins: counters.logins(),
        logins_refused: counters.logins_refused(),
        logins_expired: counters.logins_expired(),
        management_orbs: counters.management_orbs(),
        requests_refused: counters.requests_refused(),
        transport_errors: counters.transport_errors(),
        aborted_orbs: counters.aborted_orbs(),
        max_outstanding: counters.max_outstanding(),
    }
}
