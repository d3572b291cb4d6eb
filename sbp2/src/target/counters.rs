use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

/// What a bridge has done since it was made, to be looked at from outside while it runs.
///
/// A bridge that is attached to a bus belongs to the bus. Whoever wants to know what it does
/// takes [`Bridge::counters`](super::Bridge::counters) before. The numbers are independent of
/// each other: a reader may see one of two that change together.
#[derive(Debug)]
pub struct Counters {
    commands: AtomicUsize,
    status_blocks: AtomicUsize,
    logins: AtomicUsize,
    logins_refused: AtomicUsize,
    logins_expired: AtomicUsize,
    management_orbs: AtomicUsize,
    bus_resets: AtomicUsize,
    requests_refused: AtomicUsize,
    transport_errors: AtomicUsize,
    aborted_orbs: AtomicUsize,
    max_outstanding: AtomicUsize,
    slots: Box<[Slot]>,
}

/// The login ID of a [`Slot`] in which nobody was yet: wider than any that is given out.
const NOBODY: u32 = u32::MAX;

#[derive(Debug)]
struct Slot {
    login_id: AtomicU32,
    outstanding: AtomicUsize,
    max_outstanding: AtomicUsize,
}

macro_rules! totals {
    ($($(#[$doc:meta])* $name:ident, $count:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> usize {
                self.$name.load(Relaxed)
            }

            pub(super) fn $count(&self) {
                self.$name.fetch_add(1, Relaxed);
            }
        )*
    };
}

impl Counters {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            commands: AtomicUsize::new(0),
            status_blocks: AtomicUsize::new(0),
            logins: AtomicUsize::new(0),
            logins_refused: AtomicUsize::new(0),
            logins_expired: AtomicUsize::new(0),
            management_orbs: AtomicUsize::new(0),
            bus_resets: AtomicUsize::new(0),
            requests_refused: AtomicUsize::new(0),
            transport_errors: AtomicUsize::new(0),
            aborted_orbs: AtomicUsize::new(0),
            max_outstanding: AtomicUsize::new(0),
            slots: (0..slots)
                .map(|_| Slot {
                    login_id: AtomicU32::new(NOBODY),
                    outstanding: AtomicUsize::new(0),
                    max_outstanding: AtomicUsize::new(0),
                })
                .collect(),
        }
    }

    totals! {
        /// Command ORBs that were given to the device server.
        commands, count_command;
        /// Status blocks sent, those for management ORBs and the unsolicited ones included.
        status_blocks, count_status_block;
        /// Logins that were granted. Reconnects are not counted.
        logins, count_login;
        /// Logins that were refused, whatever the reason.
        logins_refused, count_login_refused;
        /// Logins that were dropped because nobody reconnected in time.
        logins_expired, count_login_expired;
        /// Management ORBs that were fetched.
        management_orbs, count_management_orb;
        /// Bus resets seen.
        bus_resets, count_bus_reset;
        /// Requests to the bridge's registers that were answered with an error.
        requests_refused, count_request_refused;
        /// Transactions of the bridge that failed for good, bus resets not counted.
        transport_errors, count_transport_error;
        /// ORBs that were taken away from a login before they had ended: by task management, an
        /// agent reset, a logout or a bus reset.
        aborted_orbs, count_aborted_orb;
    }

    /// The most ORBs that any login has ever had outstanding.
    ///
    /// An ORB is outstanding from the moment at which the bridge learns of it (its fetch, which
    /// ORB_POINTER or DOORBELL started or a next_ORB asked for) until its status block is sent or
    /// it is taken away. An initiator that serialises never has more than one.
    #[must_use]
    pub fn max_outstanding(&self) -> usize {
        self.max_outstanding.load(Relaxed)
    }

    /// As [`Self::max_outstanding`] for one login, also after it has ended, until its place is
    /// given to another one.
    #[must_use]
    pub fn max_outstanding_of(&self, login_id: u16) -> Option<usize> {
        self.slot_of(login_id)
            .map(|slot| slot.max_outstanding.load(Relaxed))
    }

    /// How many ORBs a login has outstanding now.
    #[must_use]
    pub fn outstanding_of(&self, login_id: u16) -> Option<usize> {
        self.slot_of(login_id)
            .map(|slot| slot.outstanding.load(Relaxed))
    }

    fn slot_of(&self, login_id: u16) -> Option<&Slot> {
        self.slots
            .iter()
            .find(|slot| slot.login_id.load(Relaxed) == u32::from(login_id))
    }

    pub(super) fn start_login(&self, slot: usize, login_id: u16) {
        if let Some(slot) = self.slots.get(slot) {
            slot.login_id.store(u32::from(login_id), Relaxed);
            slot.outstanding.store(0, Relaxed);
            slot.max_outstanding.store(0, Relaxed);
        }
    }

    pub(super) fn set_outstanding(&self, slot: usize, count: usize) {
        if let Some(slot) = self.slots.get(slot) {
            slot.outstanding.store(count, Relaxed);
            slot.max_outstanding.fetch_max(count, Relaxed);
            self.max_outstanding.fetch_max(count, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_changes_hands_starts_anew_and_the_total_keeps_the_maximum() {
        let counters = Counters::new(2);
        assert_eq!(counters.max_outstanding_of(7), None);
        counters.start_login(1, 7);
        counters.set_outstanding(1, 3);
        counters.set_outstanding(1, 1);
        assert_eq!(counters.max_outstanding_of(7), Some(3));
        assert_eq!(counters.outstanding_of(7), Some(1));
        counters.start_login(1, 8);
        assert_eq!(counters.max_outstanding_of(7), None);
        assert_eq!(counters.max_outstanding_of(8), Some(0));
        assert_eq!(counters.max_outstanding(), 3);
    }
}
