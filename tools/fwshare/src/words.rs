//! Times and amounts in words.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use fwlab::size::Readable;

/// A time in RFC 3339, to the second, in UTC.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    // A host without a clock may believe in a time before.
    let time = time.max(SystemTime::UNIX_EPOCH);
    let mut text = String::new();
    // It fails for years with five digits only.
    let _ = write!(text, "{}", humantime::format_rfc3339_seconds(time));
    text
}

/// So many seconds: "2h 5m 1s".
pub(crate) fn seconds(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// So many microseconds, with three digits or so: "870 µs", "4.2 ms", "1.5 s".
pub(crate) fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// So many bytes in a second.
pub(crate) fn per_second(bytes: u64) -> String {
    match bytes {
        0 => "0/s".to_owned(),
        _ => format!("{}/s", Readable(bytes)),
    }
}

/// "1 client", "2 clients".
pub(crate) fn count(number: usize, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {one}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_tell_them() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(rfc3339(at(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(at(951_827_696)), "2000-02-29T12:34:56Z");
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(9);
        assert_eq!(rfc3339(before), "1970-01-01T00:00:00Z");
        assert_eq!(seconds(7501), "2h 5m 1s");
        assert_eq!(seconds(0), "0s");
    }

    #[test]
    fn amounts_have_few_digits() {
        for (length, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1000, "1.0 ms"),
            (4278, "4.2 ms"),
            (999_999, "999.9 ms"),
            (61_500_000, "61.5 s"),
        ] {
            assert_eq!(micros(length), text);
        }
        assert_eq!(per_second(0), "0/s");
        assert_eq!(per_second(3 << 20), "3.0 MiB/s");
        assert_eq!(
            (count(1, "client"), count(0, "client")),
            ("1 client".into(), "0 clients".into())
        );
    }
}
