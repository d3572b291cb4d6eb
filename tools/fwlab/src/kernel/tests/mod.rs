//! Two hosts on a bus, and a program or more on each.

mod ioctls;
mod nodes;
mod requests;

use std::collections::BTreeMap;

use ohci_raw::bus::{Eui64, Speed, csr};
use ohci_raw::cdev::abi::{self, number, tcode};
use ohci_raw::cdev::event::{self as client_side, CdevEvent};
use ohci_raw::sim::Timing;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::*;
use crate::host;

/// A program's memory: what is at an address, and nothing elsewhere.
#[derive(Default)]
struct Memory(BTreeMap<u64, Vec<u8>>);

impl Caller for Memory {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let bytes = self.0.get(&address).ok_or(Errno::EFAULT)?;
        buffer.copy_from_slice(bytes.get(..buffer.len()).ok_or(Errno::EFAULT)?);
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let place = self.0.get_mut(&address).ok_or(Errno::EFAULT)?;
        place
            .get_mut(..bytes.len())
            .ok_or(Errno::EFAULT)?
            .copy_from_slice(bytes);
        Ok(())
    }

    fn clock(&mut self, id: i32) -> Result<(i64, i32), Errno> {
        if id == 1 {
            Ok((12, 34))
        } else {
            Err(Errno::EINVAL)
        }
    }
}

const BUFFER: u64 = 0x1000;
const HIGH: u64 = 1 << 32;
const END: u64 = 0xffff_e000_0000;

struct Rig {
    bus: Bus,
    hosts: [Kernel; 2],
    memory: Memory,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let now = Instant::ZERO;
        let mut bus = Bus::new(Timing::Immediate);
        let mut hosts = [0, 1].map(|number| {
            let node = bus.attach_host(host::config(number, Speed::S400), now);
            Kernel::new(&mut bus, node).unwrap()
        });
        for host in &mut hosts {
            host.settle(&mut bus, now);
        }
        Self {
            bus,
            hosts,
            memory: Memory::default(),
            now,
        }
    }

    fn run(&mut self) {
        self.run_after(None);
    }

    /// Until nobody has anything to say to anybody.
    fn run_after(&mut self, initiator: Option<NodeIndex>) {
        while self.hosts.iter().any(|host| self.bus.has_event(host.node)) {
            for host in &mut self.hosts {
                host.run(&mut self.bus, initiator, self.now);
            }
        }
    }

    /// Lets time pass, every timeout at its time.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let timeouts = self.hosts.iter().filter_map(Kernel::poll_timeout);
            let next = timeouts.chain(self.bus.poll_timeout()).min();
            self.now = next.filter(|at| *at <= end).unwrap_or(end);
            self.bus.handle_timeout(self.now);
            let mut initiator = None;
            for host in &mut self.hosts {
                if host.handle_timeout(&mut self.bus, self.now) {
                    initiator = Some(host.node);
                }
            }
            self.run_after(initiator);
            if self.now == end {
                break;
            }
        }
    }

    fn call(
        &mut self,
        host: usize,
        client: ClientId,
        command: u32,
        argument: &(impl IntoBytes + Immutable),
    ) -> Result<Reply, Errno> {
        let reply = self.hosts[host].ioctl(
            &mut self.bus,
            client,
            command,
            argument.as_bytes(),
            &mut self.memory,
            self.now,
        );
        self.run();
        reply
    }

    /// Opens a file and says which version it is for.
    fn open(&mut self, host: usize, number: u32, version: u32) -> ClientId {
        let client = self.hosts[host].open(number).unwrap();
        self.info(host, client, version).unwrap();
        client
    }

    fn info(&mut self, host: usize, client: ClientId, version: u32) -> Result<abi::GetInfo, Errno> {
        let info = abi::GetInfo {
            version,
            ..abi::GetInfo::default()
        };
        let reply = self.call(host, client, number::GET_INFO, &info)?;
        Ok(abi::GetInfo::read_from_bytes(&reply.argument).unwrap())
    }

    fn allocate(
        &mut self,
        host: usize,
        client: ClientId,
        length: u32,
    ) -> Result<abi::Allocate, Errno> {
        let wish = abi::Allocate {
            offset: HIGH,
            closure: 77,
            length,
            region_end: END,
            ..abi::Allocate::default()
        };
        let reply = self.call(host, client, number::ALLOCATE, &wish)?;
        Ok(abi::Allocate::read_from_bytes(&reply.argument).unwrap())
    }

    fn request(&mut self, host: usize, client: ClientId, code: u32, offset: u64, data: &[u8]) {
        self.try_request(host, client, code, offset, data).unwrap();
    }

    fn try_request(
        &mut self,
        host: usize,
        client: ClientId,
        code: u32,
        offset: u64,
        data: &[u8],
    ) -> Result<Reply, Errno> {
        self.memory.0.insert(BUFFER, data.to_vec());
        let generation = event::low_byte(self.hosts[host].generation);
        let is_read = matches!(code, tcode::READ_QUADLET | tcode::READ_BLOCK);
        let request = abi::SendRequest {
            tcode: code,
            length: data.len() as u32,
            offset,
            closure: 5,
            data: if is_read { 0 } else { BUFFER },
            generation,
            pad: 0,
        };
        self.call(host, client, number::SEND_REQUEST, &request)
    }

    fn answer(
        &mut self,
        host: usize,
        client: ClientId,
        handle: u32,
        rcode: u32,
        data: &[u8],
    ) -> Result<Reply, Errno> {
        self.memory.0.insert(BUFFER, data.to_vec());
        let answer = abi::SendResponse {
            rcode,
            length: data.len() as u32,
            data: BUFFER,
            handle,
            pad: 0,
        };
        self.call(host, client, number::SEND_RESPONSE, &answer)
    }

    fn event(&mut self, host: usize, client: ClientId) -> Option<CdevEvent> {
        let version = self.hosts[host].version_of(client);
        let bytes = self.hosts[host].read(client).unwrap()?;
        Some(client_side::parse(&bytes, version).unwrap())
    }

    fn rcode(&mut self, host: usize, client: ClientId) -> Option<u32> {
        match self.event(host, client)? {
            CdevEvent::Response {
                rcode, closure: 5, ..
            } => Some(rcode.0),
            other => panic!("{other:?}"),
        }
    }

    fn incoming(&mut self, host: usize, client: ClientId) -> client_side::Request {
        match self.event(host, client) {
            Some(CdevEvent::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }
}

impl Kernel {
    fn version_of(&self, client: ClientId) -> u32 {
        self.clients[&client].version
    }
}
