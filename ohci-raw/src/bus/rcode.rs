use core::fmt;

/// How a transaction ended.
///
/// Values below 0x10 cross the bus in response packets (IEEE 1394-1995 6.2.4.10); those from
/// 0x10 on are made by the host and are numbered as in Linux's `firewire-constants.h`. Unknown
/// values are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RCode(pub u32);

impl RCode {
    /// The peer did what was asked.
    pub const COMPLETE: Self = Self(0x0);
    /// The peer is busy with something that excludes the request; trying later may help.
    pub const CONFLICT_ERROR: Self = Self(0x4);
    /// The peer could not read or keep the data.
    pub const DATA_ERROR: Self = Self(0x5);
    /// The address exists and does not take this kind of request.
    pub const TYPE_ERROR: Self = Self(0x6);
    /// Nothing is at that address.
    pub const ADDRESS_ERROR: Self = Self(0x7);
    /// The host could not send: no free transaction label, or an error in the controller.
    pub const SEND_ERROR: Self = Self(0x10);
    /// No response came within the split timeout. The peer may have done what was asked.
    pub const CANCELLED: Self = Self(0x11);
    /// The peer answered busy until the retries ran out. It has not seen the request.
    pub const BUSY: Self = Self(0x12);
    /// A bus reset came first. Unless the generation was stale from the start, the peer may
    /// have done what was asked.
    pub const GENERATION: Self = Self(0x13);
    /// Nobody acknowledged the packet.
    pub const NO_ACK: Self = Self(0x14);

    /// Whether the peer did what was asked.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        self.0 == Self::COMPLETE.0
    }

    /// The name, where the value has one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::COMPLETE => "complete",
            Self::CONFLICT_ERROR => "conflict error",
            Self::DATA_ERROR => "data error",
            Self::TYPE_ERROR => "type error",
            Self::ADDRESS_ERROR => "address error",
            Self::SEND_ERROR => "send error",
            Self::CANCELLED => "no response (split timeout)",
            Self::BUSY => "busy",
            Self::GENERATION => "bus reset",
            Self::NO_ACK => "no acknowledgement",
            _ => return None,
        })
    }
}

impl fmt::Display for RCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (rcode {:#x})",
            self.name().unwrap_or("unknown"),
            self.0
        )
    }
}

impl fmt::Debug for RCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
