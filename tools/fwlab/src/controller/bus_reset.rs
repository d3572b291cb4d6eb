//! What a bus reset does to a controller (OHCI 1.1, 11.1).

use ohci_raw::bus::{BusReset, Instant, Speed};
use ohci_raw::packet;
use ohci_raw::regs::{EventCode, IntEvent, LinkControl};
use ohci_raw::sim::Bus;

use super::receive::Received;
use super::{Controller, Side};

impl Controller {
    pub(super) fn bus_reset(&mut self, bus: &mut Bus, reset: &BusReset, now: Instant) {
        // Linux compares the trees of generations that follow each other, and takes them for
        // changes of one another. Where cables have moved, they are not: see `is_recabled`.
        let step = if bus.is_recabled() { 2 } else { 1 };
        self.generation = self.generation.wrapping_add(step);
        self.id = reset.local;
        self.identified = Some(reset.generation);
        self.outstanding.clear();
        self.ar_request.drop_held();
        self.ar_response.drop_held();
        self.registers.bus_reset();
        self.raise(IntEvent::BUS_RESET);
        let told = Received {
            packet: packet::bus_reset(self.generation),
            event: EventCode::BusReset,
            speed: Speed::S100,
        };
        self.receive(Side::Request, told, now);
        self.identify(bus, now);
    }

    /// Writes the self-ID packets to memory, each with its complement.
    fn identify(&mut self, bus: &Bus, now: Instant) {
        let registers = &mut self.registers;
        if !registers.link_control.contains(LinkControl::RCV_SELF_ID) {
            return;
        }
        let generation = u32::from(self.generation) << 16;
        let stamp = u32::from(registers.cycle_timer.stamp(now));
        let self_ids = bus.self_ids_seen_by(self.node);
        let packets = self_ids.iter().flat_map(|self_id| self_id.encode());
        let packets = packets.flat_map(|packet| [packet, !packet]);
        let quadlets: Vec<u32> = std::iter::once(generation | stamp).chain(packets).collect();
        let bytes: Vec<u8> = quadlets.iter().flat_map(|q| q.to_le_bytes()).collect();
        registers.self_id_count = generation | (quadlets.len() as u32) << 2;
        let buffer = u64::from(registers.self_id_buffer);
        if self.memory.write(buffer, &bytes).is_err() {
            const SELF_ID_ERROR: u32 = 1 << 31;
            self.registers.self_id_count |= SELF_ID_ERROR;
        }
        self.raise(IntEvent::SELF_ID_COMPLETE | IntEvent::SELF_ID_COMPLETE2);
    }
}
