//! What known firmware gets wrong.
//!
//! The table and the rules by which it is matched are those of `drivers/firewire/sbp2.c` in
//! Linux 6.12, and the numbers are those of its parameter `workarounds=`, so that what people
//! know and have written down stays true. There is no row for Oxford bridges.

use bitflags::bitflags;

bitflags! {
    /// Deviations from the standards that an initiator has to work around.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Quirks: u32 {
        /// Transfers of more than 128 KiB fail.
        const MAX_TRANSFER_128K = 0x1;
        /// INQUIRY must ask for 36 bytes, neither more nor fewer.
        const INQUIRY_36 = 0x2;
        /// The caching page (8) of MODE SENSE is not to be asked for.
        const NO_MODE_PAGE_8 = 0x4;
        /// READ CAPACITY gives one block too many.
        const FIX_CAPACITY = 0x8;
        /// INQUIRY works only 12 s after the login.
        const DELAY_INQUIRY = 0x10;
        /// START STOP UNIT needs the power condition field.
        const POWER_CONDITION = 0x20;
        /// In what a user asks for: take these flags alone and leave the table aside.
        const OVERRIDE = 0x100;
    }
}

/// A known device or bridge.
struct Row {
    /// Bits 23:8 of the firmware revision; the lower ones do not matter.
    firmware: u32,
    /// The unit's model; `None` for any and for none.
    model: Option<u32>,
    name: &'static str,
    quirks: Quirks,
}

const fn row(firmware: u32, model: Option<u32>, name: &'static str, quirks: Quirks) -> Row {
    Row {
        firmware,
        model,
        name,
        quirks,
    }
}

const MOMOBAY_CX_1: Quirks = Quirks::INQUIRY_36
    .union(Quirks::NO_MODE_PAGE_8)
    .union(Quirks::POWER_CONDITION);
const OLD_IPOD: Quirks = Quirks::MAX_TRANSFER_128K.union(Quirks::FIX_CAPACITY);

/// The first row that matches counts.
#[rustfmt::skip]
const TABLE: [Row; 11] = [
    row(0x00_2800, Some(0x00_1010), "DViCO Momobay CX-1 (TSB42AA9)", MOMOBAY_CX_1),
    row(0x00_2800, Some(0x00_0000), "DViCO Momobay FX-3A (TSB42AA9A)", Quirks::POWER_CONDITION),
    row(0x00_0200, None, "Initio", Quirks::INQUIRY_36),
    row(0x01_2800, None, "Prolific PL-3507", Quirks::POWER_CONDITION),
    row(0xa0_b800, None, "Symbios", Quirks::MAX_TRANSFER_128K),
    row(0x00_2600, None, "Symbios/LSI SYM13FW500", Quirks::MAX_TRANSFER_128K),
    row(0x0a_2700, Some(0x00_0000), "iPod, 2nd or 3rd generation", OLD_IPOD),
    row(0x0a_2700, Some(0x00_0021), "iPod, 4th generation", Quirks::FIX_CAPACITY),
    row(0x0a_2700, Some(0x00_0022), "iPod mini", Quirks::FIX_CAPACITY),
    row(0x0a_2700, Some(0x00_0023), "iPod mini", Quirks::FIX_CAPACITY),
    row(0x0a_2700, Some(0x00_007e), "iPod Photo", Quirks::FIX_CAPACITY),
];

/// A unit without firmware revision matches no row, and one without model none that names one.
fn find(firmware: Option<u32>, model: Option<u32>) -> Option<&'static Row> {
    let firmware = firmware? & 0x00ff_ff00;
    TABLE
        .iter()
        .find(|row| row.firmware == firmware && (row.model.is_none() || row.model == model))
}

/// The name of the device or bridge with this firmware revision and model, where the table has it.
pub(super) fn known_device(firmware: Option<u32>, model: Option<u32>) -> Option<&'static str> {
    find(firmware, model).map(|row| row.name)
}

impl Quirks {
    /// The quirks of a unit with this firmware revision and model, both from its unit directory.
    #[must_use]
    pub fn of(firmware: Option<u32>, model: Option<u32>) -> Self {
        find(firmware, model).map_or(Self::empty(), |row| row.quirks)
    }

    /// These quirks, the table's, together with what the user asked for; with
    /// [`Quirks::OVERRIDE`] what the user asked for alone. OVERRIDE itself is not part of the
    /// result.
    #[must_use]
    pub fn with_workarounds(self, user: Self) -> Self {
        let all = if user.contains(Self::OVERRIDE) {
            user
        } else {
            self | user
        };
        all - Self::OVERRIDE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_low_byte_of_the_firmware_revision_does_not_matter() {
        for firmware in [0xa0_b800, 0xa0_b8ff] {
            assert_eq!(Quirks::of(Some(firmware), None), Quirks::MAX_TRANSFER_128K);
        }
        assert_eq!(Quirks::of(Some(0xa0_b900), None), Quirks::empty());
    }

    #[test]
    fn a_row_with_a_model_wants_that_model() {
        let dvico = |model| Quirks::of(Some(0x00_2801), model);
        assert_eq!(dvico(Some(0x00_1010)).bits(), 0x26);
        assert_eq!(dvico(Some(0)).bits(), 0x20);
        assert_eq!(dvico(Some(1)), Quirks::empty());
        // A missing model is not model 0.
        assert_eq!(dvico(None), Quirks::empty());
        assert_eq!(Quirks::of(Some(0x0a_2700), Some(0)).bits(), 0x9);
        assert_eq!(Quirks::of(Some(0x0a_2700), Some(0x7e)).bits(), 0x8);
    }

    #[test]
    fn oxford_bridges_and_units_without_a_firmware_revision_have_none() {
        assert_eq!(Quirks::of(Some(0x00_0025), Some(1)), Quirks::empty());
        assert_eq!(Quirks::of(None, Some(0x00_1010)), Quirks::empty());
    }

    #[test]
    fn the_users_flags_add_to_the_table_unless_they_override_it() {
        let table = Quirks::INQUIRY_36;
        let user = Quirks::FIX_CAPACITY;
        assert_eq!(table.with_workarounds(Quirks::empty()), table);
        assert_eq!(table.with_workarounds(user), table | user);
        assert_eq!(table.with_workarounds(user | Quirks::OVERRIDE), user);
        assert_eq!(table.with_workarounds(Quirks::OVERRIDE), Quirks::empty());
    }
}
