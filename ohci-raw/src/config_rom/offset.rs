use core::fmt;

use crate::bus::{Address, csr};

/// Where a quadlet of the ROM lies, in bytes from the start of register space
/// (`ffff f000 0000`). The ROM starts at 0x400.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Offset(u32);

impl Offset {
    /// The ROM's first quadlet.
    pub const ROM: Self = Self(0x400);

    /// The place `bytes` from the start of register space.
    #[must_use]
    pub const fn new(bytes: u32) -> Self {
        Self(bytes)
    }

    /// The place of the ROM's quadlet number `index`, stopping at the largest offset.
    #[must_use]
    pub fn of_index(index: usize) -> Self {
        Self::ROM.plus_quadlets(index)
    }

    /// Bytes from the start of register space.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Which quadlet of the ROM this is, or `None` before the ROM.
    #[must_use]
    pub fn index(self) -> Option<usize> {
        let bytes = self.0.checked_sub(Self::ROM.0)?;
        usize::try_from(bytes / 4).ok()
    }

    /// The place `quadlets` further on, stopping at the largest offset.
    #[must_use]
    pub fn plus_quadlets(self, quadlets: usize) -> Self {
        let bytes = u32::try_from(quadlets).map_or(u32::MAX, |q| q.saturating_mul(4));
        Self(self.0.saturating_add(bytes))
    }

    /// The address in the node's address space. Register space has 256 MiB; where the offset
    /// passes them, the address wraps as addresses do.
    #[must_use]
    pub const fn address(self) -> Address {
        Address::new(csr::REGISTER_SPACE.get() + self.0 as u64)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}
