//! Requests, responses, and what becomes of them.

use alloc::vec::Vec;

use super::bus::{Arrival, Bus, Due, Open, Pending, TRANSACTION_LABELS};
use super::faults::{Fault, OperationKind, Packet, PacketKind};
use super::node::{NodeIndex, Place};
use super::wire::{self, Timing};
use crate::bus::{
    Event, IncomingRequest, Instant, Operation, RCode, RequestHandle, Response, Speed, Transaction,
};

/// Why an answer was not sent as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RespondError {
    /// The answer does not have the length that the request implies. The requester was sent
    /// [`RCode::DATA_ERROR`] instead.
    #[error("a response of {got} bytes to a request that implies {expected}")]
    Length {
        /// How many bytes the request implies.
        expected: usize,
        /// How many the answer has.
        got: usize,
    },
    /// The rcode has no place in a packet: it is one of those that hosts make. The requester was
    /// sent [`RCode::DATA_ERROR`] instead.
    #[error("a response cannot carry the rcode \"{0}\"")]
    NotOnWire(RCode),
    /// No request of this node has this handle, or not any more.
    #[error("the node has no request {} to answer", .0.0)]
    NoSuchRequest(RequestHandle),
}

impl Bus {
    /// Sends a request. Exactly one [`Event::Response`] with its token follows.
    pub fn send(&mut self, from: NodeIndex, transaction: Transaction, now: Instant) {
        self.run(now);
        self.begin(from.0, transaction);
        self.run(now);
    }

    /// Answers a request that the node was told of. An answer to a request from before the last
    /// bus reset is dropped, and so is one that nobody waits for any more. The data of an answer
    /// that is an error is dropped.
    ///
    /// # Errors
    /// [`RespondError`]; each request can be answered once, also if this fails.
    pub fn respond(
        &mut self,
        node: NodeIndex,
        handle: RequestHandle,
        response: Response,
        now: Instant,
    ) -> Result<(), RespondError> {
        self.run(now);
        let answered = self.answer(node.0, handle, response);
        self.run(now);
        answered
    }

    /// Ends a request that the node was told of as if its link had not taken the packet: the
    /// requester sees [`RCode::NO_ACK`], [`RCode::BUSY`], or whatever else is named. A request
    /// that nobody waits for any more is dropped.
    pub fn refuse(&mut self, node: NodeIndex, handle: RequestHandle, rcode: RCode, now: Instant) {
        self.run(now);
        if let Some(open) = self.requests.get(&handle.0)
            && open.node == node.0
            && let Some(open) = self.requests.remove(&handle.0)
            && let Some(id) = open.transaction
        {
            self.finish(id, rcode, Vec::new());
        }
        self.run(now);
    }

    pub(super) fn begin(&mut self, from: usize, transaction: Transaction) {
        let Transaction {
            token,
            destination,
            generation,
            speed,
            address,
            operation,
        } = transaction;
        let view = self.nodes[from]
            .view
            .filter(|view| view.generation == generation);
        let refusal = match view {
            None => Err(RCode::GENERATION),
            Some(_) if block_length(&operation) > speed.max_payload() => Err(RCode::SEND_ERROR),
            Some(_) if self.out_of_labels(from) => Err(RCode::SEND_ERROR),
            Some(view) => Ok(view),
        };
        let view = match refusal {
            Ok(view) => view,
            Err(rcode) => {
                let data = Vec::new();
                return self.tell(from, Event::Response { token, rcode, data });
            }
        };

        let to = self
            .resolve(from, destination)
            .filter(|to| speed <= self.path_speed(from, *to));
        self.nodes[from].labels += 1;
        self.transactions_begun += 1;
        let id = self.transactions_begun;
        let split_timeout = Due::SplitTimeout { transaction: id };
        let deadline = self.schedule(self.now + self.split_timeout, split_timeout);
        let kind = OperationKind::of(&operation);
        self.transactions.insert(
            id,
            Pending {
                sender: from,
                token,
                destination: to,
                speed,
                address,
                operation: kind,
                deadline,
                busy: None,
            },
        );

        let carried = request_data(&operation);
        let arrives = self.occupy(speed, request_bytes(&operation), carried.len());
        let broadcast = destination.is_broadcast() && operation.writes();
        let fault = match to {
            Some(to) => self.judge(Packet {
                source: NodeIndex(from),
                destination: NodeIndex(to),
                kind: PacketKind::Request,
                address,
                operation: kind,
                data: carried,
                speed,
            }),
            None if broadcast => Fault::Deliver,
            None => Fault::Lose,
        };
        let posted = to.is_some_and(|to| self.nodes[to].posts(address, &operation));
        let arrival = Arrival {
            transaction: Some(id),
            source: from,
            source_id: view.id,
            destination: to,
            address,
            operation,
        };
        self.carry_request(arrival, fault, arrives, posted);
    }

