//! A program that is recorded, and replayed.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::bus::{
    Address, AddressRange, Eui64, Event, Operation, RCode, Speed, Token, Transaction, csr,
};
use crate::config_rom::{Builder, BusOptions, Descriptor, DirectoryBuilder, Key};
use crate::port::{Port, PortError};
use crate::sim::{NodeConfig, SharedBus, Timing};

fn config(number: u64) -> NodeConfig {
    NodeConfig {
        name: "x".into(),
        eui64: Eui64(number),
        rom: vec![0x0404_0000, 0x3133_3934, 0, 0, number as u32],
        speed: Speed::S400,
        rom_block_reads: true,
    }
}

fn header() -> Header {
    Header {
        schema: SCHEMA,
        tool: "test".into(),
        command: vec!["program".into()],
        ports: vec![PortHeader {
            bus: 0,
            name: "sim".into(),
            machine: None,
        }],
        scrubbed: false,
    }
}

/// Reads the peer's EUI-64, claims some memory, and waits a little.
fn program(port: &mut dyn Port, offset: u64) -> Result<String, PortError> {
    let nodes = port.nodes()?;
    let peer = nodes.iter().find(|node| !node.is_local).unwrap();
    let range = port.allocate(64)?;
    port.send(Transaction {
        token: Token(77),
        destination: peer.id,
        generation: peer.generation,
        speed: peer.speed,
        address: Address::new(csr::CONFIG_ROM.get() + offset),
        operation: Operation::ReadQuadlet,
    })?;
    let value = loop {
        match port.next_event(Some(core::time::Duration::from_secs(1)))? {
            Some(Event::Response {
                token: Token(77),
                rcode: RCode::COMPLETE,
                data,
            }) => break data,
            Some(_) => {}
            None => panic!("no answer"),
        }
    };
    while let Some(input) = port.input(None) {
        port.output(&input)?;
    }
    port.deallocate(range)?;
    Ok(alloc::format!("{value:?}"))
}

fn recorded(path: &Path) -> String {
    let bus = SharedBus::new(Timing::Immediate);
    let port = bus.attach_host(config(1));
    let _peer = bus.attach_host(config(2));
    let header = header();
    let tape = Tape::start(path, &header).unwrap();
    assert!(
        Tape::start(path, &header).is_err(),
        "nothing is overwritten"
    );
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    program(&mut Recorder::new(Box::new(port), tape, 0), 16).unwrap()
}

#[test]
fn a_replay_gives_what_was_recorded_and_notices_what_is_done_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.fwt.jsonl");
    let before = recorded(&path);
    let recording = Recording::read(&path).unwrap();
    assert_eq!(recording.header.command, ["program"]);

    let mut replay = Replay::new(&recording, 0, Mode::Strict);
    assert_eq!(program(&mut replay, 16).unwrap(), before);
    assert_eq!(replay.verdict().get(), Ok(recording.lines.len()));

    for mode in [Mode::Strict, Mode::Relaxed] {
        let mut replay = Replay::new(&recording, 0, mode);
        let error = program(&mut replay, 12).unwrap_err();
        assert!(matches!(error, PortError::Deviation(_)), "{error}");
        let why = replay.verdict().get().unwrap_err();
        assert!(why.contains("x.fwt.jsonl:4:"), "{why}");
        assert!(
            why.contains("fffff0000410") && why.contains("fffff000040c"),
            "{why}"
        );
    }

    let mut replay = Replay::new(&recording, 0, Mode::Strict);
    replay.nodes().unwrap();
    let why = replay.verdict().get().unwrap_err();
    assert!(why.contains(":3: the program ended"), "{why}");
    assert!(replay.next_event(None).is_err(), "it is not to wait here");
}

#[test]
fn addresses_of_the_host_are_symbols_and_lines_survive_a_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.fwt.jsonl");
    recorded(&path);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(r#""deallocate":{"addr":"$a"}"#), "{text}");
    for (number, line) in Recording::read(&path).unwrap().lines {
        let own = text.lines().nth(number - 1).unwrap();
        assert_eq!(line.to_string(), own);
    }
}

