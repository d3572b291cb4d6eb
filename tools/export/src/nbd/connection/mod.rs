//! One client, without its socket.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::disk::{DiskError, Request};

use super::counters::add;
use super::export::{Export, Limits};
use super::negotiation;
use super::output::Outgoing;
use super::transmission::{Accepted, Refusal, Replies};
use super::wire::{Errno, RequestHeader};
use input::Input;
use work::UnderWay;

mod input;
#[cfg(test)]
mod tests;
mod work;

/// The server's end of one connection: a state machine that does no I/O.
///
/// The caller moves bytes and requests:
///
/// * what the client sent goes to [`receive`](Self::receive), and its end is told by
///   [`input_ended`](Self::input_ended);
/// * [`poll_request`](Self::poll_request) gives requests for the disk, and
///   [`complete`](Self::complete) takes how they ended;
/// * [`poll_output`](Self::poll_output) gives bytes for the client, and
///   [`sent`](Self::sent) is told when they have gone;
/// * when [`is_finished`](Self::is_finished), the socket can be closed.
///
/// It holds no more bytes than its export's [`Limits`] say: `receive` takes none while there is
/// no room for them.
#[derive(Debug)]
pub struct Connection {
    export: Arc<Export>,
    limits: Limits,
    life: Life,
    input: Input,
    /// Bytes of a header that has not come whole.
    header: Vec<u8>,
    /// A request that waits for room.
    waiting: Option<(RequestHeader, Accepted)>,
    replies: Replies,
    requests: VecDeque<(Ticket, Request)>,
    under_way: HashMap<Ticket, UnderWay>,
    next_ticket: u64,
    /// Bytes of payloads that are arriving, or that the disk has or will give.
    payload_bytes: usize,
    out: Outgoing,
    /// Bytes polled and not yet sent.
    unsent: usize,
    /// The client has sent `NBD_CMD_DISC`.
    said_goodbye: bool,
}

/// Names a request that was polled from a [`Connection`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ticket(u64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// Requests are taken.
    Open,
    /// Requests are answered with `ESHUTDOWN`.
    Stopping,
    /// The client sent `NBD_CMD_DISC`, or the server departs: nothing more is read, what is under
    /// way is finished.
    Disconnecting,
    /// Nothing more is read; what is under way is answered, and need not be finished.
    Leaving,
    /// Nothing more is read, and nobody is there to answer.
    Gone,
}

impl Connection {
    /// A connection that is about to greet its client.
    #[must_use]
    pub fn new(export: Arc<Export>) -> Self {
        let mut out = Outgoing::default();
        negotiation::greet(&mut out);
        Self {
            limits: export.limits(),
            export,
            life: Life::Open,
            input: Input::ClientFlags,
            header: Vec::new(),
            waiting: None,
            replies: Replies { structured: false },
            requests: VecDeque::new(),
            under_way: HashMap::new(),
            next_ticket: 0,
            payload_bytes: 0,
            out,
            unsent: 0,
            said_goodbye: false,
        }
    }

    /// A connection to a client that has nothing to haggle about, as the kernel: its next word is
    /// a request.
    #[must_use]
    pub fn in_transmission(export: Arc<Export>) -> Self {
        Self {
            input: Input::RequestHeader,
            out: Outgoing::default(),
            ..Self::new(export)
        }
    }

