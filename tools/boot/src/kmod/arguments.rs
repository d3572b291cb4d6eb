//! Parameters as the kernel takes them apart (`next_arg`, lib/cmdline.c, and `parse_args`,
//! kernel/params.c).

use super::boolean::Bool;
use super::{same_name, shown};
use crate::notice::Place;

/// A parameter that is passed to a module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What is behind the `=`, without quotes. `None` if there is no `=`.
    pub value: Option<Vec<u8>>,
    /// Whose line it is.
    pub place: Place,
}

impl Parameter {
    /// The value of a boolean parameter. Without a value it is on.
    #[must_use]
    pub fn as_bool(&self) -> Bool {
        self.value.as_deref().map_or(Bool::On, Bool::parse)
    }

    /// Whether it has this name. `-` and `_` are the same.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        same_name(self.name.as_bytes(), name.as_bytes())
    }
}

/// One argument, before anybody knows whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Argument {
    pub(super) name: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
    /// Where it starts in the text.
    pub(super) start: usize,
}

impl Argument {
    pub(super) fn at(self, place: Place) -> Parameter {
        Parameter {
            name: shown(&self.name),
            value: self.value,
            place,
        }
    }
}

/// The arguments in a text, up to a `--`: the kernel does not look at what is behind it.
pub(super) fn split(text: &[u8]) -> Vec<Argument> {
    let mut arguments = Vec::new();
    let mut at = 0;
    while let Some(start) = next(text, at, |byte| !is_space(byte)) {
        let end = end(text, start);
        let argument = argument(text.get(start..end).unwrap_or_default(), start);
        if argument.name == b"--" && argument.value.is_none() {
            break;
        }
        arguments.push(argument);
        at = end;
    }
    arguments
}

fn next(text: &[u8], from: usize, is: impl Fn(u8) -> bool) -> Option<usize> {
    let rest = text.get(from..)?;
    Some(from + rest.iter().position(|byte| is(*byte))?)
}

/// Where the argument ends: at a space that is not between quotes.
fn end(text: &[u8], start: usize) -> usize {
    let mut in_quotes = false;
    let rest = text.get(start..).unwrap_or_default();
    let length = rest.iter().position(|byte| {
        in_quotes ^= *byte == b'"';
        !in_quotes && is_space(*byte)
    });
    start + length.unwrap_or(rest.len())
}

fn argument(word: &[u8], start: usize) -> Argument {
    let (body, is_quoted) = match word.strip_prefix(b"\"") {
        Some(body) => (body, true),
        None => (word, false),
    };
    let unquoted = |text: &[u8], is_quoted| match text.strip_suffix(b"\"") {
        Some(inside) if is_quoted => inside.to_vec(),
        _ => text.to_vec(),
    };
    // An `=` in front is not looked at.
    let Some(equals) = next(body, 1, |byte| byte == b'=') else {
        let (name, value) = (unquoted(body, is_quoted), None);
        return Argument { name, value, start };
    };
    let (name, value) = body.split_at(equals);
    let value = value.get(1..).unwrap_or_default();
    let value = match value.strip_prefix(b"\"") {
        Some(inside) => unquoted(inside, true),
        None => unquoted(value, is_quoted),
    };
    let (name, value) = (name.to_vec(), Some(value));
    Argument { name, value, start }
}

/// The kernel's `isspace`, for which a no-break space of Latin-1 is one, too (lib/ctype.c).
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}
