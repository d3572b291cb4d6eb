//! `fwshare rom`: a file's ROM, or that of a node.

use std::io;
use std::path::Path;

use crate::bus::{self, BusSpec, Taping};
use crate::cli::RomVerbArgs;
use crate::device::{self, TargetSpec};
use crate::error::{Exit, Failure};
use crate::rom;

pub(crate) fn run(args: &RomVerbArgs, taping: &Taping) -> Result<(), Failure> {
    let (source, bus) = (&args.rom.source, &args.bus.bus);
    let mut out = io::stdout().lock();
    if source == "-" || is_file(source, bus) {
        return Ok(rom::run(&args.rom, &mut out)?);
    }
    let target: TargetSpec = source.parse().map_err(|error| {
        let message = format!("no ROM: there is no file {source:?}, and {error}");
        Failure::new(Exit::Error, message)
    })?;
    let mut buses = bus::open(bus, taping).map_err(|failure| {
        failure.advise(format!(
            "there is no file {source:?} here, so a device was looked for"
        ))
    })?;
    let found = device::survey(&mut buses)?;
    let node = &device::node(&found, &target, bus)?.node;
    let quadlets: Vec<_> = node.rom.iter().copied().map(Some).collect();
    Ok(rom::show(&quadlets, &[], args.rom.json, &mut out)?)
}

/// Whether `source` is a file with a ROM in it, rather than a node of the bus.
fn is_file(source: &str, bus: &BusSpec) -> bool {
    !device::is_node_path(source, bus) && Path::new(source).exists()
}
