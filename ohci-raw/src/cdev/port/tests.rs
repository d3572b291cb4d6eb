use std::sync::mpsc::{Sender, channel};

use super::fake::{CARD, FakeNode, HOST, Remote, eui64, node};
use super::*;
use crate::bus::{Address, BusReset, Generation, NodeId, Operation, Peer, RCode, Speed, Token};
use crate::cdev::abi::tcode;
use crate::cdev::event::{BusState, CdevEvent, Origin, Request};
use crate::config_rom::{DirectoryBuilder, Key};

const DISK: NodeId = NodeId(0xffc0);
const OTHER: NodeId = NodeId(0xffc2);

/// A host with `fw0` at ffc1, and a disk with `fw1` at ffc0, in generation 1.
struct Bench {
    port: CdevPort<FakeNode>,
    host: Remote,
    disk: Remote,
    /// Node files that the next look into the folder finds.
    new_files: Sender<FoundNode<FakeNode>>,
}

impl Bench {
    fn new() -> Self {
        let (local, host) = node(0, HOST);
        let (remote, disk) = node(1, DISK);
        let (new_files, found) = channel::<FoundNode<FakeNode>>();
        let card = Card {
            index: CARD,
            folder: "/fake".into(),
            local: Some(local),
            remotes: vec![remote],
        };
        let port = CdevPort::with_look(card, Box::new(move |_| found.try_iter().collect()));
        let mut bench = Self {
            port: port.unwrap(),
            host,
            disk,
            new_files,
        };
        let first = bus_reset(1, HOST, &[(DISK, 1)]);
        assert_eq!(bench.next(), Some(first));
        // The first look for new files is over with this.
        assert_eq!(bench.next(), None);
        bench
    }

    /// What there is to be had without waiting.
    fn next(&mut self) -> Option<Event> {
        self.port.next_event(Some(Duration::ZERO)).unwrap()
    }

    /// The bus was reset; the controller's file says so.
    fn reset(&mut self, generation: u32) {
        self.host.now_at(HOST, generation);
        self.host.post_bus_reset();
    }

    fn send(&mut self, node: NodeId, generation: u32, token: u64) -> Result<(), PortError> {
        self.port.send(Transaction {
            token: Token(token),
            destination: node,
            generation: Generation(generation),
            speed: Speed::S400,
            address: Address::new(0xffff_f000_0400),
            operation: Operation::ReadQuadlet,
        })
    }

    /// The disk asks for 8 bytes of the host's first range.
    fn request(&self, handle: u32, generation: u32, card: u32) -> CdevEvent {
        CdevEvent::Request(Request {
            closure: 1,
            tcode: tcode::READ_BLOCK,
            address: csr::POSTED_WRITES.start(),
            origin: Some(Origin {
                source: DISK,
                destination: HOST,
                card,
                generation: Generation(generation),
            }),
            handle,
            length: 8,
            data: Vec::new(),
        })
    }
}

fn bus_reset(generation: u32, local: NodeId, peers: &[(NodeId, u8)]) -> Event {
    Event::BusReset(BusReset {
        generation: Generation(generation),
        local,
        peers: peers
            .iter()
            .map(|&(node, number)| Peer {
                node,
                eui64: eui64(number),
            })
            .collect(),
    })
}

fn response(token: u64, rcode: RCode, data: &[u8]) -> Event {
    Event::Response {
        token: Token(token),
        rcode,
        data: data.to_vec(),
    }
}

fn handle_of(event: Option<Event>) -> RequestHandle {
    match event {
        Some(Event::Request(request)) => request.handle,
        other => panic!("no request: {other:?}"),
    }
}

#[test]
fn a_reset_is_told_with_the_new_ids_of_everybody_who_is_through_it() {
    let mut bench = Bench::new();
    bench.disk.now_at(OTHER, 2);
    bench.reset(2);
    assert_eq!(bench.next(), Some(bus_reset(2, HOST, &[(OTHER, 1)])));
    // The disk's own notice says nothing new.
    bench.disk.post_bus_reset();
    assert_eq!(bench.next(), None);
}

#[test]
fn a_peer_that_comes_through_the_reset_late_is_told_in_a_second_event() {
    let mut bench = Bench::new();
    bench.reset(2);
    assert_eq!(bench.next(), Some(bus_reset(2, HOST, &[])));
    assert_eq!(bench.next(), None);
    bench.disk.now_at(DISK, 2);
    bench.disk.post_bus_reset();
    assert_eq!(bench.next(), Some(bus_reset(2, HOST, &[(DISK, 1)])));
}

