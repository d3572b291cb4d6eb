use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sbp2::scsi::{Medium, MediumError, MemoryMedium, byte_range};

/// A disk with a cache that does not survive a loss of power: what was not flushed is gone then.
pub struct CachedMedium {
    stable: Arc<Mutex<MemoryMedium>>,
    block_length: u32,
    blocks: u64,
    cache: BTreeMap<u64, Vec<u8>>,
}

impl CachedMedium {
    /// A disk with an empty cache over these blocks. Another one over the same blocks is the same
    /// disk after a loss of power.
    #[must_use]
    pub fn new(stable: &Arc<Mutex<MemoryMedium>>) -> Self {
        let medium = stable.lock().expect("the medium");
        Self {
            block_length: medium.block_length(),
            blocks: medium.blocks(),
            stable: Arc::clone(stable),
            cache: BTreeMap::new(),
        }
    }

    fn check(&self, lba: u64, length: usize) -> Result<(), MediumError> {
        byte_range(self.block_length, self.blocks, lba, length).map(|_| ())
    }
}

impl Medium for CachedMedium {
    fn block_length(&self) -> u32 {
        self.block_length
    }

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), MediumError> {
        self.stable.lock().expect("the medium").read(lba, buffer)?;
        let blocks = buffer.chunks_mut(self.block_length as usize);
        for (block, lba) in blocks.zip(lba..) {
            if let Some(cached) = self.cache.get(&lba) {
                block.copy_from_slice(cached);
            }
        }
        Ok(())
    }

    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), MediumError> {
        self.check(lba, data.len())?;
        let blocks = data.chunks(self.block_length as usize);
        self.cache.extend((lba..).zip(blocks.map(<[u8]>::to_vec)));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), MediumError> {
        let mut stable = self.stable.lock().expect("the medium");
        for (lba, block) in std::mem::take(&mut self.cache) {
            stable.write(lba, &block)?;
        }
        Ok(())
    }
}
