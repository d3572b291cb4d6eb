use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::bus::Speed;
use PortStatus::{Child, NotConnected, NotPresent, Parent};

/// Captured from PHYs of Texas Instruments: a TSB41AB1, a TSB81BA3E and a TSB41LV06A, as the
/// tests of Linux' `drivers/firewire` name them (`packet-serdes-test.c`).
fn captured() -> [(Vec<u32>, SelfId); 3] {
    [
        (
            vec![0x8045_8c80],
            SelfId {
                phy: 0,
                link_active: true,
                gap_count: 5,
                speed: Speed::S400,
                contender: true,
                power_class: 4,
                initiated_reset: false,
                ports: vec![Parent],
            },
        ),
        (
            vec![0x817f_cc5e],
            SelfId {
                phy: 1,
                link_active: true,
                gap_count: 63,
                speed: Speed::S800,
                contender: true,
                power_class: 4,
                initiated_reset: true,
                ports: vec![NotConnected, NotConnected, Child],
            },
        ),
        (
            vec![0x803f_8459, 0x8081_5000],
            SelfId {
                phy: 0,
                link_active: false,
                gap_count: 63,
                speed: Speed::S400,
                contender: false,
                power_class: 4,
                initiated_reset: false,
                ports: vec![
                    NotConnected,
                    NotConnected,
                    Parent,
                    NotConnected,
                    NotConnected,
                    NotConnected,
                ],
            },
        ),
    ]
}

#[test]
fn self_ids_of_real_phys_are_read_and_written() {
    for (packets, self_id) in captured() {
        assert_eq!(SelfId::parse(&packets), Ok((self_id.clone(), &[][..])));
        assert_eq!(self_id.encode(), packets);
    }
    let all: Vec<u32> = captured()
        .into_iter()
        .flat_map(|(packets, _)| packets)
        .collect();
    let expected: Vec<SelfId> = captured().into_iter().map(|(_, self_id)| self_id).collect();
    assert_eq!(SelfId::parse_all(&all), Ok(expected));
}

/// The places of all ports, as Linux' `self-id-sequence-helper-test.c` has them.
#[test]
fn all_27_ports_have_their_place() {
    let (_, template) = captured()[1].clone();
    let ports = [Child, Parent, NotConnected]
        .into_iter()
        .cycle()
        .take(MAX_PORTS);
    let node = SelfId {
        phy: 0,
        initiated_reset: false,
        ports: ports.collect(),
        ..template
    };
    let packets = node.encode();
    assert_eq!(packets.len(), 4);
    assert_eq!(packets[0] & 0xff, 0xe5);
    assert_eq!(packets[1..], [0x8083_9e79, 0x8091_e79d, 0x80a2_79e4]);
    assert_eq!(SelfId::parse(&packets), Ok((node.clone(), &[][..])));

    let more = SelfId {
        ports: vec![Child; MAX_PORTS + 5],
        ..node
    };
    assert_eq!(more.encode().len(), 4);
}

#[test]
fn what_is_no_sequence_of_self_ids_is_refused_with_the_reason() {
    let [one, _, two] = captured().map(|(packets, _)| packets);
    assert_eq!(SelfId::parse(&[]), Err(SelfIdError::NotFirst(0)));
    assert_eq!(SelfId::parse(&two[1..]), Err(SelfIdError::NotFirst(two[1])));
    assert_eq!(SelfId::parse(&two[..1]), Err(SelfIdError::Short { phy: 0 }));
    let not_next = |got| SelfIdError::NotNext {
        phy: 0,
        number: 1,
        got,
    };
    let another_node = two[1] | 1 << 24;
    let another_number = two[1] | 1 << 20;
    for got in [one[0], another_node, another_number] {
        assert_eq!(SelfId::parse(&[two[0], got]), Err(not_next(got)));
    }
    let five = [
        0x8000_0001,
        0x8080_0001,
        0x8090_0001,
        0x80a0_0001,
        0x80b0_0000,
    ];
    assert_eq!(SelfId::parse(&five), Err(SelfIdError::Long { phy: 0 }));
}

