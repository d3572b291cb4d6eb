//! What becomes of the packets that a driver sends.

use std::sync::Arc;

use ohci_raw::bus::{Event, Instant, NodeId, Operation, RCode, Response, Token, Transaction};
use ohci_raw::packet::{self, Outgoing, ResponseKind, Route};
use ohci_raw::phy::PhyPacket;
use ohci_raw::regs::{EventCode, IntEvent};
use ohci_raw::sim::Bus;

use super::receive::Received;
use super::transmit::{Block, Broken, Transmit};
use super::{Controller, Outstanding, Side};

impl Controller {
    /// Sends what the driver has appended.
    pub(super) fn pump(&mut self, bus: &mut Bus, side: Side, now: Instant) {
        // Software stops the contexts at a bus reset, and only then clears the event.
        while !self.registers.int_event.contains(IntEvent::BUS_RESET) {
            let memory = Arc::clone(&self.memory);
            let fetched = self.transmit(side).fetch(&*memory);
            let sent = match fetched {
                Ok(None) => return,
                Ok(Some(block)) => self.send_block(bus, side, &block, now),
                Err(broken) => Err(broken),
            };
            if let Err(broken) = sent {
                self.transmit(side).die(broken);
                self.raise(IntEvent::UNRECOVERABLE_ERROR);
                return;
            }
            // What the packet has led to comes after its own end.
            self.run(bus, now);
        }
    }

    fn transmit(&mut self, side: Side) -> &mut Transmit {
        match side {
            Side::Request => &mut self.at_request,
            Side::Response => &mut self.at_response,
        }
    }

    fn send_block(
        &mut self,
        bus: &mut Bus,
        side: Side,
        block: &Block,
        now: Instant,
    ) -> Result<(), Broken> {
        let event = match (&block.packet, side) {
            (Ok(packet), _) => self.send(bus, side, packet.clone(), now),
            (Err(event), _) => *event,
        };
        let stamp = self.registers.cycle_timer.stamp(now);
        let memory = Arc::clone(&self.memory);
        self.transmit(side).retire(&*memory, block, event, stamp)?;
        if block.interrupts(event) {
            self.raise(match side {
                Side::Request => IntEvent::REQ_TX_COMPLETE,
                Side::Response => IntEvent::RESP_TX_COMPLETE,
            });
        }
        Ok(())
    }

    /// Sends one packet, and says how it ended as far as the link can see.
    fn send(&mut self, bus: &mut Bus, side: Side, packet: Outgoing, now: Instant) -> EventCode {
        match (packet, side) {
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
                let outstanding = Outstanding {
                    peer: destination,
                    label,
                    kind: ResponseKind::to(&operation),
                    speed,
                };
                let writes = matches!(
                    operation,
                    Operation::WriteQuadlet { .. } | Operation::WriteBlock { .. }
                );
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
                self.acknowledgement(token, writes)
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
        }
    }

    /// How a request was acknowledged: what the bus has told of it by now decides, and what is no
    /// packet of its own is taken out of that.
    fn acknowledgement(&mut self, token: Token, writes: bool) -> EventCode {
        let position = self
            .backlog
            .iter()
            .position(|event| matches!(event, Event::Response { token: of, .. } if *of == token));
        let rcode = position.and_then(|at| match self.backlog.get(at) {
            Some(Event::Response { rcode, .. }) => Some(*rcode),
            _ => None,
        });
        let event = match rcode {
            // A write that has ended by now needs no response packet.
            Some(RCode::COMPLETE) if writes => EventCode::AckComplete,
            Some(RCode::NO_ACK) => EventCode::MissingAck,
            Some(RCode::BUSY) => EventCode::AckBusyX,
            Some(RCode::GENERATION) => EventCode::Flushed,
            Some(RCode::SEND_ERROR) => EventCode::Unknown,
            Some(_) | None => return EventCode::AckPending,
        };
        if let Some(at) = position {
            self.backlog.remove(at);
        }
        self.outstanding.remove(&token);
        event
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
