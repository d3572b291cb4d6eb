//! What a driver sees, and what it makes happen on the bus.

mod buffers;
mod busy;
mod csrs;
mod cycles;
mod dead;
mod driver;
mod exchange;
mod filters;
mod fuzz;
mod isochronous;
mod phy;
mod physical;
mod ram;
mod random;
mod resets;
mod rom;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use ohci_raw::bus::{Eui64, Instant, NodeId, Speed};
use ohci_raw::regs::{
    self, ContextControl, EventCode, HcControl, IntEvent, LinkControl, context, phy_control,
};
use ohci_raw::sim::{Bus, NodeConfig, NodeIndex, Timing};

use super::Controller;
use driver::{Driver, Incoming, Packet};
use ram::Ram;

/// Contexts of a driver.
const REQUEST: usize = 0;
const RESPONSE: usize = 1;
/// RUN | ACTIVE, as they stand in descriptors and trailers.
const RUNNING: u16 = 0x8400;
/// Where software serves: above the physical response unit's reach.
const SERVED: u64 = 0xffff_f001_0000;
/// Where it serves, and writes are posted.
const POSTED: u64 = 0x1_0000_0000;
/// How often a busy packet is tried again: what Linux sets.
const RETRIES: u32 = 0xf;

/// A controller, the memory of its machine, and the machine's driver.
struct Machine {
    node: NodeIndex,
    ram: Arc<Ram>,
    controller: Controller,
    driver: Driver,
}

/// A bus with some machines.
struct Bench {
    bus: Bus,
    now: Instant,
    machines: Vec<Machine>,
}

fn config(number: usize) -> NodeConfig {
    NodeConfig {
        name: format!("machine{number}"),
        eui64: Eui64(0x0200_0000_0000_1000 + number as u64),
        rom: Vec::new(),
        speed: Speed::S400,
        rom_block_reads: true,
    }
}

impl Bench {
    /// Controllers after power-on.
    fn off(machines: usize) -> Self {
        let mut bus = Bus::new(Timing::Immediate);
        let now = Instant::ZERO;
        let machines = (0..machines)
            .map(|number| {
                let node = bus.add_controller(config(number), now);
                let ram = Arc::new(Ram::default());
                Machine {
                    node,
                    controller: Controller::new(&bus, node, ram.clone()),
                    driver: Driver::new(Arc::clone(&ram)),
                    ram,
                }
            })
            .collect();
        Self { bus, now, machines }
    }

    /// Controllers that are set up and on the bus, with every reset seen to.
    fn on(machines: usize) -> Self {
        let mut bench = Self::off(machines);
        for machine in 0..machines {
            bench.start(machine);
        }
        for machine in 0..machines {
            bench.see_to_reset(machine);
            bench.packets(machine, REQUEST);
        }
        bench
    }

    fn read(&mut self, machine: usize, offset: u32) -> u32 {
        let at = &mut self.machines[machine];
        at.controller.read(offset, &self.bus, self.now)
    }

    fn write(&mut self, machine: usize, offset: u32, value: u32) {
        let at = &mut self.machines[machine];
        at.controller.write(offset, value, &mut self.bus, self.now);
        self.settle();
    }

    /// Until nobody has anything to hear.
    fn settle(&mut self) {
        while self
            .machines
            .iter()
            .any(|machine| self.bus.has_event(machine.node))
        {
            for machine in &mut self.machines {
                machine.controller.run(&mut self.bus, self.now);
            }
        }
    }

