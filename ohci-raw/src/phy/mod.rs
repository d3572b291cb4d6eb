//! PHY packets and PHY registers, as IEEE 1394-1995 and 1394a lay them out.
//!
//! PHYs talk by packets of one quadlet, which on the bus is followed by its complement; here the
//! complement is left out. Nothing in here does I/O.
//!
//! | what | where in the standard |
//! |---|---|
//! | [`SelfId`] | IEEE 1394a 4.3.4.1 |
//! | [`PhyPacket`] | IEEE 1394a 4.3.4.2 (link-on), 4.3.4.3 (configuration), 4.3.4.4 (ping and other extended ones) |
//! | [`PhyRegisters`] | IEEE 1394a 5B |

mod packet;
mod registers;
mod self_id;
#[cfg(test)]
mod tests;

pub use packet::PhyPacket;
pub use registers::{PhyEffect, PhyRegisters, register};
pub use self_id::{MAX_PORTS, PhyTraits, PortStatus, SelfId, SelfIdError};

/// The two highest bits, which say of what kind a PHY packet is.
const IDENTIFIER_SHIFT: u32 = 30;
/// The physical id in all of them: whose packet it is, or whom it concerns.
const PHY_SHIFT: u32 = 24;
/// The gap count of self-ID and configuration packets.
const GAP_SHIFT: u32 = 16;
const SIX_BITS: u32 = 0x3f;

/// Six bits of a quadlet from bit `shift` on.
const fn six_bits(quadlet: u32, shift: u32) -> u8 {
    (quadlet >> shift & SIX_BITS) as u8
}

/// The lower six bits of a value at their place in a quadlet.
const fn at_six_bits(value: u8, shift: u32) -> u32 {
    (value as u32 & SIX_BITS) << shift
}
