//! What clients ask of a disk, measured from the moment at which they hand it over to the answer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fwshare_export::Request;
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::rate::Rate;

/// Measures the requests to one disk.
#[derive(Debug)]
pub(super) struct Meter {
    start: Instant,
    in_flight: AtomicU64,
    reads: Counted,
    writes: Counted,
    flushes: Counted,
}

/// Requests of one kind.
#[derive(Debug)]
struct Counted {
    done: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    took: Histogram,
    rate: Mutex<Rate>,
}

/// What a [`Meter`] shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// Requests that have not been answered.
    pub(crate) in_flight: u64,
    pub(crate) reads: Flow,
    /// Zeroes included.
    pub(crate) writes: Flow,
    pub(crate) flushes: Flow,
}

/// Requests of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Flow {
    /// Those that ended well.
    pub(crate) done: u64,
    pub(crate) failed: u64,
    /// What those that ended well moved.
    pub(crate) bytes: u64,
    /// That of the last second.
    pub(crate) bytes_per_s: u64,
    /// Of those that ended well; `None` before the first one.
    pub(crate) latency_us: Option<Latency>,
}

/// Microseconds within which so many of the requests were answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    #[serde(rename = "p99.9")]
    pub(crate) p999: u64,
}

/// A request that has not been answered.
pub(super) struct Begun {
    meter: Arc<Meter>,
    kind: Kind,
    bytes: u64,
    since: Instant,
}

#[derive(Clone, Copy)]
enum Kind {
    Read,
    Write,
    Flush,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            in_flight: AtomicU64::new(0),
            reads: Counted::new(),
            writes: Counted::new(),
            flushes: Counted::new(),
        }
    }

    /// To be told when the request is answered.
    pub(super) fn begin(self: &Arc<Self>, request: &Request) -> Begun {
        let (kind, bytes) = match request {
            Request::Read { length, .. } => (Kind::Read, u64::from(*length)),
            Request::Write { data, .. } => (Kind::Write, data.len() as u64),
            Request::WriteZeroes { length, .. } => (Kind::Write, u64::from(*length)),
            Request::Flush => (Kind::Flush, 0),
        };
        self.in_flight.fetch_add(1, Relaxed);
        Begun {
            meter: Arc::clone(self),
            kind,
            bytes,
            since: Instant::now(),
        }
    }

    fn of(&self, kind: Kind) -> &Counted {
        match kind {
            Kind::Read => &self.reads,
            Kind::Write => &self.writes,
            Kind::Flush => &self.flushes,
        }
    }

    pub(super) fn show(&self) -> Traffic {
        Traffic {
            in_flight: self.in_flight.load(Relaxed),
            reads: self.reads.show(self.start),
            writes: self.writes.show(self.start),
            flushes: self.flushes.show(self.start),
        }
    }
}

impl Counted {
    fn new() -> Self {
        Self {
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            took: Histogram::new(),
            rate: Mutex::default(),
        }
    }

    fn rate(&self) -> std::sync::MutexGuard<'_, Rate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, start: Instant) -> Flow {
        let latency = self.took.quantiles([500, 990, 999]);
        Flow {
            done: self.done.load(Relaxed),
            failed: self.failed.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            bytes_per_s: self.rate().per_second(start.elapsed()),
            latency_us: latency.map(|[p50, p99, p999]| Latency { p50, p99, p999 }),
        }
    }
}

impl Begun {
    /// It was answered, and ended well or not.
    pub(super) fn ended(self, well: bool) {
        let counted = self.meter.of(self.kind);
        if !well {
            counted.failed.fetch_add(1, Relaxed);
            return;
        }
        counted.done.fetch_add(1, Relaxed);
        counted.bytes.fetch_add(self.bytes, Relaxed);
        counted.took.count(self.since.elapsed());
        let at = self.meter.start.elapsed();
        counted.rate().add(self.bytes, at);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.meter.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_their_kind_and_only_when_they_are_over() {
        let meter = Arc::new(Meter::new());
        let (offset, length) = (0, 4096);
        let read = meter.begin(&Request::Read { offset, length });
        let write = meter.begin(&Request::Write {
            offset,
            data: vec![0; 512],
            fua: false,
        });
        let zeroes = meter.begin(&Request::WriteZeroes {
            offset,
            length,
            fua: false,
        });
        let flush = meter.begin(&Request::Flush);
        assert_eq!(meter.show().in_flight, 4);
        assert_eq!(meter.show().reads, Flow::default());
        read.ended(true);
        write.ended(true);
        zeroes.ended(false);
        drop(flush);
        let shown = meter.show();
        assert_eq!(shown.in_flight, 0);
        let counts = |flow: Flow| (flow.done, flow.failed, flow.bytes);
        assert_eq!(counts(shown.reads), (1, 0, 4096));
        assert_eq!(counts(shown.writes), (1, 1, 512));
        assert_eq!(counts(shown.flushes), (0, 0, 0));
        assert!(shown.writes.latency_us.is_some());
        assert!(shown.flushes.latency_us.is_none());
    }
}
