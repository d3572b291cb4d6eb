//! Isochronous contexts: their registers are there, and none of them runs.

use ohci_raw::regs::{self, ContextControl, EventCode, IntEvent, context};

use super::Controller;
use super::registers::ISO_CONTEXTS;
use super::window::CONTEXT_LENGTH;

/// Registers of a transmit context, half as many as others have.
const ISO_XMIT_LENGTH: u32 = 0x10;

impl Controller {
    /// The number of the isochronous context at `offset`, both kinds counted in one row, and the
    /// register within it; `None` where none is reported.
    fn iso_context(offset: u32) -> Option<(usize, u32)> {
        let (number, register, kind) = if offset < regs::ISO_RECV {
            let at = offset - regs::ISO_XMIT;
            (at / ISO_XMIT_LENGTH, at % ISO_XMIT_LENGTH, 0)
        } else {
            let at = offset - regs::ISO_RECV;
            (
                at / CONTEXT_LENGTH,
                at % CONTEXT_LENGTH,
                ISO_CONTEXTS.count_ones(),
            )
        };
        let is_reported = number < ISO_CONTEXTS.count_ones();
        is_reported.then_some(((number + kind) as usize, register))
    }

    pub(super) fn read_iso(&self, offset: u32) -> u32 {
        match Self::iso_context(offset) {
            Some((number, context::CONTROL_SET | context::CONTROL_CLEAR)) => {
                match self.iso_control.get(number) {
                    Some(control) if control.contains(ContextControl::DEAD) => {
                        control.bits() | EventCode::Unknown as u32
                    }
                    _ => 0,
                }
            }
            _ => 0,
        }
    }

    /// No isochronous context runs: one that is to run is dead at once.
    pub(super) fn write_iso(&mut self, offset: u32, value: u32) {
        let Some((number, register)) = Self::iso_context(offset) else {
            return;
        };
        let asked = ContextControl::from_bits_truncate(value) & ContextControl::RUN;
        if let Some(control) = self.iso_control.get_mut(number)
            && !asked.is_empty()
        {
            match register {
                context::CONTROL_SET if control.is_empty() => {
                    *control = ContextControl::RUN | ContextControl::DEAD;
                    self.raise(IntEvent::UNRECOVERABLE_ERROR);
                }
                context::CONTROL_CLEAR => *control = ContextControl::empty(),
                _ => {}
            }
        }
    }
}
