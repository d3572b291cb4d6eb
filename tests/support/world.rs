//! Hosts and one bridge on a virtual bus, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use ohci_raw::bus::{Action, BusReset, Eui64, Event, Instant, Machine, Speed};
use ohci_raw::config_rom::ConfigRom;
use ohci_raw::sim::{Bus, NodeConfig, NodeIndex, Timing};
use sbp2::disk::{Disk, Failure, Notice, Request, RequestError, RequestTag};
use sbp2::initiator::{Config, Initiator, Login, Logins, ManagementError};
use sbp2::scsi::{DiskInfo, Medium, MemoryMedium};
use sbp2::target::{Bridge, BridgeProfile, Counters};
use sbp2::unit::{self, Unit};

/// Longer than anything takes that ends at all.
const FOR_EVER: Duration = Duration::from_secs(1000);

/// A bus, the bridge on it, and the hosts.
pub struct World {
    /// The bus.
    pub bus: Bus,
    /// The time.
    pub now: Instant,
    /// The bridge's node.
    pub bridge: NodeIndex,
    /// What the bridge has done.
    pub counters: Arc<Counters>,
    unit: Unit,
    target: Eui64,
    speed: Speed,
    hosts: Vec<Host>,
}

struct Host {
    node: NodeIndex,
    disk: Disk,
    notices: Vec<Notice>,
}

/// Names a host of a [`World`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostIndex(pub usize);

impl World {
    /// A bridge of the given kind with a disk of 8 MiB in memory.
    #[must_use]
    pub fn new(profile: BridgeProfile) -> Self {
        let medium = MemoryMedium::new(512, 16384).expect("a medium of 8 MiB");
        Self::with_medium(profile, Box::new(medium), Timing::Immediate)
    }

    /// A bridge of the given kind with a disk of 8 MiB in memory, and two hosts that share it, with
    /// so many commands in flight. The bus takes its time.
    ///
    /// # Panics
    ///
    /// If one is not let in.
    #[must_use]
    pub fn of_two_hosts(profile: BridgeProfile, depth: u8) -> (Self, [HostIndex; 2]) {
        let medium = MemoryMedium::new(512, 16384).expect("a medium of 8 MiB");
        let mut world = Self::with_medium(profile, Box::new(medium), Timing::Wire);
        let hosts = [0, 1].map(|_| world.add_host(|config| config.depth = depth));
        for host in hosts {
            world.login(host).expect("a shared login");
        }
        (world, hosts)
    }

    /// A bridge of the given kind with this disk.
    #[must_use]
    pub fn with_medium(profile: BridgeProfile, medium: Box<dyn Medium>, timing: Timing) -> Self {
        let now = Instant::ZERO;
        let mut bus = Bus::new(timing);
        let (target, speed) = (profile.eui64, profile.speed);
        let (config, bridge) = bridge_node(profile, medium);
        let quadlets: Vec<_> = config.rom.iter().copied().map(Some).collect();
        let rom = ConfigRom::read(&quadlets).expect("the bridge's ROM");
        let unit = unit::units(&rom).remove(0);
        let counters = bridge.counters();
        let node = bus.attach_machine(config, bridge.claims(), Box::new(bridge), now);
        Self {
            bus,
            now,
            bridge: node,
            counters,
            unit,
            target,
            speed,
            hosts: Vec::new(),
        }
    }

    /// Takes the bridge off the bus, and puts another one in its place.
    pub fn replace_bridge(&mut self, profile: BridgeProfile, medium: Box<dyn Medium>) {
        self.bus.detach(self.bridge, self.now);
        let (config, bridge) = bridge_node(profile, medium);
        self.counters = bridge.counters();
        let claims = bridge.claims();
        self.bridge = self
            .bus
            .attach_machine(config, claims, Box::new(bridge), self.now);
    }

