//! Two hosts on a bus, and a program or more on each.

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
            let config = host::config(number, Speed::S400);
            let rom = HostRom::new(config.eui64, config.speed);
            let node = bus.attach_host(config, now);
            Kernel::new(&mut bus, node, rom).unwrap()
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

#[test]
fn what_is_no_ioctl_of_firewire_cdev_is_enotty_and_a_bad_pointer_efault() {
    let mut rig = Rig::new();
    let client = rig.open(0, 0, 6);
    for command in [0x5401, 0xc028_2400, 0xc030_2300, 0x4004_23ff, 0x0000_2319] {
        assert_eq!(
            rig.call(0, client, command, &0_u32),
            Err(Errno::ENOTTY),
            "{command:x}"
        );
    }
    let info = abi::GetInfo {
        rom_length: 4,
        rom: 0x666,
        ..abi::GetInfo::default()
    };
    assert_eq!(
        rig.call(0, client, number::GET_INFO, &info),
        Err(Errno::EFAULT)
    );
    let refused = rig.call(
        0,
        client,
        number::SEND_REQUEST,
        &abi::SendRequest {
            length: 4,
            data: 0x666,
            ..abi::SendRequest::default()
        },
    );
    assert_eq!(refused, Err(Errno::EFAULT));
    assert_eq!(rig.event(0, client), None);
}

#[test]
fn get_info_tells_the_node_and_keeps_the_version_as_it_is() {
    let mut rig = Rig::new();
    let client = rig.hosts[0].open(1).unwrap();
    rig.memory.0.insert(0x100, vec![0; 20]);
    rig.memory.0.insert(0x200, vec![0; 36]);
    let info = abi::GetInfo {
        version: 4_000,
        rom_length: 20,
        rom: 0x100,
        bus_reset: 0x200,
        bus_reset_closure: 9,
        ..abi::GetInfo::default()
    };
    let reply = rig.call(0, client, number::GET_INFO, &info).unwrap();
    let info = abi::GetInfo::read_from_bytes(&reply.argument).unwrap();
    assert_eq!((info.version, info.rom_length, info.card), (6, 22 * 4, 0));
    assert_eq!(rig.hosts[0].version_of(client), 4_000);
    let rom = &rig.memory.0[&0x100];
    // In the host's byte order, as nowhere else.
    assert_eq!(rom[4..8], 0x3133_3934_u32.to_ne_bytes());
    let state = abi::BusResetEvent::read_from_bytes(&rig.memory.0[&0x200]).unwrap();
    assert_eq!(state.closure.get(), 9);
    assert_eq!(
        (state.node_id.get(), state.local_node_id.get()),
        (0xffc1, 0xffc0)
    );
    assert_eq!(
        (state.bm_node_id.get(), state.root_node_id.get()),
        (0xffff, 0xffc1)
    );
}

#[test]
fn a_request_that_the_core_does_not_send_is_refused_at_once() {
    let mut rig = Rig::new();
    let client = rig.open(0, 1, 6);
    for (code, length, expected) in [
        (2, 4, Errno::EINVAL),
        (0x10, 8, Errno::EINVAL),
        (0x18, 8, Errno::EINVAL),
        (tcode::WRITE_QUADLET, 3, Errno::EINVAL),
        (tcode::WRITE_BLOCK, 2049, Errno::EIO),
        (tcode::READ_BLOCK, 4097, Errno::EIO),
    ] {
        let refused = rig.try_request(0, client, code, HIGH, &vec![0; length]);
        assert_eq!(refused, Err(expected), "{code:x} {length}");
    }
    assert_eq!(rig.event(0, client), None);
}

#[test]
fn a_stale_generation_comes_back_as_an_event() {
    let mut rig = Rig::new();
    let client = rig.open(0, 1, 6);
    let request = abi::SendRequest {
        tcode: tcode::READ_QUADLET,
        length: 4,
        closure: 5,
        generation: event::low_byte(rig.hosts[0].generation) ^ 1,
        ..abi::SendRequest::default()
    };
    rig.call(0, client, number::SEND_REQUEST, &request).unwrap();
    assert_eq!(rig.rcode(0, client), Some(0x13));
}

