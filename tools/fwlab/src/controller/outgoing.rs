//! What becomes of the packets that a driver sends.

use std::sync::Arc;
use std::time::Duration;

use ohci_raw::bus::{Event, Instant, NodeId, Operation, RCode, Response, Token, Transaction};
use ohci_raw::packet::{self, Outgoing, ResponseKind, Route};
use ohci_raw::phy::PhyPacket;
use ohci_raw::regs::{EventCode, IntEvent};
use ohci_raw::sim::Bus;

use super::receive::Received;
use super::transmit::{Block, Broken, Transmit};
use super::{Controller, Outstanding, Side};

/// How many packets a controller sends at one instant, and how long it rests then. No driver has so
/// many under way; a program that leads back into itself would never end.
const BURST: u32 = 256;
const REST: Duration = Duration::from_millis(10);

/// What has become of a packet.
enum Outcome {
    /// It has ended so.
    Ended(EventCode),
    /// It waits for the bus to tell.
    Sent(Token),
}

impl Controller {
    /// Sends the next packet that the driver has appended. Whether anything was to be done.
    pub(super) fn send_next(&mut self, bus: &mut Bus, side: Side, now: Instant) -> bool {
        // Software stops the contexts at a bus reset, and only then clears the event.
        if self.registers.int_event.contains(IntEvent::BUS_RESET)
            || !self.transmit(side).is_due()
            || !self.may_send(now)
        {
            return false;
        }
        let memory = Arc::clone(&self.memory);
        match self.transmit(side).fetch(&*memory) {
            Ok(None) => return false,
            Ok(Some(block)) => self.send_block(bus, side, block, now),
            Err(broken) => self.transmit_dies(side, broken),
        }
        true
    }

    fn transmit(&mut self, side: Side) -> &mut Transmit {
        match side {
            Side::Request => &mut self.at_request,
            Side::Response => &mut self.at_response,
        }
    }

    fn transmit_dies(&mut self, side: Side, broken: Broken) {
        self.transmit(side).die(broken);
        self.raise(IntEvent::UNRECOVERABLE_ERROR);
    }

    /// Whether one more packet may be sent at this instant.
    fn may_send(&mut self, now: Instant) -> bool {
        if self.burst.0 != now {
            self.burst = (now, 0);
        }
        if self.burst.1 == BURST {
            self.resume.get_or_insert(now + REST);
            return false;
        }
        self.burst.1 += 1;
        true
    }

    fn send_block(&mut self, bus: &mut Bus, side: Side, block: Block, now: Instant) {
        let outcome = match block.packet.clone() {
            Ok(packet) => self.send(bus, side, packet, now),
            Err(event) => Outcome::Ended(event),
        };
        match outcome {
            Outcome::Ended(event) => self.end_block(side, (&block, false), event, now),
            Outcome::Sent(token) => self.transmit(side).wait(token, block),
        }
    }

    /// A block's packet has ended so.
    fn end_block(
        &mut self,
        side: Side,
        (block, is_last): (&Block, bool),
        event: EventCode,
        now: Instant,
    ) {
        let stamp = self.registers.cycle_timer.stamp(now);
        let memory = Arc::clone(&self.memory);
        let transmit = self.transmit(side);
        match transmit.retire(&*memory, block, (event, stamp), is_last) {
            Err(broken) => self.transmit_dies(side, broken),
            Ok(()) if block.interrupts(event) => self.raise(match side {
                Side::Request => IntEvent::REQ_TX_COMPLETE,
                Side::Response => IntEvent::RESP_TX_COMPLETE,
            }),
            Ok(()) => {}
        }
    }

    /// The receiver of a request has acknowledged it as pending.
    pub(super) fn sent_is_taken(&mut self, token: Token, now: Instant) {
        let ends =
            |event: &Event| matches!(event, Event::Response { token: of, .. } if *of == token);
        // What has ended by now is told in one: a write needs no response packet then.
        if !self.backlog.iter().any(ends) {
            self.end_sent(token, EventCode::AckPending, now);
        }
    }

