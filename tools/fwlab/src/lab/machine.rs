//! A bridge on the bus that can be reached from outside, and made to lie.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ohci_raw::bus::{Action, Address, Event, Instant, Machine, Operation};

/// A machine that its owner and the bus share.
#[derive(Debug)]
pub struct Shared<M>(Arc<Mutex<M>>);

impl<M> Clone for Shared<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> Shared<M> {
    /// Shares a machine.
    pub fn new(machine: M) -> Self {
        Self(Arc::new(Mutex::new(machine)))
    }

    /// The machine. The bus must not run in the meantime, which waits for it.
    pub fn lock(&self) -> MutexGuard<'_, M> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Machine> Machine for Shared<M> {
    fn handle(&mut self, event: Event, now: Instant) {
        self.lock().handle(event, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.lock().handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.lock().poll_timeout()
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.lock().poll_action()
    }
}

/// How many ORBs are remembered, by which a status block is told from data.
const ORBS: usize = 64;

/// A bridge some of whose status blocks are garbled on their way out.
#[derive(Debug)]
pub struct Corruptor<M> {
    machine: M,
    /// How many status blocks are still to be garbled.
    left: u32,
    /// Where ORBs were fetched from lately.
    orbs: VecDeque<Address>,
}

impl<M: Machine> Corruptor<M> {
    /// A bridge that tells the truth.
    pub const fn new(machine: M) -> Self {
        Self {
            machine,
            left: 0,
            orbs: VecDeque::new(),
        }
    }

    /// Garbles the next `count` status blocks.
    pub const fn corrupt_status(&mut self, count: u32) {
        self.left = count;
    }

    /// The bridge itself.
    pub const fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// Whether these bytes are a status block: they name an ORB that was fetched.
    fn is_status(&self, bytes: &[u8]) -> bool {
        let [_, _, hi @ .., l0, l1, l2, l3] = match bytes.first_chunk::<8>() {
            Some(head) if bytes.len() <= 32 => *head,
            _ => return false,
        };
        let [hi0, hi1] = hi;
        let orb = u64::from_be_bytes([0, 0, hi0, hi1, l0, l1, l2, l3]);
        self.orbs.contains(&Address::new(orb))
    }
}

impl<M: Machine> Machine for Corruptor<M> {
    fn handle(&mut self, event: Event, now: Instant) {
        self.machine.handle(event, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    fn poll_action(&mut self) -> Option<Action> {
        let mut action = self.machine.poll_action()?;
        if let Action::Send(transaction) = &mut action {
            match &mut transaction.operation {
                Operation::ReadBlock { .. } => {
                    self.orbs.truncate(ORBS - 1);
                    self.orbs.push_front(transaction.address);
                }
                Operation::WriteBlock { data } if self.left > 0 && self.is_status(data) => {
                    self.left -= 1;
                    // Another ORB than the one that has ended, far from any.
                    for byte in &mut data[4..8] {
                        *byte ^= 0xa5;
                    }
                }
                _ => {}
            }
        }
        Some(action)
    }
}