#[test]
fn phy_packets_say_what_they_say_in_linux() {
    let force = PhyPacket::Configuration {
        root: Some(2),
        gap_count: None,
    };
    assert_eq!(PhyPacket::parse(0x0280_0000), force);
    assert_eq!(force.encode(), 0x0280_0000);
    let gap_count = PhyPacket::Configuration {
        root: None,
        gap_count: Some(15),
    };
    // With a root's id, but without the bit that makes it count.
    assert_eq!(PhyPacket::parse(0x034f_0000), gap_count);
    assert_eq!(gap_count.encode(), 0x004f_0000);

    for (quadlet, packet) in [
        (0x4500_0000, PhyPacket::LinkOn { phy: 5 }),
        (0x0500_0000, PhyPacket::Ping { phy: 5 }),
        (0x053c_0000, PhyPacket::Resume { phy: 5 }),
        (0x8045_8c80, PhyPacket::SelfId(0x8045_8c80)),
        (0x0504_1234, PhyPacket::Other(0x0504_1234)),
        (0xc000_0000, PhyPacket::Other(0xc000_0000)),
    ] {
        assert_eq!(PhyPacket::parse(quadlet), packet);
        assert_eq!(packet.encode(), quadlet);
    }
    let idle = PhyPacket::Configuration {
        root: None,
        gap_count: None,
    };
    assert!(matches!(
        PhyPacket::parse(idle.encode()),
        PhyPacket::Other(_)
    ));
}

#[test]
fn registers_mirror_the_self_id() {
    let [(_, leaf), (_, root), _] = captured();
    let mut registers = PhyRegisters::new(4, 0x0012_3456, 0x00ab_cdef);
    let select = |registers: &mut PhyRegisters, page: u8, port: u8| {
        registers.write(register::SELECT, page << 5 | port);
    };
    assert_eq!(registers.read(0, &leaf), register::CABLE_POWER);
    assert_eq!(registers.read(0, &root), 1 << 2 | 0b11);
    assert_eq!(registers.read(1, &leaf), 5);
    assert_eq!(registers.read(2, &leaf), 0xe1);
    assert_eq!(registers.read(2, &root), 0xe3);
    assert_eq!(registers.read(3, &leaf), 0x40);
    assert_eq!(registers.read(3, &root), 0xe0);
    assert_eq!(registers.read(6, &root), 0);
    assert_eq!(registers.read(16, &root), 0);
    assert_eq!(registers.read(255, &root), 0);

    select(&mut registers, register::PAGE_PORT, 0);
    assert_eq!(registers.read(8, &leaf), 0x06);
    assert_eq!(registers.read(9, &leaf), 0x40);
    assert_eq!(registers.read(8, &root), 0);
    select(&mut registers, register::PAGE_PORT, 2);
    assert_eq!(registers.read(8, &leaf), 0);
    assert_eq!(registers.read(8, &root), 0x0e);
    select(&mut registers, register::PAGE_MAKER, 0);
    let page: Vec<u8> = (8..16).map(|at| registers.read(at, &leaf)).collect();
    assert_eq!(page, [1, 0, 0x12, 0x34, 0x56, 0xab, 0xcd, 0xef]);
    assert_eq!(registers.read(8, &root), 2);
}

