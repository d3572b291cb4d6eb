//! The packets that PHYs send each other.

use super::{GAP_SHIFT, IDENTIFIER_SHIFT, PHY_SHIFT, at_six_bits, six_bits};

const LINK_ON: u32 = 1;
const SELF_ID: u32 = 2;
const FORCE_ROOT: u32 = 1 << 23;
const SET_GAP_COUNT: u32 = 1 << 22;
/// Extended packets are configuration packets that configure nothing; these bits tell them apart.
const TYPE_SHIFT: u32 = 18;
const TYPE_MASK: u32 = 0xf;
const TYPE_PING: u32 = 0;
const TYPE_RESERVED: u32 = 2;
const TYPE_RESUME: u32 = 0xf;

/// A PHY packet, by its first quadlet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PhyPacket {
    /// Configures every PHY of the bus. With neither of the two it configures nothing, and is
    /// encoded as an extended packet of a reserved type, which no PHY heeds.
    Configuration {
        /// The physical id of the node that is to be root after the next bus reset; all others
        /// give up theirs.
        root: Option<u8>,
        /// The gap count from now on, 0..=63. It outlives one bus reset.
        gap_count: Option<u8>,
    },
    /// Asks a PHY to switch its link on.
    LinkOn {
        /// Whose.
        phy: u8,
    },
    /// Asks a PHY for its self-ID packets.
    Ping {
        /// Whose.
        phy: u8,
    },
    /// Has every PHY resume its suspended ports.
    Resume {
        /// Who sent it.
        phy: u8,
    },
    /// One of the packets of a [`SelfId`](super::SelfId).
    SelfId(u32),
    /// Anything else: PHY register access by others, and what the standard reserves.
    Other(u32),
}

impl PhyPacket {
    /// What the quadlet says. Reserved bits are not looked at.
    #[must_use]
    pub const fn parse(quadlet: u32) -> Self {
        let phy = six_bits(quadlet, PHY_SHIFT);
        match quadlet >> IDENTIFIER_SHIFT {
            0 if quadlet & (FORCE_ROOT | SET_GAP_COUNT) != 0 => Self::Configuration {
                root: if quadlet & FORCE_ROOT != 0 {
                    Some(phy)
                } else {
                    None
                },
                gap_count: if quadlet & SET_GAP_COUNT != 0 {
                    Some(six_bits(quadlet, GAP_SHIFT))
                } else {
                    None
                },
            },
            0 => match quadlet >> TYPE_SHIFT & TYPE_MASK {
                TYPE_PING => Self::Ping { phy },
                TYPE_RESUME => Self::Resume { phy },
                _ => Self::Other(quadlet),
            },
            LINK_ON => Self::LinkOn { phy },
            SELF_ID => Self::SelfId(quadlet),
            _ => Self::Other(quadlet),
        }
    }

    /// The quadlet. Numbers that are too large for their field lose their upper bits.
    #[must_use]
    pub const fn encode(self) -> u32 {
        match self {
            Self::Configuration {
                root: None,
                gap_count: None,
            } => TYPE_RESERVED << TYPE_SHIFT,
            Self::Configuration { root, gap_count } => {
                let root = match root {
                    Some(phy) => FORCE_ROOT | at_six_bits(phy, PHY_SHIFT),
                    None => 0,
                };
                let gap_count = match gap_count {
                    Some(count) => SET_GAP_COUNT | at_six_bits(count, GAP_SHIFT),
                    None => 0,
                };
                root | gap_count
            }
            Self::LinkOn { phy } => LINK_ON << IDENTIFIER_SHIFT | at_six_bits(phy, PHY_SHIFT),
            Self::Ping { phy } => TYPE_PING << TYPE_SHIFT | at_six_bits(phy, PHY_SHIFT),
            Self::Resume { phy } => TYPE_RESUME << TYPE_SHIFT | at_six_bits(phy, PHY_SHIFT),
            Self::SelfId(quadlet) | Self::Other(quadlet) => quadlet,
        }
    }
}
