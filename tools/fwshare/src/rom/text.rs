//! A configuration ROM for reading.

use std::fmt::Write as _;

use ohci_raw::config_rom::{
    BusOptions, ConfigRom, Crc, Directory, Entry, Form, Key, KeyType, Leaf, Target,
};
use sbp2::unit::{self, LogicalUnit, Unit};

/// Everything in `rom`, one fact to a line, and what is odd about it.
pub(super) fn rom(rom: &ConfigRom, warnings: &[String]) -> String {
    let mut lines = Lines::default();
    node(&mut lines, rom);
    if let Some(root) = rom.root() {
        let state = directory_state(root);
        lines.push(0, &format!("root directory at {}, {state}", root.offset));
        entries(&mut lines, 1, rom, root, false);
    }
    for directory in rom.unit_directories() {
        match Unit::read(rom, directory) {
            Some(unit) => sbp2_unit(&mut lines, rom, &unit),
            None => other_unit(&mut lines, rom, directory),
        }
    }
    if !warnings.is_empty() {
        lines.push(0, "warnings");
    }
    for warning in warnings {
        lines.push(1, warning);
    }
    lines.text
}

#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn push(&mut self, indent: usize, line: &str) {
        let indent = "  ".repeat(indent);
        self.text += indent.as_str();
        self.text += line;
        self.text.push('\n');
    }

    /// A name and what there is to say; nothing where there is nothing.
    fn fact(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.push(1, &format!("{name:<20}{}", value.as_ref()));
        }
    }
}

fn id(value: u32) -> String {
    format!("0x{value:06x}")
}

/// An id and the name that the ROM gives it.
fn named(value: Option<u32>, text: Option<String>) -> Option<String> {
    match (value.map(id), text) {
        (Some(id), Some(text)) => Some(format!("{id} {text:?}")),
        (id, text) => id.or(text.map(|text| format!("{text:?}"))),
    }
}

fn node(lines: &mut Lines, rom: &ConfigRom) {
    let root = rom.root();
    let value = |key| root.and_then(|root| root.value(key)).map(id);
    if let Form::Minimal { vendor } = rom.form {
        let vendor = id(vendor);
        lines.push(0, &format!("minimal ROM: vendor {vendor} and nothing more"));
        return;
    }
    let guid = rom.guid.map(|guid| guid.to_string());
    let guid = guid.as_deref().unwrap_or("of unknown GUID");
    lines.push(0, &format!("node {guid}"));
    lines.fact("vendor", named(rom.vendor_id(), rom.vendor_text()));
    lines.fact("model", named(rom.model_id(), rom.model_text()));
    lines.fact("hardware version", value(Key::HARDWARE_VERSION));
    lines.fact("node capabilities", value(Key::NODE_CAPABILITIES));
    if let Some(options) = rom.bus_options {
        bus_options(lines, options);
    }
    let state = crc_state(rom.header_crc);
    let covered = rom.crc_length;
    lines.fact("header", Some(format!("{covered} quadlets, {state}")));
}

fn bus_options(lines: &mut Lines, options: BusOptions) {
    let roles = [
        (options.irmc, "isochronous resource manager"),
        (options.cmc, "cycle master"),
        (options.isc, "isochronous packets"),
        (options.bmc, "bus manager"),
        (options.pmc, "power manager"),
    ];
    let can: Vec<_> = roles.iter().filter(|r| r.0).map(|r| r.1).collect();
    let can = match &can[..] {
        [] => "no bus roles".to_owned(),
        can => can.join(", "),
    };
    lines.fact("capable of", Some(can));
    lines.fact("link speed", options.speed().map(|speed| speed.to_string()));
    let max_rec = match options.max_rec_bytes() {
        Some(bytes) => format!("{bytes} bytes (max_rec {})", options.max_rec),
        None => format!("not specified (max_rec {})", options.max_rec),
    };
    lines.fact("packets taken", Some(max_rec));
    let rest = format!(
        "max_rom {}, generation {}, cyc_clk_acc {}",
        options.max_rom, options.generation, options.cyc_clk_acc
    );
    lines.fact("bus options", Some(rest));
}

fn crc_state(crc: Crc) -> String {
    match crc.computed {
        None => format!("CRC {:04x} not checkable", crc.stored),
        Some(computed) if computed == crc.stored => format!("CRC {computed:04x} correct"),
        Some(computed) => format!("CRC {:04x} wrong, should be {computed:04x}", crc.stored),
    }
}

fn directory_state(directory: &Directory) -> String {
    let entries = match directory.length {
        1 => "1 entry".to_owned(),
        length => format!("{length} entries"),
    };
    format!("{entries}, {}", crc_state(directory.crc))
}

