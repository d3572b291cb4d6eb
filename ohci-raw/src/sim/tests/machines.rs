use alloc::sync::Arc;
use core::time::Duration;
use std::sync::Mutex;

use super::*;

/// What a [`Scripted`] machine and its test share.
#[derive(Default)]
struct Script {
    seen: Vec<(Instant, Event)>,
    timeouts: Vec<Instant>,
    next_timeout: Option<Instant>,
    /// How often the machine asks for the same timeout again.
    repeats: u32,
    actions: VecDeque<Action>,
}

/// A machine that does what the test tells it.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Machine for Scripted {
    fn handle(&mut self, event: Event, now: Instant) {
        self.0.lock().unwrap().seen.push((now, event));
    }

    fn handle_timeout(&mut self, now: Instant) {
        let mut script = self.0.lock().unwrap();
        script.timeouts.push(now);
        match script.repeats.checked_sub(1) {
            Some(left) => script.repeats = left,
            None => script.next_timeout = None,
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.lock().unwrap().next_timeout
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.0.lock().unwrap().actions.pop_front()
    }
}

#[test]
fn the_bus_calls_a_machine_at_the_time_it_asked_for() {
    let mut bus = Bus::new(Timing::Immediate);
    let machine = Scripted::default();
    machine.0.lock().unwrap().next_timeout = Some(at(700));
    let node = attach(&mut bus, 1, machine.clone());
    assert_eq!(bus.poll_timeout(), Some(at(700)));
    bus.handle_timeout(at(699));
    assert_eq!(machine.0.lock().unwrap().timeouts, []);
    bus.handle_timeout(at(900));
    assert_eq!(machine.0.lock().unwrap().timeouts, [at(700)]);
    assert_eq!(bus.poll_timeout(), None);

    // Changed from outside: earlier, later, not at all.
    for next in [Some(at(5000)), Some(at(4000)), Some(at(6000)), None] {
        machine.0.lock().unwrap().next_timeout = next;
        bus.wake_machine(node, at(900));
        assert_eq!(bus.poll_timeout(), next);
    }
}

#[test]
fn a_machine_that_asks_for_the_same_time_again_is_called_again() {
    let mut bus = Bus::new(Timing::Immediate);
    let machine = Scripted::default();
    let mut script = machine.0.lock().unwrap();
    script.next_timeout = Some(at(700));
    script.repeats = 2;
    drop(script);
    attach(&mut bus, 1, machine.clone());
    bus.handle_timeout(at(700));
    assert_eq!(machine.0.lock().unwrap().timeouts, [at(700); 3]);
    assert_eq!(bus.poll_timeout(), None);
}

#[test]
fn a_timeout_survives_a_bus_reset() {
    let mut bus = Bus::new(Timing::Immediate);
    let machine = Scripted::default();
    machine.0.lock().unwrap().next_timeout = Some(at(700));
    attach(&mut bus, 1, machine.clone());
    bus.reset(at(100));
    bus.handle_timeout(at(700));
    assert_eq!(machine.0.lock().unwrap().timeouts, [at(700)]);
}

#[test]
fn a_machine_sends_and_hears_how_it_ended() {
    let mut bus = Bus::new(Timing::Immediate);
    let memory = attach(&mut bus, 1, Memory::default());
    let machine = Scripted::default();
    let node = attach(&mut bus, 2, machine.clone());
    let good = transaction(&bus, memory, MEMORY, Operation::ReadQuadlet);
    let mut stale = good.clone();
    stale.generation.0 += 1;
    let mut script = machine.0.lock().unwrap();
    script.seen.clear();
    script.actions = [good, stale].map(Action::Send).into();
    drop(script);
    bus.wake_machine(node, at(50));
    let response = |rcode, data| {
        let token = Token(7);
        (at(50), Event::Response { token, rcode, data })
    };
    assert_eq!(
        machine.0.lock().unwrap().seen,
        [
            response(RCode::GENERATION, vec![]),
            response(RCode::COMPLETE, vec![0; 4]),
        ]
    );
}

