//! What all DMA contexts have: a control register and a command pointer (OHCI 1.1, 3.1).

use ohci_raw::bus::Speed;
use ohci_raw::descriptor::Branch;
use ohci_raw::regs::{ContextControl, EventCode};

/// The registers of a context.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) control: ContextControl,
    pub(super) command_ptr: Branch,
    event: EventCode,
    speed: u8,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            control: ContextControl::empty(),
            command_ptr: Branch::default(),
            event: EventCode::NoStatus,
            speed: 0,
        }
    }
}

impl Context {
    /// Software sets bits. Whether the context begins to run.
    pub(super) fn set(&mut self, value: u32) -> bool {
        let asked = ContextControl::from_bits_truncate(value)
            & (ContextControl::RUN | ContextControl::WAKE);
        let starts =
            asked.contains(ContextControl::RUN) && !self.control.contains(ContextControl::RUN);
        self.control |= asked;
        if starts {
            self.event = EventCode::NoStatus;
        }
        starts
    }

    /// Software clears bits. Without RUN the context is at rest at once, and no longer dead.
    pub(super) fn clear(&mut self, value: u32) {
        if ContextControl::from_bits_truncate(value).contains(ContextControl::RUN) {
            self.control = ContextControl::empty();
        }
    }

    /// What software reads.
    pub(super) fn read(&self) -> u32 {
        self.control.bits() | u32::from(self.speed) << 5 | u32::from(self.event as u8)
    }

    /// What goes into descriptors and trailers: whether software has appended something meanwhile
    /// is not for them.
    pub(super) fn status(&self) -> u16 {
        (self.read() & !ContextControl::WAKE.bits()) as u16
    }

    pub(super) fn runs(&self) -> bool {
        self.control.contains(ContextControl::RUN) && !self.control.contains(ContextControl::DEAD)
    }

    pub(super) fn set_active(&mut self, is_active: bool) {
        self.control.set(ContextControl::ACTIVE, is_active);
    }

    /// Whether software has appended something since the last call.
    pub(super) fn take_wake(&mut self) -> bool {
        let was_woken = self.control.contains(ContextControl::WAKE);
        self.control.remove(ContextControl::WAKE);
        was_woken
    }

    pub(super) const fn end_with(&mut self, event: EventCode) {
        self.event = event;
    }

    pub(super) const fn received(&mut self, event: EventCode, speed: Speed) {
        self.event = event;
        self.speed = speed.code();
    }
}