#[test]
fn a_peer_that_is_ahead_of_the_controller_is_told_with_the_controllers_reset() {
    let mut bench = Bench::new();
    bench.disk.now_at(DISK, 2);
    bench.disk.post_bus_reset();
    assert_eq!(bench.next(), None);
    bench.reset(2);
    assert_eq!(bench.next(), Some(bus_reset(2, HOST, &[(DISK, 1)])));
}

#[test]
fn a_request_goes_through_the_file_of_its_destination_and_its_response_finds_the_token() {
    let mut bench = Bench::new();
    bench.send(DISK, 1, 0xfeed).unwrap();
    let (closure, generation, address, operation) = bench.disk.state().sent[0].clone();
    assert_ne!(closure, 0xfeed);
    assert_eq!(generation, Generation(1));
    assert_eq!(address, Address::new(0xffff_f000_0400));
    assert_eq!(operation, Operation::ReadQuadlet);
    bench.disk.post_response(RCode::COMPLETE, &[1, 2, 3, 4]);
    let expected = response(0xfeed, RCode::COMPLETE, &[1, 2, 3, 4]);
    assert_eq!(bench.next(), Some(expected));
    // The same response once more is nobody's.
    bench.disk.post_response(RCode::COMPLETE, &[1, 2, 3, 4]);
    assert_eq!(bench.next(), None);
    assert_eq!(bench.port.counters().stray_responses, 1);
}

#[test]
fn a_response_through_another_file_than_the_request_is_nobodys() {
    let mut bench = Bench::new();
    bench.send(DISK, 1, 5).unwrap();
    let closure = bench.disk.state().sent[0].0;
    bench.host.post(CdevEvent::Response {
        closure,
        rcode: RCode::COMPLETE,
        data: vec![6; 4],
    });
    assert_eq!(bench.next(), None);
    assert_eq!(bench.port.counters().stray_responses, 1);
    bench.disk.post_response(RCode::COMPLETE, &[7; 4]);
    assert_eq!(bench.next(), Some(response(5, RCode::COMPLETE, &[7; 4])));
}

#[test]
fn what_the_kernel_leaves_behind_a_failed_response_is_not_data() {
    let mut bench = Bench::new();
    bench.send(DISK, 1, 5).unwrap();
    bench.disk.post_response(RCode::ADDRESS_ERROR, &[0xaa; 4]);
    assert_eq!(bench.next(), Some(response(5, RCode::ADDRESS_ERROR, &[])));
}

#[test]
fn nothing_is_sent_to_an_unknown_node_an_old_generation_or_everybody() {
    let mut bench = Bench::new();
    for (node, generation) in [(OTHER, 1), (DISK, 0), (DISK, 2), (NodeId(0xffff), 1)] {
        let error = bench.send(node, generation, 1).unwrap_err();
        assert!(matches!(error, PortError::NoSuchNode { .. }), "{error}");
    }
    assert!(bench.disk.state().sent.is_empty());
    bench.send(HOST, 1, 1).unwrap();
    assert_eq!(bench.host.state().sent.len(), 1);
}

#[test]
fn a_node_that_vanishes_is_dropped_and_what_it_owed_is_cancelled() {
    let mut bench = Bench::new();
    bench.send(DISK, 1, 5).unwrap();
    bench.disk.vanish();
    assert_eq!(bench.next(), Some(response(5, RCode::CANCELLED, &[])));
    assert_eq!(bench.next(), None);
    assert_eq!(bench.port.counters().lost_nodes, 1);
    let error = bench.send(DISK, 1, 6).unwrap_err();
    assert!(matches!(error, PortError::NoSuchNode { .. }), "{error}");
    assert_eq!(bench.port.nodes().unwrap().len(), 1);
}

#[test]
fn a_file_that_hangs_up_and_has_nothing_to_read_is_dropped_instead_of_asked_for_ever() {
    let mut bench = Bench::new();
    bench.disk.hang_up();
    assert_eq!(bench.next(), None);
    assert_eq!(bench.port.counters().lost_nodes, 1);
}

#[test]
fn what_was_read_before_a_node_vanished_is_still_told() {
    let mut bench = Bench::new();
    bench.send(DISK, 1, 5).unwrap();
    bench.disk.post_response(RCode::COMPLETE, &[1, 2, 3, 4]);
    bench.disk.vanish();
    let expected = response(5, RCode::COMPLETE, &[1, 2, 3, 4]);
    assert_eq!(bench.next(), Some(expected));
}

