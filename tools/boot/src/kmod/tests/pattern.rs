//! Patterns, judged by libc's fnmatch(3).

use std::ffi::CString;

use proptest::prelude::*;

use crate::kmod::SBP2_UNIT;
use crate::kmod::pattern::matches;

fn fnmatch(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (CString::new(pattern).unwrap(), CString::new(name).unwrap());
    // SAFETY: both are strings of C that live until it returns, and it changes nothing.
    unsafe { libc::fnmatch(pattern.as_ptr(), name.as_ptr(), 0) == 0 }
}

#[test]
fn patterns_are_those_of_fnmatch() {
    for (pattern, name, expected) in [
        ("sbp2", "sbp2", true),
        ("sbp", "sbp2", false),
        ("sbp2x", "sbp2", false),
        ("ieee1394:ven*mo*sp0000609Ever00010483*", SBP2_UNIT, true),
        ("ieee1394:ven*mo*sp0000609Ever00010484*", SBP2_UNIT, false),
        ("*", "", true),
        ("?", "", false),
        ("firewire_[a-z]*", "firewire_sbp2", true),
        ("firewire_[!s]*", "firewire_sbp2", false),
        ("firewire_[^o]*", "firewire_sbp2", true),
        ("a[]]b", "a]b", true),
        ("a[", "a[", true),
        ("a[b", "a[b", true),
        ("a[x-]b", "a-b", true),
        ("[[:alpha:]]b", "ab", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "axb", false),
    ] {
        assert_eq!(
            matches(pattern.as_bytes(), name.as_bytes()),
            expected,
            "{pattern} {name}"
        );
        assert_eq!(fnmatch(pattern, name), expected, "libc: {pattern} {name}");
    }
}

#[test]
fn stars_take_no_exponential_time() {
    let pattern = "*a".repeat(1000) + "b";
    assert!(!matches(pattern.as_bytes(), "a".repeat(2000).as_bytes()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn libc_agrees(
        pattern in "([ab*?]|\\[[!^]?(a|b|ab|a-b|b-|-|-a|\\]|\\]b|a-bb|!)\\]|\\[a){0,6}",
        name in "[ab\\]!-]{0,6}",
    ) {
        let ours = matches(pattern.as_bytes(), name.as_bytes());
        prop_assert_eq!(ours, fnmatch(&pattern, &name), "{} {}", pattern, name);
    }

    #[test]
    fn any_bytes_are_a_pattern(pattern: Vec<u8>, name: Vec<u8>) {
        matches(&pattern, &name);
    }
}
