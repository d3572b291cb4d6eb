use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::bus::{RequestHandle, csr};
use crate::config_rom::{Builder, BusOptions, Descriptor, DirectoryBuilder, Key};
use crate::port::{Port, PortError, ResetKind};
use crate::sim::{Fault, Packet, SharedBus, SimPort};

/// Long enough for any machine to get there; no test waits for it unless it fails.
const LIMIT: Option<Duration> = Some(Duration::from_secs(30));

fn wait<T>(port: &mut SimPort, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        let event = port.next_event(LIMIT).unwrap();
        if let Some(found) = wanted(event.expect("the event never came")) {
            return found;
        }
    }
}

fn reset_with_peers(peers: usize) -> impl FnMut(Event) -> Option<BusReset> {
    move |event| match event {
        Event::BusReset(reset) if reset.peers.len() == peers => Some(reset),
        _ => None,
    }
}

fn response(event: Event) -> Option<(RCode, Vec<u8>)> {
    match event {
        Event::Response { rcode, data, .. } => Some((rcode, data)),
        _ => None,
    }
}

fn quadlet_read(reset: &BusReset, eui64: u64, address: Address) -> Transaction {
    Transaction {
        token: Token(0),
        destination: reset.find(Eui64(eui64)).unwrap(),
        generation: reset.generation,
        speed: Speed::S400,
        address,
        operation: Operation::ReadQuadlet,
    }
}

#[test]
fn a_bus_may_be_used_by_several_threads() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<SimPort>();
    is_send::<Bus>();
    is_sync::<SharedBus>();
}

#[test]
fn a_waiting_host_is_woken_by_what_another_one_does() {
    let bus = SharedBus::new(Timing::Immediate);
    let mut a = bus.attach_host(config(1, Speed::S400));
    let mut b = bus.attach_host(config(2, Speed::S400));
    let address = b.allocate(64).unwrap().start();
    let served = thread::spawn(move || {
        for _ in 0..500 {
            let handle = wait(&mut b, |event| match event {
                Event::Request(request) => Some(request.handle),
                _ => None,
            });
            b.respond(handle, Response::data(vec![1, 2, 3, 4])).unwrap();
        }
        b
    });
    let reset = wait(&mut a, reset_with_peers(1));
    for _ in 0..500 {
        a.send(quadlet_read(&reset, 2, address)).unwrap();
        let end = wait(&mut a, response);
        assert_eq!(end, (RCode::COMPLETE, vec![1, 2, 3, 4]));
    }
    served.join().unwrap();
}

#[test]
fn a_waiting_host_is_woken_by_the_bus_itself() {
    let bus = SharedBus::new(Timing::Wire);
    bus.with(|bus, _| bus.set_split_timeout(Duration::from_millis(20)));
    let mut a = bus.attach_host(config(1, Speed::S400));
    let mut b = bus.attach_host(config(2, Speed::S400));
    let address = b.allocate(64).unwrap().start();
    let reset = wait(&mut a, reset_with_peers(1));
    a.send(quadlet_read(&reset, 2, address)).unwrap();
    let sent = a.now();
    assert_eq!(wait(&mut a, response).0, RCode::CANCELLED);
    assert!(a.now() - sent >= Duration::from_millis(19));
}

#[test]
fn a_thread_that_waits_without_end_does_the_work_that_another_one_left() {
    let bus = SharedBus::new(Timing::Immediate);
    bus.with(|bus, _| {
        bus.set_split_timeout(Duration::from_secs(3600));
        bus.set_fault(Some(Box::new(|_: &Packet<'_>| {
            Fault::Delay(Duration::from_millis(10))
        })));
    });
    let a = bus.attach_host(config(1, Speed::S400));
    let mut b = bus.attach_host(config(2, Speed::S400));
    let address = b.allocate(64).unwrap().start();
    let (from, to) = (a.index(), b.index());
    let (tell, told) = mpsc::channel();
    let waiting = thread::spawn(move || {
        wait(&mut b, |event| {
            matches!(event, Event::Request(_)).then_some(())
        });
        tell.send(()).unwrap();
    });
    while bus.sleepers() == 0 {
        thread::yield_now();
    }
    bus.with(|bus, now| {
        let read = transaction(bus, to, address, Operation::ReadQuadlet);
        bus.send(from, read, now);
    });
    // Nobody but the waiting thread can bring the packet in, and it slept before it was sent.
    told.recv_timeout(Duration::from_secs(20)).unwrap();
    waiting.join().unwrap();
}

