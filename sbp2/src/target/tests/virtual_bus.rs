//! The bridge on the virtual bus, with a host that knows nothing of the crate but its wire types.

extern crate std;

use std::boxed::Box;
use std::sync::Arc;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use ohci_raw::bus::{
    Action, Address, AddressRange, BusReset, Eui64, Event, Instant, Machine, NodeId, Operation,
    RCode, Response, Speed, Token, Transaction, csr,
};
use ohci_raw::sim::{Bus, NodeConfig, NodeIndex, Timing};
use zerocopy::{FromBytes, IntoBytes};

use crate::scsi::MemoryMedium;
use crate::target::{Bridge, BridgeProfile, Counters};
use crate::wire::{
    CommandOrb, Direction, Function, LoginResponse, ManagementOrb, MaxPayload, Pointer, StatusBlock,
};

const ROOM: u64 = 1 << 18;
pub(super) const ORB: u64 = 0x100;
const RESPONSE: u64 = 0x200;
const FIFO: u64 = 0x300;
const DATA: u64 = 0x1_0000;

pub(super) struct Host {
    pub(super) bus: Bus,
    pub(super) now: Instant,
    me: NodeIndex,
    pub(super) bridge: NodeIndex,
    /// The bridge where it is a program on a host, which may stand still: then it is not here.
    pub(super) program: Option<Bridge>,
    management_agent: Address,
    pub(super) counters: Arc<Counters>,
    memory: AddressRange,
    bytes: Vec<u8>,
    pub(super) status: Vec<StatusBlock>,
    pub(super) responses: Vec<RCode>,
    resets: Vec<BusReset>,
}

fn host(timing: Timing, profile: BridgeProfile) -> Host {
    beside(Bus::new(timing), profile, |bus, config, bridge| {
        let claims = bridge.claims();
        let node = bus.attach_machine(config, claims, Box::new(bridge), Instant::ZERO);
        (node, None)
    })
}

/// A host beside a bridge that `attach` puts on the bus.
pub(super) fn beside(
    mut bus: Bus,
    profile: BridgeProfile,
    attach: impl FnOnce(&mut Bus, NodeConfig, Bridge) -> (NodeIndex, Option<Bridge>),
) -> Host {
    let now = Instant::ZERO;
    let disk = MemoryMedium::new(512, 4096).unwrap();
    let bridge = Bridge::new(profile, vec![Box::new(disk)]).unwrap();
    let offset = u64::from(bridge.profile().management_agent_offset);
    let counters = bridge.counters();
    let config = NodeConfig {
        name: "bridge".into(),
        eui64: bridge.profile().eui64,
        rom: bridge.rom().to_vec(),
        speed: bridge.profile().speed,
        rom_block_reads: bridge.profile().rom_block_reads,
    };
    let (bridge, program) = attach(&mut bus, config, bridge);
    let eui64 = Eui64(0x0001_0203_0405_0607);
    let config = NodeConfig {
        name: "host".into(),
        eui64,
        rom: vec![0, 0x3133_3934, 0, eui64.hi(), eui64.lo()],
        speed: Speed::S800,
        rom_block_reads: true,
    };
    let me = bus.attach_host(config, now);
    let memory = bus.allocate(me, ROOM).unwrap();
    Host {
        bus,
        now,
        me,
        bridge,
        program,
        management_agent: Address::new(csr::REGISTER_SPACE.get() + 4 * offset),
        counters,
        memory,
        bytes: vec![0; ROOM as usize],
        status: Vec::new(),
        responses: Vec::new(),
        resets: Vec::new(),
    }
}

impl Host {
    pub(super) fn at(&self, offset: u64) -> Address {
        Address::new(self.memory.start().get() + offset)
    }

    fn pointer(&self, offset: u64) -> Pointer {
        Pointer::new(self.id(), self.at(offset))
    }

    fn id(&self) -> NodeId {
        self.bus.id_of(self.me).unwrap()
    }

