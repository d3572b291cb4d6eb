//! What the end of a command means for its request.

use alloc::vec::Vec;
use core::time::Duration;

use ohci_raw::bus::Instant;

use super::piece::{Kind, Piece};
use super::request::{Request, RequestError, RequestTag};
use super::verdict::{Patience, Verdict, verdict};
use super::{Disk, State};
use crate::initiator::{self, CommandError, CommandTag};
use crate::scsi::{AdditionalSense, CommandOutcome, Completion, SenseKey};

/// How often a command is tried again that may well succeed.
const OFTEN: u32 = 8;
/// How often a command is tried again that hurts.
const FEW_TIMES: u32 = 3;
/// For how long a command is tried again that the disk is not ready for.
const PATIENCE: Duration = Duration::from_secs(60);

impl Disk {
    pub(super) fn command_ended(
        &mut self,
        tag: CommandTag,
        result: Result<initiator::Completion, CommandError>,
        now: Instant,
    ) {
        if let State::BringingUp {
            bring_up, command, ..
        } = &mut self.state
            && *command == Some(tag)
        {
            *command = None;
            bring_up.outcome(bring_up_outcome(result), now);
            return;
        }
        if let Some(piece) = self.commands.remove(&tag) {
            self.piece_ended(piece, result, now);
        }
    }

    fn piece_ended(
        &mut self,
        piece: Piece,
        result: Result<initiator::Completion, CommandError>,
        now: Instant,
    ) {
        let (command, lba, blocks) = (piece.name(), piece.lba, piece.blocks);
        let ended = match result {
            Ok(ended) => ended,
            Err(error) => {
                let error = RequestError::Command {
                    command,
                    lba,
                    blocks,
                    error,
                };
                self.piece_failed(&piece, error);
                return;
            }
        };
        let Ok(completion) = Completion::from_status_block(&ended.scsi) else {
            // Nobody knows how it ended.
            let unknown = Completion::check_with(SenseKey::VendorSpecific, AdditionalSense::NONE);
            self.retry(piece, Patience::FewTimes, unknown, now);
            return;
        };
        if completion
            .sense
            .as_ref()
            .is_some_and(|sense| sense.deferred)
        {
            self.doubt_writes(true);
        }
        match verdict(&completion) {
            Verdict::Done => self.piece_done(piece, ended, now),
            Verdict::Retry(patience) => self.retry(piece, patience, completion, now),
            Verdict::Stopped => self.look_again(piece, completion, now),
            Verdict::Restarted => {
                self.doubt_writes(false);
                self.look_again(piece, completion, now);
            }
            Verdict::Failed if self.is_needless_sync(&piece, &completion) => {
                self.piece_succeeded(&piece);
            }
            Verdict::Failed => {
                let error = RequestError::Scsi {
                    command,
                    lba,
                    blocks,
                    completion,
                };
                self.piece_failed(&piece, error);
            }
        }
    }

    /// Brings the disk up again before anything else is done to it.
    fn look_again(&mut self, piece: Piece, why: Completion, now: Instant) {
        self.initiator.close_gate();
        if let (State::Ready, Some(login)) = (&self.state, self.last_login) {
            self.bring_up(login, false, now);
        }
        self.retry(piece, Patience::Often, why, now);
    }

    /// A disk that knows no SYNCHRONIZE CACHE and does not say that it has a write cache is
    /// taken for one without, as Linux does ("assuming drive cache: write through").
    fn is_needless_sync(&self, piece: &Piece, completion: &Completion) -> bool {
        let unknown = completion.sense.as_ref().is_some_and(|sense| {
            sense.key == SenseKey::IllegalRequest
                && sense.code == AdditionalSense::INVALID_OPERATION_CODE
        });
        let cached = self.info.as_ref().and_then(|info| info.write_cache);
        piece.kind == Kind::Synchronize && unknown && cached != Some(true)
    }