    /// The packet of this request, if it is the one under way, has ended so.
    fn end_sent(&mut self, token: Token, event: EventCode, now: Instant) -> bool {
        let sent = self.at_request.take_sent(token);
        if let Some((block, is_last)) = &sent {
            self.end_block(Side::Request, (block, *is_last), event, now);
        }
        sent.is_some()
    }

    /// Sends one packet, and says how it ended as far as the link can see.
    fn send(&mut self, bus: &mut Bus, side: Side, packet: Outgoing, now: Instant) -> Outcome {
        let event = match (packet, side) {
            (
                Outgoing::Request {
                    destination,
                    label,
                    speed,
                    address,
                    operation,
                },
                Side::Request,
            ) => {
                let token = Token(self.next_token);
                self.next_token += 1;
                let writes = matches!(
                    operation,
                    Operation::WriteQuadlet { .. } | Operation::WriteBlock { .. }
                );
                let outstanding = Outstanding {
                    peer: destination,
                    label,
                    kind: ResponseKind::to(&operation),
                    speed,
                    writes,
                };
                self.outstanding.insert(token, outstanding);
                let transaction = Transaction {
                    token,
                    destination,
                    generation: bus.generation(),
                    speed,
                    address,
                    operation,
                };
                bus.send(self.node, transaction, now);
                self.listen(bus);
                return Outcome::Sent(token);
            }
            (
                Outgoing::Response {
                    destination,
                    label,
                    rcode,
                    data,
                },
                Side::Response,
            ) => self.respond(bus, (destination, label), Response { rcode, data }, now),
            (Outgoing::Phy(quadlet), _) => {
                let packet = PhyPacket::parse(quadlet);
                if let PhyPacket::Configuration {
                    root: Some(root), ..
                } = packet
                {
                    self.phy.set_root_hold_off(root == self.id.phy());
                }
                bus.send_phy(self.node, packet, now);
                EventCode::AckComplete
            }
            (Outgoing::Stream, Side::Request) => EventCode::AckComplete,
            _ => EventCode::TcodeError,
        };
        Outcome::Ended(event)
    }

    fn respond(
        &mut self,
        bus: &mut Bus,
        to: (NodeId, u8),
        response: Response,
        now: Instant,
    ) -> EventCode {
        let Some(handle) = self.unanswered.remove(&to) else {
            // The requester does not wait any more; its link acknowledges nevertheless.
            return EventCode::AckComplete;
        };
        if let Err(error) = bus.respond(self.node, handle, response, now) {
            tracing::debug!(%error, "a response of the guest's");
        }
        self.listen(bus);
        EventCode::AckComplete
    }

    /// A transaction of this node has ended.
    pub(super) fn response(&mut self, token: Token, rcode: RCode, data: &[u8], now: Instant) {
        let Some(outstanding) = self.outstanding.remove(&token) else {
            return;
        };
        let acknowledgement = match rcode {
            RCode::COMPLETE if outstanding.writes => EventCode::AckComplete,
            RCode::NO_ACK => EventCode::MissingAck,
            RCode::BUSY => EventCode::AckBusyX,
            RCode::GENERATION => EventCode::Flushed,
            RCode::SEND_ERROR => EventCode::Unknown,
            _ => EventCode::AckPending,
        };
        let was_sent = self.end_sent(token, acknowledgement, now);
        if was_sent && acknowledgement != EventCode::AckPending {
            // There is no more to tell.
            return;
        }
        if rcode.0 > 0xf {
            // Nothing came: software has its own clock for that.
            return;
        }
        let route = Route {
            destination: self.id,
            source: outstanding.peer,
            label: outstanding.label,
        };
        let received = Received {
            packet: packet::response(route, outstanding.kind, rcode, data),
            event: EventCode::AckComplete,
            speed: outstanding.speed,
        };
        self.receive(Side::Response, received, now);
    }
}
