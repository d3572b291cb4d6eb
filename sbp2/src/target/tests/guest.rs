//! A bridge on a node whose core registers and configuration ROM are somebody else's.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use ohci_raw::bus::{Address, csr};
use ohci_raw::config_rom::{Builder, BusOptions, ConfigRom, DirectoryBuilder, Key};

use super::lab::Lab;
use crate::scsi::MemoryMedium;
use crate::target::{Bridge, BridgeProfile, LoggedIn};
use crate::unit;
use crate::wire::{Function, Sbp2Status};

#[test]
fn its_unit_directory_leads_to_its_agent_from_any_rom() {
    let media = (0..3)
        .map(|_| -> Box<dyn crate::scsi::Medium> { Box::new(MemoryMedium::new(512, 16).unwrap()) });
    let bridge = Bridge::new(BridgeProfile::generic(), media.collect()).unwrap();
    let root = DirectoryBuilder::new()
        .immediate(Key::VENDOR, 0x00_1f11)
        .text("Linux Firewire");
    let rom = Builder::new(BusOptions::default(), bridge.profile().eui64, root);
    let rom = rom.build().unwrap();
    let rom = bridge.unit_directory().unwrap().added_to(&rom).unwrap();
    let rom: Vec<_> = rom.into_iter().map(Some).collect();
    let rom = ConfigRom::read(&rom).unwrap();
    assert!(rom.warnings.is_empty(), "{:?}", rom.warnings);
    let units = unit::units(&rom);
    let luns: Vec<_> = units[0].logical_units.iter().map(|unit| unit.lun).collect();
    assert_eq!(luns, [0, 1, 2]);

    let management = bridge.management_agent().unwrap();
    assert_eq!(management.start(), Address::new(0xffff_f001_0000));
    assert!(bridge.claims().contains(&management));
    assert!(!management.overlaps(core_registers()));
    let names: Vec<_> = (0..3)
        .map(|lun| bridge.device(lun).unwrap().identity().clone())
        .collect();
    assert_eq!(names[0].serial.as_bytes(), b"F05B0002            ");
    assert_eq!(names[2].serial.as_bytes(), b"F05B0002-002        ");
    assert_eq!((names[1].lun, names[1].eui64), (1, names[0].eui64));
}

fn core_registers() -> ohci_raw::bus::AddressRange {
    ohci_raw::bus::AddressRange::new(csr::REGISTER_SPACE, 0x800).unwrap()
}

#[test]
fn who_is_logged_in_can_be_seen() {
    let mut lab = Lab::logged_in(2);
    let login = |lab: &Lab, host: usize, connected| LoggedIn {
        login_id: lab.hosts[host].login.unwrap().login_id(),
        lun: 0,
        initiator: lab.hosts[host].eui64,
        exclusive: false,
        connected,
    };
    let [first, second] = [0, 1].map(|host| login(&lab, host, true));
    assert_eq!(lab.bridge.logins(), [first, second]);
    lab.reset_bus();
    assert!(lab.bridge.logins().iter().all(|login| !login.connected));
    assert_eq!(lab.for_own_login(0, Function::RECONNECT).status, 0);
    let waiting = login(&lab, 1, false);
    assert_eq!(lab.bridge.logins(), [first, waiting]);
    assert_eq!(lab.for_own_login(0, Function::LOGOUT).status, 0);
    assert_eq!(lab.bridge.logins(), [waiting]);
}

#[test]
fn a_bridge_that_is_about_to_stop_lets_nobody_in_and_keeps_who_is_in() {
    let mut lab = Lab::new(2);
    assert_eq!(lab.log_in(0, false).status, 0);
    lab.bridge.refuse_logins();
    let refused = lab.log_in(1, false).sbp_status();
    assert_eq!(refused, Sbp2Status::RESOURCES_UNAVAILABLE);
    lab.reset_bus();
    assert_eq!(lab.for_own_login(0, Function::RECONNECT).status, 0);
}

#[test]
fn a_flush_reaches_every_medium_and_tells_which_one_failed() {
    let mut lab = Lab::new(1);
    assert_eq!(lab.bridge.flush(), Ok(()));
    assert_eq!(lab.disk.0.lock().unwrap().flushes, 1);

    struct Broken(MemoryMedium);
    impl crate::scsi::Medium for Broken {
        fn block_length(&self) -> u32 {
            self.0.block_length()
        }
        fn blocks(&self) -> u64 {
            self.0.blocks()
        }
        fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), crate::scsi::MediumError> {
            self.0.read(lba, buffer)
        }
        fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), crate::scsi::MediumError> {
            self.0.write(lba, data)
        }
        fn flush(&mut self) -> Result<(), crate::scsi::MediumError> {
            Err(crate::scsi::MediumError::Failed)
        }
    }
    let memory = || MemoryMedium::new(512, 16).unwrap();
    let media: Vec<Box<dyn crate::scsi::Medium>> = vec![
        Box::new(memory()),
        Box::new(Broken(memory())),
        Box::new(lab.disk.clone()),
    ];
    let mut bridge = Bridge::new(BridgeProfile::generic(), media).unwrap();
    let (lun, _) = bridge.flush().unwrap_err();
    assert_eq!(lun, 1);
    assert_eq!(lab.disk.0.lock().unwrap().flushes, 2, "the others, too");
}
