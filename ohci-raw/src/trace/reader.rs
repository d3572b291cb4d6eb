//! Reading a recording.

use alloc::string::String;
use alloc::vec::Vec;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::line::{Header, Line, SCHEMA};

/// What is no recording.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The operating system refused.
    #[error("{}: {error}", path.display())]
    Os {
        /// The file.
        path: PathBuf,
        /// What came back.
        error: io::Error,
    },
    /// A line that makes no sense.
    #[error("{}:{line}: {error}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1 on.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The first line is of a later version of the format.
    #[error("{}: version {schema} of the format; this program knows {SCHEMA}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version.
        schema: u32,
    },
    /// A line names a port that the header does not have.
    #[error("{}:{line}: there is no port {port}", path.display())]
    Port {
        /// The file.
        path: PathBuf,
        /// Which line, from 1 on.
        line: usize,
        /// The port.
        port: usize,
    },
    /// Nothing is in it.
    #[error("{}: no recording: it is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// A recording, read whole.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Its file.
    pub path: PathBuf,
    /// The first line.
    pub header: Header,
    /// The others, with their numbers.
    pub lines: Vec<(usize, Line)>,
}

impl Recording {
    /// Reads a file. A last line that was cut off is left out.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let os = |error| TraceError::Os {
            path: path.to_owned(),
            error,
        };
        let file = File::open(path).map_err(os)?;
        let mut header = None;
        let mut lines: Vec<(usize, Line)> = Vec::new();
        let mut reader = BufReader::new(file);
        let mut text = String::new();
        for number in 1.. {
            text.clear();
            if reader.read_line(&mut text).map_err(os)? == 0 {
                break;
            }
            if text.trim().is_empty() {
                continue;
            }
            let bad = |error| TraceError::Line {
                path: path.to_owned(),
                line: number,
                error,
            };
            let Some(Header { ports, .. }) = &header else {
                header = Some(first(path, &text, bad)?);
                continue;
            };
            match serde_json::from_str::<Line>(&text) {
                Ok(line) if line.port < ports.len() => lines.push((number, line)),
                Ok(line) => {
                    return Err(TraceError::Port {
                        path: path.to_owned(),
                        line: number,
                        port: line.port,
                    });
                }
                // The recorder was killed in the middle of it.
                Err(_) if !text.ends_with('\n') => break,
                Err(error) => return Err(bad(error)),
            }
        }
        let header = header.ok_or_else(|| TraceError::Empty {
            path: path.to_owned(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            header,
            lines,
        })
    }
}

fn first(
    path: &Path,
    text: &str,
    bad: impl Fn(serde_json::Error) -> TraceError,
) -> Result<Header, TraceError> {
    /// What every version has.
    #[derive(serde::Deserialize)]
    struct Version {
        schema: u32,
    }
    let Version { schema } = serde_json::from_str(text).map_err(&bad)?;
    if schema != SCHEMA {
        let path = path.to_owned();
        return Err(TraceError::Schema { path, schema });
    }
    serde_json::from_str(text).map_err(bad)
}
