use super::*;
use alloc::vec::Vec;

/// One command of each kind with its bytes as the standards lay them out.
fn examples() -> Vec<(Cdb, Vec<u8>)> {
    let pages = ModePageSelect {
        disable_block_descriptors: true,
        control: 2,
        page: 0x3f,
        subpage: 0xff,
    };
    let (disable_page_out, force_unit_access) = (true, true);
    let hex = |text: &str| -> Vec<u8> {
        text.split(' ')
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect()
    };
    [
        (Cdb::TestUnitReady, "00 00 00 00 00 00"),
        (
            Cdb::RequestSense {
                descriptor_format: true,
                allocation_length: 252,
            },
            "03 01 00 00 fc 00",
        ),
        (
            Cdb::Read6 {
                lba: 0x1f_2345,
                blocks: 256,
            },
            "08 1f 23 45 00 00",
        ),
        (Cdb::Write6 { lba: 1, blocks: 2 }, "0a 00 00 01 02 00"),
        (
            Cdb::Inquiry {
                vital_product_data: true,
                page_code: 0x83,
                allocation_length: 0x1234,
            },
            "12 01 83 12 34 00",
        ),
        (
            Cdb::ModeSense6 {
                pages,
                allocation_length: 192,
            },
            "1a 08 bf ff c0 00",
        ),
        (
            Cdb::StartStopUnit {
                immediate: true,
                power_condition: 1,
                load_eject: false,
                start: true,
            },
            "1b 01 00 00 11 00",
        ),
        (Cdb::ReadCapacity10, "25 00 00 00 00 00 00 00 00 00"),
        (
            Cdb::Read10 {
                lba: 0x100,
                blocks: 8,
                disable_page_out: false,
                force_unit_access: false,
            },
            "28 00 00 00 01 00 00 00 08 00",
        ),
        (
            Cdb::Write10 {
                lba: 0x1234_5678,
                blocks: 0x9abc,
                disable_page_out,
                force_unit_access,
            },
            "2a 18 12 34 56 78 00 9a bc 00",
        ),
        (
            Cdb::Verify10 {
                lba: 1,
                blocks: 2,
                byte_check: 1,
            },
            "2f 02 00 00 00 01 00 00 02 00",
        ),
        (
            Cdb::SynchronizeCache10 {
                immediate: true,
                lba: 3,
                blocks: 4,
            },
            "35 02 00 00 00 03 00 00 04 00",
        ),
        (
            Cdb::ModeSense10 {
                pages,
                long_lba_accepted: true,
                allocation_length: 0x102,
            },
            "5a 18 bf ff 00 00 00 01 02 00",
        ),
        (
            Cdb::Read16 {
                lba: 0x0102_0304_0506_0708,
                blocks: 0x090a_0b0c,
                disable_page_out,
                force_unit_access: false,
            },
            "88 10 01 02 03 04 05 06 07 08 09 0a 0b 0c 00 00",
        ),
        (
            Cdb::Write16 {
                lba: 1 << 32,
                blocks: 1,
                disable_page_out: false,
                force_unit_access,
            },
            "8a 08 00 00 00 01 00 00 00 00 00 00 00 01 00 00",
        ),
        (
            Cdb::SynchronizeCache16 {
                immediate: false,
                lba: 5,
                blocks: 6,
            },
            "91 00 00 00 00 00 00 00 00 05 00 00 00 06 00 00",
        ),
        (
            Cdb::ReadCapacity16 {
                allocation_length: 32,
            },
            "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00",
        ),
        (
            Cdb::ReportLuns {
                select_report: 2,
                allocation_length: 4096,
            },
            "a0 00 02 00 00 00 00 00 10 00 00 00",
        ),
        (
            Cdb::Other(RawCdb::new(&[0xd8, 1, 2, 3]).unwrap()),
            "d8 01 02 03",
        ),
    ]
    .map(|(cdb, bytes)| (cdb, hex(bytes)))
    .into()
}

#[test]
fn each_command_has_the_standards_bytes_and_comes_back_also_from_an_orb() {
    for (cdb, bytes) in examples() {
        let raw = cdb.encode();
        assert_eq!(raw.as_bytes(), bytes, "{cdb:?}");
        assert_eq!(Cdb::parse(&bytes), Ok(cdb));
        if !matches!(cdb, Cdb::Other(_)) {
            assert_eq!(Cdb::parse(raw.padded()), Ok(cdb));
        }
    }
}

#[test]
fn a_command_that_is_cut_off_is_an_error() {
    for (cdb, bytes) in examples() {
        if matches!(cdb, Cdb::Other(_)) {
            continue;
        }
        for available in 2..bytes.len() {
            assert_eq!(
                Cdb::parse(&bytes[..available]),
                Err(CdbError::Truncated {
                    opcode: bytes[0],
                    needed: bytes.len(),
                    available
                })
            );
        }
    }
    assert_eq!(Cdb::parse(&[]), Err(CdbError::Empty));
    assert!(matches!(Cdb::parse(&[0xff; 40]), Ok(Cdb::Other(raw)) if raw.as_bytes() == [0xff; 16]));
}

#[test]
fn an_unknown_service_action_is_another_command() {
    let bytes = [0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
    assert!(matches!(Cdb::parse(&bytes), Ok(Cdb::Other(_))));
}

#[test]
fn the_room_for_parameter_data_is_told() {
    let with_room = examples()
        .iter()
        .filter(|(cdb, _)| cdb.allocation_length() > 0)
        .map(|(cdb, _)| cdb.allocation_length())
        .collect::<Vec<_>>();
    assert_eq!(with_room, [252, 0x1234, 192, 8, 0x102, 32, 4096]);
}