#[test]
fn the_low_4_gib_are_type_errors_and_what_nobody_has_is_an_address_error() {
    let mut rig = Rig::new();
    let client = rig.open(0, 1, 5);
    for (offset, expected) in [
        (0, 6),
        (0xffff_fffc, 6),
        (HIGH, 7),
        (csr::REGISTER_SPACE.get() + 0x10, 7),
        (csr::CONFIG_ROM.get(), 0),
        (csr::BUSY_TIMEOUT.get(), 0),
    ] {
        rig.request(0, client, tcode::READ_QUADLET, offset, &[0; 4]);
        assert_eq!(rig.rcode(0, client), Some(expected), "{offset:x}");
    }
}

#[test]
fn a_range_is_one_programs_and_goes_when_its_file_is_closed() {
    let mut rig = Rig::new();
    let asker = rig.open(0, 1, 6);
    let owner = rig.open(1, 0, 6);
    let other = rig.open(1, 1, 6);
    let range = rig.allocate(1, owner, 64).unwrap();
    assert_eq!(range.offset, HIGH);
    let beside = rig.allocate(1, other, 64).unwrap();
    assert_eq!(beside.offset, HIGH + 64);
    // Across the border: in neither.
    rig.request(0, asker, tcode::READ_BLOCK, HIGH + 32, &[0; 64]);
    assert_eq!(rig.rcode(0, asker), Some(7));
    rig.request(0, asker, tcode::READ_BLOCK, HIGH, &[0; 64]);
    let request = rig.incoming(1, owner);
    assert_eq!((request.closure, request.length), (77, 64));
    let origin = request.origin.unwrap();
    assert_eq!((origin.source.0, origin.destination.0), (0xffc0, 0xffc1));
    assert_eq!(rig.event(1, other), None);
    // Not answered when the file is closed.
    let now = rig.now;
    rig.hosts[1].close(&mut rig.bus, owner, now);
    rig.run();
    assert_eq!(rig.rcode(0, asker), Some(4));
    rig.request(0, asker, tcode::READ_BLOCK, HIGH, &[0; 64]);
    assert_eq!(rig.rcode(0, asker), Some(7));
    let again = rig.allocate(1, other, 64).unwrap();
    assert_eq!(again.offset, HIGH);
    let dealt = rig.call(1, other, number::DEALLOCATE, &again.handle);
    assert!(dealt.is_ok());
    assert_eq!(
        rig.call(1, other, number::DEALLOCATE, &again.handle),
        Err(Errno::EINVAL)
    );
}

#[test]
fn a_program_from_before_version_4_gets_the_place_that_it_names_or_none() {
    let mut rig = Rig::new();
    let client = rig.hosts[0].open(0).unwrap();
    assert_eq!(rig.allocate(0, client, 64).unwrap().offset, HIGH);
    assert_eq!(
        rig.allocate(0, client, 64).map(|range| range.offset),
        Err(Errno::EBUSY)
    );
}

#[test]
fn an_answer_of_the_wrong_length_costs_the_request() {
    for (code, length, right) in [
        (tcode::READ_QUADLET, 4, 4),
        (tcode::READ_BLOCK, 16, 16),
        (tcode::LOCK_MASK_SWAP + 1, 8, 4),
        (tcode::LOCK_FETCH_ADD, 4, 4),
    ] {
        for rcode in [0, 5] {
            let mut rig = Rig::new();
            let asker = rig.open(0, 1, 6);
            let owner = rig.open(1, 0, 6);
            rig.allocate(1, owner, 64).unwrap();
            rig.request(0, asker, code, HIGH, &vec![0; length]);
            let handle = rig.incoming(1, owner).handle;
            let wrong = rig.answer(1, owner, handle, rcode, &vec![0; right + 4]);
            assert_eq!(wrong, Err(Errno::EINVAL), "{code:x}");
            let again = rig.answer(1, owner, handle, rcode, &vec![0; right]);
            assert_eq!(again, Err(Errno::EINVAL), "the handle is used up");
            assert_eq!(rig.rcode(0, asker), None);
            rig.pass(Duration::from_secs(2));
            assert_eq!(rig.rcode(0, asker), Some(0x11), "the peer's time-out");

            rig.request(0, asker, code, HIGH, &vec![0; length]);
            let handle = rig.incoming(1, owner).handle;
            assert!(rig.answer(1, owner, handle, rcode, &vec![0; right]).is_ok());
            assert_eq!(rig.rcode(0, asker), Some(rcode));
        }
    }
}

