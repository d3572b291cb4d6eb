//! A virtual machine whose plug is pulled, twenty times: the bus and its bridge get over it.

mod support;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fwlab::lab::Lab;
use fwlab::lab::command::{Answer, BridgeCounters, Command, Report};
use fwlab::seat::Seat;
use fwlab::vm::{Guest, GuestSpec};
use fwlab::world::{Timekeeper, World};

use support::{spec, tell};

const PULLS: u8 = 20;
const SEED: u64 = 0x1394_a5a5_0000_0001;
/// The longest that anything takes here that ends at all, on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);
const SECTOR: usize = 512;
const BLOCK: usize = 4096;
/// Where each guest writes again and again, after the blocks that each writes once.
const BUSY_AT: usize = 1 << 20;
const BUSY_SIZE: usize = 64 << 10;
const DISK: usize = 4 << 20;

/// What the guest is at when the plug is pulled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum During {
    /// Writing and reading.
    Io,
    /// Its driver logs in, or has just done so.
    Login,
    /// Its kernel starts.
    Start,
}

/// Moments (splitmix64).
struct Moments(u64);

impl Moments {
    /// Somewhere between the two.
    fn between(&mut self, from: Duration, to: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = (mixed >> 40) as f32 / (1 << 24) as f32;
        from + (to - from).mul_f32(part)
    }
}

/// A bus with a bridge, and a place for a machine.
struct Bench {
    world: Arc<World>,
    _clock: Timekeeper,
    seat: Seat,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bridge = format!("profile=oxfw911,size={DISK}");
        let lab = Lab::new(0, &[bridge.parse().expect("a bridge")]).expect("a bus");
        let world = Arc::new(World::new(lab));
        let folder = tempfile::tempdir().expect("a folder");
        let seat = Seat::open(&world, &folder.path().join("controller")).expect("a seat");
        let clock = Timekeeper::new(&world).expect("a clock");
        Self {
            world,
            _clock: clock,
            seat,
            _folder: folder,
        }
    }

    fn report(&self) -> Report {
        match self.world.with(|lab, now| lab.execute(&Command::Show, now)) {
            Answer::Report(report) => report,
            other => panic!("{other:?}"),
        }
    }

    fn bridge(&self) -> BridgeCounters {
        let nodes = self.report().nodes;
        let counters = nodes.into_iter().find_map(|node| node.bridge);
        counters.expect("the bridge")
    }

    /// Waits until the bus is as it should be.
    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < SOON, "{what}: {:?}", self.report());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn launch(&self, spec: &GuestSpec) -> Guest {
        Guest::launch(spec).expect("a guest")
    }

    /// Whether the machine is a node of the bus.
    fn has_machine(&self) -> bool {
        let nodes = self.report().nodes;
        nodes
            .iter()
            .any(|node| node.name == "vm0" && node.phy.is_some())
    }

    /// Pulls the plug, and looks at the bus. How many logins the bridge has to forget.
    fn pull(&self, guest: Guest) -> usize {
        let generation = self.report().generation;
        let was_there = self.has_machine();
        guest.kill();
        self.until("the node leaves the bus", |bench| !bench.has_machine());
        if was_there {
            assert!(self.report().generation > generation, "the bus was reset");
        }
        self.bridge().logins
    }
}

/// What a guest writes once, and where.
fn mark(pull: u8) -> Vec<u8> {
    vec![b'A' + pull; BLOCK]
}

