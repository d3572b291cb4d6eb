use alloc::vec::Vec;

use ohci_raw::bus::{Address, Operation, RCode};

use super::fetch_agent::{FetchedOrb, OrbId};
use super::outbox::Route;
use super::outcome::Outcome;
use super::task::{Place, Request, Task, Terms};
use super::{Bridge, Who};
use crate::scsi::{Completion, DeviceServer};
use crate::wire::{Sbp2Status, StatusBlock, StatusSource, TransportObject};

/// A logical unit: its device server, and what it is executing. One command at a time.
pub(super) struct Unit {
    device: DeviceServer,
    task: Option<Task>,
    /// The slot whose turn is next, so that one login's list does not keep others waiting.
    turn: usize,
    serials: u64,
}

impl Unit {
    pub(super) const fn new(device: DeviceServer) -> Self {
        Self {
            device,
            task: None,
            turn: 0,
            serials: 0,
        }
    }

    pub(super) const fn device(&self) -> &DeviceServer {
        &self.device
    }

    pub(super) fn flush(&mut self) -> Result<(), Completion> {
        self.device.flush()
    }

    /// Logical unit reset. Tasks are the caller's business.
    pub(super) fn reset(&mut self) {
        self.device.reset();
    }
}

impl Bridge {
    /// Does all that can be done now.
    pub(super) fn run(&mut self) {
        if let Some(ask) = self.management.take_fetch() {
            self.fetch_management_orb(ask);
        }
        for unit in 0..self.units.len() {
            self.run_unit(unit);
        }
        for slot in self.logins.slots() {
            self.fetch(slot);
            self.note_outstanding(slot);
        }
    }

    /// Starts the fetch that a login's agent wants, unless too much is under way already.
    fn fetch(&mut self, slot: usize) {
        if self.outbox.is_full() {
            return;
        }
        let generation = self.outbox.generation();
        let room = self.profile.fetch_ahead;
        let Some(login) = self.logins.get_mut(slot) else {
            return;
        };
        let Some(node) = login.node(generation) else {
            return;
        };
        if let Some(fetch) = login.agent.poll_fetch(room) {
            let who = Who::Fetch {
                slot,
                epoch: login.agent.epoch(),
            };
            let route = Route {
                node,
                speed: login.speed,
            };
            let length = fetch.length;
            self.outbox
                .send(who, route, fetch.address, Operation::ReadBlock { length });
        }
    }

    /// The response to a fetch.
    pub(super) fn orb_response(&mut self, slot: usize, epoch: u64, rcode: RCode, data: &[u8]) {
        let generation = self.outbox.generation();
        let Some(login) = self.logins.get_mut(slot) else {
            return;
        };
        if login.agent.epoch() != epoch {
            return;
        }
        let rest = login.agent.fetched(rcode, data);
        if let (Some(rest), Some(node)) = (rest, login.node(generation)) {
            let route = Route {
                node,
                speed: login.speed,
            };
            let length = rest.length;
            self.outbox.send(
                Who::Fetch { slot, epoch },
                route,
                rest.address,
                Operation::ReadBlock { length },
            );
        }
        // Now, too: what is fetched and ended within one call was outstanding all the same.
        self.note_outstanding(slot);
    }

    pub(super) fn note_outstanding(&self, slot: usize) {
        let Some(login) = self.logins.get(slot) else {
            return;
        };
        let executing = self
            .units
            .get(login.unit)
            .is_some_and(|unit| unit.task.as_ref().is_some_and(|task| task.slot == slot));
        let count = login.agent.outstanding() + usize::from(executing);
        self.counters.set_outstanding(slot, count);
    }

    /// Executes until a response is needed or nothing is left to do.
    fn run_unit(&mut self, index: usize) {
        loop {
            let window = self.profile.data_window;
            let Some(unit) = self.units.get_mut(index) else {
                return;
            };
            let Some(task) = &mut unit.task else {
                let Some((slot, fetched)) = self.next_orb(index) else {
                    return;
                };
                self.start(index, slot, &fetched);
                continue;
            };
            match task.poll(&mut unit.device, window) {
                Ok(None) => return,
                Ok(Some(request)) => {
                    let (route, serial) = (task.route, task.serial);
                    self.send_request(index, serial, route, request);
                }
                Err(outcome) => self.end_task(index, &outcome),
            }
        }
    }

