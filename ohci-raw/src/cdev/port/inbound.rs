//! Address ranges, and the requests to them that wait for an answer.

use std::collections::HashMap;

use crate::bus::{
    AddressRange, Generation, IncomingRequest, Operation, RCode, RequestHandle, Response,
};
use crate::cdev::abi::{MAX_PAYLOAD, tcode};
use crate::cdev::device::{Allocation, lock_kind};
use crate::cdev::event::Request;

/// Why the port answers a request itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// It came in through another controller, or a kernel did not tell through which.
    ForeignCard,
    /// It is from before the last bus reset.
    Stale,
    /// It is to addresses that were given back, or are not inside one range.
    Unclaimed,
    /// It is nothing that [`Operation`] knows.
    Unsupported,
}

impl Refusal {
    pub(super) fn rcode(self) -> RCode {
        match self {
            Self::ForeignCard | Self::Stale | Self::Unclaimed => RCode::ADDRESS_ERROR,
            Self::Unsupported => RCode::TYPE_ERROR,
        }
    }
}

/// What is to be said to the kernel to close a request.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Answer {
    /// The kernel's handle.
    pub(super) handle: u32,
    pub(super) rcode: RCode,
    pub(super) data: Vec<u8>,
    /// The lengths that the request implies and that the response has, where they differ and an
    /// error is sent instead.
    pub(super) mismatch: Option<(usize, usize)>,
}

struct OpenRequest {
    handle: u32,
    response_length: usize,
}

#[derive(Default)]
pub(super) struct Inbound {
    /// By closure.
    ranges: HashMap<u64, Allocation>,
    last_closure: u64,
    /// By the handle that the owner knows. The kernel's own is free for the next request as soon
    /// as it is answered; ours is never given twice.
    open: HashMap<u64, OpenRequest>,
    last_handle: u64,
}

impl Inbound {
    /// A closure for a range that is about to be allocated.
    pub(super) fn next_closure(&mut self) -> u64 {
        self.last_closure += 1;
        self.last_closure
    }

    pub(super) fn claim(&mut self, closure: u64, allocation: Allocation) {
        self.ranges.insert(closure, allocation);
    }

    /// Forgets a range. Returns the kernel's handle.
    pub(super) fn release(&mut self, range: AddressRange) -> Option<u32> {
        let closure = *self
            .ranges
            .iter()
            .find(|(_, allocation)| allocation.range == range)?
            .0;
        Some(self.ranges.remove(&closure)?.handle)
    }

    /// Opens a request, or says why not.
    pub(super) fn open(
        &mut self,
        request: Request,
        card: u32,
        generation: Generation,
    ) -> Result<IncomingRequest, Refusal> {
        let origin = request.origin.ok_or(Refusal::ForeignCard)?;
        if origin.card != card {
            return Err(Refusal::ForeignCard);
        }
        if origin.generation != generation {
            return Err(Refusal::Stale);
        }
        let range = self.ranges.get(&request.closure).map(|found| found.range);
        let length = u64::try_from(request.length).unwrap_or(u64::MAX);
        if range.is_none_or(|range| range.offset_of(request.address, length).is_none()) {
            return Err(Refusal::Unclaimed);
        }
        let open = OpenRequest {
            handle: request.handle,
            response_length: request.response_length(),
        };
        let address = request.address;
        let operation = operation(request).ok_or(Refusal::Unsupported)?;
        // Both count the same thing by the same rules, and a difference would leave the kernel
        // with an answer that it throws away.
        if operation.response_length() != open.response_length {
            return Err(Refusal::Unsupported);
        }
        self.last_handle += 1;
        self.open.insert(self.last_handle, open);
        Ok(IncomingRequest {
            handle: RequestHandle(self.last_handle),
            source: origin.source,
            generation: origin.generation,
            address,
            operation,
        })
    }

    /// Closes a request, or `None` if it is not open.
    pub(super) fn close(&mut self, handle: RequestHandle, response: Response) -> Option<Answer> {
        let OpenRequest {
            handle,
            response_length,
        } = self.open.remove(&handle.0)?;
        let got = response.data.len();
        let (rcode, data, mismatch) = if !response.rcode.is_complete() {
            (on_the_wire(response.rcode), vec![0; response_length], None)
        } else if got == response_length {
            (RCode::COMPLETE, response.data, None)
        } else {
            let mismatch = Some((response_length, got));
            (RCode::DATA_ERROR, vec![0; response_length], mismatch)
        };
        Some(Answer {
            handle,
            rcode,
            data,
            mismatch,
        })
    }
}

/// Codes from 0x10 on are the host's own. The kernel would shift one into its neighbour field.
fn on_the_wire(rcode: RCode) -> RCode {
    if rcode.0 < 0x10 {
        rcode
    } else {
        RCode::DATA_ERROR
    }
}