    /// Enters a request into the agenda, as its fate has it.
    fn carry_request(&mut self, mut arrival: Arrival, fault: Fault, at: Instant, posted: bool) {
        let id = arrival.transaction.unwrap_or_default();
        let end = |rcode| Due::Response {
            transaction: id,
            rcode,
            data: Vec::new(),
        };
        let lane = arrival.destination.map(|to| (arrival.source, to));
        let at = lane
            .and_then(|lane| self.held.get(&lane))
            .map_or(at, |held| at.max(*held));
        match fault {
            Fault::Deliver => {}
            Fault::Lose => {
                self.schedule(at, end(RCode::NO_ACK));
                return;
            }
            Fault::Busy => {
                self.schedule(at, end(RCode::BUSY));
                return;
            }
            Fault::Ignore => {
                let due = if posted {
                    end(RCode::COMPLETE)
                } else {
                    Due::Acknowledge { transaction: id }
                };
                self.schedule(at, due);
                return;
            }
            Fault::LoseAck => {
                arrival.transaction = None;
                self.schedule(at, end(RCode::NO_ACK));
            }
            Fault::Delay(delay) => {
                if let Some(lane) = lane {
                    self.held.insert(lane, at + delay);
                }
                self.schedule(at + delay, Due::Request(arrival));
                return;
            }
            Fault::Duplicate => {
                let again = Arrival {
                    transaction: None,
                    operation: arrival.operation.clone(),
                    ..arrival
                };
                self.schedule(at, Due::Request(arrival));
                arrival = again;
            }
        }
        self.schedule(at, Due::Request(arrival));
    }

    /// A request has reached its destination.
    pub(super) fn arrive(&mut self, arrival: Arrival) {
        let Some(to) = arrival.destination else {
            return self.arrive_everywhere(arrival);
        };
        let Arrival {
            mut transaction,
            source_id,
            address,
            operation,
            ..
        } = arrival;
        if self.nodes[to].posts(address, &operation)
            && let Some(posted) = transaction.take()
        {
            self.finish(posted, RCode::COMPLETE, Vec::new());
        }
        if let Some(id) = transaction {
            self.reach_link(to, id);
        }
        let refusal = match self.nodes[to].place(address, &operation) {
            Place::Claimed => {
                let handle = self.next_handle;
                self.next_handle += 1;
                let expected = operation.response_length();
                let view = self.nodes[to].view;
                let open = Open {
                    node: to,
                    transaction,
                    expected,
                };
                self.requests.insert(handle, open);
                let request = IncomingRequest {
                    handle: RequestHandle(handle),
                    source: source_id,
                    generation: view.map_or(self.generation, |view| view.generation),
                    address,
                    operation,
                };
                return self.tell(to, Event::Request(request));
            }
            Place::Rom { offset } => match self.nodes[to].read_rom(offset, &operation) {
                Ok(data) => Response::data(data),
                Err(rcode) => Response::error(rcode),
            },
            Place::Nobody(rcode) => {
                self.counters.refused += 1;
                Response::error(rcode)
            }
        };
        if let Some(id) = transaction {
            self.carry_response(id, refusal);
        }
    }

    /// A broadcast reaches every other node that serves the address, and nobody answers it.
    fn arrive_everywhere(&mut self, arrival: Arrival) {
        if let Some(id) = arrival.transaction {
            self.finish(id, RCode::COMPLETE, Vec::new());
        }
        for to in self.by_phy.clone() {
            let node = &self.nodes[to];
            if to != arrival.source
                && matches!(
                    node.place(arrival.address, &arrival.operation),
                    Place::Claimed
                )
            {
                self.arrive(Arrival {
                    transaction: None,
                    destination: Some(to),
                    operation: arrival.operation.clone(),
                    ..arrival
                });
            }
        }
    }

    pub(super) fn answer(
        &mut self,
        node: usize,
        handle: RequestHandle,
        mut response: Response,
    ) -> Result<(), RespondError> {
        if handle.0 < self.first_handle {
            return Ok(());
        }
        let open = match self.requests.get(&handle.0) {
            Some(open) if open.node == node => self.requests.remove(&handle.0),
            _ => None,
        };
        let Some(open) = open else {
            self.counters.bad_responses += 1;
            return Err(RespondError::NoSuchRequest(handle));
        };
        let got = response.data.len();
        let answered = if response.rcode.0 > 0xf {
            Err(RespondError::NotOnWire(response.rcode))
        } else if response.rcode.is_complete() && got != open.expected {
            Err(RespondError::Length {
                expected: open.expected,
                got,
            })
        } else {
            Ok(())
        };
        if answered.is_err() {
            self.counters.bad_responses += 1;
            response = Response::error(RCode::DATA_ERROR);
        }
        if let Some(id) = open.transaction {
            self.carry_response(id, response);
        }
        answered
    }