#[test]
fn what_is_no_recording_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let good = r#"{"schema":1,"tool":"t","command":[],"ports":[{"bus":0,"name":"n"}]}"#;
    for (text, expected) in [
        (String::new(), "it is empty"),
        ("{}\n".into(), ":1:"),
        (good.replace("\"schema\":1", "\"schema\":2"), "version 2"),
        (alloc::format!("{good}\nx\n"), ":2:"),
        (
            alloc::format!("{good}\n{{\"port\":1,\"at\":0,\"quiet\":{{}}}}\n"),
            "no port 1",
        ),
        (
            alloc::format!("{good}\n\n{{\"port\":0,\"at\":0,\"explode\":{{}}}}\n"),
            ":3:",
        ),
    ] {
        std::fs::write(&path, &text).unwrap();
        let error = Recording::read(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    // Cut off in the middle of a line.
    std::fs::write(&path, alloc::format!("{good}\n{{\"port\":0,\"at\":0,\"qui")).unwrap();
    assert!(Recording::read(&path).unwrap().lines.is_empty());
    assert!(Recording::read(&folder.path().join("missing")).is_err());
}

#[test]
fn lines_with_nonsense_in_them_deviate_and_do_not_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    for line in [
        r#""request":{"id":1,"src":"zz","gen":1,"tcode":"read_block","addr":"$q","len":8}"#,
        r#""request":{"id":1,"src":"ffc0","gen":1,"tcode":"write_quadlet","addr":"0","data":"00"}"#,
        r#""request":{"id":1,"src":"ffc0","gen":1,"tcode":"lock_99","addr":"0","data":"0011"}"#,
        r#""request":{"id":1,"src":"ffc0","gen":1,"tcode":"read_block","addr":"fffffffffffff","len":8}"#,
        r#""response":{"id":9,"rcode":0,"data":"0"}"#,
        r#""bus_reset":{"gen":1,"local":"ffc0","peers":[{"id":"ffc0","guid":"x"}]}"#,
        r#""nodes":[{"name":"a","id":"ffc0","gen":1,"guid":"x","speed":"S1","local":true,"rom":"0"}]"#,
        r#""allocate":{"length":18446744073709551615,"start":"ffffffffffff","symbol":"$a"}"#,
    ] {
        let text = alloc::format!(
            "{{\"schema\":1,\"tool\":\"t\",\"command\":[],\"ports\":[{{\"bus\":0,\"name\":\"n\"}}]}}\n\
             {{\"port\":0,\"at\":0,{line}}}\n"
        );
        std::fs::write(&path, text).unwrap();
        let recording = Recording::read(&path).unwrap();
        let mut replay = Replay::new(&recording, 0, Mode::Strict);
        assert!(replay.next_event(None).is_err(), "{line}");
        assert!(replay.nodes().is_err(), "{line}");
        assert!(replay.allocate(u64::MAX).is_err(), "{line}");
        assert!(replay.verdict().get().is_err(), "{line}");
    }
}

/// Two reads at once, whose order may be another when it is replayed.
fn two_reads(port: &mut dyn Port, offsets: [u64; 2]) -> Result<[Vec<u8>; 2], PortError> {
    let nodes = port.nodes()?;
    let peer = nodes.iter().find(|node| !node.is_local).unwrap();
    for offset in offsets {
        port.send(Transaction {
            token: Token(offset),
            destination: peer.id,
            generation: peer.generation,
            speed: peer.speed,
            address: Address::new(csr::CONFIG_ROM.get() + offset),
            operation: Operation::ReadQuadlet,
        })?;
    }
    let mut found = [vec![], vec![]];
    while found.iter().any(Vec::is_empty) {
        let event = port.next_event(Some(core::time::Duration::from_secs(1)))?;
        if let Some(Event::Response { token, data, .. }) = event {
            let at = usize::from(token != Token(4));
            found[at] = data;
        }
    }
    Ok(found)
}

