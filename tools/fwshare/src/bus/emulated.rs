//! A virtual bus inside this process: one bridge, and the hosts that this process plays.

use fwlab::bridge::{self, AssemblyError};
use fwlab::host;
use ohci_raw::bus::Speed;
use ohci_raw::port::Port;
use ohci_raw::sim::{SharedBus, Timing};

use super::spec::Emulation;

/// The virtual bus, to which hosts can be added.
pub(crate) struct EmulatedBus {
    bus: SharedBus,
    speed: Speed,
    hosts: usize,
}

impl EmulatedBus {
    /// A bus with a bridge and no hosts.
    pub(crate) fn new(emulation: &Emulation) -> Result<Self, AssemblyError> {
        let (config, bridge) = bridge::assemble(&emulation.bridge)?;
        let speed = config.speed;
        let bus = match emulation.script {
            Some(_) => SharedBus::in_virtual_time(Timing::Immediate),
            None => SharedBus::new(Timing::Immediate),
        };
        let tape = bridge::tape(&emulation.bridge, &config, &bridge)?;
        let claims = bridge.claims();
        bus.attach_machine(config, claims, bridge::recorded(Box::new(bridge), tape));
        Ok(Self {
            bus,
            speed,
            hosts: 0,
        })
    }

    /// Adds a host. It leaves the bus when its port is dropped.
    pub(crate) fn host(&mut self) -> Box<dyn Port> {
        let mut config = host::config(self.hosts, self.speed);
        // The bus puts it into the names that scan shows.
        config.name = format!("emulated host {}", self.hosts + 1);
        self.hosts += 1;
        Box::new(self.bus.attach_host(config))
    }
}
