use ohci_raw::config_rom::{ConfigRom, Key};

use super::Unit;
use super::quirks::known_device;

/// Oxford Semiconductor's OUI.
const OXFORD: u32 = 0x00_30e0;

/// The bridge or device behind a unit, where its ROM gives it away.
///
/// Makers of enclosures put their own names into the ROM, so most often it does not. What counts
/// as evidence: Oxford's vendor id together with the chip's number as hardware version, Oxford's
/// vendor id or name without that, and the rows of the kernel's table of firmware revisions.
#[must_use]
pub fn bridge_name(rom: &ConfigRom, unit: &Unit) -> Option<&'static str> {
    let text = rom.vendor_text().unwrap_or_default();
    let oxford = rom.vendor_id() == Some(OXFORD) || text.starts_with("Oxford");
    if oxford {
        let hardware = rom.root()?.value(Key::HARDWARE_VERSION);
        return Some(match hardware {
            Some(0x00_f911) => "Oxford OXFW911",
            _ => "Oxford Semiconductor",
        });
    }
    known_device(unit.firmware_revision, unit.model_id)
}
