use super::inbound::Refusal;
use crate::port::PortCounters;

/// Counts a request that the port has answered itself.
pub(super) fn count_refusal(counters: &mut PortCounters, refusal: Refusal) {
    let counter = match refusal {
        Refusal::ForeignCard => &mut counters.foreign_card,
        Refusal::Stale => &mut counters.stale_requests,
        Refusal::Unclaimed => &mut counters.unclaimed,
        Refusal::Unsupported => &mut counters.unsupported,
    };
    count(counter, &format_args!("a request was refused: {refusal:?}"));
}

/// Counts, and logs the first time: a peer must not be able to fill the log.
pub(super) fn count(counter: &mut u64, what: &dyn std::fmt::Display) {
    *counter = counter.saturating_add(1);
    if *counter == 1 {
        tracing::warn!("{what}; further ones are counted only");
    }
}