#[test]
fn relaxed_each_transaction_gets_its_own_response_whatever_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.fwt.jsonl");
    let bus = SharedBus::new(Timing::Immediate);
    let port = bus.attach_host(config(1));
    let _peer = bus.attach_host(config(2));
    let header = header();
    let tape = Tape::start(&path, &header).unwrap();
    let mut recorder = Recorder::new(Box::new(port), tape, 0);
    // Nothing comes in between them: what was told before is taken out first.
    while recorder
        .next_event(Some(core::time::Duration::ZERO))
        .unwrap()
        .is_some()
    {}
    let before = two_reads(&mut recorder, [4, 16]).unwrap();
    assert_eq!(before, [b"1394".to_vec(), vec![0, 0, 0, 2]]);
    let recording = Recording::read(&path).unwrap();
    let replayed = |mode| {
        let mut replay = Replay::new(&recording, 0, mode);
        while !matches!(replay.next_event(None), Ok(None) | Err(_)) {}
        two_reads(&mut replay, [16, 4])
    };
    assert!(replayed(Mode::Strict).is_err());
    assert_eq!(replayed(Mode::Relaxed).unwrap(), before);
}

#[test]
fn a_send_that_was_refused_is_refused_again_for_the_same_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let text = concat!(
        r#"{"schema":1,"tool":"t","command":[],"ports":[{"bus":0,"name":"n"}]}"#,
        "\n",
        r#"{"port":0,"at":0,"claim":{"guid":"0000000000000007","lun":0}}"#,
        "\n",
        r#"{"port":0,"at":0,"failed":{"error":"x","kind":"claimed"}}"#,
        "\n",
        r#"{"port":0,"at":0,"reset_bus":{"kind":"short"}}"#,
        "\n",
        r#"{"port":0,"at":0,"failed":{"error":"x","kind":"no_such_node"}}"#,
        "\n",
    );
    std::fs::write(&path, text).unwrap();
    let recording = Recording::read(&path).unwrap();
    let mut replay = Replay::new(&recording, 0, Mode::Strict);
    let claimed = replay.claim(Eui64(7), 0);
    assert!(
        matches!(claimed, Err(PortError::Claimed { .. })),
        "{claimed:?}"
    );
    let reset = replay.reset_bus(crate::port::ResetKind::Short);
    assert!(
        matches!(reset, Err(PortError::NoSuchNode { .. })),
        "{reset:?}"
    );
    assert_eq!(replay.verdict().get(), Ok(4));
}

/// What a target does before it serves.
fn target(port: &mut dyn Port, length: u64, unit: u32) -> Result<(), PortError> {
    let region = AddressRange::new(Address::new(0xffff_f001_0000), 0x40).unwrap();
    port.allocate_in(region, length)?;
    let unit = DirectoryBuilder::new().immediate(Key::SPECIFIER_ID, unit);
    let unit = Descriptor::directory(Key::UNIT_DIRECTORY, &unit).unwrap();
    let handle = port.add_descriptor(&unit)?;
    port.remove_descriptor(handle)
}

#[test]
fn a_targets_registers_and_its_unit_directory_are_recorded_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.fwt.jsonl");
    let bus = SharedBus::new(Timing::Immediate);
    let root = DirectoryBuilder::new().text("Linux Firewire");
    let mut host = config(1);
    let rom = Builder::new(BusOptions::default(), Eui64(1), root).build();
    host.rom = rom.unwrap();
    let port = Box::new(bus.attach_host(host));
    let tape = Tape::start(&path, &header()).unwrap();
    target(&mut Recorder::new(port, tape, 0), 0x40, 0x00_609e).unwrap();

    let recording = Recording::read(&path).unwrap();
    let mut replay = Replay::new(&recording, 0, Mode::Strict);
    target(&mut replay, 0x40, 0x00_609e).unwrap();
    assert_eq!(replay.verdict().get(), Ok(recording.lines.len()));
    for (length, unit) in [(0x20, 0x00_609e), (0x40, 0x00_a02d)] {
        let mut replay = Replay::new(&recording, 0, Mode::Strict);
        let error = target(&mut replay, length, unit).unwrap_err();
        assert!(matches!(error, PortError::Deviation(_)), "{error}");
    }
}
