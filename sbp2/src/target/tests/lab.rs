extern crate std;

use std::boxed::Box;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use ohci_raw::bus::{
    Action, Address, BusReset, Eui64, Event, Generation, IncomingRequest, Instant, Machine, NodeId,
    Operation, RCode, RequestHandle, Response, Speed, Transaction, csr,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::scsi::{Completion, Medium, MediumError, byte_range};
use crate::target::{Bridge, BridgeProfile};
use crate::wire::{
    AgentRegister, AgentState, CommandOrb, Direction, Function, LoginResponse, ManagementOrb,
    MaxPayload, Pointer, StatusBlock,
};

/// Where a host's memory starts and how much there is.
pub(super) const MEMORY: u64 = 0x1_0000_0000;
const MEMORY_LENGTH: usize = 1 << 20;
const MANAGEMENT_ORB: u64 = MEMORY;
pub(super) const RESPONSE: u64 = MEMORY + 0x100;
const FIFO: u64 = MEMORY + 0x1000;
pub(super) const TABLE: u64 = MEMORY + 0x8000;
pub(super) const DATA: u64 = MEMORY + 0x1_0000;

/// Where a host keeps its `index`th ORB.
pub(super) const fn orb_at(index: u64) -> Address {
    Address::new(MEMORY + 0x2000 + index * 0x40)
}

/// A disk whose contents and history can be seen from outside.
#[derive(Clone)]
pub(super) struct Disk(pub(super) Arc<Mutex<DiskState>>);

pub(super) struct DiskState {
    pub(super) bytes: Vec<u8>,
    pub(super) writes: usize,
    pub(super) flushes: usize,
    pub(super) broken: bool,
}

pub(super) const BLOCKS: u64 = 1024;

impl Disk {
    fn new() -> Self {
        let bytes = (0..BLOCKS * 512).map(|at| (at / 512 + at % 251) as u8);
        Self(Arc::new(Mutex::new(DiskState {
            bytes: bytes.collect(),
            writes: 0,
            flushes: 0,
            broken: false,
        })))
    }

    pub(super) fn read(&self, lba: usize, blocks: usize) -> Vec<u8> {
        self.0.lock().unwrap().bytes[lba * 512..(lba + blocks) * 512].to_vec()
    }

    pub(super) fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }
}

impl Medium for Disk {
    fn block_length(&self) -> u32 {
        512
    }

    fn blocks(&self) -> u64 {
        BLOCKS
    }

    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), MediumError> {
        let range = byte_range(512, BLOCKS, lba, buffer.len())?;
        let state = self.0.lock().unwrap();
        if state.broken {
            return Err(MediumError::Failed);
        }
        buffer.copy_from_slice(&state.bytes[range.start as usize..range.end as usize]);
        Ok(())
    }

    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), MediumError> {
        let range = byte_range(512, BLOCKS, lba, data.len())?;
        let mut state = self.0.lock().unwrap();
        state.bytes[range.start as usize..range.end as usize].copy_from_slice(data);
        state.writes += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), MediumError> {
        self.0.lock().unwrap().flushes += 1;
        Ok(())
    }
}

/// A host: memory that the bridge can reach, and what arrived at the status FIFO.
pub(super) struct Host {
    pub(super) eui64: Eui64,
    pub(super) node: NodeId,
    pub(super) memory: Vec<u8>,
    pub(super) status: VecDeque<StatusBlock>,
    pub(super) login: Option<LoginResponse>,
}

