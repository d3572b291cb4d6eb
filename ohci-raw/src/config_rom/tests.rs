use alloc::vec;
use alloc::vec::Vec;

use super::image::Image;
use super::*;
use crate::bus::{Eui64, Speed};

/// The facts of an Oxford OXFW911 (linux-kernel, 2 June 2003), put into a ROM by hand; the CRCs
/// were computed by another program.
const OXFW911: [u32; 41] = [
    0x0404_7498,
    0x3133_3934,
    0x00ff_5000,
    0x0001_d200,
    0x0003_a4ec,
    0x0004_ccd4,
    0x0300_01d2,
    0x8100_000e,
    0x0c00_83c0,
    0xd100_0001,
    0x000a_7951,
    0x1200_609e,
    0x1301_0483,
    0x3800_609e,
    0x3901_04d8,
    0x5400_4000,
    0x3a00_0a08,
    0x3c00_0106,
    0x1400_0000,
    0x1742_a258,
    0x8100_000b,
    0x0009_eb01,
    0x0000_0000,
    0x0000_0000,
    0x4f78_666f,
    0x7264_2053,
    0x656d_6963,
    0x6f6e_6475,
    0x6374_6f72,
    0x204c_7464,
    0x2e20_2020,
    0x0009_3a37,
    0x0000_0000,
    0x0000_0000,
    0x4f58_464f,
    0x5244_2049,
    0x4445_2044,
    0x6576_6963,
    0x6520_4c55,
    0x4e20_3020,
    0x2000_0000,
];

fn read(quadlets: &[u32]) -> ConfigRom {
    let known: Vec<_> = quadlets.iter().copied().map(Some).collect();
    ConfigRom::read(&known).unwrap()
}

fn root(entries: &[u32]) -> Vec<u32> {
    let mut rom = vec![0x0404_0000, BUS_NAME, 0x00ff_5000, 0x0001_d200, 0x0003_a4ec];
    rom.push((entries.len() as u32) << 16);
    rom.extend(entries);
    rom
}

/// The warnings other than those on CRCs, which nobody computed for the ROM at hand.
fn oddities(rom: &ConfigRom) -> Vec<&Warning> {
    let warnings = rom.warnings.iter();
    warnings
        .filter(|w| !matches!(w, Warning::Crc { .. }))
        .collect()
}

#[test]
fn a_bridge_says_what_it_is() {
    let rom = read(&OXFW911);
    assert_eq!(rom.form, Form::General);
    assert_eq!(rom.guid, Some(Eui64(0x0001_d200_0003_a4ec)));
    assert_eq!(rom.bus_options.unwrap().speed(), Some(Speed::S100));
    assert_eq!(rom.bus_options.unwrap().max_rec_bytes(), Some(64));
    assert_eq!(rom.vendor_id(), Some(0x00_01d2));
    assert_eq!(rom.model_id(), None);
    let vendor = "Oxford Semiconductor Ltd.   ";
    assert_eq!(rom.vendor_text().as_deref(), Some(vendor));
    assert_eq!(rom.texts_of(rom.root().unwrap()), [vendor]);
    let [unit] = rom.unit_directories().collect::<Vec<_>>()[..] else {
        panic!("one unit")
    };
    assert_eq!(unit.offset, Offset::new(0x428));
    assert_eq!(unit.id(), 0x00_0428);
    assert_eq!(unit.value(Key::SPECIFIER_ID), Some(0x00_609e));
    assert_eq!(rom.texts_of(unit), ["OXFORD IDE Device LUN 0  "]);
    assert_eq!(unit.crc.ok(), Some(true));
    assert_eq!(
        unit.find(Key(0x54)).unwrap().target,
        Target::Register(Offset::new(0x10000))
    );
    assert_eq!(rom.warnings, []);
}

