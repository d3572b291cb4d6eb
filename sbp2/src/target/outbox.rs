use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use ohci_raw::bus::{
    Action, Address, Generation, Instant, NodeId, Operation, RCode, RequestHandle, Response, Speed,
    Token, Transaction,
};

/// How often a request is sent that finds the initiator busy.
const ATTEMPTS: u32 = 10;
/// The pause before the second attempt; it doubles with each further one, so that an initiator
/// has about 50 ms in which to become free.
const FIRST_PAUSE: Duration = Duration::from_micros(100);

/// Where a request goes and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) node: NodeId,
    pub(super) speed: Speed,
}

struct Pending<W> {
    who: W,
    attempts: u32,
    /// Sent again whatever the answer was, as long as there was one.
    persistent: bool,
    transaction: Transaction,
}

/// Everything that leaves the bridge, and what waits for an answer.
///
/// `W` tells who asked, in words that outlive him: whoever started a request may be gone when
/// its response comes. What is on the bus is not taken back but by a bus reset.
pub(super) struct Outbox<W> {
    actions: VecDeque<Action>,
    generation: Option<Generation>,
    pending: BTreeMap<u64, Pending<W>>,
    /// Requests that wait for their next attempt.
    paused: Vec<(Instant, Pending<W>)>,
    next_token: u64,
    limit: usize,
}

