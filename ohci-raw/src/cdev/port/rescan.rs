//! When to look for new node files.
//!
//! A node that joins the bus gets its file late: the kernel waits half a second after the reset,
//! reads the node's ROM, repeats that for up to half a minute with a node that is still booting,
//! and then udev sets the permissions. Nothing on the files that are open tells of it. So the
//! folder is looked through after each reset, again and again at growing distances.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

#[derive(Default)]
pub(super) struct Rescan {
    due: Option<Instant>,
    pause: Duration,
}

impl Rescan {
    /// Something happened: look at once, then at growing distances.
    pub(super) fn restart(&mut self, now: Instant) {
        self.due = Some(now);
        self.pause = FIRST_PAUSE;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it is time. The next time is set then.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.due.is_none_or(|due| now < due) {
            return false;
        }
        self.due = (self.pause <= LONGEST_PAUSE).then(|| now + self.pause);
        self.pause *= 2;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_once_and_at_growing_distances_for_a_minute() {
        let start = Instant::now();
        let mut rescan = Rescan::default();
        assert_eq!(rescan.due(), None);
        rescan.restart(start);
        let mut looks = Vec::new();
        while let Some(due) = rescan.due() {
            assert!(looks.is_empty() || !rescan.take(due - Duration::from_millis(1)));
            assert!(rescan.take(due));
            looks.push((due - start).as_millis());
        }
        let expected = [0, 250, 750, 1750, 3750, 7750, 15_750, 31_750, 63_750];
        assert_eq!(looks, expected);
    }
}