    fn send_request(&mut self, unit: usize, serial: u64, route: Route, request: Request) {
        let (who, address, operation) = match request {
            Request::Table(piece) => (
                Who::Table {
                    unit,
                    serial,
                    length: piece.length,
                },
                piece.address,
                Operation::ReadBlock {
                    length: piece.length,
                },
            ),
            Request::Fetch { piece, offset } => (
                Who::Load {
                    unit,
                    serial,
                    offset,
                    length: piece.length,
                },
                piece.address,
                Operation::ReadBlock {
                    length: piece.length,
                },
            ),
            Request::Store { address, data } => (
                Who::Store {
                    unit,
                    serial,
                    length: data.len(),
                },
                address,
                Operation::WriteBlock { data },
            ),
        };
        self.outbox.send(who, route, address, operation);
    }

    /// The oldest ORB of the login whose turn it is.
    fn next_orb(&mut self, index: usize) -> Option<(usize, FetchedOrb)> {
        let turn = self.units.get(index)?.turn;
        let ready = |from| {
            self.logins
                .of_unit(index)
                .map(|(slot, login)| (slot, login.agent.has_work()))
                .find_map(move |(slot, ready)| (ready && slot >= from).then_some(slot))
        };
        let slot = ready(turn).or_else(|| ready(0))?;
        self.units.get_mut(index)?.turn = slot + 1;
        let fetched = self.logins.get_mut(slot)?.agent.take()?;
        Some((slot, fetched))
    }

    /// Begins an ORB; one without data is over at once.
    fn start(&mut self, index: usize, slot: usize, fetched: &FetchedOrb) {
        match self.try_start(index, slot, fetched) {
            Ok(task) => {
                if let Some(unit) = self.units.get_mut(index) {
                    unit.task = Some(task);
                }
            }
            Err(outcome) => self.end(slot, fetched.id, &outcome),
        }
    }

    fn try_start(
        &mut self,
        index: usize,
        slot: usize,
        fetched: &FetchedOrb,
    ) -> Result<Task, Outcome> {
        let orb = match &fetched.content {
            Ok(orb) => orb,
            Err(rcode) => return Err(Outcome::transport(TransportObject::Orb, *rcode)),
        };
        let terms = Terms::of(orb, self.profile.speed, self.profile.max_payload)?;
        let (Some(unit), Some(login)) = (self.units.get_mut(index), self.logins.get_mut(slot))
        else {
            return Err(Outcome::Refused(Sbp2Status::REQUEST_ABORTED));
        };
        login.speed = terms.speed();
        unit.serials = unit.serials.wrapping_add(1);
        let place = Place {
            slot,
            serial: unit.serials,
            orb: fetched.id,
        };
        self.counters.count_command();
        Task::start(place, terms, orb, &mut unit.device, &mut login.nexus)
    }

    /// The response to something that a task has asked for.
    pub(super) fn task_response(
        &mut self,
        index: usize,
        serial: u64,
        take_in: impl FnOnce(&mut Task) -> Result<(), Outcome>,
    ) {
        let task = self
            .units
            .get_mut(index)
            .and_then(|unit| unit.task.as_mut())
            .filter(|task| task.serial == serial);
        if let Some(task) = task
            && let Err(outcome) = take_in(task)
        {
            self.end_task(index, &outcome);
        }
    }

    fn end_task(&mut self, index: usize, outcome: &Outcome) {
        if let Some(task) = self.take_task(index) {
            self.end(task.slot, task.orb, outcome);
        }
    }

    /// Takes the task away. What it still wanted to send is not to reach the initiator any more: its
    /// buffer may be used for something else by then.
    fn take_task(&mut self, index: usize) -> Option<Task> {
        let task = self.units.get_mut(index)?.task.take()?;
        let its_own = |unit, serial| unit == index && serial == task.serial;
        self.outbox.cancel(|who| match *who {
            Who::Store { unit, serial, .. }
            | Who::Load { unit, serial, .. }
            | Who::Table { unit, serial, .. } => its_own(unit, serial),
            _ => false,
        });
        Some(task)
    }

    /// Reports how an ORB ended.
    fn end(&mut self, slot: usize, orb: OrbId, outcome: &Outcome) {
        if outcome.kills() {
            let epoch = self.logins.new_epoch();
            if let Some(login) = self.logins.get_mut(slot) {
                let forgotten = login.agent.kill(epoch);
                self.count_aborted(forgotten);
            }
        }
        self.report(slot, orb, outcome, outcome.kills());
    }

