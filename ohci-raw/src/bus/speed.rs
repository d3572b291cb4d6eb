use core::fmt;

/// A transmission speed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Speed {
    /// 98.304 Mbit/s.
    S100 = 0,
    /// 196.608 Mbit/s.
    S200 = 1,
    /// 393.216 Mbit/s.
    S400 = 2,
    /// 786.432 Mbit/s (IEEE 1394b).
    S800 = 3,
    /// 1572.864 Mbit/s (IEEE 1394b).
    S1600 = 4,
    /// 3145.728 Mbit/s (IEEE 1394b).
    S3200 = 5,
}

impl Speed {
    /// Every speed, slowest first.
    pub const ALL: [Self; 6] = [
        Self::S100,
        Self::S200,
        Self::S400,
        Self::S800,
        Self::S1600,
        Self::S3200,
    ];

    /// The speed with this code (0..=5), as the kernel and SBP-2's `spd` field count them.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The speed's code, 0..=5.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Bits per second on the wire.
    #[must_use]
    pub const fn bits_per_second(self) -> u64 {
        98_304_000 << self as u32
    }

    /// How many bytes an asynchronous packet may carry: 512 at S100, doubling up to 4096 at
    /// S800, and 4096 above (IEEE 1394b 16.3.1.1; Linux commit a08e100a).
    #[must_use]
    pub const fn max_payload(self) -> usize {
        let doublings = self as u32;
        512 << if doublings > 3 { 3 } else { doublings }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S{}", 100u32 << *self as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn payloads_stop_growing_at_s800() {
        let payloads = Speed::ALL.map(Speed::max_payload);
        assert_eq!(payloads, [512, 1024, 2048, 4096, 4096, 4096]);
        assert_eq!(Speed::S3200.to_string(), "S3200");
        assert_eq!(Speed::from_code(6), None);
    }
}