    /// Lets time pass, and has everybody do what is due at its time.
    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timers = self.machines.iter();
            let timers = timers.filter_map(|machine| machine.controller.poll_timeout());
            let due = timers.chain(self.bus.poll_timeout()).min();
            self.now = match due {
                Some(due) if due <= end => due.max(self.now),
                _ => break,
            };
            self.bus.handle_timeout(self.now);
            self.settle();
            for machine in &mut self.machines {
                machine.controller.handle_timeout(&mut self.bus, self.now);
            }
            self.settle();
        }
        self.now = end;
    }

    /// Sets a controller up as Linux does, with its link on at last.
    fn start(&mut self, machine: usize) {
        self.write(machine, regs::HC_CONTROL_SET, HcControl::SOFT_RESET.bits());
        self.write(machine, regs::HC_CONTROL_SET, HcControl::LPS.bits());
        self.write(machine, regs::SELF_ID_BUFFER, driver::SELF_IDS);
        self.write(
            machine,
            regs::LINK_CONTROL_SET,
            LinkControl::RCV_SELF_ID.bits(),
        );
        self.write(machine, regs::AT_RETRIES, RETRIES);
        self.write(machine, regs::PHY_UPPER_BOUND, 0x1_0000);
        self.write(machine, regs::INT_EVENT_CLEAR, u32::MAX);
        self.write(machine, regs::CONFIG_ROM_MAP, driver::ROM);
        self.write(machine, regs::CONFIG_ROM_HEADER, 0x0404_0000);
        self.write(machine, regs::AS_REQ_FILTER_HI_SET, 1 << 31);
        for side in [REQUEST, RESPONSE] {
            let program = self.machines[machine].driver.buffers(side, 4, 0x1000);
            let base = driver::RECEIVE[side];
            self.write(machine, base + context::COMMAND_PTR, program);
            let run = ContextControl::RUN.bits();
            self.write(machine, base + context::CONTROL_SET, run);
        }
        let link = HcControl::LINK_ENABLE | HcControl::BIB_IMAGE_VALID;
        self.write(machine, regs::HC_CONTROL_SET, link.bits());
    }

    /// What a driver does when it is told of a bus reset.
    fn see_to_reset(&mut self, machine: usize) {
        let run = ContextControl::RUN.bits();
        for side in [REQUEST, RESPONSE] {
            let base = driver::TRANSMIT[side];
            self.write(machine, base + context::CONTROL_CLEAR, run);
            let control = self.control(machine, base);
            assert_eq!(control & ContextControl::ACTIVE.bits(), 0);
            self.machines[machine].driver.forget_program(side);
        }
        self.write(machine, regs::INT_EVENT_CLEAR, u32::MAX);
    }

    /// Appends a packet to a transmit context, and says where its status will be.
    fn send(&mut self, machine: usize, side: usize, packet: &Packet) -> u32 {
        let block = self.machines[machine].driver.block(packet);
        self.append(machine, side, block);
        block.last
    }

    /// Gives a receive context new buffers and starts it anew.
    fn rebuffer(&mut self, machine: usize, side: usize, count: u32, length: u32) {
        let base = driver::RECEIVE[side];
        let run = ContextControl::RUN.bits();
        self.write(machine, base + context::CONTROL_CLEAR, run);
        let program = self.machines[machine].driver.buffers(side, count, length);
        self.write(machine, base + context::COMMAND_PTR, program);
        self.write(machine, base + context::CONTROL_SET, run);
    }

    /// Appends a buffer to a receive context's program, and wakes it.
    fn add_buffer(&mut self, machine: usize, side: usize, length: u32) {
        self.machines[machine].driver.add_buffer(side, length);
        let wake = ContextControl::WAKE.bits();
        self.write(machine, driver::RECEIVE[side] + context::CONTROL_SET, wake);
    }

    /// The control register of a context.
    fn control(&mut self, machine: usize, base: u32) -> u32 {
        self.read(machine, base + context::CONTROL_SET)
    }

    /// Appends a block of descriptors, and wakes the context.
    fn append(&mut self, machine: usize, side: usize, block: driver::Block) {
        let base = driver::TRANSMIT[side];
        if self.machines[machine].driver.append(side, block) {
            let wake = ContextControl::WAKE.bits();
            self.write(machine, base + context::CONTROL_SET, wake);
        } else {
            let start = block.start | block.z;
            self.write(machine, base + context::COMMAND_PTR, start);
            let run = ContextControl::RUN.bits();
            self.write(machine, base + context::CONTROL_SET, run);
        }
    }

    /// Status and timestamp of a descriptor that was sent.
    fn status(&self, machine: usize, descriptor: u32) -> (u16, u16) {
        let word = self.machines[machine].ram.quadlet(descriptor + 12);
        ((word >> 16) as u16, word as u16)
    }

    /// How a packet ended; `None` while it has not.
    fn event(&self, machine: usize, descriptor: u32) -> Option<u16> {
        let (status, _) = self.status(machine, descriptor);
        (status != 0).then_some(status & 0x1f)
    }

    /// The packets in a receive context's buffers that were not taken before.
    fn packets(&mut self, machine: usize, side: usize) -> Vec<Incoming> {
        self.machines[machine].driver.received(side)
    }

    /// The events of a controller, which are cleared with that; those of the cycle timer are left
    /// out.
    fn events(&mut self, machine: usize) -> IntEvent {
        self.all_events(machine) - IntEvent::CYCLE_SYNCH - IntEvent::CYCLE_64_SECONDS
    }

    fn all_events(&mut self, machine: usize) -> IntEvent {
        let events = IntEvent::from_bits_truncate(self.read(machine, regs::INT_EVENT_SET));
        self.write(machine, regs::INT_EVENT_CLEAR, events.bits());
        events
    }

    fn id(&self, machine: usize) -> NodeId {
        self.bus
            .id_of(self.machines[machine].node)
            .expect("it is on the bus")
    }

    fn phy_read(&mut self, machine: usize, address: u8) -> u8 {
        let command = phy_control::READ | u32::from(address) << 8;
        self.write(machine, regs::PHY_CONTROL, command);
        let result = self.read(machine, regs::PHY_CONTROL);
        assert_ne!(result & phy_control::READ_DONE, 0);
        (result >> 16) as u8
    }

    fn phy_write(&mut self, machine: usize, address: u8, data: u8) {
        let command = phy_control::WRITE | u32::from(address) << 8 | u32::from(data);
        self.write(machine, regs::PHY_CONTROL, command);
    }
}

const fn code(event: EventCode) -> u16 {
    event as u16
}
