//! What the bus promises, by what it is about.
#![cfg(feature = "std")]

mod addresses;
mod busy;
mod controllers;
mod determinism;
mod faults;
mod machines;
mod phy;
mod port;
mod resets;
mod timing;
mod topologies;
mod transactions;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::{Bus, NodeConfig, NodeIndex, Timing};
use crate::bus::{
    Action, Address, AddressRange, BusReset, Eui64, Event, IncomingRequest, Instant, Machine,
    Operation, RCode, Response, Speed, Token, Transaction,
};

const START: Instant = Instant::ZERO;
/// Where [`Memory`] is found.
const MEMORY: Address = Address::new(0xffff_f001_0000);
const MEMORY_LENGTH: u64 = 0x1_0000;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn config(number: u64, speed: Speed) -> NodeConfig {
    NodeConfig {
        name: number.to_string(),
        eui64: Eui64(number),
        rom: vec![0x0404_1111, 0x3133_3934, 0x1234_5678],
        speed,
        rom_block_reads: true,
    }
}

fn range(start: Address, length: u64) -> AddressRange {
    AddressRange::new(start, length).unwrap()
}

/// A bus with two hosts whose first bus resets have been seen.
fn two_hosts(timing: Timing) -> (Bus, NodeIndex, NodeIndex) {
    let mut bus = Bus::new(timing);
    let a = bus.attach_host(config(1, Speed::S400), START);
    let b = bus.attach_host(config(2, Speed::S400), START);
    drain(&mut bus, a);
    drain(&mut bus, b);
    (bus, a, b)
}

/// A bus with a host and a [`Memory`].
fn host_and_memory() -> (Bus, NodeIndex, NodeIndex) {
    let mut bus = Bus::new(Timing::Immediate);
    let host = bus.attach_host(config(1, Speed::S800), START);
    let memory = attach(&mut bus, 2, Memory::default());
    drain(&mut bus, host);
    (bus, host, memory)
}

fn attach(bus: &mut Bus, number: u64, machine: impl Machine + Send + 'static) -> NodeIndex {
    bus.attach_machine(
        config(number, Speed::S800),
        vec![range(MEMORY, MEMORY_LENGTH)],
        Box::new(machine),
        START,
    )
}

fn drain(bus: &mut Bus, host: NodeIndex) -> Vec<Event> {
    core::iter::from_fn(|| bus.poll_event(host)).collect()
}

fn transaction(bus: &Bus, to: NodeIndex, address: Address, operation: Operation) -> Transaction {
    Transaction {
        token: Token(7),
        destination: bus.id_of(to).unwrap(),
        generation: bus.generation(),
        speed: Speed::S400,
        address,
        operation,
    }
}

fn send(bus: &mut Bus, from: NodeIndex, to: NodeIndex, address: Address, operation: Operation) {
    let transaction = transaction(bus, to, address, operation);
    bus.send(from, transaction, bus.now());
}

fn write(length: usize) -> Operation {
    Operation::WriteBlock {
        data: vec![0x5a; length],
    }
}

/// The only event that the host has, which is the end of its transaction.
fn ended(bus: &mut Bus, host: NodeIndex) -> (RCode, Vec<u8>) {
    let mut events = drain(bus, host);
    match (events.pop(), events.len()) {
        (Some(Event::Response { token, rcode, data }), 0) => {
            assert_eq!(token, Token(7));
            (rcode, data)
        }
        other => panic!("not one response: {other:?}"),
    }
}

fn rcode(bus: &mut Bus, host: NodeIndex) -> RCode {
    ended(bus, host).0
}

/// The only event that the host has, which is a request.
fn asked(bus: &mut Bus, host: NodeIndex) -> IncomingRequest {
    let mut events = drain(bus, host);
    match (events.pop(), events.len()) {
        (Some(Event::Request(request)), 0) => request,
        other => panic!("not one request: {other:?}"),
    }
}

/// The last bus reset that the host was told of.
fn last_reset(bus: &mut Bus, host: NodeIndex) -> BusReset {
    let last = drain(bus, host).pop();
    match last {
        Some(Event::BusReset(reset)) => reset,
        other => panic!("not a bus reset: {other:?}"),
    }
}

/// A machine that keeps what is written to it.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    actions: VecDeque<Action>,
}

impl Machine for Memory {
    fn handle(&mut self, event: Event, _: Instant) {
        let Event::Request(request) = event else {
            return;
        };
        let at = (request.address.get() - MEMORY.get()) as usize;
        let end = at + request.operation.length();
        self.bytes.resize(self.bytes.len().max(end), 0);
        let response = match request.operation {
            Operation::ReadQuadlet | Operation::ReadBlock { .. } => {
                Response::data(self.bytes[at..end].to_vec())
            }
            Operation::WriteQuadlet { data } => {
                self.bytes[at..end].copy_from_slice(&data);
                Response::COMPLETE
            }
            Operation::WriteBlock { data } => {
                self.bytes[at..end].copy_from_slice(&data);
                Response::COMPLETE
            }
            Operation::Lock { .. } => Response::error(RCode::TYPE_ERROR),
        };
        self.actions.push_back(Action::Respond {
            handle: request.handle,
            response,
        });
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}