#[test]
fn a_posted_write_is_over_before_its_answer_which_still_is_due() {
    let mut rig = Rig::new();
    let asker = rig.open(0, 1, 6);
    let owner = rig.open(1, 0, 6);
    rig.allocate(1, owner, 64).unwrap();
    rig.request(0, asker, tcode::WRITE_BLOCK, HIGH, &[7; 8]);
    assert_eq!(rig.rcode(0, asker), Some(0));
    let request = rig.incoming(1, owner);
    assert_eq!(request.data, [7; 8]);
    assert!(rig.answer(1, owner, request.handle, 7, &[]).is_ok());
    assert_eq!(
        rig.answer(1, owner, request.handle, 7, &[]),
        Err(Errno::EINVAL)
    );
}

#[test]
fn fcp_frames_reach_everybody_and_are_answered_by_the_core() {
    let mut rig = Rig::new();
    let asker = rig.open(0, 1, 6);
    let owners = [rig.open(1, 0, 6), rig.open(1, 1, 4)];
    let fcp = csr::REGISTER_SPACE.get() + 0xd00;
    for owner in owners {
        let wish = abi::Allocate {
            offset: fcp,
            length: 0x200,
            region_end: fcp + 0x200,
            ..abi::Allocate::default()
        };
        assert!(rig.call(1, owner, number::ALLOCATE, &wish).is_ok());
    }
    rig.request(0, asker, tcode::WRITE_BLOCK, fcp, &[1; 8]);
    assert_eq!(rig.rcode(0, asker), Some(0));
    for owner in owners {
        let handle = rig.incoming(1, owner).handle;
        // Whatever it says.
        assert!(rig.answer(1, owner, handle, 5, &[0; 3]).is_ok());
    }
    rig.request(0, asker, tcode::READ_QUADLET, fcp, &[0; 4]);
    assert_eq!(rig.rcode(0, asker), Some(6));
    rig.request(0, asker, tcode::WRITE_QUADLET, fcp + 4, &[0; 4]);
    assert_eq!(rig.rcode(0, asker), Some(7));
}

#[test]
fn programs_resets_keep_two_seconds_between_them() {
    let mut rig = Rig::new();
    let client = rig.open(0, 0, 6);
    rig.pass(Duration::from_secs(2));
    let before = rig.bus.counters().resets;
    for _ in 0..3 {
        rig.call(0, client, number::INITIATE_BUS_RESET, &1_u32)
            .unwrap();
    }
    assert_eq!(rig.bus.counters().resets, before, "not within the call");
    rig.pass(Duration::from_millis(20));
    assert_eq!(rig.bus.counters().resets, before + 1);
    rig.call(0, client, number::INITIATE_BUS_RESET, &0_u32)
        .unwrap();
    rig.pass(Duration::from_millis(1900));
    assert_eq!(rig.bus.counters().resets, before + 1);
    rig.pass(Duration::from_millis(200));
    assert_eq!(rig.bus.counters().resets, before + 2);
}

