//! What a PHY says of itself after a bus reset.

use alloc::vec;
use alloc::vec::Vec;

use super::{GAP_SHIFT, IDENTIFIER_SHIFT, PHY_SHIFT, at_six_bits, six_bits};
use crate::bus::Speed;

/// For how many ports the packets of one node have room: 3 in the first and 8 in each of three
/// more. IEEE 1394a allows 16 ports and uses the same places for them.
pub const MAX_PORTS: usize = 27;

const IDENTIFIER: u32 = 2;
const EXTENDED: u32 = 1 << 23;
const SEQUENCE_SHIFT: u32 = 20;
const SEQUENCE_MASK: u32 = 7;
const LINK_ACTIVE: u32 = 1 << 22;
const SPEED_SHIFT: u32 = 14;
const CONTENDER: u32 = 1 << 11;
const POWER_CLASS_SHIFT: u32 = 8;
const INITIATED_RESET: u32 = 1 << 1;
const MORE_PACKETS: u32 = 1;

const FIRST_PORTS: usize = 3;
const FURTHER_PORTS: usize = 8;
const MAX_PACKETS: usize = 4;

/// A port of a PHY, by its code in self-ID packets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum PortStatus {
    /// The PHY does not have this port.
    NotPresent = 0,
    /// No cable, or nobody at its other end.
    NotConnected = 1,
    /// The node at the other end is nearer to the root.
    Parent = 2,
    /// The node at the other end is farther from the root.
    Child = 3,
}

impl PortStatus {
    const fn from_code(code: u32) -> Self {
        match code & 3 {
            0 => Self::NotPresent,
            1 => Self::NotConnected,
            2 => Self::Parent,
            _ => Self::Child,
        }
    }
}

/// What the link, or whoever configured the PHY, has it say of itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PhyTraits {
    /// Whether the link is on, so that the node answers requests.
    pub link_active: bool,
    /// Whether the node can be isochronous resource manager, and wants to.
    pub contender: bool,
    /// What the node takes from the cable or gives to it, 0..=7 (IEEE 1394a 4.3.4.1).
    pub power_class: u8,
}

impl Default for PhyTraits {
    /// A node that answers, and asks for nothing.
    fn default() -> Self {
        Self {
            link_active: true,
            contender: false,
            power_class: 0,
        }
    }
}

/// The self-ID packets of one node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SelfId {
    /// Its physical id, 0..=62.
    pub phy: u8,
    /// Whether its link is on, so that it answers requests.
    pub link_active: bool,
    /// Its gap count, 0..=63.
    pub gap_count: u8,
    /// The speed of its PHY. Packets have two bits for it: 3 means IEEE 1394b, whatever the
    /// speed, so everything above S400 is encoded as 3, which is read as S800.
    pub speed: Speed,
    /// Whether it can be isochronous resource manager, and wants to.
    pub contender: bool,
    /// What it takes from the cable or gives to it, 0..=7 (IEEE 1394a 4.3.4.1).
    pub power_class: u8,
    /// Whether it began the bus reset.
    pub initiated_reset: bool,
    /// Its ports from number 0 on; what is beyond the end is [`PortStatus::NotPresent`]. Not more
    /// than [`MAX_PORTS`] can be said.
    pub ports: Vec<PortStatus>,
}

/// Why quadlets are not the self-ID packets of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SelfIdError {
    /// The first packet of a node was expected.
    #[error("{0:#010x} is not the first self-ID packet of a node")]
    NotFirst(u32),
    /// A packet announced another one, and the quadlets end.
    #[error("node {phy} announces more self-ID packets than there are")]
    Short {
        /// The node's physical id.
        phy: u8,
    },
    /// A packet announced another one, and something else follows.
    #[error("{got:#010x} is not self-ID packet {number} of node {phy}")]
    NotNext {
        /// The node's physical id.
        phy: u8,
        /// Which of its packets was expected, from 0 on.
        number: usize,
        /// What is there.
        got: u32,
    },
    /// There is no room for a fifth packet in the standard.
    #[error("node {phy} announces a fifth self-ID packet")]
    Long {
        /// The node's physical id.
        phy: u8,
    },
}

