use alloc::vec::Vec;

use ohci_raw::bus::{Address, Eui64, NodeId, Operation, RCode, csr};
use zerocopy::FromBytes;

use crate::wire::{Function, MANAGEMENT_ORB_LENGTH, ManagementOrb, RequestFormat};

/// Where the management ORB under way has got to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// There is none.
    Idle,
    /// It is being fetched.
    Orb,
    /// The first quadlet of the initiator's EUI-64 is being read.
    EuiHigh,
    /// The second one is, after this.
    EuiLow(u32),
    /// The answer of LOGIN or QUERY LOGINS is being written.
    Response,
    /// The status block is being written.
    Status,
}

/// A request to the initiator that the management agent wants sent.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Ask {
    pub(super) address: Address,
    pub(super) operation: Operation,
}

/// What a response to the management agent leads to.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// Something else has to be asked first.
    Ask(Ask),
    /// The ORB is here, and with it who asks where that matters: carry it out.
    CarryOut(ManagementOrb, Option<Eui64>),
    /// The initiator cannot be told apart from others: its EUI-64 could not be read.
    Stranger,
    /// The answer has been written, or could not be.
    Answered(RCode),
    /// The status block has been written, or could not be. The agent is idle.
    Done(RCode),
    /// The ORB could not be fetched or asks for nothing that could be reported. The agent is idle.
    Dropped,
    /// A response from before the last reset.
    Stale,
}

/// The management agent (SBP-2 6.2): one management ORB at a time, of whomever.
///
/// The initiator writes the ORB's address; the agent fetches the ORB from the writer's memory,
/// finds out who it is, and hands it over to be carried out. Then it writes the answer and the
/// status block. Every step waits for the response to the one before.
#[derive(Debug)]
pub(super) struct ManagementAgent {
    stage: Stage,
    epoch: u64,
    pointer: [u8; 8],
    requester: NodeId,
    orb_address: Address,
    orb: Option<ManagementOrb>,
    /// The fetch of a new ORB, until it is sent.
    fetch: Option<Ask>,
    /// Whoever asked may have given up.
    is_doubtful: bool,
}

impl ManagementAgent {
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Idle,
            epoch: 0,
            pointer: [0; 8],
            requester: NodeId(0),
            orb_address: Address::new(0),
            orb: None,
            fetch: None,
            is_doubtful: false,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    /// What its register reads as: the last address written.
    pub(super) const fn pointer(&self) -> [u8; 8] {
        self.pointer
    }

    /// Tells responses to this ORB's requests from those to earlier ones.
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whose ORB it is.
    pub(super) const fn requester(&self) -> NodeId {
        self.requester
    }

    /// Where the ORB lies.
    pub(super) const fn orb_address(&self) -> Address {
        self.orb_address
    }

    /// The ORB, once it is here.
    pub(super) const fn orb(&self) -> Option<&ManagementOrb> {
        self.orb.as_ref()
    }

    /// The address of an ORB was written. The node id in it is ignored: management ORBs lie in
    /// the memory of who writes. `is_doubtful`: who may have given up by now.
    pub(super) fn start(&mut self, requester: NodeId, pointer: [u8; 8], is_doubtful: bool) {
        let address = Address::new(u64::from_be_bytes(pointer) & !3);
        *self = Self {
            stage: Stage::Orb,
            epoch: self.epoch.wrapping_add(1),
            pointer,
            requester,
            orb_address: address,
            orb: None,
            fetch: Some(Ask {
                address,
                operation: Operation::ReadBlock {
                    length: MANAGEMENT_ORB_LENGTH,
                },
            }),
            is_doubtful,
        };
    }

    /// Whoever asked for what is under way may have given up. Does nothing while it is idle.
    pub(super) fn doubt(&mut self) {
        self.is_doubtful = true;
    }

    /// Whether an answer may be meant for memory that is used for something else by now.
    pub(super) fn must_not_answer(&self) -> bool {
        let answers = |orb: &ManagementOrb| {
            matches!(orb.function(), Function::LOGIN | Function::QUERY_LOGINS)
        };
        self.is_doubtful && !self.is_idle() && self.orb.as_ref().is_some_and(answers)
    }

    /// The fetch of an ORB whose address was just written.
    pub(super) fn take_fetch(&mut self) -> Option<Ask> {
        self.fetch.take()
    }

    /// Forgets the ORB under way.
    pub(super) fn reset(&mut self) {
        self.stage = Stage::Idle;
        self.epoch = self.epoch.wrapping_add(1);
        self.orb = None;
        self.fetch = None;
    }

    /// Writes the answer of the function before its status.
    pub(super) fn answer(&mut self, address: Address, data: Vec<u8>) -> Ask {
        self.stage = Stage::Response;
        write(address, data)
    }

    /// Writes the status block.
    pub(super) fn report(&mut self, address: Address, block: Vec<u8>) -> Ask {
        self.stage = Stage::Status;
        write(address, block)
    }

    /// Takes in the response to what was asked last.
    pub(super) fn response(&mut self, epoch: u64, rcode: RCode, data: &[u8]) -> Progress {
        if epoch != self.epoch {
            return Progress::Stale;
        }
        match self.stage {
            Stage::Idle => Progress::Stale,
            Stage::Orb => self.orb_arrived(rcode, data),
            Stage::EuiHigh => match quadlet(rcode, data) {
                Some(hi) => {
                    self.stage = Stage::EuiLow(hi);
                    Progress::Ask(Ask {
                        address: Address::new(csr::EUI64.get() + 4),
                        operation: Operation::ReadQuadlet,
                    })
                }
                None => Progress::Stranger,
            },
            Stage::EuiLow(hi) => match (quadlet(rcode, data), self.orb) {
                (Some(lo), Some(orb)) => {
                    Progress::CarryOut(orb, Some(Eui64::from_quadlets(hi, lo)))
                }
                _ => Progress::Stranger,
            },
            Stage::Response => Progress::Answered(rcode),
            Stage::Status => {
                self.stage = Stage::Idle;
                Progress::Done(rcode)
            }
        }
    }

    fn orb_arrived(&mut self, rcode: RCode, data: &[u8]) -> Progress {
        let orb = match ManagementOrb::read_from_bytes(data) {
            // An ORB that wants no status, or of a format that has no status address, cannot be
            // answered. Linux's target drops it as well (`sbp_mgt_agent_process`).
            Ok(orb)
                if rcode.is_complete()
                    && orb.notify()
                    && orb.request_format() == RequestFormat::NORMAL =>
            {
                orb
            }
            _ => {
                self.reset();
                return Progress::Dropped;
            }
        };
        self.orb = Some(orb);
        if !matches!(orb.function(), Function::LOGIN | Function::RECONNECT) {
            return Progress::CarryOut(orb, None);
        }
        self.stage = Stage::EuiHigh;
        Progress::Ask(Ask {
            address: csr::EUI64,
            operation: Operation::ReadQuadlet,
        })
    }
}

const fn write(address: Address, data: Vec<u8>) -> Ask {
    Ask {
        address,
        operation: Operation::WriteBlock { data },
    }
}

fn quadlet(rcode: RCode, data: &[u8]) -> Option<u32> {
    let bytes = data.try_into().ok()?;
    rcode.is_complete().then(|| u32::from_be_bytes(bytes))
}
