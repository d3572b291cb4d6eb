//! What a guest sees that keeps to the rules.

use zerocopy::IntoBytes as _;

use super::client::Client;
use super::{Bench, Call};
use crate::vfio::wire::{Command, DeviceInfo, Header, IrqInfo, RegionInfo, Version};
use nix::errno::Errno;

const BAR0: u32 = 0;
const CONFIG: u32 = 7;

#[test]
fn the_device_describes_itself() {
    let bench = Bench::new();
    let (mut client, ..) = bench.guest();
    let question = DeviceInfo {
        argsz: 16.into(),
        flags: 0.into(),
        regions: 0.into(),
        interrupts: 0.into(),
    };
    let info = client.ask(Command::GetInfo, &question);
    assert_eq!(
        info.as_bytes(),
        [16, 3, 9, 5].map(u32::to_le_bytes).concat()
    );

    for index in 0..9_u32 {
        let question = RegionInfo {
            argsz: 32.into(),
            flags: 0.into(),
            index: index.into(),
            capabilities: 0.into(),
            size: 0.into(),
            offset: 0.into(),
        };
        let info = client.ask(Command::GetRegionInfo, &question);
        let (flags, size) = match index {
            BAR0 => (3, 4096),
            CONFIG => (3, 256),
            _ => (0, 0),
        };
        let seen = (info.argsz.get(), info.index.get(), info.flags.get());
        assert_eq!(seen, (32, index, flags));
        assert_eq!((info.size.get(), info.offset.get()), (size, 0));
    }
    for index in 0..5_u32 {
        let question = IrqInfo {
            argsz: 16.into(),
            flags: 0.into(),
            index: index.into(),
            count: 0.into(),
        };
        let info = client.ask(Command::GetIrqInfo, &question);
        let (flags, count) = [(7, 1), (1, 1), (0, 0), (0, 0), (0, 0)][index as usize];
        let expected = [16, flags, index, count].map(u32::to_le_bytes).concat();
        assert_eq!(info.as_bytes(), expected);
    }
}

#[test]
fn registers_are_read_in_any_width_and_written_in_quadlets() {
    let bench = Bench::new();
    let (mut client, ..) = bench.guest();
    assert_eq!(client.read(BAR0, 0x20c, 4).unwrap(), [0x0c, 2, 0, 0]);
    assert_eq!(client.read(BAR0, 0xffc, 4).unwrap(), [0xfc, 0xf, 0, 0]);
    // The bytes of the registers that are touched.
    assert_eq!(client.read(BAR0, 0x20d, 1).unwrap(), [2]);
    assert_eq!(client.read(BAR0, 0x20e, 4).unwrap(), [0, 0, 0x10, 2]);
    assert_eq!(
        client.read(BAR0, 0x208, 8).unwrap(),
        [0x08, 2, 0, 0, 0x0c, 2, 0, 0]
    );

    client.post(BAR0, 0x80, &0x1234_5678_u32.to_le_bytes());
    assert!(matches!(bench.next(), Call::Write(0x80, 0x1234_5678)));
    // The next reply is that of the read: the posted write got none.
    assert_eq!(
        client.read(BAR0, 0x80, 4).unwrap(),
        [0x78, 0x56, 0x34, 0x12]
    );
    client.write(BAR0, 0x84, &[1, 0, 0, 0, 2, 0, 0, 0]).unwrap();
    assert!(matches!(bench.next(), Call::Write(0x84, 1)));
    assert!(matches!(bench.next(), Call::Write(0x88, 2)));
    assert_eq!(bench.server.narrow_writes(), 0);

    for (offset, data) in [(0x80, &[0xff; 2][..]), (0x83, &[0xff]), (0x82, &[0xff; 2])] {
        client.write(BAR0, offset, data).unwrap();
    }
    bench.expect_silence();
    assert_eq!(bench.server.narrow_writes(), 3);
    // A quadlet in the middle is one, what hangs over is not.
    client.write(BAR0, 0x8e, &[9, 9, 3, 0, 0, 0, 9]).unwrap();
    assert!(matches!(bench.next(), Call::Write(0x90, 3)));
    bench.expect_silence();
    assert_eq!(bench.server.narrow_writes(), 5);
}

