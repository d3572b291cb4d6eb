//! Requests of other nodes, and the ends of requests to them.

use ohci_raw::bus::{IncomingRequest, Instant, Operation, RCode, RequestHandle, Response};
use ohci_raw::sim::Bus;

use super::Kernel;
use super::addresses::{FCP, FCP_REGISTERS, REGISTERS, TOPOLOGY_MAP};
use super::client::{ClientId, Inbound, Resource};
use super::event::{self, Ended, Incoming};
use super::registers::{time_stamp, topology_map};

/// What an FCP frame may have.
const FCP_MAX: usize = 0x200;

impl Kernel {
    pub(super) fn respond(
        &self,
        bus: &mut Bus,
        handle: RequestHandle,
        response: Response,
        now: Instant,
    ) {
        if let Err(error) = bus.respond(self.node, handle, response, now) {
            tracing::debug!(%error, "an answer did not go out");
        }
    }

    pub(super) fn request(&mut self, bus: &mut Bus, request: IncomingRequest, now: Instant) {
        let address = request.address.get();
        let length = carried(&request.operation) as u64;
        let answer = if FCP.encloses(address, 1) {
            self.fcp(&request, now)
        } else if REGISTERS.encloses(address, 1) {
            let offset = address - REGISTERS.start;
            let standing = self.standing(bus);
            self.registers
                .serve(offset, &request.operation, standing, now)
        } else if TOPOLOGY_MAP.encloses(address, 1) {
            let offset = address - TOPOLOGY_MAP.start;
            topology_map(offset, &request.operation, self.standing(bus))
        } else if let [client] = self.addresses.enclosing(address, length)[..] {
            let inbound = Inbound::Request {
                handle: request.handle,
                expected: request.operation.response_length(),
            };
            return self.deliver(client, inbound, &request, now);
        } else {
            Response::error(RCode::ADDRESS_ERROR)
        };
        self.respond(bus, request.handle, answer, now);
    }

    /// FCP frames go to everybody who wants them, and the core answers.
    fn fcp(&mut self, request: &IncomingRequest, now: Instant) -> Response {
        let address = request.address.get();
        let length = carried(&request.operation);
        if !FCP_REGISTERS.contains(&address) || length > FCP_MAX {
            return Response::error(RCode::ADDRESS_ERROR);
        }
        if !matches!(
            request.operation,
            Operation::WriteQuadlet { .. } | Operation::WriteBlock { .. }
        ) {
            return Response::error(RCode::TYPE_ERROR);
        }
        for client in self.addresses.enclosing(address, length as u64) {
            self.deliver(client, Inbound::Fcp, request, now);
        }
        Response::COMPLETE
    }

    fn deliver(&mut self, id: ClientId, inbound: Inbound, request: &IncomingRequest, now: Instant) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let address = request.address.get();
        let length = carried(&request.operation) as u64;
        let incoming = Incoming {
            closure: client.closure_of(address, length),
            handle: client.add(Resource::Inbound(inbound)),
            address,
            operation: &request.operation,
            source: request.source,
            destination: self.id,
            generation: request.generation,
            tstamp: time_stamp(now),
        };
        let event = event::request(client.version, incoming);
        self.tell(id, event);
    }

    /// A request of a program has ended.
    pub(super) fn ended(&mut self, token: u64, rcode: RCode, data: &[u8], now: Instant) {
        let Some(outbound) = self.outbound.remove(&token) else {
            return;
        };
        let Some(client) = self.clients.get_mut(&outbound.client) else {
            return;
        };
        client.remove(outbound.handle);
        let ended = Ended {
            closure: outbound.closure,
            rcode,
            sent: outbound.sent,
            came: time_stamp(now),
        };
        let wanted = data.get(..outbound.length).unwrap_or(data);
        let event = event::response(client.version, ended, wanted);
        self.tell(outbound.client, event);
    }
}

/// The length of a request as the core counts it: of a lock, all of its data.
fn carried(operation: &Operation) -> usize {
    match operation {
        Operation::Lock { data, .. } => data.len(),
        other => other.length(),
    }
}
