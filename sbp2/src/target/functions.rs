use alloc::vec::Vec;

use ohci_raw::bus::{Address, Eui64, NodeId, RCode};
use zerocopy::IntoBytes;

use super::Bridge;
use super::logins::LoginRequest;
use super::management_agent::Progress;
use crate::scsi::{AdditionalSense, Completion, SenseKey, UnitAttention};
use crate::wire::{
    Function, LoginEntry, LoginResponse, ManagementOrb, QueryLoginsHeader, Resp, Sbp2Status,
    StatusBlock, StatusSource,
};

/// What QUERY LOGINS says of a login that waits to be reconnected in place of its node id.
const NOT_CONNECTED: NodeId = NodeId(0xffff);

/// What a management ORB comes to: an answer to be written first, or nothing but a status.
enum Result {
    Answer(Vec<u8>),
    Status(Sbp2Status),
}

impl From<Sbp2Status> for Result {
    fn from(status: Sbp2Status) -> Self {
        Self::Status(status)
    }
}

impl Bridge {
    /// A response to the management agent.
    pub(super) fn management_response(&mut self, epoch: u64, rcode: RCode, data: &[u8]) {
        match self.management.response(epoch, rcode, data) {
            Progress::Stale | Progress::Dropped => {}
            Progress::Ask(ask) => self.management_ask(ask),
            Progress::CarryOut(..) if self.management.must_not_answer() => {
                self.forget_management_orb();
            }
            Progress::CarryOut(orb, eui64) => {
                self.counters.count_management_orb();
                match self.carry_out(&orb, eui64) {
                    Result::Answer(answer) => {
                        let ask = self.management.answer(orb.response.address(), answer);
                        self.management_ask(ask);
                    }
                    Result::Status(status) => {
                        self.end_management(Resp::RequestComplete, status);
                    }
                }
            }
            Progress::Stranger => {
                self.counters.count_login_refused();
                self.end_management(Resp::TransportFailure, Sbp2Status::UNSPECIFIED_ERROR);
            }
            Progress::Answered(rcode) if rcode.is_complete() => {
                self.end_management(Resp::RequestComplete, Sbp2Status::OK);
            }
            Progress::Answered(_) => {
                // Who does not know of his login cannot use it.
                if let Some(slot) = self.new_login.take() {
                    self.counters.count_login_refused();
                    self.drop_login(slot);
                }
                self.end_management(Resp::TransportFailure, Sbp2Status::UNSPECIFIED_ERROR);
            }
            Progress::Done(rcode) => self.confirm(rcode),
        }
    }

    /// Drops the ORB under way, and the login that it has led to.
    pub(super) fn forget_management_orb(&mut self) {
        let function = self.management.orb().map(ManagementOrb::function);
        if function == Some(Function::LOGIN) {
            self.counters.count_login_refused();
        }
        self.management.reset();
        if let Some(slot) = self.new_login.take() {
            self.drop_login(slot);
        }
    }

    fn end_management(&mut self, resp: Resp, status: Sbp2Status) {
        let Some(orb) = self.management.orb() else {
            return;
        };
        let fifo = orb.status_fifo.address();
        let block = StatusBlock::new(
            StatusSource::OrbNextNull,
            resp,
            false,
            status.0,
            self.management.orb_address(),
            &[],
        );
        self.counters.count_status_block();
        let ask = self.management.report(fifo, block.to_bytes());
        self.management_ask(ask);
    }

    /// The status of a management ORB was written, or not. A login whose owner was certainly not
    /// told does not stay; when nobody knows, it does.
    fn confirm(&mut self, rcode: RCode) {
        let Some(slot) = self.new_login.take() else {
            return;
        };
        if rcode.is_complete() || rcode == RCode::CANCELLED {
            if let Some(login) = self.logins.get_mut(slot) {
                login.confirmed = true;
                self.counters.count_login();
            }
        } else {
            self.drop_login(slot);
        }
    }

    fn carry_out(&mut self, orb: &ManagementOrb, eui64: Option<Eui64>) -> Result {
        match (orb.function(), eui64) {
            (Function::LOGIN, Some(eui64)) => self.login(orb, eui64).unwrap_or_else(|status| {
                self.counters.count_login_refused();
                status.into()
            }),
            (Function::RECONNECT, Some(eui64)) => self.reconnect(orb, eui64).into(),
            (Function::QUERY_LOGINS, _) => self.query_logins(orb),
            (Function::LOGOUT, _) => self.with_own_login(orb, Self::drop_login),
            (Function::ABORT_TASK, _) => {
                self.with_own_login(orb, |this, slot| this.abort_task(slot, orb.orb_to_abort()))
            }
            (Function::ABORT_TASK_SET, _) => self.with_own_login(orb, Self::drop_tasks),
            (Function::LOGICAL_UNIT_RESET, _) => self.with_own_login(orb, Self::reset_unit),
            (Function::TARGET_RESET, _) => self.with_own_login(orb, Self::reset_target),
            // SET PASSWORD among them.
            _ => Sbp2Status::REQUEST_TYPE_NOT_SUPPORTED.into(),
        }
    }