#[test]
fn nothing_is_outside_of_the_regions() {
    let bench = Bench::new();
    let (mut client, ..) = bench.guest();
    for (region, offset, count) in [
        (BAR0, 0xffd, 4),
        (BAR0, 0x1000, 1),
        (BAR0, u64::MAX, 4),
        (BAR0, 0, u32::MAX),
        (CONFIG, 0xff, 2),
        (CONFIG, 0x100, 1),
        (1, 0, 1),
        (8, 0, 1),
        (9, 0, 1),
        (u32::MAX, 0, 1),
    ] {
        assert_eq!(client.read(region, offset, count), Err(Errno::EINVAL));
        let data = vec![0xff; count.min(16) as usize];
        if count as usize == data.len() {
            let refused = client.write(region, offset, &data);
            assert_eq!(refused, Err(Errno::EINVAL));
        }
    }
    assert_eq!(client.read(1, 0, 0), Ok(vec![]));
    bench.expect_silence();
}

#[test]
fn configuration_space_is_there_and_a_reset_resets_it() {
    let bench = Bench::new();
    let (mut client, ..) = bench.guest();
    let fresh = client.read(CONFIG, 0, 256).unwrap();
    assert_eq!(fresh[..4], [0xc1, 0x11, 0x11, 0x58]);
    client.write(CONFIG, 4, &[0x06, 0x04]).unwrap();
    client.write(CONFIG, 0x40, &[1, 2, 3, 4]).unwrap();
    assert_eq!(client.read(CONFIG, 3, 3).unwrap(), [0x58, 0x06, 0x04]);
    assert_eq!(client.read(CONFIG, 0x40, 4).unwrap(), [1, 2, 3, 4]);
    assert_eq!(client.call(Command::Reset, &[]), Ok(vec![]));
    assert!(matches!(bench.next(), Call::Reset));
    assert_eq!(client.read(CONFIG, 0, 256).unwrap(), fresh);
}

#[test]
fn the_version_comes_first_and_once() {
    let bench = Bench::new();
    let mut client = Client::connect(&bench.path);
    assert_eq!(client.read(CONFIG, 0, 4), Err(Errno::EINVAL));
    assert_eq!(client.call(Command::Reset, &[]), Err(Errno::EINVAL));
    bench.expect_silence();
    client.negotiate();
    assert!(matches!(bench.next(), Call::Connected(..)));
    let again = client.call(Command::Version, &[0; 4]);
    assert_eq!(again, Err(Errno::EINVAL));
    assert!(client.read(CONFIG, 0, 4).is_ok());
}

#[test]
fn another_protocol_is_refused_and_a_newer_minor_is_not() {
    let bench = Bench::new();
    let mut client = Client::connect(&bench.path);
    let version = |major: u16, minor: u16| Version {
        major: major.into(),
        minor: minor.into(),
    };
    let answer = client.call(Command::Version, version(1, 0).as_bytes());
    assert_eq!(answer, Err(Errno::EPROTONOSUPPORT));
    assert!(client.hung_up());
    bench.expect_silence();
    let mut client = Client::connect(&bench.path);
    // Without capabilities, too.
    let answer = client.call(Command::Version, version(0, 9).as_bytes());
    assert_eq!(answer.unwrap()[..4], [0; 4]);
}

#[test]
fn what_is_unknown_is_refused_and_passed_over() {
    let bench = Bench::new();
    let (mut client, ..) = bench.guest();
    for command in [0, 6, 11, 12, 14, 15, 16, 17, 18, 19, u16::MAX] {
        let answer = client.call_with(command, &[0xa5; 100], &[]);
        assert_eq!(answer, Err(Errno::ENOSYS), "{command}");
    }
    // Without a reply, and one that is a reply itself.
    client.send(99, Header::NO_REPLY, &[1; 7], &[]);
    client.send(Command::Reset as u16, Header::REPLY, &[2; 9], &[]);
    assert!(client.read(CONFIG, 0, 4).is_ok());
    bench.expect_silence();
}

#[test]
fn each_guest_is_a_fresh_one() {
    let bench = Bench::new();
    let (mut first, memory, interrupts) = bench.guest();
    first.write(CONFIG, 0x40, &[0xff; 4]).unwrap();
    interrupts.update(1);
    // It waits until the first has gone.
    let mut second = Client::connect(&bench.path);
    drop(first);
    second.negotiate();
    bench.expect_gone();
    let Call::Connected(new_memory, new_interrupts) = bench.next() else {
        panic!("not connected");
    };
    assert_eq!(second.read(CONFIG, 0x40, 4).unwrap(), [0; 4]);
    assert!(!std::sync::Arc::ptr_eq(&memory, &new_memory));
    assert_eq!(new_interrupts.pending(), 0);
}
