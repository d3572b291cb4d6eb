use super::*;

/// Megabytes per second of a host that writes blocks to another as fast as they are acknowledged.
fn stream(speed: Speed) -> f64 {
    const BLOCKS: u64 = 1000;
    let mut bus = Bus::new(Timing::Wire);
    let a = bus.attach_host(config(1, speed), START);
    let b = bus.attach_host(config(2, speed), START);
    let start = bus.allocate(b, 1 << 16).unwrap().start();
    drain(&mut bus, a);
    drain(&mut bus, b);
    let next = |bus: &mut Bus| {
        let mut transaction = transaction(bus, b, start, write(speed.max_payload()));
        transaction.speed = speed;
        bus.send(a, transaction, bus.now());
    };
    // Two under way keep the bus busy.
    next(&mut bus);
    next(&mut bus);
    let mut done = 0;
    while done < BLOCKS {
        let due = bus.poll_timeout().unwrap();
        bus.handle_timeout(due);
        for event in drain(&mut bus, a) {
            assert!(matches!(
                event,
                Event::Response {
                    rcode: RCode::COMPLETE,
                    ..
                }
            ));
            done += 1;
            next(&mut bus);
        }
        for event in drain(&mut bus, b) {
            if let Event::Request(request) = event {
                bus.respond(b, request.handle, Response::COMPLETE, bus.now())
                    .unwrap();
            }
        }
    }
    let bytes = BLOCKS * speed.max_payload() as u64;
    bytes as f64 / bus.now().saturating_since(START).as_secs_f64() / 1e6
}

#[test]
fn a_stream_of_block_writes_stays_within_the_bounds_of_its_bus() {
    let s400 = stream(Speed::S400);
    assert!(s400 < 44.3 && s400 > 35.0, "{s400} MB/s");
    let s800 = stream(Speed::S800);
    assert!(s800 < 97.73 && s800 > 85.0, "{s800} MB/s");
}

#[test]
fn one_packet_is_on_the_bus_at_a_time() {
    let (mut bus, a, b) = two_hosts(Timing::Wire);
    let start = bus.allocate(b, 64).unwrap().start();
    let mut arrivals = vec![];
    for _ in 0..3 {
        send(&mut bus, a, b, start, write(64));
    }
    while bus.now() < at(100_000) {
        let due = bus.poll_timeout().unwrap_or(at(100_000));
        bus.handle_timeout(due);
        if bus.has_event(b) {
            arrivals.push(bus.now().as_nanos());
            drain(&mut bus, b);
        }
    }
    assert_eq!(arrivals.len(), 3);
    assert!(arrivals[0] > 0);
    assert_eq!(arrivals[1], 2 * arrivals[0]);
    assert_eq!(arrivals[2], 3 * arrivals[0]);
}

#[test]
fn a_late_call_does_everything_at_its_own_time() {
    let reads = |steps: &[u64]| {
        let mut bus = Bus::new(Timing::Wire);
        let host = bus.attach_host(config(1, Speed::S400), START);
        let memory = attach(&mut bus, 2, Memory::default());
        drain(&mut bus, host);
        for length in [512, 2048, 4] {
            send(
                &mut bus,
                host,
                memory,
                MEMORY,
                Operation::ReadBlock { length },
            );
        }
        for nanos in steps {
            bus.handle_timeout(at(*nanos));
        }
        (bus.wire_free, drain(&mut bus, host))
    };
    let often: Vec<u64> = (0..1000).map(|step| step * 1000).collect();
    let once = [999_000];
    assert_eq!(reads(&often), reads(&once));
    assert_eq!(reads(&once).1.len(), 3);
}

#[test]
fn the_clock_does_not_run_backwards() {
    let (mut bus, a, b) = two_hosts(Timing::Immediate);
    let start = bus.allocate(b, 64).unwrap().start();
    bus.handle_timeout(at(500));
    bus.handle_timeout(at(100));
    assert_eq!(bus.now(), at(500));
    let transaction = transaction(&bus, b, start, Operation::ReadQuadlet);
    bus.send(a, transaction, at(100));
    assert_eq!(
        bus.poll_timeout(),
        Some(at(500) + crate::sim::SPLIT_TIMEOUT)
    );
}