    pub(super) fn poke(&mut self, offset: u64, bytes: &[u8]) {
        self.bytes[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Lets the bus run, and answers the bridge, until nothing happens before `until`.
    pub(super) fn run_until(&mut self, until: Instant) {
        loop {
            while let Some(event) = self.bus.poll_event(self.me) {
                self.event(event);
            }
            self.run_program();
            match self.bus.poll_timeout() {
                Some(due) if due <= until => {
                    self.now = self.now.max(due);
                    self.bus.handle_timeout(self.now);
                }
                _ if self.bus.has_event(self.me) => {}
                _ => break,
            }
        }
        self.now = self.now.max(until);
    }

    fn run_program(&mut self) {
        let Some(program) = &mut self.program else {
            return;
        };
        let (bus, node, now) = (&mut self.bus, self.bridge, self.now);
        while let Some(event) = bus.poll_event(node) {
            program.handle(event, now);
            do_actions(bus, node, program, now);
        }
    }

    /// The next thing that a program which is not here has to be told.
    pub(super) fn next_for_program(&mut self) -> Option<Event> {
        loop {
            while let Some(event) = self.bus.poll_event(self.me) {
                self.event(event);
            }
            if let Some(event) = self.bus.poll_event(self.bridge) {
                return Some(event);
            }
            if !self.bus.has_event(self.me) {
                self.now = self.now.max(self.bus.poll_timeout()?);
                self.bus.handle_timeout(self.now);
            }
        }
    }

    pub(super) fn run(&mut self) {
        self.run_until(self.now + Duration::from_millis(500));
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Response { rcode, .. } => self.responses.push(rcode),
            Event::BusReset(reset) => self.resets.push(reset),
            Event::Request(request) => {
                let length = request.operation.length() as u64;
                let offset = self.memory.offset_of(request.address, length).unwrap();
                let bytes = &mut self.bytes[offset as usize..][..length as usize];
                let response = match &request.operation {
                    Operation::ReadBlock { .. } => Response::data(bytes.to_vec()),
                    Operation::WriteBlock { data } if offset == FIFO => {
                        self.status.push(StatusBlock::parse(data).unwrap());
                        Response::COMPLETE
                    }
                    Operation::WriteBlock { data } => {
                        bytes.copy_from_slice(data);
                        Response::COMPLETE
                    }
                    other => panic!("{other:?}"),
                };
                self.bus
                    .respond(self.me, request.handle, response, self.now)
                    .unwrap();
            }
        }
    }

    pub(super) fn write_pointer(&mut self, register: Address, to: Address) {
        let data = Pointer::next_orb(to).as_bytes().to_vec();
        self.send(register, Operation::WriteBlock { data });
    }

    /// Resets the agent whose ORB_POINTER this is.
    pub(super) fn reset_agent(&mut self, orb_pointer: Address) {
        let register = Address::new(orb_pointer.get() - 4);
        self.send(register, Operation::WriteQuadlet { data: [0; 4] });
    }

    fn send(&mut self, address: Address, operation: Operation) {
        let transaction = Transaction {
            token: Token(1),
            destination: self.bus.id_of(self.bridge).unwrap(),
            generation: self.bus.generation(),
            speed: Speed::S400,
            address,
            operation,
        };
        self.bus.send(self.me, transaction, self.now);
    }

    /// Has an ORB carried out and returns its status block.
    pub(super) fn carry_out(&mut self, register: Address, orb: &[u8]) -> StatusBlock {
        self.poke(ORB, orb);
        let to = self.at(ORB);
        self.write_pointer(register, to);
        self.run();
        assert_eq!(self.responses.pop(), Some(RCode::COMPLETE));
        assert_eq!(self.status.len(), 1);
        self.status.pop().unwrap()
    }

    fn login_orb(&self) -> ManagementOrb {
        let (response, fifo) = (self.pointer(RESPONSE), self.pointer(FIFO));
        ManagementOrb::login(0, false, 2, response, 16, fifo)
    }

    pub(super) fn log_in(&mut self) -> LoginResponse {
        let orb = self.login_orb();
        let status = self.carry_out(self.management_agent, orb.as_bytes());
        assert_eq!(status.status, 0);
        self.login_response()
    }

    /// Asks for a login, and does not wait for it.
    pub(super) fn ask_for_login(&mut self) {
        let orb = self.login_orb();
        self.poke(ORB, orb.as_bytes());
        let to = self.at(ORB);
        self.write_pointer(self.management_agent, to);
    }

    /// What is where the answer to a LOGIN belongs.
    pub(super) fn login_response(&self) -> LoginResponse {
        LoginResponse::read_from_bytes(&self.bytes[RESPONSE as usize..][..16]).unwrap()
    }

    fn transfer(&mut self, agent: Address, cdb: &[u8], length: u16, direction: Direction) {
        let orb = self.transfer_orb(cdb, length, direction);
        let status = self.carry_out(agent, orb.as_bytes());
        assert_eq!(status.to_bytes()[..2], [0x41, 0], "{status:?}");
    }

    fn transfer_orb(&self, cdb: &[u8], length: u16, direction: Direction) -> CommandOrb {
        let mut block = [0; 16];
        block[..cdb.len()].copy_from_slice(cdb);
        let payload = MaxPayload::negotiate(Speed::S400, 11);
        let data = self.pointer(DATA);
        CommandOrb::new(block).with_data(direction, data, length, false, Speed::S400, payload)
    }
}

/// What a program wants done.
pub(super) fn do_actions(bus: &mut Bus, node: NodeIndex, program: &mut Bridge, now: Instant) {
    while let Some(action) = program.poll_action() {
        match action {
            Action::Send(transaction) => bus.send(node, transaction, now),
            Action::Respond { handle, response } => {
                bus.respond(node, handle, response, now).unwrap();
            }
        }
    }
}

pub(super) fn orb_pointer(login: &LoginResponse) -> Address {
    Address::new(login.command_block_agent().get() + 8)
}

/// Login, INQUIRY, WRITE, READ.
fn a_disk_is_used(timing: Timing, profile: BridgeProfile) -> Host {
    let mut host = host(timing, profile);
    host.run();
    let login = host.log_in();
    let agent = orb_pointer(&login);
    let attention = CommandOrb::new([0; 16]);
    let status = host.carry_out(agent, attention.as_bytes());
    assert_eq!(status.command_set_dependent[..4], [2, 6, 0x29, 0]);

    host.transfer(agent, &[0x12, 0, 0, 0, 36, 0], 36, Direction::FromTarget);
    let data = DATA as usize;
    let vendor = &host.bytes[data + 8..data + 16];
    assert!(vendor == b"OXFORD  " || vendor == b"fwshare ");

    let written: Vec<u8> = (0..0xf000_u32).map(|at| (at % 241) as u8).collect();
    host.poke(DATA, &written);
    let cdb = [0x2a, 0, 0, 0, 0, 77, 0, 0, 120, 0];
    host.transfer(agent, &cdb, 0xf000, Direction::ToTarget);
    host.poke(DATA, &[0; 0xf000]);
    let cdb = [0x28, 0, 0, 0, 0, 77, 0, 0, 120, 0];
    host.transfer(agent, &cdb, 0xf000, Direction::FromTarget);
    assert_eq!(host.bytes[data..data + 0xf000], written);
    assert_eq!(host.counters.commands(), 4);
    assert_eq!(host.counters.max_outstanding(), 1);
    assert_eq!(host.counters.transport_errors(), 0);
    host
}

#[test]
fn a_disk_is_used_on_a_bus_without_time() {
    for name in BridgeProfile::NAMES {
        a_disk_is_used(Timing::Immediate, BridgeProfile::by_name(name).unwrap());
    }
}

#[test]
fn a_disk_is_used_on_a_bus_that_takes_time() {
    for name in BridgeProfile::NAMES {
        let host = a_disk_is_used(Timing::Wire, BridgeProfile::by_name(name).unwrap());
        // 61440 bytes each way at S400 take 1.4 ms at least.
        assert!(host.bus.counters().bytes > 2 * 0xf000);
        assert!(host.bus.now() > Instant::from_nanos(2_800_000));
    }
}

#[test]
fn a_bus_reset_amid_a_write_leaves_whole_chunks_and_a_login_to_reconnect() {
    let mut host = host(Timing::Wire, BridgeProfile::oxfw911());
    host.run();
    let login = host.log_in();
    let agent = orb_pointer(&login);
    host.carry_out(agent, CommandOrb::new([0; 16]).as_bytes());
    host.poke(DATA, &[0xab; 0xf000]);
    let cdb = [0x2a, 0, 0, 0, 0, 0, 0, 0, 120, 0];
    let orb = host.transfer_orb(&cdb, 0xf000, Direction::ToTarget);
    host.poke(ORB, orb.as_bytes());
    let to = host.at(ORB);
    host.write_pointer(agent, to);
    host.run_until(host.now + Duration::from_micros(700));
    let before = host.bus.counters().bytes;
    host.bus.rotate_ids();
    host.bus.reset(host.now);
    host.run();
    assert!(before > 10_000, "the reset came amid the data");
    assert!(
        host.status.is_empty(),
        "no status for what a reset took away"
    );
    host.responses.clear();
    assert_eq!(host.counters.aborted_orbs(), 1);

    // Nothing is carried out before the reconnect.
    host.write_pointer(agent, to);
    host.run();
    assert_eq!(host.responses.pop(), Some(RCode::TYPE_ERROR));
    let fifo = host.pointer(FIFO);
    let orb = ManagementOrb::for_login(Function::RECONNECT, login.login_id(), fifo);
    let status = host.carry_out(host.management_agent, orb.as_bytes());
    assert_eq!(status.status, 0);
    let cdb = [0x28, 0, 0, 0, 0, 0, 0, 0, 120, 0];
    host.transfer(agent, &cdb, 0xf000, Direction::FromTarget);
    let data = DATA as usize;
    assert_eq!(
        host.bytes[data..data + 0xf000],
        [0; 0xf000],
        "no part of the write"
    );
}

#[test]
fn a_login_that_nobody_reconnects_ends_when_its_time_is_over() {
    let mut host = host(Timing::Immediate, BridgeProfile::generic());
    host.run();
    let login = host.log_in();
    assert_eq!(login.reconnect_hold(), Some(3));
    let reset = host.now;
    host.bus.reset(reset);
    host.run_until(reset + Duration::from_millis(4_999));
    assert_eq!(host.counters.logins_expired(), 0);
    host.run_until(reset + Duration::from_millis(5_001));
    assert_eq!(host.counters.logins_expired(), 1);
}
