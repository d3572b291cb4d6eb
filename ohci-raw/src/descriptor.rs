//! The descriptors of OHCI DMA contexts for asynchronous packets (OHCI release 1.1, chapters 3, 7
//! and 8).
//!
//! A context program is a list of blocks in memory. A block begins at a multiple of 16 and has Z
//! descriptors of 16 bytes; whoever names a block, [`Branch`], says how many. Everything is
//! little-endian.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::regs::EventCode;

/// Bytes of a descriptor.
pub const DESCRIPTOR_LENGTH: u64 = 16;

/// One descriptor, of any kind.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Descriptor {
    /// How many bytes it is about.
    pub req_count: U16,
    /// What it is; see [`Self::command`] and its neighbours.
    pub control: U16,
    /// Where its data is.
    pub data_address: U32,
    /// Where the next block is; of a block's last descriptor only.
    pub branch_address: U32,
    /// Receive: how many bytes of the buffer are still free. Transmit: the time of sending.
    pub res_count: U16,
    /// The low half of the context's control register when it was done with the descriptor.
    pub transfer_status: U16,
}

/// What a descriptor is: bits 15:12 of its control field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Part of a packet to send.
    OutputMore,
    /// The last part of it.
    OutputLast,
    /// A buffer to fill.
    InputMore,
    /// A buffer for the last part of a packet (not for asynchronous packets).
    InputLast,
}

impl Descriptor {
    /// Bits 10:8 of the control field: the data stands behind the descriptor itself.
    pub const KEY_IMMEDIATE: u16 = 2 << 8;
    /// Bits 5:4 of the control field: interrupt when done, always.
    pub const INTERRUPT_ALWAYS: u16 = 3 << 4;
    /// Bits 3:2 of the control field: branch when done, always.
    pub const BRANCH_ALWAYS: u16 = 3 << 2;

    /// What it is. `None`: nothing of chapters 7 and 8.
    #[must_use]
    pub fn command(&self) -> Option<Command> {
        Some(match self.control.get() >> 12 {
            0 => Command::OutputMore,
            1 => Command::OutputLast,
            2 => Command::InputMore,
            3 => Command::InputLast,
            _ => return None,
        })
    }

    /// Whether the data stands behind the descriptor itself.
    #[must_use]
    pub fn is_immediate(&self) -> bool {
        self.control.get() & 0x700 == Self::KEY_IMMEDIATE
    }

    /// Whether an interrupt is wanted for a packet that ended with this event.
    #[must_use]
    pub fn interrupts(&self, event: EventCode) -> bool {
        match self.control.get() >> 4 & 3 {
            3 => true,
            1 => !matches!(event, EventCode::AckComplete | EventCode::AckPending),
            _ => false,
        }
    }

    /// Where the next block is.
    #[must_use]
    pub fn branch(&self) -> Branch {
        Branch(self.branch_address.get())
    }
}

/// Names a block of descriptors, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Branch(pub u32);

impl Branch {
    /// Where the block begins.
    #[must_use]
    pub const fn address(self) -> u64 {
        (self.0 & !0xf) as u64
    }

    /// How many descriptors it has, 1 to 15; 0: there is no block (yet).
    #[must_use]
    pub const fn z(self) -> u8 {
        (self.0 & 0xf) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_lies_in_memory_as_the_specification_draws_it() {
        // What firewire-ohci makes of a read of a quadlet.
        let bytes = [
            0x0c, 0x00, 0x3c, 0x12, 0, 0, 0, 0, 0x42, 0x10, 0, 0x80, 0x34, 0x12, 0x12, 0x84,
        ];
        let descriptor = Descriptor::read_from_bytes(&bytes).unwrap();
        assert_eq!(descriptor.command(), Some(Command::OutputLast));
        assert!(descriptor.is_immediate());
        assert_eq!(descriptor.req_count.get(), 12);
        assert_eq!(descriptor.branch().address(), 0x8000_1040);
        assert_eq!(descriptor.branch().z(), 2);
        assert_eq!(descriptor.res_count.get(), 0x1234);
        assert_eq!(descriptor.transfer_status.get(), 0x8412);
        assert!(descriptor.interrupts(EventCode::AckPending));
    }
}
