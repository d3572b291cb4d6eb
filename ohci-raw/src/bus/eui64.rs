use core::fmt;
use core::str::FromStr;

/// A node's 64-bit globally unique id, from quadlets 3 and 4 of its bus information block.
///
/// Not as unique as its name says: several series of enclosures with Oxford bridges share one
/// (those with an OXFW924 take it from the disk), so show the bus position beside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eui64(pub u64);

impl Eui64 {
    /// The id from the two quadlets of the bus information block.
    #[must_use]
    pub const fn from_quadlets(hi: u32, lo: u32) -> Self {
        Self((hi as u64) << 32 | lo as u64)
    }

    /// Quadlet 3 of the bus information block.
    #[must_use]
    pub const fn hi(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Quadlet 4 of the bus information block.
    #[must_use]
    pub const fn lo(self) -> u32 {
        self.0 as u32
    }

    /// The organisation that gave the id out (OUI), 24 bits.
    #[must_use]
    pub const fn vendor(self) -> u32 {
        (self.0 >> 40) as u32
    }
}

impl fmt::Display for Eui64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Eui64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an EUI-64 is 16 hexadecimal digits, optionally after \"0x\" or \"eui.\"")]
pub struct ParseEui64Error;

impl FromStr for Eui64 {
    type Err = ParseEui64Error;

    /// Accepts the bare digits, the kernel's `0x` form and LIO's `eui.` form.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix("eui."))
            .unwrap_or(text);
        // from_str_radix alone would let a sign pass.
        if digits.len() != 16 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseEui64Error);
        }
        u64::from_str_radix(digits, 16)
            .map(Self)
            .map_err(|_| ParseEui64Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn reads_the_spellings_of_kernel_and_lio() {
        let id = Eui64(0x0030_e000_0000_01fa);
        for text in [
            "0030e000000001fa",
            "0x0030E000000001FA",
            "eui.0030e000000001fa",
        ] {
            assert_eq!(text.parse(), Ok(id));
        }
        for text in [
            "",
            "30e000000001fa",
            "+030e000000001fa",
            "0030e000000001fag",
        ] {
            assert_eq!(text.parse::<Eui64>(), Err(ParseEui64Error), "{text}");
        }
        assert_eq!(id.to_string(), "0030e000000001fa");
        assert_eq!(id.vendor(), 0x00_30e0);
        assert_eq!(Eui64::from_quadlets(id.hi(), id.lo()), id);
    }
}
