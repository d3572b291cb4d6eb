//! How much there was during the last second.

use std::time::Duration;

/// A part of a second: what is over is summed up, what is not yet is left out.
const PART: Duration = Duration::from_millis(250);
const PARTS: usize = 4;

/// What came in each of the last parts of a second, and in the present one.
#[derive(Debug, Default)]
pub(super) struct Rate([(u64, u64); PARTS + 1]);

impl Rate {
    /// So much has come, `at` after the beginning.
    pub(super) fn add(&mut self, amount: u64, at: Duration) {
        let now = part(at);
        if let Some((of, sum)) = self.0.get_mut(now as usize % (PARTS + 1)) {
            if *of != now {
                (*of, *sum) = (now, 0);
            }
            *sum = sum.saturating_add(amount);
        }
    }

    /// How much came within the second before.
    pub(super) fn per_second(&self, at: Duration) -> u64 {
        let now = part(at);
        let last = now.saturating_sub(PARTS as u64)..now;
        let parts = self.0.iter().filter(|(of, _)| last.contains(of));
        parts.fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
    }
}

/// Counts from 1, as 0 is that of parts in which nothing ever was.
fn part(at: Duration) -> u64 {
    let parts = at.as_millis() / PART.as_millis();
    u64::try_from(parts).unwrap_or(u64::MAX - 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_came_during_the_last_second_counts_and_nothing_else() {
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(at(0)), 0);
        for millis in (0..2000).step_by(100) {
            rate.add(10, at(millis));
        }
        assert_eq!(rate.per_second(at(2000)), 100);
        assert_eq!(rate.per_second(at(2499)), 70);
        assert_eq!(rate.per_second(at(2750)), 20);
        assert_eq!(rate.per_second(at(3000)), 0);
        assert_eq!(rate.per_second(at(u64::MAX)), 0);
    }

    #[test]
    fn what_is_not_over_is_left_out() {
        let mut rate = Rate::default();
        rate.add(10, at(249));
        assert_eq!(rate.per_second(at(249)), 0);
        assert_eq!(rate.per_second(at(250)), 10);
        rate.add(5, at(1249));
        assert_eq!(rate.per_second(at(1249)), 10);
        assert_eq!(rate.per_second(at(1250)), 5);
    }
}