impl Host {
    /// Puts bytes into the host's memory.
    pub(super) fn poke(&mut self, address: u64, bytes: &[u8]) {
        let at = (address - MEMORY) as usize;
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn peek(&self, address: u64, length: usize) -> &[u8] {
        let at = (address - MEMORY) as usize;
        &self.memory[at..at + length]
    }

    fn serve(&mut self, address: Address, operation: &Operation) -> Response {
        if let Operation::ReadQuadlet = operation {
            let eui64 = self.eui64.0.to_be_bytes();
            return match address.get().wrapping_sub(csr::EUI64.get()) {
                0 => Response::data(eui64[..4].to_vec()),
                4 => Response::data(eui64[4..].to_vec()),
                _ => Response::error(RCode::ADDRESS_ERROR),
            };
        }
        if address.get() == FIFO {
            let Operation::WriteBlock { data } = operation else {
                return Response::error(RCode::TYPE_ERROR);
            };
            // A management ORB may have its answer put here.
            self.status.extend(StatusBlock::parse(data));
            return Response::COMPLETE;
        }
        let length = operation.length();
        let Some(at) = address.get().checked_sub(MEMORY).map(|at| at as usize) else {
            return Response::error(RCode::ADDRESS_ERROR);
        };
        let Some(bytes) = self.memory.get_mut(at..at.saturating_add(length)) else {
            return Response::error(RCode::ADDRESS_ERROR);
        };
        match operation {
            Operation::ReadBlock { .. } => Response::data(bytes.to_vec()),
            Operation::WriteBlock { data } => {
                bytes.copy_from_slice(data);
                Response::COMPLETE
            }
            _ => Response::error(RCode::TYPE_ERROR),
        }
    }
}

type Judge = Box<dyn FnMut(&Transaction) -> Option<RCode>>;
type Hold = Box<dyn FnMut(&Transaction) -> bool>;

/// A bus with one bridge and some hosts.
pub(super) struct Lab {
    pub(super) bridge: Bridge,
    pub(super) disk: Disk,
    pub(super) hosts: Vec<Host>,
    pub(super) now: Instant,
    pub(super) generation: Generation,
    answers: Vec<(u64, Response)>,
    next_handle: u64,
    /// How a transaction of the bridge ends in place of being served.
    pub(super) judge: Option<Judge>,
    /// Which transactions of the bridge are not served yet.
    pub(super) hold: Option<Hold>,
    pub(super) held: Vec<Transaction>,
    /// Every transaction that the bridge has sent.
    pub(super) sent: Vec<Transaction>,
    patience: usize,
}

impl Lab {
    pub(super) fn new(hosts: usize) -> Self {
        Self::with(hosts, BridgeProfile::generic())
    }

    pub(super) fn with(hosts: usize, profile: BridgeProfile) -> Self {
        let disk = Disk::new();
        let bridge = Bridge::new(profile, vec![Box::new(disk.clone())]).unwrap();
        let hosts = (0..hosts).map(|index| Host {
            eui64: Eui64(0x1000 + index as u64),
            node: NodeId(0),
            memory: vec![0; MEMORY_LENGTH],
            status: VecDeque::new(),
            login: None,
        });
        let mut lab = Self {
            bridge,
            disk,
            hosts: hosts.collect(),
            now: Instant::ZERO,
            generation: Generation(0),
            answers: Vec::new(),
            next_handle: 0,
            judge: None,
            hold: None,
            held: Vec::new(),
            sent: Vec::new(),
            patience: usize::MAX,
        };
        lab.reset_bus();
        lab
    }

    /// A lab whose hosts are logged in and have read their unit attention.
    pub(super) fn logged_in(hosts: usize) -> Self {
        Self::logged_in_with(hosts, BridgeProfile::generic())
    }

    pub(super) fn logged_in_with(hosts: usize, profile: BridgeProfile) -> Self {
        let mut lab = Self::with(hosts, profile);
        for host in 0..hosts {
            assert_eq!(lab.log_in(host, false).status, 0);
            lab.command(host, &[0], None);
        }
        lab.sent.clear();
        lab
    }

    /// A new generation, in which everybody has another id than before.
    pub(super) fn reset_bus(&mut self) {
        self.generation = Generation(self.generation.0 + 1);
        let turn = self.generation.0 as usize;
        let count = self.hosts.len();
        for (index, host) in self.hosts.iter_mut().enumerate() {
            host.node = NodeId::local(((index + turn) % count + 1) as u8);
        }
        self.held.clear();
        let reset = BusReset {
            generation: self.generation,
            local: NodeId::local(0),
            peers: Vec::new(),
        };
        self.bridge.handle(Event::BusReset(reset), self.now);
        self.run();
    }

    /// From now on, when the bridge has sent this many requests within one call, fetches fail. A
    /// list of ORBs may lead back to its beginning, and on this bus nothing takes time.
    pub(super) fn endless_lists_end_after(&mut self, requests: usize) {
        self.patience = requests;
        self.sent.clear();
    }

    /// Carries out actions until there are none.
    pub(super) fn run(&mut self) {
        for _ in 0..200_000 {
            match self.bridge.poll_action() {
                None => return,
                Some(Action::Respond { handle, response }) => {
                    self.answers.push((handle.0, response));
                }
                Some(Action::Send(transaction)) => {
                    self.sent.push(transaction.clone());
                    let held = self.hold.as_mut().is_some_and(|hold| hold(&transaction));
                    if held {
                        self.held.push(transaction);
                    } else {
                        self.serve(transaction);
                    }
                }
            }
        }
        panic!("the bridge does not fall silent");
    }

