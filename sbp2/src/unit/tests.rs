use alloc::vec::Vec;

use ohci_raw::config_rom::image::Image;
use ohci_raw::config_rom::{Builder, BusOptions, DirectoryBuilder};

use super::*;

fn rom_of(unit: DirectoryBuilder) -> ConfigRom {
    let root = DirectoryBuilder::new().directory(Key::UNIT_DIRECTORY, unit);
    let quadlets = Builder::new(BusOptions::default(), Eui64(1), root).build();
    let known: Vec<_> = quadlets.unwrap().into_iter().map(Some).collect();
    ConfigRom::read(&known).unwrap()
}

fn sbp2() -> DirectoryBuilder {
    DirectoryBuilder::new()
        .immediate(Key::SPECIFIER_ID, SPECIFIER_ID)
        .immediate(Key::VERSION, VERSION)
}

fn unit_of(directory: DirectoryBuilder) -> Unit {
    units(&rom_of(directory)).remove(0)
}

#[test]
fn a_real_oxford_bridge_is_understood() {
    let file = include_bytes!("../../../fixtures/config-roms/sbp2-oxfw911-fw25-partial.txt");
    let rom = ConfigRom::read(&Image::parse(file).unwrap().quadlets).unwrap();
    let [unit] = &units(&rom)[..] else {
        panic!("one unit")
    };
    let scsi = (Some(SPECIFIER_ID), Some(SCSI_COMMAND_SET));
    let expected = Unit {
        offset: Offset::new(0x430),
        directory_id: 0x00_0430,
        management_agent_offset: Some(Offset::new(0x3_0000)),
        model_id: Some(1),
        model_text: None,
        texts: Vec::new(),
        firmware_revision: Some(0x25),
        mgt_orb_timeout: Some(Duration::from_secs(30)),
        orb_size_quadlets: Some(8),
        command_set_spec_id: scsi.0,
        command_set: scsi.1,
        max_reconnect_hold: Some(3),
        unique_id: None,
        logical_units: Vec::from([LogicalUnit {
            lun: 0,
            device_type: 5,
            ordered: true,
            command_set_spec_id: scsi.0,
            command_set: scsi.1,
        }]),
    };
    assert_eq!(unit, &expected);
    assert_eq!(
        unit.management_agent(),
        Some(Address::new(0xffff_f003_0000))
    );
    assert_eq!(unit.quirks(), Quirks::empty());
    assert_eq!(bridge_name(&rom, unit), Some("Oxford OXFW911"));
}

#[test]
fn a_unit_of_another_protocol_is_none_of_sbp2() {
    let other = DirectoryBuilder::new()
        .immediate(Key::SPECIFIER_ID, 0x00_a02d)
        .immediate(Key::VERSION, VERSION);
    assert_eq!(units(&rom_of(other)), []);
    let without_version = DirectoryBuilder::new().immediate(Key::SPECIFIER_ID, SPECIFIER_ID);
    assert_eq!(units(&rom_of(without_version)), []);
}

#[test]
fn logical_units_come_from_the_unit_directory_and_from_their_own() {
    let own = DirectoryBuilder::new()
        .immediate(key::COMMAND_SET, 0x00_0001)
        .immediate(key::LOGICAL_UNIT_NUMBER, 0x05_0001)
        .immediate(key::LOGICAL_UNIT_NUMBER, 0x4e_ffff);
    let unit = unit_of(
        sbp2()
            .immediate(key::COMMAND_SET_SPEC_ID, SPECIFIER_ID)
            .immediate(key::COMMAND_SET, SCSI_COMMAND_SET)
            .directory(key::LOGICAL_UNIT_DIRECTORY, own)
            .immediate(key::LOGICAL_UNIT_NUMBER, 0),
    );
    let luns = unit.logical_units.iter();
    let luns: Vec<_> = luns
        .map(|lu| (lu.lun, lu.device_type, lu.ordered, lu.command_set))
        .collect();
    let expected = [
        (1, 5, false, Some(1)),
        (0xffff, 0x0e, true, Some(1)),
        (0, 0, false, Some(SCSI_COMMAND_SET)),
    ];
    assert_eq!(luns, expected);
    let specs = unit.logical_units.iter().map(|lu| lu.command_set_spec_id);
    assert!(specs.eq([Some(SPECIFIER_ID); 3]));
}

