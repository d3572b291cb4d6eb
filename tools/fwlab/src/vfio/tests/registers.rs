//! The registers of a controller through the socket, as a guest with any instruction reaches them.

use std::sync::Arc;

use nix::errno::Errno;
use ohci_raw::regs::{self, HcControl, IntEvent, LinkControl, node_id};
use tempfile::TempDir;

use super::client::{Client, piece};
use super::memfd;
use crate::lab::{Lab, command as lab};
use crate::seat::Seat;
use crate::vfio::BAR0_SIZE;
use crate::vfio::wire::Command;
use crate::world::World;

const BAR0: u32 = 0;

/// A bus with a host on it, and a seat for a guest.
fn seat() -> (Arc<World>, Seat, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let world = Arc::new(World::new(Lab::new(1, &[]).unwrap()));
    let seat = Seat::open(&world, &folder.path().join("seat")).unwrap();
    (world, seat, folder)
}

/// A guest as QEMU connects it: it resets the device first, and then shares its memory.
fn guest(seat: &Seat) -> Client {
    let mut client = Client::connect(seat.path());
    client.negotiate();
    assert_eq!(client.call(Command::Reset, &[]), Ok(vec![]));
    let ram = memfd(0x10_0000);
    client.map(piece(0, 0x10_0000, 0, 3), Some(&ram)).unwrap();
    client
}

fn read(client: &mut Client, register: u32) -> u32 {
    let bytes = client.read(BAR0, register.into(), 4).unwrap();
    u32::from_le_bytes(bytes.try_into().unwrap())
}

fn write(client: &mut Client, register: u32, value: u32) {
    client.post(BAR0, register.into(), &value.to_le_bytes());
}

/// Switches the link on. The node's id then.
fn start(client: &mut Client) -> u32 {
    write(client, regs::HC_CONTROL_SET, HcControl::SOFT_RESET.bits());
    write(client, regs::HC_CONTROL_SET, HcControl::LPS.bits());
    write(client, regs::SELF_ID_BUFFER, 0x800);
    let receive = LinkControl::RCV_SELF_ID.bits();
    write(client, regs::LINK_CONTROL_SET, receive);
    write(client, regs::HC_CONTROL_SET, HcControl::LINK_ENABLE.bits());
    let events = IntEvent::from_bits_truncate(read(client, regs::INT_EVENT_SET));
    assert!(events.contains(IntEvent::BUS_RESET | IntEvent::SELF_ID_COMPLETE));
    read(client, regs::NODE_ID)
}

#[test]
fn every_offset_is_read_and_written_in_every_width() {
    let (_world, seat, _folder) = seat();
    let mut client = guest(&seat);
    start(&mut client);
    for width in [1, 2, 4, 8_usize] {
        for offset in 0..BAR0_SIZE + 8 {
            let is_inside = offset as usize + width <= BAR0_SIZE as usize;
            let refused = (!is_inside).then_some(Errno::EINVAL);
            for value in [0xff, 0x00] {
                client.post(BAR0, offset.into(), &vec![value; width]);
            }
            let written = client.write(BAR0, offset.into(), &vec![0x5a; width]);
            assert_eq!(written.err(), refused, "{offset:#x}, {width}");
            let read = client.read(BAR0, offset.into(), width as u32);
            assert_eq!(
                read.as_ref().err(),
                refused.as_ref(),
                "{offset:#x}, {width}"
            );
            if offset >= regs::END && is_inside {
                assert_eq!(read, Ok(vec![0; width]), "{offset:#x}");
            }
        }
    }
    // The device is as good as ever.
    let expected = node_id::ID_VALID | node_id::ROOT | node_id::CABLE_POWER | 0xffc1;
    assert_eq!(start(&mut client), expected);
    drop(client);
    let mut next = guest(&seat);
    assert_eq!(read(&mut next, regs::HC_CONTROL_SET), 0);
    assert_eq!(start(&mut next), expected);
}

#[test]
fn only_whole_registers_are_written() {
    let (_world, seat, _folder) = seat();
    let mut client = guest(&seat);
    let register = regs::INITIAL_CHANNELS_AVAILABLE_HI;
    let start = u64::from(register);
    write(&mut client, register, 0x1234_5678);
    for (offset, length) in [
        (start, 1),
        (start, 2),
        (start, 3),
        (start + 1, 1),
        (start + 3, 1),
        (start + 1, 2),
        (start - 2, 4),
        (start + 2, 4),
        (start - 1, 4),
    ] {
        client.write(BAR0, offset, &vec![0xff; length]).unwrap();
        let value = read(&mut client, register);
        assert_eq!(value, 0x1234_5678, "{offset:#x}, {length}");
    }
    // A whole one in the middle is.
    client.write(BAR0, start - 2, &[0x11; 8]).unwrap();
    assert_eq!(read(&mut client, register), 0x1111_1111);
    let two = [0x22; 4].into_iter().chain([0x33; 4]).collect::<Vec<u8>>();
    client.write(BAR0, start, &two).unwrap();
    assert_eq!(client.read(BAR0, start, 8), Ok(two));
}

/// The physical id of the seat's node, as the bus tells.
fn phy(world: &World) -> Option<u8> {
    let answer = world.with(|lab, now| lab.execute(&lab::Command::Show, now));
    let lab::Answer::Report(report) = answer else {
        panic!("no report");
    };
    let node = report.nodes.iter().find(|node| node.name == "vm0");
    node.unwrap().phy
}

#[test]
fn a_guest_that_goes_takes_its_node_off_the_bus() {
    let (world, seat, _folder) = seat();
    let mut client = guest(&seat);
    assert_eq!(phy(&world), None);
    start(&mut client);
    assert_eq!(phy(&world), Some(1));
    drop(client);
    // The next one is only heard when the first is gone.
    let _next = guest(&seat);
    assert_eq!(phy(&world), None);
}