#[test]
fn the_others_are_told_of_a_reset_when_its_initiator_was_looked_at() {
    let mut rig = Rig::new();
    rig.pass(Duration::from_secs(2));
    let local = rig.open(1, 0, 6);
    let remote = rig.open(1, 1, 6);
    let resetter = rig.open(0, 0, 6);
    rig.call(0, resetter, number::INITIATE_BUS_RESET, &1_u32)
        .unwrap();
    rig.pass(Duration::from_millis(20));
    assert!(matches!(rig.event(1, local), Some(CdevEvent::BusReset(_))));
    assert_eq!(rig.event(1, remote), None);
    // Its id and generation can be had before.
    rig.request(
        1,
        remote,
        tcode::READ_QUADLET,
        csr::CONFIG_ROM.get(),
        &[0; 4],
    );
    assert_eq!(rig.rcode(1, remote), Some(0));
    rig.pass(Duration::from_millis(500));
    assert!(matches!(rig.event(1, remote), Some(CdevEvent::BusReset(_))));
}

#[test]
fn a_node_that_leaves_keeps_its_file_for_two_seconds_and_then_its_openers_hang_up() {
    let mut rig = Rig::new();
    let client = rig.open(0, 1, 6);
    let other = rig.hosts[1].node;
    rig.bus.detach(other, rig.now);
    rig.run();
    rig.request(
        0,
        client,
        tcode::READ_QUADLET,
        csr::CONFIG_ROM.get(),
        &[0; 4],
    );
    rig.pass(Duration::from_millis(1999));
    assert_eq!(rig.hosts[0].files(), [0, 1]);
    let _woken = rig.hosts[0].take_woken();
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.hosts[0].files(), [0]);
    assert!(rig.hosts[0].take_woken().any(|woken| woken == client));
    assert_eq!(rig.hosts[0].open(1), Err(Errno::ENODEV));
    let ready = rig.hosts[0].poll(client);
    assert_eq!(
        ready,
        Readiness {
            readable: true,
            hung_up: true
        }
    );
    assert_eq!(rig.info(0, client, 6).map(|_| ()), Err(Errno::ENODEV));
    // What is queued can be read; then there is nothing more.
    assert!(matches!(rig.hosts[0].read(client), Ok(Some(_))));
    assert_eq!(rig.hosts[0].read(client), Err(Errno::ENODEV));
}

#[test]
fn a_node_that_is_soon_back_is_the_one_that_it_was() {
    let mut rig = Rig::new();
    let client = rig.open(0, 1, 6);
    let other = rig.hosts[1].node;
    rig.bus.detach(other, rig.now);
    rig.run();
    rig.pass(Duration::from_secs(1));
    rig.bus.reattach(other, rig.now);
    rig.run();
    rig.pass(Duration::from_millis(500));
    assert_eq!(rig.hosts[0].files(), [0, 1]);
    assert!(matches!(rig.event(0, client), Some(CdevEvent::BusReset(_))));
    rig.request(0, client, tcode::READ_QUADLET, csr::EUI64.get(), &[0; 4]);
    assert_eq!(rig.rcode(0, client), Some(0));
    rig.pass(Duration::from_secs(4));
    assert_eq!(rig.hosts[0].files(), [0, 1]);
}

#[test]
fn a_new_node_has_a_file_half_a_second_after_the_reset() {
    let mut rig = Rig::new();
    let mut config = host::config(2, Speed::S400);
    config.eui64 = Eui64(99);
    rig.bus.attach_host(config, rig.now);
    rig.run();
    rig.pass(Duration::from_millis(499));
    assert_eq!(rig.hosts[0].files(), [0, 1]);
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.hosts[0].files(), [0, 1, 2]);
}