#[test]
fn a_waker_ends_a_wait_now_or_the_next_one() {
    let bus = SharedBus::new(Timing::Immediate);
    let mut port = bus.attach_host(config(1, Speed::S400));
    wait(&mut port, reset_with_peers(0));
    let waker = port.waker();
    waker.wake();
    waker.wake();
    assert_eq!(port.next_event(None).unwrap(), None);
    // Both calls were kept for one wait.
    let over = port.next_event(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(over, None);
    let waking = thread::spawn(move || waker.wake());
    assert_eq!(port.next_event(None).unwrap(), None);
    waking.join().unwrap();
}

#[test]
fn the_nodes_are_named_from_the_hosts_own_on() {
    let bus = SharedBus::new(Timing::Immediate);
    let _first = bus.attach_host(config(1, Speed::S800));
    let mut host = bus.attach_host(config(2, Speed::S400));
    bus.attach_machine(config(3, Speed::S3200), vec![], Box::new(Memory::default()));
    let nodes = host.nodes().unwrap();
    let seen: Vec<_> = nodes
        .iter()
        .map(|node| (node.name.as_str(), node.eui64.0, node.is_local, node.speed))
        .collect();
    assert_eq!(
        seen,
        [
            ("fw0", 2, true, Speed::S400),
            ("fw1", 1, false, Speed::S400),
            ("fw2", 3, false, Speed::S400),
        ]
    );
    let reset = wait(&mut host, reset_with_peers(2));
    assert_eq!(nodes[0].id, reset.local);
    assert_eq!(Some(nodes[2].id), reset.find(Eui64(3)));
    assert!(nodes.iter().all(|node| node.generation == reset.generation));
    assert_eq!(nodes[1].rom, config(1, Speed::S800).rom);
}

#[test]
fn a_dropped_port_leaves_the_bus() {
    let bus = SharedBus::new(Timing::Immediate);
    let mut a = bus.attach_host(config(1, Speed::S400));
    let b = bus.attach_host(config(2, Speed::S400));
    wait(&mut a, reset_with_peers(1));
    drop(b);
    wait(&mut a, reset_with_peers(0));
    assert_eq!(a.nodes().unwrap().len(), 1);
}

#[test]
fn a_host_can_reset_the_bus() {
    let bus = SharedBus::new(Timing::Immediate);
    let mut a = bus.attach_host(config(1, Speed::S400));
    let mut b = bus.attach_host(config(2, Speed::S400));
    let before = wait(&mut b, reset_with_peers(1));
    a.reset_bus(ResetKind::Short).unwrap();
    let after = wait(&mut b, reset_with_peers(1));
    assert_ne!(after.generation, before.generation);
}

#[test]
fn what_the_bus_refuses_comes_back_as_an_error() {
    let bus = SharedBus::new(Timing::Immediate);
    let mut a = bus.attach_host(config(1, Speed::S400));
    let mut b = bus.attach_host(config(2, Speed::S400));
    assert!(matches!(
        a.allocate(3),
        Err(PortError::BadLength { length: 3 })
    ));
    let range = b.allocate(64).unwrap();
    b.deallocate(range).unwrap();
    assert!(matches!(b.deallocate(range), Err(PortError::Os { .. })));
    let unknown = RequestHandle(1 << 40);
    assert!(matches!(
        b.respond(unknown, Response::COMPLETE),
        Err(PortError::Os { .. })
    ));

    let address = b.allocate(64).unwrap().start();
    let reset = wait(&mut a, reset_with_peers(1));
    a.send(quadlet_read(&reset, 2, address)).unwrap();
    let handle = wait(&mut b, |event| match event {
        Event::Request(request) => Some(request.handle),
        _ => None,
    });
    assert!(matches!(
        b.respond(handle, Response::COMPLETE),
        Err(PortError::ResponseLength {
            expected: 4,
            got: 0
        })
    ));
    assert_eq!(wait(&mut a, response).0, RCode::DATA_ERROR);
}

#[test]
fn a_thread_that_panics_with_the_bus_in_hand_does_not_take_it_along() {
    let bus = SharedBus::new(Timing::Immediate);
    let mut port = bus.attach_host(config(1, Speed::S400));
    let other = bus.clone();
    let panicked = thread::spawn(move || other.with(|_, _| panic!("on purpose"))).join();
    assert!(panicked.is_err());
    let reset = wait(&mut port, reset_with_peers(0));
    let mut read = quadlet_read(
        &BusReset {
            peers: vec![crate::bus::Peer {
                node: reset.local,
                eui64: Eui64(1),
            }],
            ..reset
        },
        1,
        csr::CONFIG_ROM,
    );
    read.token = Token(9);
    port.send(read).unwrap();
    assert_eq!(wait(&mut port, response).0, RCode::COMPLETE);
}

#[test]
fn virtual_time_jumps_to_what_is_waited_for() {
    let bus = SharedBus::in_virtual_time(Timing::Immediate);
    let mut port = bus.attach_host(config(1, Speed::S400));
    assert!(port.next_event(None).unwrap().is_some(), "its own reset");
    let day = Duration::from_secs(86_400);
    assert_eq!(port.next_event(Some(day)).unwrap(), None);
    assert_eq!(port.now(), Instant::ZERO + day);
}

#[test]
fn a_descriptor_is_in_the_hosts_rom_until_it_is_removed_and_each_time_the_bus_is_reset() {
    let root = DirectoryBuilder::new().text("Linux Firewire");
    let rom = Builder::new(BusOptions::default(), Eui64(1), root);
    let mut host = config(1, Speed::S400);
    host.rom = rom.build().unwrap();
    let plain = host.rom.clone();
    let bus = SharedBus::new(Timing::Immediate);
    let mut host = bus.attach_host(host);
    let mut other = bus.attach_host(config(2, Speed::S400));
    let seen = |port: &mut SimPort| {
        let nodes = port.nodes().unwrap();
        let host = nodes.into_iter().find(|node| node.eui64 == Eui64(1));
        host.unwrap().rom
    };
    let generation = bus.with(|bus, _| bus.generation());

    let unit = DirectoryBuilder::new().immediate(Key::SPECIFIER_ID, 0x00_609e);
    let unit = Descriptor::directory(Key::UNIT_DIRECTORY, &unit).unwrap();
    let handle = host.add_descriptor(&unit).unwrap();
    assert_eq!(seen(&mut other).len(), plain.len() + 3);
    assert_ne!(bus.with(|bus, _| bus.generation()), generation);
    host.remove_descriptor(handle).unwrap();
    assert_eq!(seen(&mut other), plain);
    assert!(host.remove_descriptor(handle).is_err());

    let large = DirectoryBuilder::new().leaf(Key::EUI64_LEAF, &[0; 250]);
    let large = Descriptor::directory(Key::UNIT_DIRECTORY, &large).unwrap();
    let error = host.add_descriptor(&large).unwrap_err();
    assert!(matches!(error, PortError::RomFull { .. }), "{error}");
    assert_eq!(seen(&mut other), plain);
}

#[test]
fn a_range_with_a_place_of_its_own_is_had_there_or_not_at_all() {
    let bus = SharedBus::new(Timing::Immediate);
    let mut host = bus.attach_host(config(1, Speed::S400));
    let region = AddressRange::new(Address::new(0xffff_f001_0000), 0x40).unwrap();
    assert_eq!(host.allocate_in(region, 0x40).unwrap(), region);
    let error = host.allocate_in(region, 0x40).unwrap_err();
    assert!(matches!(error, PortError::Taken { .. }), "{error}");
    host.deallocate(region).unwrap();
    assert_eq!(host.allocate_in(region, 0x20).unwrap().length(), 0x20);
}
