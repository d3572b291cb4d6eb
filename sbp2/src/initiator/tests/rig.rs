use alloc::vec::Vec;
use core::time::Duration;

use ohci_raw::bus::{
    Action, Address, AddressRange, BusReset, Eui64, Event, Generation, IncomingRequest, Instant,
    Machine, NodeId, Operation, Peer, RCode, RequestHandle, Response, Transaction,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::initiator::{Command, CommandTag, Config, Data, Initiator, Notice};
use crate::wire::{
    AgentRegister, CommandOrb, Function, LoginResponse, ManagementOrb, Pointer, Resp, Sbp2Status,
    StatusBlock, StatusSource,
};

pub(crate) const TARGET: Eui64 = Eui64(0x0030_e000_0000_01fa);
pub(crate) const MANAGEMENT_AGENT: Address = Address::new(0xffff_f003_0000);
pub(crate) const AGENT: Address = Address::new(0xffff_f001_0000);
pub(crate) const LOGIN_ID: u16 = 5;

/// What is on the rig: an initiator, or something that owns one.
pub(crate) trait Subject: Machine {
    fn on(config: Config, range: AddressRange) -> Self;
}

impl Subject for Initiator {
    fn on(config: Config, range: AddressRange) -> Self {
        Self::new(config, range).unwrap()
    }
}

/// A host, and the test in the place of target, bus and clock.
pub(crate) struct Rig<M = Initiator> {
    pub(crate) host: M,
    pub(crate) now: Instant,
    pub(crate) generation: Generation,
    pub(crate) local: NodeId,
    pub(crate) target: NodeId,
    handles: u64,
    sent: Vec<Transaction>,
}

impl<M: Subject> Rig<M> {
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::shared(TARGET, MANAGEMENT_AGENT, 0);
        change(&mut config);
        let start = Address::new(0x1_0000_0000);
        let range = AddressRange::new(start, Initiator::range_length(&config)).unwrap();
        let mut rig = Self {
            host: M::on(config, range),
            now: Instant::ZERO,
            generation: Generation(1),
            local: NodeId::local(0),
            target: NodeId::local(1),
            handles: 0,
            sent: Vec::new(),
        };
        rig.tell_bus_reset(true);
        rig
    }

    pub(crate) fn bus_reset(&mut self, target_is_there: bool) {
        self.collect();
        self.sent.clear();
        self.generation = Generation(self.generation.0 + 1);
        self.tell_bus_reset(target_is_there);
    }

    pub(crate) fn tell_bus_reset(&mut self, target_is_there: bool) {
        let peer = Peer {
            node: self.target,
            eui64: TARGET,
        };
        let event = Event::BusReset(BusReset {
            generation: self.generation,
            local: self.local,
            peers: target_is_there.then_some(peer).into_iter().collect(),
        });
        self.host.handle(event, self.now);
    }

    /// Lets time pass, in the steps that the initiator asks for.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.host.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.host.handle_timeout(self.now);
            let again = self.host.poll_timeout();
            assert!(again.is_none_or(|again| again > due), "it spins at {due}");
        }
        self.now = end;
    }

    fn collect(&mut self) {
        while let Some(action) = self.host.poll_action() {
            match action {
                Action::Send(transaction) => {
                    assert_eq!(transaction.generation, self.generation);
                    assert_eq!(transaction.destination, self.target);
                    self.sent.push(transaction);
                }
                Action::Respond { .. } => panic!("an answer to nothing"),
            }
        }
    }

    /// The oldest request that the initiator has sent and that was not looked at.
    pub(crate) fn sent(&mut self) -> Option<Transaction> {
        self.collect();
        (!self.sent.is_empty()).then(|| self.sent.remove(0))
    }

    pub(crate) fn answer(&mut self, transaction: &Transaction, rcode: RCode) {
        let event = Event::Response {
            token: transaction.token,
            rcode,
            data: Vec::new(),
        };
        self.host.handle(event, self.now);
    }

    pub(crate) fn request(&mut self, address: Address, operation: Operation) -> Response {
        let source = self.target;
        let generation = self.generation;
        self.request_from(source, generation, address, operation)
    }

    pub(crate) fn request_from(
        &mut self,
        source: NodeId,
        generation: Generation,
        address: Address,
        operation: Operation,
    ) -> Response {
        self.collect();
        self.handles += 1;
        let handle = RequestHandle(self.handles);
        let event = Event::Request(IncomingRequest {
            handle,
            source,
            generation,
            address,
            operation,
        });
        self.host.handle(event, self.now);
        let mut answers = Vec::new();
        while let Some(action) = self.host.poll_action() {
            match action {
                Action::Respond {
                    handle: own,
                    response,
                } if own == handle => answers.push(response),
                Action::Send(transaction) => self.sent.push(transaction),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(answers.len(), 1, "each request is answered once");
        answers.remove(0)
    }

    pub(crate) fn read(&mut self, address: Address, length: usize) -> Vec<u8> {
        let response = self.request(address, Operation::ReadBlock { length });
        assert_eq!(
            response.rcode,
            RCode::COMPLETE,
            "{length} bytes at {address}"
        );
        assert_eq!(response.data.len(), length);
        response.data
    }

    pub(crate) fn write(&mut self, address: Address, data: &[u8]) -> RCode {
        let data = data.to_vec();
        self.request(address, Operation::WriteBlock { data }).rcode
    }

    /// Fetches the management ORB whose address the initiator writes now.
    pub(crate) fn management_orb(&mut self) -> (Address, ManagementOrb) {
        let write = self.sent().expect("a write to the management agent");
        assert_eq!(write.address, MANAGEMENT_AGENT);
        self.answer(&write, RCode::COMPLETE);
        let address = pointer(&write).address();
        let bytes = self.read(address, 32);
        (address, ManagementOrb::read_from_bytes(&bytes).unwrap())
    }

    pub(crate) fn management_status(&mut self, orb: Address, fifo: Pointer, status: Sbp2Status) {
        let complete = Resp::RequestComplete;
        let source = StatusSource::OrbNextNull;
        let block = StatusBlock::new(source, complete, false, status.0, orb, &[]);
        let rcode = self.write(fifo.address(), &block.to_bytes());
        assert_eq!(rcode, RCode::COMPLETE);
    }

    /// Answers the management ORB that comes next.
    pub(crate) fn manage(&mut self, function: Function, status: Sbp2Status) -> ManagementOrb {
        let (address, orb) = self.management_orb();
        assert_eq!(orb.function(), function);
        if function != Function::LOGIN && function != Function::QUERY_LOGINS {
            assert_eq!(orb.login_id(), LOGIN_ID);
        }
        self.management_status(address, orb.status_fifo, status);
        orb
    }

    pub(crate) fn grant_login(&mut self) -> ManagementOrb {
        let (address, orb) = self.management_orb();
        assert_eq!(orb.function(), Function::LOGIN);
        let response = LoginResponse::new(LOGIN_ID, AGENT, 3);
        let rcode = self.write(orb.response.address(), response.as_bytes());
        assert_eq!(rcode, RCode::COMPLETE);
        self.management_status(address, orb.status_fifo, Sbp2Status::OK);
        let busy_timeout = self.sent().expect("a write to BUSY_TIMEOUT");
        assert_eq!(busy_timeout.address, ohci_raw::bus::csr::BUSY_TIMEOUT);
        self.answer(&busy_timeout, RCode::ADDRESS_ERROR);
        orb
    }

    pub(crate) fn agent_write(&mut self, register: AgentRegister) -> Transaction {
        let write = self.sent().expect("a write to the agent");
        assert_eq!(write.address.get(), AGENT.get() + register.offset());
        write
    }

    pub(crate) fn accept_agent_reset(&mut self) {
        let reset = self.agent_write(AgentRegister::AgentReset);
        self.answer(&reset, RCode::COMPLETE);
    }

    /// Fetches the ORB whose address is written to ORB_POINTER now.
    pub(crate) fn fetch_orb(&mut self) -> (Address, CommandOrb) {
        let write = self.agent_write(AgentRegister::OrbPointer);
        self.answer(&write, RCode::COMPLETE);
        let address = pointer(&write).address();
        (address, self.orb_at(address))
    }

    pub(crate) fn orb_at(&mut self, address: Address) -> CommandOrb {
        CommandOrb::from_fetched(&self.read(address, CommandOrb::LENGTH)).unwrap()
    }

    pub(crate) fn status(&mut self, orb: Address, block: impl FnOnce(&mut Status)) {
        let mut status = Status {
            source: StatusSource::OrbNextNull,
            resp: Resp::RequestComplete,
            dead: false,
            status: 0,
            scsi: Vec::new(),
        };
        block(&mut status);
        let Status {
            source,
            resp,
            dead,
            status,
            scsi,
        } = status;
        let block = StatusBlock::new(source, resp, dead, status, orb, &scsi);
        let fifo = Address::new(0x1_0000_0000);
        assert_eq!(self.write(fifo, &block.to_bytes()), RCode::COMPLETE);
    }
}

impl Rig {
    pub(crate) fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::with(change)
    }

    /// An initiator that is logged in, with the gate open.
    pub(crate) fn logged_in(change: impl FnOnce(&mut Config)) -> Self {
        let mut rig = Self::new(change);
        rig.host.login(rig.now);
        rig.grant_login();
        rig.accept_agent_reset();
        assert!(matches!(rig.notice(), Some(Notice::LoggedIn(_))));
        rig.host.open_gate(rig.now);
        rig
    }

    pub(crate) fn notice(&mut self) -> Option<Notice> {
        self.host.poll_notice()
    }

    pub(crate) fn submit(&mut self, data: Data) -> CommandTag {
        let command = Command {
            cdb: [0x28; 16],
            data,
            timeout: None,
            urgent: false,
        };
        self.host.submit(command, self.now)
    }
}

pub(crate) struct Status {
    pub(crate) source: StatusSource,
    pub(crate) resp: Resp,
    pub(crate) dead: bool,
    pub(crate) status: u8,
    pub(crate) scsi: Vec<u8>,
}

pub(crate) fn good(_: &mut Status) {}

pub(crate) fn pointer(write: &Transaction) -> Pointer {
    let Operation::WriteBlock { data } = &write.operation else {
        panic!("{:?} is no pointer", write.operation);
    };
    Pointer::read_from_bytes(data).unwrap()
}
