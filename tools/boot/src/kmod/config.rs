//! modprobe.d, read.

use std::path::{Path, PathBuf};

use super::directive::{Directive, Ignored, parse};
use super::lines::logical;
use super::sources::{Dialect, MAX_TOTAL, Source, State, kmod, unreadable};
use super::{normalise, shown};
use crate::notice::{Notice, Oddity, Place, keep};
use crate::tree::{Kind, Tree};

/// How deep `include` may lead. module-init-tools would go on for ever.
const MAX_DEPTH: usize = 8;

/// How many files may be read. `include` can ask for the same ones again and again.
const MAX_FILES: usize = 4096;

/// What modprobe.d says, and where.
#[derive(Debug)]
pub struct Config {
    pub(super) dialect: Dialect,
    sources: Vec<Source>,
    lines: Vec<Line>,
    notices: Vec<Notice>,
}

/// A line that counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// What it says.
    pub directive: Directive,
    /// Where it stands.
    pub place: Place,
}

impl Config {
    /// Reads the configuration of a system, or of an image.
    ///
    /// Nothing makes this fail. What cannot be read or is odd is in [`Self::notices`], and the rest
    /// counts.
    #[must_use]
    pub fn read(tree: &dyn Tree, dialect: Dialect) -> Self {
        let mut reader = Reader {
            tree,
            config: Self {
                dialect,
                sources: Vec::new(),
                lines: Vec::new(),
                notices: Vec::new(),
            },
            left: MAX_TOTAL,
        };
        match dialect {
            Dialect::Kmod => {
                for source in kmod(tree, &mut reader.config.notices) {
                    reader.source(source);
                }
            }
            Dialect::ModuleInitTools => {
                let file = Path::new("/etc/modprobe.conf");
                match tree.kind(file) {
                    Ok(None) => reader.any(Path::new("/etc/modprobe.d"), 0),
                    _ => reader.any(file, 0),
                }
            }
        }
        reader.config
    }

    /// The lines that count, in the order in which they are read.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The files, in the order in which they are read, with those that one may think are.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// What is odd.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// The `options` lines for a name, be it a module or an alias.
    pub fn options<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Line> + use<'a> {
        let name = normalise(name.as_bytes());
        self.lines.iter().filter(move |line| {
            matches!(&line.directive, Directive::Options { module, .. }
                if Some(module) == name.as_ref())
        })
    }
}

struct Reader<'a> {
    tree: &'a dyn Tree,
    config: Config,
    /// Bytes that may still be read.
    left: usize,
}

impl Reader<'_> {
    fn source(&mut self, mut source: Source) {
        if source.state == State::Read && !self.file(&source.path, 0) {
            source.state = State::Skipped;
        }
        self.config.sources.push(source);
    }

    /// A file or all of a folder, as module-init-tools reads it.
    fn any(&mut self, path: &Path, depth: usize) {
        if depth > MAX_DEPTH || self.config.sources.len() >= MAX_FILES {
            self.odd(path, None, Oddity::IncludeDepth);
            return;
        }
        match self.tree.kind(path) {
            Ok(Some(Kind::Folder)) => match self.tree.list(path) {
                Ok(names) => {
                    for name in names {
                        self.any(&path.join(name), depth + 1);
                    }
                }
                Err(error) => keep(&mut self.config.notices, unreadable(path, error)),
            },
            Ok(None) if depth == 0 => {}
            _ => {
                // Before its lines, so that what it includes comes behind it.
                let at = self.config.sources.len();
                self.config.sources.push(Source {
                    path: path.to_owned(),
                    state: State::Read,
                });
                if !self.file(path, depth)
                    && let Some(source) = self.config.sources.get_mut(at)
                {
                    source.state = State::Skipped;
                }
            }
        }
    }

    fn file(&mut self, path: &Path, depth: usize) -> bool {
        let bytes = match self.tree.read(path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                self.odd(path, None, Oddity::Dangling);
                return false;
            }
            Err(error) => {
                keep(&mut self.config.notices, unreadable(path, error));
                return false;
            }
        };
        let Some(left) = self.left.checked_sub(bytes.len()) else {
            self.odd(path, None, Oddity::TooMuch);
            return false;
        };
        self.left = left;
        for line in logical(&bytes) {
            match parse(&line.text, self.config.dialect) {
                Ok(None) => {}
                Ok(Some(Directive::Include { path: target })) => {
                    self.include(path, line.first, &target, depth);
                }
                Ok(Some(directive)) => {
                    if let Directive::Options { text, .. } = &directive
                        && text.windows(2).any(|pair| pair == b" #")
                    {
                        self.odd(path, Some(line.first), Oddity::Comment);
                    }
                    self.config.lines.push(Line {
                        directive,
                        place: Place {
                            file: path.to_owned(),
                            line: line.first,
                            last_line: line.last,
                        },
                    });
                }
                Err(ignored) => self.odd(path, Some(line.first), oddity(&ignored)),
            }
        }
        true
    }

    fn include(&mut self, file: &Path, line: u32, target: &[u8], depth: usize) {
        use std::os::unix::ffi::OsStrExt as _;
        let target = PathBuf::from(std::ffi::OsStr::from_bytes(target));
        match self.tree.kind(&target) {
            Ok(Some(_)) => self.any(&target, depth + 1),
            Ok(None) => self.odd(file, Some(line), Oddity::Incomplete("include".to_owned())),
            Err(error) => self.odd(file, Some(line), Oddity::Unreadable(error)),
        }
    }

    fn odd(&mut self, file: &Path, line: Option<u32>, oddity: Oddity) {
        let file = file.to_owned();
        keep(&mut self.config.notices, Notice { file, line, oddity });
    }
}

fn oddity(ignored: &Ignored) -> Oddity {
    match ignored {
        Ignored::Keyword(word) if word.starts_with(b"\xef\xbb\xbf") => Oddity::ByteOrderMark,
        Ignored::Keyword(word) => Oddity::Keyword(shown(word)),
        Ignored::Incomplete(command) => Oddity::Incomplete((*command).to_owned()),
        Ignored::Include => Oddity::Include,
    }
}
