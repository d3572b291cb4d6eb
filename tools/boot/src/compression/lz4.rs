//! LZ4 in its legacy frame: blocks of 8 MiB, each after its compressed size, and no end mark.
//!
//! lz4_flex reads that frame too, but takes everything to the end of the file for blocks. The
//! kernel ends at a size of zero, and goes on at another frame (lib/decompress_unlz4.c).

use std::io::{self, Read};

use super::Source;

const MAGIC: u32 = 0x184c_2102;
/// What a block holds, unpacked.
const BLOCK: usize = 8 << 20;
/// What a block can grow to if it cannot be compressed (`LZ4_COMPRESSBOUND`).
const MAX_COMPRESSED: usize = BLOCK + BLOCK / 255 + 16;

pub(super) struct Decoder<'a, R> {
    source: &'a mut Source<R>,
    compressed: Vec<u8>,
    block: Vec<u8>,
    /// What of the block was read, and its end.
    read: usize,
    end: usize,
}

impl<'a, R: Read> Decoder<'a, R> {
    pub(super) const fn new(source: &'a mut Source<R>) -> Self {
        Self {
            source,
            compressed: Vec::new(),
            block: Vec::new(),
            read: 0,
            end: 0,
        }
    }

    /// Whether there was another block.
    fn next_block(&mut self) -> io::Result<bool> {
        loop {
            let size = match self.source.peek(4)? {
                [] => return Ok(false),
                &[a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
                _ => 0,
            };
            // Zero is padding; what is too large is the start of something else.
            let compressed = size as usize;
            if size != MAGIC && (compressed == 0 || compressed > MAX_COMPRESSED) {
                return Ok(false);
            }
            self.source.read_exact(&mut [0; 4])?;
            if size == MAGIC {
                continue;
            }
            self.compressed.resize(compressed, 0);
            self.source.read_exact(&mut self.compressed)?;
            self.block.resize(BLOCK, 0);
            self.end = lz4_flex::block::decompress_into(&self.compressed, &mut self.block)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            self.read = 0;
            return Ok(true);
        }
    }
}

impl<R: Read> Read for Decoder<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.end {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let mut rest = self.block.get(self.read..self.end).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.read += read;
        Ok(read)
    }
}
