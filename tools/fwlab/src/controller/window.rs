//! The controller's registers as software reads and writes them.

use ohci_raw::bus::Instant;
use ohci_raw::descriptor::Branch;
use ohci_raw::regs::{self, HcControl, IntEvent, LinkControl, context, node_id, phy_control};
use ohci_raw::sim::Bus;

use super::context::Context;
use super::registers::{BUS_ID, ISO_CONTEXTS, Registers, VERSION};
use super::{Controller, Side};

/// In CSRControl: the compare-swap is done.
const CSR_DONE: u32 = 1 << 31;
/// Which registers of a context there are, from its first one on.
pub(super) const CONTEXT_LENGTH: u32 = 0x20;

impl Controller {
    /// Reads the register at `offset` bytes. Reserved ones, and offsets that are no multiple of 4
    /// or behind the end, read as 0.
    pub fn read(&mut self, offset: u32, bus: &Bus, now: Instant) -> u32 {
        self.tick(now);
        let r = &self.registers;
        match offset {
            regs::VERSION => VERSION,
            regs::AT_RETRIES => r.at_retries,
            regs::CSR_DATA => self.csr_data,
            regs::CSR_COMPARE => self.csr_compare,
            regs::CSR_CONTROL => self.csr_control,
            regs::CONFIG_ROM_HEADER => r.config_rom_header,
            regs::BUS_ID => BUS_ID,
            regs::BUS_OPTIONS => r.bus_options,
            regs::GUID_HI => (r.guid.0 >> 32) as u32,
            regs::GUID_LO => r.guid.0 as u32,
            regs::CONFIG_ROM_MAP => r.config_rom_map_next,
            regs::POSTED_WRITE_ADDRESS_LO => r.posted_write_address as u32,
            regs::POSTED_WRITE_ADDRESS_HI => {
                u32::from(r.posted_write_source) << 16
                    | (r.posted_write_address >> 32) as u32 & 0xffff
            }
            regs::HC_CONTROL_SET | regs::HC_CONTROL_CLEAR => r.hc_control.bits(),
            regs::SELF_ID_BUFFER => r.self_id_buffer,
            regs::SELF_ID_COUNT => r.self_id_count,
            regs::IR_MULTI_CHAN_MASK_HI_SET..=regs::IR_MULTI_CHAN_MASK_LO_CLEAR
                if offset.is_multiple_of(4) =>
            {
                let [hi, lo] = r.ir_multi_channels;
                if offset & 8 == 0 { hi } else { lo }
            }
            regs::INT_EVENT_SET => r.int_event.bits(),
            regs::INT_EVENT_CLEAR => (r.int_event & r.int_mask).bits(),
            regs::INT_MASK_SET | regs::INT_MASK_CLEAR => r.int_mask.bits(),
            regs::ISO_XMIT_INT_MASK_SET | regs::ISO_XMIT_INT_MASK_CLEAR => r.iso_xmit_mask,
            regs::ISO_RECV_INT_MASK_SET | regs::ISO_RECV_INT_MASK_CLEAR => r.iso_recv_mask,
            regs::INITIAL_BANDWIDTH_AVAILABLE => r.initial_bandwidth,
            regs::INITIAL_CHANNELS_AVAILABLE_HI => r.initial_channels[0],
            regs::INITIAL_CHANNELS_AVAILABLE_LO => r.initial_channels[1],
            regs::FAIRNESS_CONTROL => r.fairness,
            regs::LINK_CONTROL_SET | regs::LINK_CONTROL_CLEAR => r.link_control.bits(),
            regs::NODE_ID => self.node_id(bus),
            regs::PHY_CONTROL => r.phy_control,
            regs::ISOCHRONOUS_CYCLE_TIMER => r.cycle_timer.read(now),
            regs::AS_REQ_FILTER_HI_SET | regs::AS_REQ_FILTER_HI_CLEAR => hi(r.as_req_filter),
            regs::AS_REQ_FILTER_LO_SET | regs::AS_REQ_FILTER_LO_CLEAR => r.as_req_filter as u32,
            regs::PHY_REQ_FILTER_HI_SET | regs::PHY_REQ_FILTER_HI_CLEAR => hi(r.phy_req_filter),
            regs::PHY_REQ_FILTER_LO_SET | regs::PHY_REQ_FILTER_LO_CLEAR => r.phy_req_filter as u32,
            regs::PHY_UPPER_BOUND => r.phy_upper_bound,
            regs::AT_REQUEST..regs::ISO_XMIT => self.read_context(offset),
            regs::ISO_XMIT..regs::END => self.read_iso(offset),
            _ => 0,
        }
    }