    fn login(
        &mut self,
        orb: &ManagementOrb,
        eui64: Eui64,
    ) -> core::result::Result<Result, Sbp2Status> {
        let generation = self
            .outbox
            .generation()
            .ok_or(Sbp2Status::UNSPECIFIED_ERROR)?;
        let request = LoginRequest {
            lun: orb.lun(),
            eui64,
            exclusive: orb.exclusive(),
            reconnect_hold: orb.reconnect_hold(),
            node: self.management.requester(),
            generation,
            status_fifo: orb.status_fifo.address(),
        };
        if self.closed {
            return Err(Sbp2Status::RESOURCES_UNAVAILABLE);
        }
        let room = usize::from(orb.response_length());
        let old = self.logins.admit(&request)?;
        // There is no room for the answer without which the login is of no use.
        if room < LoginResponse::MIN_LENGTH {
            return Err(Sbp2Status::FUNCTION_REJECTED);
        }
        if let Some(old) = old {
            self.drop_login(old);
        }
        let slot = self.logins.enter(&request)?;
        self.new_login = Some(slot);
        let login = self
            .logins
            .get_mut(slot)
            .ok_or(Sbp2Status::RESOURCES_UNAVAILABLE)?;
        login.nexus.establish_unit_attention(UnitAttention::PowerOn);
        self.counters.start_login(slot, login.id);
        let response = LoginResponse::new(login.id, self.registers.agent(slot), login.hold - 1);
        Ok(Result::Answer(cut_login_response(response, room)))
    }

    fn reconnect(&mut self, orb: &ManagementOrb, eui64: Eui64) -> Sbp2Status {
        let Some(generation) = self.outbox.generation() else {
            return Sbp2Status::UNSPECIFIED_ERROR;
        };
        let node = self.management.requester();
        match self
            .logins
            .reconnect(orb.login_id(), eui64, node, generation)
        {
            Ok(_) => Sbp2Status::OK,
            Err(status) => status,
        }
    }

    fn query_logins(&self, orb: &ManagementOrb) -> Result {
        if !self.profile.query_logins {
            return Sbp2Status::REQUEST_TYPE_NOT_SUPPORTED.into();
        }
        let unit = match self.logins.unit(orb.lun()) {
            Ok(unit) => unit,
            Err(status) => return status.into(),
        };
        let generation = self.outbox.generation();
        let logins: Vec<LoginEntry> = self
            .logins
            .of_unit(unit)
            .map(|(_, login)| {
                let node = login.node(generation).unwrap_or(NOT_CONNECTED);
                LoginEntry::new(node, login.id, login.eui64)
            })
            .collect();
        // At most 42: the profile was checked.
        let max_logins = self.logins.rules().max_logins as u16;
        let header = QueryLoginsHeader::new(logins.len(), max_logins);
        let mut answer = Vec::from(header.as_bytes());
        answer.extend_from_slice(logins.as_bytes());
        // The length in the header stays, so that the asker learns how many there are.
        answer.truncate(usize::from(orb.response_length()) & !3);
        if answer.is_empty() {
            return Sbp2Status::FUNCTION_REJECTED.into();
        }
        Result::Answer(answer)
    }

    /// Does something for a login, if it belongs to who asks.
    fn with_own_login(
        &mut self,
        orb: &ManagementOrb,
        act: impl FnOnce(&mut Self, usize),
    ) -> Result {
        let Some(slot) = self.logins.find(orb.login_id()) else {
            return Sbp2Status::LOGIN_ID_NOT_RECOGNIZED.into();
        };
        let node = self
            .logins
            .get(slot)
            .and_then(|login| login.node(self.outbox.generation()));
        if node != Some(self.management.requester()) {
            return Sbp2Status::ACCESS_DENIED.into();
        }
        act(self, slot);
        Sbp2Status::OK.into()
    }

    /// LOGICAL UNIT RESET by the login in `slot`. It knows what it did; all others are told.
    fn reset_unit(&mut self, slot: usize) {
        self.drop_tasks(slot);
        let Some(unit) = self.logins.get(slot).map(|login| login.unit) else {
            return;
        };
        for other in self.logins.slots() {
            let of_unit = self
                .logins
                .get(other)
                .is_some_and(|login| login.unit == unit);
            if of_unit && other != slot {
                self.abort_tasks(other);
                self.tell_reset(other);
            }
        }
        if let Some(unit) = self.units.get_mut(unit) {
            unit.reset();
        }
    }

    fn tell_reset(&mut self, slot: usize) {
        let Some(login) = self.logins.get_mut(slot) else {
            return;
        };
        login.nexus.establish_unit_attention(UnitAttention::Reset);
        if core::mem::take(&mut login.unsolicited_status) {
            let sense =
                Completion::check_with(SenseKey::UnitAttention, AdditionalSense::BUS_DEVICE_RESET)
                    .to_status_block();
            let block = StatusBlock::new(
                StatusSource::Unsolicited,
                Resp::RequestComplete,
                false,
                0,
                Address::new(0),
                sense.as_ref().map_or(&[][..], |sense| &sense[..]),
            );
            self.send_status(slot, &block);
        }
    }

    /// TARGET RESET by the login in `slot`: all logins are lost, its own included.
    fn reset_target(&mut self, slot: usize) {
        self.drop_login(slot);
        for other in self.logins.slots() {
            self.abort_tasks(other);
            self.drop_login(other);
        }
        for unit in &mut self.units {
            unit.reset();
        }
    }
}

/// The response in a buffer of `room` bytes: all of it, or the shorter form.
fn cut_login_response(response: LoginResponse, room: usize) -> Vec<u8> {
    let mut bytes = Vec::from(response.as_bytes());
    if room < LoginResponse::LENGTH {
        bytes.truncate(LoginResponse::MIN_LENGTH);
        bytes[..2].copy_from_slice(&(LoginResponse::MIN_LENGTH as u16).to_be_bytes());
    }
    bytes
}
