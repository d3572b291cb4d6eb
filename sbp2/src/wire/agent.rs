/// How many bytes of registers a command block agent has (6.4).
pub const AGENT_LENGTH: u64 = 32;

/// The registers of a command block agent (6.4), by their offset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum AgentRegister {
    /// Quadlet, read: the agent's state.
    AgentState = 0x00,
    /// Quadlet, write of any value: back to the RESET state.
    AgentReset = 0x04,
    /// Octlet, write: the first ORB to fetch.
    OrbPointer = 0x08,
    /// Quadlet, write of any value: look at the last ORB's next_ORB again.
    Doorbell = 0x10,
    /// Quadlet, write of any value: one unsolicited status block may be sent.
    UnsolicitedStatusEnable = 0x14,
}

impl AgentRegister {
    /// The register at this offset into the agent.
    #[must_use]
    pub const fn at(offset: u64) -> Option<Self> {
        Some(match offset {
            0x00 => Self::AgentState,
            0x04 => Self::AgentReset,
            0x08 => Self::OrbPointer,
            0x10 => Self::Doorbell,
            0x14 => Self::UnsolicitedStatusEnable,
            _ => return None,
        })
    }

    /// The register's offset into the agent.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self as u64
    }
}

/// What a command block agent is doing (9.1), as AGENT_STATE tells it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum AgentState {
    /// Fresh from login, reset or bus reset; waits for an ORB_POINTER.
    Reset = 0,
    /// Fetches ORBs.
    Active = 1,
    /// Has met a null next_ORB; waits for a doorbell or an ORB_POINTER.
    Suspended = 2,
    /// Has met an error; waits for an AGENT_RESET.
    Dead = 3,
}
