use std::path::Path;

use ohci_raw::bus::{Eui64, Generation, NodeId, Speed};
use ohci_raw::config_rom::{Builder, BusOptions, DirectoryBuilder, Key};
use sbp2::unit::key;

use super::*;
use crate::bus::BusSpec;

/// A node with logical units of these numbers and device types.
fn found(name: &str, guid: u64, logical_units: &[(u16, u8)]) -> Found {
    let mut directory = DirectoryBuilder::new()
        .immediate(Key::SPECIFIER_ID, unit::SPECIFIER_ID)
        .immediate(Key::VERSION, unit::VERSION)
        .register(key::MANAGEMENT_AGENT, 0xc000);
    for (lun, kind) in logical_units {
        let value = u32::from(*kind) << 16 | u32::from(*lun);
        directory = directory.immediate(key::LOGICAL_UNIT_NUMBER, value);
    }
    let root = DirectoryBuilder::new().directory(Key::UNIT_DIRECTORY, directory);
    let rom = Builder::new(BusOptions::default(), Eui64(guid), root);
    let node = Node {
        name: name.to_owned(),
        id: NodeId(0xffc0),
        generation: Generation(1),
        eui64: Eui64(guid),
        speed: Speed::S400,
        is_local: false,
        rom: rom.build().unwrap(),
    };
    let rom = read(&node);
    Found {
        bus: 0,
        controller: "fw0".to_owned(),
        host_max_rec: LOWEST_MAX_REC,
        path: Some(Path::new("/dev").join(name)),
        units: rom.as_ref().map(unit::units).unwrap_or_default(),
        rom,
        node,
    }
}

fn bus() -> BusSpec {
    BusSpec::Folder("/dev".into())
}

/// Which logical unit is meant, or the exit code.
fn pick(found: &[Found], text: &str) -> Result<String, u8> {
    let spec: Option<TargetSpec> = (!text.is_empty()).then(|| text.parse().unwrap());
    logical_unit(found, spec.as_ref(), &bus())
        .map(|place| format!("{}:{}", place.found.node.name, place.lun()))
        .map_err(|failure| failure.code())
}

#[test]
fn what_names_no_device_is_refused() {
    use super::target_spec::ParseTargetError as E;
    let error = |text: &str| text.parse::<TargetSpec>().unwrap_err();
    for text in [
        "",
        "0x",
        "eui.",
        "fw",
        "xyz",
        "+1",
        "00301234567890123",
        "fw1 ",
    ] {
        assert_eq!(error(text), E::Device(text.into()));
    }
    for lun in ["", "+1", "-1", "x", "65536", "0x1"] {
        assert_eq!(error(&format!("0030:{lun}")), E::Lun(lun.into()));
    }
}

#[test]
fn a_device_goes_by_its_guid_its_name_and_its_path() {
    let disks = [
        found("fw1", 0x0010_1003_aabb_0001, &[(0, 0x0e)]),
        found("fw10", 0x0010_1004_aabb_0001, &[(0, 0x00)]),
    ];
    for text in [
        "00101003",
        "0x00101003",
        "eui.00101003aabb0001",
        "00101003AABB0001:0",
        "fw1",
        "fw1:0",
        "/dev/fw1",
        "/dev/fw1:0",
    ] {
        assert_eq!(pick(&disks, text), Ok("fw1:0".to_owned()), "{text}");
    }
    // No prefix of a name is one, and the folder counts.
    for text in ["fw2", "/tmp/fw1", "101003", "fw1:1"] {
        assert_eq!(pick(&disks, text), Err(3), "{text}");
    }
    assert_eq!(pick(&disks, "0010"), Err(2));
    assert_eq!(pick(&disks, ""), Err(2));
}

#[test]
fn only_a_disk_is_meant_without_a_number_and_anything_with_one() {
    let drive = found("fw1", 1, &[(0, 0x05), (1, 0x00), (1, 0x00)]);
    assert_eq!(pick(&[drive], ""), Ok("fw1:1".to_owned()));
    let drive = found("fw1", 1, &[(0, 0x05)]);
    assert_eq!(pick(std::slice::from_ref(&drive), ""), Err(21));
    assert_eq!(pick(std::slice::from_ref(&drive), "fw1"), Err(3));
    assert_eq!(pick(&[drive], "fw1:0"), Ok("fw1:0".to_owned()));
    let two = found("fw1", 1, &[(0, 0x00), (1, 0x00)]);
    assert_eq!(pick(&[two], "fw1"), Err(2));
    assert_eq!(pick(&[], ""), Err(21));
}

#[test]
fn two_nodes_of_one_bus_with_the_same_guid_are_not_logged_in_to() {
    let twins = || [("fw1", 7), ("fw2", 7)].map(|(name, guid)| found(name, guid, &[(0, 0)]));
    assert_eq!(pick(&twins(), "fw1"), Err(1));
    let mut apart = twins();
    apart[1].bus = 1;
    assert_eq!(pick(&apart, "fw1"), Ok("fw1:0".to_owned()));
    assert_eq!(pick(&apart, "0000"), Err(2));
}

#[test]
fn only_what_lies_in_the_folder_of_the_bus_is_the_path_of_a_node() {
    for (text, is) in [
        ("/dev/fw1", true),
        ("/dev/fw1:0", true),
        ("/dev/sda", false),
        ("fw1", false),
        ("/tmp/fw1", false),
    ] {
        assert_eq!(is_node_path(text, &bus()), is, "{text}");
    }
}
