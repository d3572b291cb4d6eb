/// What happened on a [`Bus`](super::Bus) since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Packets sent, requests and responses alike, lost ones included.
    pub packets: u64,
    /// Bytes of data that these packets carried, without headers.
    pub bytes: u64,
    /// Bus resets, those of attaching and detaching included.
    pub resets: u64,
    /// Requests to addresses that nobody serves, or that pass the end of a served range.
    pub refused: u64,
    /// Responses that came when the requester no longer waited: after its split timeout, or a
    /// second time.
    pub late_responses: u64,
    /// Transactions that ended because no response came in time.
    pub split_timeouts: u64,
    /// Answers that could not be sent as they were, see [`RespondError`](super::RespondError).
    pub bad_responses: u64,
    /// Packets with which a fault injector interfered.
    pub faults: u64,
}
