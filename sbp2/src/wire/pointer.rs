use core::fmt;

use ohci_raw::bus::{Address, NodeId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Quadlet;

/// An 8-byte pointer to somebody's memory (5.1.1): 16 bits of node id, 48 bits of address.
///
/// Only the data descriptor of a command ORB may name another node than the initiator. In the
/// other pointers most bridges ignore the node id, but not all: a Nikon scanner given 6 bits of
/// it fetched the login ORB for ever. So it is always filled in with the full 16 bits.
#[derive(
    FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, PartialEq, Eq, Default,
)]
#[repr(C)]
pub struct Pointer {
    hi: Quadlet,
    lo: Quadlet,
}

impl Pointer {
    /// The null pointer: bit 31 of the first quadlet is set, the rest means nothing.
    pub const NULL: Self = Self {
        hi: Quadlet::new(0x8000_0000),
        lo: Quadlet::ZERO,
    };
    /// All bits zero, for fields that are reserved or unused.
    pub const ZERO: Self = Self {
        hi: Quadlet::ZERO,
        lo: Quadlet::ZERO,
    };

    /// A pointer into the memory of `node`.
    ///
    /// In a next_ORB field bit 31 tells null pointers, and every node id of the local bus has it
    /// set: use [`Self::next_orb`] there.
    #[must_use]
    pub fn new(node: NodeId, address: Address) -> Self {
        Self {
            hi: Quadlet::new(u32::from(node.0) << 16 | u32::from(address.hi())),
            lo: Quadlet::new(address.lo()),
        }
    }

    /// A pointer that is no null pointer in a next_ORB field: the node id is left zero.
    #[must_use]
    pub fn next_orb(address: Address) -> Self {
        Self::new(NodeId(0), address)
    }

    /// Whether it is null, for a field that can be (next_ORB, password).
    #[must_use]
    pub fn is_null(self) -> bool {
        self.hi.get() & 0x8000_0000 != 0
    }

    /// The node whose memory it names, as far as it is filled in.
    #[must_use]
    pub fn node(self) -> NodeId {
        NodeId((self.hi.get() >> 16) as u16)
    }

    /// The address.
    #[must_use]
    pub fn address(self) -> Address {
        Address::new(u64::from(self.hi.get() & 0xffff) << 32 | u64::from(self.lo.get()))
    }

    /// The address of an ORB: quadlet-aligned, the low two bits are dropped as targets do.
    #[must_use]
    pub fn orb_address(self) -> Address {
        Address::new(self.address().get() & !3)
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.node(), self.address())
    }
}
