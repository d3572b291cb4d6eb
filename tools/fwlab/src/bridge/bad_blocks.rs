//! A disk that is worn in one place.

use sbp2::scsi::{Medium, MediumError};

/// A medium of which some blocks can be neither read nor written.
pub(super) struct BadBlocks {
    medium: Box<dyn Medium>,
    first: u64,
    last: u64,
}

impl BadBlocks {
    pub(super) fn new(medium: Box<dyn Medium>, (first, last): (u64, u64)) -> Self {
        Self {
            medium,
            first,
            last,
        }
    }

    fn check(&self, lba: u64, bytes: usize) -> Result<(), MediumError> {
        let blocks = bytes as u64 / u64::from(self.block_length().max(1));
        let end = lba.saturating_add(blocks);
        if lba <= self.last && self.first < end {
            return Err(MediumError::Failed);
        }
        Ok(())
    }
}

impl Medium for BadBlocks {
    fn block_length(&self) -> u32 {
        self.medium.block_length()
    }

    fn blocks(&self) -> u64 {
        self.medium.blocks()
    }

    fn read_only(&self) -> bool {
        self.medium.read_only()
    }

    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), MediumError> {
        self.check(lba, buffer.len())?;
        self.medium.read(lba, buffer)
    }

    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), MediumError> {
        self.check(lba, data.len())?;
        self.medium.write(lba, data)
    }

    fn flush(&mut self) -> Result<(), MediumError> {
        self.medium.flush()
    }
}

#[cfg(test)]
mod tests {
    use sbp2::scsi::MemoryMedium;

    use super::*;

    #[test]
    fn what_touches_a_bad_block_fails_and_nothing_else() {
        let medium = Box::new(MemoryMedium::new(512, 16).unwrap());
        let mut worn = BadBlocks::new(medium, (5, 6));
        assert_eq!(worn.write(3, &[1; 1024]), Ok(()));
        for lba in [4, 5, 6] {
            assert_eq!(
                worn.write(lba, &[2; 1024]),
                Err(MediumError::Failed),
                "{lba}"
            );
            assert_eq!(
                worn.read(lba, &mut [0; 1024]),
                Err(MediumError::Failed),
                "{lba}"
            );
        }
        assert_eq!(worn.read(7, &mut [0; 1024]), Ok(()));
        let mut block = [0; 512];
        worn.read(4, &mut block).unwrap();
        assert_eq!(block, [1; 512], "what failed changed nothing");
    }
}
