use core::time::Duration;

use super::*;
use crate::sim::RandomFaults;

/// Everything that three hosts see while they write to a memory and to one another, on a bus
/// with faults and resets.
fn history(seed: u64) -> Vec<(NodeIndex, Event)> {
    let mut bus = Bus::new(Timing::Wire);
    bus.set_split_timeout(Duration::from_millis(1));
    bus.set_fault(Some(Box::new(RandomFaults {
        seed,
        lose: 20_000,
        lose_ack: 20_000,
        ignore: 20_000,
        busy: 20_000,
        duplicate: 20_000,
        delay: 50_000,
        longest_delay: Duration::from_millis(2),
    })));
    let memory = attach(&mut bus, 0, Memory::default());
    let hosts = [1, 2, 3].map(|number| bus.attach_host(config(number, Speed::S400), START));
    let starts = hosts.map(|host| bus.allocate(host, 4096).unwrap().start());
    let mut history = vec![];
    for round in 0..500 {
        let now = at(round * 20_000);
        if round % 100 == 99 {
            bus.rotate_ids();
            bus.reset(now);
        }
        for (number, host) in hosts.into_iter().enumerate() {
            let next = (number + 1) % hosts.len();
            let to_memory = transaction(&bus, memory, MEMORY, write(64 + number));
            let to_host = transaction(&bus, hosts[next], starts[next], write(32));
            bus.send(host, to_memory, now);
            bus.send(host, to_host, now);
            for event in drain(&mut bus, host) {
                if let Event::Request(request) = &event {
                    bus.respond(host, request.handle, Response::COMPLETE, now)
                        .unwrap();
                }
                history.push((host, event));
            }
        }
    }
    history
}

#[test]
fn the_same_calls_give_the_same_events_in_the_same_order() {
    let first = history(7);
    assert!(first.len() > 3000, "{}", first.len());
    assert_eq!(history(7), first);
    assert_ne!(history(8), first);
}

#[test]
fn whatever_happens_every_transaction_ends_exactly_once() {
    let mut bus = Bus::new(Timing::Wire);
    bus.set_fault(Some(Box::new(RandomFaults {
        seed: 3,
        lose: 100_000,
        lose_ack: 100_000,
        ignore: 100_000,
        busy: 100_000,
        duplicate: 100_000,
        delay: 100_000,
        longest_delay: Duration::from_secs(3),
    })));
    let memory = attach(&mut bus, 0, Memory::default());
    let host = bus.attach_host(config(1, Speed::S400), START);
    let mut ends = vec![0; 5000];
    for token in 0..ends.len() as u64 {
        let mut transaction = transaction(&bus, memory, MEMORY, write(8));
        transaction.token = Token(token);
        bus.send(host, transaction, at(token * 1_000_000));
        if token % 1000 == 999 {
            bus.reset(bus.now());
        }
    }
    bus.handle_timeout(bus.now() + Duration::from_secs(10));
    for event in drain(&mut bus, host) {
        if let Event::Response { token, .. } = event {
            ends[token.0 as usize] += 1;
        }
    }
    assert!(ends.iter().all(|times| *times == 1));
    assert_eq!(bus.poll_timeout(), None);
}