/// Has the guest write its mark, and then write and read without end.
fn keep_busy(guest: &Guest, pull: u8) {
    std::fs::write(guest.folder().join("mark"), mark(pull)).expect("a file");
    std::fs::write(guest.folder().join("busy"), vec![b'A' + pull; BUSY_SIZE]).expect("a file");
    let marked = guest.run(&format!(
        "until {{ true < /dev/sda; }} 2> /dev/null; do sleep 0.1; done
         dd if=/host/mark of=/dev/sda bs={BLOCK} seek={pull} conv=fsync"
    ));
    let marked = marked.expect("an end");
    assert_eq!(marked.status, 0, "{}", marked.text);
    let first = BUSY_AT / BUSY_SIZE;
    let count = (DISK - BUSY_AT) / BUSY_SIZE;
    let busy = guest.spawn(&format!(
        "at=0
         while :; do
           dd if=/host/busy of=/dev/sda bs={BUSY_SIZE} seek=$(({first} + at % {count})) conv=fsync
           echo 3 > /proc/sys/vm/drop_caches
           dd if=/dev/sda of=/dev/null bs={BUSY_SIZE} skip=$(({first} + at % {count})) count=1
           at=$((at + 1))
         done"
    ));
    busy.expect("a command");
}

#[test]
fn the_bus_and_its_bridge_get_over_a_machine_whose_plug_is_pulled() {
    let Some(spec) = spec() else { return };
    let bench = Bench::new();
    let spec = spec
        .memory(256)
        .controller(bench.seat.path())
        .module("sd_mod")
        .module("firewire-sbp2");
    let mut moments = Moments(SEED);
    let mut marked = Vec::new();
    let mut start = Duration::ZERO;
    let mut begin = Instant::now();
    let mut guest = bench.launch(&spec);
    for pull in 0..PULLS {
        let during = [During::Io, During::Login, During::Start][usize::from(pull % 3)];
        match during {
            During::Io => {
                guest.wait_until_up().expect("up");
                start = begin.elapsed();
                let commands = bench.bridge().commands;
                keep_busy(&guest, pull);
                marked.push(pull);
                let is_busy = |bench: &Bench| bench.bridge().commands > commands + 4;
                bench.until("the disk is used", is_busy);
                thread::sleep(moments.between(Duration::ZERO, Duration::from_secs(1)));
            }
            During::Login => {
                guest.wait_until_up().expect("up");
                thread::sleep(moments.between(Duration::ZERO, Duration::from_millis(1500)));
            }
            During::Start => {
                let moment = moments.between(start / 3, start);
                thread::sleep(moment.saturating_sub(begin.elapsed()));
            }
        }
        let logins = bench.pull(guest);
        tell(&format!(
            "pull {} of {PULLS}, during {during:?}: generation {}, {logins} logins so far",
            pull + 1,
            bench.report().generation,
        ));
        // It starts while the reconnect hold passes.
        begin = Instant::now();
        guest = bench.launch(&spec);
        bench.until("the login is forgotten", |bench| {
            bench.bridge().logins_expired >= logins
        });
    }

    guest.wait_until_up().expect("up");
    let logins = bench.bridge().logins;
    let read = guest.run(
        "until { true < /dev/sda; } 2> /dev/null; do sleep 0.1; done
         dd if=/dev/sda of=/host/disk bs=65536",
    );
    let read = read.expect("an end");
    assert_eq!(read.status, 0, "{}", read.text);
    let counters = bench.bridge();
    assert!(counters.logins >= logins && counters.logins > counters.logins_expired);
    assert!(counters.logins > marked.len(), "{counters:?}");
    let disk = std::fs::read(guest.folder().join("disk")).expect("a file");
    assert_eq!(disk.len(), DISK);
    for pull in &marked {
        let at = usize::from(*pull) * BLOCK;
        assert!(
            disk[at..][..BLOCK] == mark(*pull),
            "what pull {pull} cut off had been written"
        );
    }
    // The last write of each was cut off anywhere, but not inside a sector.
    let known = |byte: u8| {
        byte == 0
            || byte
                .checked_sub(b'A')
                .is_some_and(|pull| marked.contains(&pull))
    };
    for sector in disk[BUSY_AT..].chunks(SECTOR) {
        assert!(known(sector[0]) && sector.iter().all(|byte| *byte == sector[0]));
    }
    guest.power_off().expect("an end in good order");
}