#[test]
fn a_machine_is_told_of_resets_and_lives_on_without_its_cable() {
    let mut bus = Bus::new(Timing::Immediate);
    let machine = Scripted::default();
    let node = attach(&mut bus, 1, machine.clone());
    let host = bus.attach_host(config(2, Speed::S400), START);
    bus.detach(node, START);
    let peers = |(_, event): &(Instant, Event)| match event {
        Event::BusReset(reset) => reset.peers.len(),
        other => panic!("{other:?}"),
    };
    let seen: Vec<usize> = machine.0.lock().unwrap().seen.iter().map(peers).collect();
    assert_eq!(seen, [0, 1, 0]);
    assert_eq!(last_reset(&mut bus, host).peers, []);
    machine.0.lock().unwrap().next_timeout = Some(at(10));
    bus.wake_machine(node, START);
    bus.handle_timeout(at(10));
    assert_eq!(machine.0.lock().unwrap().timeouts, [at(10)]);
}

#[test]
fn a_bad_answer_of_a_machine_is_counted() {
    let mut bus = Bus::new(Timing::Immediate);
    let host = bus.attach_host(config(1, Speed::S400), START);
    let machine = Scripted::default();
    let node = attach(&mut bus, 2, machine.clone());
    drain(&mut bus, host);
    send(&mut bus, host, node, MEMORY, Operation::ReadQuadlet);
    let mut script = machine.0.lock().unwrap();
    let Some((_, Event::Request(request))) = script.seen.pop() else {
        panic!("no request");
    };
    script.actions.push_back(Action::Respond {
        handle: request.handle,
        response: Response::COMPLETE,
    });
    drop(script);
    bus.wake_machine(node, START);
    assert_eq!(rcode(&mut bus, host), RCode::DATA_ERROR);
    assert_eq!(bus.counters().bad_responses, 1);
}

/// Writes to its peer whenever it has been written to.
struct Player {
    actions: VecDeque<Action>,
    peer: Option<(crate::bus::NodeId, crate::bus::Generation)>,
}

impl Machine for Player {
    fn handle(&mut self, event: Event, _: Instant) {
        match event {
            Event::BusReset(reset) => {
                self.peer = reset
                    .peers
                    .first()
                    .map(|peer| (peer.node, reset.generation));
            }
            Event::Request(request) => {
                self.actions.push_back(Action::Respond {
                    handle: request.handle,
                    response: Response::COMPLETE,
                });
            }
            Event::Response { .. } => return,
        }
        if let Some((destination, generation)) = self.peer {
            self.actions.push_back(Action::Send(Transaction {
                token: Token(0),
                destination,
                generation,
                speed: Speed::S400,
                address: MEMORY,
                operation: write(4),
            }));
        }
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}

#[test]
fn machines_that_never_fall_silent_do_not_keep_the_caller() {
    let player = || Player {
        actions: VecDeque::new(),
        peer: None,
    };
    let mut bus = Bus::new(Timing::Immediate);
    attach(&mut bus, 1, player());
    attach(&mut bus, 2, player());
    assert_eq!(bus.poll_timeout(), Some(START), "more is due at once");
    let before = bus.counters().packets;
    bus.handle_timeout(at(1));
    assert!(bus.counters().packets > before);
}

#[test]
fn a_long_game_takes_its_time_on_the_wire() {
    let player = || Player {
        actions: VecDeque::new(),
        peer: None,
    };
    let mut bus = Bus::new(Timing::Wire);
    attach(&mut bus, 1, player());
    attach(&mut bus, 2, player());
    let end = START + Duration::from_millis(10);
    bus.handle_timeout(end);
    assert!(bus.poll_timeout() > Some(end));
    // A request and a response of about 3 us each.
    let packets = bus.counters().packets;
    assert!((2000..5000).contains(&packets), "{packets}");
}
