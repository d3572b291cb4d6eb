//! The JSON object of `fwshare rom --json`.
//!
//! - What the ROM holds as an id, a key, a value or a CRC is a string of hexadecimal digits after
//!   `0x`: 6 digits for a 24-bit value, 4 for a CRC, 2 for a key (type and id in one byte, as in
//!   `"0xd1"`). The GUID is 16 digits without `0x`, as devices are named on the command line.
//! - Places are strings too, in bytes from the start of register space, `ffff f000 0000`, with as
//!   many digits as they need: the ROM starts at `"0x400"`. `management_agent_offset` is such a
//!   place; `management_agent_address` is the full one.
//! - What counts is a number, what is yes or no is a boolean, and what the ROM does not have is
//!   null. Every field is always there.
//! - `max_rec_bytes` is null where `max_rec` is 0, "not specified", or reserved (14 and 15).
//! - `header_crc.computed` and the `ok`s are null where quadlets are missing.
//! - A directory that several entries lead to is nested under the first of them; at the others
//!   `directory` is null and `target` says where to look.
//! - `model_id` is the root directory's or else, as in old video cameras, the vendor directory's.
//!   `texts` are those of the directory's own descriptors. Bytes that are no printable ASCII are
//!   U+FFFD. A text of which a part is missing is left out, with a warning.
//! - `units` has every unit directory; `sbp2` is null for those of other protocols.
//! - `max_reconnect_hold_s` is the number in the ROM. Linux's target means seconds by it.

use ohci_raw::config_rom::{BusOptions, ConfigRom, Directory, Entry, Form, Key, Target};
use sbp2::unit::{LogicalUnit, Unit};
use serde::Serialize;

