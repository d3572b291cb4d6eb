use super::*;
use crate::bus::NodeId;

#[test]
fn a_regular_file_is_told_from_a_node() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Device::open(file.path()).unwrap_err();
    assert!(matches!(error, DeviceError::NotANode { .. }), "{error}");
    assert_eq!(error.errno(), Some(Errno::ENOTTY));
    let text = error.to_string();
    let path = file.path().to_str().unwrap();
    assert!(text.contains(path) && text.contains("GET_INFO"), "{text}");
    assert!(!error.is_gone());
}

#[test]
fn a_file_that_is_not_there_counts_as_gone() {
    let folder = tempfile::tempdir().unwrap();
    let error = Device::open(&folder.path().join("fw0")).unwrap_err();
    assert!(error.is_gone() && !error.is_denied(), "{error}");
}

/// A device over a regular file, for what needs no ioctl.
fn device() -> Device {
    Device {
        path: PathBuf::from("/dev/fw1"),
        file: tempfile::tempfile().unwrap(),
        version: abi::VERSION,
    }
}

fn get_info(version: u32, rom_length: u32, node: u32) -> Result<NodeInfo, DeviceError> {
    let info = abi::GetInfo {
        version,
        rom_length,
        ..abi::GetInfo::default()
    };
    let event = abi::BusResetEvent {
        node_id: node.into(),
        ..abi::BusResetEvent::default()
    };
    device().node_info(&info, &event, vec![0; abi::ROM_QUADLETS])
}

#[test]
fn versions_before_4_are_refused_with_the_version_and_the_kernel_that_is_needed() {
    let text = get_info(3, 24, 0xffc0).unwrap_err().to_string();
    for part in ["/dev/fw1", "version 3", "2.6.36"] {
        assert!(text.contains(part), "{text}");
    }
    for version in [4, 5, 6, 7] {
        assert_eq!(get_info(version, 24, 0xffc0).unwrap().version, version);
    }
}

#[test]
fn a_rom_is_as_long_as_the_kernel_says_and_never_longer_than_what_was_copied() {
    let length = |bytes| get_info(6, bytes, 0xffc0).unwrap().rom.len();
    assert_eq!(length(24), 6);
    assert_eq!(length(u32::MAX), abi::ROM_QUADLETS);
}

#[test]
fn answers_that_no_kernel_gives_are_errors_that_name_file_and_ioctl() {
    let error = get_info(6, 24, 0x1_ffc0).unwrap_err();
    assert!(matches!(error, DeviceError::Answer { .. }), "{error}");

    let region = AddressRange::new(Address::new(0x1_0000_0000), 0x1000).unwrap();
    let allocate = |offset| {
        let answer = abi::Allocate {
            offset,
            length: 0x100,
            handle: 7,
            ..abi::Allocate::default()
        };
        device().allocation(region, &answer)
    };
    let allocation = allocate(0x1_0000_0f00).unwrap();
    assert_eq!(allocation.handle, 7);
    assert_eq!(allocation.range.start(), Address::new(0x1_0000_0f00));
    for offset in [0, 0x1_0000_0f04, 0x1_0001_0000_0000, u64::MAX] {
        let text = allocate(offset).unwrap_err().to_string();
        assert!(text.contains("ALLOCATE on /dev/fw1"), "{text}");
    }
}

#[test]
fn the_end_of_a_file_is_the_end_of_its_node() {
    let error = device().read_event(&mut [0; 64]).unwrap_err();
    assert!(error.is_gone(), "{error}");
}

#[test]
fn the_eui64_is_in_the_fourth_and_fifth_quadlet() {
    let info = |rom: &[u32]| NodeInfo {
        version: 6,
        card: 0,
        state: BusState {
            node: NodeId(0xffc0),
            local: NodeId(0xffc1),
            generation: Generation(1),
        },
        rom: rom.to_vec(),
    };
    let rom = [0x0404_0000, 0x3133_3934, 0, 0x0010_1003, 0x1234_5678];
    assert_eq!(info(&rom).eui64(), Some(Eui64(0x0010_1003_1234_5678)));
    assert_eq!(info(&rom[..4]).eui64(), None);
}

#[test]
fn every_lock_finds_its_way_back_from_its_transaction_code() {
    for tcode in tcode::LOCK_MASK_SWAP..tcode::LOCK_VENDOR {
        assert_eq!(lock_kind(tcode).map(lock_tcode), Some(tcode));
    }
    assert_eq!(lock_kind(tcode::LOCK_VENDOR), None);
}
