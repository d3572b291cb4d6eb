//! How long things took: how often, by length.
//!
//! Lengths are sorted into buckets, 32 of equal width for each power of two, so a length is known
//! to 1/32 of itself in a fixed number of buckets. That is the log-linear scheme of HdrHistogram.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Below this many microseconds each has a bucket of its own; and so many buckets has a power of
/// two above.
const LINEAR: u64 = 1 << LINEAR_BITS;
const LINEAR_BITS: u32 = 5;
/// Lengths from 2^36 µs on, 19 hours, are all one.
const HIGHEST_BITS: u32 = 36;
const BUCKETS: usize = ((HIGHEST_BITS - LINEAR_BITS + 1) << LINEAR_BITS) as usize;

/// Counts lengths of time. Written by any thread, read by any thread.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    longest: AtomicU64,
}

/// Where a length of so many microseconds is counted.
fn bucket(micros: u64) -> usize {
    let micros = micros.min((1 << HIGHEST_BITS) - 1);
    if micros < LINEAR {
        return micros as usize;
    }
    let shift = micros.ilog2() - LINEAR_BITS;
    // Between LINEAR and twice that.
    let within = micros >> shift;
    ((u64::from(shift) << LINEAR_BITS) + within) as usize
}

/// The longest length that is counted in a bucket.
fn end_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * LINEAR {
        return bucket;
    }
    let shift = (bucket >> LINEAR_BITS) - 1;
    let within = bucket - (shift << LINEAR_BITS);
    ((within + 1) << shift) - 1
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self {
            buckets: array::from_fn(|_| AtomicU64::new(0)),
            longest: AtomicU64::new(0),
        }
    }

    pub(super) fn count(&self, length: Duration) {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket(micros)) {
            bucket.fetch_add(1, Relaxed);
        }
        self.longest.fetch_max(micros, Relaxed);
    }

    /// Microseconds within which so many of a thousand were, for each of `per_mille`; up to 1/32
    /// more than it was, never less. `None` where nothing was counted.
    pub(super) fn quantiles<const N: usize>(&self, per_mille: [u64; N]) -> Option<[u64; N]> {
        let counts: Vec<u64> = self.buckets.iter().map(|it| it.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return None;
        }
        let longest = self.longest.load(Relaxed);
        Some(per_mille.map(|part| {
            let rank = (total.saturating_mul(part)).div_ceil(1000).max(1);
            let mut seen = 0;
            let reached = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            reached.map_or(longest, end_of).min(longest)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> Histogram {
        let histogram = Histogram::new();
        for length in micros {
            histogram.count(Duration::from_micros(length));
        }
        histogram
    }

    #[test]
    fn buckets_follow_each_other_without_gap_and_are_narrow() {
        let mut start = 0;
        for index in 0..BUCKETS {
            let end = end_of(index);
            assert_eq!((bucket(start), bucket(end)), (index, index));
            assert!(end - start <= start / 32, "{start} to {end}");
            start = end + 1;
        }
        assert_eq!(start, 1 << HIGHEST_BITS);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_as_counted_by_hand() {
        let thousand = of(1..=1000);
        let [p50, p99, p999] = thousand.quantiles([500, 990, 999]).unwrap();
        for (found, exact) in [(p50, 500), (p99, 990), (p999, 999)] {
            assert!((exact..=exact + exact / 32).contains(&found), "{found}");
        }
        assert_eq!(of([7, 7, 7, 3000]).quantiles([500, 750]), Some([7, 7]));
        // The only one above is known exactly: it is the longest.
        assert_eq!(of([7, 7, 7, 3000]).quantiles([751, 999]), Some([3000; 2]));
    }

    #[test]
    fn nothing_has_no_quantiles_and_an_endless_time_has_some() {
        assert_eq!(of([]).quantiles([500]), None);
        assert!(of([u64::MAX]).quantiles([1, 500]).unwrap()[0] >= (1 << 36) - 1);
        assert_eq!(of([0]).quantiles([0, 999]), Some([0, 0]));
    }
}
