//! What becomes of the requests of other nodes: some the hardware answers, the rest goes to
//! software (OHCI 1.1, chapters 8 and 12).

use std::sync::Arc;

use ohci_raw::bus::{
    Address, IncomingRequest, Instant, LockKind, NodeId, Operation, RCode, Response, csr,
};
use ohci_raw::packet::{self, Route};
use ohci_raw::regs::{EventCode, HcControl, IntEvent};
use ohci_raw::sim::Bus;

use super::receive::{Receive, Received};
use super::registers::{BUS_ID, Csrs};
use super::{Controller, Side};

/// How many requests wait for room at most. The senders' links have one each, but broadcasts have no
/// sender who waits.
const OFFERED_MAX: usize = 256;
/// Transaction labels of one node.
const LABELS: u8 = 64;
/// From here on writes are never posted (3.3.3): registers and units want to refuse them.
const UNPOSTED: Address = Address::new(0xffff_0000_0000);

impl Controller {
    /// A request has reached this node.
    pub(super) fn request(&mut self, bus: &mut Bus, request: IncomingRequest, now: Instant) {
        let is_taken = self.registers.takes_requests_of(request.source.phy());
        if !is_taken && !is_unfiltered(&request) {
            bus.refuse(self.node, request.handle, RCode::NO_ACK, now);
        } else if let Some(response) = self.answer(&request) {
            self.reply(bus, &request, response, now);
        } else if !self.ar_request.context.runs() || self.offered.len() >= OFFERED_MAX {
            bus.refuse(self.node, request.handle, RCode::BUSY, now);
        } else {
            self.offered.push_back(request);
        }
    }

    /// Hands the next request to software, if there is one and room for it. Whether anything was
    /// to be done.
    pub(super) fn take_offered(&mut self, bus: &mut Bus, now: Instant) -> bool {
        let Some(request) = self.offered.pop_front() else {
            return false;
        };
        if !bus.is_open(self.node, request.handle) {
            // Its sender has given up.
            return true;
        }
        let Some(label) = self.free_label(bus, request.source) else {
            self.offered.push_front(request);
            return false;
        };
        let is_posted = self.posts(&request);
        let route = Route {
            destination: self.id,
            source: request.source,
            label,
        };
        let received = Received {
            packet: packet::request(route, request.address, &request.operation),
            event: if is_posted {
                EventCode::AckComplete
            } else {
                EventCode::AckPending
            },
            speed: bus.config(self.node).speed,
        };
        let memory = Arc::clone(&self.memory);
        let stamp = self.registers.cycle_timer.stamp(now);
        let written = self.ar_request.offer(&*memory, &received, stamp);
        if !self.is_written(Side::Request, written.map(usize::from)) {
            self.offered.push_front(request);
            return false;
        }
        if is_posted {
            self.reply(bus, &request, Response::COMPLETE, now);
        } else {
            bus.acknowledge(self.node, request.handle);
            self.unanswered
                .insert((request.source, label), request.handle);
        }
        true
    }

    fn reply(
        &mut self,
        bus: &mut Bus,
        request: &IncomingRequest,
        response: Response,
        now: Instant,
    ) {
        if let Err(error) = bus.respond(self.node, request.handle, response, now) {
            tracing::debug!(%error, "a response of the controller's");
        }
        self.listen(bus);
    }

    /// Whether a write is acknowledged before software has seen it.
    fn posts(&self, request: &IncomingRequest) -> bool {
        let writes = matches!(
            request.operation,
            Operation::WriteQuadlet { .. } | Operation::WriteBlock { .. }
        );
        let hc_control = self.registers.hc_control;
        writes && request.address < UNPOSTED && hc_control.contains(HcControl::POSTED_WRITE_ENABLE)
    }

    /// The label of a request that software is told of. The sender's own is not known here; that
    /// of a request under way must be another. Where all are taken, one whose answer nobody waits
    /// for any more is given anew.
    fn free_label(&self, bus: &Bus, source: NodeId) -> Option<u8> {
        let of = |label: u8| self.unanswered.get(&(source, label));
        let is_stale = |label: &u8| {
            let handle = of(*label);
            handle.is_some_and(|handle| !bus.is_awaited(self.node, *handle))
        };
        let unused = (0..LABELS).find(|label| of(*label).is_none());
        unused.or_else(|| (0..LABELS).find(is_stale))
    }

    /// What the hardware answers, if it does.
    fn answer(&mut self, request: &IncomingRequest) -> Option<Response> {
        let IncomingRequest {
            source,
            address,
            ref operation,
            ..
        } = *request;
        let at = address.get();
        if let Some(select) = Csrs::at(at) {
            return Some(self.answer_csr(select, operation));
        }
        if let Some(offset) = at.checked_sub(csr::CONFIG_ROM.get())
            && offset < csr::CONFIG_ROM_LENGTH
            && !operation.writes()
        {
            return Some(self.answer_rom(offset, operation));
        }
        let end = at.checked_add(operation.length() as u64)?;
        if end <= self.registers.physical_end() && self.registers.serves_physically(source.phy()) {
            let is_posted = self.posts(request);
            return self.answer_physically((source, is_posted), at, operation);
        }
        None
    }

