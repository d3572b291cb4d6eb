use core::fmt;

/// A node's 16-bit id: 10 bits of bus number, 6 bits of physical id.
///
/// Ids are given out anew at every bus reset, so an id means something only together with the
/// [`Generation`] in which it was learnt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The bus number of "the bus that I am on"; the only one in use without bus bridges.
    pub const LOCAL_BUS: u16 = 0x3ff;

    /// The node with this physical id (0..=62) on the local bus. Higher bits of `phy` are dropped.
    #[must_use]
    pub const fn local(phy: u8) -> Self {
        Self(Self::LOCAL_BUS << 6 | (phy & 0x3f) as u16)
    }

    /// The physical id, 0..=63; 63 addresses every node (broadcast).
    #[must_use]
    pub const fn phy(self) -> u8 {
        (self.0 & 0x3f) as u8
    }

    /// The bus number, 0..=1023.
    #[must_use]
    pub const fn bus(self) -> u16 {
        self.0 >> 6
    }

    /// Whether every node is addressed.
    #[must_use]
    pub const fn is_broadcast(self) -> bool {
        self.phy() == 0x3f
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Counts bus resets. A transaction that names another generation than the current one is not
/// sent, and a request that carries another one is stale.
///
/// The kernel uses the controller's 8-bit counter, so equality is all that may be asked of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Generation(pub u32);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
