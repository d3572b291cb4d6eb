//! What is wrong with a configuration, and where.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Exit, Failure};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The system does not give it.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// It is longer than any that makes sense.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// How long it may be.
        limit: u64,
    },
    /// It is no text.
    #[error("{} is no text in UTF-8 (from byte {offset} on)", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
        /// Where it stops to be.
        offset: usize,
    },
    /// Something in it makes no sense.
    #[error("{place}: {what}")]
    Wrong {
        /// Where.
        place: Box<Place>,
        /// What.
        what: String,
    },
}

/// A place in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// From 1 on.
    line: usize,
    /// In characters, from 1 on.
    column: usize,
    /// The line as it is.
    text: String,
    /// How many characters are meant, at least one.
    width: usize,
}

impl fmt::Display for Place {
    /// `FILE:LINE:COLUMN`, as editors know it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

impl Place {
    /// The place of these bytes of the file's text. Those that are not in it are its end.
    pub(super) fn of(path: &Path, text: &str, span: Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let rest = text.get(line_start..).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default();
        let meant = text.get(span).unwrap_or_default();
        let width = meant.lines().next().unwrap_or_default().chars().count();
        Self {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            text: line.to_owned(),
            width: width.max(1),
        }
    }

    /// The line, with carets below what is meant.
    fn shown(&self) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        // A tab stays one, or the carets would be elsewhere.
        let blank = |letter: char| if letter == '\t' { '\t' } else { ' ' };
        let indent = self.text.chars().map(blank).chain(std::iter::repeat(' '));
        let indent: String = indent.take(self.column - 1).collect();
        let carets = "^".repeat(self.width);
        format!("{number} | {}\n{margin} | {indent}{carets}", self.text)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let message = error.to_string();
        match &error {
            ConfigError::Wrong { place, .. } => {
                Self::new(Exit::Usage, message).advise(place.shown())
            }
            ConfigError::Read { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                Self::new(Exit::Permission, message).advise("run as root")
            }
            ConfigError::Read { error, .. } if error.kind() == io::ErrorKind::NotFound => {
                Self::new(Exit::Usage, message)
                    .advise("write it: man fwshare.toml has an example; or name one: --config=FILE")
            }
            _ => Self::new(Exit::Usage, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_characters_and_its_carets_stand_below_them() {
        let text = "a = 1\n\tä = \"ßß\" # x\n";
        let start = text.find("\"ß").unwrap();
        let place = Place::of(Path::new("/f"), text, start..start + "\"ßß\"".len());
        assert_eq!(place.to_string(), "/f:2:6");
        assert_eq!(place.shown(), "2 | \tä = \"ßß\" # x\n  | \t    ^^^^");
    }

    #[test]
    fn a_place_outside_of_the_text_is_its_end() {
        for text in ["", "a", "a\n"] {
            let place = Place::of(Path::new("f"), text, 7..9);
            let lines = text.matches('\n').count() + 1;
            assert_eq!(place.line, lines, "{text:?}");
            assert!(place.shown().ends_with('^'));
        }
    }
}