fn operation(request: Request) -> Option<Operation> {
    let Request {
        tcode,
        length,
        data,
        ..
    } = request;
    if length > MAX_PAYLOAD {
        return None;
    }
    Some(match tcode {
        tcode::READ_QUADLET => Operation::ReadQuadlet,
        tcode::READ_BLOCK => Operation::ReadBlock { length },
        tcode::WRITE_QUADLET => Operation::WriteQuadlet {
            data: data.try_into().ok()?,
        },
        tcode::WRITE_BLOCK => Operation::WriteBlock { data },
        tcode => Operation::Lock {
            kind: lock_kind(tcode)?,
            data,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Address, NodeId};
    use crate::cdev::event::Origin;

    const CARD: u32 = 1;
    const GENERATION: Generation = Generation(7);

    fn inbound() -> Inbound {
        let mut inbound = Inbound::default();
        let closure = inbound.next_closure();
        let range = AddressRange::new(Address::new(0x1_0000_0000), 0x2_0000).unwrap();
        inbound.claim(closure, Allocation { range, handle: 3 });
        inbound
    }

    fn request(tcode: u32, length: usize, data: &[u8]) -> Request {
        Request {
            closure: 1,
            tcode,
            address: Address::new(0x1_0000_0000),
            origin: Some(Origin {
                source: NodeId(0xffc0),
                destination: NodeId(0xffc1),
                card: CARD,
                generation: GENERATION,
            }),
            handle: 0x21,
            length,
            data: data.to_vec(),
        }
    }

    fn refusal(change: impl FnOnce(&mut Request)) -> Option<Refusal> {
        let mut request = request(tcode::READ_BLOCK, 64, &[]);
        change(&mut request);
        inbound().open(request, CARD, GENERATION).err()
    }

    #[test]
    fn a_request_is_opened_only_from_this_card_in_this_generation_inside_one_range() {
        assert_eq!(refusal(|_| {}), None);
        let other_card = |request: &mut Request| request.origin.as_mut().unwrap().card = 0;
        assert_eq!(refusal(other_card), Some(Refusal::ForeignCard));
        assert_eq!(refusal(|r| r.origin = None), Some(Refusal::ForeignCard));
        let old = |request: &mut Request| {
            request.origin.as_mut().unwrap().generation = Generation(6);
        };
        assert_eq!(refusal(old), Some(Refusal::Stale));
        assert_eq!(refusal(|r| r.closure = 2), Some(Refusal::Unclaimed));
        let past_the_end = |request: &mut Request| request.address = Address::new(0x1_0001_ffc4);
        assert_eq!(refusal(past_the_end), Some(Refusal::Unclaimed));
    }

    #[test]
    fn what_no_operation_stands_for_is_refused() {
        let mut inbound = inbound();
        let mut open = |request| inbound.open(request, CARD, GENERATION).err();
        let vendor = request(tcode::LOCK_VENDOR, 8, &[0; 8]);
        assert_eq!(open(vendor), Some(Refusal::Unsupported));
        let short = request(tcode::WRITE_QUADLET, 3, &[0; 3]);
        assert_eq!(open(short), Some(Refusal::Unsupported));
        let huge = request(tcode::READ_BLOCK, 0xffff, &[]);
        assert_eq!(open(huge), Some(Refusal::Unsupported));
        assert_eq!(open(request(0xe, 4, &[0; 4])), Some(Refusal::Unsupported));
    }

    #[test]
    fn a_response_has_the_length_that_the_request_implies_also_when_it_is_an_error() {
        let mut inbound = inbound();
        let answer = |inbound: &mut Inbound, response| {
            let request = request(tcode::READ_BLOCK, 8, &[]);
            let handle = inbound.open(request, CARD, GENERATION).unwrap().handle;
            let answer = inbound.close(handle, response).unwrap();
            assert_eq!(answer.handle, 0x21);
            assert_eq!(inbound.close(handle, Response::COMPLETE), None);
            (answer.rcode, answer.data, answer.mismatch)
        };
        let good = vec![1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(
            answer(&mut inbound, Response::data(good.clone())),
            (RCode::COMPLETE, good, None)
        );
        assert_eq!(
            answer(&mut inbound, Response::error(RCode::ADDRESS_ERROR)),
            (RCode::ADDRESS_ERROR, vec![0; 8], None)
        );
        assert_eq!(
            answer(&mut inbound, Response::data(vec![1; 4])),
            (RCode::DATA_ERROR, vec![0; 8], Some((8, 4)))
        );
        assert_eq!(
            answer(&mut inbound, Response::error(RCode::SEND_ERROR)),
            (RCode::DATA_ERROR, vec![0; 8], None)
        );
    }

    #[test]
    fn a_released_range_takes_no_more_requests() {
        let mut inbound = inbound();
        let range = AddressRange::new(Address::new(0x1_0000_0000), 0x2_0000).unwrap();
        assert_eq!(inbound.release(range), Some(3));
        assert_eq!(inbound.release(range), None);
        let late = inbound.open(request(tcode::READ_QUADLET, 4, &[]), CARD, GENERATION);
        assert_eq!(late, Err(Refusal::Unclaimed));
    }
}
