//! A reader that can look ahead, and knows where it is.

use std::io::{self, BufRead, Read};

const CHUNK: usize = 1 << 16;

/// A buffered reader whose next bytes can be looked at before anybody takes them.
#[derive(Debug)]
pub(crate) struct Source<R> {
    inner: R,
    buffer: Vec<u8>,
    taken: usize,
    position: u64,
    limit: u64,
}

impl<R: Read> Source<R> {
    /// `position` is where in a file the reader stands, `limit` how many bytes are read at most.
    pub(crate) const fn new(inner: R, position: u64, limit: u64) -> Self {
        Self {
            inner,
            buffer: Vec::new(),
            taken: 0,
            position,
            limit,
        }
    }

    /// Where the next byte is, in bytes from the start of the file.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// The next bytes, up to `count` or the end, which stay.
    pub(crate) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.ahead().len() < count && self.fill()? > 0 {}
        let ahead = self.ahead();
        Ok(ahead.get(..count).unwrap_or(ahead))
    }

    /// Puts bytes back that were taken last.
    pub(crate) fn unread(&mut self, bytes: &[u8]) {
        self.buffer.splice(..self.taken, bytes.iter().copied());
        self.taken = 0;
        self.position = self.position.saturating_sub(bytes.len() as u64);
    }

    fn ahead(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }

    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let mut chunk = self.inner.by_ref().take(CHUNK as u64);
        let read = chunk.read_to_end(&mut self.buffer)?;
        self.limit = self
            .limit
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"))?;
        Ok(read)
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ahead().is_empty() {
            self.fill()?;
        }
        Ok(self.ahead())
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.ahead().len());
        self.taken += count;
        self.position += count as u64;
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ahead = self.fill_buf()?;
        let read = ahead.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}
