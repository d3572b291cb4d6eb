//! Nodes that come and go, bus resets, and what others see of this host.

use super::*;

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