#[test]
fn a_descriptor_is_seen_by_others_until_its_program_closes_the_file() {
    let mut rig = Rig::new();
    let remote = rig.open(0, 1, 6);
    let client = rig.open(1, 0, 6);
    rig.memory.0.insert(
        0x300,
        [0x0001_0000_u32.to_ne_bytes(), 0x1200_609e_u32.to_ne_bytes()].concat(),
    );
    let wish = abi::AddDescriptor {
        key: 0xd100_0000,
        data: 0x300,
        length: 2,
        ..abi::AddDescriptor::default()
    };
    assert_eq!(
        rig.call(0, remote, number::ADD_DESCRIPTOR, &wish),
        Err(Errno::ENOSYS)
    );
    rig.call(1, client, number::ADD_DESCRIPTOR, &wish).unwrap();
    rig.pass(Duration::from_secs(3));
    assert_eq!(rig.info(0, remote, 6).unwrap().rom_length, (22 + 3) * 4);
    let now = rig.now;
    rig.hosts[1].close(&mut rig.bus, client, now);
    rig.pass(Duration::from_secs(3));
    assert_eq!(rig.info(0, remote, 6).unwrap().rom_length, 22 * 4);
    assert_eq!(rig.hosts[0].files(), [0, 1], "the same file all the time");
}

#[test]
fn isochronous_resources_are_not_there() {
    let mut rig = Rig::new();
    let client = rig.open(0, 0, 6);
    let argument = |words: [u32; 10]| words;
    for (command, words, expected) in [
        (0xc020_2308, [1, 4, 3, 0, 0, 0, 0, 0, 0, 0], Errno::EBUSY),
        (0xc020_2308, [1, 3, 3, 0, 0, 0, 0, 0, 0, 0], Errno::EINVAL),
        (0xc020_2308, [3, 4, 3, 0, 0, 0, 0, 0, 0, 0], Errno::EINVAL),
        (0x4010_230a, [0; 10], Errno::EINVAL),
        (0x4004_230b, [0; 10], Errno::EINVAL),
        (0xc018_230d, [0; 10], Errno::EINVAL),
    ] {
        assert_eq!(
            rig.call(0, client, command, &argument(words)),
            Err(expected),
            "{command:x}"
        );
    }
    let wanted = [7, 0, 1, 0, 100, 0, 0, 0, 0, 0];
    assert!(rig.call(0, client, 0xc018_230d, &wanted).is_ok());
    assert!(matches!(
        rig.event(0, client),
        Some(CdevEvent::Ignored {
            closure: 7,
            event_type: 4
        })
    ));
}

#[test]
fn clocks_and_speed_can_be_asked_for() {
    let mut rig = Rig::new();
    rig.pass(Duration::from_secs(3));
    let client = rig.open(0, 1, 6);
    let speed = rig.call(0, client, number::GET_SPEED, &0_u32).unwrap();
    assert_eq!((speed.value, speed.argument), (2, vec![]));
    let timer = |clk_id| abi::GetCycleTimer2 {
        clk_id,
        ..abi::GetCycleTimer2::default()
    };
    let reply = rig
        .call(0, client, number::GET_CYCLE_TIMER2, &timer(1))
        .unwrap();
    let read = abi::GetCycleTimer2::read_from_bytes(&reply.argument).unwrap();
    assert_eq!(
        (read.tv_sec, read.tv_nsec, read.cycle_timer),
        (12, 34, 3 << 25)
    );
    assert_eq!(
        rig.call(0, client, number::GET_CYCLE_TIMER2, &timer(99)),
        Err(Errno::EINVAL)
    );
}

#[test]
fn a_broadcast_is_for_units_only() {
    let mut rig = Rig::new();
    let client = rig.open(0, 0, 6);
    let broadcast = |code, offset| abi::SendRequest {
        tcode: code,
        length: 4,
        offset,
        closure: 5,
        generation: 2,
        ..abi::SendRequest::default()
    };
    let command = number::SEND_BROADCAST_REQUEST;
    let units = csr::REGISTER_SPACE.get() + 0x1_0000;
    let read = broadcast(tcode::READ_QUADLET, units);
    assert_eq!(rig.call(0, client, command, &read), Err(Errno::EINVAL));
    let core = broadcast(tcode::WRITE_QUADLET, csr::BUSY_TIMEOUT.get());
    assert_eq!(rig.call(0, client, command, &core), Err(Errno::EACCES));
    let write = broadcast(tcode::WRITE_QUADLET, units);
    assert!(rig.call(0, client, command, &write).is_ok());
    assert_eq!(rig.rcode(0, client), Some(0));
}