/// The entries of a directory, with the directories below it. The reader bounds the depth.
fn entries(lines: &mut Lines, indent: usize, rom: &ConfigRom, directory: &Directory, sbp2: bool) {
    for entry in &directory.entries {
        let name = if sbp2 {
            unit::key::name(entry.key)
        } else {
            entry.key.name()
        };
        let mut line = format!("{} {} ", entry.offset, entry.key);
        // Values stand under each other at every depth.
        let width = 36usize.saturating_sub(2 * indent + line.len());
        let name = match (entry.key.key_type(), name) {
            (KeyType::Leaf, Some(name)) => format!("{name} leaf"),
            (KeyType::Directory, Some(name)) if !name.ends_with("Directory") => {
                format!("{name} directory")
            }
            (_, Some(name)) => name.to_owned(),
            (key_type, None) => format!("{key_type:?} {:#04x}", entry.key.id()),
        };
        let what = entry_target(rom, entry);
        // Writing to a String cannot fail.
        let _ = write!(line, "{name:<width$} {what}");
        lines.push(indent, &line);
        if let Some(nested) = rom.directory_of(entry)
            && nested.reached_by == Some(entry.offset)
        {
            let sbp2 = sbp2 || Unit::read(rom, nested).is_some();
            entries(lines, indent + 1, rom, nested, sbp2);
        }
    }
}

fn entry_target(rom: &ConfigRom, entry: &Entry) -> String {
    match &entry.target {
        Target::Immediate => id(entry.value),
        Target::Register(offset) => format!("register {}", offset.address()),
        Target::Unread(offset) => format!("-> {offset}, not read"),
        Target::Leaf(leaf) => format!("-> {}, {}", leaf.offset, leaf_state(rom, entry, leaf)),
        Target::Directory(_) => match rom.directory_of(entry) {
            Some(nested) if nested.reached_by == Some(entry.offset) => {
                format!("-> {}, {}", nested.offset, directory_state(nested))
            }
            // Every directory but the root directory was reached by an entry.
            Some(Directory {
                offset,
                reached_by: Some(entry),
                ..
            }) => format!("-> {offset}, shown under {entry}"),
            _ => String::new(),
        },
    }
}

fn leaf_state(rom: &ConfigRom, entry: &Entry, leaf: &Leaf) -> String {
    let text = rom.texts_at(entry).pop().map(|text| format!("{text:?}"));
    let eui64 = (entry.key == Key::EUI64_LEAF).then(|| leaf.eui64());
    let eui64 = eui64.flatten().map(|id| id.to_string());
    let contents = text.or(eui64);
    let contents = contents.unwrap_or_else(|| format!("{} quadlets", leaf.length));
    format!("{contents}, {}", crc_state(leaf.crc))
}

fn sbp2_unit(lines: &mut Lines, rom: &ConfigRom, unit: &Unit) {
    lines.push(0, &format!("SBP-2 unit at {}", unit.offset));
    lines.fact("model", named(unit.model_id, unit.model_text.clone()));
    let bridge = unit::bridge_name(rom, unit).unwrap_or("unknown");
    lines.fact("bridge", Some(bridge));
    lines.fact("firmware revision", unit.firmware_revision.map(id));
    let agent = unit.management_agent().map(|address| address.to_string());
    let missing = || "missing: nobody can log in".to_owned();
    lines.fact("management agent", Some(agent.unwrap_or_else(missing)));
    let timeout = unit.mgt_orb_timeout;
    let timeout = timeout.map(|timeout| format!("{} s", timeout.as_secs_f32()));
    lines.fact("management timeout", timeout);
    let orb = unit.orb_size_quadlets;
    let orb = orb.map(|quadlets| format!("{} bytes", 4 * u32::from(quadlets)));
    lines.fact("command ORB", orb);
    let command_set = match (unit.command_set_spec_id, unit.command_set) {
        (Some(unit::SPECIFIER_ID), Some(unit::SCSI_COMMAND_SET)) => Some("SCSI".to_owned()),
        (spec, Some(set)) => {
            let spec = spec.map_or("nobody".to_owned(), id);
            Some(format!("{} by {spec}", id(set)))
        }
        (_, None) => None,
    };
    lines.fact("command set", command_set);
    let hold = unit.max_reconnect_hold;
    let hold = hold.map(|seconds| format!("{seconds} s at most"));
    lines.fact("reconnect hold", hold);
    let quirks = unit.quirks();
    lines.fact(
        "quirks",
        (!quirks.is_empty()).then(|| format!("{quirks:?}")),
    );
    for logical_unit in &unit.logical_units {
        let name = format!("LUN {}", logical_unit.lun);
        lines.fact(&name, Some(describe(logical_unit)));
    }
    if unit.logical_units.is_empty() {
        lines.fact("logical units", Some("none"));
    }
}

fn describe(unit: &LogicalUnit) -> String {
    let device = match unit.device_type {
        0x00 => "disk (SBC)",
        0x01 => "tape",
        0x02 => "printer",
        0x03 => "processor",
        0x04 => "write-once disk",
        0x05 => "CD or DVD drive",
        0x06 => "scanner",
        0x07 => "optical disk",
        0x08 => "medium changer",
        0x0e => "disk (RBC)",
        _ => "device",
    };
    let ordered = if unit.ordered { ", ordered" } else { "" };
    format!("{device}, type 0x{:02x}{ordered}", unit.device_type)
}

fn other_unit(lines: &mut Lines, rom: &ConfigRom, directory: &Directory) {
    lines.push(0, &format!("unit at {}, not SBP-2", directory.offset));
    let model = directory.value(Key::MODEL);
    let text = rom.text_for(directory, Key::MODEL);
    lines.fact("model", named(model, text));
    lines.fact("specifier", directory.value(Key::SPECIFIER_ID).map(id));
    lines.fact("version", directory.value(Key::VERSION).map(id));
}