#[test]
fn a_node_found_gone_while_sending_is_no_node() {
    let mut bench = Bench::new();
    bench.disk.vanish();
    let error = bench.send(DISK, 1, 5).unwrap_err();
    assert!(matches!(error, PortError::NoSuchNode { .. }), "{error}");
    assert_eq!(bench.next(), None);
}

#[test]
fn a_node_that_gets_a_new_file_is_found_again() {
    let mut bench = Bench::new();
    bench.disk.vanish();
    let (replugged, _disk) = node(1, OTHER);
    let (foreign, foreign_node) = node(7, NodeId(0xffc3));
    foreign_node.state().info.card = 0;
    let foreign = FoundNode {
        info: foreign_node.state().info.clone(),
        ..foreign
    };
    bench.new_files.send(replugged).unwrap();
    bench.new_files.send(foreign).unwrap();
    assert_eq!(bench.next(), Some(bus_reset(1, HOST, &[(OTHER, 1)])));
    bench.send(OTHER, 1, 5).unwrap();
}

#[test]
fn a_reset_is_reason_to_look_for_new_files() {
    let mut bench = Bench::new();
    let (plugged_in, _other) = node(2, OTHER);
    bench.new_files.send(plugged_in).unwrap();
    assert_eq!(bench.next(), None);
    bench.reset(1);
    let both = bus_reset(1, HOST, &[(DISK, 1), (OTHER, 2)]);
    assert_eq!(bench.next(), Some(both));
}

#[test]
fn an_unplugged_node_whose_last_id_is_the_controllers_new_one_is_not_told_as_local() {
    let mut bench = Bench::new();
    bench.disk.now_at(HOST, 0);
    let nodes = bench.port.nodes().unwrap();
    let local: Vec<_> = nodes.iter().map(|node| node.is_local).collect();
    assert_eq!(local, [true, false]);
}

#[test]
fn the_controllers_id_is_told_in_the_generation_in_which_it_holds() {
    let mut bench = Bench::new();
    bench.host.state().info.state = BusState {
        node: HOST,
        local: OTHER,
        generation: Generation(2),
    };
    bench.host.post_bus_reset();
    assert_eq!(bench.next(), Some(bus_reset(2, HOST, &[])));
}

#[test]
fn a_controller_that_vanishes_ends_everything_after_the_last_event() {
    let mut bench = Bench::new();
    bench.send(DISK, 1, 5).unwrap();
    bench.host.vanish();
    assert_eq!(bench.next(), Some(response(5, RCode::CANCELLED, &[])));
    let error = bench.port.next_event(None).unwrap_err();
    assert!(
        matches!(&error, PortError::Gone { device } if device == "/fake/fw0"),
        "{error}"
    );
    assert!(matches!(
        bench.send(DISK, 1, 6),
        Err(PortError::Gone { .. })
    ));
    assert!(matches!(bench.port.nodes(), Err(PortError::Gone { .. })));
}

#[test]
fn ranges_are_sought_where_writes_are_posted_and_then_anywhere_above_4_gib() {
    let mut bench = Bench::new();
    let range = bench.port.allocate(0x1000).unwrap();
    assert_eq!(bench.host.state().regions, [csr::POSTED_WRITES]);
    assert_eq!(
        (range.start().get(), range.length()),
        (0x1_0000_0000, 0x1000)
    );
    bench.host.state().full = 1;
    bench.port.allocate(8).unwrap();
    assert_eq!(
        bench.host.state().regions[1..],
        [csr::POSTED_WRITES, csr::HIGH_MEMORY]
    );
    bench.host.state().full = 2;
    let error = bench.port.allocate(8).unwrap_err();
    assert!(matches!(error, PortError::NoSpace { length: 8 }), "{error}");
    for length in [0, 6, 1 << 32] {
        let error = bench.port.allocate(length).unwrap_err();
        assert!(matches!(error, PortError::BadLength { .. }), "{error}");
    }
    bench.port.deallocate(range).unwrap();
    assert_eq!(bench.host.state().freed, [101]);
    assert!(bench.port.deallocate(range).is_err());
}

#[test]
fn a_request_is_answered_on_the_controllers_file_with_the_kernels_handle() {
    let mut bench = Bench::new();
    bench.port.allocate(0x1000).unwrap();
    bench.host.post(bench.request(0x21, 1, CARD));
    let handle = handle_of(bench.next());
    let data = vec![1, 2, 3, 4, 5, 6, 7, 8];
    bench
        .port
        .respond(handle, Response::data(data.clone()))
        .unwrap();
    assert_eq!(
        bench.host.state().responses,
        [(0x21, RCode::COMPLETE, data)]
    );
    // The kernel may use 0x21 again. Our handle was for the first one only.
    bench.host.post(bench.request(0x21, 1, CARD));
    let again = handle_of(bench.next());
    assert!(bench.port.respond(handle, Response::COMPLETE).is_err());
    assert_eq!(bench.host.state().responses.len(), 1);
    bench
        .port
        .respond(again, Response::error(RCode::TYPE_ERROR))
        .unwrap();
    let padded = (0x21, RCode::TYPE_ERROR, vec![0; 8]);
    assert_eq!(bench.host.state().responses[1], padded);
}

