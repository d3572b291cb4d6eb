use super::inbound::Refusal;

/// What the port put right on its own. All of these are 0 on a healthy bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Requests from another of the host's cards, answered with an address error.
    pub foreign_card: u64,
    /// Requests from before the last bus reset, answered with an address error.
    pub stale_requests: u64,
    /// Requests to addresses that are not claimed any more, answered with an address error.
    pub unclaimed: u64,
    /// Requests that are no transaction of the standard, answered with a type error.
    pub unsupported: u64,
    /// Responses to nothing that was sent.
    pub stray_responses: u64,
    /// Events that could not be read.
    pub malformed_events: u64,
    /// Events of a type that is not known.
    pub unknown_events: u64,
    /// Node files that were closed because their node is gone.
    pub lost_nodes: u64,
}

impl Counters {
    pub(super) fn refused(&mut self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::ForeignCard => &mut self.foreign_card,
            Refusal::Stale => &mut self.stale_requests,
            Refusal::Unclaimed => &mut self.unclaimed,
            Refusal::Unsupported => &mut self.unsupported,
        };
        count(counter, &format_args!("a request was refused: {refusal:?}"));
    }
}

/// Counts, and logs the first time: a peer must not be able to fill the log.
pub(super) fn count(counter: &mut u64, what: &dyn std::fmt::Display) {
    *counter = counter.saturating_add(1);
    if *counter == 1 {
        tracing::warn!("{what}; further ones are counted only");
    }
}
