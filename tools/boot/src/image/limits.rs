//! How much is taken from an image. Images come from outside, and a small one can be made to
//! unpack without end.

/// How much is taken from an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of the file.
    pub(super) file: u64,
    /// Compressed streams, and archives that are not compressed.
    pub(super) streams: u64,
    /// Entries in all archives. A large image has 20 000.
    pub(super) entries: u64,
    /// Bytes in names and link targets.
    pub(super) names: u64,
    /// Bytes of what is unpacked.
    pub(super) unpacked: u64,
    /// Bytes of contents that are kept.
    pub(super) kept: u64,
}

impl Limits {
    /// Several times what the largest images have that distributions make.
    pub(super) const USUAL: Self = Self {
        file: 2 << 30,
        streams: 1 << 16,
        entries: 1 << 18,
        names: 32 << 20,
        unpacked: 4 << 30,
        kept: 256 << 20,
    };
}
