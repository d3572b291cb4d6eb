//! What was read in a system's files, and what was odd about them.

use std::fmt;
use std::path::PathBuf;

use crate::tree::TreeError;

/// Where something stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// The file, in its tree.
    pub file: PathBuf,
    /// The first line, from 1.
    pub line: u32,
    /// The last line: another one where a `\` continues the first.
    pub last_line: u32,
}

impl Place {
    /// A single line of a file.
    pub fn new(file: impl Into<PathBuf>, line: u32) -> Self {
        Self {
            file: file.into(),
            line,
            last_line: line,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Something that a user will want to know about a file, although the rest could be read.
#[derive(Debug)]
pub struct Notice {
    /// The file, in its tree.
    pub file: PathBuf,
    /// The line, if it is about one.
    pub line: Option<u32>,
    /// What is odd.
    pub oddity: Oddity,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.oddity)
    }
}

/// How many notices are kept.
const MAX_NOTICES: usize = 1000;

/// Keeps a notice, if there are not too many already.
pub(crate) fn keep(notices: &mut Vec<Notice>, notice: Notice) {
    match notices.len() {
        0..MAX_NOTICES => notices.push(notice),
        MAX_NOTICES => notices.push(Notice {
            oddity: Oddity::More,
            ..notice
        }),
        _ => {}
    }
}

/// What can be odd about a file.
#[derive(Debug, thiserror::Error)]
pub enum Oddity {
    /// A folder where only files are read.
    #[error("it is a folder, and nothing in it is read")]
    Folder,
    /// A link to nothing.
    #[error("it is a link that leads nowhere")]
    Dangling,
    /// A FIFO, a socket, a device. modprobe would wait for a FIFO.
    #[error("it is no regular file, and is not read")]
    Special,
    /// A name that cannot be shown.
    #[error("its name is not UTF-8")]
    Name,
    /// What the system refuses to read, or what is too large.
    #[error("{0}")]
    Unreadable(#[source] TreeError),
    /// More than [`crate::kmod::MAX_TOTAL`] bytes before this one.
    #[error("there is too much configuration, and this is not read")]
    TooMuch,
    /// A line that starts with a word which is none of kmod's.
    #[error("\"{0}\" is no command of modprobe.d, the line is ignored")]
    Keyword(String),
    /// A line that lacks something: `options` without parameter.
    #[error("the line is ignored: something is missing or wrong behind \"{0}\"")]
    Incomplete(String),
    /// The first three bytes are U+FEFF, so the first word is no command.
    #[error("it starts with a byte order mark, so the first line is ignored")]
    ByteOrderMark,
    /// `include` of module-init-tools, which kmod does not know.
    #[error("\"include\" is not followed by kmod")]
    Include,
    /// `include` goes round in circles, or leads too deep.
    #[error("\"include\" leads too deep")]
    IncludeDepth,
    /// A comment behind a command.
    #[error("\"#\" starts a comment only at the start of a line; here it is passed on")]
    Comment,
    /// So many notices that the others are left out.
    #[error("there is more like this")]
    More,
    /// Quotes that the shell, or what reads like one, does not see closed.
    #[error("a quote is not closed")]
    Quote,
}
