//! The ROMs of real devices, and what is known about each from elsewhere.
#![expect(clippy::unwrap_used, reason = "in a test to fail is to say so")]

use std::path::{Path, PathBuf};

use ieee1212_config_rom as oracle;
use ohci_raw::bus::Eui64;
use ohci_raw::config_rom::image::{Image, ImageError};
use ohci_raw::config_rom::{ConfigRom, Directory, Key, Target, Warning, crc16};
use sbp2::unit;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/config-roms");
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files: Vec<_> = files
        .filter(|f| f.extension().is_some_and(|e| e == "txt"))
        .collect();
    assert!(files.len() >= 20, "{files:?}");
    files
}

fn parse(path: &Path) -> Result<Image, ImageError> {
    Image::parse(&std::fs::read(path).unwrap())
}

fn quadlets(name: &str) -> Vec<Option<u32>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/config-roms");
    parse(&folder.join(name).with_extension("txt"))
        .unwrap()
        .quadlets
}

fn read(name: &str) -> ConfigRom {
    ConfigRom::read(&quadlets(name)).unwrap()
}

/// Quadlets as a test of the Linux kernel or an annex of a standard prints them.
fn read_hex(text: &str) -> ConfigRom {
    ConfigRom::read(&Image::parse(text.as_bytes()).unwrap().quadlets).unwrap()
}

/// Which header and directory CRCs are right: the header's, the root's and the other directories'.
fn crcs(rom: &ConfigRom) -> (Option<bool>, Vec<Option<bool>>) {
    let directories = rom.directories();
    (
        rom.header_crc.ok(),
        directories.map(|d| d.crc.ok()).collect(),
    )
}

#[test]
fn every_rom_decodes() {
    for path in files() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let image = parse(&path);
        if name == "decoded-sbp2-nodes-a" {
            // Prose about devices whose quadlets nobody printed.
            assert!(
                matches!(image, Err(ImageError::Token { line: 5, .. })),
                "{image:?}"
            );
            continue;
        }
        let rom = ConfigRom::read(&image.unwrap().quadlets).unwrap();
        assert!(rom.guid.is_some() && rom.bus_options.is_some(), "{name}");
        if name.contains("partial") {
            continue;
        }
        let odd = |w: &&Warning| !matches!(w, Warning::Crc { .. });
        let odd: Vec<_> = rom.warnings.iter().filter(odd).collect();
        assert!(odd.is_empty(), "{name}: {odd:?}");
        assert!(rom.vendor_id().is_some(), "{name}");
        let linux = name.contains("linux-juju-local-node-gen4");
        assert_eq!(rom.unit_directories().count() == 0, linux, "{name}");
    }
}

#[test]
fn crcs_are_wrong_in_the_devices_that_are_known_for_it_and_right_in_the_others() {
    let (good, bad) = (Some(true), Some(false));
    let wrong_header = ["oxfw-stanton-scs1d", "rme-fireface400", "tascam-fw1884"];
    for path in files() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name == "decoded-sbp2-nodes-a" {
            continue;
        }
        let (header, directories) = crcs(&read(&name));
        if name == "rme-fireface802" {
            assert_eq!((header, directories), (bad, vec![bad, bad]));
            continue;
        }
        let expected = if name == "sbp2-oxfw911-fw25-partial" {
            None
        } else if wrong_header.contains(&&*name) {
            bad
        } else {
            good
        };
        assert_eq!(header, expected, "{name}");
        assert!(
            directories.iter().all(|&ok| ok == good),
            "{name}: {directories:?}"
        );
    }
}