impl SelfId {
    /// The node's packets, 1 to 4 quadlets without their complements. Numbers that are too large
    /// for their field lose their upper bits; ports from [`MAX_PORTS`] on are left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u32> {
        let ports = self.ports.len().min(MAX_PORTS);
        let further = ports.saturating_sub(FIRST_PORTS).div_ceil(FURTHER_PORTS);
        let head = IDENTIFIER << IDENTIFIER_SHIFT | at_six_bits(self.phy, PHY_SHIFT);
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        let mut packets = vec![
            head | flag(self.link_active, LINK_ACTIVE)
                | at_six_bits(self.gap_count, GAP_SHIFT)
                | u32::from(self.speed.min(Speed::S800).code()) << SPEED_SHIFT
                | flag(self.contender, CONTENDER)
                | u32::from(self.power_class & 7) << POWER_CLASS_SHIFT
                | flag(self.initiated_reset, INITIATED_RESET),
        ];
        packets.extend((0..further as u32).map(|n| head | EXTENDED | n << SEQUENCE_SHIFT));
        for (port, status) in self.ports.iter().take(MAX_PORTS).enumerate() {
            let (packet, shift) = place(port);
            packets[packet] |= (*status as u32) << shift;
        }
        for packet in &mut packets[..further] {
            *packet |= MORE_PACKETS;
        }
        packets
    }

    /// The node whose packets come first in `packets`, and what is left of them behind it. Its
    /// ports end with the last one that is present.
    ///
    /// # Errors
    /// [`SelfIdError`], also where `packets` is empty ([`SelfIdError::NotFirst`] of 0).
    pub fn parse(packets: &[u32]) -> Result<(Self, &[u32]), SelfIdError> {
        let first = packets.first().copied().unwrap_or_default();
        if first >> IDENTIFIER_SHIFT != IDENTIFIER || first & EXTENDED != 0 {
            return Err(SelfIdError::NotFirst(first));
        }
        let phy = six_bits(first, PHY_SHIFT);
        let mut last = first;
        let mut count = 1;
        while last & MORE_PACKETS != 0 {
            if count == MAX_PACKETS {
                return Err(SelfIdError::Long { phy });
            }
            let got = *packets.get(count).ok_or(SelfIdError::Short { phy })?;
            let is_next = got >> IDENTIFIER_SHIFT == IDENTIFIER
                && six_bits(got, PHY_SHIFT) == phy
                && got & EXTENDED != 0
                && (got >> SEQUENCE_SHIFT & SEQUENCE_MASK) as usize == count - 1;
            if !is_next {
                let number = count;
                return Err(SelfIdError::NotNext { phy, number, got });
            }
            last = got;
            count += 1;
        }
        let (own, rest) = packets.split_at(count);
        let mut ports: Vec<PortStatus> = (0..FIRST_PORTS + (count - 1) * FURTHER_PORTS)
            .map(|port| {
                let (packet, shift) = place(port);
                PortStatus::from_code(own[packet] >> shift)
            })
            .collect();
        while ports.last() == Some(&PortStatus::NotPresent) {
            ports.pop();
        }
        let this = Self {
            phy,
            link_active: first & LINK_ACTIVE != 0,
            gap_count: six_bits(first, GAP_SHIFT),
            speed: match first >> SPEED_SHIFT & 3 {
                0 => Speed::S100,
                1 => Speed::S200,
                2 => Speed::S400,
                _ => Speed::S800,
            },
            contender: first & CONTENDER != 0,
            power_class: (first >> POWER_CLASS_SHIFT & 7) as u8,
            initiated_reset: first & INITIATED_RESET != 0,
            ports,
        };
        Ok((this, rest))
    }

    /// Every node of a bus from its packets in their order. Whether they make up a tree is not
    /// looked at.
    ///
    /// # Errors
    /// [`SelfIdError`].
    pub fn parse_all(mut packets: &[u32]) -> Result<Vec<Self>, SelfIdError> {
        let mut nodes = Vec::new();
        while !packets.is_empty() {
            let (node, rest) = Self::parse(packets)?;
            nodes.push(node);
            packets = rest;
        }
        Ok(nodes)
    }

    /// Whether the node is the root: it has no parent.
    #[must_use]
    pub fn is_root(&self) -> bool {
        !self.ports.contains(&PortStatus::Parent)
    }
}

/// In which packet of its node a port is found, and from which bit on.
const fn place(port: usize) -> (usize, u32) {
    let slot = port + FURTHER_PORTS - FIRST_PORTS;
    (slot / FURTHER_PORTS, 16 - (slot % FURTHER_PORTS) as u32 * 2)
}
