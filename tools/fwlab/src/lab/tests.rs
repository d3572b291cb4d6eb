use std::time::Duration;

use ohci_raw::bus::csr;
use ohci_raw::cdev::abi;
use ohci_raw::cdev::event::{self, CdevEvent};
use zerocopy::IntoBytes as _;

use super::command::ResetType;
use super::*;

fn lab() -> Lab {
    let bridge = "size=64K".parse().unwrap();
    Lab::new(2, &[bridge]).unwrap()
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn report(lab: &mut Lab) -> Report {
    match lab.execute(&Command::Show, at(0)) {
        Answer::Report(report) => report,
        other => panic!("{other:?}"),
    }
}

fn phys(lab: &mut Lab) -> Vec<(String, Option<u8>)> {
    let nodes = report(lab).nodes.into_iter();
    nodes.map(|node| (node.name, node.phy)).collect()
}

fn refused(lab: &mut Lab, command: &Command) -> String {
    match lab.execute(command, at(0)) {
        Answer::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_done_is_refused_and_says_why() {
    let mut lab = lab();
    let before = report(&mut lab);
    let node = || "host7".to_owned();
    for (command, expected) in [
        (
            Command::Unplug { node: node() },
            "there are host0, host1, bridge0",
        ),
        (
            Command::Replug {
                node: "host0".into(),
            },
            "in already",
        ),
        (
            Command::PowerCycle {
                bridge: "host0".into(),
            },
            "no bridge",
        ),
        (
            Command::CorruptStatus {
                bridge: "host0".into(),
                count: 1,
            },
            "no bridge",
        ),
        (
            Command::Renumber {
                node: "host0".into(),
                phy: Some(3),
            },
            "ids 0 to 2",
        ),
    ] {
        let why = refused(&mut lab, &command);
        assert!(why.contains(expected), "{command:?}: {why}");
    }
    assert_eq!(report(&mut lab), before);
}

#[test]
fn every_host_sees_the_others_by_files_of_which_its_own_comes_first() {
    let lab = lab();
    assert_eq!(lab.files(0), [0, 1, 2]);
    assert_eq!(lab.files(1), [0, 1, 2]);
    assert!(lab.files(2).is_empty());
}

#[test]
fn a_second_bridge_of_a_kind_gets_an_eui64_of_its_own() {
    let spec: BridgeSpec = "size=64K".parse().unwrap();
    let mut lab = Lab::new(1, &[spec.clone(), spec.clone()]).unwrap();
    let nodes = report(&mut lab).nodes;
    assert_ne!(nodes[1].guid, nodes[2].guid);
    let named = BridgeSpec {
        guid: Some(nodes[1].guid.parse().unwrap()),
        ..spec.clone()
    };
    let error = Lab::new(1, &[spec, named]).err().unwrap();
    assert!(matches!(error, LabError::SameGuid(1)), "{error}");
}

#[test]
fn ids_cables_and_resets_are_the_meddlers() {
    let mut lab = lab();
    let of = |lab: &mut Lab, name: &str| {
        let found = phys(lab).into_iter().find(|(node, _)| node == name);
        found.unwrap().1
    };
    assert_eq!(of(&mut lab, "bridge0"), Some(0));
    let generation = report(&mut lab).generation;
    lab.execute(
        &Command::Reset {
            kind: ResetType::Short,
        },
        at(0),
    );
    assert_eq!(report(&mut lab).generation, generation + 1);
    lab.execute(
        &Command::Renumber {
            node: "bridge0".into(),
            phy: Some(2),
        },
        at(0),
    );
    assert_eq!(of(&mut lab, "bridge0"), Some(2));
    lab.execute(
        &Command::Renumber {
            node: "bridge0".into(),
            phy: None,
        },
        at(0),
    );
    assert_eq!(of(&mut lab, "bridge0"), Some(0));
    lab.execute(
        &Command::Unplug {
            node: "bridge0".into(),
        },
        at(0),
    );
    assert_eq!(of(&mut lab, "bridge0"), None);
    lab.handle_timeout(at(2000));
    assert_eq!(lab.files(0), [0, 2]);
    lab.execute(
        &Command::Replug {
            node: "bridge0".into(),
        },
        at(2000),
    );
    lab.handle_timeout(at(2500));
    assert_eq!(lab.files(0), [0, 1, 2]);
    lab.execute(
        &Command::PowerCycle {
            bridge: "bridge0".into(),
        },
        at(2500),
    );
    assert_eq!(of(&mut lab, "bridge0"), Some(2));
}

/// A program without memory, which needs none.
struct NoMemory;

impl Caller for NoMemory {
    fn read(&mut self, _: u64, _: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EFAULT)
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EFAULT)
    }

    fn clock(&mut self, _: i32) -> Result<(i64, i32), Errno> {
        Err(Errno::EINVAL)
    }
}

/// Reads a ROM's first quadlet from the bridge, and gives the rcode once there is one.
fn read_rom(lab: &mut Lab, client: ClientId, now: Instant) -> Option<u32> {
    let request = abi::SendRequest {
        tcode: abi::tcode::READ_QUADLET,
        length: 4,
        offset: csr::CONFIG_ROM.get(),
        generation: report(lab).generation & 0xff,
        ..abi::SendRequest::default()
    };
    let command = abi::number::SEND_REQUEST;
    let sent = lab.ioctl((0, client), command, request.as_bytes(), &mut NoMemory, now);
    assert!(sent.is_ok());
    rcode(lab, client)
}

fn rcode(lab: &mut Lab, client: ClientId) -> Option<u32> {
    let event = lab.read(0, client).unwrap()?;
    match event::parse(&event, 0) {
        Ok(CdevEvent::Response { rcode, .. }) => Some(rcode.0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_muted_node_is_silent_until_it_may_speak_again() {
    let mut lab = lab();
    let client = lab.open(0, 1).unwrap();
    assert_eq!(read_rom(&mut lab, client, at(0)), Some(0));
    let node = || "bridge0".to_owned();
    lab.execute(&Command::Mute { node: node() }, at(0));
    assert_eq!(read_rom(&mut lab, client, at(0)), None);
    lab.handle_timeout(at(2000));
    assert_eq!(rcode(&mut lab, client), Some(0x11), "the split timeout");
    lab.execute(&Command::Unmute { node: node() }, at(2000));
    assert_eq!(read_rom(&mut lab, client, at(2000)), Some(0));
}

#[test]
fn so_many_packets_as_were_named_are_lost() {
    let mut lab = lab();
    let client = lab.open(0, 1).unwrap();
    let rule = PacketRule {
        fate: Fate::Drop,
        count: Some(2),
        from: Some("host0".into()),
        to: Some("bridge0".into()),
        direction: Some(Direction::Request),
        kind: Some(Kind::ReadQuadlet),
        addresses: Some((csr::CONFIG_ROM.get(), csr::CONFIG_ROM.get())),
    };
    lab.execute(&Command::Packets(rule), at(0));
    assert_eq!(read_rom(&mut lab, client, at(0)), Some(0x14));
    assert_eq!(read_rom(&mut lab, client, at(0)), Some(0x14));
    assert_eq!(read_rom(&mut lab, client, at(0)), Some(0));
    assert_eq!(
        (report(&mut lab).bus.faults, report(&mut lab).rules),
        (2, 0)
    );
}

#[test]
fn commands_are_lines_of_json() {
    let rule = PacketRule {
        fate: Fate::Delay(20),
        count: Some(3),
        from: Some("bridge0".into()),
        to: None,
        direction: Some(Direction::Response),
        kind: None,
        addresses: Some((0, 0xffff)),
    };
    for command in [
        Command::Show,
        Command::Clear,
        Command::Reset {
            kind: ResetType::Long,
        },
        Command::Packets(rule),
    ] {
        let text = serde_json::to_string(&command).unwrap();
        assert_eq!(
            serde_json::from_str::<Command>(&text).unwrap(),
            command,
            "{text}"
        );
    }
    let text = r#"{"do":"reset","kind":"short"}"#;
    assert!(serde_json::from_str::<Command>(text).is_ok());
    assert!(serde_json::from_str::<Command>(r#"{"do":"explode"}"#).is_err());
}