/// The object.
#[derive(Serialize)]
pub(super) struct Rom {
    schema: u32,
    guid: Option<String>,
    bus_options: Option<JsonBusOptions>,
    header_crc: Option<JsonCrc>,
    root_directory: Option<JsonDirectory>,
    vendor_id: Option<String>,
    model_id: Option<String>,
    hw_version: Option<String>,
    node_capabilities: Option<String>,
    texts: Vec<String>,
    units: Vec<JsonUnit>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct JsonBusOptions {
    irmc: bool,
    cmc: bool,
    isc: bool,
    bmc: bool,
    pmc: bool,
    cyc_clk_acc: u8,
    max_rec: u8,
    max_rec_bytes: Option<u32>,
    max_rom: u8,
    generation: u8,
    link_spd: u8,
}

#[derive(Serialize)]
struct JsonCrc {
    stored: String,
    computed: Option<String>,
    ok: Option<bool>,
}

#[derive(Serialize)]
struct JsonDirectory {
    offset: String,
    length: u16,
    crc_ok: Option<bool>,
    entries: Vec<JsonEntry>,
}

#[derive(Serialize)]
struct JsonEntry {
    at: String,
    key: String,
    value: String,
    target: Option<String>,
    directory: Option<JsonDirectory>,
}

#[derive(Serialize)]
struct JsonUnit {
    offset: String,
    specifier_id: Option<String>,
    version: Option<String>,
    model_id: Option<String>,
    texts: Vec<String>,
    crc_ok: Option<bool>,
    sbp2: Option<JsonSbp2>,
}

#[derive(Serialize)]
struct JsonSbp2 {
    management_agent_offset: Option<String>,
    management_agent_address: Option<String>,
    firmware_revision: Option<String>,
    mgt_orb_timeout_ms: Option<u128>,
    orb_size_quadlets: Option<u8>,
    command_set_spec_id: Option<String>,
    command_set: Option<String>,
    max_reconnect_hold_s: Option<u16>,
    logical_units: Vec<JsonLogicalUnit>,
}

#[derive(Serialize)]
struct JsonLogicalUnit {
    lun: u16,
    device_type: u8,
    ordered: bool,
}

/// An id or another value of 24 bits.
fn id(value: u32) -> String {
    format!("0x{value:06x}")
}

fn crc(value: u16) -> String {
    format!("0x{value:04x}")
}

impl Rom {
    /// What the object says of `rom`; `warnings` are those to be listed.
    pub(super) fn new(rom: &ConfigRom, warnings: Vec<String>) -> Self {
        let root = rom.root();
        let value = |key| root.and_then(|root| root.value(key)).map(id);
        Self {
            schema: 1,
            guid: rom.guid.map(|guid| guid.to_string()),
            bus_options: rom.bus_options.map(JsonBusOptions::from),
            header_crc: (rom.form == Form::General).then(|| JsonCrc {
                stored: crc(rom.header_crc.stored),
                computed: rom.header_crc.computed.map(crc),
                ok: rom.header_crc.ok(),
            }),
            root_directory: root.map(|root| directory(rom, root)),
            vendor_id: rom.vendor_id().map(id),
            model_id: rom.model_id().map(id),
            hw_version: value(Key::HARDWARE_VERSION),
            node_capabilities: value(Key::NODE_CAPABILITIES),
            texts: root.map(|root| rom.texts_of(root)).unwrap_or_default(),
            units: rom.unit_directories().map(|d| unit(rom, d)).collect(),
            warnings,
        }
    }
}

impl From<BusOptions> for JsonBusOptions {
    fn from(options: BusOptions) -> Self {
        Self {
            irmc: options.irmc,
            cmc: options.cmc,
            isc: options.isc,
            bmc: options.bmc,
            pmc: options.pmc,
            cyc_clk_acc: options.cyc_clk_acc,
            max_rec: options.max_rec,
            max_rec_bytes: options.max_rec_bytes(),
            max_rom: options.max_rom,
            generation: options.generation,
            link_spd: options.link_spd,
        }
    }
}

/// The reader bounds how deep directories nest.
fn directory(rom: &ConfigRom, directory: &Directory) -> JsonDirectory {
    JsonDirectory {
        offset: directory.offset.to_string(),
        length: directory.length,
        crc_ok: directory.crc.ok(),
        entries: directory.entries.iter().map(|e| entry(rom, e)).collect(),
    }
}

fn entry(rom: &ConfigRom, entry: &Entry) -> JsonEntry {
    let nested = rom.directory_of(entry);
    let target = match &entry.target {
        Target::Immediate => None,
        Target::Register(offset) | Target::Unread(offset) => Some(*offset),
        Target::Leaf(leaf) => Some(leaf.offset),
        Target::Directory(_) => nested.map(|nested| nested.offset),
    };
    JsonEntry {
        at: entry.offset.to_string(),
        key: format!("0x{}", entry.key),
        value: id(entry.value),
        target: target.map(|offset| offset.to_string()),
        directory: nested
            .filter(|nested| nested.reached_by == Some(entry.offset))
            .map(|nested| directory(rom, nested)),
    }
}

fn unit(rom: &ConfigRom, directory: &Directory) -> JsonUnit {
    let value = |key| directory.value(key).map(id);
    JsonUnit {
        offset: directory.offset.to_string(),
        specifier_id: value(Key::SPECIFIER_ID),
        version: value(Key::VERSION),
        model_id: value(Key::MODEL),
        texts: rom.texts_of(directory),
        crc_ok: directory.crc.ok(),
        sbp2: Unit::read(rom, directory).map(JsonSbp2::from),
    }
}

impl From<Unit> for JsonSbp2 {
    fn from(unit: Unit) -> Self {
        Self {
            management_agent_offset: unit.management_agent_offset.map(|o| o.to_string()),
            management_agent_address: unit.management_agent().map(|a| format!("0x{a}")),
            firmware_revision: unit.firmware_revision.map(id),
            mgt_orb_timeout_ms: unit.mgt_orb_timeout.map(|timeout| timeout.as_millis()),
            orb_size_quadlets: unit.orb_size_quadlets,
            command_set_spec_id: unit.command_set_spec_id.map(id),
            command_set: unit.command_set.map(id),
            max_reconnect_hold_s: unit.max_reconnect_hold,
            logical_units: unit.logical_units.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<LogicalUnit> for JsonLogicalUnit {
    fn from(unit: LogicalUnit) -> Self {
        Self {
            lun: unit.lun,
            device_type: unit.device_type,
            ordered: unit.ordered,
        }
    }
}
