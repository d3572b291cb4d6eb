//! Clients that do not keep to the rules. After each of them the next one is served.

use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use nix::errno::Errno;
use zerocopy::IntoBytes as _;

use super::client::{Client, piece};
use super::{Bench, Call, eventfd, memfd};
use crate::vfio::wire::{BODY_MAX, Command, Header};

const CONFIG: u32 = 7;

/// A good guest gets what it asks.
fn serves(bench: &Bench) {
    let (mut client, memory, _) = bench.guest();
    let ram = memfd(0x1000);
    client.map(piece(0, 0x1000, 0, 3), Some(&ram)).unwrap();
    memory.write(0, &[1]).unwrap();
    let ids = client.read(CONFIG, 0, 4).unwrap();
    assert_eq!(ids, [0xc1, 0x11, 0x11, 0x58]);
    drop(client);
    bench.expect_gone();
}

fn header(command: u16, size: u32) -> Header {
    Header {
        id: 7.into(),
        command: command.into(),
        size: size.into(),
        flags: 0.into(),
        error: 0.into(),
    }
}

#[test]
fn a_message_without_a_possible_size_ends_the_connection() {
    let bench = Bench::new();
    let too_long = (size_of::<Header>() + BODY_MAX + 1) as u32;
    for size in [0, 1, 15, too_long, u32::MAX] {
        let (mut client, ..) = bench.guest();
        let header = header(Command::Reset as u16, size);
        client.stream.write_all(header.as_bytes()).unwrap();
        assert!(client.hung_up());
        bench.expect_gone();
    }
    // The longest possible one is a message like others.
    let (mut client, ..) = bench.guest();
    let answer = client.call_with(99, &vec![0; BODY_MAX], &[]);
    assert_eq!(answer, Err(Errno::ENOSYS));
    drop(client);
    bench.expect_gone();
    serves(&bench);
}

#[test]
fn a_message_may_end_anywhere() {
    let bench = Bench::new();
    let whole = [
        header(Command::RegionRead as u16, 32).as_bytes(),
        &[0; 16][..],
    ]
    .concat();
    for end in 0..whole.len() {
        let (mut client, ..) = bench.guest();
        client.stream.write_all(&whole[..end]).unwrap();
        drop(client);
        bench.expect_gone();
        // Before the version, too: then there was no guest.
        let mut stranger = Client::connect(&bench.path);
        stranger.stream.write_all(&whole[..end]).unwrap();
    }
    serves(&bench);
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let bench = Bench::new();
    let (mut client, ..) = bench.guest();
    let body = [0_u32, 0, CONFIG, 4].map(u32::to_le_bytes).concat();
    let message = [header(Command::RegionRead as u16, 32).as_bytes(), &body].concat();
    for byte in message {
        client.stream.write_all(&[byte]).unwrap();
    }
    let (id, _, answer) = client.receive();
    assert_eq!((id, answer.unwrap().len()), (7, 20));
}

#[test]
fn short_bodies_and_wrong_counts_are_refused() {
    let bench = Bench::new();
    let (mut client, ..) = bench.guest();
    for (command, needed) in [
        (Command::DmaMap, 32),
        (Command::DmaUnmap, 24),
        (Command::GetInfo, 16),
        (Command::GetRegionInfo, 32),
        (Command::GetIrqInfo, 16),
        (Command::SetIrqs, 20),
        (Command::RegionRead, 16),
        (Command::RegionWrite, 16),
    ] {
        for length in 0..needed {
            let answer = client.call(command, &vec![0; length]);
            assert_eq!(answer, Err(Errno::EINVAL), "{command:?} {length}");
        }
    }
    // Room for less than the reply, an index that there is not.
    for (command, length) in [
        (Command::GetInfo, 16),
        (Command::GetRegionInfo, 32),
        (Command::GetIrqInfo, 16),
    ] {
        let mut body = vec![0; length];
        body[0] = length as u8 - 1;
        assert_eq!(client.call(command, &body), Err(Errno::EINVAL));
        if command != Command::GetInfo {
            body[0] = length as u8;
            body[8] = 9;
            assert_eq!(client.call(command, &body), Err(Errno::EINVAL));
        }
    }
    // A write of more, or less, than comes with it.
    for count in [0_u32, 3, 5, 0x1000] {
        let mut body = [0_u32, 0, 0, count].map(u32::to_le_bytes).concat();
        body.extend([0; 4]);
        let answer = client.call(Command::RegionWrite, &body);
        assert_eq!(answer, Err(Errno::EINVAL), "{count}");
    }
    bench.expect_silence();
    assert!(client.read(CONFIG, 0, 4).is_ok());
}

