use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use core::ops::Range;

/// The blocks behind a device server.
///
/// Implemented here by [`MemoryMedium`]; files and devices are opened by those who may do I/O.
/// LBAs count in blocks of [`Medium::block_length`] bytes; buffers hold whole blocks.
pub trait Medium: Send {
    /// Bytes per logical block, a power of two. Does not change.
    fn block_length(&self) -> u32;

    /// Number of logical blocks.
    fn blocks(&self) -> u64;

    /// Whether writes are refused.
    fn read_only(&self) -> bool {
        false
    }

    /// Fills `buffer` with the blocks from `lba` on.
    ///
    /// # Errors
    ///
    /// The blocks cannot be read; `buffer` may have been changed.
    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), MediumError>;

    /// Writes `data` to the blocks from `lba` on. It may stay in a cache until
    /// [`Medium::flush`].
    ///
    /// # Errors
    ///
    /// The blocks cannot be written; some of them may have been.
    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), MediumError>;

    /// Returns when all that was written before will survive a loss of power.
    ///
    /// # Errors
    ///
    /// It cannot be promised.
    fn flush(&mut self) -> Result<(), MediumError>;
}

/// Why a medium did not do what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MediumError {
    /// The blocks lie, wholly or in part, past the end.
    #[error("blocks past the end of the medium")]
    OutOfRange,
    /// The buffer does not hold a whole number of blocks.
    #[error("a buffer that is not a whole number of blocks")]
    PartialBlock,
    /// The medium takes no writes.
    #[error("the medium is write protected")]
    WriteProtected,
    /// There is no room left where the medium is kept.
    #[error("no space left for the medium")]
    NoSpace,
    /// The operation failed.
    #[error("the medium failed")]
    Failed,
}

/// A size that no medium can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MediumSizeError {
    /// The block length is not one that disks have.
    #[error("a block length of {0} bytes: must be a power of two from 512 to 65536")]
    BlockLength(u32),
    /// There are no blocks, or more than 2^63 − 1 bytes of them.
    #[error("{0} blocks of {1} bytes: must be at least one block and less than 2^63 bytes")]
    Blocks(u64, u32),
}

/// The bytes that `length` bytes from block `lba` on take up in a medium of this geometry.
///
/// The check that each [`Medium`] starts with. Overflow counts as past the end.
///
/// # Errors
///
/// [`MediumError::PartialBlock`] or [`MediumError::OutOfRange`].
pub fn byte_range(
    block_length: u32,
    blocks: u64,
    lba: u64,
    length: usize,
) -> Result<Range<u64>, MediumError> {
    let block_length = u64::from(block_length);
    let length = u64::try_from(length).map_err(|_| MediumError::OutOfRange)?;
    if !length.is_multiple_of(block_length) {
        return Err(MediumError::PartialBlock);
    }
    let in_range = || {
        let start = lba.checked_mul(block_length)?;
        let end = start.checked_add(length)?;
        (end <= blocks.checked_mul(block_length)?).then_some(start..end)
    };
    in_range().ok_or(MediumError::OutOfRange)
}

/// A disk in memory. Blocks that were never written read as zeros and take no memory, so it can
/// be larger than the memory there is.
#[derive(Debug)]
pub struct MemoryMedium {
    block_length: u32,
    blocks: u64,
    read_only: bool,
    /// What was written, by byte offset / [`CHUNK`].
    chunks: BTreeMap<u64, Box<[u8]>>,
}

/// Bytes that are allocated at a time; a multiple of each block length.
const CHUNK: u64 = 1 << 16;
const CHUNK_LENGTH: usize = 1 << 16;

impl MemoryMedium {
    /// An empty disk.
    ///
    /// # Errors
    ///
    /// The block length is not a power of two from 512 to 65536, or the size is zero or does
    /// not fit into 63 bits.
    pub fn new(block_length: u32, blocks: u64) -> Result<Self, MediumSizeError> {
        if !block_length.is_power_of_two() || !(512..=65536).contains(&block_length) {
            return Err(MediumSizeError::BlockLength(block_length));
        }
        match blocks.checked_mul(u64::from(block_length)) {
            Some(1..=0x7fff_ffff_ffff_ffff) => Ok(Self {
                block_length,
                blocks,
                read_only: false,
                chunks: BTreeMap::new(),
            }),
            _ => Err(MediumSizeError::Blocks(blocks, block_length)),
        }
    }

