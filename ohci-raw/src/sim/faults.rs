//! Packets that go astray, on purpose.
//!
//! A [`FaultInjector`] is shown every packet before it is sent and decides its fate. Closures are
//! injectors, for one exact fault; [`RandomFaults`] makes many, the same ones for the same seed.

use core::time::Duration;

use super::node::NodeIndex;
use crate::bus::{Address, Operation, RCode, Speed};

/// Request or response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketKind {
    /// A request.
    Request,
    /// A response, with its rcode.
    Response(RCode),
}

/// The kinds of [`Operation`], without their data.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OperationKind {
    /// [`Operation::ReadQuadlet`]
    ReadQuadlet,
    /// [`Operation::ReadBlock`]
    ReadBlock,
    /// [`Operation::WriteQuadlet`]
    WriteQuadlet,
    /// [`Operation::WriteBlock`]
    WriteBlock,
    /// [`Operation::Lock`]
    Lock,
}

impl OperationKind {
    /// The kind of `operation`.
    #[must_use]
    pub const fn of(operation: &Operation) -> Self {
        match operation {
            Operation::ReadQuadlet => Self::ReadQuadlet,
            Operation::ReadBlock { .. } => Self::ReadBlock,
            Operation::WriteQuadlet { .. } => Self::WriteQuadlet,
            Operation::WriteBlock { .. } => Self::WriteBlock,
            Operation::Lock { .. } => Self::Lock,
        }
    }
}

/// A packet that is about to be sent.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Packet<'a> {
    /// Who sends it.
    pub source: NodeIndex,
    /// Whom it is for.
    pub destination: NodeIndex,
    /// Request or response.
    pub kind: PacketKind,
    /// The address that the request names; of a response, that of its request.
    pub address: Address,
    /// What the request asks for; of a response, that of its request.
    pub operation: OperationKind,
    /// The data that this packet carries, in bus byte order.
    pub data: &'a [u8],
    /// How fast it is sent.
    pub speed: Speed,
}

/// The fate of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// None: it arrives.
    Deliver,
    /// It is lost. The sender of a request sees [`RCode::NO_ACK`] at once; a requester whose
    /// response is lost sees [`RCode::CANCELLED`] after the split timeout.
    Lose,
    /// It arrives, but the acknowledgement is lost: the sender of a request sees
    /// [`RCode::NO_ACK`] although it is served. To a response this does nothing.
    LoseAck,
    /// The link acknowledges it, and nobody ever looks at it. The sender of a request sees
    /// [`RCode::CANCELLED`] after the split timeout, or [`RCode::COMPLETE`] where writes are
    /// posted. A response is lost.
    Ignore,
    /// The link answers busy until the retries run out. The sender of a request sees
    /// [`RCode::BUSY`]; a response is lost.
    Busy,
    /// It arrives later by this much. Later requests of the same node to the same node wait
    /// behind a delayed request; a delayed response is overtaken by later packets.
    Delay(Duration),
    /// It arrives twice. Both requests must be answered; the second answer has no reader.
    Duplicate,
}

/// Decides the fate of packets. Broadcasts, and packets to nodes that are not there, are not
/// shown to it.
pub trait FaultInjector: Send {
    /// The fate of `packet`.
    fn judge(&mut self, packet: &Packet<'_>) -> Fault;
}

impl<F: FnMut(&Packet<'_>) -> Fault + Send> FaultInjector for F {
    fn judge(&mut self, packet: &Packet<'_>) -> Fault {
        self(packet)
    }
}

/// Faults by chance, the same ones for the same seed and the same packets.
///
/// The probabilities count per million packets. What they leave of the million is delivered;
/// where they add up to more, the first ones win, in the order in which they are listed here.
#[derive(Clone, Debug, Default)]
pub struct RandomFaults {
    /// Where the chance starts.
    pub seed: u64,
    /// [`Fault::Lose`], per million packets.
    pub lose: u32,
    /// [`Fault::LoseAck`], per million packets.
    pub lose_ack: u32,
    /// [`Fault::Ignore`], per million packets.
    pub ignore: u32,
    /// [`Fault::Busy`], per million packets.
    pub busy: u32,
    /// [`Fault::Duplicate`], per million packets.
    pub duplicate: u32,
    /// [`Fault::Delay`], per million packets.
    pub delay: u32,
    /// The longest delay.
    pub longest_delay: Duration,
}

impl RandomFaults {
    /// Splitmix64 (Steele, Lea, Flood 2014): one addition of state, every seed is a good one.
    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, by the high bits of a product instead of a biased remainder.
    fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(bound);
        (product >> 64) as u64
    }
}

impl FaultInjector for RandomFaults {
    fn judge(&mut self, _: &Packet<'_>) -> Fault {
        let mut chance = self.below(1_000_000);
        let longest = u64::try_from(self.longest_delay.as_nanos()).unwrap_or(u64::MAX);
        // Drawn always, so that one probability does not shift the chances of later packets.
        let delay = Duration::from_nanos(self.below(longest.saturating_add(1)));
        for (share, fault) in [
            (self.lose, Fault::Lose),
            (self.lose_ack, Fault::LoseAck),
            (self.ignore, Fault::Ignore),
            (self.busy, Fault::Busy),
            (self.duplicate, Fault::Duplicate),
            (self.delay, Fault::Delay(delay)),
        ] {
            match chance.checked_sub(u64::from(share)) {
                None => return fault,
                Some(rest) => chance = rest,
            }
        }
        Fault::Deliver
    }
}