    fn serve(&mut self, transaction: Transaction) {
        assert_eq!(transaction.generation, self.generation);
        let judged = self.judge.as_mut().and_then(|judge| judge(&transaction));
        let weary = self.sent.len() > self.patience && transaction.operation.length() == 32;
        let judged = judged.or(weary.then_some(RCode::ADDRESS_ERROR));
        let response = match judged {
            Some(rcode) => Response::error(rcode),
            None => self
                .hosts
                .iter_mut()
                .find(|host| host.node == transaction.destination)
                .map_or(Response::error(RCode::NO_ACK), |host| {
                    host.serve(transaction.address, &transaction.operation)
                }),
        };
        let event = Event::Response {
            token: transaction.token,
            rcode: response.rcode,
            data: response.data,
        };
        self.bridge.handle(event, self.now);
    }

    /// Serves what was held back, and holds nothing back any more.
    pub(super) fn release(&mut self) {
        self.hold = None;
        for transaction in core::mem::take(&mut self.held) {
            self.serve(transaction);
        }
        self.run();
    }

    /// Lets time pass up to everything that the bridge waits for, one thing after the other.
    pub(super) fn advance_to(&mut self, until: Instant) {
        while let Some(due) = self.bridge.poll_timeout().filter(|due| *due <= until) {
            self.now = due;
            self.bridge.handle_timeout(due);
            self.run();
        }
        self.now = until;
    }

    /// A request of a host to the bridge.
    pub(super) fn request(
        &mut self,
        host: usize,
        address: Address,
        operation: Operation,
    ) -> Response {
        let source = self.hosts[host].node;
        self.request_from(source, self.generation, address, operation)
    }

    pub(super) fn request_from(
        &mut self,
        source: NodeId,
        generation: Generation,
        address: Address,
        operation: Operation,
    ) -> Response {
        let handle = self.next_handle;
        self.next_handle += 1;
        let request = IncomingRequest {
            handle: RequestHandle(handle),
            source,
            generation,
            address,
            operation,
        };
        self.bridge.handle(Event::Request(request), self.now);
        self.run();
        let mut answers = core::mem::take(&mut self.answers);
        assert_eq!(answers.len(), 1, "exactly one answer");
        let (to, response) = answers.remove(0);
        assert_eq!(to, handle);
        response
    }

    pub(super) fn management_agent(&self) -> Address {
        let offset = u64::from(self.bridge.profile().management_agent_offset);
        Address::new(csr::REGISTER_SPACE.get() + 4 * offset)
    }

    /// Writes a management ORB's address. Its status is in the host's FIFO when it has ended.
    pub(super) fn start_management(&mut self, host: usize, orb: &ManagementOrb) -> RCode {
        self.hosts[host].poke(MANAGEMENT_ORB, orb.as_bytes());
        let pointer = Pointer::new(self.hosts[host].node, Address::new(MANAGEMENT_ORB));
        let data = pointer.as_bytes().to_vec();
        let agent = self.management_agent();
        self.request(host, agent, Operation::WriteBlock { data })
            .rcode
    }

    pub(super) fn manage(&mut self, host: usize, orb: &ManagementOrb) -> StatusBlock {
        assert_eq!(self.start_management(host, orb), RCode::COMPLETE);
        let status = self.hosts[host].status.pop_back().unwrap();
        assert_eq!(status.orb, Address::new(MANAGEMENT_ORB));
        status
    }

    pub(super) fn fifo(&self, host: usize) -> Pointer {
        Pointer::new(self.hosts[host].node, Address::new(FIFO))
    }

    pub(super) fn login_orb(&self, host: usize, exclusive: bool) -> ManagementOrb {
        let response = Pointer::new(self.hosts[host].node, Address::new(RESPONSE));
        ManagementOrb::login(0, exclusive, 2, response, 16, self.fifo(host))
    }

    pub(super) fn log_in(&mut self, host: usize, exclusive: bool) -> StatusBlock {
        let orb = self.login_orb(host, exclusive);
        let status = self.manage(host, &orb);
        if status.status == 0 {
            let host = &mut self.hosts[host];
            let response = LoginResponse::read_from_bytes(host.peek(RESPONSE, 16)).unwrap();
            host.login = Some(response);
        }
        status
    }

    /// A management function that names the host's own login.
    pub(super) fn for_own_login(&mut self, host: usize, function: Function) -> StatusBlock {
        let orb = ManagementOrb::for_login(function, self.login_id(host), self.fifo(host));
        self.manage(host, &orb)
    }

