//! Versions of kernels.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A kernel's version, as `uname -r` says it: the name of a folder, and part of commands.
///
/// Sorted as `sort -V` does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Version(String);

/// Why something is no version of a kernel.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VersionError {
    /// Nothing.
    #[error("the version of a kernel is not empty")]
    Empty,
    /// A letter that no version has, and that could mean something else in a path or a command.
    #[error("{version:?} is no version of a kernel: it has {letter:?} in it")]
    Letter {
        /// What was given.
        version: String,
        /// The letter.
        letter: char,
    },
    /// `-` at the start, which would be an option of a command.
    #[error("{0:?} is no version of a kernel: it starts with \"-\"")]
    Dash(String),
    /// `.` at the start, or `..`, which would be another folder.
    #[error("{0:?} is no version of a kernel, but a path")]
    Dots(String),
    /// Longer than the name of a file can be.
    #[error("a version of a kernel has at most 255 bytes, this one has {0}")]
    Long(usize),
}

impl Version {
    /// The version.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let version = || text.to_owned();
        if text.is_empty() {
            return Err(VersionError::Empty);
        }
        if text.len() > 255 {
            return Err(VersionError::Long(text.len()));
        }
        if text.starts_with('-') {
            return Err(VersionError::Dash(version()));
        }
        if text.starts_with('.') || text.contains("..") {
            return Err(VersionError::Dots(version()));
        }
        let is_known = |letter: char| {
            letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | '+' | '~')
        };
        match text.chars().find(|letter| !is_known(*letter)) {
            Some(letter) => Err(VersionError::Letter {
                version: version(),
                letter,
            }),
            None => Ok(Self(version())),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, two) = (self.0.as_bytes(), other.0.as_bytes());
        compare(stem(one), stem(two))
            .then_with(|| compare(one, two))
            .then_with(|| one.cmp(two))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is before what looks like the endings of a file, as `.el9`. They are compared last.
fn stem(version: &[u8]) -> &[u8] {
    let mut end = version.len();
    let mut at = version.len();
    while let Some(dot) = version
        .get(..at)
        .and_then(|part| part.iter().rposition(|byte| *byte == b'.'))
    {
        let ending = version.get(dot + 1..at).unwrap_or_default();
        let starts = ending
            .first()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'~');
        let goes_on = ending
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'~');
        if dot == 0 || !starts || !goes_on {
            break;
        }
        (end, at) = (dot, dot);
    }
    version.get(..end).unwrap_or(version)
}

/// Numbers by their value, what is between them by its letters.
fn compare(one: &[u8], two: &[u8]) -> Ordering {
    let (mut one, mut two) = (one, two);
    while !one.is_empty() || !two.is_empty() {
        let [one_word, two_word] =
            [&mut one, &mut two].map(|rest| take(rest, |byte| !byte.is_ascii_digit()));
        let by_words = compare_words(one_word, two_word);
        if by_words.is_ne() {
            return by_words;
        }
        let [one_number, two_number] = [&mut one, &mut two].map(number);
        let by_numbers = (one_number.len(), one_number).cmp(&(two_number.len(), two_number));
        if by_numbers.is_ne() {
            return by_numbers;
        }
    }
    Ordering::Equal
}

fn take<'a>(from: &mut &'a [u8], is: impl Fn(&u8) -> bool) -> &'a [u8] {
    let end = from.iter().position(|byte| !is(byte)).unwrap_or(from.len());
    let (taken, rest) = from.split_at(end);
    *from = rest;
    taken
}

fn number<'a>(from: &mut &'a [u8]) -> &'a [u8] {
    take(from, |byte| *byte == b'0');
    take(from, u8::is_ascii_digit)
}

/// `~` comes before the end, the end before letters, and letters before other signs.
fn compare_words(one: &[u8], two: &[u8]) -> Ordering {
    let rank = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    let length = one.len().max(two.len());
    (0..length)
        .map(|at| rank(one.get(at)).cmp(&rank(two.get(at))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}
