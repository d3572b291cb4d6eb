//! One client, without its socket.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use zerocopy::FromBytes;

use crate::disk::{DiskError, Request};

use super::counters::add;
use super::export::{Export, Limits};
use super::negotiation::{self, Haggling, MAX_OPTION_DATA, MAX_OPTION_SKIP, Next};
use super::output::Outgoing;
use super::transmission::{
    self, Accepted, MAX_DRAIN, NO_MEMORY, Refusal, Replies, STOPPING, ZEROES_PIECE,
};
use super::wire::{
    Command, Errno, OPTION_MAGIC, OptionCode, OptionHeader, OptionReplyCode, REQUEST_MAGIC,
    RequestHeader,
};

#[cfg(test)]
mod tests;

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
    /// The client sent `NBD_CMD_DISC`: nothing more is read, what is under way is finished.
    Disconnecting,
    /// Nothing more is read; what is under way is answered, and need not be finished.
    Leaving,
    /// Nothing more is read, and nobody is there to answer.
    Gone,
}

/// What the next bytes from the client are.
#[derive(Debug)]
enum Input {
    ClientFlags,
    OptionHeader(Haggling),
    OptionData {
        haggling: Haggling,
        option: OptionCode,
        length: usize,
    },
    /// Data of an option that was refused for its length.
    OptionSkip {
        haggling: Haggling,
        left: usize,
    },
    RequestHeader,
    WriteData {
        cookie: u64,
        offset: u64,
        length: usize,
        fua: bool,
        data: Vec<u8>,
    },
    /// Data of a write that was refused, and is answered once it is out of the way.
    WriteDrain {
        cookie: u64,
        left: usize,
        refusal: Refusal,
    },
}

/// A request that the disk has, or is about to get.
#[derive(Debug)]
struct UnderWay {
    cookie: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Read {
        offset: u64,
        length: usize,
        part: Range<usize>,
    },
    Write {
        length: usize,
    },
    /// One piece at a time, each up to `next`, until `range.end`.
    WriteZeroes {
        range: Range<u64>,
        next: u64,
        fua: bool,
    },
    Flush,
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

    /// Forgets a request and the room it took.
    fn take_under_way(&mut self, ticket: Ticket) -> Option<UnderWay> {
        let request = self.under_way.remove(&ticket)?;
        if let Kind::Read { length, .. } | Kind::Write { length } = request.kind {
            self.payload_bytes -= length;
        }
        Some(request)
    }

