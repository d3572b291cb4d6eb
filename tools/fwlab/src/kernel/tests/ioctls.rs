//! The ioctls that ask and tell, and those of what is not there.

use super::*;

#[test]
fn what_is_no_ioctl_of_firewire_cdev_is_enotty_and_a_bad_pointer_efault() {
    let mut rig = Rig::new();
    let client = rig.open(0, 0, 6);
    for command in [0x5401, 0xc028_2400, 0xc030_2300, 0x4004_23ff, 0x0000_2319] {
        assert_eq!(
            rig.call(0, client, command, &0_u32),
            Err(Errno::ENOTTY),
            "{command:x}"
        );
    }
    let info = abi::GetInfo {
        rom_length: 4,
        rom: 0x666,
        ..abi::GetInfo::default()
    };
    assert_eq!(
        rig.call(0, client, number::GET_INFO, &info),
        Err(Errno::EFAULT)
    );
    let refused = rig.call(
        0,
        client,
        number::SEND_REQUEST,
        &abi::SendRequest {
            length: 4,
            data: 0x666,
            ..abi::SendRequest::default()
        },
    );
    assert_eq!(refused, Err(Errno::EFAULT));
    assert_eq!(rig.event(0, client), None);
}

#[test]
fn get_info_tells_the_node_and_keeps_the_version_as_it_is() {
    let mut rig = Rig::new();
    let client = rig.hosts[0].open(1).unwrap();
    rig.memory.0.insert(0x100, vec![0; 20]);
    rig.memory.0.insert(0x200, vec![0; 36]);
    let info = abi::GetInfo {
        version: 4_000,
        rom_length: 20,
        rom: 0x100,
        bus_reset: 0x200,
        bus_reset_closure: 9,
        ..abi::GetInfo::default()
    };
    let reply = rig.call(0, client, number::GET_INFO, &info).unwrap();
    let info = abi::GetInfo::read_from_bytes(&reply.argument).unwrap();
    assert_eq!((info.version, info.rom_length, info.card), (6, 22 * 4, 0));
    assert_eq!(rig.hosts[0].version_of(client), 4_000);
    let rom = &rig.memory.0[&0x100];
    // In the host's byte order, as nowhere else.
    assert_eq!(rom[4..8], 0x3133_3934_u32.to_ne_bytes());
    let state = abi::BusResetEvent::read_from_bytes(&rig.memory.0[&0x200]).unwrap();
    assert_eq!(state.closure.get(), 9);
    assert_eq!(
        (state.node_id.get(), state.local_node_id.get()),
        (0xffc1, 0xffc0)
    );
    assert_eq!(
        (state.bm_node_id.get(), state.root_node_id.get()),
        (0xffff, 0xffc1)
    );
}

#[test]
fn isochronous_resources_are_not_there() {
    let mut rig = Rig::new();
    let client = rig.open(0, 0, 6);
    let argument = |words: [u32; 10]| words;
    for (command, words, expected) in [
        (0xc020_2308, [1, 4, 3, 0, 0, 0, 0, 0, 0, 0], Errno::EBUSY),
        (0xc020_2308, [1, 3, 3, 0, 0, 0, 0, 0, 0, 0], Errno::EINVAL),
        (0xc020_2308, [3, 4, 3, 0, 0, 0, 0, 0, 0, 0], Errno::EINVAL),
        (0x4010_230a, [0; 10], Errno::EINVAL),
        (0x4004_230b, [0; 10], Errno::EINVAL),
        (0xc018_230d, [0; 10], Errno::EINVAL),
    ] {
        assert_eq!(
            rig.call(0, client, command, &argument(words)),
            Err(expected),
            "{command:x}"
        );
    }
    let wanted = [7, 0, 1, 0, 100, 0, 0, 0, 0, 0];
    assert!(rig.call(0, client, 0xc018_230d, &wanted).is_ok());
    assert!(matches!(
        rig.event(0, client),
        Some(CdevEvent::Ignored {
            closure: 7,
            event_type: 4
        })
    ));
}

#[test]
fn clocks_and_speed_can_be_asked_for() {
    let mut rig = Rig::new();
    rig.pass(Duration::from_secs(3));
    let client = rig.open(0, 1, 6);
    let speed = rig.call(0, client, number::GET_SPEED, &0_u32).unwrap();
    assert_eq!((speed.value, speed.argument), (2, vec![]));
    let timer = |clk_id| abi::GetCycleTimer2 {
        clk_id,
        ..abi::GetCycleTimer2::default()
    };
    let reply = rig
        .call(0, client, number::GET_CYCLE_TIMER2, &timer(1))
        .unwrap();
    let read = abi::GetCycleTimer2::read_from_bytes(&reply.argument).unwrap();
    assert_eq!(
        (read.tv_sec, read.tv_nsec, read.cycle_timer),
        (12, 34, 3 << 25)
    );
    assert_eq!(
        rig.call(0, client, number::GET_CYCLE_TIMER2, &timer(99)),
        Err(Errno::EINVAL)
    );
}