#[test]
fn registers_take_what_a_driver_writes() {
    let (_, own) = captured()[0].clone();
    let mut registers = PhyRegisters::new(4, 0, 0);
    assert_eq!(registers.read(4, &own), 0x84);
    let effect = registers.write(4, !register::LINK_ACTIVE);
    assert_eq!(effect, PhyEffect::None);
    assert_eq!(
        registers.traits(),
        PhyTraits {
            link_active: false,
            contender: true,
            power_class: 7
        }
    );
    assert_eq!(registers.write(5, 0x40 | 0x3f), PhyEffect::ShortReset);
    assert_eq!(registers.read(5, &own), 0x03);
    assert_eq!(registers.write(1, 0xc5), PhyEffect::LongReset);
    assert_eq!(registers.read(1, &own), 0x85);
    assert!(registers.root_hold_off());
    registers.set_root_hold_off(false);
    assert_eq!(registers.read(1, &own), 5);
    assert_eq!(registers.write(200, 0xff), PhyEffect::None);
}

fn self_id() -> impl Strategy<Value = SelfId> {
    let status = prop::sample::select(vec![NotPresent, NotConnected, Parent, Child]);
    let ports = prop::collection::vec(status, 0..=MAX_PORTS).prop_map(|mut ports| {
        while ports.last() == Some(&NotPresent) {
            ports.pop();
        }
        ports
    });
    let speed = prop::sample::select(Speed::ALL[..4].to_vec());
    let flags = any::<(bool, bool, bool)>();
    (0u8..64, 0u8..64, 0u8..8, speed, flags, ports).prop_map(
        |(phy, gap_count, power_class, speed, (link_active, contender, initiated), ports)| SelfId {
            phy,
            link_active,
            gap_count,
            speed,
            contender,
            power_class,
            initiated_reset: initiated,
            ports,
        },
    )
}

proptest! {
    #[test]
    fn self_ids_survive_a_round_trip(nodes in prop::collection::vec(self_id(), 0..8)) {
        let packets: Vec<u32> = nodes.iter().flat_map(SelfId::encode).collect();
        prop_assert_eq!(SelfId::parse_all(&packets), Ok(nodes));
    }

    /// Random quadlets seldom go on after the first one, so some are made to.
    #[test]
    fn no_quadlets_make_the_parser_panic(
        mut quadlets in prop::collection::vec(any::<u32>(), 0..12),
        follow in any::<bool>(),
    ) {
        if follow {
            for (number, quadlet) in (0u32..).zip(&mut quadlets) {
                let sequence = if number == 0 { 0 } else { 1 << 23 | ((number - 1) & 7) << 20 };
                *quadlet = 2 << 30 | sequence | *quadlet & 0x000f_ffff;
            }
        }
        if let Ok(nodes) = SelfId::parse_all(&quadlets) {
            prop_assert!(nodes.iter().all(|node| node.ports.len() <= MAX_PORTS));
        }
        for quadlet in quadlets {
            let packet = PhyPacket::parse(quadlet);
            prop_assert_eq!(PhyPacket::parse(packet.encode()), packet);
        }
    }

    #[test]
    fn no_numbers_leave_their_field(mut node in self_id(), values in any::<[u8; 5]>()) {
        let [phy, gap_count, power_class, root, gap] = values;
        node.ports.truncate(3);
        let node = SelfId { phy, gap_count, power_class, ..node };
        let (read, _) = SelfId::parse(&node.encode()).unwrap();
        let masked = SelfId {
            phy: phy & 63,
            gap_count: gap_count & 63,
            power_class: power_class & 7,
            ports: read.ports.clone(),
            ..node
        };
        prop_assert_eq!(read, masked);
        let packet = PhyPacket::Configuration { root: Some(root), gap_count: Some(gap) };
        let masked = PhyPacket::Configuration { root: Some(root & 63), gap_count: Some(gap & 63) };
        prop_assert_eq!(PhyPacket::parse(packet.encode()), masked);
    }

    #[test]
    fn no_access_makes_registers_panic(
        accesses in prop::collection::vec(any::<(u8, u8)>(), 0..32),
        own in self_id(),
    ) {
        let mut registers = PhyRegisters::new(0, u32::MAX, u32::MAX);
        for (address, value) in accesses {
            registers.write(address, value);
            let read = registers.read(address, &own);
            prop_assert!(address < 16 || read == 0);
        }
    }
}
