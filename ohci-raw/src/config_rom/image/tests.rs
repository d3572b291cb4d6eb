use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use super::*;

const FIRST: u32 = 0x0404_7498;

fn text(text: &str) -> Result<Image, ImageError> {
    Image::parse(text.as_bytes())
}

fn error(file: &str) -> String {
    text(file).unwrap_err().to_string()
}

#[test]
fn quadlets_stand_one_or_several_to_a_line_with_or_without_offsets() {
    let quadlets = vec![Some(FIRST), Some(BUS_NAME), None, Some(0x0001_d200)];
    for file in [
        "04047498\n31333934\n--------\n0001d200\n",
        "# a node\r\n04047498 31333934 -------- 0001d200 # all of it\r\n",
        "400: 04047498\n404: 31333934\n40c: 0001d200\n",
        "0x40C:0001D200\n0x400: 0x04047498 0x31333934\n",
        "400: 04047498 31333934\n408:\n--------\n  0001d200",
    ] {
        let image = text(file).unwrap();
        assert_eq!(image.quadlets, quadlets, "{file}");
        assert_eq!(image.notes, []);
    }
}

#[test]
fn what_is_no_quadlet_is_named_with_its_line() {
    let prose = "# facts\n\ndevice: Oxford \"911D\" GUID 0004830000002cb3\n";
    assert!(error(prose).starts_with("line 3: \"device\" is neither"));
    assert!(error("04047498\n0404749\n31333934").starts_with("line 2: \"0404749\""));
    assert!(error("040474981").starts_with("line 1"));
    assert!(error("+4047498").starts_with("line 1"));
    assert!(error("04047498\nentry: 12").starts_with("line 2"));
    assert!(error(&"x".repeat(5000)).len() < 150);
}

#[test]
fn an_offset_outside_the_rom_is_refused() {
    assert!(error("3fc: 04047498").contains("offset 0x3fc is no quadlet of the ROM"));
    assert!(error("402: 04047498").contains("0x402"));
    assert!(error("1400: 04047498").contains("0x1400"));
    assert!(error("ffffffffffff: 04047498").contains("0xffffffffffff"));
    assert!(error("fffffffffffffffff: 04047498").contains("neither"));
    assert_eq!(
        text("13fc: 04047498 31333934"),
        Err(ImageError::TooLong { quadlets: 1025 })
    );
}

#[test]
fn a_place_has_one_quadlet() {
    let twice = "400: 04047498\n400: 04047498\n400: --------\n";
    assert_eq!(text(twice).unwrap().quadlets, [Some(FIRST)]);
    assert_eq!(
        error("400: 04047498\n400: 04047499"),
        "line 2: a second quadlet for 0x400: 04047499 after 04047498"
    );
}

#[test]
fn an_entry_without_a_place_is_left_out_and_noted() {
    let image = text("400: 04047498\nentry: 1200609e\n404: 31333934\n").unwrap();
    assert_eq!(image.quadlets, [Some(FIRST), Some(BUS_NAME)]);
    let quadlet = 0x1200_609e;
    assert_eq!(image.notes, [Note::Unplaced { line: 2, quadlet }]);
}

#[test]
fn a_text_that_is_cut_off_gives_what_there_is() {
    let whole = "400: 04047498\n404: 31333934";
    for length in 13..whole.len() {
        let image = text(&whole[..length]).unwrap();
        assert_eq!(image.quadlets, [Some(FIRST)]);
        let within = matches!(length, 15..=17 | 20..);
        assert_eq!(image.notes.len(), usize::from(within), "{length}");
    }
    // Only the last token of the file can be cut off.
    assert!(text("0404\n04047498\n0404").is_err());
}

#[test]
fn binary_files_are_read_in_either_byte_order() {
    let quadlets = [FIRST, BUS_NAME, 0x00ff_5000];
    let bus: Vec<u8> = quadlets.iter().flat_map(|q| q.to_be_bytes()).collect();
    let host: Vec<u8> = quadlets.iter().flat_map(|q| q.to_le_bytes()).collect();
    for (file, format) in [(bus, Format::BusOrder), (host, Format::HostOrder)] {
        let image = Image::parse(&file).unwrap();
        assert_eq!(image.format, format);
        assert_eq!(image.quadlets, quadlets.map(Some));
        assert_eq!(image.notes, []);

        let cut = Image::parse(&file[..10]).unwrap();
        assert_eq!(cut.quadlets, [Some(FIRST), Some(BUS_NAME)]);
        assert_eq!(cut.notes, [Note::CutOff]);
        assert_eq!(Image::parse(&file[..7]), Err(ImageError::NoBusName));
    }
}

#[test]
fn what_is_no_rom_is_refused() {
    for file in [
        "",
        "\n\n",
        "# nothing but a comment\n",
        "--------\n--------\n",
    ] {
        assert_eq!(text(file), Err(ImageError::Empty), "{file:?}");
    }
    assert_eq!(
        Image::parse(b"\x7fELF\x02\x01\x01\0"),
        Err(ImageError::NoBusName)
    );
    assert_eq!(
        Image::parse(&vec![0; 4 * (MAX_QUADLETS + 1)]),
        Err(ImageError::TooLong { quadlets: 1025 })
    );
    let bytes = MAX_FILE + 1;
    assert_eq!(
        Image::parse(&vec![b'#'; bytes]),
        Err(ImageError::FileTooLong { bytes })
    );
    assert!(text(&format!("#{}", "x".repeat(MAX_FILE - 1))).is_err());
}
