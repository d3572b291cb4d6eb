use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What happened on an export since it was made. Counted by all its connections together.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) clients: AtomicU64,
    pub(super) clients_seen: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(super) bytes_read: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// A reading of [`Counters`]. A request counts when its reply is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Clients connected now.
    pub clients: u64,
    /// Clients ever connected.
    pub clients_seen: u64,
    /// Reads that ended well.
    pub reads: u64,
    /// Bytes that clients read.
    pub bytes_read: u64,
    /// Writes, of data and of zeroes, that ended well.
    pub writes: u64,
    /// Bytes that clients wrote, zeroes included.
    pub bytes_written: u64,
    /// Flushes that ended well.
    pub flushes: u64,
    /// Requests that were refused without asking the disk.
    pub refused: u64,
    /// Requests that the disk failed.
    pub failed: u64,
}

impl Counters {
    /// What they say now.
    #[must_use]
    pub fn read(&self) -> Tally {
        Tally {
            clients: self.clients.load(Relaxed),
            clients_seen: self.clients_seen.load(Relaxed),
            reads: self.reads.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
            writes: self.writes.load(Relaxed),
            bytes_written: self.bytes_written.load(Relaxed),
            flushes: self.flushes.load(Relaxed),
            refused: self.refused.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}
