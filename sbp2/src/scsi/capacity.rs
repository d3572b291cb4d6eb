use super::bytes::{put, u32_at, u64_at};

/// READ CAPACITY(10) data (SBC-3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity10 {
    /// The last block; [`Capacity10::TOO_LARGE`] where 32 bits are too few.
    pub last_lba: u32,
    /// Bytes per logical block.
    pub block_length: u32,
}

impl Capacity10 {
    /// The last LBA does not fit: ask READ CAPACITY(16).
    pub const TOO_LARGE: u32 = u32::MAX;

    /// Reads the 8 bytes of data. What is missing is zero.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        Self {
            last_lba: u32_at(bytes, 0),
            block_length: u32_at(bytes, 4),
        }
    }

    /// The data as it is sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        put(&mut bytes, 0, &self.last_lba.to_be_bytes());
        put(&mut bytes, 4, &self.block_length.to_be_bytes());
        bytes
    }
}

/// READ CAPACITY(16) data (SBC-3), without what it says of protection and provisioning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity16 {
    /// The last block.
    pub last_lba: u64,
    /// Bytes per logical block.
    pub block_length: u32,
}

impl Capacity16 {
    /// Bytes of data.
    pub const LENGTH: u8 = 32;

    /// Reads the data. What is missing is zero.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        Self {
            last_lba: u64_at(bytes, 0),
            block_length: u32_at(bytes, 8),
        }
    }

    /// The data as it is sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LENGTH as usize] {
        let mut bytes = [0; Self::LENGTH as usize];
        put(&mut bytes, 0, &self.last_lba.to_be_bytes());
        put(&mut bytes, 8, &self.block_length.to_be_bytes());
        bytes
    }

    /// The same in 32 bits.
    #[must_use]
    pub fn to_10(self) -> Capacity10 {
        Capacity10 {
            last_lba: u32::try_from(self.last_lba).unwrap_or(Capacity10::TOO_LARGE),
            block_length: self.block_length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_round_trips_and_saturates_in_32_bits() {
        let capacity = |last_lba| Capacity16 {
            last_lba,
            block_length: 512,
        };
        for last_lba in [0, 0xffff_fffe, 0xffff_ffff, 1 << 32, u64::MAX] {
            let long = capacity(last_lba);
            assert_eq!(Capacity16::parse(&long.to_bytes()), long);
            let short = long.to_10();
            assert_eq!(Capacity10::parse(&short.to_bytes()), short);
            assert_eq!(u64::from(short.last_lba), last_lba.min(0xffff_ffff));
        }
    }
}
