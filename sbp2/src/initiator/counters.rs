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
    /// Requests of the target, or of somebody else, that were refused: not from our target, not
    /// of this generation, outside the buffer of a command under way, or in the wrong direction.
    pub refused_requests: u64,
    /// Status blocks for no ORB that is under way.
    pub stale_status: u64,
    /// Status blocks that no ORB had asked for.
    pub unsolicited_status: u64,
}
