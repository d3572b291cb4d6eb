//! A machine's memory.

use std::sync::Mutex;

use crate::controller::{DmaError, Memory};

/// Bytes of it; behind them there is nothing.
pub(super) const SIZE: usize = 0x10_0000;

/// Some memory from address 0 on.
pub(super) struct Ram {
    bytes: Mutex<Vec<u8>>,
    /// Where it was written to.
    writes: Mutex<Vec<u64>>,
}

impl Default for Ram {
    fn default() -> Self {
        Self {
            bytes: Mutex::new(vec![0; SIZE]),
            writes: Mutex::default(),
        }
    }
}

impl Ram {
    pub(super) fn bytes(&self, address: u32, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.read(address.into(), &mut bytes).expect("memory");
        bytes
    }

    pub(super) fn put(&self, address: u32, bytes: &[u8]) {
        self.write(address.into(), bytes).expect("memory");
    }

    pub(super) fn quadlet(&self, address: u32) -> u32 {
        let bytes = self.bytes(address, 4);
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    }

    pub(super) fn put_quadlets(&self, address: u32, quadlets: &[u32]) {
        let bytes: Vec<u8> = quadlets.iter().flat_map(|q| q.to_le_bytes()).collect();
        self.put(address, &bytes);
    }

    /// Where it was written to since the last call, in order.
    pub(super) fn take_writes(&self) -> Vec<u64> {
        std::mem::take(&mut self.writes.lock().expect("writes"))
    }

    fn range(address: u64, length: usize) -> Result<std::ops::Range<usize>, DmaError> {
        let error = DmaError { address, length };
        let start = usize::try_from(address).map_err(|_| error)?;
        let end = start.checked_add(length).filter(|end| *end <= SIZE);
        end.map(|end| start..end).ok_or(error)
    }
}

impl Memory for Ram {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), DmaError> {
        let range = Self::range(address, buffer.len())?;
        buffer.copy_from_slice(&self.bytes.lock().expect("memory")[range]);
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), DmaError> {
        let range = Self::range(address, bytes.len())?;
        self.bytes.lock().expect("memory")[range].copy_from_slice(bytes);
        self.writes.lock().expect("writes").push(address);
        Ok(())
    }
}