    /// Attaches a host. It logs in when [`Self::login`] is called.
    pub fn add_host(&mut self, change: impl FnOnce(&mut Config)) -> HostIndex {
        let index = HostIndex(self.hosts.len());
        let node = self.bus.attach_host(
            NodeConfig {
                name: format!("host{}", index.0),
                eui64: host_eui64(index),
                rom: host_rom(host_eui64(index)),
                speed: Speed::S3200,
                rom_block_reads: true,
            },
            self.now,
        );
        let agent = self.unit.management_agent().expect("a management agent");
        let mut config = Config::shared(self.target, agent, 0);
        config.speed = self.speed;
        change(&mut config);
        let range = self
            .bus
            .allocate(node, Initiator::range_length(&config))
            .expect("address space");
        let disk = Disk::new(config, self.unit.quirks(), range).expect("a disk");
        self.hosts.push(Host {
            node,
            disk,
            notices: Vec::new(),
        });
        self.run_quiet();
        index
    }

    /// The node of a host.
    #[must_use]
    pub fn node(&self, host: HostIndex) -> NodeIndex {
        self.hosts[host.0].node
    }

    /// The disk as a host sees it.
    pub fn disk(&mut self, host: HostIndex) -> &mut Disk {
        &mut self.hosts[host.0].disk
    }

    /// Logs a host in and waits until its disk is ready.
    ///
    /// # Errors
    /// Why it is not.
    pub fn login(&mut self, host: HostIndex) -> Result<(Login, DiskInfo), Failure> {
        let now = self.now;
        self.disk(host).login(now);
        self.wait_for(host, |notice| match notice {
            Notice::Ready { login, info } => Some(Ok((*login, info.clone()))),
            Notice::Failed(failure) => Some(Err(failure.clone())),
            _ => None,
        })
    }

    /// Logs a host out.
    ///
    /// # Errors
    /// What the target said.
    pub fn logout(&mut self, host: HostIndex) -> Result<(), ManagementError> {
        let now = self.now;
        self.disk(host).logout(now);
        self.wait_for(host, |notice| match notice {
            Notice::LoggedOut(result) => Some(result.clone()),
            _ => None,
        })
    }

    /// Asks who is logged in.
    ///
    /// # Errors
    /// What the target said.
    pub fn query_logins(&mut self, host: HostIndex) -> Result<Logins, ManagementError> {
        let now = self.now;
        self.disk(host).query_logins(now);
        self.wait_for(host, |notice| match notice {
            Notice::Logins(result) => Some(result.clone()),
            _ => None,
        })
    }

    /// Hands a request to a host's disk.
    pub fn submit(&mut self, host: HostIndex, request: Request) -> RequestTag {
        let now = self.now;
        let tag = self.disk(host).submit(request, now);
        self.run_quiet();
        tag
    }

    /// Waits for the end of a request.
    ///
    /// # Errors
    /// Why it failed.
    pub fn finish(&mut self, host: HostIndex, tag: RequestTag) -> Result<Vec<u8>, RequestError> {
        self.wait_for(host, |notice| match notice {
            Notice::Completed { tag: own, result } if *own == tag => Some(result.clone()),
            _ => None,
        })
    }

    /// Hands over a request and waits for its end.
    ///
    /// # Errors
    /// Why it failed.
    pub fn perform(&mut self, host: HostIndex, request: Request) -> Result<Vec<u8>, RequestError> {
        let tag = self.submit(host, request);
        self.finish(host, tag)
    }

    /// Reads blocks.
    ///
    /// # Panics
    /// If that fails.
    pub fn read(&mut self, host: HostIndex, lba: u64, blocks: u32) -> Vec<u8> {
        self.perform(host, Request::Read { lba, blocks })
            .unwrap_or_else(|error| panic!("{host:?}: {error}"))
    }

    /// Writes blocks.
    ///
    /// # Panics
    /// If that fails.
    pub fn write(&mut self, host: HostIndex, lba: u64, data: Vec<u8>) {
        let fua = false;
        self.perform(host, Request::Write { lba, data, fua })
            .unwrap_or_else(|error| panic!("{host:?}: {error}"));
    }

