use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/config-roms")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).unwrap()
}

fn to_json(file: &[u8]) -> Value {
    let mut out = Vec::new();
    decode(file, true, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn to_text(file: &[u8]) -> String {
    let mut out = Vec::new();
    decode(file, false, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn error(file: &[u8]) -> String {
    let error = decode(file, true, &mut io::sink()).unwrap_err();
    format!("{error:#}")
}

fn quadlets(quadlets: &[u32]) -> Vec<u8> {
    quadlets.iter().flat_map(|q| q.to_be_bytes()).collect()
}

#[test]
fn a_whole_rom_a_partial_one_and_one_with_nested_directories_give_the_expected_json() {
    for name in [
        "sbp2-oxfw911-disk-example",
        "sbp2-oxfw911-fw25-partial",
        "video-sony-dcr-trv310k",
    ] {
        let expected = fixture(&format!("{name}.json"));
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let decoded = to_json(&fixture(&format!("{name}.txt")));
        assert_eq!(decoded, expected, "{name}: {decoded:#}");
    }
}

#[test]
fn the_fields_come_in_the_documented_order() {
    let mut out = Vec::new();
    let file = fixture("sbp2-oxfw911-disk-example.txt");
    decode(&file, true, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let expected = fixture("sbp2-oxfw911-disk-example.json");
    assert_eq!(text, String::from_utf8(expected).unwrap());
}

#[test]
fn the_readable_view_of_a_whole_rom_is_the_expected_one_and_fits_a_screen() {
    let text = to_text(&fixture("sbp2-oxfw911-disk-example.txt"));
    let expected = fixture("sbp2-oxfw911-disk-example.view");
    assert_eq!(text, String::from_utf8(expected).unwrap());
    assert!(text.lines().count() <= 40);
    assert!(text.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn the_same_rom_in_another_kind_of_file_is_the_same_rom() {
    let file = fixture("sbp2-oxfw911-disk-example.txt");
    let image = Image::parse(&file).unwrap();
    let known: Vec<u32> = image.quadlets.into_iter().flatten().collect();
    let host: Vec<u8> = known.iter().flat_map(|q| q.to_le_bytes()).collect();
    let bare: String = known.iter().map(|q| format!("{q:08x} ")).collect();
    let json = to_json(&file);
    assert_eq!(to_json(&quadlets(&known)), json);
    assert_eq!(to_json(&host), json);
    assert_eq!(to_json(bare.as_bytes()), json);
}

#[test]
fn a_file_that_is_cut_off_anywhere_gives_what_there_is_or_a_clear_error() {
    let text = fixture("sbp2-oxfw911-disk-example.txt");
    let body = text.windows(5).position(|w| w == b"\n400:").unwrap() + 1;
    for end in body..text.len() - 1 {
        let file = &text[..end];
        // "400: 04047498" is the least that is a ROM.
        if end < body + 13 {
            assert!(error(file).contains("no quadlets"), "{}", error(file));
        } else {
            let json = to_json(file);
            assert_ne!(json["warnings"], json!([]), "{end}");
        }
    }
}

#[test]
fn a_rom_with_any_bit_wrong_is_shown_or_refused() {
    let file = fixture("sbp2-oxfw911-disk-example.txt");
    let original = Image::parse(&file).unwrap().quadlets;
    for index in 0..original.len() {
        for bit in 0..32 {
            let mut wrong = original.clone();
            wrong[index] = wrong[index].map(|quadlet| quadlet ^ 1 << bit);
            for json in [false, true] {
                let mut out = Vec::new();
                match show(&wrong, &[], json, &mut out) {
                    Ok(()) => assert!(out.ends_with(b"\n")),
                    // Whoever is no IEEE 1394 node is refused, nobody else.
                    Err(error) => assert!(index == 1, "{index}: {error:#}"),
                }
            }
        }
    }
}

#[test]
fn what_is_absent_is_null() {
    let json = to_json(b"04040000 31333934");
    for field in [
        "guid",
        "bus_options",
        "root_directory",
        "vendor_id",
        "model_id",
    ] {
        assert!(json.get(field).unwrap().is_null(), "{field}");
    }
    let crc = json!({ "stored": "0x0000", "computed": null, "ok": null });
    assert_eq!(json["header_crc"], crc);
    assert_eq!(json["units"], json!([]));

    let minimal = to_json(b"010030e0");
    assert_eq!(minimal["vendor_id"], "0x0030e0");
    assert!(minimal["header_crc"].is_null());
    assert_eq!(minimal["warnings"], json!([]));
    assert!(to_text(b"010030e0").contains("0x0030e0 and nothing more"));
}

#[test]
fn units_of_other_protocols_are_listed_without_sbp2() {
    let json = to_json(&fixture("motu-v4hd.txt"));
    let units = json["units"].as_array().unwrap();
    assert_eq!(units.len(), 4);
    for (unit, version) in units.iter().zip(0x21..) {
        assert_eq!(unit["version"], format!("0x{version:06x}"));
        assert!(unit["sbp2"].is_null());
    }
}

#[test]
fn a_rom_cannot_write_to_the_terminal() {
    // "\x1b[2J" as vendor text.
    let rom = [
        0x0404_0000,
        0x3133_3934,
        0,
        0,
        0,
        0x0002_0000,
        0x0300_0001,
        0x8100_0001,
        0x0003_0000,
        0,
        0,
        0x1b5b_324a,
    ];
    let text = to_text(&quadlets(&rom));
    assert!(
        !text.contains('\x1b') && text.contains("\u{fffd}[2J"),
        "{text}"
    );
    let json = to_json(&quadlets(&rom));
    assert_eq!(json["texts"], json!(["\u{fffd}[2J"]));
}

#[test]
fn what_is_no_rom_is_an_error_that_says_why() {
    assert!(error(b"").contains("no quadlets"));
    assert!(error(b"# only words\n").contains("no quadlets"));
    assert!(error(b"00000000 31333934").contains("not ready"));
    assert!(error(b"04040000 deadbeef").contains("deadbeef"));
    assert!(error(b"404: 31333934").contains("first quadlet"));
    assert!(error(b"Dear Sir or Madam").contains("line 1: \"Dear\""));
    assert!(error(b"\x7fELF\x02\x01\x01\0").contains("1394"));
    let prose = error(&fixture("decoded-sbp2-nodes-a.txt"));
    assert!(prose.contains("line 5: \"device\""), "{prose}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("missing"), folder.path().to_owned()] {
        let source = path.to_str().unwrap().to_owned();
        let args = RomArgs {
            source: source.clone(),
            json: false,
        };
        let error = format!("{:#}", run(&args, &mut io::sink()).unwrap_err());
        assert!(error.contains(&source), "{error}");
    }
    let long = folder.path().join("long");
    std::fs::File::create(&long)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let source = long.to_str().unwrap().to_owned();
    let error = run(&RomArgs { source, json: true }, &mut io::sink()).unwrap_err();
    assert!(format!("{error:#}").contains("no configuration ROM"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error_and_a_full_disk_is_one() {
    struct Failing(io::ErrorKind);
    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let file = fixture("sbp2-oxfw911-disk-example.txt");
    assert!(decode(&file, true, &mut Failing(io::ErrorKind::BrokenPipe)).is_ok());
    assert!(decode(&file, true, &mut Failing(io::ErrorKind::StorageFull)).is_err());
}