    fn piece_done(&mut self, piece: Piece, ended: initiator::Completion, now: Instant) {
        if piece.kind == Kind::Read {
            if ended.received < ended.data.len() {
                self.short_read(piece, &ended, now);
                return;
            }
            if let Some(work) = self.works.get_mut(&piece.request)
                && let Some(room) = work
                    .buffer
                    .get_mut(piece.offset..piece.offset + ended.data.len())
            {
                room.copy_from_slice(&ended.data);
            }
        }
        self.piece_succeeded(&piece);
    }

    fn short_read(&mut self, mut piece: Piece, ended: &initiator::Completion, now: Instant) {
        piece.retries += 1;
        if piece.retries <= FEW_TIMES {
            self.delayed.push((now, piece));
            return;
        }
        let error = RequestError::Short {
            lba: piece.lba,
            expected: ended.data.len(),
            received: ended.received,
        };
        self.piece_failed(&piece, error);
    }

    fn retry(&mut self, mut piece: Piece, patience: Patience, why: Completion, now: Instant) {
        piece.retries += 1;
        let at = match patience {
            Patience::Often if piece.retries <= OFTEN => Some(now),
            Patience::FewTimes if piece.retries <= FEW_TIMES => Some(now),
            Patience::Later(delay) if now < piece.since + PATIENCE => Some(now + delay),
            _ => None,
        };
        match at {
            Some(at) => self.delayed.push((at, piece)),
            None => {
                let error = RequestError::Scsi {
                    command: piece.name(),
                    lba: piece.lba,
                    blocks: piece.blocks,
                    completion: why,
                };
                self.piece_failed(&piece, error);
            }
        }
    }

    fn piece_succeeded(&mut self, piece: &Piece) {
        let Some(work) = self.works.get_mut(&piece.request) else {
            return;
        };
        work.under_way -= 1;
        let covers = work.covers;
        match piece.kind {
            Kind::Read => {}
            Kind::Write { fua } => self.writes_ended += u64::from(!fua),
            Kind::Synchronize => self.writes_flushed = self.writes_flushed.max(covers),
        }
        self.end_if_over(piece.request);
    }

    fn piece_failed(&mut self, piece: &Piece, error: RequestError) {
        if let Some(work) = self.works.get_mut(&piece.request) {
            work.under_way -= 1;
            work.error.get_or_insert(error);
        }
        self.end_if_over(piece.request);
    }

    fn end_if_over(&mut self, tag: RequestTag) {
        let limits = self.limits();
        let over = self.works.get(&tag).is_some_and(|work| {
            work.under_way == 0 && limits.is_some_and(|limits| work.is_handed_out(limits))
        });
        if over {
            self.end(tag);
        }
    }

    pub(super) fn end(&mut self, tag: RequestTag) {
        let Some(work) = self.works.remove(&tag) else {
            return;
        };
        let result = match (work.error, work.request) {
            (Some(error), _) => Err(error),
            (None, Request::Flush) => self.tell_losses(tag).map(|()| Vec::new()),
            // What it wrote was in the cache until it was flushed.
            (None, _) if work.synchronized && work.losses != self.losses => {
                Err(RequestError::WritesMayBeLost { deferred: false })
            }
            (None, _) => Ok(work.buffer),
        };
        self.complete(tag, result);
    }
}

fn bring_up_outcome(result: Result<initiator::Completion, CommandError>) -> CommandOutcome {
    let Ok(ended) = result else {
        return CommandOutcome::NoAnswer;
    };
    match Completion::from_status_block(&ended.scsi) {
        // A packet that is lost on its last inches leaves a good status and zeros.
        Ok(completion) if completion.is_good() && ended.received == 0 && !ended.data.is_empty() => {
            CommandOutcome::NoAnswer
        }
        Ok(completion) => CommandOutcome::Completed {
            completion,
            data: ended.data,
        },
        Err(_) => CommandOutcome::NoAnswer,
    }
}