    /// Whether a request that takes several pieces gets its next one.
    fn goes_on(&self) -> bool {
        matches!(self.life, Life::Open | Life::Disconnecting)
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

    /// Takes one piece of input: a header, or what there is of some data.
    fn step(&mut self, rest: &mut &[u8]) {
        match &mut self.input {
            Input::ClientFlags => {
                if let Some(flags) = gather::<zerocopy::big_endian::U32>(&mut self.header, rest) {
                    match Haggling::new(flags.get()) {
                        Some(haggling) => self.input = Input::OptionHeader(haggling),
                        None => self.violation("unknown client flags"),
                    }
                }
            }
            Input::OptionHeader(_) => {
                if let Some(header) = gather::<OptionHeader>(&mut self.header, rest) {
                    self.option_header(header);
                }
            }
            Input::OptionData { length, .. } => {
                let length = *length;
                if fill(&mut self.header, length, rest) {
                    self.option();
                }
            }
            Input::OptionSkip { left, .. } => {
                skip(left, rest);
                if *left == 0 {
                    self.end_of_skip();
                }
            }
            Input::RequestHeader => {
                if let Some(header) = gather::<RequestHeader>(&mut self.header, rest) {
                    self.request(header);
                }
            }
            Input::WriteData { length, data, .. } => {
                let length = *length;
                if fill(data, length, rest) {
                    self.write();
                }
            }
            Input::WriteDrain {
                cookie,
                left,
                refusal,
            } => {
                skip(left, rest);
                if *left == 0 {
                    let (cookie, refusal) = (*cookie, *refusal);
                    self.input = Input::RequestHeader;
                    self.refuse(cookie, refusal);
                }
            }
        }
    }

    fn option_header(&mut self, header: OptionHeader) {
        let option = OptionCode::from(header.option.get());
        let length = header.length.get();
        let Input::OptionHeader(haggling) =
            std::mem::replace(&mut self.input, Input::RequestHeader)
        else {
            return;
        };
        if header.magic.get() != OPTION_MAGIC {
            return self.violation("an option without its magic number");
        }
        if !haggling.may_send(option) {
            return self.violation("an option that only fixed newstyle clients may send");
        }
        if length as usize <= MAX_OPTION_DATA {
            self.input = Input::OptionData {
                haggling,
                option,
                length: length as usize,
            };
            if length == 0 {
                self.option();
            }
        } else if length > MAX_OPTION_SKIP || option == OptionCode::ExportName {
            self.violation("an option of absurd length");
        } else {
            negotiation::refuse(
                &mut self.out,
                option,
                OptionReplyCode::TooBig,
                "longer than any option that this server knows",
            );
            self.input = Input::OptionSkip {
                haggling,
                left: length as usize,
            };
        }
    }

    /// An option has come whole.
    fn option(&mut self) {
        let data = std::mem::take(&mut self.header);
        let Input::OptionData {
            mut haggling,
            option,
            ..
        } = std::mem::replace(&mut self.input, Input::RequestHeader)
        else {
            return;
        };
        if self.life == Life::Stopping && option != OptionCode::Abort {
            if option == OptionCode::ExportName {
                return self.violation("the server is stopping");
            }
            let text = STOPPING.text;
            negotiation::refuse(&mut self.out, option, OptionReplyCode::Shutdown, text);
            self.input = Input::OptionHeader(haggling);
            return;
        }
        match haggling.answer(&self.export, option, &data, &mut self.out) {
            Next::Option => self.input = Input::OptionHeader(haggling),
            Next::Transmission => self.replies.structured = haggling.structured,
            Next::Close => self.input_ended(),
        }
    }

    fn end_of_skip(&mut self) {
        let input = std::mem::replace(&mut self.input, Input::RequestHeader);
        if let Input::OptionSkip { haggling, .. } = input {
            self.input = Input::OptionHeader(haggling);
        }
    }

    fn request(&mut self, header: RequestHeader) {
        if header.magic.get() != REQUEST_MAGIC {
            return self.violation("a request without its magic number");
        }
        let command = Command::from(header.command.get());
        if command == Command::Disconnect {
            return self.leave(Life::Disconnecting);
        }
        match transmission::check(&self.export, self.replies.structured, &header) {
            Ok(accepted) => {
                self.waiting = Some((header, accepted));
                self.admit_waiting();
            }
            Err(refusal) => self.refuse_request(&header, refusal),
        }
    }

    /// Starts the request that waits for room, if there is.
    fn admit_waiting(&mut self) {
        let Some((header, accepted)) = self.waiting.take() else {
            return;
        };
        if self.life == Life::Stopping {
            return self.refuse_request(&header, STOPPING);
        }
        let held = self.held();
        let room = held == 0 || held.saturating_add(accepted.cost()) <= self.limits.bytes;
        if room && self.under_way.len() < self.limits.requests {
            self.admit(&header, accepted);
        } else {
            self.waiting = Some((header, accepted));
        }
    }

    fn admit(&mut self, header: &RequestHeader, accepted: Accepted) {
        let cookie = header.cookie.get();
        let cost = accepted.cost();
        match accepted {
            Accepted::Nothing => {
                self.replies
                    .data(&mut self.out, cookie, header.offset.get(), Vec::new(), 0..0);
            }
            Accepted::Flush => self.start(cookie, Kind::Flush, Request::Flush),
            Accepted::Read {
                offset,
                length,
                part,
            } => {
                self.payload_bytes += cost;
                let kind = Kind::Read {
                    offset: header.offset.get(),
                    length: cost,
                    part,
                };
                self.start(cookie, kind, Request::Read { offset, length });
            }
            Accepted::WriteZeroes { range, fua } => {
                let next = range.start;
                self.zeroes(cookie, range, next, fua);
            }
            Accepted::Write { offset, fua, .. } => {
                let mut data = Vec::new();
                if data.try_reserve_exact(cost).is_err() {
                    return self.refuse_request(header, NO_MEMORY);
                }
                self.payload_bytes += cost;
                self.input = Input::WriteData {
                    cookie,
                    offset,
                    length: cost,
                    fua,
                    data,
                };
            }
        }
    }

    /// The data of a write has come whole.
    fn write(&mut self) {
        let input = std::mem::replace(&mut self.input, Input::RequestHeader);
        let Input::WriteData {
            cookie,
            offset,
            length,
            fua,
            data,
        } = input
        else {
            return;
        };
        if self.life == Life::Stopping {
            self.payload_bytes -= length;
            return self.refuse(cookie, STOPPING);
        }
        let request = Request::Write { offset, data, fua };
        self.start(cookie, Kind::Write { length }, request);
    }

    /// Asks the disk for the next piece of a write of zeroes, from `next` on.
    fn zeroes(&mut self, cookie: u64, range: Range<u64>, next: u64, fua: bool) {
        let piece = ZEROES_PIECE.min(self.export.geometry().max_request);
        let length = u32::try_from(range.end - next).map_or(piece, |left| left.min(piece));
        let kind = Kind::WriteZeroes {
            range,
            next: next + u64::from(length),
            fua,
        };
        let request = Request::WriteZeroes {
            offset: next,
            length,
            fua,
        };
        self.start(cookie, kind, request);
    }

    fn start(&mut self, cookie: u64, kind: Kind, request: Request) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.under_way.insert(ticket, UnderWay { cookie, kind });
        self.requests.push_back((ticket, request));
    }

