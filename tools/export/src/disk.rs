//! The disk as an export sees it.

/// The largest `max_request` that a disk may name: 32 MiB.
///
/// NBD clients that were told nothing send no more than this (proto.md, "Block size
/// constraints"), so a larger offer would help nobody.
pub const MAX_REQUEST_LIMIT: u32 = 32 << 20;

/// Something that blocks can be read from and written to, any number of requests at a time.
///
/// Implementations are called from many threads.
pub trait Disk: Send + Sync {
    /// Size and limits. Asked once, when the disk is exported: they hold as long as it is.
    fn geometry(&self) -> Geometry;

    /// Takes a request on, and calls `done` once when it has ended.
    ///
    /// The requests that arrive here lie within the disk, start and end at a block boundary and
    /// are no longer than [`Geometry::max_request`]. Those of one client arrive one after the other, in
    /// the order in which it sent them. Requests under way at the same time may be done in any
    /// order. `done` may be called from any thread and before `submit` returns; it
    /// neither blocks nor submits. `submit` itself should queue rather than wait: a thread that
    /// serves a client is in it. Dropping `done` uncalled fails the request with an I/O error.
    ///
    /// What "ended well" means is the ground that file systems stand on:
    ///
    /// * A write has ended when the disk has said so, and a read submitted later, from
    ///   whichever host, sees it.
    /// * A write with `fua` has ended when its bytes are on the medium.
    /// * A flush has ended when the bytes of every write that had ended before the flush was
    ///   submitted are on the medium.
    fn submit(&self, request: Request, done: Completion);
}

/// Told once how a request ended: the bytes for a read, an empty vector for all else.
pub type Completion = Box<dyn FnOnce(Result<Vec<u8>, DiskError>) + Send>;

/// One request to a disk. Offsets and lengths are in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Read `length` bytes from `offset`.
    Read {
        /// Where to start.
        offset: u64,
        /// How many bytes.
        length: u32,
    },
    /// Write `data` at `offset`.
    Write {
        /// Where to start.
        offset: u64,
        /// The bytes.
        data: Vec<u8>,
        /// Force unit access: end only when the bytes are on the medium.
        fua: bool,
    },
    /// Write zeroes, which the disk may have a shorter way to do than by sending them.
    WriteZeroes {
        /// Where to start.
        offset: u64,
        /// How many bytes.
        length: u32,
        /// Force unit access: end only when the zeroes are on the medium.
        fua: bool,
    },
    /// Bring what was written onto the medium.
    Flush,
}

/// Size and limits of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Size in bytes, a multiple of `block_size`, at most 2⁶³-1.
    pub size: u64,
    /// Bytes in a logical block: a power of two from 512 to 65,536. Disks have 512, 2048 or 4096.
    pub block_size: u32,
    /// The request size in bytes that serves the disk best: a power of two, at least
    /// `block_size`.
    pub preferred_block_size: u32,
    /// The longest request in bytes: a multiple of `block_size`, at least
    /// `preferred_block_size` and at most 32 MiB.
    pub max_request: u32,
    /// The disk refuses writes.
    pub read_only: bool,
}

/// A [`Geometry`] that cannot be exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GeometryError {
    /// `block_size` is out of range.
    #[error("a block of {0} bytes: must be a power of two from 512 to 65536")]
    BlockSize(u32),
    /// `preferred_block_size` is out of range.
    #[error(
        "preferred block size of {preferred} bytes: must be a power of two and no less than a block, {block_size}"
    )]
    PreferredBlockSize {
        /// What the disk named.
        preferred: u32,
        /// Its block size.
        block_size: u32,
    },
    /// `max_request` is out of range.
    #[error(
        "requests of at most {max_request} bytes: must be whole blocks, no less than the preferred block size and no more than 33554432"
    )]
    MaxRequest {
        /// What the disk named.
        max_request: u32,
    },
    /// `size` is out of range.
    #[error("a size of {size} bytes: must be whole blocks of {block_size} and below 2^63")]
    Size {
        /// What the disk named.
        size: u64,
        /// Its block size.
        block_size: u32,
    },
}

impl Geometry {
    /// Checks what the fields' descriptions promise.
    ///
    /// # Errors
    ///
    /// The first field that breaks its promise.
    pub fn check(&self) -> Result<(), GeometryError> {
        let Self {
            size,
            block_size,
            preferred_block_size: preferred,
            max_request,
            ..
        } = *self;
        if !block_size.is_power_of_two() || !(512..=65_536).contains(&block_size) {
            return Err(GeometryError::BlockSize(block_size));
        }
        if !preferred.is_power_of_two() || preferred < block_size {
            return Err(GeometryError::PreferredBlockSize {
                preferred,
                block_size,
            });
        }
        if max_request % block_size != 0 || !(preferred..=MAX_REQUEST_LIMIT).contains(&max_request)
        {
            return Err(GeometryError::MaxRequest { max_request });
        }
        if size % u64::from(block_size) != 0 || i64::try_from(size).is_err() {
            return Err(GeometryError::Size { size, block_size });
        }
        Ok(())
    }
}

/// Why a disk did not do a request.
///
/// The texts reach clients that negotiated structured replies, and the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DiskError {
    /// The medium, the bus or the target failed. What came back, in words.
    #[error("{0}")]
    Io(String),
    /// The disk refuses writes.
    #[error("the disk is write-protected")]
    ReadOnly,
    /// There is no such block to write, or no room for it.
    #[error("no space left on the disk")]
    NoSpace,
    /// The disk does not take such a request. Why, in words.
    #[error("{0}")]
    Invalid(String),
    /// The disk is being let go: the login was lost for good, or the program is stopping.
    #[error("the disk is going away: {0}")]
    ShuttingDown(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Geometry = Geometry {
        size: 1 << 20,
        block_size: 512,
        preferred_block_size: 4096,
        max_request: 1 << 20,
        read_only: false,
    };

    #[test]
    fn each_field_out_of_range_is_named() {
        assert_eq!(GOOD.check(), Ok(()));
        for block_size in [0, 1, 256, 513, 1536, 131_072] {
            let bad = Geometry { block_size, ..GOOD };
            assert_eq!(bad.check(), Err(GeometryError::BlockSize(block_size)));
        }
        for preferred in [0, 256, 4097] {
            let bad = Geometry {
                preferred_block_size: preferred,
                ..GOOD
            };
            assert!(
                matches!(bad.check(), Err(GeometryError::PreferredBlockSize { .. })),
                "{preferred}"
            );
        }
        for max_request in [0, 2048, 65_537, MAX_REQUEST_LIMIT + 512] {
            let bad = Geometry {
                max_request,
                ..GOOD
            };
            assert_eq!(bad.check(), Err(GeometryError::MaxRequest { max_request }));
        }
        for size in [1, 511, 513, 1 << 63] {
            let bad = Geometry { size, ..GOOD };
            assert!(
                matches!(bad.check(), Err(GeometryError::Size { .. })),
                "{size}"
            );
        }
    }
}