    fn node_id(&self, bus: &Bus) -> u32 {
        let is_identified = self.identified == Some(bus.generation());
        if bus.id_of(self.node).is_none() || !is_identified {
            return 0;
        }
        let self_ids = bus.self_ids_seen_by(self.node);
        let is_root = self_ids
            .iter()
            .any(|of| of.phy == self.id.phy() && of.is_root());
        let root = if is_root { node_id::ROOT } else { 0 };
        node_id::ID_VALID | root | node_id::CABLE_POWER | u32::from(self.id.0)
    }

    /// Writes the register at `offset` bytes. Writes to reserved ones, and to offsets that are no
    /// multiple of 4 or behind the end, have no effect.
    pub fn write(&mut self, offset: u32, value: u32, bus: &mut Bus, now: Instant) {
        match offset {
            regs::CSR_DATA => self.csr_data = value,
            regs::CSR_COMPARE => self.csr_compare = value,
            regs::CSR_CONTROL => {
                let select = (value & 3) as usize;
                let csrs = &mut self.registers.csrs;
                self.csr_data = csrs.compare_swap(select, self.csr_compare, self.csr_data);
                self.csr_control = CSR_DONE | value & 3;
            }
            regs::CONFIG_ROM_HEADER => {
                self.registers.config_rom_header = value;
                // Software writes it last, when the ROM is ready.
                bus.set_rom(self.node, self.rom());
            }
            regs::CONFIG_ROM_MAP => {
                self.registers.config_rom_map_next = value & !0x3ff;
                if !self.has_link() {
                    self.registers.config_rom_map = value & !0x3ff;
                }
            }
            regs::HC_CONTROL_SET => self.set_hc_control(value, bus, now),
            regs::HC_CONTROL_CLEAR => {
                let was = self.registers.hc_control;
                let cleared = HcControl::from_bits_truncate(value);
                // The ROM's image stays valid until a reset of the controller.
                self.registers.hc_control -= cleared - HcControl::BIB_IMAGE_VALID;
                self.switch_link(bus, was, now);
            }
            regs::INT_EVENT_SET => {
                let event = IntEvent::from_bits_truncate(value) - IntEvent::MASTER_INT_ENABLE;
                self.raise(event);
            }
            regs::INT_EVENT_CLEAR => {
                self.registers.int_event -= IntEvent::from_bits_truncate(value);
            }
            regs::AT_RETRIES => {
                self.registers.write(offset, value);
                self.set_retries(bus);
            }
            regs::PHY_CONTROL => self.access_phy(value, bus, now),
            regs::ISOCHRONOUS_CYCLE_TIMER => self.registers.cycle_timer.write(value, now),
            regs::AT_REQUEST..regs::ISO_XMIT => self.write_context(offset, value, now),
            regs::ISO_XMIT..regs::END => self.write_iso(offset, value),
            _ => self.registers.write(offset, value),
        }
        self.run(bus, now);
    }

    fn has_link(&self) -> bool {
        self.registers.hc_control.contains(HcControl::LINK_ENABLE)
    }

    fn set_hc_control(&mut self, value: u32, bus: &mut Bus, now: Instant) {
        let asked = HcControl::from_bits_truncate(value);
        if asked.contains(HcControl::SOFT_RESET) {
            self.soft_reset(bus, now);
            // Until software has set the PHY up, it is to do so.
            self.registers.hc_control = HcControl::PROGRAM_PHY_ENABLE;
            return;
        }
        let was = self.registers.hc_control;
        self.registers.hc_control |= asked;
        self.switch_link(bus, was, now);
    }

    fn access_phy(&mut self, value: u32, bus: &mut Bus, now: Instant) {
        if !self.registers.hc_control.contains(HcControl::LPS) {
            self.raise(IntEvent::REG_ACCESS_FAIL);
            return;
        }
        let address = phy_control::address(value);
        if value & phy_control::READ != 0 {
            let self_ids = bus.self_ids_seen_by(self.node);
            let own = self_ids.iter().find(|of| of.phy == self.id.phy());
            let data = own.map_or(0, |own| self.phy.read(address, own));
            self.registers.phy_control = phy_control::result(address, data);
        } else if value & phy_control::WRITE != 0 {
            let effect = self.phy.write(address, phy_control::data(value));
            // It is done at once, and reads as that.
            self.registers.phy_control = value & !phy_control::WRITE;
            self.do_to_bus(bus, effect, now);
        }
    }

    fn context(&self, offset: u32) -> &Context {
        match offset & !(CONTEXT_LENGTH - 1) {
            regs::AT_REQUEST => &self.at_request.context,
            regs::AT_RESPONSE => &self.at_response.context,
            regs::AR_REQUEST => &self.ar_request.context,
            _ => &self.ar_response.context,
        }
    }

    fn read_context(&self, offset: u32) -> u32 {
        match offset % CONTEXT_LENGTH {
            context::CONTROL_SET | context::CONTROL_CLEAR => self.context(offset).read(),
            context::COMMAND_PTR => self.context(offset).command_ptr.0,
            _ => 0,
        }
    }

