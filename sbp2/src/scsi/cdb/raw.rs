use core::fmt;

use super::CdbError;
use crate::scsi::bytes::put;

/// The bytes of a command descriptor block: 1 to 16 of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawCdb {
    pub(super) bytes: [u8; 16],
    length: u8,
}

impl RawCdb {
    /// The first `length` of `bytes`.
    pub(super) const fn of(bytes: [u8; 16], length: u8) -> Self {
        Self { bytes, length }
    }

    /// These bytes as they are, known or not. Bytes beyond the 16th are left out: no command
    /// that SBP-2 carries in a 36-byte ORB has them.
    ///
    /// # Errors
    ///
    /// There is no byte at all.
    pub fn new(bytes: &[u8]) -> Result<Self, CdbError> {
        let length = match bytes.len() {
            0 => return Err(CdbError::Empty),
            length => u8::try_from(length.min(16)).unwrap_or(16),
        };
        let mut padded = [0; 16];
        put(&mut padded, 0, bytes);
        Ok(Self::of(padded, length))
    }

    /// The command's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The command's bytes, filled up with zeros: the way they stand in an ORB.
    #[must_use]
    pub const fn padded(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// The operation code.
    #[must_use]
    pub const fn opcode(&self) -> u8 {
        self.bytes[0]
    }
}

impl fmt::Debug for RawCdb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.as_bytes().iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")?;
        }
        Ok(())
    }
}
