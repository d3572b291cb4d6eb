use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use std::path::Path;

use super::super::{Header, PortHeader, SCHEMA};
use super::*;
use crate::bus::{
    Address, BusReset, Generation, IncomingRequest, NodeId, Operation, RCode, RequestHandle,
    Response, Speed, Token, Transaction,
};

/// Some time after a reset it reads a quadlet of another node, which it gives to who asks.
struct Parrot {
    wait: Duration,
    address: u64,
    greeting: u8,
    due: Option<Instant>,
    known: [u8; 4],
    actions: VecDeque<Action>,
}

impl Parrot {
    fn new() -> Self {
        Self {
            wait: Duration::from_secs(1),
            address: 0x100,
            greeting: 0,
            due: None,
            known: [0; 4],
            actions: VecDeque::new(),
        }
    }
}

impl Machine for Parrot {
    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::BusReset(_) => self.due = Some(now + self.wait),
            Event::Response { token, data, .. } => {
                assert_eq!(token, Token(self.address), "its own token comes back");
                self.known.copy_from_slice(&data);
            }
            Event::Request(request) => {
                let mut data = self.known.to_vec();
                data[0] ^= self.greeting;
                self.actions.push_back(Action::Respond {
                    handle: request.handle,
                    response: Response::data(data),
                });
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.due.take_if(|due| *due <= now).is_some() {
            self.actions.push_back(Action::Send(Transaction {
                token: Token(self.address),
                destination: NodeId::local(1),
                generation: Generation(1),
                speed: Speed::S100,
                address: Address::new(self.address),
                operation: Operation::ReadQuadlet,
            }));
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}

fn record(path: &Path) -> Recording {
    let port = PortHeader {
        bus: 0,
        name: "parrot".into(),
        machine: Some("a parrot".into()),
    };
    let header = Header {
        schema: SCHEMA,
        tool: "test".into(),
        command: vec![],
        ports: vec![port],
        scrubbed: false,
    };
    let tape = Tape::start(path, &header).unwrap();
    let mut recorder = MachineRecorder::new(Box::new(Parrot::new()), tape, 0);
    let at = |millis| Instant::ZERO + Duration::from_millis(millis);
    let reset = BusReset {
        generation: Generation(1),
        local: NodeId::local(0),
        peers: vec![],
    };
    recorder.handle(Event::BusReset(reset), at(0));
    recorder.handle_timeout(at(999));
    assert!(recorder.poll_action().is_none());
    assert_eq!(recorder.poll_timeout(), Some(at(1000)));
    recorder.handle_timeout(at(1000));
    assert!(recorder.poll_action().is_some());
    let response = Event::Response {
        token: Token(0x100),
        rcode: RCode::COMPLETE,
        data: b"1394".to_vec(),
    };
    recorder.handle(response, at(1001));
    let request = IncomingRequest {
        handle: RequestHandle(77),
        source: NodeId::local(1),
        generation: Generation(1),
        address: Address::new(0),
        operation: Operation::ReadQuadlet,
    };
    recorder.handle(Event::Request(request), at(1002));
    let answer = recorder.poll_action();
    assert!(matches!(
        answer,
        Some(Action::Respond {
            handle: RequestHandle(77),
            ..
        })
    ));
    Recording::read(path).unwrap()
}

#[test]
fn a_machine_that_does_the_same_replays_and_every_other_one_is_told_by_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let recording = record(&folder.path().join("x.fwt.jsonl"));
    // The call that came too early is not among them.
    assert_eq!(recording.lines.len(), 6);
    let with = |change: &dyn Fn(&mut Parrot)| {
        let mut parrot = Parrot::new();
        change(&mut parrot);
        replay_machine(&recording, 0, Mode::Strict, &mut parrot)
    };
    assert_eq!(with(&|_| {}), Ok(6));
    type Change = fn(&mut Parrot);
    let changes: Vec<(Change, &str)> = vec![
        (|parrot| parrot.wait *= 2, ":3:"),
        (|parrot| parrot.wait = Duration::from_secs(100), ":3:"),
        (|parrot| parrot.address = 0x104, ":4:"),
        (|parrot| parrot.greeting = 1, ":7:"),
    ];
    for (change, line) in changes {
        let why = with(&change).unwrap_err();
        assert!(why.contains(line) && why.contains("this came"), "{why}");
    }
}

#[test]
fn a_machine_whose_time_comes_earlier_does_more_or_does_nothing_deviates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.fwt.jsonl");
    record(&path);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |left_out: &[usize]| {
        let kept = lines.iter().enumerate();
        let kept = kept.filter(|(at, _)| !left_out.contains(at));
        let kept: Vec<&str> = kept.map(|(_, line)| *line).collect();
        std::fs::write(&path, kept.join("\n") + "\n").unwrap();
        let recording = Recording::read(&path).unwrap();
        replay_machine(&recording, 0, Mode::Strict, &mut Parrot::new()).unwrap_err()
    };
    // Header, reset, quiet, send, response, request, respond.
    let why = without(&[2, 3, 4]);
    assert!(why.contains("it waits until 1000000000"), "{why}");
    let why = without(&[6]);
    assert!(why.contains("after its end this came"), "{why}");
    let why = without(&[3]);
    assert!(why.contains(":4:") && why.contains("read_quadlet"), "{why}");
    let why = without(&[5]);
    assert!(why.contains("it waits to be told something"), "{why}");
    let why = without(&[1]);
    assert!(why.contains("it waits for no time"), "{why}");
}
