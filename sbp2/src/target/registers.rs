use alloc::vec;
use alloc::vec::Vec;

use ohci_raw::bus::{
    Address, AddressRange, IncomingRequest, NodeId, Operation, RCode, Response, csr,
};

use super::management_agent::Ask;
use super::outbox::Route;
use super::{Bridge, FIRST_SPEED, Who};
use crate::wire::{AGENT_LENGTH, AgentRegister, Pointer};

/// Where the bridge's registers are. The command block agents lie side by side, one for each slot,
/// each with 32 bytes; behind the management agent, unless they are placed elsewhere.
#[derive(Debug)]
pub(super) struct Registers {
    management: Address,
    agents: Address,
    slots: usize,
    busy_timeout: [u8; 4],
    split_timeout: [u8; 8],
}

/// What lies at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Register {
    Management,
    Agent {
        slot: usize,
        register: AgentRegister,
    },
    ResetStart,
    SplitTimeout {
        offset: usize,
    },
    BusyTimeout,
}

/// 800 isochronous cycles of 125 µs, 100 ms (IEEE 1394-1995 8.3.2.2.6).
const SPLIT_TIMEOUT_DEFAULT: [u8; 8] = [0, 0, 0, 0, 0x19, 0, 0, 0];

impl Registers {
    /// `offset` is in quadlets from the start of register space.
    pub(super) const fn new(offset: u32, slots: usize) -> Self {
        let management = csr::REGISTER_SPACE.get() + 4 * offset as u64;
        Self {
            management: Address::new(management),
            agents: Address::new(management + AGENT_LENGTH),
            slots,
            busy_timeout: [0; 4],
            split_timeout: SPLIT_TIMEOUT_DEFAULT,
        }
    }

    pub(super) fn management_agent(&self) -> Option<AddressRange> {
        AddressRange::new(self.management, AGENT_LENGTH).ok()
    }

    pub(super) const fn agents_length(&self) -> u64 {
        self.slots as u64 * AGENT_LENGTH
    }

    pub(super) const fn place_agents(&mut self, start: Address) {
        self.agents = start;
    }

    fn agents(&self) -> Option<AddressRange> {
        AddressRange::new(self.agents, self.agents_length()).ok()
    }