impl<W> Outbox<W> {
    /// An empty one. Past `limit` requests without an answer [`Self::is_full`] says so.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            actions: VecDeque::new(),
            generation: None,
            pending: BTreeMap::new(),
            paused: Vec::new(),
            next_token: 0,
            limit,
        }
    }

    pub(super) const fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// Whether so many requests wait for an answer that no more should be started.
    pub(super) fn is_full(&self) -> bool {
        self.under_way() >= self.limit
    }

    /// How many requests wait for an answer or for their next attempt.
    pub(super) fn under_way(&self) -> usize {
        self.pending.len() + self.paused.len()
    }

    pub(super) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn respond(&mut self, handle: RequestHandle, response: Response) {
        self.actions.push_back(Action::Respond { handle, response });
    }

    /// Sends a request in the current generation. Before the first bus reset there is nobody to
    /// send to, and nothing happens.
    pub(super) fn send(&mut self, who: W, route: Route, address: Address, operation: Operation) {
        self.begin(who, route, (address, operation), false);
    }

    /// The same for what may be asked as often as one likes, of an initiator that may not be ready
    /// for it yet: it is sent again, too, when it was refused.
    pub(super) fn send_persistently(
        &mut self,
        who: W,
        route: Route,
        address: Address,
        operation: Operation,
    ) {
        self.begin(who, route, (address, operation), true);
    }

    fn begin(
        &mut self,
        who: W,
        route: Route,
        (address, operation): (Address, Operation),
        persistent: bool,
    ) {
        let Some(generation) = self.generation else {
            return;
        };
        let transaction = Transaction {
            token: Token(0),
            destination: route.node,
            generation,
            speed: route.speed,
            address,
            operation,
        };
        self.issue(Pending {
            who,
            attempts: 1,
            persistent,
            transaction,
        });
    }

    fn issue(&mut self, mut pending: Pending<W>) {
        let token = self.next_token;
        self.next_token = self.next_token.wrapping_add(1);
        pending.transaction.token = Token(token);
        self.actions
            .push_back(Action::Send(pending.transaction.clone()));
        self.pending.insert(token, pending);
    }

    /// Takes in a response: whose it is, or `None` where nobody is to hear of it (yet).
    ///
    /// After [`RCode::GENERATION`] it is sent again, too. Most often that announces a bus reset,
    /// which comes before the pause is over and clears everything. Where none comes the node was
    /// not known, and whoever asked is not kept waiting for ever.
    ///
    /// Otherwise only what the initiator certainly has not seen is sent again. A status block that arrived
    /// twice could end a later command whose ORB lies at the same address.
    pub(super) fn take(&mut self, token: Token, rcode: RCode, now: Instant) -> Option<W> {
        let mut pending = self.pending.remove(&token.0)?;
        let unseen = matches!(
            rcode,
            RCode::BUSY | RCode::CONFLICT_ERROR | RCode::SEND_ERROR | RCode::GENERATION
        );
        let refused = matches!(rcode, RCode::TYPE_ERROR | RCode::ADDRESS_ERROR);
        if (unseen || refused && pending.persistent) && pending.attempts < ATTEMPTS {
            let pause = FIRST_PAUSE * (1 << (pending.attempts - 1));
            pending.attempts += 1;
            self.paused.push((now + pause, pending));
            return None;
        }
        Some(pending.who)
    }

    /// When [`Self::resend`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.paused.iter().map(|(due, _)| *due).min()
    }

    /// Sends again what is due.
    pub(super) fn resend(&mut self, now: Instant) {
        let mut index = 0;
        while index < self.paused.len() {
            if self.paused[index].0 <= now {
                let (_, pending) = self.paused.remove(index);
                self.issue(pending);
            } else {
                index += 1;
            }
        }
    }

    /// Drops requests that wait for their next attempt and whose reason is gone.
    pub(super) fn cancel_resends(&mut self, gone: impl Fn(&W) -> bool) {
        self.paused.retain(|(_, pending)| !gone(&pending.who));
    }

    /// Drops those that nobody has fetched by [`Self::next_action`] yet, too. Whether there were any.
    pub(super) fn cancel(&mut self, gone: impl Fn(&W) -> bool) -> bool {
        let before = self.under_way();
        let pending = &mut self.pending;
        self.actions.retain(|action| match action {
            Action::Send(Transaction { token, .. })
                if pending.get(&token.0).is_some_and(|sent| gone(&sent.who)) =>
            {
                pending.remove(&token.0);
                false
            }
            _ => true,
        });
        self.cancel_resends(gone);
        self.under_way() < before
    }

    /// The bus was reset: what waits for an answer will not get one that matters.
    pub(super) fn bus_reset(&mut self, generation: Generation) {
        self.generation = Some(generation);
        self.pending.clear();
        self.paused.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: Route = Route {
        node: NodeId::local(1),
        speed: Speed::S400,
    };

    fn outbox() -> Outbox<&'static str> {
        let mut outbox = Outbox::new(2);
        outbox.bus_reset(Generation(1));
        outbox
    }

    fn sent(outbox: &mut Outbox<&'static str>) -> Option<Transaction> {
        match outbox.next_action() {
            Some(Action::Send(transaction)) => Some(transaction),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_busy_initiator_is_asked_again_a_limited_number_of_times() {
        let mut outbox = outbox();
        let mut now = Instant::ZERO;
        outbox.send("me", ROUTE, Address::new(0), Operation::ReadQuadlet);
        for _ in 1..ATTEMPTS {
            let transaction = sent(&mut outbox).unwrap();
            assert_eq!(outbox.take(transaction.token, RCode::BUSY, now), None);
            outbox.resend(now);
            assert!(sent(&mut outbox).is_none(), "too early");
            now = outbox.poll_timeout().unwrap();
            outbox.resend(now);
        }
        let last = sent(&mut outbox).unwrap();
        assert_eq!(outbox.take(last.token, RCode::BUSY, now), Some("me"));
        assert_eq!(outbox.poll_timeout(), None);
    }

    #[test]
    fn what_the_initiator_may_have_seen_is_never_sent_twice() {
        for rcode in [
            RCode::CANCELLED,
            RCode::NO_ACK,
            RCode::DATA_ERROR,
            RCode::ADDRESS_ERROR,
            RCode::COMPLETE,
        ] {
            let mut outbox = outbox();
            outbox.send("me", ROUTE, Address::new(0), Operation::ReadQuadlet);
            let token = sent(&mut outbox).unwrap().token;
            assert_eq!(outbox.take(token, rcode, Instant::ZERO), Some("me"));
            assert_eq!(outbox.take(token, rcode, Instant::ZERO), None);
        }
    }

    #[test]
    fn what_may_be_asked_often_is_asked_again_when_it_was_refused_but_not_without_an_answer() {
        for (rcode, is_repeated) in [
            (RCode::TYPE_ERROR, true),
            (RCode::ADDRESS_ERROR, true),
            (RCode::CANCELLED, false),
            (RCode::COMPLETE, false),
        ] {
            let mut outbox = outbox();
            outbox.send_persistently("me", ROUTE, Address::new(0), Operation::ReadQuadlet);
            let token = sent(&mut outbox).unwrap().token;
            let whose = outbox.take(token, rcode, Instant::ZERO);
            assert_eq!(whose.is_none(), is_repeated, "{rcode}");
            assert_eq!(outbox.poll_timeout().is_some(), is_repeated);
        }
    }

    #[test]
    fn what_is_not_on_the_bus_can_be_taken_back() {
        let mut outbox = outbox();
        let send = |outbox: &mut Outbox<_>, who| {
            outbox.send(who, ROUTE, Address::new(0), Operation::ReadQuadlet);
        };
        send(&mut outbox, "on the bus");
        let token = sent(&mut outbox).unwrap().token;
        send(&mut outbox, "busy");
        let busy = sent(&mut outbox).unwrap().token;
        assert_eq!(outbox.take(busy, RCode::BUSY, Instant::ZERO), None);
        send(&mut outbox, "not sent");
        send(&mut outbox, "another");
        assert!(outbox.cancel(|who| *who != "another"));
        assert!(!outbox.cancel(|who| *who != "another"));
        assert_eq!(outbox.poll_timeout(), None);
        let other = sent(&mut outbox).unwrap().token;
        assert!(sent(&mut outbox).is_none());
        assert_eq!(outbox.under_way(), 2);
        for (token, who) in [(token, "on the bus"), (other, "another")] {
            let ended = outbox.take(token, RCode::COMPLETE, Instant::ZERO);
            assert_eq!(ended, Some(who));
        }
    }

    /// A node that is not known, and no bus reset by which it could become known.
    #[test]
    fn who_asked_for_what_cannot_be_sent_hears_of_it_in_the_end() {
        let mut outbox = outbox();
        let mut now = Instant::ZERO;
        outbox.send("me", ROUTE, Address::new(0), Operation::ReadQuadlet);
        let mut attempts = 0;
        let whose = loop {
            attempts += 1;
            let token = sent(&mut outbox).unwrap().token;
            let whose = outbox.take(token, RCode::GENERATION, now);
            match outbox.poll_timeout() {
                Some(due) => now = due,
                None => break whose,
            }
            assert_eq!(whose, None);
            outbox.resend(now);
        };
        assert_eq!((whose, attempts), (Some("me"), ATTEMPTS));
    }

    #[test]
    fn it_is_full_at_its_limit_and_empty_after_a_bus_reset() {
        let mut outbox = outbox();
        outbox.send("a", ROUTE, Address::new(0), Operation::ReadQuadlet);
        assert!(!outbox.is_full());
        outbox.send("b", ROUTE, Address::new(0), Operation::ReadQuadlet);
        assert!(outbox.is_full());
        let token = sent(&mut outbox).unwrap().token;
        outbox.take(token, RCode::BUSY, Instant::ZERO);
        assert!(outbox.is_full());
        outbox.bus_reset(Generation(2));
        assert!(!outbox.is_full());
        assert_eq!(outbox.take(token, RCode::COMPLETE, Instant::ZERO), None);
        assert_eq!(outbox.poll_timeout(), None);
    }
}
