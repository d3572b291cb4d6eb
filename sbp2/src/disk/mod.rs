//! A logical unit as a block device.
//!
//! A [`Disk`] owns an [`Initiator`] and is a [`Machine`] like it. It logs in, brings the disk up,
//! and then carries out [`Request`]s for blocks: each in as many commands as the transfer limit
//! demands, with the retries that SCSI expects of its hosts.
//!
//! # What "done" means
//! - A write is done when the target's status block says so, for every command of it.
//! - A flush is done when SYNCHRONIZE CACHE has succeeded. It covers every write that was done
//!   before it was asked for.
//! - A read is done when every byte has arrived and the status is good. Good status without the
//!   bytes is an error.
//! - Nothing is cached here. What a read returns, the disk has said just now.
//!
//! # When the login was lost
//! Writes may sit in the disk's own cache when it loses power, and a lost login is all that a host
//! sees of that. So a flush after a lost login fails, once, if writes had not been flushed before:
//! [`RequestError::WritesMayBeLost`]. After each new login the disk is brought up anew, and if it is
//! another one than before, it is given up rather than written to.

mod piece;
mod request;
#[cfg(test)]
mod tests;
mod verdict;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use ohci_raw::bus::{Action, AddressRange, Event, Instant, Machine};

pub use request::{Failure, Notice, Request, RequestError, RequestTag};

use self::piece::{Kind, Limits, Piece, Work, padded};
use self::verdict::{Patience, Verdict, verdict};
use crate::initiator::{
    self, Command, CommandError, CommandTag, Config, Counters, Data, Initiator, Login,
    ManagementError, RangeTooShort,
};
use crate::scsi::{
    AdditionalSense, BringUp, BringUpConfig, CommandOutcome, Completion, DiskInfo, MAX_BLOCKS_10,
    SenseKey, Step,
};
use crate::unit::Quirks;

/// How many bytes a request may have.
pub const MAX_REQUEST: u64 = 64 << 20;

/// How often a command is tried again that may well succeed.
const OFTEN: u32 = 8;
/// How often a command is tried again that hurts.
const FEW_TIMES: u32 = 3;
/// For how long a command is tried again that the disk is not ready for.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum State {
    /// No login yet, or none any more.
    Down,
    /// The disk is asked what it is.
    BringingUp {
        login: Login,
        bring_up: Box<BringUp>,
        command: Option<CommandTag>,
    },
    /// Requests are carried out.
    Ready,
    /// The disk is of no use any more.
    Failed(Failure),
}

/// A logical unit as a block device.
#[derive(Debug)]
pub struct Disk {
    initiator: Initiator,
    bring_up_config: BringUpConfig,
    state: State,
    info: Option<DiskInfo>,
    last_login: Option<Login>,
    works: BTreeMap<RequestTag, Work>,
    /// Requests of which pieces are still to be handed out, oldest first.
    queue: VecDeque<RequestTag>,
    commands: BTreeMap<CommandTag, Piece>,
    delayed: Vec<(Instant, Piece)>,
    notices: VecDeque<Notice>,
    last_tag: u64,
    /// How many writes have ended, and how many of them a flush has covered.
    writes_ended: u64,
    writes_flushed: u64,
    /// What the next flush has to tell.
    lost_writes: Option<RequestError>,
    leaving: bool,
}

impl Disk {
    /// A disk behind a logical unit, with the quirks of its bridge. `range` is an address range of
    /// the host, [`Initiator::range_length`] bytes of it.
    ///
    /// # Errors
    /// [`RangeTooShort`]
    pub fn new(
        mut config: Config,
        quirks: Quirks,
        range: AddressRange,
    ) -> Result<Self, RangeTooShort> {
        if quirks.contains(Quirks::MAX_TRANSFER_128K) {
            config.max_transfer = config.max_transfer.min(128 << 10);
        }
        let delay = Duration::from_secs(if quirks.contains(Quirks::DELAY_INQUIRY) {
            12
        } else {
            0
        });
        let bring_up_config = BringUpConfig {
            inquiry_36: quirks.contains(Quirks::INQUIRY_36),
            skip_caching_page: quirks.contains(Quirks::NO_MODE_PAGE_8),
            fix_capacity: quirks.contains(Quirks::FIX_CAPACITY),
            power_condition: quirks.contains(Quirks::POWER_CONDITION),
            initial_delay: delay,
            ..BringUpConfig::default()
        };
        Ok(Self {
            initiator: Initiator::new(config, range)?,
            bring_up_config,
            state: State::Down,
            info: None,
            last_login: None,
            works: BTreeMap::new(),
            queue: VecDeque::new(),
            commands: BTreeMap::new(),
            delayed: Vec::new(),
            notices: VecDeque::new(),
            last_tag: 0,
            writes_ended: 0,
            writes_flushed: 0,
            lost_writes: None,
            leaving: false,
        })
    }

