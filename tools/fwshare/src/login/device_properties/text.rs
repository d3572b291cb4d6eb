//! The properties of a disk's block devices, in the words of udev.

use std::fmt::Write as _;

use ohci_raw::bus::Eui64;
use sbp2::scsi::{Designator, DesignatorKind, DiskInfo};

/// Whose names these are: those of the logical unit.
const LOGICAL_UNIT: u8 = 0;
/// The designator's bytes are a number.
const BINARY: u8 = 1;

/// What is known of a disk.
#[derive(Clone, Debug)]
pub(in crate::login) struct Identity {
    pub(in crate::login) guid: Eui64,
    pub(in crate::login) lun: u16,
    /// The vendor's and the model's name, by the configuration ROM.
    pub(in crate::login) vendor: Option<String>,
    pub(in crate::login) model: Option<String>,
    /// LVM, md, bcache and desktops may use what is on it by themselves.
    pub(in crate::login) assemble: bool,
}

/// Lines of KEY=VALUE. What the bridge says of itself wins over what can be made of GUID and LUN;
/// nothing that it says can be more than a value.
pub(super) fn properties(identity: &Identity, info: &DiskInfo) -> String {
    let Identity { guid, lun, .. } = identity;
    let inquiry = |text: String, rom: &Option<String>| {
        let text = encoded(&text);
        match text.is_empty() {
            true => encoded(rom.as_deref().unwrap_or_default()),
            false => text,
        }
    };
    let vendor = inquiry(info.vendor.to_string(), &identity.vendor);
    let model = inquiry(info.product.to_string(), &identity.model);
    let mut serial = encoded(info.serial.as_deref().unwrap_or_default());
    if serial.is_empty() {
        serial = format!("{guid}-{lun}");
    }
    let whole = [&vendor, &model, &serial].map(String::as_str);
    let whole = whole.into_iter().filter(|text| !text.is_empty());
    let whole: Vec<_> = whole.collect();
    let name = designators(info).unwrap_or(WorldWideName {
        name: guid.0,
        extension: Some(u64::from(*lun)),
    });
    let assemble = u8::from(identity.assemble);
    let mut text = String::new();
    for (key, value) in [
        ("ID_BUS", "ieee1394"),
        ("ID_VENDOR", &vendor),
        ("ID_MODEL", &model),
        ("ID_REVISION", &encoded(&info.revision.to_string())),
        ("ID_SERIAL", &whole.join("_")),
        ("ID_SERIAL_SHORT", &serial),
        ("ID_WWN", &name.short()),
        ("ID_WWN_VENDOR_EXTENSION", &name.vendor_extension()),
        ("ID_WWN_WITH_EXTENSION", &name.whole()),
        ("FWSHARE_GUID", &guid.to_string()),
        ("FWSHARE_LUN", &lun.to_string()),
        ("FWSHARE_ASSEMBLE", &assemble.to_string()),
    ] {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key}={value}");
        }
    }
    text
}

/// A world wide name as udev has it, for disks of whichever bus.
struct WorldWideName {
    name: u64,
    extension: Option<u64>,
}

impl WorldWideName {
    fn short(&self) -> String {
        format!("0x{:016x}", self.name)
    }

    fn vendor_extension(&self) -> String {
        let extension = self.extension;
        extension.map_or_else(String::new, |extension| format!("0x{extension:016x}"))
    }

    fn whole(&self) -> String {
        let extension = self.extension;
        let extension = extension.map_or_else(String::new, |extension| format!("{extension:016x}"));
        format!("{}{extension}", self.short())
    }
}

/// The name that the logical unit tells of itself: NAA before EUI-64, as scsi_id(8) does.
fn designators(info: &DiskInfo) -> Option<WorldWideName> {
    let kinds = [DesignatorKind::NAA, DesignatorKind::EUI_64].into_iter();
    let mut names = kinds.flat_map(|kind| info.designators.iter().filter(move |d| d.kind == kind));
    names.find_map(world_wide_name)
}

fn world_wide_name(designator: &Designator) -> Option<WorldWideName> {
    if designator.association != LOGICAL_UNIT || designator.code_set != BINARY {
        return None;
    }
    let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
    let bytes = designator.bytes.as_slice();
    let name = match (bytes.len(), designator.kind) {
        (8, _) => WorldWideName {
            name: number(bytes)?,
            extension: None,
        },
        (16, DesignatorKind::NAA) => WorldWideName {
            name: number(bytes.get(..8)?)?,
            extension: Some(number(bytes.get(8..)?)?),
        },
        // SPC-3 7.6.3.5.4: the extension stands before the EUI-64.
        (16, DesignatorKind::EUI_64) => WorldWideName {
            name: number(bytes.get(8..)?)?,
            extension: Some(number(bytes.get(..8)?)?),
        },
        _ => return None,
    };
    (name.name != 0).then_some(name)
}

