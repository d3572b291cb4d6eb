//! What other threads want of a session.

use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use fwshare_export::{Completion, DiskError};
use ohci_raw::port::ResetKind;

use super::{Stage, Worker};
use crate::session::export::{in_blocks, is_whole_blocks};
use crate::session::{Order, Reset, SessionError, input, reset};

/// How long a session that is to end waits for a login that is lost: longer than it takes to plug
/// a bridge in again.
const HURRY: Duration = Duration::from_secs(10);

impl Worker {
    /// Whether any made a difference.
    pub(super) fn take_orders(&mut self) -> bool {
        let mut any = false;
        while let Some(order) = self.next_order() {
            any = true;
            match order {
                Order::Request(request, done) => self.request(request, done),
                Order::Reset(reset, reply) => self.reset(reset, reply),
                Order::Hurry => self.disk.hurry(HURRY, self.port.now()),
                Order::Stop if matches!(self.stage, Stage::Open) => {
                    self.stage = Stage::Draining;
                    self.flush_when_drained();
                    return true;
                }
                // It comes again and again when nobody is there any more.
                Order::Stop => return false,
            }
        }
        any
    }

    fn next_order(&mut self) -> Option<Order> {
        let live = match self.orders.try_recv() {
            Ok(order) => Some(order),
            Err(TryRecvError::Empty) => None,
            // Whoever could still want something is gone.
            Err(TryRecvError::Disconnected) => Some(Order::Stop),
        };
        if !self.port.is_taped() {
            return live;
        }
        let words = live.as_ref().map(input::text);
        let taped = self.port.input(words.clone());
        if taped.is_some() && taped == words {
            return live;
        }
        if let Some(Order::Request(_, done)) = live {
            done(Err(DiskError::ShuttingDown(
                "a recording is replayed".into(),
            )));
        }
        let words = taped?;
        let order = input::order(&words);
        if order.is_none() {
            tracing::warn!(words, "the recording has an input that makes no sense");
        }
        order
    }

    fn request(&mut self, request: fwshare_export::Request, done: Completion) {
        let block_length = match (&self.stage, self.disk.info()) {
            (Stage::Open, Some(info)) => info.block_length,
            _ => {
                let why = "the disk is being given back".into();
                done(Err(DiskError::ShuttingDown(why)));
                return;
            }
        };
        if !is_whole_blocks(&request, block_length) {
            // An export asks for whole blocks only; a script or a recording may ask for anything.
            let why = format!("a request must be of whole blocks of {block_length} bytes");
            tracing::warn!("{why}");
            done(Err(DiskError::Invalid(why)));
            return;
        }
        let now = self.port.now();
        let tag = self.disk.submit(in_blocks(request, block_length), now);
        self.ordered += 1;
        self.completions.insert(tag, (self.ordered, done));
    }

    fn reset(&mut self, reset: Reset, reply: reset::Reply) {
        tracing::warn!(?reset, "somebody wants a reset");
        let Some(function) = reset.function() else {
            let done = self.port.reset_bus(ResetKind::Short);
            if done.is_ok() && self.disk.current_login().is_some() {
                self.resets.add(reset, reply);
            } else {
                // Nobody may be listening any more.
                let _ = reply.send(done.map_err(SessionError::from));
            }
            return;
        };
        self.resets.add(reset, reply);
        self.disk.task_management(function, self.port.now());
    }
}
