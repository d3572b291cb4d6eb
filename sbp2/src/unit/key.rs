//! Keys whose meaning SBP-2 gives them, in a unit directory and in the logical unit directories
//! below it (SBP-2 7.4 and 7.5). Elsewhere the same numbers mean something else.

use ohci_raw::config_rom::Key;

/// Type and number of a logical unit, in one value.
pub const LOGICAL_UNIT_NUMBER: Key = Key(0x14);
/// Who defined the command set (OUI).
pub const COMMAND_SET_SPEC_ID: Key = Key(0x38);
/// The command set.
pub const COMMAND_SET: Key = Key(0x39);
/// Timeout of management ORBs and size of command ORBs, in one value.
pub const UNIT_CHARACTERISTICS: Key = Key(0x3a);
/// The command set's revision.
pub const COMMAND_SET_REVISION: Key = Key(0x3b);
/// The firmware's revision.
pub const FIRMWARE_REVISION: Key = Key(0x3c);
/// How long the target can hold resources for a reconnect.
pub const RECONNECT_TIMEOUT: Key = Key(0x3d);
/// SBP-3's fast start.
pub const FAST_START: Key = Key(0x3e);
/// The register of the management agent.
pub const MANAGEMENT_AGENT: Key = Key(0x54);
/// A logical unit directory.
pub const LOGICAL_UNIT_DIRECTORY: Key = Key(0xd4);

/// The name of a key in an SBP-2 unit's directories: the standard's own, else that of IEEE 1212.
#[must_use]
pub const fn name(key: Key) -> Option<&'static str> {
    Some(match key {
        LOGICAL_UNIT_NUMBER => "Logical_Unit_Number",
        COMMAND_SET_SPEC_ID => "Command_Set_Spec_ID",
        COMMAND_SET => "Command_Set",
        UNIT_CHARACTERISTICS => "Unit_Characteristics",
        COMMAND_SET_REVISION => "Command_Set_Revision",
        FIRMWARE_REVISION => "Firmware_Revision",
        RECONNECT_TIMEOUT => "Reconnect_Timeout",
        FAST_START => "Fast_Start",
        MANAGEMENT_AGENT => "Management_Agent",
        LOGICAL_UNIT_DIRECTORY => "Logical_Unit_Directory",
        Key::EUI64_LEAF => "Unit_Unique_ID",
        key => return key.name(),
    })
}