    /// The disk did what `kind` says.
    fn done(&mut self, cookie: u64, kind: Kind, bytes: Vec<u8>) {
        let counters = self.export.counters();
        match kind {
            Kind::Read { length, .. } if bytes.len() != length => {
                add(&counters.failed, 1);
                let text = format!("the disk gave {} bytes of {length}", bytes.len());
                tracing::error!(cookie, "{text}");
                self.replies.error(&mut self.out, cookie, Errno::Io, &text);
            }
            Kind::Read { offset, part, .. } => {
                add(&counters.reads, 1);
                add(&counters.bytes_read, part.len() as u64);
                self.replies
                    .data(&mut self.out, cookie, offset, bytes, part);
            }
            Kind::Write { length } => {
                add(&counters.writes, 1);
                add(&counters.bytes_written, length as u64);
                self.replies.done(&mut self.out, cookie);
            }
            Kind::Flush => {
                add(&counters.flushes, 1);
                self.replies.done(&mut self.out, cookie);
            }
            Kind::WriteZeroes { range, next, .. } if next == range.end => {
                add(&counters.writes, 1);
                add(&counters.bytes_written, range.end - range.start);
                self.replies.done(&mut self.out, cookie);
            }
            Kind::WriteZeroes { range, next, fua } if self.goes_on() => {
                self.zeroes(cookie, range, next, fua);
            }
            Kind::WriteZeroes { .. } => self.refuse(cookie, STOPPING),
        }
    }

    /// Refuses a request, once the data that follows it is out of the way.
    fn refuse_request(&mut self, header: &RequestHeader, refusal: Refusal) {
        let cookie = header.cookie.get();
        let length = header.length.get();
        if Command::from(header.command.get()) != Command::Write || length == 0 {
            return self.refuse(cookie, refusal);
        }
        if length > MAX_DRAIN {
            return self.violation("a write of absurd length");
        }
        self.input = Input::WriteDrain {
            cookie,
            left: length as usize,
            refusal,
        };
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

/// Collects a structure whole, over as many calls as its bytes take to come.
fn gather<T: FromBytes>(kept: &mut Vec<u8>, rest: &mut &[u8]) -> Option<T> {
    if !fill(kept, size_of::<T>(), rest) {
        return None;
    }
    let whole = T::read_from_bytes(kept).ok();
    kept.clear();
    whole
}

/// Moves bytes from `rest` until `kept` has `length`; tells whether it has.
fn fill(kept: &mut Vec<u8>, length: usize, rest: &mut &[u8]) -> bool {
    let (taken, left) = rest.split_at(rest.len().min(length - kept.len()));
    kept.extend_from_slice(taken);
    *rest = left;
    kept.len() == length
}

/// Throws away up to `left` bytes of `rest`.
fn skip(left: &mut usize, rest: &mut &[u8]) {
    let taken = rest.len().min(*left);
    *rest = &rest[taken..];
    *left -= taken;
}