    /// Resets the bus, with new ids for all.
    pub fn reset(&mut self) {
        self.bus.rotate_ids();
        self.bus.reset(self.now);
    }

    /// Waits for a notice of a host, and returns what `wanted` makes of it. Earlier ones stay in
    /// [`Self::notices`].
    ///
    /// # Panics
    /// If it never comes.
    pub fn wait_for<T>(&mut self, host: HostIndex, wanted: impl Fn(&Notice) -> Option<T>) -> T {
        let end = self.now + FOR_EVER;
        loop {
            self.run_quiet();
            let notices = &mut self.hosts[host.0].notices;
            if let Some((index, found)) = notices
                .iter()
                .enumerate()
                .find_map(|(index, notice)| Some((index, wanted(notice)?)))
            {
                notices.remove(index);
                return found;
            }
            assert!(
                self.step(end),
                "it never comes; what came: {:?}",
                self.hosts[host.0].notices
            );
        }
    }

    /// What a host was told and nobody has waited for.
    pub fn notices(&mut self, host: HostIndex) -> Vec<Notice> {
        std::mem::take(&mut self.hosts[host.0].notices)
    }

    /// Lets time pass.
    pub fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.run_quiet();
        while self.step(end) {
            self.run_quiet();
        }
        self.now = end;
    }

    /// Goes to the next point in time at which something is due, unless that is after `end`.
    pub fn step(&mut self, end: Instant) -> bool {
        let disks = self.hosts.iter().map(|host| host.disk.poll_timeout());
        let due = disks.chain([self.bus.poll_timeout()]).flatten().min();
        let Some(due) = due.filter(|due| *due <= end) else {
            return false;
        };
        self.now = self.now.max(due);
        self.bus.handle_timeout(self.now);
        for host in &mut self.hosts {
            host.disk.handle_timeout(self.now);
        }
        true
    }

    /// Carries events and actions between bus and hosts until nobody has anything to say.
    pub fn run_quiet(&mut self) {
        loop {
            let mut quiet = true;
            for host in &mut self.hosts {
                while let Some(event) = self.bus.poll_event(host.node) {
                    host.disk.handle(event, self.now);
                    quiet = false;
                }
                while let Some(action) = host.disk.poll_action() {
                    quiet = false;
                    match action {
                        Action::Send(transaction) => {
                            self.bus.send(host.node, transaction, self.now);
                        }
                        Action::Respond { handle, response } => {
                            self.bus
                                .respond(host.node, handle, response, self.now)
                                .expect("a response of the right length");
                        }
                    }
                }
                while let Some(notice) = host.disk.poll_notice() {
                    host.notices.push(notice);
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// Tells a host of the bus as it is now, as if it had just looked.
    pub fn tell(&mut self, host: HostIndex, reset: BusReset) {
        let now = self.now;
        self.disk(host).handle(Event::BusReset(reset), now);
    }
}

/// The EUI-64 of a host of a [`World`].
#[must_use]
pub fn host_eui64(host: HostIndex) -> Eui64 {
    Eui64(0x0800_2851_0100_0000 + host.0 as u64)
}

fn host_rom(eui64: Eui64) -> Vec<u32> {
    vec![
        0x0404_0000,
        0x3133_3934,
        0xf000_a000,
        eui64.hi(),
        eui64.lo(),
        0,
    ]
}

fn bridge_node(profile: BridgeProfile, medium: Box<dyn Medium>) -> (NodeConfig, Bridge) {
    let bridge = Bridge::new(profile, vec![medium]).expect("a bridge");
    let profile = bridge.profile();
    let config = NodeConfig {
        name: profile.name.into(),
        eui64: profile.eui64,
        rom: bridge.rom().to_vec(),
        speed: profile.speed,
        rom_block_reads: profile.rom_block_reads,
    };
    (config, bridge)
}
