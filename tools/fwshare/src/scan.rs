//! `fwshare scan`: what is on the bus.

use serde::Serialize;

use crate::bus::{self, Taping};
use crate::cli::ScanArgs;
use crate::company::Company;
use crate::device::{self, Found, Place};
use crate::error::Failure;
use crate::kernel_driver::{Bound, Sysfs};
use crate::output::{self, Table};
use crate::session;

pub(crate) fn run(args: &ScanArgs, taping: &Taping) -> Result<(), Failure> {
    let mut buses = bus::open(&args.bus.bus, taping)?;
    let found = device::survey(&mut buses)?;
    let sysfs = Sysfs::of(&args.bus.bus, args.sysfs.sysfs.as_deref());
    let mut nodes = Vec::new();
    for node in &found {
        let mut units = Vec::new();
        for place in node.places() {
            // What this host serves itself cannot be asked from here.
            let ask = !args.no_query && !node.node.is_local;
            let logins = ask.then(|| {
                let bus = &mut buses[node.bus];
                let company = Company::join(bus.take_others(), &place);
                let logins = session::query_logins(bus.port(), &place.target());
                company.leave();
                logins
            });
            units.push(LogicalUnit::new(&place, logins));
        }
        let bound = sysfs.as_ref().map(|sysfs| sysfs.bound(&node.node.name));
        let bound = bound
            .unwrap_or_default()
            .iter()
            .map(Bound::described)
            .collect();
        nodes.push(Node::new(node, units, bound));
    }
    let empty = nodes.iter().all(|node| node.logical_units.is_empty());
    if args.json {
        output::print_json(&Scan {
            schema: 1,
            nodes: &nodes,
        })?;
    } else {
        output::print(&table(&nodes))?;
    }
    if empty {
        return Err(bus::nothing_found(&args.bus.bus).with_data_shown());
    }
    Ok(())
}

#[derive(Serialize)]
struct Scan<'a> {
    schema: u32,
    nodes: &'a [Node],
}

#[derive(Serialize)]
struct Node {
    /// `fw1`; with the name of the controller's own node, by which nodes of one bus are told.
    node: String,
    controller: String,
    id: String,
    generation: u32,
    guid: String,
    this_host: bool,
    speed: String,
    vendor_id: Option<String>,
    vendor: Option<String>,
    model: Option<String>,
    logical_units: Vec<LogicalUnit>,
    /// Units that the kernel's driver has, and the disks that it has made of them.
    kernel_driver: Vec<String>,
    #[serde(skip)]
    texts: String,
}

#[derive(Serialize)]
struct LogicalUnit {
    target: String,
    lun: u16,
    device_type: u8,
    device_type_name: &'static str,
    bridge: Option<&'static str>,
    firmware_revision: Option<String>,
    logins: Option<Logins>,
    /// Why `logins` is null, if they were asked for.
    logins_error: Option<String>,
}

#[derive(Serialize)]
struct Logins {
    active: usize,
    max: u16,
}

impl Node {
    fn new(found: &Found, logical_units: Vec<LogicalUnit>, kernel_driver: Vec<String>) -> Self {
        let rom = found.rom.as_ref();
        Self {
            node: found.node.name.clone(),
            controller: found.controller.clone(),
            id: format!("0x{}", found.node.id),
            generation: found.node.generation.0,
            guid: found.node.eui64.to_string(),
            this_host: found.node.is_local,
            speed: found.node.speed.to_string(),
            vendor_id: rom.and_then(|rom| rom.vendor_id()).map(id24),
            vendor: found.vendor(),
            model: found.model(),
            logical_units,
            kernel_driver,
            texts: found.texts(),
        }
    }
}

impl LogicalUnit {
    fn new(
        place: &Place<'_>,
        logins: Option<Result<sbp2::initiator::Logins, session::SessionError>>,
    ) -> Self {
        let (logins, error) = match logins {
            None => (None, None),
            Some(Ok(logins)) => (Some(logins), None),
            Some(Err(error)) => {
                tracing::info!("{} does not tell who is logged in: {error}", place.name());
                (None, Some(error.to_string()))
            }
        };
        Self {
            target: place.name(),
            lun: place.lun(),
            device_type: place.device_type().0,
            device_type_name: place.device_type().name(),
            bridge: place.bridge(),
            firmware_revision: place.unit.firmware_revision.map(id24),
            logins: logins.map(|logins| Logins {
                active: logins.active,
                max: logins.max,
            }),
            logins_error: error,
        }
    }
}

/// A number of 24 bits as ROMs have them.
pub(crate) fn id24(number: u32) -> String {
    format!("{number:#08x}")
}

fn table(nodes: &[Node]) -> String {
    let mut table = Table::new([
        "TARGET", "TYPE", "SPEED", "LOGINS", "NODE", "ID", "FIRMWARE",
    ]);
    for node in nodes {
        let line = |target: &str, kind: &str, logins: String, firmware: Option<&str>| {
            [
                target.to_owned(),
                kind.to_owned(),
                node.speed.clone(),
                logins,
                node.node.clone(),
                node.id.trim_start_matches("0x").to_owned(),
                firmware.unwrap_or("-").to_owned(),
            ]
        };
        if node.logical_units.is_empty() {
            let kind = if node.this_host {
                "this host"
            } else {
                "not an SBP-2 device"
            };
            table.row(line(&node.guid, kind, "-".into(), None));
        }
        for unit in &node.logical_units {
            let logins = match &unit.logins {
                Some(logins) => format!("{} of {}", logins.active, logins.max),
                None => "-".into(),
            };
            let firmware = unit.firmware_revision.as_deref();
            table.row(line(&unit.target, unit.device_type_name, logins, firmware));
        }
        let bridge = node.logical_units.iter().find_map(|unit| unit.bridge);
        table.note(match bridge {
            Some(bridge) => format!("{} (bridge: {bridge})", node.texts),
            None => node.texts.clone(),
        });
        for bound in &node.kernel_driver {
            table.note(bound.clone());
        }
    }
    table.render()
}