#[test]
fn real_blocks_have_the_published_crcs() {
    let stored = |rom: &ConfigRom, at: u32| {
        let at = |d: &&Directory| d.offset.get() == at;
        rom.directories().find(at).unwrap().crc.computed
    };
    let oxfw911 = read("sbp2-oxfw911-fw25-partial");
    assert_eq!(stored(&oxfw911, 0x414), Some(0xf1b3));
    assert_eq!(stored(&oxfw911, 0x430), Some(0x829d));
    let nikon = read("sbp2-nikon-ls4000-partial");
    assert_eq!(nikon.header_crc.computed, Some(0x5343));
    let text = |text: &str| {
        let root = ohci_raw::config_rom::DirectoryBuilder::new().text(text);
        let builder = ohci_raw::config_rom::Builder::new(Default::default(), Eui64(0), root);
        crc16(&builder.build().unwrap()[8..])
    };
    assert_eq!(text("Linux Firewire"), 0x4cb7);
    assert_eq!(text("Juju"), 0xff1c);
    assert_eq!(text("Linux ALSA"), 0x4009);
}

#[test]
fn wrong_crcs_do_not_keep_a_device_from_being_used() {
    let rme = read("rme-fireface802");
    let texts: Vec<_> = rme.unit_directories().map(|d| rme.texts_of(d)).collect();
    assert_eq!(rme.vendor_text().as_deref(), Some("RME!"));
    assert_eq!(texts, [["Fireface 802"]]);
    let tascam = read("tascam-fw1884");
    assert_eq!(tascam.crc_length, 15);
    let dependent = tascam.directories().last().unwrap();
    assert_eq!(tascam.texts_of(dependent), ["TASCAM"]);
    assert_eq!(
        read("oxfw-stanton-scs1d").model_text().as_deref(),
        Some("SCS.1d")
    );
}

#[test]
fn the_simple_av_c_device_of_the_1394_trade_association() {
    // "Configuration ROM for AV/C Devices 1.0", annex C.1.
    let rom = read_hex(
        "0404eabf 31333934 e0646102 ffffffff ffffffff 00063287 03ffffff 8100000a 17ffffff 8100000e
         0c0083c0 d1000001 0004442d 1200a02d 13010001 17ffffff 81000007 0005c915 00000000 00000000
         56656e64 6f72204e 616d6500 00057f16 00000000 00000000 4d6f6465 6c204e61 6d650000",
    );
    assert_eq!(rom.warnings, []);
    assert_eq!(
        (rom.vendor_id(), rom.model_id()),
        (Some(0xff_ffff), Some(0xff_ffff))
    );
    assert_eq!(rom.vendor_text().as_deref(), Some("Vendor Name"));
    assert_eq!(rom.model_text().as_deref(), Some("Model Name"));
    let unit = rom.unit_directories().next().unwrap();
    assert_eq!(unit.value(Key::SPECIFIER_ID), Some(0x00_a02d));
    assert_eq!(unit.value(Key::VERSION), Some(0x01_0001));
    assert_eq!(unit.value(Key::MODEL), Some(0xff_ffff));
    assert_eq!(unit.value(Key::VENDOR), None);
    assert_eq!(rom.text_for(unit, Key::VENDOR), None);
    assert_eq!(rom.texts_of(unit), ["Model Name"]);
}

#[test]
fn the_legacy_layout_with_a_vendor_directory() {
    // The same document, annex A.1.
    let rom = read_hex(
        "04199fe7 31333934 e0644000 00112233 44556677 0005dace 03012345 0c0083c0 8d000009 d1000002
         c3000004 0002e107 12abcdef 13543210 0002cb73 17fedcba 81000004 00026dc1 00112233 44556677
         00050e84 00000000 00000000 41424344 45464748 494a0000",
    );
    assert_eq!(rom.warnings, []);
    assert_eq!(
        (rom.vendor_id(), rom.model_id()),
        (Some(0x01_2345), Some(0xfe_dcba))
    );
    assert_eq!(rom.vendor_text(), None);
    assert_eq!(rom.model_text().as_deref(), Some("ABCDEFGHIJ"));
    let unit = rom.unit_directories().next().unwrap();
    assert_eq!(unit.value(Key::SPECIFIER_ID), Some(0xab_cdef));
    assert_eq!(unit.value(Key::VERSION), Some(0x54_3210));
    assert_eq!(unit.value(Key::MODEL), None);
    assert!(rom.texts_of(unit).is_empty());
}