    /// Enters a response into the agenda, as its fate has it.
    fn carry_response(&mut self, id: u64, mut response: Response) {
        if !response.rcode.is_complete() {
            response.data.clear();
        }
        let Some(pending) = self.transactions.get(&id) else {
            self.counters.late_responses += 1;
            return;
        };
        let (speed, address, operation) = (pending.speed, pending.address, pending.operation);
        let (requester, responder) = (pending.sender, pending.destination);
        let Response { rcode, data } = response;
        let bytes = match operation {
            OperationKind::WriteQuadlet | OperationKind::WriteBlock => wire::WRITE_RESPONSE,
            OperationKind::ReadQuadlet => wire::QUADLET_PACKET,
            OperationKind::ReadBlock | OperationKind::Lock => wire::block_packet(data.len()),
        };
        let at = self.occupy(speed, bytes, data.len());
        let fault = responder.map_or(Fault::Deliver, |responder| {
            self.judge(Packet {
                source: NodeIndex(responder),
                destination: NodeIndex(requester),
                kind: PacketKind::Response(rcode),
                address,
                operation,
                data: &data,
                speed,
            })
        });
        let at = match fault {
            Fault::Deliver | Fault::LoseAck | Fault::Duplicate => at,
            Fault::Delay(delay) => at + delay,
            Fault::Lose | Fault::Ignore | Fault::Busy => return,
        };
        let again = (fault == Fault::Duplicate).then(|| data.clone());
        for data in [Some(data), again].into_iter().flatten() {
            let due = Due::Response {
                transaction: id,
                rcode,
                data,
            };
            self.schedule(at, due);
        }
    }

    pub(super) fn finish(&mut self, id: u64, rcode: RCode, data: Vec<u8>) {
        let Some(pending) = self.transactions.remove(&id) else {
            self.counters.late_responses += 1;
            return;
        };
        self.agenda.remove(&pending.deadline);
        if let Some(busy) = pending.busy {
            self.agenda.remove(&busy);
        }
        self.nodes[pending.sender].labels -= 1;
        let token = pending.token;
        self.tell(pending.sender, Event::Response { token, rcode, data });
    }

    pub(super) fn time_out(&mut self, id: u64) {
        self.counters.split_timeouts += 1;
        self.finish(id, RCode::CANCELLED, Vec::new());
    }

    fn out_of_labels(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.is_host() && node.labels >= TRANSACTION_LABELS
    }

    fn path_speed(&self, a: usize, b: usize) -> Speed {
        let speed = |node: usize| self.nodes[node].config.speed;
        speed(a).min(speed(b))
    }

    /// Counts a packet, and says when it arrives.
    fn occupy(&mut self, speed: Speed, bytes: usize, data: usize) -> Instant {
        self.counters.packets += 1;
        self.counters.bytes += data as u64;
        if self.timing == Timing::Wire {
            self.wire_free = self.wire_free.max(self.now) + wire::occupancy(speed, bytes);
            self.wire_free
        } else {
            self.now
        }
    }

    fn judge(&mut self, packet: Packet<'_>) -> Fault {
        let Some(injector) = &mut self.faults else {
            return Fault::Deliver;
        };
        let fault = injector.judge(&packet);
        self.counters.faults += u64::from(fault != Fault::Deliver);
        fault
    }
}

/// The data that a request carries.
fn request_data(operation: &Operation) -> &[u8] {
    match operation {
        Operation::ReadQuadlet | Operation::ReadBlock { .. } => &[],
        Operation::WriteQuadlet { data } => data,
        Operation::WriteBlock { data } | Operation::Lock { data, .. } => data,
    }
}

/// The longer one of the data blocks of request and response.
fn block_length(operation: &Operation) -> usize {
    operation.length().max(request_data(operation).len())
}

fn request_bytes(operation: &Operation) -> usize {
    match operation {
        Operation::ReadQuadlet => wire::QUADLET_READ_REQUEST,
        Operation::ReadBlock { .. } => wire::BLOCK_READ_REQUEST,
        Operation::WriteQuadlet { .. } => wire::QUADLET_PACKET,
        Operation::WriteBlock { data } | Operation::Lock { data, .. } => {
            wire::block_packet(data.len())
        }
    }
}
