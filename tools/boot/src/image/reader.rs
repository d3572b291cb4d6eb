//! The archives of an image, one after another.

use std::io::{self, BufRead as _, Read};

use super::cpio::Unpacker;
use super::error::{Fault, FileSystem, ImageError};
use super::{Compression, Segment};
use crate::compression::{MAGIC, Source};

/// Reads an image's archives.
pub(super) struct Reader<'a, R> {
    pub(super) source: Source<R>,
    /// Where in the file the image begins.
    pub(super) base: u64,
    pub(super) unpacker: Unpacker<'a>,
    pub(super) segments: Vec<Segment>,
}

impl<R: Read> Reader<'_, R> {
    /// Reads the next archive. Whether there was one.
    pub(super) fn segment(&mut self) -> Result<bool, ImageError> {
        let offset = self.source.position();
        if offset == self.base {
            let start = self.peek(FileSystem::MAGIC)?;
            if start.is_empty() {
                return Err(ImageError::Empty);
            }
            if let Some(file_system) = FileSystem::of(start) {
                return Err(ImageError::FileSystem(file_system));
            }
        }
        self.skip_zeros()?;
        let offset = self.source.position();
        let start = self.peek(MAGIC)?;
        let compression = match start {
            [] => return Ok(false),
            [b'0', ..] => Compression::None,
            _ => Compression::of(start).ok_or(ImageError::Unknown { offset })?,
        };
        let begins = match compression {
            Compression::None => offset - self.base,
            _ => 0,
        };
        self.unpacker.begin(begins);
        let read = match compression {
            Compression::None => self.plain(),
            _ => self.streams(compression),
        };
        let unpacked = self.unpacker.position - begins;
        let segment = self.segments.len();
        read.map_err(|stop| match stop {
            Stop::FileSystem(file_system) => ImageError::FileSystem(file_system),
            Stop::Fault(fault) => ImageError::Archive {
                segment,
                compression,
                begins: offset,
                offset: match compression {
                    Compression::None => offset + unpacked,
                    _ => self.source.position(),
                },
                unpacked,
                fault,
            },
        })?;
        self.segments.push(Segment {
            offset,
            compression,
            entries: self.unpacker.entries,
            lost: self.unpacker.lost,
            unpacked,
        });
        Ok(true)
    }

    fn peek(&mut self, count: usize) -> Result<&[u8], ImageError> {
        let offset = self.source.position();
        let peeked = self.source.peek(count);
        peeked.map_err(|source| ImageError::Read { offset, source })
    }

    fn skip_zeros(&mut self) -> Result<(), ImageError> {
        loop {
            let offset = self.source.position();
            let ahead = self.source.fill_buf();
            let ahead = ahead.map_err(|source| ImageError::Read { offset, source })?;
            let zeros = ahead.iter().take_while(|&&byte| byte == 0).count();
            if zeros == 0 {
                return Ok(());
            }
            self.source.consume(zeros);
        }
    }

    /// An archive that is not compressed.
    fn plain(&mut self) -> Result<(), Stop> {
        self.unpacker.begin_stream()?;
        loop {
            let ahead = self.source.fill_buf().map_err(unpack)?;
            if ahead.is_empty() {
                return Err(Fault::Truncated.into());
            }
            let taken = self.unpacker.feed(ahead)?;
            self.source.consume(taken);
            if !self.unpacker.is_open() {
                return Ok(());
            }
        }
    }

    /// Archives in a compressed stream, or in several that follow each other directly, as
    /// programs that compress in parallel write them. The kernel wants one.
    fn streams(&mut self, compression: Compression) -> Result<(), Stop> {
        loop {
            self.stream(compression)?;
            if !self.unpacker.is_open() {
                return Ok(());
            }
            let next = self.source.peek(MAGIC).map_err(unpack)?;
            if Compression::of(next) != Some(compression) {
                return Err(Fault::Truncated.into());
            }
        }
    }

    fn stream(&mut self, compression: Compression) -> Result<(), Stop> {
        let unpacker = &mut self.unpacker;
        unpacker.begin_stream()?;
        // What a file system is known by is in the first bytes, and they may come in pieces.
        let mut start = Vec::new();
        let mut is_start = unpacker.position == 0;
        compression.unpack(&mut self.source, unpack, |piece| {
            if !is_start {
                return feed_all(unpacker, piece);
            }
            start.extend_from_slice(piece);
            if start.len() < FileSystem::MAGIC {
                return Ok(());
            }
            is_start = false;
            feed_start(unpacker, &start)
        })?;
        match is_start {
            true => feed_start(&mut self.unpacker, &start),
            false => Ok(()),
        }
    }
}

fn feed_start(unpacker: &mut Unpacker<'_>, start: &[u8]) -> Result<(), Stop> {
    match FileSystem::of(start) {
        Some(file_system) => Err(Stop::FileSystem(file_system)),
        None => feed_all(unpacker, start),
    }
}

fn feed_all(unpacker: &mut Unpacker<'_>, mut piece: &[u8]) -> Result<(), Stop> {
    while !piece.is_empty() {
        let taken = unpacker.feed(piece)?;
        if taken == 0 {
            return Err(Fault::NoEntry.into());
        }
        piece = piece.get(taken..).unwrap_or_default();
    }
    Ok(())
}

/// Why an archive is not read to its end.
enum Stop {
    FileSystem(FileSystem),
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn unpack(error: io::Error) -> Stop {
    Stop::Fault(Fault::Unpack(error))
}