#[test]
fn the_management_agent_shares_its_key_id_with_the_logical_unit_number() {
    let unit = unit_of(sbp2().register(key::MANAGEMENT_AGENT, 0x4000));
    assert_eq!(unit.management_agent_offset, Some(Offset::new(0x1_0000)));
    assert_eq!(unit.logical_units, []);
    let highest = unit_of(sbp2().register(key::MANAGEMENT_AGENT, 0xff_ffff));
    assert_eq!(
        highest.management_agent(),
        Some(Address::new(0xffff_f3ff_fffc))
    );
}

#[test]
fn a_text_after_the_model_is_the_models_name() {
    let directory = DirectoryBuilder::new().text("of the logical unit");
    let unit = unit_of(
        sbp2()
            .text("1.0")
            .immediate(Key::MODEL, 7)
            .text("Disk")
            .directory(key::LOGICAL_UNIT_DIRECTORY, directory),
    );
    assert_eq!(unit.model_text.as_deref(), Some("Disk"));
    assert_eq!(unit.texts, ["1.0", "Disk"]);
}

#[test]
fn what_an_old_bridge_leaves_out_is_assumed() {
    let unit = unit_of(sbp2());
    assert_eq!(unit.management_agent(), None);
    assert_eq!(unit.login_timeout(), Duration::from_secs(5));
    assert_eq!(unit.orb_bytes(), 36);
    assert_eq!(unit.quirks(), Quirks::empty());
}

#[test]
fn timeouts_and_orb_sizes_are_kept_within_reason() {
    let with = |value| unit_of(sbp2().immediate(key::UNIT_CHARACTERISTICS, value));
    assert_eq!(with(0x00_0000).login_timeout(), Duration::from_secs(5));
    assert_eq!(with(0x00_0b00).login_timeout(), Duration::from_millis(5500));
    assert_eq!(with(0xff_ffff).login_timeout(), Duration::from_secs(40));
    assert_eq!(with(0x00_0008).orb_bytes(), 36);
    assert_eq!(with(0x00_000a).orb_bytes(), 40);
    assert_eq!(with(0x00_00ff).orb_bytes(), 1020);
}

#[test]
fn a_directory_id_in_the_rom_wins_over_the_address() {
    assert_eq!(unit_of(sbp2()).directory_id, 0x00_041c);
    let explicit = sbp2().immediate(Key::DIRECTORY_ID, 0x12_3456);
    assert_eq!(unit_of(explicit).directory_id, 0x12_3456);
    let unique = unit_of(sbp2().eui64(Eui64(7))).unique_id;
    assert_eq!(unique, Some(Eui64(7)));
}

#[test]
fn a_bridge_is_named_only_on_evidence() {
    let name = |root: DirectoryBuilder, unit: DirectoryBuilder| {
        let root = root.directory(Key::UNIT_DIRECTORY, unit);
        let rom = Builder::new(BusOptions::default(), Eui64(1), root).build();
        let rom: Vec<_> = rom.unwrap().into_iter().map(Some).collect();
        let rom = ConfigRom::read(&rom).unwrap();
        bridge_name(&rom, &units(&rom)[0])
    };
    let root = DirectoryBuilder::new;
    assert_eq!(name(root(), sbp2()), None);
    let unit = sbp2().immediate(key::FIRMWARE_REVISION, 0x01_2804);
    assert_eq!(name(root(), unit.clone()), Some("Prolific PL-3507"));
    let oxford = root().immediate(Key::VENDOR, 0x00_0483).text("Oxford  ");
    assert_eq!(name(oxford, unit), Some("Oxford Semiconductor"));
    let lacie = root().immediate(Key::VENDOR, 0x00_d04b).text("LaCie   ");
    let lacie = lacie.immediate(Key::HARDWARE_VERSION, 0x00_f911);
    assert_eq!(name(lacie, sbp2()), None);
}
