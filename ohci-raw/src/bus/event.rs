use alloc::vec::Vec;

use super::{
    Eui64, Generation, IncomingRequest, Instant, NodeId, RCode, RequestHandle, Response, Token,
    Transaction,
};

/// Something that the bus tells a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A transaction that this node sent has ended.
    Response {
        /// The sender's name for it.
        token: Token,
        /// How it ended.
        rcode: RCode,
        /// What was read; empty for writes and after errors.
        data: Vec<u8>,
    },
    /// Another node asks for something. Each request is answered exactly once, with
    /// [`Action::Respond`], also where the writer no longer waits for the answer.
    Request(IncomingRequest),
    /// The bus was reset: node ids are new, and what was under way is lost.
    ///
    /// The same generation may be told more than once, when more of its peers become known.
    BusReset(BusReset),
}

/// The bus after a reset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BusReset {
    /// The new generation.
    pub generation: Generation,
    /// The id that this node has now.
    pub local: NodeId,
    /// The other nodes of which both id and EUI-64 are known in this generation.
    pub peers: Vec<Peer>,
}

impl BusReset {
    /// The id of the node with this EUI-64, if it is known in this generation.
    #[must_use]
    pub fn find(&self, eui64: Eui64) -> Option<NodeId> {
        self.peers
            .iter()
            .find(|peer| peer.eui64 == eui64)
            .map(|peer| peer.node)
    }
}

/// Another node of the bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its id in this generation.
    pub node: NodeId,
    /// Who it is across generations.
    pub eui64: Eui64,
}

/// Something that a node asks of its bus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send a request. Exactly one [`Event::Response`] follows.
    Send(Transaction),
    /// Answer a request.
    Respond {
        /// The request.
        handle: RequestHandle,
        /// The answer.
        response: Response,
    },
}

/// A protocol without I/O: events and the time come in as arguments, actions come out.
///
/// The owner hands in events, then takes actions until there are none, then asks when it is to
/// call again:
///
/// ```
/// use ohci_raw::bus::{Action, Event, Instant, Machine};
///
/// fn step(machine: &mut dyn Machine, event: Event, now: Instant, mut act: impl FnMut(Action)) {
///     machine.handle(event, now);
///     while let Some(action) = machine.poll_action() {
///         act(action);
///     }
/// }
/// ```
pub trait Machine {
    /// Takes in an event.
    fn handle(&mut self, event: Event, now: Instant);

    /// Does what is due. To be called at the time that [`Self::poll_timeout`] names, or later;
    /// a call too early does nothing.
    fn handle_timeout(&mut self, now: Instant);

    /// When [`Self::handle_timeout`] is to be called, if ever.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next action, until there is none. Actions are to be carried out in this order.
    fn poll_action(&mut self) -> Option<Action>;
}
