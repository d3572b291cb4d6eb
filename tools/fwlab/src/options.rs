//! Options written as `KEY=VALUE,KEY=VALUE`, as QEMU has them.

use std::ops::RangeInclusive;

/// Options that make no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OptionsError {
    /// No such key.
    #[error("there is no key \"{key}\"; there are {known}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Those that there are.
        known: String,
    },
    /// A key alone.
    #[error("\"{0}\" has no value: write KEY=VALUE; a comma in a value is written twice")]
    NoValue(String),
    /// A key that was there before.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// A value that its key does not take.
    #[error("{key}={value}: must be {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What would do.
        allowed: String,
    },
}

/// Keys and their values, each of which is taken once.
#[derive(Clone, Debug)]
pub struct Options {
    values: Vec<(&'static str, String)>,
}

impl Options {
    /// Reads `text`, in which `keys` may stand.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn parse(text: &str, keys: &[&'static str]) -> Result<Self, OptionsError> {
        let mut values: Vec<(&'static str, String)> = Vec::new();
        for option in split(text) {
            let Some((key, value)) = option.split_once('=').filter(|(_, v)| !v.is_empty()) else {
                return Err(OptionsError::NoValue(option));
            };
            let Some(known) = keys.iter().find(|known| **known == key) else {
                return Err(OptionsError::UnknownKey {
                    key: key.to_owned(),
                    known: keys.join(", "),
                });
            };
            if values.iter().any(|(given, _)| given == known) {
                return Err(OptionsError::Twice(known));
            }
            values.push((known, value.to_owned()));
        }
        Ok(Self { values })
    }

    /// The value of a key, if it was given and not yet taken.
    pub fn take(&mut self, key: &str) -> Option<String> {
        let at = self.values.iter().position(|(given, _)| *given == key)?;
        Some(self.values.swap_remove(at).1)
    }

    /// The value of a key that is one of `allowed`, by their names.
    ///
    /// # Errors
    /// [`OptionsError::Value`].
    pub fn one_of<T: Copy>(
        &mut self,
        key: &'static str,
        allowed: &[T],
        name: impl Fn(&T) -> String,
    ) -> Result<Option<T>, OptionsError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let found = allowed
            .iter()
            .find(|one| name(one).eq_ignore_ascii_case(&value));
        found.copied().map(Some).ok_or_else(|| {
            let names: Vec<_> = allowed.iter().map(name).collect();
            OptionsError::Value {
                key,
                value,
                allowed: match names.split_last() {
                    Some((last, others)) => format!("{} or {last}", others.join(", ")),
                    None => String::new(),
                },
            }
        })
    }

    /// The value of a key that is a number in `range`.
    ///
    /// # Errors
    /// [`OptionsError::Value`].
    pub fn in_range(
        &mut self,
        key: &'static str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, OptionsError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let number = value.parse().ok().filter(|number| range.contains(number));
        // parse alone would let a plus sign pass.
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        match number.filter(|_| digits) {
            Some(number) => Ok(Some(number)),
            None => Err(OptionsError::Value {
                key,
                value,
                allowed: format!("a number from {} to {}", range.start(), range.end()),
            }),
        }
    }
}

/// Cuts at commas; two in a row are one that belongs to a value.
#[must_use]
pub fn split(options: &str) -> Vec<String> {
    if options.is_empty() {
        return Vec::new();
    }
    let mut parts = vec![String::new()];
    let mut characters = options.chars().peekable();
    while let Some(character) = characters.next() {
        if character == ',' && characters.next_if_eq(&',').is_none() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts
}
