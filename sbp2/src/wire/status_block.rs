use alloc::vec::Vec;
use core::fmt;

use ohci_raw::bus::Address;

/// Which ORB a status block speaks of (5.3, src). Two bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StatusSource {
    /// An ORB whose next_ORB was not null when it was fetched.
    OrbNextNotNull,
    /// An ORB whose next_ORB was null when it was fetched. The target may read it again after
    /// a doorbell, so it has to stay where it is.
    OrbNextNull,
    /// No ORB: the device tells something by itself.
    Unsolicited,
    /// Reserved.
    Reserved,
}

/// How an ORB was handled (5.3, resp). Two bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Resp {
    /// It was carried out; [`StatusBlock::sbp_status`] says how it went.
    RequestComplete,
    /// The bus failed on the way; [`StatusBlock::serial_bus_error`] says how.
    TransportFailure,
    /// Something in the ORB is not allowed.
    IllegalRequest,
    /// As the vendor says.
    VendorDependent,
}

/// The result of a request that was carried out (5.3, sbp_status). Unknown codes are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sbp2Status(pub u8);

impl Sbp2Status {
    /// No additional information: it went well.
    pub const OK: Self = Self(0x0);
    /// The target does not know this request.
    pub const REQUEST_TYPE_NOT_SUPPORTED: Self = Self(0x1);
    /// The target cannot send that fast.
    pub const SPEED_NOT_SUPPORTED: Self = Self(0x2);
    /// The target cannot use such page tables.
    pub const PAGE_SIZE_NOT_SUPPORTED: Self = Self(0x3);
    /// Somebody else has the logical unit, or the login is not the asker's.
    pub const ACCESS_DENIED: Self = Self(0x4);
    /// There is no such logical unit.
    pub const LOGICAL_UNIT_NOT_SUPPORTED: Self = Self(0x5);
    /// The target cannot use packets that small.
    pub const MAX_PAYLOAD_TOO_SMALL: Self = Self(0x6);
    /// The logical unit has no room for another login.
    pub const RESOURCES_UNAVAILABLE: Self = Self(0x8);
    /// The target will not do it.
    pub const FUNCTION_REJECTED: Self = Self(0x9);
    /// There is no such login.
    pub const LOGIN_ID_NOT_RECOGNIZED: Self = Self(0xa);
    /// A dummy ORB was passed.
    pub const DUMMY_ORB_COMPLETED: Self = Self(0xb);
    /// The request was aborted.
    pub const REQUEST_ABORTED: Self = Self(0xc);
    /// The target does not say what went wrong.
    pub const UNSPECIFIED_ERROR: Self = Self(0xff);

    /// What the standard says of the code, where it says something.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::OK => "no additional information",
            Self::REQUEST_TYPE_NOT_SUPPORTED => "request type not supported",
            Self::SPEED_NOT_SUPPORTED => "speed not supported",
            Self::PAGE_SIZE_NOT_SUPPORTED => "page size not supported",
            Self::ACCESS_DENIED => "access denied",
            Self::LOGICAL_UNIT_NOT_SUPPORTED => "logical unit not supported",
            Self::MAX_PAYLOAD_TOO_SMALL => "maximum payload too small",
            Self::RESOURCES_UNAVAILABLE => "resources unavailable",
            Self::FUNCTION_REJECTED => "function rejected",
            Self::LOGIN_ID_NOT_RECOGNIZED => "login ID not recognized",
            Self::DUMMY_ORB_COMPLETED => "dummy ORB completed",
            Self::REQUEST_ABORTED => "request aborted",
            Self::UNSPECIFIED_ERROR => "unspecified error",
            _ => return None,
        })
    }
}

impl fmt::Display for Sbp2Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name().unwrap_or("unknown");
        write!(f, "{name} (sbp_status {:#x})", self.0)
    }
}

impl fmt::Debug for Sbp2Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the target was moving when the bus failed (5.3, sbp_status 7:6 of a transport failure).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TransportObject {
    /// The ORB itself.
    Orb,
    /// Data.
    DataBuffer,
    /// The page table.
    PageTable,
    /// It does not say.
    Unspecified,
}