    fn report(&mut self, slot: usize, orb: OrbId, outcome: &Outcome, dead: bool) {
        let source = if orb.last {
            StatusSource::OrbNextNull
        } else {
            StatusSource::OrbNextNotNull
        };
        self.send_status(slot, &outcome.to_status_block(source, dead, orb.address));
    }

    /// Writes a status block to a login's status FIFO, if there is somebody to read it.
    pub(super) fn send_status(&mut self, slot: usize, block: &StatusBlock) {
        let generation = self.outbox.generation();
        let Some(login) = self.logins.get(slot) else {
            return;
        };
        let Some(node) = login.node(generation) else {
            return;
        };
        let route = Route {
            node,
            speed: login.speed,
        };
        let data = block.to_bytes();
        self.counters.count_status_block();
        self.outbox.send(
            Who::Status { slot },
            route,
            login.status_fifo,
            Operation::WriteBlock { data },
        );
    }

    fn count_aborted(&self, count: usize) {
        for _ in 0..count {
            self.counters.count_aborted_orb();
        }
    }

    /// The task that a login has under way.
    pub(super) fn take_task_of(&mut self, slot: usize) -> Option<OrbId> {
        let unit = self.logins.get(slot)?.unit;
        self.units
            .get(unit)?
            .task
            .as_ref()
            .filter(|task| task.slot == slot)?;
        self.take_task(unit).map(|task| task.orb)
    }

    /// Takes all ORBs of a login away without a word; its agent is in the RESET state then.
    ///
    /// Status blocks that met a busy host go with them: the host may put a new ORB where the old
    /// one lay, and would take the old one's success for the new one's.
    pub(super) fn drop_tasks(&mut self, slot: usize) {
        self.outbox.cancel_resends(|who| match *who {
            Who::Status { slot: of } | Who::Fetch { slot: of, .. } => of == slot,
            _ => false,
        });
        let executing = self.take_task_of(slot).is_some();
        let epoch = self.logins.new_epoch();
        if let Some(login) = self.logins.get_mut(slot) {
            let forgotten = login.agent.reset(epoch);
            self.count_aborted(forgotten + usize::from(executing));
        }
        self.note_outstanding(slot);
    }

    /// Takes all ORBs of a login away and reports each as aborted; its agent is dead then. If
    /// there is none nothing happens: what the agent is still to fetch is a later command.
    pub(super) fn abort_tasks(&mut self, slot: usize) {
        let mut aborted: Vec<OrbId> = self.take_task_of(slot).into_iter().collect();
        if let Some(login) = self.logins.get_mut(slot) {
            aborted.extend(core::iter::from_fn(|| login.agent.take()).map(|orb| orb.id));
        }
        if aborted.is_empty() {
            return;
        }
        let epoch = self.logins.new_epoch();
        if let Some(login) = self.logins.get_mut(slot) {
            let forgotten = login.agent.kill(epoch);
            self.count_aborted(forgotten + aborted.len());
        }
        let outcome = Outcome::Refused(Sbp2Status::REQUEST_ABORTED);
        for orb in aborted {
            self.report(slot, orb, &outcome, true);
        }
        self.note_outstanding(slot);
    }

    /// Takes one ORB of a login away and reports it as aborted, if it is known and has not ended.
    pub(super) fn abort_task(&mut self, slot: usize, orb: Address) {
        let unit = self.logins.get(slot).map(|login| login.unit);
        let executing = unit
            .and_then(|unit| self.units.get(unit))
            .and_then(|unit| unit.task.as_ref())
            .is_some_and(|task| task.slot == slot && task.orb.address == orb);
        let found = if executing {
            self.take_task_of(slot)
        } else {
            self.logins
                .get_mut(slot)
                .and_then(|login| login.agent.remove(orb))
                .map(|fetched| fetched.id)
        };
        if let Some(found) = found {
            self.counters.count_aborted_orb();
            let outcome = Outcome::Refused(Sbp2Status::REQUEST_ABORTED);
            self.report(slot, found, &outcome, false);
        }
        self.note_outstanding(slot);
    }

    /// Ends a login.
    pub(super) fn drop_login(&mut self, slot: usize) {
        self.drop_tasks(slot);
        self.logins.remove(slot);
        if self.new_login == Some(slot) {
            self.new_login = None;
        }
    }
}
