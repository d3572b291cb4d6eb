use ohci_raw::bus::{Address, Eui64, NodeId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Doublet, Quadlet};

/// What a target answers to LOGIN (5.1.3.1), 12 or 16 bytes.
#[derive(
    FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, PartialEq, Eq, Debug,
)]
#[repr(C)]
pub struct LoginResponse {
    length: Doublet,
    login_id: Doublet,
    agent_hi: Quadlet,
    agent_lo: Quadlet,
    hold: Quadlet,
}

impl LoginResponse {
    /// The shortest form: it ends before `reconnect_hold`.
    pub const MIN_LENGTH: usize = 12;
    /// The whole.
    pub const LENGTH: usize = 16;

    /// A response. `reconnect_hold` is in seconds less one, as [`Self::reconnect_hold`] reads it.
    #[must_use]
    pub fn new(login_id: u16, agent: Address, reconnect_hold: u16) -> Self {
        Self {
            length: Doublet::new(Self::LENGTH as u16),
            login_id: Doublet::new(login_id),
            agent_hi: Quadlet::new(u32::from(agent.hi())),
            agent_lo: Quadlet::new(agent.lo()),
            hold: Quadlet::new(u32::from(reconnect_hold)),
        }
    }

    /// The number of bytes that the target says it has written.
    #[must_use]
    pub fn length(&self) -> usize {
        usize::from(self.length.get())
    }

    /// Names the login in further management ORBs.
    #[must_use]
    pub fn login_id(&self) -> u16 {
        self.login_id.get()
    }

    /// Where the command block agent's registers are in the target.
    #[must_use]
    pub fn command_block_agent(&self) -> Address {
        Address::new(u64::from(self.agent_hi.get() & 0xffff) << 32 | u64::from(self.agent_lo.get()))
    }

    /// How long the target keeps the login after a bus reset, or `None` in a short response.
    ///
    /// Read as seconds less one by Linux's target, Apple and illumos. FreeBSD's target writes
    /// plain seconds, so the value itself is what may be relied upon.
    #[must_use]
    pub fn reconnect_hold(&self) -> Option<u16> {
        (self.length() >= Self::LENGTH).then(|| self.hold.get() as u16)
    }
}

/// The first quadlet of what a target answers to QUERY LOGINS (5.1.3.2). [`LoginEntry`]s follow.
#[derive(
    FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, PartialEq, Eq, Debug,
)]
#[repr(C)]
pub struct QueryLoginsHeader {
    length: Doublet,
    max_logins: Doublet,
}

impl QueryLoginsHeader {
    /// A header before `active` entries; as many as the 16-bit length can tell are counted.
    #[must_use]
    pub fn new(active: usize, max_logins: u16) -> Self {
        let length = active
            .saturating_mul(size_of::<LoginEntry>())
            .saturating_add(size_of::<Self>());
        Self {
            length: Doublet::new(u16::try_from(length).unwrap_or(u16::MAX)),
            max_logins: Doublet::new(max_logins),
        }
    }

    /// How many logins the logical unit accepts at once.
    #[must_use]
    pub fn max_logins(&self) -> u16 {
        self.max_logins.get()
    }

    /// How many are in. May be more than fitted into the room for the response.
    #[must_use]
    pub fn active(&self) -> usize {
        usize::from(self.length.get()).saturating_sub(size_of::<Self>()) / size_of::<LoginEntry>()
    }
}

/// One login, as QUERY LOGINS tells it.
#[derive(
    FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, PartialEq, Eq, Debug,
)]
#[repr(C)]
pub struct LoginEntry {
    node: Doublet,
    login_id: Doublet,
    eui64_hi: Quadlet,
    eui64_lo: Quadlet,
}

impl LoginEntry {
    /// An entry.
    #[must_use]
    pub fn new(node: NodeId, login_id: u16, eui64: Eui64) -> Self {
        Self {
            node: Doublet::new(node.0),
            login_id: Doublet::new(login_id),
            eui64_hi: Quadlet::new(eui64.hi()),
            eui64_lo: Quadlet::new(eui64.lo()),
        }
    }

    /// The initiator's node id when it logged in or reconnected.
    #[must_use]
    pub fn node(&self) -> NodeId {
        NodeId(self.node.get())
    }

    /// The login.
    #[must_use]
    pub fn login_id(&self) -> u16 {
        self.login_id.get()
    }

    /// Whose login it is.
    #[must_use]
    pub fn eui64(&self) -> Eui64 {
        Eui64::from_quadlets(self.eui64_hi.get(), self.eui64_lo.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_response_masks_the_reserved_half_of_the_agent_address() {
        let bytes = [
            0, 16, 0, 7, 0xff, 0xc2, 0xff, 0xff, 0xf0, 1, 0, 0x20, 0, 0, 0, 3,
        ];
        let response = LoginResponse::read_from_bytes(&bytes).unwrap();
        assert_eq!(response.login_id(), 7);
        assert_eq!(
            response.command_block_agent(),
            Address::new(0xffff_f001_0020)
        );
        assert_eq!(response.reconnect_hold(), Some(3));
        let short = [0, 12, 0, 7, 0, 0, 0xff, 0xff, 0xf0, 1, 0, 0x20, 9, 9, 9, 9];
        let short = LoginResponse::read_from_bytes(&short).unwrap();
        assert_eq!(short.reconnect_hold(), None);
        assert_eq!(
            LoginResponse::new(7, Address::new(0xffff_f001_0020), 3).as_bytes()[..4],
            [0, 16, 0, 7]
        );
    }

    #[test]
    fn the_length_counts_the_logins() {
        let header = QueryLoginsHeader::new(2, 4);
        assert_eq!(header.as_bytes(), [0, 28, 0, 4]);
        assert_eq!(header.active(), 2);
        let absurd = QueryLoginsHeader::read_from_bytes(&[0, 0, 0, 1]).unwrap();
        assert_eq!(absurd.active(), 0);
        assert_eq!(QueryLoginsHeader::new(usize::MAX, 1).active(), 5460);
    }
}