/// How the bus failed the target (5.3, sbp_status 3:0 of a transport failure).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SerialBusError(pub u8);

impl SerialBusError {
    /// Nobody acknowledged.
    pub const MISSING_ACKNOWLEDGE: Self = Self(0x0);
    /// No response in time.
    pub const TIME_OUT: Self = Self(0x2);
    /// The initiator was busy for too long (ack_busy_X).
    pub const BUSY_X: Self = Self(0x4);
    /// The initiator answered with a conflict.
    pub const CONFLICT_ERROR: Self = Self(0xc);
    /// Data arrived damaged.
    pub const DATA_ERROR: Self = Self(0xd);
    /// The initiator does not take this kind of access there.
    pub const TYPE_ERROR: Self = Self(0xe);
    /// The initiator has nothing at that address.
    pub const ADDRESS_ERROR: Self = Self(0xf);

    /// The name, where the code has one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0x0 => "missing acknowledge",
            0x2 => "time-out",
            0x4 => "busy retry limit exceeded (X)",
            0x5 => "busy retry limit exceeded (A)",
            0x6 => "busy retry limit exceeded (B)",
            0xb => "tardy retry limit exceeded",
            0xc => "conflict error",
            0xd => "data error",
            0xe => "type error",
            0xf => "address error",
            _ => return None,
        })
    }
}

impl fmt::Display for SerialBusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name().unwrap_or("unknown");
        write!(f, "{name} (serial bus error {:#x})", self.0)
    }
}

impl fmt::Debug for SerialBusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The bytes cannot be a status block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a status block has 8 to 32 bytes in quadlets, not {length}")]
pub struct StatusError {
    /// How many bytes came.
    pub length: usize,
}

/// What a target writes to the status FIFO when it has done with an ORB (5.3).
#[derive(Clone, PartialEq, Eq)]
pub struct StatusBlock {
    /// Bits 31:24 of the first quadlet.
    control: u8,
    /// Bits 23:16 of the first quadlet, as they are.
    pub status: u8,
    /// The ORB that it speaks of.
    pub orb: Address,
    /// What the command set adds: 0 to 24 bytes in whole quadlets. Absent bytes count as zero.
    pub command_set_dependent: Vec<u8>,
}

const DEAD: u8 = 1 << 3;

impl StatusBlock {
    /// The shortest.
    pub const MIN_LENGTH: usize = 8;
    /// The longest.
    pub const MAX_LENGTH: usize = 32;

    /// A status block. `command_set_dependent` is filled up to a whole quadlet and cut at 24
    /// bytes.
    #[must_use]
    pub fn new(
        source: StatusSource,
        resp: Resp,
        dead: bool,
        status: u8,
        orb: Address,
        command_set_dependent: &[u8],
    ) -> Self {
        let mut extra = Vec::from(command_set_dependent);
        extra.truncate(Self::MAX_LENGTH - Self::MIN_LENGTH);
        extra.resize(extra.len().next_multiple_of(4), 0);
        Self {
            control: (source as u8) << 6 | (resp as u8) << 4 | if dead { DEAD } else { 0 },
            status,
            orb: Address::new(orb.get() & !3),
            command_set_dependent: extra,
        }
    }