#[test]
fn the_builder_makes_the_same_rom_quadlet_by_quadlet() {
    let unit = DirectoryBuilder::new()
        .immediate(Key::SPECIFIER_ID, 0x00_609e)
        .immediate(Key::VERSION, 0x01_0483)
        .immediate(Key(0x38), 0x00_609e)
        .immediate(Key(0x39), 0x01_04d8)
        .register(Key(0x54), 0x4000)
        .immediate(Key(0x3a), 0x0a08)
        .immediate(Key(0x3c), 0x0106)
        .immediate(Key(0x14), 0)
        .immediate(Key::MODEL, 0x42_a258)
        .text("OXFORD IDE Device LUN 0  ");
    let root = DirectoryBuilder::new()
        .immediate(Key::VENDOR, 0x00_01d2)
        .text("Oxford Semiconductor Ltd.   ")
        .immediate(Key::NODE_CAPABILITIES, 0x00_83c0)
        .directory(Key::UNIT_DIRECTORY, unit);
    let options = BusOptions {
        cyc_clk_acc: 255,
        max_rec: 5,
        ..BusOptions::default()
    };
    let guid = Eui64(0x0001_d200_0003_a4ec);
    assert_eq!(Builder::new(options, guid, root).build().unwrap(), OXFW911);
}

#[test]
fn the_builder_makes_the_rom_of_a_linux_host() {
    let file = include_bytes!("../../../fixtures/config-roms/linux-juju-local-node-gen4.txt");
    let linux: Option<Vec<u32>> = Image::parse(file).unwrap().quadlets.into_iter().collect();
    let root = DirectoryBuilder::new()
        .immediate(Key::NODE_CAPABILITIES, 0x00_83c0)
        .immediate(Key::VENDOR, 0x00_1f11)
        .text("Linux Firewire")
        .immediate(Key::MODEL, 0x02_3901)
        .text("Juju");
    let options = BusOptions::from_quadlet(0xf000_b243);
    let guid = Eui64(0x0800_2851_0100_014a);
    assert_eq!(
        Some(Builder::new(options, guid, root).build().unwrap()),
        linux
    );
}

#[test]
fn directories_nest_and_a_shared_one_is_read_once() {
    let lun = DirectoryBuilder::new()
        .immediate(Key(0x14), 1)
        .text("second");
    let unit = DirectoryBuilder::new()
        .directory(Key(0xd4), lun)
        .eui64(Eui64(0x1122_3344_5566_7788));
    let root = DirectoryBuilder::new().directory(Key::UNIT_DIRECTORY, unit.clone());
    let builder = Builder::new(
        BusOptions::default(),
        Eui64(1),
        root.directory(Key(0xd8), unit),
    );
    let mut quadlets = builder.build().unwrap();
    // The instance directory is to lead to the same unit.
    quadlets[7] = 0xd800_0001;
    let rom = read(&quadlets);
    let unit = rom.unit_directories().next().unwrap();
    assert_eq!((unit.depth, unit.reached_by), (1, Some(Offset::new(0x418))));
    let instance = rom.root().unwrap().find(Key(0xd8)).unwrap();
    assert_eq!(rom.directory_of(instance), Some(unit));
    assert_eq!(rom.unit_directories().count(), 1);
    assert_eq!(rom.directories().count(), 3);
    let luns = rom.directory_of(unit.find(Key(0xd4)).unwrap()).unwrap();
    assert_eq!(rom.texts_of(luns), ["second"]);
    let Target::Leaf(leaf) = &unit.find(Key::EUI64_LEAF).unwrap().target else {
        panic!("a leaf")
    };
    assert_eq!(leaf.eui64(), Some(Eui64(0x1122_3344_5566_7788)));
}

#[test]
fn a_descriptor_describes_the_entry_before_it() {
    let texts = DirectoryBuilder::new().text("Farbe").text("Colour");
    let root = DirectoryBuilder::new()
        .immediate(Key::VENDOR, 1)
        .immediate(Key::HARDWARE_VERSION, 2)
        .text("board")
        .immediate(Key::MODEL, 3)
        .directory(Key::DESCRIPTOR_DIRECTORY, texts);
    let builder = Builder::new(BusOptions::default(), Eui64(1), root);
    let rom = read(&builder.build().unwrap());
    let root = rom.root().unwrap();
    assert_eq!(rom.vendor_text(), None);
    assert_eq!(
        rom.text_for(root, Key::HARDWARE_VERSION).as_deref(),
        Some("board")
    );
    assert_eq!(rom.model_text().as_deref(), Some("Farbe"));
    assert_eq!(rom.texts_of(root), ["board", "Farbe", "Colour"]);
}

