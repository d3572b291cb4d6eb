use alloc::vec::Vec;
use core::fmt;

use super::{Address, Generation, NodeId, RCode, Speed};

/// Names a transaction that was sent, so that its [`Event::Response`](super::Event::Response)
/// can be told from others. Chosen by the sender, unique among its transactions under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

/// Names a request that came in and waits for its [`Response`]. Chosen by the bus.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestHandle(pub u64);

/// What a lock request does with the value at its address (IEEE 1394-1995 6.2.4.9, extended
/// transaction codes).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum LockKind {
    /// `new = (old & !arg) | (data & arg)`
    MaskSwap = 1,
    /// `new = data if old == arg`
    CompareSwap = 2,
    /// `new = old + data`
    FetchAdd = 3,
    /// As [`Self::FetchAdd`] on little-endian numbers.
    LittleAdd = 4,
    /// `new = old + data if old != arg`
    BoundedAdd = 5,
    /// `new = old != arg ? old + data : data`
    WrapAdd = 6,
}

impl LockKind {
    /// The kind with this extended transaction code, or `None` where it is vendor dependent or
    /// reserved.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            1 => Self::MaskSwap,
            2 => Self::CompareSwap,
            3 => Self::FetchAdd,
            4 => Self::LittleAdd,
            5 => Self::BoundedAdd,
            6 => Self::WrapAdd,
            _ => return None,
        })
    }

    /// The extended transaction code.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }
}

/// What a request asks for. Data is in bus byte order.
#[derive(Clone, PartialEq, Eq)]
pub enum Operation {
    /// Read four bytes.
    ReadQuadlet,
    /// Read `length` bytes.
    ReadBlock {
        /// How many bytes, at most what the [`Speed`] allows.
        length: usize,
    },
    /// Write four bytes.
    WriteQuadlet {
        /// The bytes.
        data: [u8; 4],
    },
    /// Write some bytes.
    WriteBlock {
        /// The bytes, at most as many as the [`Speed`] allows.
        data: Vec<u8>,
    },
    /// Read and change in one step.
    Lock {
        /// The arithmetic.
        kind: LockKind,
        /// Argument and data value, or the data value alone, as the kind demands.
        data: Vec<u8>,
    },
}

impl Operation {
    /// How many bytes at the address are read or written.
    #[must_use]
    pub fn length(&self) -> usize {
        match self {
            Self::ReadQuadlet | Self::WriteQuadlet { .. } => 4,
            Self::ReadBlock { length } => *length,
            Self::WriteBlock { data } => data.len(),
            Self::Lock { .. } => self.response_length(),
        }
    }

    /// How many bytes a successful response carries.
    #[must_use]
    pub fn response_length(&self) -> usize {
        match self {
            Self::ReadQuadlet => 4,
            Self::ReadBlock { length } => *length,
            Self::WriteQuadlet { .. } | Self::WriteBlock { .. } => 0,
            Self::Lock {
                kind: LockKind::FetchAdd | LockKind::LittleAdd,
                data,
            } => data.len(),
            Self::Lock { data, .. } => data.len() / 2,
        }
    }

    /// Whether something is written (locks included).
    #[must_use]
    pub const fn writes(&self) -> bool {
        !matches!(self, Self::ReadQuadlet | Self::ReadBlock { .. })
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadQuadlet => f.write_str("read_quadlet"),
            Self::ReadBlock { length } => write!(f, "read_block length={length}"),
            Self::WriteQuadlet { data } => {
                write!(f, "write_quadlet {:08x}", u32::from_be_bytes(*data))
            }
            Self::WriteBlock { data } => write!(f, "write_block length={}", data.len()),
            Self::Lock { kind, data } => write!(f, "lock {kind:?} length={}", data.len()),
        }
    }
}

/// A request on its way to another node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// The sender's name for it.
    pub token: Token,
    /// Whom it is for, in `generation`.
    pub destination: NodeId,
    /// The generation in which `destination` was learnt.
    pub generation: Generation,
    /// How fast to send it. Linux decides for itself and ignores this.
    pub speed: Speed,
    /// Where, in the destination's address space.
    pub address: Address,
    /// What to do there.
    pub operation: Operation,
}

/// A request that another node sent to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IncomingRequest {
    /// By which it is to be answered, whatever the answer.
    pub handle: RequestHandle,
    /// Who asks, in `generation`.
    pub source: NodeId,
    /// The generation in which it arrived.
    pub generation: Generation,
    /// Where, in our address space.
    pub address: Address,
    /// What to do there.
    pub operation: Operation,
}

/// The answer to an [`IncomingRequest`].
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// How it went.
    pub rcode: RCode,
    /// What was read; empty unless the request reads and `rcode` is [`RCode::COMPLETE`].
    pub data: Vec<u8>,
}

impl Response {
    /// Done, and nothing was to be read.
    pub const COMPLETE: Self = Self {
        rcode: RCode::COMPLETE,
        data: Vec::new(),
    };

    /// Done, and this was read.
    #[must_use]
    pub const fn data(data: Vec<u8>) -> Self {
        Self {
            rcode: RCode::COMPLETE,
            data,
        }
    }

    /// Not done.
    #[must_use]
    pub const fn error(rcode: RCode) -> Self {
        Self {
            rcode,
            data: Vec::new(),
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} length={}", self.rcode, self.data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_response_is_as_long_as_the_request_implies() {
        let lock = |kind, length| Operation::Lock {
            kind,
            data: vec![0; length],
        };
        assert_eq!(Operation::ReadQuadlet.response_length(), 4);
        assert_eq!(Operation::ReadBlock { length: 36 }.response_length(), 36);
        assert_eq!(
            Operation::WriteBlock { data: vec![0; 8] }.response_length(),
            0
        );
        assert_eq!(lock(LockKind::CompareSwap, 8).response_length(), 4);
        assert_eq!(lock(LockKind::FetchAdd, 4).response_length(), 4);
    }
}