    /// Reads what arrived at a status FIFO.
    ///
    /// The number of bytes that arrived counts, not the `len` field: a device that says more
    /// than it sends has sent zeros.
    ///
    /// # Errors
    /// [`StatusError`] unless there are 8 to 32 bytes in whole quadlets.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatusError> {
        let error = StatusError {
            length: bytes.len(),
        };
        if bytes.len() > Self::MAX_LENGTH || !bytes.len().is_multiple_of(4) {
            return Err(error);
        }
        let (head, extra) = bytes.split_first_chunk::<8>().ok_or(error)?;
        let [control, status, orb @ ..] = *head;
        let mut offset = [0; 8];
        offset[2..].copy_from_slice(&orb);
        Ok(Self {
            control,
            status,
            orb: Address::new(u64::from_be_bytes(offset) & !3),
            command_set_dependent: Vec::from(extra),
        })
    }

    /// The bytes that cross the bus.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::MIN_LENGTH + self.command_set_dependent.len());
        let quadlets_after_first = 1 + self.command_set_dependent.len() / 4;
        bytes.push(self.control & !7 | (quadlets_after_first & 7) as u8);
        bytes.push(self.status);
        bytes.extend_from_slice(&self.orb.get().to_be_bytes()[2..]);
        bytes.extend_from_slice(&self.command_set_dependent);
        bytes
    }

    /// Which ORB it speaks of.
    #[must_use]
    pub fn source(&self) -> StatusSource {
        match self.control >> 6 {
            0 => StatusSource::OrbNextNotNull,
            1 => StatusSource::OrbNextNull,
            2 => StatusSource::Unsolicited,
            _ => StatusSource::Reserved,
        }
    }

    /// How the ORB was handled.
    #[must_use]
    pub fn resp(&self) -> Resp {
        match self.control >> 4 & 3 {
            0 => Resp::RequestComplete,
            1 => Resp::TransportFailure,
            2 => Resp::IllegalRequest,
            _ => Resp::VendorDependent,
        }
    }

    /// Whether the fetch agent is dead and needs an AGENT_RESET.
    #[must_use]
    pub fn dead(&self) -> bool {
        self.control & DEAD != 0
    }

    /// [`Self::status`] read for a request that was carried out.
    #[must_use]
    pub fn sbp_status(&self) -> Sbp2Status {
        Sbp2Status(self.status)
    }

    /// [`Self::status`] read for a transport failure: what was being moved, and what happened.
    /// `None` where the target does not say (0xff).
    #[must_use]
    pub fn serial_bus_error(&self) -> Option<(TransportObject, SerialBusError)> {
        if self.status == 0xff {
            return None;
        }
        let object = match self.status >> 6 {
            0 => TransportObject::Orb,
            1 => TransportObject::DataBuffer,
            2 => TransportObject::PageTable,
            _ => TransportObject::Unspecified,
        };
        Some((object, SerialBusError(self.status & 0xf)))
    }
}

impl fmt::Debug for StatusBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusBlock")
            .field("source", &self.source())
            .field("resp", &self.resp())
            .field("dead", &self.dead())
            .field("status", &format_args!("{:#04x}", self.status))
            .field("orb", &self.orb)
            .field("command_set_dependent", &self.command_set_dependent)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn good_status_is_two_quadlets() {
        let orb = Address::new(0x1_0000_0000);
        let source = StatusSource::OrbNextNull;
        let good = StatusBlock::new(source, Resp::RequestComplete, false, 0, orb, &[]);
        assert_eq!(good.to_bytes(), [0x41, 0, 0, 1, 0, 0, 0, 0]);
        let read = StatusBlock::parse(&good.to_bytes()).unwrap();
        assert_eq!((read.source(), read.orb), (source, orb));
        assert_eq!(read.sbp_status(), Sbp2Status::OK);
    }

    #[test]
    fn sense_dead_and_bus_errors_survive_a_round_trip() {
        let orb = Address::new(0xffff_dead_bee8);
        let block = StatusBlock::new(
            StatusSource::OrbNextNotNull,
            Resp::TransportFailure,
            true,
            0x4f,
            orb,
            &[2, 5, 0x24],
        );
        let read = StatusBlock::parse(&block.to_bytes()).unwrap();
        assert!(read.dead());
        assert_eq!(read.orb, orb);
        assert_eq!(read.command_set_dependent, vec![2, 5, 0x24, 0]);
        assert_eq!(
            read.serial_bus_error(),
            Some((TransportObject::DataBuffer, SerialBusError::ADDRESS_ERROR))
        );
    }

    #[test]
    fn only_8_to_32_bytes_in_quadlets_are_a_status_block() {
        for length in 0..64 {
            let bytes = vec![0xff; length];
            let expected = (8..=32).contains(&length) && length % 4 == 0;
            assert_eq!(StatusBlock::parse(&bytes).is_ok(), expected, "{length}");
        }
        let longest = StatusBlock::parse(&[0xff; 32]).unwrap();
        assert_eq!(longest.to_bytes()[0], 0xff);
    }
}