#[test]
fn only_ascii_texts_are_texts_and_none_can_command_a_terminal() {
    let leaf = |kind, code, text| {
        let mut rom = root(&[0x0300_0001, 0x8100_0001, 0x0003_0000]);
        rom[5] = 2 << 16;
        rom.extend([kind, code, text]);
        read(&rom)
    };
    assert_eq!(leaf(0, 0, 0x4142_0043).vendor_text().as_deref(), Some("AB"));
    let escape = leaf(0, 0, 0x1b5b_4ae9);
    assert_eq!(escape.vendor_text().as_deref(), Some("\u{fffd}[J\u{fffd}"));
    let problem = |rom: &ConfigRom| match oddities(rom)[..] {
        [Warning::Text { problem, .. }] => *problem,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(problem(&escape), TextError::Unprintable);
    let unicode = leaf(0, 0x0401_0409, 0x0041_0042);
    assert_eq!(unicode.vendor_text(), None);
    assert_eq!(
        problem(&unicode),
        TextError::CharacterSet { code: 0x0401_0409 }
    );
    let icon = leaf(0x0100_0000, 0, 0);
    assert_eq!(icon.vendor_text(), None);
    assert!(matches!(problem(&icon), TextError::NotText { .. }));
}

#[test]
fn what_is_no_rom_is_told_apart() {
    use ReadError::*;
    let name = Some(BUS_NAME);
    assert_eq!(ConfigRom::read(&[]), Err(Missing));
    assert_eq!(ConfigRom::read(&[None, name]), Err(Missing));
    assert_eq!(ConfigRom::read(&[Some(0), name]), Err(NotReady));
    let quadlet = 0x3133_3935;
    let read = ConfigRom::read(&[Some(0x0404_0000), Some(quadlet)]);
    assert_eq!(read, Err(NotIeee1394 { quadlet }));
    let first = 0x1234_5678;
    assert_eq!(ConfigRom::read(&[Some(first)]), Err(Unrecognised { first }));
    let read = ConfigRom::read(&[Some(0x0404_0000); MAX_QUADLETS + 1]);
    assert_eq!(read, Err(TooLong { quadlets: 1025 }));
    let minimal = ConfigRom::read(&[Some(0x0100_30e0)]).unwrap();
    assert_eq!(minimal.form, Form::Minimal { vendor: 0x00_30e0 });
    assert_eq!(minimal.vendor_id(), Some(0x00_30e0));
    assert_eq!(minimal.root(), None);
}

#[test]
fn a_rom_that_is_cut_off_decodes_as_far_as_it_goes() {
    for length in 1..OXFW911.len() {
        let rom = read(&OXFW911[..length]);
        assert!(!rom.warnings.is_empty(), "{length}");
        assert_eq!(rom.guid.is_some(), length > 4);
        assert_eq!(rom.header_crc.ok(), (length > 4).then_some(true));
        let entries = rom.root().map_or(0, |root| root.entries.len());
        assert_eq!(entries, length.saturating_sub(6).min(4));
        let root_crc = rom.root().and_then(|root| root.crc.ok());
        assert_eq!(root_crc, (length > 9).then_some(true));
        assert_eq!(rom.unit_directories().count(), usize::from(length > 10));
        assert_eq!(rom.vendor_text().is_some(), length > 30);
    }
}

#[test]
fn an_unknown_quadlet_leaves_the_rest_readable() {
    for hole in 1..OXFW911.len() {
        let mut quadlets = OXFW911.map(Some);
        quadlets[hole] = None;
        let rom = ConfigRom::read(&quadlets).unwrap();
        assert!(!rom.warnings.is_empty(), "{hole}");
        assert!(
            rom.warnings
                .iter()
                .all(|w| !matches!(w, Warning::Crc { .. }))
        );
        assert_eq!(rom.header_crc.ok(), (hole > 4).then_some(true));
    }
}

#[test]
fn a_wrong_crc_is_reported_and_nothing_else_happens() {
    let mut quadlets = OXFW911;
    for header in [0, 5, 10, 21, 31] {
        quadlets[header] ^= 1;
    }
    let rom = read(&quadlets);
    assert_eq!(rom.warnings.len(), 5);
    assert!(oddities(&rom).is_empty());
    assert_eq!(rom.header_crc.ok(), Some(false));
    assert_eq!(rom.root().unwrap().crc.ok(), Some(false));
    assert_eq!(rom.unit_directories().count(), 1);
    assert_eq!(rom.vendor_text(), read(&OXFW911).vendor_text());
}

#[test]
fn a_directory_beyond_the_window_is_followed_only_if_it_is_there() {
    // An early iPod has its unit directory at ffff f000 0828.
    let mut quadlets = root(&[0xd100_0104]);
    let rom = read(&quadlets);
    let (entry, key, target) = (Offset::new(0x418), Key(0xd1), Offset::new(0x828));
    assert_eq!(
        oddities(&rom),
        [&Warning::BeyondWindow { entry, key, target }]
    );
    assert_eq!(
        rom.root().unwrap().entries[0].target,
        Target::Unread(target)
    );
    quadlets.resize(266, 0);
    quadlets.extend([0x0001_0000, 0x1200_609e]);
    let rom = read(&quadlets);
    assert_eq!(oddities(&rom).len(), 1);
    let unit = rom.unit_directories().next().unwrap();
    assert_eq!(unit.value(Key::SPECIFIER_ID), Some(0x00_609e));
}

#[test]
fn pointers_and_lengths_past_the_window_are_not_followed() {
    // The overflow case of config-rom-parser-test.c in Linux.
    let mut quadlets = vec![0x0400_0000, BUS_NAME, 0x0000_8002, 0, 0, 0x0003_0000];
    quadlets.extend([0x0312_3456, 0x8100_00f9, 0xd100_0001, 0xffff_0000]);
    quadlets.resize(WINDOW_QUADLETS, 0);
    let rom = read(&quadlets);
    let (entry, key, target) = (Offset::new(0x41c), Key(0x81), Offset::new(0x800));
    let beyond = Warning::BeyondWindow { entry, key, target };
    let (block, offset, length) = (BlockKind::Directory, Offset::new(0x424), 0xffff);
    let overlong = Warning::Overlong {
        block,
        offset,
        length,
    };
    assert_eq!(oddities(&rom), [&beyond, &overlong]);
    assert_eq!(rom.vendor_id(), Some(0x12_3456));
    assert!(rom.unit_directories().all(|unit| unit.entries.is_empty()));
}

#[test]
fn hostile_directories_cost_no_more_than_the_rom_is_long() {
    // Every quadlet is an entry that leads one further, where every quadlet is an entry …
    let mut quadlets = root(&[]);
    quadlets[5] = 250 << 16;
    quadlets.resize(MAX_QUADLETS, 0xc000_0001);
    let rom = read(&quadlets);
    let entries: usize = rom.directories().map(|d| d.entries.len()).sum();
    assert!(entries <= MAX_QUADLETS, "{entries}");

    let mut quadlets = root(&[]);
    quadlets.resize(WINDOW_QUADLETS, 0);
    for (index, quadlet) in quadlets.iter_mut().enumerate().skip(5) {
        *quadlet = if index % 2 == 1 {
            0x0001_0000
        } else {
            0xc000_0001
        };
    }
    let rom = read(&quadlets);
    assert!(
        rom.warnings
            .iter()
            .any(|w| matches!(w, Warning::TooDeep { .. }))
    );
    assert!(rom.directories().all(|directory| directory.depth <= 8));

    let mut overlapping = root(&[]);
    overlapping[5] = 100 << 16;
    overlapping.extend((1..=100).map(|n| 0xc000_0000 | (100 + n)));
    overlapping.resize(WINDOW_QUADLETS, 0x0014_0000);
    let rom = read(&overlapping);
    let gave_up = |w: &Warning| matches!(w, Warning::TooManyEntries { .. });
    assert!(rom.warnings.iter().any(gave_up));
    let entries: usize = rom.directories().map(|d| d.entries.len()).sum();
    assert_eq!(entries, WINDOW_QUADLETS);
}

#[test]
fn an_entry_that_leads_to_itself_is_not_followed() {
    let rom = read(&root(&[0xd100_0000, 0x8100_0000]));
    assert_eq!(oddities(&rom).len(), 2);
    assert_eq!(rom.directories().count(), 1);
}
