//! What the initiator is given next.

use core::time::Duration;

use ohci_raw::bus::Instant;

use super::piece::{Kind, Limits, Piece, padded};
use super::request::{Failure, Notice};
use super::{Disk, State};
use crate::initiator::{Command, Data};
use crate::scsi::{BringUp, BringUpConfig, BringUpError, MAX_BLOCKS_10, Step};

/// How long to leave a disk alone that could not be brought up again.
const BRING_UP_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Whether a disk that could not be brought up for this reason may be some time later.
fn may_pass(error: &BringUpError) -> bool {
    matches!(
        error,
        BringUpError::NoAnswer { .. }
            | BringUpError::NotReady { .. }
            | BringUpError::NoMedium(_)
            | BringUpError::Command { .. }
    )
}

impl Disk {
    /// Hands commands to the initiator. Returns whether it handed out any.
    ///
    /// While the disk is brought up the gate is closed: what is for blocks waits there, and fails
    /// when it has waited for too long.
    pub(super) fn hand_out(&mut self, now: Instant) -> bool {
        self.continue_bring_up(now) | self.hand_out_pieces(now)
    }

    fn continue_bring_up(&mut self, now: Instant) -> bool {
        let State::BringingUp {
            login,
            patiently,
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
            Step::Failed(error) if *patiently && may_pass(&error) => {
                let config = BringUpConfig {
                    initial_delay: BRING_UP_RETRY_DELAY,
                    ..self.bring_up_config
                };
                **bring_up = BringUp::new(config, now);
                self.notices.push_back(Notice::BringUpRetry(error));
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

    pub(super) fn limits(&self) -> Option<Limits> {
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

    /// How many commands the initiator is given at once: no more than it hands to the target, so
    /// that none follows one whose end says that the disk is not what it was.
    pub(super) fn room(&self) -> usize {
        usize::from(self.initiator.config().depth)
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
            if work.begun == 0 {
                work.losses = self.losses;
            }
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
}