/// A text as udev has it in names: blanks are `_`, and so is what is neither a letter, a digit,
/// nor one of a few signs.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for word in text.split_whitespace() {
        if !encoded.is_empty() {
            encoded.push('_');
        }
        encoded.extend(word.chars().map(|letter| {
            let is_plain = letter.is_ascii_alphanumeric() || "#+-.:@_".contains(letter);
            if is_plain { letter } else { '_' }
        }));
    }
    encoded
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use sbp2::scsi::{DeviceType, Text};

    use super::*;

    pub(in crate::login::device_properties) fn identity() -> Identity {
        Identity {
            guid: Eui64(0x0030_e001_0203_0405),
            lun: 1,
            vendor: Some("Oxford Semiconductor".into()),
            model: Some("OXFW911".into()),
            assemble: false,
        }
    }

    /// A disk that tells nothing.
    pub(in crate::login) fn info() -> DiskInfo {
        DiskInfo {
            vendor: Text::from_bytes([b' '; 8]),
            product: Text::from_bytes([0; 16]),
            revision: Text::from_bytes([b' '; 4]),
            version: 0,
            device_type: DeviceType::DISK,
            serial: None,
            designators: Vec::new(),
            blocks: 1,
            block_length: 512,
            write_cache: None,
            fua: false,
            write_protected: false,
        }
    }

    fn read(text: &str) -> BTreeMap<&str, &str> {
        let lines = text.lines().map(|line| line.split_once('=').unwrap());
        lines.collect()
    }

    #[test]
    fn what_the_bridge_does_not_tell_is_made_of_guid_and_lun() {
        let text = properties(&identity(), &info());
        let expected = "\
ID_BUS=ieee1394
ID_VENDOR=Oxford_Semiconductor
ID_MODEL=OXFW911
ID_SERIAL=Oxford_Semiconductor_OXFW911_0030e00102030405-1
ID_SERIAL_SHORT=0030e00102030405-1
ID_WWN=0x0030e00102030405
ID_WWN_VENDOR_EXTENSION=0x0000000000000001
ID_WWN_WITH_EXTENSION=0x0030e001020304050000000000000001
FWSHARE_GUID=0030e00102030405
FWSHARE_LUN=1
FWSHARE_ASSEMBLE=0
";
        assert_eq!(text, expected);
        let asked = Identity {
            assemble: true,
            ..identity()
        };
        let expected = expected.replace("ASSEMBLE=0", "ASSEMBLE=1");
        assert_eq!(properties(&asked, &info()), expected);
    }

    #[test]
    fn what_the_bridge_tells_wins() {
        let naa = |bytes: &[u8]| Designator {
            kind: DesignatorKind::NAA,
            bytes: bytes.into(),
            ..Designator::eui64(0)
        };
        let port = Designator {
            association: 1,
            ..Designator::eui64(7)
        };
        let long = [5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        for (designators, wwn, whole) in [
            (
                vec![Designator::eui64(9)],
                "0x0000000000000009",
                "0x0000000000000009",
            ),
            (
                vec![port.clone(), Designator::extended_eui64(2, 9)],
                "0x0000000000000009",
                "0x00000000000000090000000000000002",
            ),
            (
                vec![Designator::eui64(9), naa(&long)],
                "0x0501020304050607",
                "0x050102030405060708090a0b0c0d0e0f",
            ),
            (
                vec![port, naa(&[0; 8]), naa(&[1; 3])],
                "0x0030e00102030405",
                "0x0030e001020304050000000000000001",
            ),
        ] {
            let info = DiskInfo {
                vendor: Text::new("ST").unwrap(),
                product: Text::new("A  b/c").unwrap(),
                serial: Some("  WD 1".into()),
                designators,
                ..info()
            };
            let text = properties(&identity(), &info);
            let read = read(&text);
            assert_eq!(read["ID_VENDOR"], "ST");
            assert_eq!(read["ID_MODEL"], "A_b_c");
            assert_eq!(read["ID_SERIAL_SHORT"], "WD_1");
            assert_eq!(read["ID_SERIAL"], "ST_A_b_c_WD_1");
            assert_eq!(read["ID_WWN"], wwn);
            assert_eq!(read["ID_WWN_WITH_EXTENSION"], whole);
        }
    }

    #[test]
    fn no_byte_of_the_bridges_makes_a_line_or_a_path() {
        let hostile = "a\nFWSHARE_ASSEMBLE=1\r\u{2028}b\"'\\$%{}*?/../\0ä";
        let identity = Identity {
            vendor: Some(hostile.into()),
            model: Some("\n\n".into()),
            ..identity()
        };
        for byte in 0..=u8::MAX {
            let info = DiskInfo {
                product: Text::from_bytes([byte; 16]),
                revision: Text::from_bytes([b'=', byte, b'\n', byte]),
                serial: Some(format!("{hostile}{}", char::from(byte))),
                ..info()
            };
            let text = properties(&identity, &info);
            for line in text.lines() {
                let (key, value) = line.split_once('=').unwrap();
                assert!(key.starts_with("ID_") || key.starts_with("FWSHARE_"));
                let is_safe =
                    |letter: char| letter.is_ascii_alphanumeric() || "#+-.:@_".contains(letter);
                assert!(value.chars().all(is_safe), "{line}");
            }
            assert_eq!(read(&text)["FWSHARE_ASSEMBLE"], "0");
            assert_eq!(text.matches("\nFWSHARE_ASSEMBLE=").count(), 1);
        }
    }
}