#[test]
fn devices_with_speed_quirks_say_what_the_kernel_tests_expect() {
    let canon = read_hex(
        "0404e552 31333934 e0648100 00008500 005eb597 0007cdd0 03000085 8100000d 17000002 81000010
         0c0083c0 d8000002 d1000003 0001ce96 d1000001 0004bbee 1200a02d 13010001 17000002 81000006
         00046dc8 00000000 00000000 43616e6f 6e000000 000621ee 00000000 00000000 4d563569 204d4300
         00000000 00000000",
    );
    let motu = read_hex(
        "0410a756 31333934 20ff7000 0001f200 000a8a7b 0004ef04 030001f2 0c0083c0 d1000002 8d000005
         00031680 120001f2 13000033 17104800 00025ef3 0001f200 000a8a7b",
    );
    let tascam = read("tascam-fw1884");
    for (rom, max_rec, capable) in [(&canon, 8, true), (&motu, 7, false), (&tascam, 7, false)] {
        let options = rom.bus_options.unwrap();
        assert_eq!(options.max_rec, max_rec);
        assert_eq!((options.cmc, options.irmc), (capable, capable));
        // Both directories of the Canon lead to its one unit.
        assert_eq!(rom.unit_directories().count(), 1);
    }
    assert_eq!(canon.model_text().as_deref(), Some("MV5i MC"));
}

#[test]
fn pointers_past_the_end_of_the_window_lead_nowhere() {
    // The overflow case of config-rom-parser-test.c in Linux: both pointers are dropped.
    for zeros in [0, 246] {
        let mut text = "04000000 31333934 00008002 00000000 00000000 00030000 03123456 810000f9
            d1000001 ffff0000 "
            .to_owned();
        text += &"00000000 ".repeat(zeros);
        let rom = read_hex(&text);
        let root = rom.root().unwrap();
        assert_eq!(rom.vendor_id(), Some(0x12_3456));
        assert!(matches!(root.entries[1].target, Target::Unread(_)));
        assert!(rom.texts_of(root).is_empty());
        let unit = rom.directory_of(&root.entries[2]).unwrap();
        assert!(unit.entries.is_empty());
        assert!(unit::units(&rom).is_empty());
        let overlong = |w: &Warning| matches!(w, Warning::Overlong { length: 0xffff, .. });
        assert!(rom.warnings.iter().any(overlong));
    }
}

/// Compares directory by directory with what another reader makes of the same bytes.
fn compare(rom: &ConfigRom, directory: &Directory, oracle: &[oracle::Entry<'_>], name: &str) {
    assert_eq!(directory.entries.len(), oracle.len(), "{name}");
    for (ours, theirs) in directory.entries.iter().zip(oracle) {
        let place = format!("{name} at {}", ours.offset);
        assert_eq!(oracle::KeyType::from(ours.key.id()), theirs.key, "{place}");
        match (&ours.target, &theirs.data) {
            (Target::Immediate, oracle::EntryData::Immediate(value)) => {
                assert_eq!(ours.value, *value, "{place}");
            }
            (Target::Register(offset), oracle::EntryData::CsrOffset(address)) => {
                assert_eq!(offset.address().get(), *address as u64, "{place}");
            }
            (Target::Leaf(leaf), oracle::EntryData::Leaf(bytes)) => {
                let contents = leaf.contents.as_ref().unwrap();
                let contents: Vec<u8> = contents.iter().flat_map(|q| q.to_be_bytes()).collect();
                assert_eq!(contents, *bytes, "{place}");
                if ours.key == Key::DESCRIPTOR_LEAF {
                    let descriptor = oracle::DescriptorLeaf::try_from(*bytes).unwrap();
                    let oracle::DescriptorData::Textual(text) = descriptor.data else {
                        panic!("{place}: {descriptor:?}");
                    };
                    assert_eq!(rom.texts_at(ours), [text.text], "{place}");
                }
            }
            (Target::Directory(id), oracle::EntryData::Directory(entries)) => {
                compare(rom, rom.directory(*id).unwrap(), entries, name);
            }
            other => panic!("{place}: {other:?}"),
        }
    }
}

#[test]
fn another_reader_sees_the_same_in_every_whole_rom() {
    let mut compared = 0;
    for path in files() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name.contains("partial") || name == "decoded-sbp2-nodes-a" {
            continue;
        }
        let known: Option<Vec<u32>> = quadlets(&name).into_iter().collect();
        let bytes: Vec<u8> = known
            .unwrap()
            .iter()
            .flat_map(|q| q.to_be_bytes())
            .collect();
        let theirs = oracle::ConfigRom::try_from(&bytes[..]).unwrap();
        let ours = read(&name);
        compare(&ours, ours.root().unwrap(), &theirs.root, &name);
        compared += 1;
    }
    assert!(compared >= 19, "{compared}");
}

