//! The structures that cross the bus: laid out, and read.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ohci_raw::bus::{Address, NodeId, Speed};
use sbp2::scsi::{AdditionalSense, Completion, SenseKey, read_blocks};
use sbp2::wire::{
    CommandOrb, Direction, MaxPayload, PageTableEntry, Pointer, Resp, StatusBlock, StatusSource,
};
use zerocopy::IntoBytes;

fn command_orb() -> CommandOrb {
    let mut block = [0; 16];
    let cdb = read_blocks(0x1234_5678, 256).encode();
    block[..cdb.as_bytes().len()].copy_from_slice(cdb.as_bytes());
    let table = Pointer::new(NodeId::local(2), Address::new(0x1_0000_1000));
    CommandOrb::new(block).with_data(
        Direction::FromTarget,
        table,
        3,
        true,
        Speed::S400,
        MaxPayload::negotiate(Speed::S400, 10),
    )
}

fn command_orbs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire/command ORB");
    group.bench_function("build", |bencher| bencher.iter(command_orb));
    let orb = command_orb();
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            let orb = CommandOrb::from_fetched(black_box(orb.as_bytes()))?;
            Some((orb.flags(), orb.direction(), orb.data_size(), orb.next_orb))
        });
    });
    group.finish();
}

fn status_blocks(criterion: &mut Criterion) {
    let sense = Completion::check_with(
        SenseKey::MediumError,
        AdditionalSense::UNRECOVERED_READ_ERROR,
    );
    let sense = sense.to_status_block().expect("it is not GOOD");
    let orb = Address::new(0x1_0004_0000);
    let block = |sense: &[u8]| {
        let complete = Resp::RequestComplete;
        StatusBlock::new(StatusSource::OrbNextNull, complete, false, 0, orb, sense)
    };
    let mut group = criterion.benchmark_group("wire/status block");
    for (name, sense) in [("good", &[][..]), ("sense", &sense[..])] {
        group.bench_function(format!("build, {name}"), |bencher| {
            bencher.iter(|| block(black_box(sense)).to_bytes());
        });
        let bytes = block(sense).to_bytes();
        group.bench_function(format!("parse, {name}"), |bencher| {
            bencher.iter(|| {
                let block = StatusBlock::parse(black_box(&bytes)).ok()?;
                Completion::from_status_block(&block.command_set_dependent).ok()
            });
        });
    }
    group.finish();
}

fn page_tables(criterion: &mut Criterion) {
    let base = Address::new(0x1_0000_4000);
    criterion.bench_function("wire/page table of 16 MiB", |bencher| {
        bencher.iter(|| {
            let table: Vec<_> = PageTableEntry::segments(base, black_box(16 << 20)).collect();
            table
        });
    });
}

criterion_group!(benches, command_orbs, status_blocks, page_tables);
criterion_main!(benches);