#[test]
fn a_response_of_the_wrong_length_is_an_error_for_both_sides_and_leaks_no_handle() {
    let mut bench = Bench::new();
    bench.port.allocate(0x1000).unwrap();
    bench.host.post(bench.request(0x21, 1, CARD));
    let handle = handle_of(bench.next());
    let error = bench
        .port
        .respond(handle, Response::data(vec![0; 4]))
        .unwrap_err();
    assert!(
        matches!(
            error,
            PortError::ResponseLength {
                expected: 8,
                got: 4
            }
        ),
        "{error}"
    );
    let sent = (0x21, RCode::DATA_ERROR, vec![0; 8]);
    assert_eq!(bench.host.state().responses, [sent]);
}

#[test]
fn requests_from_another_card_or_an_old_generation_are_refused_by_the_port() {
    let mut bench = Bench::new();
    bench.port.allocate(0x1000).unwrap();
    bench.host.post(bench.request(1, 1, CARD + 1));
    bench.host.post(bench.request(2, 0, CARD));
    assert_eq!(bench.next(), None);
    let refused = |handle| (handle, RCode::ADDRESS_ERROR, vec![0; 8]);
    assert_eq!(bench.host.state().responses, [refused(1), refused(2)]);
    let counters = bench.port.counters();
    assert_eq!((counters.foreign_card, counters.stale_requests), (1, 1));
}

#[test]
fn a_request_that_overtakes_the_notice_of_its_bus_reset_is_told_after_the_reset() {
    let mut bench = Bench::new();
    bench.port.allocate(0x1000).unwrap();
    bench.host.now_at(HOST, 2);
    bench.disk.now_at(DISK, 2);
    bench.host.post(bench.request(1, 2, CARD));
    bench.host.post_bus_reset();
    assert_eq!(bench.next(), Some(bus_reset(2, HOST, &[(DISK, 1)])));
    handle_of(bench.next());
    assert_eq!(bench.next(), None);
}

#[test]
fn looking_at_the_nodes_does_not_make_requests_stale_that_still_wait_to_be_read() {
    let mut bench = Bench::new();
    bench.port.allocate(0x1000).unwrap();
    bench.host.post(bench.request(1, 1, CARD));
    bench.reset(2);
    let nodes = bench.port.nodes().unwrap();
    assert_eq!(nodes[0].generation, Generation(2));
    handle_of(bench.next());
    assert_eq!(bench.next(), Some(bus_reset(2, HOST, &[])));
}

#[test]
fn nodes_are_told_with_name_speed_and_rom_the_controller_first() {
    let mut bench = Bench::new();
    let nodes = bench.port.nodes().unwrap();
    let told: Vec<_> = nodes
        .iter()
        .map(|node| (node.name.as_str(), node.id, node.eui64, node.is_local))
        .collect();
    let expected = [
        ("fw0", HOST, eui64(0), true),
        ("fw1", DISK, eui64(1), false),
    ];
    assert_eq!(told, expected);
    assert_eq!((nodes[1].speed, nodes[1].rom.len()), (Speed::S400, 5));
}

#[test]
fn events_that_cannot_be_read_or_are_not_known_are_counted_and_passed_over() {
    let mut bench = Bench::new();
    bench.host.post_garbage();
    bench.host.post(CdevEvent::Unknown {
        closure: 0,
        event_type: 0x1234,
        rest: Vec::new(),
    });
    bench.host.post(CdevEvent::Ignored {
        closure: 0,
        event_type: 8,
    });
    bench.reset(2);
    assert_eq!(bench.next(), Some(bus_reset(2, HOST, &[])));
    let counters = bench.port.counters();
    assert_eq!((counters.malformed_events, counters.unknown_events), (1, 1));
}