    fn answer_csr(&mut self, select: usize, operation: &Operation) -> Response {
        let csrs = &mut self.registers.csrs;
        match operation {
            Operation::ReadQuadlet => Response::data(csrs.get(select).to_be_bytes().to_vec()),
            Operation::Lock {
                kind: LockKind::CompareSwap,
                data,
            } => match data[..] {
                [a0, a1, a2, a3, d0, d1, d2, d3] => {
                    let compare = u32::from_be_bytes([a0, a1, a2, a3]);
                    let new = u32::from_be_bytes([d0, d1, d2, d3]);
                    let old = csrs.compare_swap(select, compare, new);
                    Response::data(old.to_be_bytes().to_vec())
                }
                _ => Response::error(RCode::TYPE_ERROR),
            },
            _ => Response::error(RCode::TYPE_ERROR),
        }
    }

    fn answer_rom(&self, offset: u64, operation: &Operation) -> Response {
        let registers = &self.registers;
        if !registers.hc_control.contains(HcControl::BIB_IMAGE_VALID) {
            return Response::error(RCode::TYPE_ERROR);
        }
        let length = operation.length();
        if !offset.is_multiple_of(4) || offset + length as u64 > csr::CONFIG_ROM_LENGTH {
            return Response::error(RCode::ADDRESS_ERROR);
        }
        let mut rom = vec![0; csr::CONFIG_ROM_LENGTH as usize];
        if self
            .memory
            .read(u64::from(registers.config_rom_map), &mut rom)
            .is_err()
        {
            return Response::error(RCode::DATA_ERROR);
        }
        let head = [
            registers.config_rom_header,
            BUS_ID,
            registers.bus_options,
            (registers.guid.0 >> 32) as u32,
            registers.guid.0 as u32,
        ];
        for (place, value) in rom.chunks_exact_mut(4).zip(head) {
            place.copy_from_slice(&value.to_be_bytes());
        }
        let start = offset as usize;
        let data = rom.get(start..start + length).unwrap_or_default();
        Response::data(data.to_vec())
    }

    /// The configuration ROM as other nodes read it, for those who ask the bus and not the node.
    pub(super) fn rom(&self) -> Vec<u32> {
        let length = csr::CONFIG_ROM_LENGTH as usize;
        let response = self.answer_rom(0, &Operation::ReadBlock { length });
        let mut rom: Vec<u32> = response
            .data
            .chunks_exact(4)
            .map(|quadlet| quadlet.try_into().map_or(0, u32::from_be_bytes))
            .collect();
        let end = rom.iter().rposition(|quadlet| *quadlet != 0);
        rom.truncate(end.map_or(0, |end| end + 1));
        rom
    }

    /// The physical response unit: memory is read and written without software. Locks go to
    /// software.
    fn answer_physically(
        &mut self,
        (source, is_posted): (NodeId, bool),
        address: u64,
        operation: &Operation,
    ) -> Option<Response> {
        let done = match operation {
            Operation::ReadQuadlet | Operation::ReadBlock { .. } => {
                let mut data = vec![0; operation.length()];
                self.memory
                    .read(address, &mut data)
                    .map(|()| Response::data(data))
            }
            Operation::WriteQuadlet { data } => self
                .memory
                .write(address, data)
                .map(|()| Response::COMPLETE),
            Operation::WriteBlock { data } => self
                .memory
                .write(address, data)
                .map(|()| Response::COMPLETE),
            Operation::Lock { .. } => return None,
        };
        Some(done.unwrap_or_else(|_| {
            if !is_posted {
                return Response::error(RCode::DATA_ERROR);
            }
            // The sender was told that it is done.
            self.registers.posted_write_address = address;
            self.registers.posted_write_source = source.0;
            self.raise(IntEvent::POSTED_WRITE_ERR);
            Response::COMPLETE
        }))
    }

    fn receiver(&mut self, side: Side) -> &mut Receive {
        match side {
            Side::Request => &mut self.ar_request,
            Side::Response => &mut self.ar_response,
        }
    }

    /// Hands a packet to software, now or as soon as there is room. It is lost where software takes
    /// none.
    pub(super) fn receive(&mut self, side: Side, received: Received, now: Instant) {
        self.receiver(side).push(received);
        self.fill(side, now);
    }

    /// Writes what waits for room.
    pub(super) fn fill(&mut self, side: Side, now: Instant) {
        let memory = Arc::clone(&self.memory);
        let stamp = self.registers.cycle_timer.stamp(now);
        let written = self.receiver(side).flush(&*memory, stamp);
        self.is_written(side, written);
    }

    /// Tells software of so many packets that were written, or that the context has died of it.
    /// Whether there were any.
    fn is_written(&mut self, side: Side, written: Result<usize, EventCode>) -> bool {
        match written {
            Ok(0) => return false,
            Ok(_) => self.raise(match side {
                Side::Request => IntEvent::RQ_PKT,
                Side::Response => IntEvent::RS_PKT,
            }),
            Err(event) => {
                self.receiver(side).die(event);
                self.raise(IntEvent::UNRECOVERABLE_ERROR);
                return false;
            }
        }
        true
    }
}

/// What the filter does not count for (5.14.1): quadlets of the configuration ROM, and the four CSRs.
fn is_unfiltered(request: &IncomingRequest) -> bool {
    let at = request.address.get();
    let rom = csr::CONFIG_ROM.get()..csr::CONFIG_ROM.get() + csr::CONFIG_ROM_LENGTH;
    let reads_rom = rom.contains(&at) && matches!(request.operation, Operation::ReadQuadlet);
    reads_rom || Csrs::at(at).is_some()
}
