use crate::scsi::{Capacity16, Cdb, ModeForm, ModePageSelect, StandardInquiry, mode_page, vpd};

/// Bytes of a vital product data page to ask for: more than the pages read here have, and below
/// 256 since before SPC-3 the allocation length was one byte.
const VPD_LENGTH: u16 = 252;
/// Bytes of mode data to ask for: header, block descriptor and a page with room to spare.
const MODE_LENGTH: u8 = 64;

/// The command that is sent next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Inquiry,
    SupportedPages,
    SerialNumber,
    Identification,
    TestUnitReady,
    StartUnit { power_condition: bool },
    Capacity10,
    Capacity16,
    ModeSense(ModeSense),
}

/// Which MODE SENSE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ModeSense {
    pub(super) form: ModeForm,
    /// The disk has refused the other form.
    pub(super) is_second: bool,
    pub(super) what: ModeWhat,
}

/// What MODE SENSE asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ModeWhat {
    /// The caching page of SBC.
    Caching,
    /// The device parameters page of RBC, which knows no block descriptors.
    RbcDeviceParameters,
    /// Nothing but the header, of all pages, as `sd_read_write_protect_flag` in Linux's
    /// `drivers/scsi/sd.c` does: for devices that do not survive being asked for a page.
    Header,
}

impl Stage {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Inquiry => "INQUIRY",
            Self::SupportedPages => "INQUIRY (supported pages)",
            Self::SerialNumber => "INQUIRY (unit serial number)",
            Self::Identification => "INQUIRY (device identification)",
            Self::TestUnitReady => "TEST UNIT READY",
            Self::StartUnit { .. } => "START STOP UNIT (start)",
            Self::Capacity10 => "READ CAPACITY(10)",
            Self::Capacity16 => "READ CAPACITY(16)",
            Self::ModeSense(ModeSense {
                form: ModeForm::Six,
                ..
            }) => "MODE SENSE(6)",
            Self::ModeSense(ModeSense {
                form: ModeForm::Ten,
                ..
            }) => "MODE SENSE(10)",
        }
    }

    /// Whether a disk can be used although this command failed.
    pub(super) const fn is_optional(self) -> bool {
        matches!(
            self,
            Self::SupportedPages
                | Self::SerialNumber
                | Self::Identification
                | Self::StartUnit { .. }
                | Self::ModeSense(_)
        )
    }

    pub(super) fn cdb(self) -> Cdb {
        let page = |page_code| Cdb::Inquiry {
            vital_product_data: true,
            page_code,
            allocation_length: VPD_LENGTH,
        };
        match self {
            Self::Inquiry => Cdb::Inquiry {
                vital_product_data: false,
                page_code: 0,
                allocation_length: StandardInquiry::LENGTH.into(),
            },
            Self::SupportedPages => page(vpd::SUPPORTED_PAGES),
            Self::SerialNumber => page(vpd::UNIT_SERIAL_NUMBER),
            Self::Identification => page(vpd::DEVICE_IDENTIFICATION),
            Self::TestUnitReady => Cdb::TestUnitReady,
            // Not waited for here: TEST UNIT READY tells when the disk is up.
            Self::StartUnit { power_condition } => Cdb::StartStopUnit {
                immediate: true,
                power_condition: power_condition.into(),
                load_eject: false,
                start: true,
            },
            Self::Capacity10 => Cdb::ReadCapacity10,
            Self::Capacity16 => Cdb::ReadCapacity16 {
                allocation_length: Capacity16::LENGTH.into(),
            },
            Self::ModeSense(mode) => mode.cdb(),
        }
    }
}

impl ModeSense {
    fn cdb(self) -> Cdb {
        let (page, length) = match (self.what, self.form) {
            (ModeWhat::Caching, _) => (mode_page::CACHING, MODE_LENGTH),
            (ModeWhat::RbcDeviceParameters, _) => (mode_page::RBC_DEVICE_PARAMETERS, MODE_LENGTH),
            (ModeWhat::Header, ModeForm::Six) => (mode_page::ALL, 4),
            (ModeWhat::Header, ModeForm::Ten) => (mode_page::ALL, 8),
        };
        let pages = ModePageSelect {
            disable_block_descriptors: self.what == ModeWhat::RbcDeviceParameters,
            page,
            ..ModePageSelect::default()
        };
        match self.form {
            ModeForm::Six => Cdb::ModeSense6 {
                pages,
                allocation_length: length,
            },
            ModeForm::Ten => Cdb::ModeSense10 {
                pages,
                long_lba_accepted: false,
                allocation_length: length.into(),
            },
        }
    }

    /// The same question in the other form, unless that has been tried.
    pub(super) fn other_form(self) -> Option<Self> {
        (!self.is_second).then_some(Self {
            form: match self.form {
                ModeForm::Six => ModeForm::Ten,
                ModeForm::Ten => ModeForm::Six,
            },
            is_second: true,
            what: self.what,
        })
    }
}
