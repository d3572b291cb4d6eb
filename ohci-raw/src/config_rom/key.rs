use core::fmt;

/// What an entry's value is, bits 31:30 of the entry (IEEE 1212-2001 7.5.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyType {
    /// 0: a number.
    Immediate,
    /// 1: the place of a register, in quadlets from the start of register space.
    CsrOffset,
    /// 2: the place of a leaf, in quadlets from the entry.
    Leaf,
    /// 3: the place of a directory, in quadlets from the entry.
    Directory,
}

impl KeyType {
    /// Whether the value is the place of a block, counted from the entry.
    #[must_use]
    pub const fn is_pointer(self) -> bool {
        matches!(self, Self::Leaf | Self::Directory)
    }
}

/// The first byte of an entry: its type in the upper two bits, the key id in the lower six.
///
/// The meaning of ids from 0x30 on, and of 0x14, depends on the unit that the directory belongs
/// to, so they have no name here; for SBP-2 see `sbp2::unit`. Unknown keys are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u8);

impl Key {
    /// The vendor's OUI.
    pub const VENDOR: Self = Self(0x03);
    /// The hardware's version.
    pub const HARDWARE_VERSION: Self = Self(0x04);
    /// What the node implements of the core CSRs.
    pub const NODE_CAPABILITIES: Self = Self(0x0c);
    /// Who defined the unit's software interface (OUI).
    pub const SPECIFIER_ID: Self = Self(0x12);
    /// Which of the specifier's interfaces the unit has.
    pub const VERSION: Self = Self(0x13);
    /// The model.
    pub const MODEL: Self = Self(0x17);
    /// An id for the directory; else its address stands in.
    pub const DIRECTORY_ID: Self = Self(0x20);
    /// The revision of a unit's software interface.
    pub const REVISION: Self = Self(0x21);
    /// A descriptor of the entry before it, most often a text.
    pub const DESCRIPTOR_LEAF: Self = Self(0x81);
    /// Several descriptors of the entry before it.
    pub const DESCRIPTOR_DIRECTORY: Self = Self(0xc1);
    /// An EUI-64.
    pub const EUI64_LEAF: Self = Self(0x8d);
    /// The vendor's directory, where older video cameras keep model and text.
    pub const VENDOR_DIRECTORY: Self = Self(0xc3);
    /// A unit directory.
    pub const UNIT_DIRECTORY: Self = Self(0xd1);

    /// The key of this type and id. Of the id the low six bits are taken.
    #[must_use]
    pub const fn new(key_type: KeyType, id: u8) -> Self {
        Self((key_type as u8) << 6 | id & 0x3f)
    }

    /// What the value is.
    #[must_use]
    pub const fn key_type(self) -> KeyType {
        match self.0 >> 6 {
            0 => KeyType::Immediate,
            1 => KeyType::CsrOffset,
            2 => KeyType::Leaf,
            _ => KeyType::Directory,
        }
    }

    /// The key id, 0..=0x3f.
    #[must_use]
    pub const fn id(self) -> u8 {
        self.0 & 0x3f
    }

    /// Whether this entry describes the one before it.
    #[must_use]
    pub const fn is_descriptor(self) -> bool {
        matches!(self, Self::DESCRIPTOR_LEAF | Self::DESCRIPTOR_DIRECTORY)
    }

    /// The id's name in IEEE 1212-2001 table 16, or `None`.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.id() {
            0x01 => "Descriptor",
            0x02 => "Bus_Dependent_Info",
            0x03 => "Vendor",
            0x04 => "Hardware_Version",
            0x07 => "Module",
            0x0c => "Node_Capabilities",
            0x0d => "EUI_64",
            0x11 => "Unit",
            0x12 => "Specifier_ID",
            0x13 => "Version",
            0x14 => "Dependent_Info",
            0x15 => "Unit_Location",
            0x17 => "Model",
            0x18 => "Instance",
            0x19 => "Keyword",
            0x1a => "Feature",
            0x1b => "Extended_ROM",
            0x1c => "Extended_Key_Specifier_ID",
            0x1d => "Extended_Key",
            0x1e => "Extended_Data",
            0x1f => "Modifiable_Descriptor",
            0x20 => "Directory_ID",
            0x21 => "Revision",
            _ => return None,
        })
    }
}

impl fmt::Display for Key {
    /// The byte as two digits, as in `d1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:#04x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_type_and_its_id() {
        assert_eq!(Key(0x54).key_type(), KeyType::CsrOffset);
        assert_eq!(Key(0x14).key_type(), KeyType::Immediate);
        assert_eq!(Key(0x54).id(), Key(0x14).id());
        for byte in 0..=u8::MAX {
            let key = Key(byte);
            assert_eq!(Key::new(key.key_type(), key.id()), key);
        }
        assert_eq!(Key(0x3a).name(), None);
        assert_eq!(Key::UNIT_DIRECTORY.name(), Some("Unit"));
    }
}