    /// Takes bytes from the client and tells how many.
    ///
    /// Fewer than all means that there is no room: offer the rest again once
    /// [`is_blocked`](Self::is_blocked) says no, after a `complete` or a `sent`.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_blocked() {
            if !self.reads_input() {
                return bytes.len();
            }
            self.step(&mut rest);
        }
        bytes.len() - rest.len()
    }

    /// Whether `receive` would take nothing for want of room.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.reads_input() && (self.waiting.is_some() || self.held() >= self.limits.bytes)
            // What was admitted must be able to arrive.
            && !matches!(self.input, Input::WriteData { .. })
    }

    /// Whether anything the client sends still matters.
    #[must_use]
    pub fn reads_input(&self) -> bool {
        matches!(self.life, Life::Open | Life::Stopping)
    }

    /// Bytes held for the client now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.payload_bytes + self.out.len() + self.unsent
    }

    /// The next request for the disk.
    pub fn poll_request(&mut self) -> Option<(Ticket, Request)> {
        self.requests.pop_front()
    }

    /// How a request ended. A ticket that is not under way is ignored.
    pub fn complete(&mut self, ticket: Ticket, result: Result<Vec<u8>, DiskError>) {
        let Some(UnderWay { cookie, kind }) = self.take_under_way(ticket) else {
            return;
        };
        if self.life != Life::Gone {
            match result {
                Ok(bytes) => self.done(cookie, kind, bytes),
                Err(error) => {
                    add(&self.export.counters().failed, 1);
                    tracing::debug!(cookie, %error, "the disk failed a request");
                    let text = error.to_string();
                    self.replies
                        .error(&mut self.out, cookie, Errno::from(&error), &text);
                }
            }
        }
        self.admit_waiting();
    }

    /// Bytes for the client. Tell [`sent`](Self::sent) when they have gone.
    pub fn poll_output(&mut self) -> Option<Outgoing> {
        if self.out.is_empty() {
            return None;
        }
        self.unsent += self.out.len();
        Some(std::mem::take(&mut self.out))
    }

    /// `bytes` of the polled output have gone.
    pub fn sent(&mut self, bytes: usize) {
        self.unsent = self.unsent.saturating_sub(bytes);
        self.admit_waiting();
    }

    /// The client will send no more. What is under way is still answered, but a long write of
    /// zeroes ends after its current piece.
    pub fn input_ended(&mut self) {
        if self.reads_input() {
            self.leave(Life::Leaving);
        }
    }

    /// The client cannot be reached any more: nothing is answered, and what the disk does not
    /// have yet is forgotten.
    pub fn lost(&mut self) {
        self.leave(Life::Gone);
        for (ticket, _) in std::mem::take(&mut self.requests) {
            self.take_under_way(ticket);
        }
        self.out = Outgoing::default();
        self.unsent = 0;
    }

    /// The server stops: what is under way is answered, everything else is refused.
    pub fn stop(&mut self) {
        if self.life == Life::Open {
            self.life = Life::Stopping;
            self.admit_waiting();
        }
    }

    /// How many bytes are to come until the request that is arriving is whole. 0: none is.
    #[must_use]
    pub fn to_boundary(&self) -> usize {
        match &self.input {
            Input::RequestHeader if self.header.is_empty() => 0,
            Input::RequestHeader => size_of::<RequestHeader>().saturating_sub(self.header.len()),
            Input::WriteData { length, data, .. } => length.saturating_sub(data.len()),
            Input::WriteDrain { left, .. } => *left,
            _ => 0,
        }
    }

    /// No more requests are taken; those that have come whole are done and answered to their end.
    /// The client finds the connection closed then, and may send the others again on another one.
    pub fn depart(&mut self) {
        if self.life == Life::Open {
            self.leave(Life::Disconnecting);
        }
    }

    /// Whether the client has taken its leave by `NBD_CMD_DISC`.
    #[must_use]
    pub fn said_goodbye(&self) -> bool {
        self.said_goodbye
    }

    /// Whether everything is done and said.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match self.life {
            Life::Open => false,
            Life::Gone => true,
            Life::Stopping | Life::Disconnecting | Life::Leaving => {
                self.under_way.is_empty() && self.out.is_empty() && self.unsent == 0
            }
        }
    }

    /// Whether there is nothing to submit, nothing to send, and no end to notice.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.out.is_empty() && !self.is_finished()
    }

    /// How many requests are with the disk.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    fn leave(&mut self, life: Life) {
        if self.life == Life::Gone {
            return;
        }
        self.life = life;
        self.waiting = None;
        self.header = Vec::new();
        if let Input::WriteData { length, .. } = self.input {
            self.payload_bytes -= length;
        }
        self.input = Input::RequestHeader;
    }

    fn refuse(&mut self, cookie: u64, refusal: Refusal) {
        add(&self.export.counters().refused, 1);
        tracing::debug!(cookie, "refused: {}", refusal.text);
        self.replies
            .error(&mut self.out, cookie, refusal.errno, refusal.text);
    }

    /// The client broke the protocol: what is under way is answered, then it is hung up on.
    fn violation(&mut self, what: &str) {
        tracing::warn!("hanging up on a client: {what}");
        self.input_ended();
    }
}