#[test]
fn a_waker_ends_a_wait_and_is_kept_for_the_next_one_if_nobody_waits() {
    let mut bench = Bench::new();
    let waker = bench.port.waker();
    waker.wake();
    waker.wake();
    assert!(bench.port.next_event(None).unwrap().is_none());
    let thread = std::thread::spawn(move || waker.wake());
    assert!(bench.port.next_event(None).unwrap().is_none());
    thread.join().unwrap();
    let start = Clock::now();
    let timeout = Duration::from_millis(5);
    assert!(bench.port.next_event(Some(timeout)).unwrap().is_none());
    assert!(
        start.elapsed() >= timeout,
        "woken by a call that was used up"
    );
}

#[test]
fn a_waker_does_not_hide_an_event_and_an_event_does_not_swallow_a_wake() {
    let mut bench = Bench::new();
    bench.port.waker().wake();
    bench.reset(2);
    assert_eq!(
        bench.port.next_event(None).unwrap(),
        Some(bus_reset(2, HOST, &[]))
    );
    assert!(bench.port.next_event(None).unwrap().is_none());
}

#[test]
fn a_wait_lasts_at_least_as_long_as_asked() {
    let mut bench = Bench::new();
    let start = Clock::now();
    let timeout = Duration::from_micros(1500);
    assert!(bench.port.next_event(Some(timeout)).unwrap().is_none());
    assert!(start.elapsed() >= timeout);
}

#[test]
fn waits_are_rounded_up_to_what_epoll_counts_in() {
    assert_eq!(whole_millis(Duration::ZERO), 0);
    assert_eq!(whole_millis(Duration::from_nanos(1)), 1);
    assert_eq!(whole_millis(Duration::from_millis(2)), 2);
    assert_eq!(whole_millis(Duration::MAX), i32::MAX);
}

#[test]
fn the_bus_is_reset_through_the_controllers_file() {
    let mut bench = Bench::new();
    bench.port.reset_bus(ResetKind::Short).unwrap();
    assert_eq!(bench.host.state().resets, [ResetKind::Short]);
    assert!(bench.disk.state().resets.is_empty());
}

#[test]
fn there_is_no_port_without_the_controllers_file() {
    let (remote, _disk) = node(1, DISK);
    let card = Card {
        index: CARD,
        folder: "/fake".into(),
        local: None,
        remotes: vec![remote],
    };
    let error = CdevPort::with_look(card, Box::new(|_| Vec::new()))
        .err()
        .unwrap();
    assert!(
        matches!(error, OpenError::NoController { card: CARD, .. }),
        "{error}"
    );
}

#[test]
fn a_range_with_a_place_of_its_own_is_had_there_or_not_at_all() {
    let mut bench = Bench::new();
    let region = AddressRange::new(Address::new(0xffff_f001_0000), 0x40).unwrap();
    let range = bench.port.allocate_in(region, 0x40).unwrap();
    assert_eq!(range, region);
    assert_eq!(bench.host.state().regions, [region]);
    bench.host.state().full = 1;
    let error = bench.port.allocate_in(region, 0x40).unwrap_err();
    assert!(
        matches!(error, PortError::Taken { length: 0x40, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("fffff0010000"), "{error}");
    let error = bench.port.allocate_in(region, 6).unwrap_err();
    assert!(matches!(error, PortError::BadLength { .. }), "{error}");
}

#[test]
fn a_descriptor_goes_to_the_controllers_file_and_a_full_rom_is_told_from_other_errors() {
    let mut bench = Bench::new();
    let unit = DirectoryBuilder::new().immediate(Key::SPECIFIER_ID, 0x00_609e);
    let unit = Descriptor::directory(Key::UNIT_DIRECTORY, &unit).unwrap();
    let handle = bench.port.add_descriptor(&unit).unwrap();
    assert_eq!(bench.host.state().descriptors, std::slice::from_ref(&unit));
    assert!(bench.disk.state().descriptors.is_empty());
    bench.port.remove_descriptor(handle).unwrap();
    assert!(bench.host.state().descriptors.is_empty());

    bench.host.state().rom_full = true;
    let error = bench.port.add_descriptor(&unit).unwrap_err();
    assert!(
        matches!(error, PortError::RomFull { quadlets: 3 }),
        "{error}"
    );
    bench.host.vanish();
    let error = bench.port.add_descriptor(&unit).unwrap_err();
    assert!(matches!(error, PortError::Gone { .. }), "{error}");
}

#[test]
fn a_node_that_is_answered_before_its_file_was_looked_for_is_looked_for() {
    let mut bench = Bench::new();
    assert!(bench.send(OTHER, 1, 1).is_err());
    let (file, other) = node(2, OTHER);
    bench.new_files.send(file).unwrap();
    bench.send(OTHER, 1, 2).unwrap();
    assert_eq!(other.state().sent.len(), 1);
}