    fn write_context(&mut self, offset: u32, value: u32, now: Instant) {
        let register = offset % CONTEXT_LENGTH;
        let base = offset - register;
        match (register, base) {
            (context::CONTROL_SET, regs::AT_REQUEST) => self.at_request.set(value),
            (context::CONTROL_SET, regs::AT_RESPONSE) => self.at_response.set(value),
            (context::CONTROL_CLEAR, regs::AT_REQUEST) => self.at_request.clear(value),
            (context::CONTROL_CLEAR, regs::AT_RESPONSE) => self.at_response.clear(value),
            (context::CONTROL_SET, regs::AR_REQUEST) => {
                self.ar_request.set(value);
                self.fill(Side::Request, now);
            }
            (context::CONTROL_SET, _) => {
                self.ar_response.set(value);
                self.fill(Side::Response, now);
            }
            (context::CONTROL_CLEAR | context::COMMAND_PTR, _) => {
                let context = match base {
                    regs::AT_REQUEST => &mut self.at_request.context,
                    regs::AT_RESPONSE => &mut self.at_response.context,
                    regs::AR_REQUEST => &mut self.ar_request.context,
                    _ => &mut self.ar_response.context,
                };
                if register == context::CONTROL_CLEAR {
                    context.clear(value);
                } else {
                    context.command_ptr = Branch(value);
                }
            }
            _ => {}
        }
    }
}

impl Registers {
    /// Writes a register without side effects.
    fn write(&mut self, offset: u32, value: u32) {
        let set = |mask: &mut u64, bits: u64| *mask |= bits;
        let clear = |mask: &mut u64, bits: u64| *mask &= !bits;
        let wide = u64::from(value);
        match offset {
            regs::AT_RETRIES => self.at_retries = value & 0xffff_0fff,
            regs::BUS_OPTIONS => self.bus_options = value,
            regs::SELF_ID_BUFFER => self.self_id_buffer = value & !0x7ff,
            regs::IR_MULTI_CHAN_MASK_HI_SET..=regs::IR_MULTI_CHAN_MASK_LO_CLEAR
                if offset.is_multiple_of(4) =>
            {
                let [hi, lo] = &mut self.ir_multi_channels;
                let mask = if offset & 8 == 0 { hi } else { lo };
                if offset & 4 == 0 {
                    *mask |= value;
                } else {
                    *mask &= !value;
                }
            }
            regs::INT_MASK_SET => self.int_mask |= IntEvent::from_bits_truncate(value),
            regs::INT_MASK_CLEAR => self.int_mask -= IntEvent::from_bits_truncate(value),
            regs::ISO_XMIT_INT_MASK_SET => self.iso_xmit_mask |= value & ISO_CONTEXTS,
            regs::ISO_XMIT_INT_MASK_CLEAR => self.iso_xmit_mask &= !value,
            regs::ISO_RECV_INT_MASK_SET => self.iso_recv_mask |= value & ISO_CONTEXTS,
            regs::ISO_RECV_INT_MASK_CLEAR => self.iso_recv_mask &= !value,
            regs::INITIAL_BANDWIDTH_AVAILABLE => self.initial_bandwidth = value & 0x1fff,
            regs::INITIAL_CHANNELS_AVAILABLE_HI => self.initial_channels[0] = value,
            regs::INITIAL_CHANNELS_AVAILABLE_LO => self.initial_channels[1] = value,
            regs::FAIRNESS_CONTROL => self.fairness = value & 0xff,
            regs::LINK_CONTROL_SET => self.link_control |= LinkControl::from_bits_truncate(value),
            regs::LINK_CONTROL_CLEAR => self.link_control -= LinkControl::from_bits_truncate(value),
            regs::AS_REQ_FILTER_HI_SET => set(&mut self.as_req_filter, wide << 32),
            regs::AS_REQ_FILTER_HI_CLEAR => clear(&mut self.as_req_filter, wide << 32),
            regs::AS_REQ_FILTER_LO_SET => set(&mut self.as_req_filter, wide),
            regs::AS_REQ_FILTER_LO_CLEAR => clear(&mut self.as_req_filter, wide),
            regs::PHY_REQ_FILTER_HI_SET => set(&mut self.phy_req_filter, wide << 32),
            regs::PHY_REQ_FILTER_HI_CLEAR => clear(&mut self.phy_req_filter, wide << 32),
            regs::PHY_REQ_FILTER_LO_SET => set(&mut self.phy_req_filter, wide),
            regs::PHY_REQ_FILTER_LO_CLEAR => clear(&mut self.phy_req_filter, wide),
            regs::PHY_UPPER_BOUND => self.phy_upper_bound = value,
            _ => {}
        }
    }
}

const fn hi(mask: u64) -> u32 {
    (mask >> 32) as u32
}
