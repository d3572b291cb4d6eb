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
//! sees of that, or a unit attention. So a flush after that fails if writes had not been flushed
//! before: [`RequestError::WritesMayBeLost`]. So do all flushes that were asked for before the
//! first one has failed; later ones speak of later writes. A write that the disk cannot force to
//! the medium, and that is flushed on its own account, answers for itself alone.
//!
//! After each new login the disk is brought up anew, and if it is another one than before, it is
//! given up rather than written to.

mod endings;
mod hand_out;
mod piece;
mod request;
#[cfg(test)]
mod tests;
mod verdict;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use ohci_raw::bus::{Action, AddressRange, Event, Generation, Instant, Machine, NodeId};

pub use request::{Failure, Notice, Request, RequestError, RequestTag};

use self::piece::{Piece, Work};
use crate::initiator::{
    self, CommandTag, Config, Counters, Initiator, Login, ManagementError, RangeTooShort,
};
use crate::scsi::{BringUp, BringUpConfig, DiskInfo, Step};
use crate::unit::Quirks;
use crate::wire::Function;

/// How many bytes a request may have.
pub const MAX_REQUEST: u64 = 64 << 20;

#[derive(Debug)]
enum State {
    /// No login yet, or none any more.
    Down,
    /// The disk is asked what it is.
    BringingUp {
        login: Login,
        /// Whether to try again if it fails. Requests fail by the replacement timeout then.
        patiently: bool,
        bring_up: Box<BringUp>,
        command: Option<CommandTag>,
    },
    /// Requests are carried out.
    Ready,
    /// The disk is of no use any more.
    Failed(Failure),
}

/// Writes that were reported as done and may be gone.
#[derive(Debug)]
struct LostWrites {
    error: RequestError,
    /// Flushes up to this one were asked for before anybody was told, and all have to fail.
    told: Option<RequestTag>,
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
    lost_writes: Option<LostWrites>,
    /// How often writes may have been lost, if there were any.
    losses: u64,
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
            losses: 0,
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

    /// From here on a lost login is not waited for longer than this. See [`Initiator::hurry`].
    pub fn hurry(&mut self, patience: Duration, now: Instant) {
        self.initiator.hurry(patience, now);
        self.settle(now);
    }

    /// Asks who is logged in. [`Notice::Logins`] follows.
    pub fn query_logins(&mut self, now: Instant) {
        self.initiator.query_logins(now);
        self.settle(now);
    }

    /// Asks for LOGICAL UNIT RESET or TARGET RESET, or for ABORT TASK SET.
    /// [`Notice::TaskManagement`] follows.
    ///
    /// Commands that it ends are issued again, and no request fails by it. TARGET RESET ends the
    /// login as well: a new one follows, with what a lost login means for writes that were not
    /// flushed.
    pub fn task_management(&mut self, function: Function, now: Instant) {
        self.initiator.task_management(function, now);
        self.settle(now);
    }

    /// The target's node id, and the generation in which it holds, while it is on the bus.
    #[must_use]
    pub fn target_node(&self) -> Option<(NodeId, Generation)> {
        self.initiator.target_node()
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

    /// The login, while there is one that can be used.
    #[must_use]
    pub fn current_login(&self) -> Option<Login> {
        self.initiator.current_login()
    }

    /// How many requests have not ended.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.works.len()
    }

    /// Whether there are writes that were reported as done, and that no flush has told to be on the
    /// medium.
    #[must_use]
    pub fn has_unflushed_writes(&self) -> bool {
        self.writes_flushed < self.writes_ended || self.has_writes_in_doubt()
    }

    /// Whether writes that were reported as done may be lost, and no flush has told it yet.
    #[must_use]
    pub fn has_writes_in_doubt(&self) -> bool {
        let lost = self.lost_writes.as_ref();
        lost.is_some_and(|lost| lost.told.is_none())
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
            From::LoggedIn(login) => self.bring_up(login, login.again, now),
            From::Refused(refusal) => self.notices.push_back(Notice::Refused(refusal)),
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
            From::TaskManagement { function, result } => {
                let notice = Notice::TaskManagement { function, result };
                self.notices.push_back(notice);
            }
        }
    }

    fn bring_up(&mut self, login: Login, patiently: bool, now: Instant) {
        self.last_login = Some(login);
        self.state = State::BringingUp {
            login,
            patiently,
            bring_up: Box::new(BringUp::new(self.bring_up_config, now)),
            command: None,
        };
    }

    fn login_lost(&mut self, error: ManagementError) {
        if !matches!(self.state, State::Failed(_)) {
            self.state = State::Down;
        }
        self.doubt_writes(false);
        self.notices.push_back(Notice::LoginLost(error));
    }

    /// Writes that were reported as done may be gone.
    fn doubt_writes(&mut self, deferred: bool) {
        self.losses += 1;
        if deferred || self.writes_flushed < self.writes_ended {
            let error = RequestError::WritesMayBeLost { deferred };
            self.lost_writes = Some(LostWrites { error, told: None });
        }
    }

    /// What a flush has to say of writes that were reported as done before.
    fn tell_losses(&mut self, tag: RequestTag) -> Result<(), RequestError> {
        let Some(lost) = &mut self.lost_writes else {
            return Ok(());
        };
        let told = *lost.told.get_or_insert(RequestTag(self.last_tag));
        if tag > told {
            return Ok(());
        }
        Err(lost.error.clone())
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
        let delayed = if self.commands.len() < self.room() {
            self.delayed.iter().map(|(at, _)| *at).min()
        } else {
            None
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
