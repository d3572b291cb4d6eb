//! A table of a configuration, out of which keys are taken one by one.

use std::fmt::Display;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};

/// The text of a configuration, for errors.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Text<'_> {
    /// Something at these bytes makes no sense.
    pub(super) fn wrong(&self, span: Range<usize>, what: impl Display) -> ConfigError {
        ConfigError::Wrong {
            place: Box::new(Place::of(self.path, self.text, span)),
            what: what.to_string(),
        }
    }
}

/// A value, and where it stands.
pub(super) type At<T> = (T, Range<usize>);

/// A table. What nobody has taken at the end is unknown.
pub(super) struct Table<'a> {
    text: Text<'a>,
    /// Where it begins.
    pub(super) head: Range<usize>,
    keys: DeTable<'a>,
    /// Every key that was asked for.
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(super) fn new(text: Text<'a>, keys: DeTable<'a>, head: Range<usize>) -> Self {
        let known = Vec::new();
        Self {
            text,
            head,
            keys,
            known,
        }
    }

    /// The table that a value is.
    pub(super) fn of(text: Text<'a>, value: Spanned<DeValue<'a>>) -> Result<Self, ConfigError> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(keys) => Ok(Self::new(text, keys, span)),
            other => Err(text.wrong(span, mismatch("a table", &other))),
        }
    }

    pub(super) fn text(&self) -> Text<'a> {
        self.text
    }

    pub(super) fn wrong(&self, span: Range<usize>, what: impl Display) -> ConfigError {
        self.text.wrong(span, what)
    }

    /// What stands behind a key.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.keys.remove(key)
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<At<bool>>, ConfigError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match value.get_ref() {
            DeValue::Boolean(flag) => Ok(Some((*flag, value.span()))),
            other => Err(self.wrong(value.span(), mismatch("true or false", other))),
        }
    }

    pub(super) fn string(&mut self, key: &'static str) -> Result<Option<At<String>>, ConfigError> {
        let value = self.take(key);
        value.map(|value| self.text.string(value)).transpose()
    }

    /// A number, read by what reads it on the command line.
    pub(super) fn number<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<At<T>>, ConfigError> {
        let value = self.take(key);
        value.map(|value| self.text.number(value, read)).transpose()
    }

    /// Strings, each read as on the command line.
    pub(super) fn list<T>(&mut self, key: &'static str) -> Result<Vec<At<T>>, ConfigError>
    where
        T: FromStr<Err: Display>,
    {
        let Some(value) = self.take(key) else {
            return Ok(Vec::new());
        };
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(values) => {
                let items = values.into_iter().map(|value| {
                    let (text, span) = self.text.string(value)?;
                    match text.parse() {
                        Ok(item) => Ok((item, span)),
                        Err(error) => Err(self.wrong(span, error)),
                    }
                });
                items.collect()
            }
            other => Err(self.wrong(span, mismatch("a list: [\"...\"]", &other))),
        }
    }

    /// Sees that nothing is left.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let first = self.keys.iter().map(|(key, _)| key);
        let Some(unknown) = first.min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let what = format!(
            "unknown key \"{}\"; there is {}",
            unknown.get_ref(),
            self.known.join(", ")
        );
        Err(self.wrong(unknown.span(), what))
    }
}

impl Text<'_> {
    fn string(&self, value: Spanned<DeValue<'_>>) -> Result<At<String>, ConfigError> {
        let span = value.span();
        match value.into_inner() {
            DeValue::String(text) => Ok((text.into_owned(), span)),
            other => Err(self.wrong(span, mismatch("a text in quotes", &other))),
        }
    }

    pub(super) fn number<T>(
        &self,
        value: Spanned<DeValue<'_>>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<At<T>, ConfigError> {
        let span = value.span();
        let number = match value.get_ref() {
            // As it is written, so the other radices are of no use.
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            other => return Err(self.wrong(span, mismatch("a decimal number", other))),
        };
        match read(number) {
            Ok(number) => Ok((number, span)),
            Err(error) => Err(self.wrong(span, error)),
        }
    }
}

fn mismatch(wanted: &str, value: &DeValue<'_>) -> String {
    format!("this must be {wanted}, and is of type {}", value.type_str())
}
