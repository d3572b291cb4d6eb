//! What the service manager is told, where there is one: sd_notify(3).

mod line;

use std::time::{Duration, Instant};

use self::line::tell;

/// The line to the service manager. Without one, nothing is said.
pub(crate) struct Service {
    /// Half of what the manager waits for a sign of life, if it does.
    period: Option<Duration>,
    due: Instant,
    /// What the manager shows now.
    status: String,
    /// How far the sessions had come at the last sign.
    turns: Vec<u64>,
}

/// How long it may take until a process that starts itself anew is ready again.
const ANEW: Duration = Duration::from_secs(600);

/// Something that may be stuck.
pub(crate) trait Turning {
    /// How often it has turned.
    fn turns(&self) -> u64;

    /// Has it turn, should it be at rest.
    fn poke(&self);
}

impl Service {
    pub(crate) fn new() -> Self {
        Self::with_watchdog(line::watchdog())
    }

    fn with_watchdog(patience: Option<Duration>) -> Self {
        Self {
            period: patience.map(|patience| patience / 2),
            due: Instant::now(),
            status: String::new(),
            turns: Vec::new(),
        }
    }

    /// The disk can be used, at all of its exports.
    pub(crate) fn ready(&mut self, status: &str) {
        let status = one_line(status);
        self.status.clone_from(&status);
        let status = format!("STATUS={status}");
        match self.period {
            Some(period) => tell(&["READY=1", &status, &watchdog(period * 2)]),
            None => tell(&["READY=1", &status]),
        }
    }

    /// How things are, in a line. Said when it changes.
    pub(crate) fn status(&mut self, status: &str) {
        let status = one_line(status);
        if self.status != status {
            self.status.clone_from(&status);
            tell(&[&format!("STATUS={status}")]);
        }
    }

    /// It is on its way to the end. The manager's patience is the one for stopping from here on.
    pub(crate) fn stopping(&mut self) {
        tell(&["STOPPING=1", "STATUS=flushing and logging out"]);
    }

    /// It is about to start itself anew.
    pub(crate) fn reloading(&mut self) {
        tell(&["RELOADING=1", &line::monotonic_usec()]);
        if self.period.is_some() {
            // No thread turns while the last requests end, nor before the next login.
            tell(&[&watchdog(ANEW)]);
        }
    }

    /// A sign of life of a process in which nothing can be stuck but the caller.
    pub(crate) fn is_alive(&mut self) {
        if self.is_due() {
            tell(&["WATCHDOG=1"]);
        }
    }

    /// A sign of life, if all of these have turned since the last time. Who has not gets no other
    /// word than this: none.
    pub(crate) fn are_alive<T: Turning>(&mut self, all: &[&T]) {
        if !self.is_due() {
            return;
        }
        let now: Vec<_> = all.iter().map(|one| one.turns()).collect();
        let turned = |(now, before): (&u64, &u64)| now != before;
        // At first there is nothing to compare with, and all have only just come up.
        let same = now.len() == self.turns.len();
        if !same || now.iter().zip(&self.turns).all(turned) {
            tell(&["WATCHDOG=1"]);
            self.turns = now;
        }
        for one in all {
            one.poke();
        }
    }

    fn is_due(&mut self) -> bool {
        let Some(period) = self.period else {
            return false;
        };
        let now = Instant::now();
        let due = now >= self.due;
        if due {
            self.due = now + period;
        }
        due
    }
}

/// How long the manager is to wait for a sign of life from now on.
fn watchdog(patience: Duration) -> String {
    format!("WATCHDOG_USEC={}", patience.as_micros())
}

/// Another line would be another word to the manager.
fn one_line(text: &str) -> String {
    text.replace(|letter: char| letter.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Default)]
    struct Wheel {
        turns: Cell<u64>,
        is_stuck: bool,
    }

    impl Turning for Wheel {
        fn turns(&self) -> u64 {
            self.turns.get()
        }

        fn poke(&self) {
            if !self.is_stuck {
                self.turns.set(self.turns.get() + 1);
            }
        }
    }

    #[test]
    fn no_sign_is_due_before_half_of_the_patience_is_over_and_none_without_a_watchdog() {
        assert!(!Service::with_watchdog(None).is_due());
        let mut service = Service::with_watchdog(Some(Duration::from_secs(3600)));
        assert!(service.is_due());
        assert!(!service.is_due());
        assert!(service.due <= Instant::now() + Duration::from_secs(1800));
    }

    #[test]
    fn who_is_at_rest_is_poked_and_who_is_stuck_keeps_all_silent() {
        let mut service = Service::with_watchdog(Some(Duration::ZERO));
        let (well, stuck) = (
            Wheel::default(),
            Wheel {
                is_stuck: true,
                ..Wheel::default()
            },
        );
        service.are_alive(&[&well, &stuck]);
        assert_eq!(service.turns, [0, 0]);
        service.are_alive(&[&well, &stuck]);
        assert_eq!(service.turns, [0, 0], "the last sign was the first one");
        service.are_alive(&[&well]);
        service.are_alive(&[&well]);
        assert_eq!(service.turns, [3]);
    }
}
