//! Who serves which addresses of a host (`fw_core_add_address_handler` in
//! `drivers/firewire/core-transaction.c`).

use ohci_raw::bus::csr;

/// The region of the function control protocol, which any number of handlers may share.
pub(super) const FCP: Span = Span {
    start: csr::REGISTER_SPACE.get() + 0xb00,
    length: 0x400,
};
/// FCP_COMMAND and FCP_RESPONSE.
pub(super) const FCP_REGISTERS: [u64; 2] = [FCP.start, FCP.start + 0x200];
/// The core's registers.
pub(super) const REGISTERS: Span = Span {
    start: csr::REGISTER_SPACE.get(),
    length: 0x400,
};
/// The topology map.
pub(super) const TOPOLOGY_MAP: Span = Span {
    start: csr::REGISTER_SPACE.get() + 0x1000,
    length: 0x400,
};
/// What the core leaves to the controller's physical unit.
const LOW_MEMORY: Span = Span {
    start: 0,
    length: 1 << 32,
};
const END_OF_SPACE: u64 = 1 << 48;

/// Consecutive addresses. Unlike an `AddressRange` it may pass the end of the address space, as
/// in the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) length: u64,
}

impl Span {
    const fn end(self) -> u64 {
        self.start.saturating_add(self.length)
    }

    const fn overlaps(self, other: Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }

    /// Whether an access lies inside as a whole.
    pub(super) const fn encloses(self, start: u64, length: u64) -> bool {
        self.start <= start && start.saturating_add(length) <= self.end()
    }
}

/// Why addresses cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// `EINVAL`
    Malformed,
    /// `EBUSY`
    Taken,
}

/// The handlers in the order in which they came, which decides how one is placed.
#[derive(Debug)]
pub(super) struct Addresses<Owner> {
    handlers: Vec<(Span, Option<Owner>)>,
}

impl<Owner: Copy + PartialEq> Addresses<Owner> {
    /// Those of the core itself.
    pub(super) fn new() -> Self {
        let core = [LOW_MEMORY, TOPOLOGY_MAP, REGISTERS];
        Self {
            handlers: core.map(|span| (span, None)).to_vec(),
        }
    }

    /// Finds a place for `length` bytes from `start` on. As in the kernel, `end` is looked at
    /// only after a collision, and a collision advances by the length of what is in the way.
    pub(super) fn add(
        &mut self,
        owner: Owner,
        start: u64,
        end: u64,
        length: u64,
    ) -> Result<Span, Refusal> {
        if start & 0xffff_0000_0000_0003 != 0
            || start >= end
            || end > END_OF_SPACE
            || length == 0
            || !length.is_multiple_of(4)
        {
            return Err(Refusal::Malformed);
        }
        let mut span = Span { start, length };
        while let Some(other) = self.in_the_way(span) {
            span.start = span.start.saturating_add(other.length);
            if span.end() > end {
                return Err(Refusal::Taken);
            }
        }
        if span.end() > END_OF_SPACE {
            return Err(Refusal::Taken);
        }
        self.handlers.push((span, Some(owner)));
        Ok(span)
    }

    fn in_the_way(&self, span: Span) -> Option<Span> {
        if FCP.encloses(span.start, span.length) {
            return None;
        }
        let mut others = self.handlers.iter().map(|(other, _)| *other);
        others.find(|other| other.overlaps(span))
    }

    pub(super) fn remove(&mut self, owner: Owner, span: Span) {
        let at = self
            .handlers
            .iter()
            .position(|handler| *handler == (span, Some(owner)));
        if let Some(at) = at {
            self.handlers.remove(at);
        }
    }

    /// The clients whose addresses a request lies in: outside of FCP there is one at most.
    pub(super) fn enclosing(&self, start: u64, length: u64) -> Vec<Owner> {
        let handlers = self.handlers.iter();
        handlers
            .filter(|(span, _)| span.encloses(start, length))
            .filter_map(|(_, owner)| *owner)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIGH: u64 = 1 << 32;

    fn end(addresses: &mut Addresses<u8>, start: u64, end: u64, length: u64) -> Option<u64> {
        addresses
            .add(1, start, end, length)
            .ok()
            .map(|span| span.start)
    }

    #[test]
    fn what_is_no_range_is_invalid() {
        let mut addresses = Addresses::<u8>::new();
        for (start, end, length) in [
            (HIGH + 1, HIGH + 64, 4),
            (1 << 48, (1 << 48) + 8, 8),
            (HIGH, HIGH, 4),
            (HIGH, (1 << 48) + 1, 4),
            (HIGH, HIGH + 64, 0),
            (HIGH, HIGH + 64, 6),
        ] {
            let refused = addresses.add(1, start, end, length);
            assert_eq!(
                refused,
                Err(Refusal::Malformed),
                "{start:x} {end:x} {length}"
            );
        }
    }

    #[test]
    fn the_first_4_gib_and_the_registers_are_taken() {
        let mut addresses = Addresses::<u8>::new();
        for start in [
            0,
            0x1000,
            HIGH - 4,
            REGISTERS.start,
            TOPOLOGY_MAP.start + 0x3fc,
        ] {
            let refused = addresses.add(1, start, start + 4, 4);
            assert_eq!(refused, Err(Refusal::Taken), "{start:x}");
        }
        let beside = TOPOLOGY_MAP.end();
        assert_eq!(end(&mut addresses, beside, beside + 4, 4), Some(beside));
    }

    #[test]
    fn a_collision_advances_by_the_length_of_what_is_in_the_way() {
        let mut addresses = Addresses::<u8>::new();
        assert_eq!(
            end(&mut addresses, HIGH + 0x20, HIGH + 0x1000, 0x40),
            Some(HIGH + 0x20)
        );
        // Not to its end: 0x10 + 0x40, which leaves a gap unused.
        assert_eq!(
            end(&mut addresses, HIGH + 0x10, HIGH + 0x1000, 0x20),
            Some(HIGH + 0x90)
        );
        let refused = addresses.add(1, HIGH + 0x10, HIGH + 0x60, 0x20);
        assert_eq!(refused, Err(Refusal::Taken));
    }

    #[test]
    fn fcp_is_shared_and_all_else_is_one_owners() {
        let mut addresses = Addresses::new();
        for owner in [1_u8, 2] {
            addresses.add(owner, FCP.start, FCP.end(), 0x400).unwrap();
        }
        assert_eq!(addresses.enclosing(FCP.start, 8), [1, 2]);
        let span = addresses.add(1, HIGH, HIGH + 0x100, 0x40).unwrap();
        let other = addresses.add(2, HIGH, HIGH + 0x100, 0x40).unwrap();
        assert_eq!(addresses.enclosing(span.start, 0x40), [1]);
        assert_eq!(addresses.enclosing(other.start + 0x3c, 4), [2]);
        // Across the border is in neither.
        assert!(addresses.enclosing(span.start + 0x3c, 8).is_empty());
        addresses.remove(2, span);
        assert_eq!(addresses.enclosing(span.start, 4), [1]);
        addresses.remove(1, span);
        assert!(addresses.enclosing(span.start, 4).is_empty());
    }
}
