//! Commands on their whole way: disk, initiator, virtual bus, bridge, a medium in memory, and
//! back. The virtual bus takes no time, so what is left is the cost of all this code.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ohci_raw::bus::{Action, Eui64, Instant, Machine, Speed};
use ohci_raw::config_rom::ConfigRom;
use ohci_raw::sim::{Bus, NodeConfig, NodeIndex, Timing};
use sbp2::disk::{Disk, Notice, Request};
use sbp2::initiator::{Config, Initiator};
use sbp2::scsi::MemoryMedium;
use sbp2::target::{Bridge, BridgeProfile};
use sbp2::unit;

/// Nothing here takes time.
const NOW: Instant = Instant::ZERO;

struct Lab {
    bus: Bus,
    node: NodeIndex,
    disk: Disk,
}

impl Lab {
    /// A host that is logged in to a bridge.
    fn new() -> Self {
        let mut bus = Bus::new(Timing::Immediate);
        let profile = BridgeProfile::oxfw911();
        let (target, speed) = (profile.eui64, profile.speed);
        let medium = MemoryMedium::new(512, 16384).expect("a medium of 8 MiB");
        let bridge = Bridge::new(profile, vec![Box::new(medium)]).expect("a bridge");
        let quadlets: Vec<_> = bridge.rom().iter().copied().map(Some).collect();
        let rom = ConfigRom::read(&quadlets).expect("the bridge's ROM");
        let unit = unit::units(&rom).remove(0);
        let config = node("bridge", target, bridge.rom().to_vec(), speed);
        bus.attach_machine(config, bridge.claims(), Box::new(bridge), NOW);
        let eui64 = Eui64(0x0800_2851_0100_0001);
        let rom = vec![
            0x0404_0000,
            0x3133_3934,
            0xf000_a000,
            eui64.hi(),
            eui64.lo(),
            0,
        ];
        let node = bus.attach_host(node("host", eui64, rom, Speed::S400), NOW);
        let agent = unit.management_agent().expect("a management agent");
        let mut config = Config::shared(target, agent, 0);
        config.speed = speed;
        let range = bus
            .allocate(node, Initiator::range_length(&config))
            .expect("address space");
        let disk = Disk::new(config, unit.quirks(), range).expect("a disk");
        let mut lab = Self { bus, node, disk };
        lab.disk.login(NOW);
        let ready = |notice: &Notice| matches!(notice, Notice::Ready { .. });
        assert!(lab.run().iter().any(ready), "the disk is ready");
        lab
    }

    fn run(&mut self) -> Vec<Notice> {
        loop {
            let mut quiet = true;
            while let Some(event) = self.bus.poll_event(self.node) {
                self.disk.handle(event, NOW);
                quiet = false;
            }
            while let Some(action) = self.disk.poll_action() {
                quiet = false;
                match action {
                    Action::Send(transaction) => self.bus.send(self.node, transaction, NOW),
                    Action::Respond { handle, response } => self
                        .bus
                        .respond(self.node, handle, response, NOW)
                        .expect("a response of the right length"),
                }
            }
            if quiet {
                return std::iter::from_fn(|| self.disk.poll_notice()).collect();
            }
        }
    }

    fn perform(&mut self, request: Request) -> Vec<u8> {
        self.disk.submit(request, NOW);
        match self.run().pop() {
            Some(Notice::Completed { result, .. }) => result.expect("it ends well"),
            other => panic!("{other:?}"),
        }
    }
}

fn node(name: &str, eui64: Eui64, rom: Vec<u32>, speed: Speed) -> NodeConfig {
    NodeConfig {
        name: name.into(),
        eui64,
        rom,
        speed,
        rom_block_reads: true,
    }
}

fn commands(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("command");
    for (name, length) in [("4 KiB", 4 << 10), ("128 KiB", 128 << 10)] {
        group.throughput(Throughput::Bytes(length));
        let mut lab = Lab::new();
        // At most 256.
        let blocks = (length / 512) as u32;
        group.bench_function(BenchmarkId::new("READ", name), |bencher| {
            bencher.iter(|| lab.perform(Request::Read { lba: 64, blocks }));
        });
        let data = vec![0xa5; length as usize];
        group.bench_function(BenchmarkId::new("WRITE", name), |bencher| {
            bencher.iter(|| {
                lab.perform(Request::Write {
                    lba: 64,
                    data: data.clone(),
                    fua: false,
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, commands);
criterion_main!(benches);