/// Which file it is. Files of other file systems, such as the memory of a test that runs at the same
/// time, may have the same inode number.
fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Descriptors of this process that lead to this file.
fn open_copies(file: (u64, u64)) -> usize {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let links = entries.filter_map(|entry| fs::metadata(entry.ok()?.path()).ok());
    links.filter(|link| identity(link) == file).count()
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed() {
    let bench = Bench::new();
    let (mut client, ..) = bench.guest();
    let file = tempfile::tempfile().unwrap();
    let this = identity(&file.metadata().unwrap());
    for count in [1, 2, 8, 9, 253] {
        let flood = vec![file.as_fd(); count];
        let reset = client.call_with(Command::Reset as u16, &[], &flood);
        assert_eq!(reset, Ok(vec![]));
        assert!(matches!(bench.next(), Call::Reset));
        let answer = client.call_with(99, &[0; 20], &flood);
        assert_eq!(answer, Err(Errno::ENOSYS));
        for (command, length) in [(Command::DmaMap, 32), (Command::SetIrqs, 20)] {
            let answer = client.call_with(command as u16, &vec![0; length], &flood);
            assert_eq!(answer, Err(Errno::EINVAL));
        }
        assert_eq!(open_copies(this), 1, "{count}");
    }
    // With each byte of a header.
    let flood = vec![file.as_fd(); 253];
    for byte in header(99, 16).as_bytes() {
        client.send_raw(&[*byte], &flood).unwrap();
    }
    assert!(matches!(
        client.receive(),
        (7, 99, Err(Errno::ENOSYS | Errno::EMFILE))
    ));
    assert_eq!(open_copies(this), 1);
    drop(client);
    bench.expect_gone();
    serves(&bench);
}

/// A generator that needs no more than to be the same each time (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 33) % limit
    }

    /// Mostly small numbers and those at a limit, as they do harm.
    fn quadlet(&mut self) -> u32 {
        match self.below(6) {
            0 => u32::MAX,
            1 => 0x1000_u32.wrapping_sub(self.below(8) as u32),
            2 => self.next() as u32,
            _ => self.below(0x26) as u32,
        }
    }
}

#[test]
fn random_commands_are_all_answered() {
    let bench = Bench::new();
    let (mut client, memory, interrupts) = bench.guest();
    let mut random = Random(0x1394_0001);
    let ram = memfd(0x4000);
    let (_seen, event) = eventfd();
    for _ in 0..20_000 {
        let command = random.below(20) as u16;
        let quadlets = random.below(14);
        let mut body: Vec<u8> = (0..quadlets)
            .flat_map(|_| random.quadlet().to_le_bytes())
            .collect();
        body.extend(vec![0x5a; random.below(4) as usize]);
        let given = [ram.as_fd(), event.as_fd(), ram.as_fd()];
        let from = random.below(3) as usize;
        let count = random.below(3) as usize;
        let descriptors = &given[from..(from + count).min(3)];
        // Whatever it is, an answer comes, and of this command.
        let _ = client.call_with(command, &body, descriptors);
        interrupts.update(random.quadlet());
        let mut bytes = [0; 64];
        let _ = memory.read(random.quadlet().into(), &mut bytes);
        let _ = memory.write(random.quadlet().into(), &bytes);
        while let Ok(call) = bench.calls.try_recv() {
            assert!(matches!(call, Call::Write(..) | Call::Reset));
        }
    }
    drop(client);
    bench.expect_gone();
    serves(&bench);
}

#[test]
fn random_bytes_end_at_most_their_connection() {
    let bench = Bench::new();
    let mut random = Random(0x1394_0002);
    for round in 0..2000 {
        let mut client = Client::connect(&bench.path);
        let negotiated = round % 2 == 0;
        if negotiated {
            client.negotiate();
        }
        let mut noise = Vec::new();
        for _ in 0..random.below(30) {
            noise.extend(random.next().to_le_bytes());
        }
        // Often a plausible size, so that more than the first check is reached.
        if noise.len() > 8 && random.below(4) > 0 {
            let size = 16 + random.below(64) as u32;
            noise[4..8].copy_from_slice(&size.to_le_bytes());
        }
        // The server may have hung up already.
        let _ = client.stream.write_all(&noise);
        drop(client);
    }
    // All calls of those, in pairs; the last are of the good guest.
    let mut last = Client::connect(&bench.path);
    last.negotiate();
    assert!(last.read(CONFIG, 0, 4).is_ok());
    drop(last);
    let (mut here, mut guests) = (false, 0);
    while guests < 1001 || here {
        match bench.next() {
            Call::Connected(..) => {
                assert!(!here);
                here = true;
                guests += 1;
            }
            Call::Gone => {
                assert!(here);
                here = false;
            }
            Call::Write(..) | Call::Reset => assert!(here),
        }
    }
}

#[test]
fn a_client_that_does_not_read_its_replies_can_be_left() {
    let bench = Bench::new();
    let (client, ..) = bench.guest();
    let body = [0_u32, 0, 0, 0x1000].map(u32::to_le_bytes).concat();
    let message = [header(Command::RegionRead as u16, 32).as_bytes(), &body].concat();
    client.stream.set_nonblocking(true).unwrap();
    // Until the server waits for room to answer, and the socket is full of questions.
    let mut stream = &client.stream;
    while stream.write(&message).is_ok() {}
    let Bench { server, calls, .. } = bench;
    drop(server);
    assert!(matches!(calls.recv(), Ok(Call::Gone)));
}