    /// The same disk with its write protection set or cleared.
    #[must_use]
    pub fn with_read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }

    /// Bytes of memory that the written blocks take up.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.chunks.len().saturating_mul(CHUNK_LENGTH)
    }

    fn range(&self, lba: u64, length: usize) -> Result<Range<u64>, MediumError> {
        byte_range(self.block_length, self.blocks, lba, length)
    }
}

/// Where the next piece from byte `offset` on lies: its chunk, and the range inside it of at
/// most `length` bytes.
fn piece(offset: u64, length: usize) -> (u64, Range<usize>) {
    // The remainder is below 2^16.
    let start = (offset % CHUNK) as usize;
    let end = start.saturating_add(length).min(CHUNK_LENGTH);
    (offset / CHUNK, start..end)
}

impl Medium for MemoryMedium {
    fn block_length(&self) -> u32 {
        self.block_length
    }

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read(&mut self, lba: u64, mut buffer: &mut [u8]) -> Result<(), MediumError> {
        let mut offset = self.range(lba, buffer.len())?.start;
        while !buffer.is_empty() {
            let (chunk, range) = piece(offset, buffer.len());
            let (now, later) = buffer.split_at_mut(range.len());
            match self.chunks.get(&chunk) {
                Some(chunk) => now.copy_from_slice(&chunk[range]),
                None => now.fill(0),
            }
            offset += now.len() as u64;
            buffer = later;
        }
        Ok(())
    }

    fn write(&mut self, lba: u64, mut data: &[u8]) -> Result<(), MediumError> {
        if self.read_only {
            return Err(MediumError::WriteProtected);
        }
        let mut offset = self.range(lba, data.len())?.start;
        while !data.is_empty() {
            let (chunk, range) = piece(offset, data.len());
            let (now, later) = data.split_at(range.len());
            self.chunks
                .entry(chunk)
                .or_insert_with(|| vec![0; CHUNK_LENGTH].into_boxed_slice())[range]
                .copy_from_slice(now);
            offset += now.len() as u64;
            data = later;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), MediumError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_of_three_tebibytes_costs_what_is_written() {
        let blocks = (3 << 40) / 512;
        let mut disk = MemoryMedium::new(512, blocks).unwrap();
        let mut block = [0xff; 512];
        disk.read(blocks - 1, &mut block).unwrap();
        assert_eq!(block, [0; 512]);
        assert_eq!(disk.allocated(), 0);
        disk.write(blocks - 1, &[7; 512]).unwrap();
        disk.read(blocks - 1, &mut block).unwrap();
        assert_eq!(block, [7; 512]);
        assert_eq!(disk.allocated(), 65536);
    }

    #[test]
    fn a_write_across_chunks_comes_back_and_touches_nothing_else() {
        for block_length in [512_u32, 2048, 4096, 65536] {
            let mut disk = MemoryMedium::new(block_length, 300).unwrap();
            let length = block_length as usize;
            let data: vec::Vec<u8> = (0..length * 200).map(|i| (i % 251) as u8).collect();
            disk.write(50, &data).unwrap();
            let mut all = vec![0xee; length * 300];
            disk.read(0, &mut all).unwrap();
            assert_eq!(all[50 * length..250 * length], data);
            assert!(all[..50 * length].iter().all(|byte| *byte == 0));
            assert!(all[250 * length..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn what_lies_past_the_end_or_splits_a_block_is_refused_and_changes_nothing() {
        let mut disk = MemoryMedium::new(512, 10).unwrap();
        assert_eq!(disk.write(9, &[1; 1024]), Err(MediumError::OutOfRange));
        assert_eq!(
            disk.write(u64::MAX, &[1; 512]),
            Err(MediumError::OutOfRange)
        );
        assert_eq!(disk.write(0, &[1; 100]), Err(MediumError::PartialBlock));
        assert_eq!(disk.allocated(), 0);
        assert_eq!(disk.write(10, &[]), Ok(()));
        let mut disk = disk.with_read_only(true);
        assert_eq!(disk.write(0, &[1; 512]), Err(MediumError::WriteProtected));
        assert_eq!(disk.allocated(), 0);
    }

    #[test]
    fn sizes_that_no_disk_has_are_refused() {
        for block_length in [0, 1, 500, 513, 131_072] {
            assert_eq!(
                MemoryMedium::new(block_length, 1).unwrap_err(),
                MediumSizeError::BlockLength(block_length)
            );
        }
        for blocks in [0, u64::MAX, 1 << 54] {
            assert_eq!(
                MemoryMedium::new(512, blocks).unwrap_err(),
                MediumSizeError::Blocks(blocks, 512)
            );
        }
    }
}
