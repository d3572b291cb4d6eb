//! From nodes to logical units, and how the user names one.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use ohci_raw::bus::Eui64;
use ohci_raw::config_rom::ConfigRom;
use ohci_raw::port::Node;
use sbp2::scsi::DeviceType;
use sbp2::unit::{self, LogicalUnit, Unit};

use crate::bus::{self, Bus, BusSpec};
use crate::error::{Exit, Failure};
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

/// A device as the user names it: `GUID[:LUN]`, `fwN[:LUN]` or `/dev/fwN[:LUN]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TargetSpec {
    text: String,
    device: Device,
    lun: Option<u16>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Device {
    /// The first digits of a GUID, in lower case.
    Guid(String),
    Node(String),
    Path(PathBuf),
}

/// Text that names no device.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ParseTargetError {
    #[error(
        "\"{0}\" is no device: write the first digits of its GUID, up to 16 hexadecimal ones, or /dev/fwN"
    )]
    Device(String),
    #[error("\"{0}\" is no logical unit number: write 0 to 65535 behind the colon")]
    Lun(String),
}

impl FromStr for TargetSpec {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, lun) = match text.rsplit_once(':') {
            Some((name, lun)) => (name, Some(parse_lun(lun)?)),
            None => (text, None),
        };
        let device = if is_node_name(name) {
            Device::Node(name.to_owned())
        } else if name.contains('/') {
            Device::Path(name.into())
        } else {
            let digits = ["0x", "0X", "eui."]
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix))
                .unwrap_or(name);
            let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !hexadecimal || !(1..=16).contains(&digits.len()) {
                return Err(ParseTargetError::Device(name.to_owned()));
            }
            Device::Guid(digits.to_ascii_lowercase())
        };
        Ok(Self {
            text: text.to_owned(),
            device,
            lun,
        })
    }
}

fn parse_lun(text: &str) -> Result<u16, ParseTargetError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| ParseTargetError::Lun(text.to_owned()))
}

/// Whether this is `fw` and a number.
pub(crate) fn is_node_name(text: &str) -> bool {
    text.strip_prefix("fw")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

impl TargetSpec {
    fn matches(&self, found: &Found) -> bool {
        match &self.device {
            Device::Guid(digits) => found.node.eui64.to_string().starts_with(digits),
            Device::Node(name) => found.node.name == *name,
            Device::Path(path) => found.path.as_deref() == Some(path),
        }
    }
}

/// The node that `spec` names.
pub(crate) fn node<'a>(
    found: &'a [Found],
    spec: &TargetSpec,
    bus: &BusSpec,
) -> Result<&'a Found, Failure> {
    let named: Vec<_> = found.iter().filter(|found| spec.matches(found)).collect();
    match named[..] {
        [one] => Ok(one),
        [] => {
            let message = format!("no device {} is on {bus}", spec.text);
            Err(with_list(
                Failure::new(Exit::NoSuchDevice, message),
                "there is",
                found
                    .iter()
                    .filter(|found| !found.node.is_local)
                    .map(|found| {
                        format!(
                            "{} ({}, {})",
                            found.node.eui64,
                            found.node.name,
                            found.texts()
                        )
                    }),
            ))
        }
        _ => {
            let message = format!(
                "{} names {} devices on {bus}: give more digits, or the name of its node",
                spec.text,
                named.len()
            );
            Err(with_list(
                Failure::new(Exit::Usage, message),
                "it could be",
                named
                    .iter()
                    .map(|found| format!("{} ({})", found.node.eui64, found.node.name)),
            ))
        }
    }
}

/// The logical unit that `spec` names, or the only disk. It may be something else than a disk
/// only if it is named with its number.
pub(crate) fn logical_unit<'a>(
    found: &'a [Found],
    spec: Option<&TargetSpec>,
    bus: &BusSpec,
) -> Result<Place<'a>, Failure> {
    let (places, of) = match spec {
        Some(spec) => {
            let node = node(found, spec, bus)?;
            (node.places(), format!("{} on {bus}", spec.text))
        }
        None => (
            found.iter().flat_map(Found::places).collect(),
            bus.to_string(),
        ),
    };
    let lun = spec.and_then(|spec| spec.lun);
    let wanted = |place: &&Place<'_>| match lun {
        Some(lun) => place.lun() == lun,
        None => place.device_type().is_disk(),
    };
    let candidates: Vec<_> = places.iter().filter(wanted).copied().collect();
    let described = |places: &[Place<'_>]| places.iter().map(Place::described).collect::<Vec<_>>();
    match candidates[..] {
        [place] => {
            check_guid(found, place)?;
            Ok(place)
        }
        [] if spec.is_none() && places.is_empty() => Err(bus::nothing_found(bus)),
        [] => {
            let what = match lun {
                Some(_) => "has no such logical unit",
                None if spec.is_some() => "has no disk",
                None => "has nothing that is a disk",
            };
            let exit = match spec {
                Some(_) => Exit::NoSuchDevice,
                None => Exit::NothingFound,
            };
            let failure = Failure::new(exit, format!("{of} {what}"));
            Err(with_list(failure, "it has", described(&places)))
        }
        _ => {
            let message = format!("there are {} disks on {of}: name one", candidates.len());
            Err(with_list(
                Failure::new(Exit::Usage, message),
                "there is",
                described(&candidates),
            ))
        }
    }
}

/// A login belongs to a GUID and finds its node by it after every bus reset. Where two nodes have
/// the same, it could go on with the other one's disk.
fn check_guid(found: &[Found], place: Place<'_>) -> Result<(), Failure> {
    let guid: Eui64 = place.found.node.eui64;
    let same = found
        .iter()
        .filter(|other| other.bus == place.found.bus && other.node.eui64 == guid);
    let names: Vec<_> = same.map(|found| found.node.name.as_str()).collect();
    if names.len() < 2 {
        return Ok(());
    }
    let message = format!(
        "the nodes {} all have the GUID {guid}: after a bus reset they could not be told apart",
        names.join(", "),
    );
    Err(Failure::new(Exit::Error, message)
        .advise("put them on different controllers, or unplug all but one"))
}

fn with_list(failure: Failure, title: &str, lines: impl IntoIterator<Item = String>) -> Failure {
    let lines: Vec<_> = lines.into_iter().collect();
    if lines.is_empty() {
        failure
    } else {
        failure.advise(format!("{title}:\n  {}", lines.join("\n  ")))
    }
}

/// Whether `text` is the path of a node of this bus.
pub(crate) fn is_node_path(text: &str, bus: &BusSpec) -> bool {
    let path = text.rsplit_once(':').map_or(text, |(path, _)| path);
    let path = Path::new(path);
    let name = path.file_name().and_then(|name| name.to_str());
    match bus {
        BusSpec::Folder(folder) => {
            name.is_some_and(is_node_name) && path.parent() == Some(folder.as_path())
        }
        BusSpec::Emulated(_) => false,
    }
}