    /// Logs in and brings the disk up. [`Notice::Ready`] or [`Notice::Failed`] follows.
    pub fn login(&mut self, now: Instant) {
        self.initiator.login(now);
        self.settle(now);
    }

    /// Gives the login back; [`Notice::LoggedOut`] follows. Requests that have not ended fail: let
    /// them end first, and flush.
    pub fn logout(&mut self, now: Instant) {
        self.leaving = true;
        self.initiator.logout(now);
        self.settle(now);
    }

    /// Asks who is logged in. [`Notice::Logins`] follows.
    pub fn query_logins(&mut self, now: Instant) {
        self.initiator.query_logins(now);
        self.settle(now);
    }

    /// What the disk says of itself, once it was ready.
    #[must_use]
    pub fn info(&self) -> Option<&DiskInfo> {
        self.info.as_ref()
    }

    /// What has happened on the way to the disk.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.initiator.counters()
    }

    /// How many requests have not ended.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.works.len()
    }

    /// Hands over a request. [`Notice::Completed`] with its tag follows, always.
    pub fn submit(&mut self, request: Request, now: Instant) -> RequestTag {
        self.last_tag += 1;
        let tag = RequestTag(self.last_tag);
        match self.check(&request) {
            Err(error) => self.complete(tag, Err(error)),
            Ok(block_length) => {
                self.works.insert(tag, Work::new(request, block_length));
                self.queue.push_back(tag);
            }
        }
        self.settle(now);
        tag
    }

    /// The next thing that the owner may want to know, until there is none.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Whether the request can be carried out at all. Returns the block length.
    fn check(&self, request: &Request) -> Result<u32, RequestError> {
        if let State::Failed(failure) = &self.state {
            return Err(RequestError::GivenUp(failure.clone()));
        }
        let info = self.info.as_ref().filter(|_| !self.leaving);
        let info = info.ok_or(RequestError::NotReady)?;
        let (lba, blocks) = match request {
            Request::Flush => return Ok(info.block_length),
            Request::Read { lba, blocks } | Request::WriteZeroes { lba, blocks, .. } => {
                (*lba, u64::from(*blocks))
            }
            Request::Write { lba, data, .. } => {
                let length = data.len();
                let whole = length as u64 / u64::from(info.block_length);
                if !length.is_multiple_of(info.block_length as usize)
                    || u32::try_from(whole).is_err()
                {
                    return Err(RequestError::NotWholeBlocks {
                        length,
                        block_length: info.block_length,
                    });
                }
                (*lba, whole)
            }
        };
        let length = blocks.saturating_mul(u64::from(info.block_length));
        if length > MAX_REQUEST {
            let limit = MAX_REQUEST;
            return Err(RequestError::TooLong { length, limit });
        }
        if info.write_protected && !matches!(request, Request::Read { .. }) {
            return Err(RequestError::WriteProtected);
        }
        if lba.checked_add(blocks).is_none_or(|end| end > info.blocks) {
            return Err(RequestError::OutOfRange {
                lba,
                blocks,
                capacity: info.blocks,
            });
        }
        Ok(info.block_length)
    }

    fn complete(&mut self, tag: RequestTag, result: Result<Vec<u8>, RequestError>) {
        self.notices.push_back(Notice::Completed { tag, result });
    }

    /// Takes in what the initiator has to tell, and hands out what it may have next.
    fn settle(&mut self, now: Instant) {
        loop {
            while let Some(notice) = self.initiator.poll_notice() {
                self.take_in(notice, now);
            }
            if !self.hand_out(now) {
                return;
            }
        }
    }

    fn take_in(&mut self, notice: initiator::Notice, now: Instant) {
        use initiator::Notice as From;
        match notice {
            From::LoggedIn(login) => self.logged_in(login, now),
            From::Reconnected => self.notices.push_back(Notice::Reconnected),
            From::LoginLost(error) => self.login_lost(error),
            From::LoginRetry(error) => self.notices.push_back(Notice::LoginRetry(error)),
            From::LoginFailed(error) => self.fail(Failure::Login(error), now),
            From::LoggedOut(result) => {
                if !matches!(self.state, State::Failed(_)) {
                    self.state = State::Down;
                }
                self.fail_requests(&RequestError::NotReady);
                self.notices.push_back(Notice::LoggedOut(result));
            }
            From::Completed { tag, result } => self.command_ended(tag, result, now),
            From::Logins(result) => self.notices.push_back(Notice::Logins(result)),
            From::TaskManagement { .. } => {}
        }
    }

    fn logged_in(&mut self, login: Login, now: Instant) {
        self.last_login = Some(login);
        self.state = State::BringingUp {
            login,
            bring_up: Box::new(BringUp::new(self.bring_up_config, now)),
            command: None,
        };
    }

    fn login_lost(&mut self, error: ManagementError) {
        self.state = State::Down;
        self.doubt_writes(false);
        self.notices.push_back(Notice::LoginLost(error));
    }

    /// Writes that were reported as done may be gone.
    fn doubt_writes(&mut self, deferred: bool) {
        if deferred || self.writes_flushed < self.writes_ended {
            self.lost_writes = Some(RequestError::WritesMayBeLost { deferred });
        }
    }

    fn fail(&mut self, failure: Failure, now: Instant) {
        self.state = State::Failed(failure.clone());
        self.fail_requests(&RequestError::GivenUp(failure.clone()));
        self.notices.push_back(Notice::Failed(failure));
        if !self.leaving {
            self.leaving = true;
            self.initiator.logout(now);
        }
    }

    fn fail_requests(&mut self, error: &RequestError) {
        self.queue.clear();
        self.commands.clear();
        self.delayed.clear();
        for tag in core::mem::take(&mut self.works).into_keys() {
            self.complete(tag, Err(error.clone()));
        }
    }

    /// Hands commands to the initiator. Returns whether it handed out any.
    fn hand_out(&mut self, now: Instant) -> bool {
        match self.state {
            State::BringingUp { .. } => self.continue_bring_up(now),
            _ => self.hand_out_pieces(now),
        }
    }

    fn continue_bring_up(&mut self, now: Instant) -> bool {
        let State::BringingUp {
            login,
            bring_up,
            command,
        } = &mut self.state
        else {
            return false;
        };
        if command.is_some() {
            return false;
        }
        match bring_up.step(now) {
            Step::WaitUntil(_) => false,
            Step::Command {
                cdb,
                data_in_length,
            } => {
                let data = match data_in_length {
                    0 => Data::None,
                    length => Data::In(length),
                };
                let wanted = Command {
                    cdb: padded(&cdb),
                    data,
                    timeout: None,
                    urgent: true,
                };
                *command = Some(self.initiator.submit(wanted, now));
                true
            }
            Step::Failed(error) => {
                self.fail(Failure::BringUp(error), now);
                true
            }
            Step::Done(info) => {
                let login = *login;
                self.brought_up(login, info, now);
                true
            }
        }
    }

    fn brought_up(&mut self, login: Login, info: DiskInfo, now: Instant) {
        if let Some(was) = &self.info
            && !is_same(was, &info)
        {
            let failure = Failure::Changed {
                was: describe(was),
                now: describe(&info),
            };
            self.fail(failure, now);
            return;
        }
        self.info = Some(info.clone());
        self.state = State::Ready;
        self.notices.push_back(Notice::Ready { login, info });
        self.initiator.open_gate(now);
    }

    fn limits(&self) -> Option<Limits> {
        let info = self.info.as_ref()?;
        let max_transfer = self.initiator.config().max_transfer;
        Some(Limits {
            block_length: info.block_length,
            max_blocks: (max_transfer / info.block_length).clamp(1, MAX_BLOCKS_10),
            fua: info.fua,
        })
    }

    fn hand_out_pieces(&mut self, now: Instant) -> bool {
        let Some(limits) = self.limits() else {
            return false;
        };
        let mut any = false;
        while self.commands.len() < self.room() {
            let Some(piece) = self.next_piece(limits, now) else {
                break;
            };
            self.give(piece, now);
            any = true;
        }
        any
    }

    /// How many commands the initiator is given at once: a few more than it can use keep it busy,
    /// and more would only be copies.
    fn room(&self) -> usize {
        2 * usize::from(self.initiator.config().depth)
    }

    fn next_piece(&mut self, limits: Limits, now: Instant) -> Option<Piece> {
        if let Some(index) = self.delayed.iter().position(|(at, _)| now >= *at) {
            return Some(self.delayed.remove(index).1);
        }
        let mut index = 0;
        while let Some(&tag) = self.queue.get(index) {
            let Some(work) = self.works.get_mut(&tag) else {
                self.queue.remove(index);
                continue;
            };
            let piece = work.next_piece(tag, limits, now);
            if piece.is_some_and(|piece| piece.kind == Kind::Synchronize) {
                work.covers = self.writes_ended;
            }
            let over = work.is_handed_out(limits);
            let ended = over && work.under_way == 0;
            if over {
                self.queue.remove(index);
            } else {
                index += 1;
            }
            if ended {
                self.end(tag);
            }
            if piece.is_some() {
                return piece;
            }
        }
        None
    }

    fn give(&mut self, piece: Piece, now: Instant) {
        let Some((work, info)) = self.works.get(&piece.request).zip(self.info.as_ref()) else {
            return;
        };
        let command = work.command(&piece, info.block_length);
        let tag = self.initiator.submit(command, now);
        self.commands.insert(tag, piece);
    }

    fn command_ended(
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
            Verdict::Stopped => {
                self.retry(piece, Patience::Often, completion, now);
                if let (State::Ready, Some(login)) = (&self.state, self.last_login) {
                    self.logged_in(login, now);
                }
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

    fn end(&mut self, tag: RequestTag) {
        let Some(work) = self.works.remove(&tag) else {
            return;
        };
        let result = match work.error {
            Some(error) => Err(error),
            None if work.synchronized => match self.lost_writes.take() {
                Some(error) => Err(error),
                None => Ok(work.buffer),
            },
            None => Ok(work.buffer),
        };
        self.complete(tag, result);
    }
}

/// Whether nothing tells the two apart that a disk could not have changed by itself.
fn is_same(was: &DiskInfo, now: &DiskInfo) -> bool {
    was.blocks == now.blocks
        && was.block_length == now.block_length
        && was.vendor == now.vendor
        && was.product == now.product
        && (was.serial == now.serial || was.serial.is_none() || now.serial.is_none())
}

fn describe(info: &DiskInfo) -> alloc::string::String {
    let serial = info.serial.as_deref().unwrap_or("unknown");
    alloc::format!(
        "{} {} (serial number {serial}, {} blocks of {} bytes)",
        info.vendor,
        info.product,
        info.blocks,
        info.block_length
    )
}

fn bring_up_outcome(result: Result<initiator::Completion, CommandError>) -> CommandOutcome {
    match result {
        Ok(ended) => match Completion::from_status_block(&ended.scsi) {
            Ok(completion) => CommandOutcome::Completed {
                completion,
                data: ended.data,
            },
            Err(_) => CommandOutcome::NoAnswer,
        },
        Err(_) => CommandOutcome::NoAnswer,
    }
}

impl Machine for Disk {
    fn handle(&mut self, event: Event, now: Instant) {
        self.initiator.handle(event, now);
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.initiator.handle_timeout(now);
        self.settle(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let waits = match &self.state {
            // What step says depends on the time only while it waits.
            State::BringingUp {
                bring_up,
                command: None,
                ..
            } => match bring_up.step(Instant::ZERO) {
                Step::WaitUntil(at) => Some(at),
                _ => None,
            },
            _ => None,
        };
        let delayed = match self.state {
            State::BringingUp { .. } => None,
            _ if self.commands.len() >= self.room() => None,
            _ => self.delayed.iter().map(|(at, _)| *at).min(),
        };
        [self.initiator.poll_timeout(), waits, delayed]
            .into_iter()
            .flatten()
            .min()
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.initiator.poll_action()
    }
}
