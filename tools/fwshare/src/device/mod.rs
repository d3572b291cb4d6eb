//! From nodes to logical units, and how the user names one.

mod pick;
mod target_spec;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use ohci_raw::config_rom::ConfigRom;
use ohci_raw::port::Node;
use sbp2::scsi::DeviceType;
use sbp2::unit::{self, LogicalUnit, Unit};

pub(crate) use self::pick::{controller, logical_unit, node};
pub(crate) use self::target_spec::{TargetSpec, guid_digits, is_node_path};
use crate::bus::Bus;
use crate::error::Failure;
use crate::session::Target;

/// What Linux assumes of a controller that does not say: 512 bytes, which all can.
const LOWEST_MAX_REC: u8 = 8;

/// A node, and what its ROM says.
pub(crate) struct Found {
    /// Which of the buses it is on.
    pub(crate) bus: usize,
    /// The name of the controller through which it is seen.
    pub(crate) controller: String,
    /// That controller's max_rec.
    host_max_rec: u8,
    /// Its file, unless the bus is emulated.
    path: Option<PathBuf>,
    pub(crate) node: Node,
    /// `None` for a ROM without a bus information block.
    pub(crate) rom: Option<ConfigRom>,
    /// Its SBP-2 units.
    pub(crate) units: Vec<Unit>,
}

/// Every node of these buses.
pub(crate) fn survey(buses: &mut [Bus]) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for (index, bus) in buses.iter_mut().enumerate() {
        let nodes = bus.nodes()?;
        let local = nodes.iter().find(|node| node.is_local);
        let controller = local.map_or_else(String::new, |node| node.name.clone());
        let options = local.and_then(|node| read(node)?.bus_options);
        let host_max_rec = options.map_or(LOWEST_MAX_REC, |options| options.max_rec);
        for node in nodes {
            let rom = read(&node);
            found.push(Found {
                bus: index,
                controller: controller.clone(),
                host_max_rec,
                path: bus.folder().map(|folder| folder.join(&node.name)),
                units: rom.as_ref().map(unit::units).unwrap_or_default(),
                rom,
                node,
            });
        }
    }
    Ok(found)
}

fn read(node: &Node) -> Option<ConfigRom> {
    let quadlets: Vec<_> = node.rom.iter().copied().map(Some).collect();
    ConfigRom::read(&quadlets).ok()
}

/// A logical unit of a node.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) found: &'a Found,
    pub(crate) unit: &'a Unit,
    pub(crate) logical: LogicalUnit,
}

impl Found {
    /// The most bytes in a packet that the controller through which it is seen can receive.
    pub(crate) const fn host_max_payload(&self) -> usize {
        2 << self.host_max_rec
    }

    /// Its logical units, in the ROM's order and each once.
    pub(crate) fn places(&self) -> Vec<Place<'_>> {
        let mut places: Vec<Place<'_>> = Vec::new();
        for unit in &self.units {
            for logical in &unit.logical_units {
                let again = places
                    .iter()
                    .any(|place| place.unit.offset == unit.offset && place.lun() == logical.lun);
                if !again {
                    places.push(Place {
                        found: self,
                        unit,
                        logical: *logical,
                    });
                }
            }
        }
        places
    }

    /// The vendor's name, if its ROM has one.
    pub(crate) fn vendor(&self) -> Option<String> {
        tidy(self.rom.as_ref()?.vendor_text())
    }

    /// The model's name, from its unit if that has one.
    pub(crate) fn model(&self) -> Option<String> {
        let unit = self.units.first().and_then(|unit| unit.model_text.clone());
        tidy(unit).or_else(|| tidy(self.rom.as_ref()?.model_text()))
    }

    /// Vendor and model, as far as there are any.
    pub(crate) fn texts(&self) -> String {
        let texts = [self.vendor(), self.model()].into_iter().flatten();
        texts.collect::<Vec<_>>().join(", ")
    }
}

/// A text without the blanks around it, unless nothing is left.
fn tidy(text: Option<String>) -> Option<String> {
    let text = text?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

impl Place<'_> {
    pub(crate) const fn lun(&self) -> u16 {
        self.logical.lun
    }

    pub(crate) const fn device_type(&self) -> DeviceType {
        DeviceType(self.logical.device_type)
    }

    /// How to name it on the command line.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.found.node.eui64, self.lun())
    }

    /// The bridge behind it, if its ROM tells.
    pub(crate) fn bridge(&self) -> Option<&'static str> {
        unit::bridge_name(self.found.rom.as_ref()?, self.unit)
    }

    /// What a session has to know of it.
    pub(crate) fn target(&self) -> Target {
        Target {
            eui64: self.found.node.eui64,
            unit: self.unit.clone(),
            lun: self.lun(),
            speed: self.found.node.speed,
            host_max_rec: self.found.host_max_rec,
        }
    }

    /// How to tell it from others in an error.
    fn described(&self) -> String {
        let texts = self.found.texts();
        let space = if texts.is_empty() { "" } else { ", " };
        format!(
            "{} ({}, {}{space}{texts})",
            self.name(),
            self.found.node.name,
            self.device_type().name(),
        )
    }
}