    pub(super) fn claims(&self) -> Vec<AddressRange> {
        [
            self.management_agent(),
            self.agents(),
            AddressRange::new(csr::RESET_START, 4).ok(),
            AddressRange::new(csr::SPLIT_TIMEOUT, 8).ok(),
            AddressRange::new(csr::BUSY_TIMEOUT, 4).ok(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Where the command block agent of a slot is.
    pub(super) fn agent(&self, slot: usize) -> Address {
        Address::new(self.agents.get() + slot as u64 * AGENT_LENGTH)
    }

    fn find(&self, address: Address, length: u64) -> Option<Register> {
        if address == csr::RESET_START {
            return Some(Register::ResetStart);
        }
        if address == csr::BUSY_TIMEOUT {
            return Some(Register::BusyTimeout);
        }
        let split = AddressRange::new(csr::SPLIT_TIMEOUT, 8).ok()?;
        if let Some(offset) = split.offset_of(address, length) {
            let offset = usize::try_from(offset).ok()?;
            return offset
                .is_multiple_of(4)
                .then_some(Register::SplitTimeout { offset });
        }
        if address == self.management {
            return Some(Register::Management);
        }
        let offset = self.agents()?.offset_of(address, length)?;
        let slot = usize::try_from(offset / AGENT_LENGTH).ok()?;
        AgentRegister::at(offset % AGENT_LENGTH).map(|register| Register::Agent { slot, register })
    }
}

impl Bridge {
    /// A request of another node. It is answered exactly once, and before what it sets off is sent.
    pub(super) fn request(&mut self, request: &IncomingRequest) {
        let response = self.serve(request).unwrap_or_else(|rcode| {
            self.counters.count_request_refused();
            Response::error(rcode)
        });
        self.outbox.respond(request.handle, response);
    }

    fn serve(&mut self, request: &IncomingRequest) -> Result<Response, RCode> {
        // From before the last bus reset: its source id may be somebody else's by now.
        if Some(request.generation) != self.outbox.generation() {
            return Err(RCode::TYPE_ERROR);
        }
        let length = request.operation.length() as u64;
        let register = self
            .registers
            .find(request.address, length)
            .ok_or(RCode::ADDRESS_ERROR)?;
        match register {
            Register::Management => self.management_register(request.source, &request.operation),
            Register::Agent { slot, register } => {
                self.agent_register(slot, register, request.source, &request.operation)
            }
            Register::ResetStart => match request.operation {
                Operation::WriteQuadlet { .. } => {
                    self.forget();
                    Ok(Response::COMPLETE)
                }
                _ => Err(RCode::TYPE_ERROR),
            },
            Register::BusyTimeout => memory(&mut self.registers.busy_timeout, &request.operation),
            Register::SplitTimeout { offset } => memory(
                &mut self.registers.split_timeout[offset..],
                &request.operation,
            ),
        }
    }

    fn management_register(
        &mut self,
        source: NodeId,
        operation: &Operation,
    ) -> Result<Response, RCode> {
        match operation {
            Operation::ReadBlock { length: 8 } => {
                Ok(Response::data(self.management.pointer().to_vec()))
            }
            Operation::WriteBlock { data } => {
                let pointer = data.as_slice().try_into().map_err(|_| RCode::TYPE_ERROR)?;
                if !self.management.is_idle() || self.outbox.is_full() {
                    return Err(RCode::CONFLICT_ERROR);
                }
                self.management.start(source, pointer, self.is_late);
                Ok(Response::COMPLETE)
            }
            _ => Err(RCode::TYPE_ERROR),
        }
    }

    /// Sends what the management agent asks for.
    pub(super) fn management_ask(&mut self, ask: Ask) {
        let (who, route) = self.management_route();
        self.outbox.send(who, route, ask.address, ask.operation);
    }

    /// Fetches a management ORB. After a bus reset Linux may ask for a reconnect a moment before it
    /// lets the node at its memory (`sbp2_reconnect` does not wait for `sbp2_update`), and notices
    /// two seconds later that nothing came of it. Its login is lost then.
    pub(super) fn fetch_management_orb(&mut self, ask: Ask) {
        let (who, route) = self.management_route();
        let outbox = &mut self.outbox;
        outbox.send_persistently(who, route, ask.address, ask.operation);
    }

    fn management_route(&self) -> (Who, Route) {
        let who = Who::Management {
            epoch: self.management.epoch(),
        };
        let route = Route {
            node: self.management.requester(),
            speed: FIRST_SPEED,
        };
        (who, route)
    }

    fn agent_register(
        &mut self,
        slot: usize,
        register: AgentRegister,
        source: NodeId,
        operation: &Operation,
    ) -> Result<Response, RCode> {
        let generation = self.outbox.generation();
        let login = self.logins.get_mut(slot).ok_or(RCode::ADDRESS_ERROR)?;
        // The registers are the login's owner's alone, and after a bus reset only again when it
        // has reconnected (`tgt_agent_rw` in Linux's target answers the same).
        if login.node(generation) != Some(source) {
            return Err(RCode::TYPE_ERROR);
        }
        match (register, operation) {
            (AgentRegister::AgentState, Operation::ReadQuadlet) => {
                Ok(Response::data(vec![0, 0, 0, login.agent.state() as u8]))
            }
            (AgentRegister::AgentState, Operation::WriteQuadlet { .. }) => Ok(Response::COMPLETE),
            (AgentRegister::AgentReset, Operation::WriteQuadlet { .. }) => {
                // A status that is still here is of an ORB that the host has just given up.
                self.outbox.cancel(|who| *who == Who::Status { slot });
                self.drop_tasks(slot);
                Ok(Response::COMPLETE)
            }
            (AgentRegister::OrbPointer, Operation::WriteBlock { data }) => {
                let pointer: [u8; 8] = data
                    .as_slice()
                    .try_into()
                    .map_err(|_| RCode::ADDRESS_ERROR)?;
                let orb = Address::new(u64::from_be_bytes(pointer) & !3);
                login
                    .agent
                    .write_orb_pointer(orb)
                    .map_err(|_| RCode::CONFLICT_ERROR)?;
                Ok(Response::COMPLETE)
            }
            (AgentRegister::OrbPointer, Operation::ReadBlock { length: 8 }) => {
                let pointer = Pointer::next_orb(login.agent.orb_pointer());
                Ok(Response::data(
                    zerocopy::IntoBytes::as_bytes(&pointer).to_vec(),
                ))
            }
            (AgentRegister::Doorbell, Operation::WriteQuadlet { .. }) => {
                login.agent.ring_doorbell();
                Ok(Response::COMPLETE)
            }
            (AgentRegister::UnsolicitedStatusEnable, Operation::WriteQuadlet { .. }) => {
                login.unsolicited_status = true;
                Ok(Response::COMPLETE)
            }
            (_, operation) => Err(wrong_access(operation)),
        }
    }
}

/// An access that a register of an agent does not know: of a length that no register has, or of
/// the wrong kind.
fn wrong_access(operation: &Operation) -> RCode {
    match operation {
        Operation::ReadBlock { length: 8 }
        | Operation::ReadQuadlet
        | Operation::WriteQuadlet { .. }
        | Operation::Lock { .. } => RCode::TYPE_ERROR,
        Operation::ReadBlock { .. } | Operation::WriteBlock { .. } => RCode::ADDRESS_ERROR,
    }
}

/// A register that keeps what is written and means nothing by it: the bus beneath has its own
/// idea of how long to wait and how often to repeat.
fn memory(register: &mut [u8], operation: &Operation) -> Result<Response, RCode> {
    match operation {
        Operation::ReadQuadlet => register
            .get(..4)
            .map(|bytes| Response::data(bytes.to_vec()))
            .ok_or(RCode::ADDRESS_ERROR),
        Operation::WriteQuadlet { data } => {
            let bytes = register.get_mut(..4).ok_or(RCode::ADDRESS_ERROR)?;
            bytes.copy_from_slice(data);
            Ok(Response::COMPLETE)
        }
        _ => Err(RCode::TYPE_ERROR),
    }
}
