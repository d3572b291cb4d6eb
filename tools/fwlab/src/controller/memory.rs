//! The memory of the machine that a controller is in.

/// An address that the machine's memory does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no memory at {address:#x} for {length} bytes")]
pub struct DmaError {
    /// Where.
    pub address: u64,
    /// How much.
    pub length: usize,
}

/// The memory of the machine that the controller is in.
pub trait Memory: Send + Sync {
    /// Copies from it.
    ///
    /// # Errors
    /// [`DmaError`]; what the buffer holds then is not said.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), DmaError>;

    /// Copies to it.
    ///
    /// # Errors
    /// [`DmaError`]; some of the bytes may have been written.
    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), DmaError>;
}
