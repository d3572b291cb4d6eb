use core::fmt;

/// An additional sense code with its qualifier (ASC/ASCQ, SPC-3 4.5.6).
///
/// Any pair can be carried; those that a disk across SBP-2 produces or meets often have names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AdditionalSense {
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
}

/// Declares the constants and the table of names from one list.
macro_rules! codes {
    ($($constant:ident = $asc:literal / $ascq:literal, $name:literal;)*) => {
        impl AdditionalSense {
            $(
                #[doc = concat!($asc, "/", $ascq, ": ", $name, ".")]
                pub const $constant: Self = Self::new($asc, $ascq);
            )*

            /// What the code says, where it is one of the known ones.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match (self.asc, self.ascq) {
                    $(($asc, $ascq) => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    NONE = 0x00 / 0x00, "no additional sense information";
    NOT_READY_CAUSE_UNKNOWN = 0x04 / 0x00, "logical unit not ready, cause not reportable";
    BECOMING_READY = 0x04 / 0x01, "logical unit is in process of becoming ready";
    INITIALIZING_COMMAND_REQUIRED = 0x04 / 0x02, "logical unit not ready, initializing command required";
    MANUAL_INTERVENTION_REQUIRED = 0x04 / 0x03, "logical unit not ready, manual intervention required";
    COMMUNICATION_FAILURE = 0x08 / 0x00, "logical unit communication failure";
    COMMUNICATION_TIMEOUT = 0x08 / 0x01, "logical unit communication time-out";
    COMMUNICATION_CRC_ERROR = 0x08 / 0x03, "logical unit communication CRC error (Ultra-DMA/32)";
    WRITE_ERROR = 0x0c / 0x00, "write error";
    UNRECOVERED_READ_ERROR = 0x11 / 0x00, "unrecovered read error";
    PARAMETER_LIST_LENGTH_ERROR = 0x1a / 0x00, "parameter list length error";
    MISCOMPARE_DURING_VERIFY = 0x1d / 0x00, "miscompare during verify operation";
    INVALID_OPERATION_CODE = 0x20 / 0x00, "invalid command operation code";
    LBA_OUT_OF_RANGE = 0x21 / 0x00, "logical block address out of range";
    INVALID_FIELD_IN_CDB = 0x24 / 0x00, "invalid field in CDB";
    LOGICAL_UNIT_NOT_SUPPORTED = 0x25 / 0x00, "logical unit not supported";
    INVALID_FIELD_IN_PARAMETER_LIST = 0x26 / 0x00, "invalid field in parameter list";
    WRITE_PROTECTED = 0x27 / 0x00, "write protected";
    SPACE_ALLOCATION_FAILED = 0x27 / 0x07, "space allocation failed write protect";
    MEDIUM_MAY_HAVE_CHANGED = 0x28 / 0x00, "not ready to ready change, medium may have changed";
    POWER_ON_OR_RESET = 0x29 / 0x00, "power on, reset, or bus device reset occurred";
    POWER_ON = 0x29 / 0x01, "power on occurred";
    SCSI_BUS_RESET = 0x29 / 0x02, "SCSI bus reset occurred";
    BUS_DEVICE_RESET = 0x29 / 0x03, "bus device reset function occurred";
    DEVICE_INTERNAL_RESET = 0x29 / 0x04, "device internal reset";
    MODE_PARAMETERS_CHANGED = 0x2a / 0x01, "mode parameters changed";
    CAPACITY_CHANGED = 0x2a / 0x09, "capacity data has changed";
    COMMANDS_CLEARED = 0x2f / 0x00, "commands cleared by another initiator";
    SAVING_PARAMETERS_NOT_SUPPORTED = 0x39 / 0x00, "saving parameters not supported";
    MEDIUM_NOT_PRESENT = 0x3a / 0x00, "medium not present";
    INTERNAL_TARGET_FAILURE = 0x44 / 0x00, "internal target failure";
    SCSI_PARITY_ERROR = 0x47 / 0x00, "SCSI parity error";
    DATA_PHASE_ERROR = 0x4b / 0x00, "data phase error";
    LOW_POWER_CONDITION_ON = 0x5e / 0x00, "low power condition on";
}

impl AdditionalSense {
    /// The code for this pair.
    #[must_use]
    pub const fn new(asc: u8, ascq: u8) -> Self {
        Self { asc, ascq }
    }
}

impl fmt::Display for AdditionalSense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name().unwrap_or("additional sense");
        write!(f, "{name} ({:02x}/{:02x})", self.asc, self.ascq)
    }
}

impl fmt::Debug for AdditionalSense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