/// xorshift64: the same sequence on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as u32
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }
}

#[test]
fn no_mutation_of_an_sbp2_rom_makes_the_reader_panic_or_lose_measure() {
    let original = quadlets("sbp2-oxfw911-disk-example");
    let mut random = Random(0x1394);
    let (mut usable, mut refused) = (0, 0);
    for _ in 0..200_000 {
        let mut mutated = original.clone();
        for _ in 0..=random.below(4) {
            let index = random.below(mutated.len());
            match random.below(6) {
                0 => mutated[index] = Some(random.next()),
                1 => mutated[index] = None,
                2 => mutated.truncate(index.max(1)),
                3 => mutated.resize(random.below(1024).max(1), Some(random.next())),
                // Pointers and lengths are what breaks readers.
                4 => mutated[index] = mutated[index].map(|q| q & 0xff00_0000 | random.next() >> 20),
                _ => mutated[index] = mutated[index].map(|q| q ^ 1 << random.below(32)),
            }
        }
        let Ok(rom) = ConfigRom::read(&mutated) else {
            refused += 1;
            continue;
        };
        let entries: usize = rom.directories().map(|d| d.entries.len()).sum();
        assert!(entries <= mutated.len());
        assert!(rom.warnings.len() <= 8 * mutated.len() + 8);
        let units = unit::units(&rom);
        for unit in &units {
            let _ = (
                unit.management_agent(),
                unit.quirks(),
                unit::bridge_name(&rom, unit),
            );
            assert!(unit.logical_units.len() <= entries);
            usable += 1;
        }
        for warning in &rom.warnings {
            assert!(!warning.to_string().is_empty());
        }
    }
    // Otherwise the mutations would not test what they are for.
    assert!(
        usable > 50_000 && refused > 1_000,
        "{usable} usable, {refused} refused"
    );
}

#[test]
fn no_file_makes_the_parser_panic() {
    let text = include_bytes!("../fixtures/config-roms/sbp2-oxfw911-fw25-partial.txt");
    let binary: Vec<u8> = quadlets("yamaha-n8")
        .into_iter()
        .flat_map(|quadlet| quadlet.unwrap().to_be_bytes())
        .collect();
    let mut random = Random(0x1212);
    let (mut read, mut refused) = (0, 0);
    for original in [&text[..], &binary] {
        for _ in 0..20_000 {
            let mut mutated = original.to_vec();
            for _ in 0..=random.below(3) {
                let index = random.below(mutated.len());
                match random.below(4) {
                    0 => mutated[index] = random.next() as u8,
                    1 => mutated.truncate(index.max(1)),
                    2 => mutated.insert(index, b"0f:-#\n \0"[random.below(8)]),
                    _ => drop(mutated.remove(index.min(mutated.len() - 1))),
                }
                if mutated.is_empty() {
                    mutated.push(0);
                }
            }
            match Image::parse(&mutated).map(|image| ConfigRom::read(&image.quadlets)) {
                Ok(Ok(_)) => read += 1,
                Ok(Err(error)) => refused += usize::from(!error.to_string().is_empty()),
                Err(error) => refused += usize::from(!error.to_string().is_empty()),
            }
        }
    }
    assert!(
        read > 1_000 && refused > 1_000,
        "{read} read, {refused} refused"
    );
}
