//! The working half: what the disk is asked for, and what its answers mean.

use std::ops::Range;

use super::input::Input;
use super::{Connection, Life, Ticket};
use crate::disk::Request;
use crate::nbd::counters::add;
use crate::nbd::transmission::{Accepted, NO_MEMORY, STOPPING, ZEROES_PIECE};
use crate::nbd::wire::{Errno, RequestHeader};

/// A request that the disk has, or is about to get.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) cookie: u64,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
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
    /// Forgets a request and the room it took.
    pub(super) fn take_under_way(&mut self, ticket: Ticket) -> Option<UnderWay> {
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

    /// Starts the request that waits for room, if there is.
    pub(super) fn admit_waiting(&mut self) {
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

    pub(super) fn start(&mut self, cookie: u64, kind: Kind, request: Request) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.under_way.insert(ticket, UnderWay { cookie, kind });
        self.requests.push_back((ticket, request));
    }

    /// The disk did what `kind` says.
    pub(super) fn done(&mut self, cookie: u64, kind: Kind, bytes: Vec<u8>) {
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
}