    pub(super) fn login_id(&self, host: usize) -> u16 {
        self.hosts[host].login.unwrap().login_id()
    }

    pub(super) fn register(&self, host: usize, register: AgentRegister) -> Address {
        let agent = self.hosts[host].login.unwrap().command_block_agent();
        Address::new(agent.get() + register.offset())
    }

    pub(super) fn agent_state(&mut self, host: usize) -> AgentState {
        let address = self.register(host, AgentRegister::AgentState);
        let response = self.request(host, address, Operation::ReadQuadlet);
        match response.data.as_slice() {
            [0, 0, 0, 0] => AgentState::Reset,
            [0, 0, 0, 1] => AgentState::Active,
            [0, 0, 0, 2] => AgentState::Suspended,
            [0, 0, 0, 3] => AgentState::Dead,
            other => panic!("{other:?}, {:?}", response.rcode),
        }
    }

    pub(super) fn write_quadlet(&mut self, host: usize, register: AgentRegister) -> RCode {
        let address = self.register(host, register);
        let data = [0; 4];
        self.request(host, address, Operation::WriteQuadlet { data })
            .rcode
    }

    pub(super) fn write_orb_pointer(&mut self, host: usize, orb: Address) -> RCode {
        let address = self.register(host, AgentRegister::OrbPointer);
        let data = Pointer::next_orb(orb).as_bytes().to_vec();
        self.request(host, address, Operation::WriteBlock { data })
            .rcode
    }

    /// An ORB for `cdb` with `length` bytes at [`DATA`].
    pub(super) fn orb(
        &self,
        host: usize,
        cdb: &[u8],
        data: Option<(Direction, u16)>,
    ) -> CommandOrb {
        let mut block = [0; 16];
        block[..cdb.len()].copy_from_slice(cdb);
        let orb = CommandOrb::new(block);
        match data {
            None => orb,
            Some((direction, length)) => orb.with_data(
                direction,
                Pointer::new(self.hosts[host].node, Address::new(DATA)),
                length,
                false,
                Speed::S400,
                MaxPayload::from_code(9),
            ),
        }
    }

    /// Puts an ORB into the host's memory and tells the agent of it.
    pub(super) fn submit(&mut self, host: usize, index: u64, orb: &CommandOrb) {
        self.hosts[host].poke(orb_at(index).get(), orb.as_bytes());
        assert_eq!(self.write_orb_pointer(host, orb_at(index)), RCode::COMPLETE);
    }

    /// Puts ORBs into the host's memory, each leading to the next.
    pub(super) fn link(&mut self, host: usize, orbs: &[CommandOrb]) {
        let last = orbs.len() - 1;
        for (index, orb) in orbs.iter().enumerate() {
            let mut orb = *orb;
            if index < last {
                orb.next_orb = Pointer::next_orb(orb_at(index as u64 + 1));
            }
            self.hosts[host].poke(orb_at(index as u64).get(), orb.as_bytes());
        }
    }

    /// A command from start to end. The agent must have ended the one before.
    pub(super) fn execute(&mut self, host: usize, orb: &CommandOrb) -> StatusBlock {
        self.submit(host, 0, orb);
        assert_eq!(self.hosts[host].status.len(), 1, "one status block");
        let status = self.hosts[host].status.pop_front().unwrap();
        assert_eq!(status.orb, orb_at(0));
        status
    }

    pub(super) fn command(
        &mut self,
        host: usize,
        cdb: &[u8],
        data: Option<(Direction, u16)>,
    ) -> Completion {
        let orb = self.orb(host, cdb, data);
        let status = self.execute(host, &orb);
        assert_eq!(status.status, 0, "{status:?}");
        completion(&status)
    }
}

pub(super) fn completion(status: &StatusBlock) -> Completion {
    Completion::from_status_block(&status.command_set_dependent).unwrap()
}

pub(super) fn read_10(lba: u32, blocks: u16) -> [u8; 10] {
    transfer_10(0x28, lba, blocks)
}

pub(super) fn write_10(lba: u32, blocks: u16) -> [u8; 10] {
    transfer_10(0x2a, lba, blocks)
}

fn transfer_10(opcode: u8, lba: u32, blocks: u16) -> [u8; 10] {
    let [a, b, c, d] = lba.to_be_bytes();
    let [e, f] = blocks.to_be_bytes();
    [opcode, 0, a, b, c, d, 0, e, f, 0]
}

/// Bytes that tell where they are.
pub(super) fn pattern(seed: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at % 253) as u8 ^ seed ^ (at / 509) as u8)
        .collect()
}
