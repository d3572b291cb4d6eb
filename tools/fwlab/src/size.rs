//! Sizes as people write and read them.

use std::fmt;

/// Binary units, smallest first.
const UNITS: [char; 4] = ['K', 'M', 'G', 'T'];

/// Text that is no size.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseSizeError {
    /// Something else than digits and a unit.
    #[error("\"{0}\" is no size: write digits and, if you like, K, M, G or T (of 1024)")]
    NotASize(String),
    /// More than 63 bits.
    #[error("{0} is more than a disk can have: at most 2^63 - 1 bytes")]
    TooLarge(String),
}

/// A number of bytes: digits, then perhaps one of `K`, `M`, `G`, `T`, which count in 1024.
///
/// # Errors
/// [`ParseSizeError`].
pub fn parse(text: &str) -> Result<u64, ParseSizeError> {
    let upper = text.to_ascii_uppercase();
    let (digits, power) = match upper.char_indices().next_back() {
        Some((at, last)) => match UNITS.iter().position(|unit| *unit == last) {
            Some(unit) => (&upper[..at], unit + 1),
            None => (upper.as_str(), 0),
        },
        None => ("", 0),
    };
    // parse alone would let a plus sign pass.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseSizeError::NotASize(text.to_owned()));
    }
    let bytes = digits.parse::<u64>().ok();
    let bytes = bytes.and_then(|count| count.checked_mul(1 << (10 * power)));
    bytes
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| ParseSizeError::TooLarge(text.to_owned()))
}

/// A number of bytes for people: `64.0 MiB`.
pub struct Readable(pub u64);

impl fmt::Display for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = (self.0.max(1).ilog2() / 10).min(4);
        match unit.checked_sub(1) {
            None => write!(f, "{} bytes", self.0),
            Some(at) => {
                // Rounded down, so that a disk is never shown larger than it is.
                let tenths = (u128::from(self.0) * 10) >> (10 * unit);
                let name = UNITS.get(at as usize).unwrap_or(&'T');
                write!(f, "{}.{} {name}iB", tenths / 10, tenths % 10)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "", "K", "-1", "+1", "1.5G", "12Q", "1KK", "1 K", "0x10", "1KiB", "ü", "1ü",
        ] {
            assert_eq!(
                parse(text),
                Err(ParseSizeError::NotASize(text.into())),
                "{text}"
            );
        }
        for text in ["9223372036854775808", "8388608T", "99999999999999999999T"] {
            assert_eq!(parse(text), Err(ParseSizeError::TooLarge(text.into())));
        }
    }

    #[test]
    fn suffixes_count_in_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("1k", 1 << 10),
            ("64M", 64 << 20),
            ("3G", 3 << 30),
            ("2T", 2 << 40),
            ("8388607T", 8_388_607 << 40),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_with_one_digit_and_never_rounded_up() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            ((64 << 20) - 1, "63.9 MiB"),
            (64 << 20, "64.0 MiB"),
            (3 << 40, "3.0 TiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(Readable(bytes).to_string(), text);
        }
    }
}
