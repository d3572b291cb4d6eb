use super::refusals::Refusals;

/// What has happened so far. Each counter only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Bus resets since the first login was asked for.
    pub bus_resets: u64,
    /// Logins kept across a bus reset.
    pub reconnects: u64,
    /// Logins, the first one included.
    pub logins: u64,
    /// ORBs given to the target.
    pub orbs: u64,
    /// Of these, ORBs for commands that had been given to it before.
    pub reissued: u64,
    /// Commands without status in time.
    pub timeouts: u64,
    /// Requests of the target, or of somebody else, that were refused, and status blocks that
    /// were not heeded.
    pub refusals: Refusals,
    /// Status blocks for ORBs that are not under way any more.
    pub stale_status: u64,
    /// Status blocks that no ORB had asked for.
    pub unsolicited_status: u64,
}
