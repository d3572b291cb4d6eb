//! From a name to the one device that it means.

use ohci_raw::bus::Eui64;

use super::{Found, Place, TargetSpec};
use crate::bus::{self, BusSpec};
use crate::error::{Exit, Failure};

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

/// The controller of this host that `spec` names, or the only one.
pub(crate) fn controller<'a>(
    found: &'a [Found],
    spec: Option<&TargetSpec>,
    bus: &BusSpec,
) -> Result<&'a Found, Failure> {
    let own = || found.iter().filter(|found| found.node.is_local);
    let list = |failure| {
        let lines = own().map(|found| format!("{} ({})", found.node.eui64, found.node.name));
        with_list(failure, "there is", lines)
    };
    let Some(spec) = spec else {
        let mut controllers = own();
        return match (controllers.next(), controllers.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(Failure::new(
                Exit::NothingFound,
                format!("this host has no controller of its own on {bus}"),
            )),
            (Some(_), Some(_)) => Err(list(Failure::new(
                Exit::Usage,
                format!(
                    "this host has {} controllers on {bus}: name one with --host",
                    own().count()
                ),
            ))),
        };
    };
    let named: Vec<_> = own().filter(|found| spec.matches(found)).collect();
    match named[..] {
        [one] => Ok(one),
        [] if found.iter().any(|found| spec.matches(found)) => Err(list(Failure::new(
            Exit::NoSuchDevice,
            format!(
                "{} is another node of the bus, and no controller of this host",
                spec.text
            ),
        ))),
        [] => Err(list(Failure::new(
            Exit::NoSuchDevice,
            format!("this host has no controller {} on {bus}", spec.text),
        ))),
        _ => Err(list(Failure::new(
            Exit::Usage,
            format!(
                "{} names {} controllers: give more digits",
                spec.text,
                named.len()
            ),
        ))),
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
            // What this host serves itself is for others.
            found
                .iter()
                .filter(|found| !found.node.is_local)
                .flat_map(Found::places)
                .collect(),
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
